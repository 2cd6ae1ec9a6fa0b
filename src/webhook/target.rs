//! Where a webhook goes.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use url::{Host, Url};

/// Longest URL in bytes (our choice).
const MAX_LEN: usize = 2048;

/// An `http` or `https` URL in its normal form. Odd spellings of an address, such as
/// `http://0x7f.1/`, have been recognised as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetUrl(Arc<str>);

/// Why a text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Not a URL with a host.
    #[error("must be an http or https URL")]
    NotAUrl,
    /// It would be shown in lists and in the log.
    #[error("must not hold a user name or password")]
    Credentials,
    /// Longer than 2048 bytes.
    #[error("must have at most 2048 bytes")]
    TooLong,
}

impl TargetUrl {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL in parts.
    pub fn parts(&self) -> Url {
        Url::parse(&self.0).expect("it was parsed before")
    }

    /// The address, if the URL names one and not a host.
    pub fn address(&self) -> Option<IpAddr> {
        match self.parts().host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for TargetUrl {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(input)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for TargetUrl {
    fn schema_name() -> Cow<'static, str> {
        "TargetUrl".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Names of hosts may be in any script, so it is no "uri" to the letter.
        json_schema!({"type": "string", "pattern": "^https?://", "maxLength": MAX_LEN})
    }
}

impl FromStr for TargetUrl {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        if text.len() > MAX_LEN {
            return Err(InvalidTarget::TooLong);
        }
        let mut url = Url::parse(text).map_err(|_| InvalidTarget::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(InvalidTarget::NotAUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidTarget::Credentials);
        }
        url.set_fragment(None);
        Ok(Self(url.as_str().into()))
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_web_address_without_secrets() {
        let check = |text: &str, expected: Result<&str, InvalidTarget>| {
            let url = text.parse::<TargetUrl>();
            assert_eq!(
                url.as_ref().map(TargetUrl::as_str).map_err(|e| *e),
                expected
            );
        };
        check(
            "https://Example.com/a?b=c#d",
            Ok("https://example.com/a?b=c"),
        );
        check("http://example.com:8080", Ok("http://example.com:8080/"));
        check("ftp://example.com", Err(InvalidTarget::NotAUrl));
        check("example.com/hook", Err(InvalidTarget::NotAUrl));
        check("file:///etc/passwd", Err(InvalidTarget::NotAUrl));
        check(
            "https://user:secret@example.com",
            Err(InvalidTarget::Credentials),
        );
        let long = format!("https://example.com/{}", "a".repeat(MAX_LEN));
        check(&long, Err(InvalidTarget::TooLong));
    }

    #[test]
    fn an_address_is_recognised_in_every_spelling() {
        for text in ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001"] {
            let url: TargetUrl = format!("http://{text}/").parse().unwrap();
            assert_eq!(url.address(), Some([127, 0, 0, 1].into()), "{text}");
        }
        let url: TargetUrl = "http://[::ffff:10.0.0.1]/".parse().unwrap();
        assert!(url.address().is_some_and(|address| address.is_ipv6()));
    }
}
