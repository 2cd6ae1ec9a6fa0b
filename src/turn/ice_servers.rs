//! The ICE servers that clients are told of: this server's own TURN, and those that the operator
//! has elsewhere.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use super::credential::{CREDENTIAL_LIFETIME, Issuer};

/// One entry of `ice_servers` in session info (`protocol/signaling.md`, 2.4), as
/// `RTCIceServer` has it, with the older `url` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IceServer {
    url: String,
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    credential: Option<Redacted>,
}

/// A text that does not print.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Redacted(String);

impl Redacted {
    /// Hides a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The URL of a STUN or TURN server (RFC 7064, RFC 7065).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceUrl(String);

/// A text that is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no stun, turn or turns URL")]
pub struct InvalidIceUrl;

impl IceUrl {
    /// Whether it takes a credential: STUN does not.
    pub fn wants_credential(&self) -> bool {
        self.0.starts_with("turn")
    }
}

impl FromStr for IceUrl {
    type Err = InvalidIceUrl;

    fn from_str(text: &str) -> Result<Self, InvalidIceUrl> {
        let (scheme, rest) = text.split_once(':').ok_or(InvalidIceUrl)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let known = match scheme {
            "turn" | "turns" => matches!(query, "" | "transport=udp" | "transport=tcp"),
            // Browsers take no STUN URL with a query.
            "stun" | "stuns" => !rest.contains('?'),
            _ => false,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        let is_place = !place.is_empty() && !place.starts_with(':') && place.chars().all(plain);
        (known && is_place)
            .then(|| Self(text.into()))
            .ok_or(InvalidIceUrl)
    }
}

/// How the operator's own servers know clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElsewhereAuth {
    /// Not at all.
    None,
    /// All by one name.
    Static {
        /// The name.
        username: String,
        /// The password.
        credential: Redacted,
    },
    /// By credentials made with a secret that we share (coturn: `use-auth-secret`).
    Secret(Redacted),
}

/// Servers of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Where they are.
    pub urls: Vec<IceUrl>,
    /// How clients get in.
    pub auth: ElsewhereAuth,
}

/// Where our own TURN server is reached.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Makes credentials for it.
    pub issuer: Issuer,
    /// Where clients find it, if the operator says so; else it follows from the others.
    pub urls: Vec<IceUrl>,
    /// Its UDP addresses.
    pub udp: Vec<SocketAddr>,
    /// Whether the HTTP port takes it, too.
    pub tcp: bool,
    /// Whether that port has TLS.
    pub tls: bool,
}

/// All that clients are told.
#[derive(Debug, Clone)]
pub struct IceServers {
    embedded: Option<Embedded>,
    elsewhere: Elsewhere,
}

impl IceServers {
    /// Our own server, if there is one, and the others.
    pub fn new(embedded: Option<Embedded>, elsewhere: Elsewhere) -> Self {
        Self {
            embedded,
            elsewhere,
        }
    }

    /// What a connection is told, with credentials that are good for
    /// [`CREDENTIAL_LIFETIME`]; `base_url` is how it reaches our HTTP port.
    pub fn list(&self, connection: &str, base_url: &str, now_unix_s: u64) -> Vec<IceServer> {
        let expires_at_s = now_unix_s + CREDENTIAL_LIFETIME.as_secs();
        let mut list = Vec::new();
        if let Some(embedded) = &self.embedded {
            let credential = embedded.issuer.issue(expires_at_s, connection);
            let credential = (credential.username, Redacted(credential.password));
            list.extend(entry(embedded.urls(base_url), Some(credential)));
        }
        let (turn, stun): (Vec<_>, Vec<_>) = self
            .elsewhere
            .urls
            .iter()
            .partition(|url| url.wants_credential());
        let credential = match &self.elsewhere.auth {
            ElsewhereAuth::None => None,
            ElsewhereAuth::Static {
                username,
                credential,
            } => Some((username.clone(), credential.clone())),
            ElsewhereAuth::Secret(secret) => {
                let issued = Issuer::new(secret.0.as_bytes()).issue(expires_at_s, connection);
                Some((issued.username, Redacted(issued.password)))
            }
        };
        let texts = |urls: Vec<&IceUrl>| urls.into_iter().map(|url| url.0.clone()).collect();
        list.extend(entry(texts(turn), credential));
        list.extend(entry(texts(stun), None));
        list
    }
}

impl Embedded {
    fn urls(&self, base_url: &str) -> Vec<String> {
        if !self.urls.is_empty() {
            return self.urls.iter().map(|url| url.0.clone()).collect();
        }
        let udp = self.udp.iter();
        let mut urls: Vec<_> = udp
            .map(|address| format!("turn:{address}?transport=udp"))
            .collect();
        urls.extend(self.tcp.then(|| self.tcp_url(base_url)).flatten());
        urls
    }

    /// Over TLS where there is any, since that passes where plain TCP would. `None` if a proxy
    /// stands between clients and our port: it would not know what to do with TURN.
    fn tcp_url(&self, base_url: &str) -> Option<String> {
        let (scheme, rest) = base_url.split_once("://")?;
        let authority = rest.split('/').next()?;
        let (scheme, port) = match (scheme, self.tls) {
            ("https", true) => ("turns", 443),
            ("http", false) => ("turn", 80),
            _ => return None,
        };
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        // The schemes have defaults of their own.
        let port = if has_port {
            String::new()
        } else {
            format!(":{port}")
        };
        Some(format!("{scheme}:{authority}{port}?transport=tcp"))
    }
}

fn entry(urls: Vec<String>, credential: Option<(String, Redacted)>) -> Option<IceServer> {
    let url = urls.first()?.clone();
    let (username, credential) = credential.unzip();
    Some(IceServer {
        url,
        urls,
        username,
        credential,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn elsewhere(urls: &[&str], auth: ElsewhereAuth) -> Elsewhere {
        let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
        Elsewhere { urls, auth }
    }

    fn embedded(udp: &[&str], tcp: bool, tls: bool) -> Embedded {
        Embedded {
            issuer: Issuer::new(b"north"),
            urls: Vec::new(),
            udp: udp.iter().map(|address| address.parse().unwrap()).collect(),
            tcp,
            tls,
        }
    }

    #[test]
    fn a_url_is_a_scheme_a_place_and_perhaps_a_transport() {
        for good in [
            "stun:stun.example.com",
            "turn:turn.example.com:3478?transport=udp",
            "turns:[2001:db8::1]:5349?transport=tcp",
        ] {
            assert_eq!(good.parse(), Ok(IceUrl(good.into())));
        }
        for bad in [
            "",
            "turn",
            "turn:",
            "turn://turn.example.com",
            "http://turn.example.com",
            "turn:x?transport=sctp",
            "turn:user@x",
            "stun:x?transport=udp",
        ] {
            assert_eq!(bad.parse::<IceUrl>(), Err(InvalidIceUrl), "{bad}");
        }
    }

    #[test]
    fn our_own_server_is_told_with_every_way_that_leads_to_it() {
        let check = |embedded: Embedded, base_url: &str, expected: &[&str]| {
            assert_eq!(embedded.urls(base_url), expected, "{base_url}");
        };
        let udp = ["203.0.113.7:3479", "[2001:db8::7]:3479"];
        check(
            embedded(&udp, true, true),
            "https://video.example.com",
            &[
                "turn:203.0.113.7:3479?transport=udp",
                "turn:[2001:db8::7]:3479?transport=udp",
                "turns:video.example.com:443?transport=tcp",
            ],
        );
        let tcp = |tls| embedded(&[], true, tls);
        check(
            tcp(true),
            "https://[2001:db8::7]:8443/parlor",
            &["turns:[2001:db8::7]:8443?transport=tcp"],
        );
        check(
            tcp(true),
            "https://[2001:db8::7]",
            &["turns:[2001:db8::7]:443?transport=tcp"],
        );
        check(
            tcp(false),
            "http://127.0.0.1:8080",
            &["turn:127.0.0.1:8080?transport=tcp"],
        );
        check(
            tcp(false),
            "http://video.example.com",
            &["turn:video.example.com:80?transport=tcp"],
        );
        // There is a proxy.
        check(tcp(false), "https://video.example.com", &[]);
        check(embedded(&[], false, true), "https://video.example.com", &[]);
        let named = Embedded {
            urls: vec!["turns:turn.example.com:443?transport=tcp".parse().unwrap()],
            ..embedded(&udp, true, true)
        };
        check(
            named,
            "https://x",
            &["turns:turn.example.com:443?transport=tcp"],
        );
    }

    #[test]
    fn credentials_are_for_one_connection_and_one_day() {
        let ice = IceServers::new(
            Some(embedded(&["203.0.113.7:3479"], false, false)),
            elsewhere(&[], ElsewhereAuth::None),
        );
        let list = ice.list("ana", "http://x", NOW);
        let credential = Issuer::new(b"north").issue(NOW + 86_400, "ana");
        let told = serde_json::to_value(&list).unwrap();
        assert_eq!(
            told,
            serde_json::json!([{
                "url": "turn:203.0.113.7:3479?transport=udp",
                "urls": ["turn:203.0.113.7:3479?transport=udp"],
                "username": credential.username,
                "credential": credential.password,
            }])
        );
        assert!(!format!("{list:?}").contains(&credential.password));
    }

    #[test]
    fn servers_of_the_operator_are_told_with_what_they_ask_for() {
        let urls = [
            "stun:stun.example.com",
            "turn:turn.example.com",
            "turns:turn.example.com",
        ];
        let told = |auth| {
            let ice = IceServers::new(None, elsewhere(&urls, auth));
            serde_json::to_value(ice.list("ana", "https://x", NOW)).unwrap()
        };
        let stun = serde_json::json!({
            "url": "stun:stun.example.com", "urls": ["stun:stun.example.com"]
        });
        let by_name = told(ElsewhereAuth::Static {
            username: "parlor".into(),
            credential: Redacted("hush".into()),
        });
        let turn = serde_json::json!({
            "url": "turn:turn.example.com",
            "urls": ["turn:turn.example.com", "turns:turn.example.com"],
            "username": "parlor",
            "credential": "hush",
        });
        assert_eq!(by_name, serde_json::json!([turn, stun]));
        let by_secret = told(ElsewhereAuth::Secret(Redacted("north".into())));
        let expected = Issuer::new(b"north").issue(NOW + 86_400, "ana");
        assert_eq!(by_secret[0]["username"], expected.username);
        assert_eq!(by_secret[0]["credential"], expected.password);
        assert_eq!(by_secret[1], stun);
    }
}
