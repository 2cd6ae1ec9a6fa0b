//! The sources of settings, laid over each other.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Problem;

/// Every key with its default.
const DEFAULT: &str = include_str!("../../config/default.toml");

/// The variable that holds the text of a whole file.
pub const TEXT_VARIABLE: &str = "PARLOR_CONFIG_TOML";

/// What a playground has differently.
const DEV: &str = r#"
[http]
listen = "127.0.0.1:8080"
[media]
listen = "127.0.0.1:3478"
[turn]
tcp = false
[auth]
legacy_header = true
[limits]
drain = "0s"
[webhooks]
allow_networks = ["127.0.0.0/8", "::1/128"]
"#;

/// Where settings come from besides the defaults, later ones overriding earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Whether this is a playground.
    pub dev: bool,
    /// Files, in the order given.
    pub files: Vec<PathBuf>,
    /// The text of one more, for platforms where a variable is easier to have than a file.
    pub text: Option<String>,
    /// The process environment; of it, `PARLOR_<SECTION>_<KEY>` counts.
    pub environment: Vec<(String, String)>,
    /// Flags: a `section.key` and a text each.
    pub flags: Vec<(&'static str, String)>,
}

/// One table of sections with all keys, each with the value that won.
#[derive(Debug)]
pub struct Layers(Table);

impl Layers {
    /// Lays all sources over the defaults. What does not fit is left out and reported.
    pub fn read(sources: &Sources) -> (Self, Vec<Problem>) {
        let mut layers = Self(DEFAULT.parse().expect("the compiled-in defaults are TOML"));
        let mut problems = Vec::new();
        if sources.dev {
            let dev = DEV.parse().expect("the compiled-in settings are TOML");
            layers.overlay(dev, "--dev", &mut problems);
        }
        for file in &sources.files {
            match read_file(file) {
                Ok(table) => layers.overlay(table, &file.display().to_string(), &mut problems),
                Err(problem) => problems.push(problem),
            }
        }
        if let Some(text) = &sources.text {
            match parse(text, TEXT_VARIABLE) {
                Ok(table) => layers.overlay(table, TEXT_VARIABLE, &mut problems),
                Err(problem) => problems.push(problem),
            }
        }
        for (name, text) in &sources.environment {
            layers.set_from_environment(name, text, &mut problems);
        }
        for (key, text) in &sources.flags {
            layers.set_text(key, text, "a flag", &mut problems);
        }
        (layers, problems)
    }

    /// The value of `section.key`, which must be one of `config/default.toml`.
    pub fn get(&self, key: &str) -> &Value {
        let (section, name) = key.split_once('.').expect("a key has a section");
        let found = self.0.get(section).and_then(|section| section.get(name));
        found.expect("every key that is read is in config/default.toml")
    }

    /// Changes a text before it is shown.
    pub fn rewrite(&mut self, key: &str, with: impl Fn(&str) -> String) {
        if let Some(Value::String(text)) = self.slot(key) {
            *text = with(text);
        }
    }

    fn overlay(&mut self, table: Table, source: &str, problems: &mut Vec<Problem>) {
        for (section, keys) in table {
            let Value::Table(keys) = keys else {
                problems.push(unknown(&section, source));
                continue;
            };
            for (name, value) in keys {
                let key = format!("{section}.{name}");
                match self.slot(&key) {
                    None => problems.push(unknown(&key, source)),
                    Some(slot) if slot.same_type(&value) => *slot = value,
                    Some(slot) => {
                        let what = format!("must be of type {} (in {source})", slot.type_str());
                        problems.push(Problem {
                            key,
                            what,
                            example: None,
                        });
                    }
                }
            }
        }
    }

    /// Takes `PARLOR_<SECTION>_<KEY>`. A name whose section does not exist is not ours: container
    /// platforms make up some that begin like this, such as `PARLOR_SERVICE_HOST`.
    fn set_from_environment(&mut self, name: &str, text: &str, problems: &mut Vec<Problem>) {
        let Some(name) = name.strip_prefix("PARLOR_") else {
            return;
        };
        let Some((section, key)) = name.split_once('_') else {
            return;
        };
        let section = section.to_ascii_lowercase();
        if self.0.contains_key(&section) {
            let key = format!("{section}.{}", key.to_ascii_lowercase());
            self.set_text(&key, text, "the environment", problems);
        }
    }

    /// Sets a key from a text, read as the type that the key has.
    fn set_text(&mut self, key: &str, text: &str, source: &str, problems: &mut Vec<Problem>) {
        let Some(slot) = self.slot(key) else {
            problems.push(unknown(key, source));
            return;
        };
        let value = match slot {
            Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Float(_) => text.parse().ok().map(Value::Float),
            Value::Array(_) => Some(Value::Array(split(text))),
            _ => Some(Value::String(text.into())),
        };
        match value {
            Some(value) => *slot = value,
            None => {
                let what = format!("{text:?} is no {} (in {source})", slot.type_str());
                problems.push(Problem {
                    key: key.into(),
                    what,
                    example: None,
                });
            }
        }
    }

    fn slot(&mut self, key: &str) -> Option<&mut Value> {
        let (section, name) = key.split_once('.')?;
        self.0.get_mut(section)?.get_mut(name)
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn split(text: &str) -> Vec<Value> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.map(|part| Value::String(part.into())).collect()
}

fn read_file(path: &Path) -> Result<Table, Problem> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &name),
        Err(error) => Err(Problem {
            key: name,
            what: error.to_string(),
            example: None,
        }),
    }
}

fn parse(text: &str, source: &str) -> Result<Table, Problem> {
    text.parse().map_err(|error: toml::de::Error| Problem {
        key: source.into(),
        // Without the line in question, which may hold a secret.
        what: format!("{}{}", error.message(), line_of(text, &error)),
        example: None,
    })
}

fn line_of(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    before.map_or_else(String::new, |before| {
        format!(" (line {})", before.matches('\n').count() + 1)
    })
}

fn unknown(key: &str, source: &str) -> Problem {
    let what = format!("no such setting (in {source})");
    Problem {
        key: key.into(),
        what,
        example: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(sources: &Sources) -> Vec<String> {
        Layers::read(sources)
            .1
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_errors_wherever_they_come_from() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("parlor.toml");
        std::fs::write(&file, "colour = 1\n[http]\nlisten = 8080\nport = 1").unwrap();
        let found = problems(&Sources {
            files: vec![file, dir.path().join("missing.toml")],
            environment: vec![("PARLOR_MEDIA_PORT".into(), "1".into())],
            ..Sources::default()
        });
        assert_eq!(found.len(), 5, "{found:#?}");
        for (line, start) in found.iter().zip([
            "colour: no such",
            "http.listen: must be of type string",
            "http.port: no such",
        ]) {
            assert!(line.starts_with(start), "{line}");
        }
        assert!(found[3].contains("missing.toml"));
        assert!(found[4].starts_with("media.port: no such setting (in the environment)"));
    }

    #[test]
    fn a_whole_file_can_come_as_a_text_and_its_mistakes_show_no_secret() {
        let with = |text: &str| Sources {
            text: Some(text.into()),
            environment: vec![("PARLOR_HTTP_LISTEN".into(), "2.2.2.2:2".into())],
            ..Sources::default()
        };
        let (layers, none) = Layers::read(&with("[http]\nlisten = '1.1.1.1:1'\nmax_body = '1MiB'"));
        assert!(none.is_empty());
        assert_eq!(layers.get("http.listen").as_str(), Some("2.2.2.2:2"));
        assert_eq!(layers.get("http.max_body").as_str(), Some("1MiB"));
        let found = problems(&with("[http]\ncolour = 1"));
        assert_eq!(
            found,
            ["http.colour: no such setting (in PARLOR_CONFIG_TOML)"]
        );
        let found = problems(&with("[database]\nurl = s3cret"));
        assert!(found[0].starts_with("PARLOR_CONFIG_TOML: "), "{found:?}");
        assert!(
            found[0].ends_with("(line 2)") && !found[0].contains("s3cret"),
            "{found:?}"
        );
    }

    #[test]
    fn variables_that_a_platform_makes_up_are_left_alone() {
        let environment = vec![
            ("PARLOR_SERVICE_HOST".into(), "10.0.0.1".into()),
            ("PARLOR_LOG".into(), "1".into()),
            ("PATH".into(), "/bin".into()),
        ];
        assert!(
            problems(&Sources {
                environment,
                ..Sources::default()
            })
            .is_empty()
        );
    }

    #[test]
    fn a_list_in_the_environment_has_commas() {
        let environment = vec![("PARLOR_MEDIA_ANNOUNCE".into(), "a, b,".into())];
        let (layers, _) = Layers::read(&Sources {
            environment,
            ..Sources::default()
        });
        assert_eq!(layers.get("media.announce"), &Value::Array(split("a,b")));
    }
}
