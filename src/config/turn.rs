//! The embedded TURN server, and the ICE servers that are elsewhere.

use std::net::SocketAddr;

use super::values::Reader;
use crate::turn::Limits;
use crate::turn::ice_servers::{Elsewhere, ElsewhereAuth, IceUrl, Redacted};

/// Most allocations: as many as there are ports for relayed addresses (RFC 8656, 7.2).
const MAX_ALLOCATIONS: usize = 16_384;

/// Shortest secret in bytes: what is shorter can be guessed from one credential.
const MIN_SECRET_LEN: usize = 16;

/// The embedded TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnConfig {
    /// Where it takes datagrams, if it does.
    pub listen: Option<SocketAddr>,
    /// Whether `http.listen` takes it, too.
    pub tcp: bool,
    /// How clients find it, if not by what follows from the other settings.
    pub urls: Vec<IceUrl>,
    /// What credentials are made with; `None`: something new at each start.
    pub secret: Option<Redacted>,
    /// How much clients may have.
    pub limits: Limits,
}

impl TurnConfig {
    /// Whether there is a server at all.
    pub fn is_on(&self) -> bool {
        self.listen.is_some() || self.tcp
    }

    /// `media` is where media is taken, which cannot be here as well.
    pub(super) fn read(reader: &mut Reader, media: Option<SocketAddr>) -> Option<Self> {
        let listen: Option<Option<SocketAddr>> = reader.optional("turn.listen", "\"0.0.0.0:3479\"");
        if let (Some(Some(turn)), Some(media)) = (listen, media)
            && turn.port() != 0
            && turn == media
        {
            let what = "is where media is taken, and must be another port";
            reader.problem("turn.listen", what, Some("\"0.0.0.0:3479\""));
        }
        let urls = read_urls(reader, "turn.urls");
        let secret = read_secret(reader, "turn.secret");
        let allocations = reader.count("turn.allocations", "5000");
        if allocations.is_some_and(|count| count > MAX_ALLOCATIONS) {
            let what = format!("must be at most {MAX_ALLOCATIONS}");
            reader.problem("turn.allocations", &what, Some("5000"));
        }
        let per_connection = reader.count("turn.allocations_per_connection", "100");
        let rate = reader.size("turn.bytes_per_second", "\"8MiB\"");
        let rate = rate.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        Some(Self {
            listen: listen?,
            tcp: reader.boolean("turn.tcp"),
            urls: urls?,
            secret: secret?,
            limits: Limits {
                allocations: allocations?,
                allocations_per_connection: per_connection?,
                bytes_per_second: rate?,
            },
        })
    }
}

/// Reads the section `ice`.
pub(super) fn read_elsewhere(reader: &mut Reader) -> Option<Elsewhere> {
    let urls = read_urls(reader, "ice.urls");
    let username = reader.text("ice.username");
    let credential = reader.secret("ice.credential");
    let secret = read_secret(reader, "ice.secret");
    let (urls, credential, secret) = (urls?, credential?, secret?);
    let example = Some("\"parlor\"");
    let auth = match (secret, username.is_empty(), credential.is_empty()) {
        (None, true, true) => ElsewhereAuth::None,
        (Some(secret), true, true) => ElsewhereAuth::Secret(secret),
        (None, false, false) => ElsewhereAuth::Static {
            username,
            credential: Redacted::new(credential),
        },
        (Some(_), ..) => {
            let what = "cannot be used together with ice.username and ice.credential";
            reader.problem("ice.secret", what, None);
            return None;
        }
        (None, true, false) => {
            reader.problem("ice.username", "is missing beside ice.credential", example);
            return None;
        }
        (None, false, true) => {
            reader.problem("ice.credential", "is missing beside ice.username", None);
            return None;
        }
    };
    if auth == ElsewhereAuth::None && urls.iter().any(IceUrl::wants_credential) {
        let what = "TURN needs ice.secret, or ice.username and ice.credential";
        reader.problem("ice.urls", what, None);
    }
    Some(Elsewhere { urls, auth })
}

fn read_urls(reader: &mut Reader, key: &str) -> Option<Vec<IceUrl>> {
    let mut urls = Vec::new();
    for text in reader.list(key) {
        let example = "[\"turns:turn.example.com:443?transport=tcp\"]";
        urls.push(reader.parse(key, &text, example)?);
    }
    Some(urls)
}

fn read_secret(reader: &mut Reader, key: &str) -> Option<Option<Redacted>> {
    let secret = reader.secret(key)?;
    if !secret.is_empty() && secret.len() < MIN_SECRET_LEN {
        let what = format!("must have at least {MIN_SECRET_LEN} bytes");
        reader.problem(key, &what, None);
        return None;
    }
    Some((!secret.is_empty()).then(|| Redacted::new(secret)))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError, Sources};
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        Config::load(&Sources {
            dev: true,
            text: Some(text.into()),
            ..Sources::default()
        })
    }

    #[test]
    fn servers_elsewhere_have_one_kind_of_credential() {
        let auth = |text: &str| load(&format!("[ice]\n{text}")).map(|config| config.ice.auth);
        assert_eq!(auth("urls=['stun:x']"), Ok(ElsewhereAuth::None));
        let secret = Redacted::new("0123456789abcdef".into());
        let text = "urls=['turn:x']\nsecret='0123456789abcdef'";
        assert_eq!(auth(text), Ok(ElsewhereAuth::Secret(secret)));
        let text = "urls=['turn:x']\nusername='u'\ncredential='c'";
        assert!(matches!(auth(text), Ok(ElsewhereAuth::Static { .. })));
        for (text, key) in [
            ("urls=['turn:x']", "ice.urls"),
            ("urls=['http://x']", "ice.urls"),
            ("username='u'", "ice.credential"),
            ("credential='c'", "ice.username"),
            ("secret='short'", "ice.secret"),
            ("secret='0123456789abcdef'\nusername='u'", "ice.secret"),
        ] {
            let problems = auth(text).unwrap_err().0;
            assert_eq!(problems[0].key, key, "{text}");
        }
    }

    #[test]
    fn the_embedded_server_is_off_in_a_playground_and_takes_tcp_elsewhere() {
        assert!(!load("").unwrap().turn.is_on());
        let config = load("[turn]\nlisten='127.0.0.1:3479'\ntcp=true").unwrap();
        assert!(config.turn.is_on() && config.turn.tcp);
        assert_eq!(config.turn.limits, Limits::default());
        for (text, key) in [
            ("allocations=20000", "turn.allocations"),
            ("listen='127.0.0.1:3478'", "turn.listen"),
            ("urls=['turn.example.com']", "turn.urls"),
            ("secret='short'", "turn.secret"),
        ] {
            let problems = load(&format!("[turn]\n{text}")).unwrap_err().0;
            assert_eq!(problems[0].key, key, "{text}");
        }
        let files = vec!["config/production.toml".into()];
        let sources = Sources {
            files,
            ..Sources::default()
        };
        assert!(Config::load(&sources).unwrap().turn.tcp);
    }

    #[test]
    fn secrets_are_not_shown() {
        let secrets = "[turn]\nsecret='0123456789abcdef'\n\
            [ice]\nurls=['turn:x']\nusername='u'\ncredential='hush'";
        let sources = Sources {
            dev: true,
            text: Some(secrets.into()),
            ..Sources::default()
        };
        let shown = Config::show(&sources).unwrap();
        assert!(!shown.contains("0123456789abcdef") && !shown.contains("hush"));
        assert!(shown.contains("secret = \"[redacted]\""));
        assert!(!format!("{:?}", load(secrets)).contains("hush"));
    }
}
