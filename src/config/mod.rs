//! Settings: read from several sources in order, checked all at once, typed from then on.
//!
//! `config/default.toml` is the reference: it names every key, and what it does not name does not
//! exist. [`layers`] lays the sources over it, [`values`] turns texts into types.

mod acme;
pub mod http;
pub mod layers;
pub mod limits;
pub mod media;
mod problem;
pub mod telemetry;
pub mod tls;
pub mod turn;
pub mod values;
pub mod webhooks;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use layers::Layers;
use values::{PublicUrl, Reader};

use crate::db;
use crate::turn::ice_servers::Elsewhere;

pub use acme::AcmeConfig;
pub use http::HttpConfig;
pub use layers::Sources;
pub use limits::Limits;
pub use media::{Announce, MediaConfig};
pub use problem::{ConfigError, Problem};
pub use telemetry::TracesConfig;
pub use tls::{CertificateFiles, TlsConfig};
pub use turn::TurnConfig;
pub use webhooks::WebhookConfig;

/// All settings of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether this is a playground: `serve --dev`.
    pub dev: bool,
    /// REST, signaling and pages.
    pub http: HttpConfig,
    /// Where the certificate of `http` is from, unless it is served without TLS.
    pub tls: Option<TlsConfig>,
    /// The media port.
    pub media: MediaConfig,
    /// The embedded TURN server.
    pub turn: TurnConfig,
    /// ICE servers that are elsewhere.
    pub ice: Elsewhere,
    /// Where metrics are served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where data is kept.
    pub data_dir: PathBuf,
    /// Where projects and sessions are stored.
    pub database: DatabaseConfig,
    /// Who is believed.
    pub auth: AuthConfig,
    /// How much is allowed.
    pub limits: Limits,
    /// What back ends are told, and where they may be.
    pub webhooks: WebhookConfig,
    /// Where traces are sent, if anywhere.
    pub traces: Option<TracesConfig>,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// Where projects and sessions are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// The database, if it is not [`Config::database_file`].
    pub url: Option<DatabaseUrl>,
    /// How it is used.
    pub options: db::Options,
}

/// The URL of a database.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL itself. A secret if it holds a password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", values::redact_url(&self.0))
    }
}

/// Who is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthConfig {
    /// Whether `X-TB-PARTNER-AUTH` is accepted, and paths below `/v2/partner`.
    pub legacy_header: bool,
    /// How long a project's old secret is good after a new one was made.
    pub secret_grace: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// In which form.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub level: String,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads all sources and checks the result. Reads files, but never the environment: whoever
    /// calls passes that in.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let (layers, problems) = Layers::read(sources);
        let mut reader = Reader::new(layers, problems);
        let read = Self::read(&mut reader, sources.dev);
        let problems = reader.into_problems();
        match read {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError(problems)),
        }
    }

    /// The database that is used when no other is named.
    pub fn database_file(&self) -> PathBuf {
        self.data_dir.join("parlor.sqlite")
    }

    /// Whether clients reach `http.listen` through a proxy that does TLS: what is not HTTP does not
    /// come through it.
    pub fn is_behind_proxy(&self) -> bool {
        let url = self.http.public_url.as_ref();
        self.tls.is_none() && url.is_some_and(PublicUrl::is_secure)
    }

    /// The scheme in which `http` is served.
    pub fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// What comes out of all sources, in the form of the files, secrets redacted; an error if it
    /// cannot be used.
    pub fn show(sources: &Sources) -> Result<String, ConfigError> {
        Self::load(sources)?;
        let (mut layers, _) = Layers::read(sources);
        layers.rewrite("database.url", values::redact_url);
        for key in [
            "turn.secret",
            "ice.credential",
            "ice.secret",
            "telemetry.otlp_headers",
        ] {
            layers.rewrite(key, values::redact);
        }
        Ok(layers.to_string())
    }

    /// Reads every section before giving up, so that all problems are found.
    fn read(reader: &mut Reader, dev: bool) -> Option<Self> {
        let http = HttpConfig::read(reader, dev);
        let media = MediaConfig::read(reader, dev);
        let turn = TurnConfig::read(reader, media.as_ref().map(|media| media.listen));
        let ice = turn::read_elsewhere(reader);
        let metrics = reader.optional("metrics.listen", "\"127.0.0.1:9464\"");
        let data_dir = PathBuf::from(reader.required("data.dir", "\"/var/lib/parlor\""));
        let tls = TlsConfig::read(reader, &data_dir);
        let database = DatabaseConfig::read(reader);
        let auth = AuthConfig::read(reader);
        let mut limits = Limits::read(reader);
        if let (Some(limits), Some(media)) = (&mut limits, &media) {
            limits.hub.simulcast = media.simulcast;
            // The official client does not take another certificate on such a one.
            limits.hub.single_peer_connection = media.key_rotation.is_none();
            limits.hub.video_codecs.clone_from(&media.video_codecs);
        }
        let webhooks = WebhookConfig::read(reader);
        let traces = TracesConfig::read(reader);
        let log = LogConfig::read(reader);
        let config = Self {
            dev,
            http: http?,
            tls: tls?,
            media: media?,
            turn: turn?,
            ice: ice?,
            metrics: metrics?,
            data_dir,
            database: database?,
            auth: auth?,
            limits: limits?,
            webhooks: webhooks?,
            traces: traces?,
            log: log?,
        };
        let over_tcp = config.media.tcp_listen.is_some() || !config.is_behind_proxy();
        if !(config.media.udp || config.media.tcp && over_tcp) {
            let what = "must be true where media cannot come over TCP: media.tcp is off, or a \
                        proxy is in front of http.listen and media.tcp_listen is not set";
            reader.problem("media.udp", what, Some("true"));
        }
        Some(config)
    }
}

impl DatabaseConfig {
    fn read(reader: &mut Reader) -> Option<Self> {
        let url = reader.secret("database.url");
        let max_connections = reader.count("database.max_connections", "8");
        let statement_timeout = reader.duration("database.statement_timeout", "\"5s\"");
        let startup_wait = reader.duration("database.startup_wait", "\"1min\"");
        let url = url?;
        Some(Self {
            url: (!url.is_empty()).then_some(DatabaseUrl(url)),
            options: db::Options {
                max_connections: max_connections?,
                statement_timeout: statement_timeout?,
                startup_wait: startup_wait?,
            },
        })
    }
}

impl AuthConfig {
    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            legacy_header: reader.boolean("auth.legacy_header"),
            secret_grace: reader.duration("auth.secret_grace", "\"24h\"")?,
        })
    }
}

impl LogConfig {
    fn read(reader: &mut Reader) -> Option<Self> {
        let format = match reader.text("log.format").as_str() {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => {
                reader.problem("log.format", "is neither text nor json", Some("\"text\""));
                None
            }
        };
        let level = reader.text("log.level");
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&level) {
            reader.problem(
                "log.level",
                &error.to_string(),
                Some("\"info,parlor::ws=debug\""),
            );
        }
        Some(Self {
            format: format?,
            level,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_env(pairs: &[(&str, &str)], dev: bool) -> Result<Config, ConfigError> {
        let environment = pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect();
        Config::load(&Sources {
            dev,
            environment,
            ..Sources::default()
        })
    }

    fn keys(error: &ConfigError) -> Vec<&str> {
        error.0.iter().map(|problem| problem.key.as_str()).collect()
    }

    #[test]
    fn a_playground_needs_nothing() {
        let config = with_env(&[], true).unwrap();
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.media.announce, Announce::Auto);
        assert_eq!(config.http.public_url, None);
        assert_eq!(config.database.url, None);
        assert_eq!(config.database.options, db::Options::default());
        assert_eq!(config.database_file(), PathBuf::from("data/parlor.sqlite"));
        assert!(config.auth.legacy_header);
        assert!(config.limits.hub.adaptive.enabled);
    }

    #[test]
    fn a_real_server_says_everything_it_misses_at_once() {
        let error = with_env(&[], false).unwrap_err();
        assert_eq!(keys(&error), ["http.public_url", "media.announce"]);
        assert!(
            error
                .to_string()
                .contains("for example \"https://video.example.com\"")
        );
    }

    #[test]
    fn the_example_for_production_is_complete() {
        let files = vec!["config/production.toml".into()];
        let config = Config::load(&Sources {
            files,
            ..Sources::default()
        })
        .unwrap();
        assert_eq!(config.log.format, LogFormat::Json);
        assert!(!config.auth.legacy_header);
    }

    #[test]
    fn later_sources_override_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("parlor.toml");
        std::fs::write(
            &file,
            "[http]\nlisten='1.1.1.1:1'\n[log]\nlevel='warn'\n[limits]\nshutdown='1s'",
        )
        .unwrap();
        let config = Config::load(&Sources {
            text: None,
            dev: true,
            files: vec![file],
            environment: vec![
                ("PARLOR_HTTP_LISTEN".into(), "2.2.2.2:2".into()),
                ("PARLOR_LOG_LEVEL".into(), "debug".into()),
            ],
            flags: vec![("http.listen", "3.3.3.3:3".into())],
        })
        .unwrap();
        assert_eq!(config.http.listen.to_string(), "3.3.3.3:3");
        assert_eq!(config.log.level, "debug");
        assert_eq!(config.limits.shutdown, Duration::from_secs(1));
    }

    #[test]
    fn bad_values_of_every_kind_are_named() {
        let error = with_env(
            &[
                ("PARLOR_HTTP_LISTEN", "nonsense"),
                ("PARLOR_HTTP_PUBLIC_URL", "ftp://x"),
                ("PARLOR_HTTP_MAX_BODY", "1"),
                ("PARLOR_HTTP_MAX_REQUESTS", "0"),
                ("PARLOR_HTTP_TRUSTED_PROXIES", "10.0.0.1,localhost"),
                ("PARLOR_MEDIA_ANNOUNCE", "10.0.0.1,video.example.com"),
                ("PARLOR_MEDIA_VIDEO_CODECS", "vp8,h265"),
                ("PARLOR_AUTH_LEGACY_HEADER", "maybe"),
                ("PARLOR_SESSIONS_ADAPTIVE", "sometimes"),
                ("PARLOR_LIMITS_OUTBOX_FRAMES", "0"),
                ("PARLOR_LIMITS_SHUTDOWN", "10"),
                ("PARLOR_WEBHOOKS_URL", "https://me:secret@example.com"),
                ("PARLOR_WEBHOOKS_ALLOW_NETWORKS", "10.0.0.0/33"),
                ("PARLOR_LOG_FORMAT", "xml"),
                ("PARLOR_TLS_CERTIFICATE_FILE", "cert.pem"),
            ],
            true,
        )
        .unwrap_err();
        let mut found = keys(&error);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "auth.legacy_header",
                "http.listen",
                "http.max_body",
                "http.max_requests",
                "http.public_url",
                "http.trusted_proxies",
                "limits.outbox_frames",
                "limits.shutdown",
                "log.format",
                "media.announce",
                "media.video_codecs",
                "sessions.adaptive",
                "tls.key_file",
                "webhooks.allow_networks",
                "webhooks.url",
            ]
        );
    }

    #[test]
    fn there_is_always_a_way_for_media() {
        let load = |pairs: &[(&str, &str)]| {
            let proxied = [
                ("PARLOR_MEDIA_UDP", "false"),
                ("PARLOR_HTTP_PUBLIC_URL", "https://video.example.com"),
            ];
            with_env(&[&proxied, pairs].concat(), true)
        };
        assert_eq!(keys(&load(&[]).unwrap_err()), ["media.udp"]);
        let off = ("PARLOR_MEDIA_TCP", "false");
        let listen = ("PARLOR_MEDIA_TCP_LISTEN", "0.0.0.0:3478");
        assert_eq!(keys(&load(&[off, listen]).unwrap_err()), ["media.udp"]);
        load(&[listen]).unwrap();
        load(&[("PARLOR_HTTP_PUBLIC_URL", "http://10.0.0.1:8080")]).unwrap();
        load(&[
            ("PARLOR_TLS_CERTIFICATE_FILE", "cert.pem"),
            ("PARLOR_TLS_KEY_FILE", "key.pem"),
        ])
        .unwrap();
    }

    #[test]
    fn what_is_shown_can_be_read_again_and_hides_the_password() {
        let url = "postgres://parlor:s3cret@db/parlor";
        let environment = vec![("PARLOR_DATABASE_URL".into(), url.into())];
        let sources = Sources {
            dev: true,
            environment,
            ..Sources::default()
        };
        let (config, shown) = (
            Config::load(&sources).unwrap(),
            Config::show(&sources).unwrap(),
        );
        assert!(!shown.contains("s3cret") && !format!("{config:?}").contains("s3cret"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shown.toml");
        std::fs::write(&file, &shown).unwrap();
        let again = Sources {
            files: vec![file],
            ..Sources::default()
        };
        assert!(
            Config::load(&again)
                .unwrap_err()
                .to_string()
                .contains("public_url")
        );
        let again = Config::load(&Sources { dev: true, ..again }).unwrap();
        assert_eq!((again.http, again.limits), (config.http, config.limits));
    }

    #[test]
    fn a_secret_can_come_from_a_file_but_not_from_both() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("url");
        std::fs::write(&file, "sqlite:elsewhere.sqlite\n").unwrap();
        let path = file.to_str().unwrap();
        let config = with_env(&[("PARLOR_DATABASE_URL_FILE", path)], true).unwrap();
        assert_eq!(
            config.database.url.unwrap().expose(),
            "sqlite:elsewhere.sqlite"
        );
        let both = [
            ("PARLOR_DATABASE_URL_FILE", path),
            ("PARLOR_DATABASE_URL", "sqlite:x"),
        ];
        assert_eq!(keys(&with_env(&both, true).unwrap_err()), ["database.url"]);
    }
}
