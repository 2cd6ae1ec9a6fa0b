//! Settings as types: addresses, URLs, durations and sizes with units, secrets.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Value;

use super::Problem;
use super::layers::Layers;

/// Where clients reach the server: `http` or `https`, a host, perhaps a port and a path; no
/// trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// A text that is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no http or https URL")]
pub struct InvalidUrl;

impl PublicUrl {
    /// The URL, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it begins with `https`.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// The TCP port, also where it is not written.
    pub fn port(&self) -> u16 {
        let url = url::Url::parse(&self.0).ok();
        let port = url.and_then(|url| url.port_or_known_default());
        port.unwrap_or(if self.is_secure() { 443 } else { 80 })
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim_end_matches('/');
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"));
        let plain = |c: char| c.is_ascii_graphic() && !"?#@\"\\".contains(c);
        let valid = rest.is_some_and(|rest| {
            !rest.is_empty() && !rest.starts_with(['/', ':']) && rest.chars().all(plain)
        });
        valid.then(|| Self(text.into())).ok_or(InvalidUrl)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Hides what may be a password in a URL: user and password, and a parameter named so.
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.into();
    };
    let rest = match rest.rsplit_once('@') {
        Some((_, host)) => format!("[redacted]@{host}"),
        None => rest.into(),
    };
    let mut parts = rest.split_inclusive(['?', '&']);
    let hidden = |part: &str| match part.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("password") => {
            let separator = if value.ends_with('&') { "&" } else { "" };
            format!("{name}=[redacted]{separator}")
        }
        _ => part.into(),
    };
    let place = parts.next().unwrap_or_default();
    let parameters: String = parts.map(hidden).collect();
    format!("{scheme}://{place}{parameters}")
}

/// Hides a secret; that there is none is none.
pub fn redact(secret: &str) -> String {
    match secret {
        "" => String::new(),
        _ => "[redacted]".into(),
    }
}

/// Takes typed values out of the layers and collects what is wrong with them.
#[derive(Debug)]
pub struct Reader {
    layers: Layers,
    problems: Vec<Problem>,
}

impl Reader {
    /// Begins with the problems found so far.
    pub fn new(layers: Layers, problems: Vec<Problem>) -> Self {
        Self { layers, problems }
    }

    /// What is wrong.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Reports that a key's value is not good.
    pub fn problem(&mut self, key: &str, what: &str, example: Option<&'static str>) {
        self.problems.push(Problem {
            key: key.into(),
            what: what.into(),
            example,
        });
    }

    /// A text as it is.
    pub fn text(&self, key: &str) -> String {
        self.layers.get(key).as_str().unwrap_or_default().into()
    }

    /// A text that must not be empty.
    pub fn required(&mut self, key: &str, example: &'static str) -> String {
        let text = self.text(key);
        if text.is_empty() {
            self.problem(key, "must not be empty", Some(example));
        }
        text
    }

    /// Yes or no.
    pub fn boolean(&self, key: &str) -> bool {
        self.layers.get(key).as_bool().unwrap_or_default()
    }

    /// A list of texts; anything else in it is a problem.
    pub fn list(&mut self, key: &str) -> Vec<String> {
        let items = self.layers.get(key).as_array().cloned().unwrap_or_default();
        let texts: Vec<_> = items
            .iter()
            .filter_map(Value::as_str)
            .map(String::from)
            .collect();
        if texts.len() < items.len() {
            self.problem(key, "must be a list of texts", None);
        }
        texts
    }

    /// A list of networks; an address without a length stands for itself.
    pub fn networks(&mut self, key: &str, example: &'static str) -> Vec<IpNet> {
        let texts = self.list(key);
        let network = |text: &String| match text.parse::<IpAddr>() {
            Ok(address) => Some(address.into()),
            Err(_) => self.parse(key, text, example),
        };
        texts.iter().filter_map(network).collect()
    }

    /// A number of things, at least one.
    pub fn count<T>(&mut self, key: &str, example: &'static str) -> Option<T>
    where
        T: TryFrom<i64>,
    {
        let number = self.layers.get(key).as_integer().unwrap_or_default();
        let count = if number > 0 {
            T::try_from(number).ok()
        } else {
            None
        };
        if count.is_none() {
            self.problem(key, "must be positive, and not too large", Some(example));
        }
        count
    }

    /// A number of things; `Some(None)` for 0, which leaves it to us.
    pub fn count_or_auto<T>(&mut self, key: &str, example: &'static str) -> Option<Option<T>>
    where
        T: TryFrom<i64>,
    {
        match self.layers.get(key).as_integer() {
            Some(0) => Some(None),
            _ => self.count(key, example).map(Some),
        }
    }

    /// A part of a whole, from 0 to 1.
    pub fn ratio(&mut self, key: &str, example: &'static str) -> Option<f64> {
        let ratio = self.layers.get(key).as_float();
        let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        if ratio.is_none() {
            self.problem(key, "must be from 0.0 to 1.0", Some(example));
        }
        ratio
    }

    /// What a key's text stands for.
    pub fn parsed<T: FromStr>(&mut self, key: &str, example: &'static str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        self.parse(key, &self.text(key), example)
    }

    /// Like [`Self::parsed`], with `Some(None)` for an empty text.
    pub fn optional<T: FromStr>(&mut self, key: &str, example: &'static str) -> Option<Option<T>>
    where
        T::Err: fmt::Display,
    {
        let text = self.text(key);
        if text.is_empty() {
            Some(None)
        } else {
            self.parse(key, &text, example).map(Some)
        }
    }

    /// What one text of a key stands for.
    pub fn parse<T: FromStr>(&mut self, key: &str, text: &str, example: &'static str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(key, &format!("{text:?}: {error}"), Some(example));
                None
            }
        }
    }

    /// A time span with its unit.
    pub fn duration(&mut self, key: &str, example: &'static str) -> Option<Duration> {
        const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];
        self.with_unit(key, &UNITS, example)
            .map(Duration::from_millis)
    }

    /// Like [`Self::duration`], but `0s` is good as well.
    pub fn duration_or_zero(&mut self, key: &str, example: &'static str) -> Option<Duration> {
        match self.text(key).as_str() {
            "0s" => Some(Duration::ZERO),
            _ => self.duration(key, example),
        }
    }

    /// A number of bytes with its unit.
    pub fn size(&mut self, key: &str, example: &'static str) -> Option<usize> {
        const UNITS: [(&str, u64); 4] = [
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
        ];
        self.with_unit(key, &UNITS, example)
            .and_then(|bytes| usize::try_from(bytes).ok())
    }

    /// A secret from the key itself or from the file that its twin `…_file` names. `None` if
    /// that cannot be read, or both are set.
    pub fn secret(&mut self, key: &str) -> Option<String> {
        let (plain, file) = (self.text(key), self.text(&format!("{key}_file")));
        if file.is_empty() {
            return Some(plain);
        }
        if !plain.is_empty() {
            self.problem(key, "is set, and so is its twin that names a file", None);
            return None;
        }
        match std::fs::read_to_string(&file) {
            Ok(text) => Some(text.trim_end().into()),
            Err(error) => {
                self.problem(&format!("{key}_file"), &format!("{file}: {error}"), None);
                None
            }
        }
    }

    /// A positive whole number directly followed by one of the units.
    fn with_unit(
        &mut self,
        key: &str,
        units: &[(&str, u64)],
        example: &'static str,
    ) -> Option<u64> {
        let text = self.text(key);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = units
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor);
        let number = number.parse::<u64>().ok().filter(|number| *number > 0);
        let value = number
            .zip(factor)
            .and_then(|(number, factor)| number.checked_mul(factor));
        if value.is_none() {
            let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
            let what = format!(
                "{text:?} is no positive number with a unit of {}",
                names.join(", ")
            );
            self.problem(key, &what, Some(example));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_place_and_has_one_spelling() {
        let check = |text: &str, spelling: Option<&str>| {
            let url = text.parse::<PublicUrl>().ok();
            assert_eq!(url.as_ref().map(PublicUrl::as_str), spelling, "{text}");
        };
        check(
            "https://video.example.com/",
            Some("https://video.example.com"),
        );
        check("http://[::1]:8080/parlor", Some("http://[::1]:8080/parlor"));
        check("video.example.com", None);
        check("https://", None);
        check("https://x y", None);
        check("https://user@x", None);
        check("https://x/?q=1", None);
    }

    #[test]
    fn a_password_in_a_url_is_hidden() {
        assert_eq!(
            redact_url("postgres://u:p@ss@db/x"),
            "postgres://[redacted]@db/x"
        );
        assert_eq!(
            redact_url("postgres:///x?host=/run&password=s3cret&user=u"),
            "postgres:///x?host=/run&password=[redacted]&user=u"
        );
        assert_eq!(redact_url("sqlite:data/x"), "sqlite:data/x");
    }
}
