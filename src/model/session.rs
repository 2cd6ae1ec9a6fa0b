//! Sessions: how media travels, what is archived, and the rules between them.

use std::net::Ipv4Addr;

use super::codec::VideoCodecs;
use super::id::{ProjectId, SessionId};
use super::project::Project;
use crate::entropy::Entropy;

/// Longest `archiveName` in characters (`protocol/rest.md`, 7.1).
const MAX_ARCHIVE_NAME: usize = 80;

/// Most connections that a session or a project may allow itself; the server's own limit counts
/// too. Ours.
pub const MAX_CONNECTIONS: u32 = 100_000;

/// What `archiveResolution` may be (`protocol/rest.md`, 7.1); the first is the default.
const ARCHIVE_RESOLUTIONS: [&str; 6] = [
    "640x480",
    "480x640",
    "1280x720",
    "720x1280",
    "1920x1080",
    "1080x1920",
];

/// How media travels in a session (`p2p.preference`, `protocol/rest.md`, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaMode {
    /// Through this server (`disabled`).
    #[default]
    Routed,
    /// From browser to browser (`enabled`).
    Relayed,
    /// Routed, or browser to browser while only two take part (`adaptive`).
    Adaptive,
}

/// Whether a session is archived without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArchiveMode {
    /// Only when a REST call starts it.
    #[default]
    Manual,
    /// From the first published stream on.
    Always,
}

/// A session as it was created and is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, as given to the application.
    pub id: SessionId,
    /// Whose it is.
    pub project: ProjectId,
    /// How media travels.
    pub media_mode: MediaMode,
    /// Whether it is archived by itself.
    pub archive_mode: ArchiveMode,
    /// Name of the automatic archive.
    pub archive_name: Option<String>,
    /// Resolution of the automatic archive, such as `1280x720`.
    pub archive_resolution: Option<String>,
    /// IPv4 address that hints at where the session should live.
    pub location: Option<String>,
    /// Whether clients encrypt media end to end.
    pub e2ee: bool,
    /// Most connections at a time, if the application has set a limit.
    pub max_connections: Option<u32>,
    /// Which video codecs it may use, if the application has said so.
    pub video_codecs: Option<VideoCodecs>,
    /// Creation time, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

impl Session {
    /// A new session of this project.
    pub fn create(
        project: ProjectId,
        options: SessionOptions,
        created_at_ms: i64,
        entropy: &mut Entropy,
    ) -> Self {
        let relayed = options.media_mode == MediaMode::Relayed;
        Self {
            id: SessionId::issue(project, options.location, created_at_ms, relayed, entropy),
            project,
            media_mode: options.media_mode,
            archive_mode: options.archive_mode,
            archive_name: options.archive_name,
            archive_resolution: options.archive_resolution,
            location: options.location.map(|address| address.to_string()),
            e2ee: options.e2ee,
            max_connections: options.max_connections,
            video_codecs: options.video_codecs,
            created_at_ms,
        }
    }

    /// Most connections at a time, by what it and its project say: the smaller of both.
    pub fn connection_limit(&self, project: &Project) -> Option<u32> {
        let limits = [self.max_connections, project.max_connections];
        limits.into_iter().flatten().min()
    }

    /// The video codecs to use, by what it or else its project says.
    pub fn video_codecs<'a>(&'a self, project: &'a Project) -> Option<&'a VideoCodecs> {
        self.video_codecs.as_ref().or(project.video_codecs.as_ref())
    }
}

impl MediaMode {
    /// The word in `p2p.preference`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Routed => "disabled",
            Self::Relayed => "enabled",
            Self::Adaptive => "adaptive",
        }
    }

    /// The mode with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Routed, Self::Relayed, Self::Adaptive];
        all.into_iter().find(|mode| mode.word() == word)
    }
}

impl ArchiveMode {
    /// The word in `archiveMode`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Always => "always",
        }
    }

    /// The mode with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Manual, Self::Always];
        all.into_iter().find(|mode| mode.word() == word)
    }
}

/// What an application asked for, as text; `None` is what it left out or left empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionRequest<'a> {
    /// `p2p.preference`.
    pub p2p_preference: Option<&'a str>,
    /// `archiveMode`.
    pub archive_mode: Option<&'a str>,
    /// `archiveName`.
    pub archive_name: Option<&'a str>,
    /// `archiveResolution`.
    pub archive_resolution: Option<&'a str>,
    /// `location`.
    pub location: Option<&'a str>,
    /// `e2ee`.
    pub e2ee: Option<&'a str>,
    /// `maxConnections`, our own.
    pub max_connections: Option<&'a str>,
    /// `videoCodecs`, our own.
    pub video_codecs: Option<&'a str>,
}

/// What a session is to be like; only combinations that make sense exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionOptions {
    media_mode: MediaMode,
    archive_mode: ArchiveMode,
    archive_name: Option<String>,
    archive_resolution: Option<String>,
    location: Option<Ipv4Addr>,
    e2ee: bool,
    max_connections: Option<u32>,
    video_codecs: Option<VideoCodecs>,
}

/// What is wrong with a [`SessionRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// No such media mode.
    #[error("p2p.preference must be enabled, disabled or adaptive")]
    MediaMode,
    /// No such archive mode.
    #[error("archiveMode must be manual or always")]
    ArchiveMode,
    /// What does not pass through the server cannot be archived there.
    #[error("archiveMode always needs p2p.preference disabled")]
    ArchiveNeedsRouted,
    /// A name or resolution for an archive that is not going to be.
    #[error("archiveName and archiveResolution need archiveMode always")]
    ArchiveNeedsAlways,
    /// Too long.
    #[error("archiveName must have at most 80 characters")]
    ArchiveName,
    /// Not one of six.
    #[error(
        "archiveResolution must be 640x480, 480x640, 1280x720, 720x1280, 1920x1080 or 1080x1920"
    )]
    ArchiveResolution,
    /// Not an address.
    #[error("location must be an IPv4 address")]
    Location,
    /// Neither true nor false.
    #[error("e2ee must be true or false")]
    E2ee,
    /// Not a number of connections.
    #[error("maxConnections must be a number from 1 to 100000")]
    MaxConnections,
    /// Not a list of codecs.
    #[error("videoCodecs must list some of vp8, vp9, h264 and av1, each at most once")]
    VideoCodecs,
    /// What is encrypted end to end can be neither relayed, adapted nor archived.
    #[error("e2ee needs p2p.preference disabled and archiveMode manual")]
    E2eeNeedsRouted,
}

impl SessionOptions {
    /// Applies defaults and rules (`protocol/rest.md`, 7.1).
    pub fn parse(request: SessionRequest<'_>) -> Result<Self, SessionError> {
        let media_mode = parsed(request.p2p_preference, MediaMode::from_word);
        let archive_mode = parsed(request.archive_mode, ArchiveMode::from_word);
        let resolution = parsed(request.archive_resolution, |text| {
            ARCHIVE_RESOLUTIONS
                .into_iter()
                .find(|known| *known == text)
                .map(Some)
        });
        let location = parsed(request.location, |text| text.parse().ok().map(Some));
        let e2ee = parsed(request.e2ee, |text| text.to_ascii_lowercase().parse().ok());
        let max_connections = parsed(request.max_connections, |text| {
            parse_max_connections(text).map(Some)
        });
        let video_codecs = parsed(request.video_codecs, |text| text.parse().ok().map(Some));
        let options = Self {
            media_mode: media_mode.ok_or(SessionError::MediaMode)?,
            archive_mode: archive_mode.ok_or(SessionError::ArchiveMode)?,
            archive_name: request.archive_name.map(str::to_owned),
            archive_resolution: resolution
                .ok_or(SessionError::ArchiveResolution)?
                .map(str::to_owned),
            location: location.ok_or(SessionError::Location)?,
            e2ee: e2ee.ok_or(SessionError::E2ee)?,
            max_connections: max_connections.ok_or(SessionError::MaxConnections)?,
            video_codecs: video_codecs.ok_or(SessionError::VideoCodecs)?,
        };
        options.checked()
    }

    /// The rules between the options.
    fn checked(mut self) -> Result<Self, SessionError> {
        let routed = self.media_mode == MediaMode::Routed;
        let always = self.archive_mode == ArchiveMode::Always;
        let described = self.archive_name.is_some() || self.archive_resolution.is_some();
        let name_len = self
            .archive_name
            .as_deref()
            .map_or(0, |name| name.chars().count());
        if always && !routed {
            return Err(SessionError::ArchiveNeedsRouted);
        }
        if described && !always {
            return Err(SessionError::ArchiveNeedsAlways);
        }
        if name_len > MAX_ARCHIVE_NAME {
            return Err(SessionError::ArchiveName);
        }
        if self.e2ee && (always || !routed) {
            return Err(SessionError::E2eeNeedsRouted);
        }
        if always && self.archive_resolution.is_none() {
            self.archive_resolution = Some(ARCHIVE_RESOLUTIONS[0].to_owned());
        }
        Ok(self)
    }
}

/// A limit for connections as text, from 1 to [`MAX_CONNECTIONS`].
pub fn parse_max_connections(text: &str) -> Option<u32> {
    let number = text.parse().ok()?;
    (1..=MAX_CONNECTIONS).contains(&number).then_some(number)
}

/// The default when nothing was given, `None` when it is nothing we know.
fn parsed<T: Default>(text: Option<&str>, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    text.map_or_else(|| Some(T::default()), parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_for_is_a_routed_session_archived_by_hand() {
        let options = SessionOptions::parse(SessionRequest::default()).unwrap();
        assert_eq!(options, SessionOptions::default());
        let key = ProjectId::new(47_665_971).unwrap();
        let session = Session::create(key, options, 1000, &mut Entropy::from_seed(1));
        assert_eq!(session.media_mode, MediaMode::Routed);
        assert_eq!(session.archive_mode, ArchiveMode::Manual);
        assert_eq!(session.archive_resolution, None);
        assert!(!session.e2ee);
        assert_eq!((session.project, session.created_at_ms), (key, 1000));
    }

    #[test]
    fn an_automatic_archive_needs_a_routed_session() {
        let always = |p2p| SessionRequest {
            p2p_preference: p2p,
            archive_mode: Some("always"),
            ..SessionRequest::default()
        };
        let archived = SessionOptions::parse(always(Some("disabled"))).unwrap();
        assert_eq!(archived.archive_resolution.as_deref(), Some("640x480"));
        assert!(SessionOptions::parse(always(None)).is_ok());
        for p2p in ["enabled", "adaptive"] {
            let error = SessionOptions::parse(always(Some(p2p))).unwrap_err();
            assert_eq!(error, SessionError::ArchiveNeedsRouted, "{p2p}");
        }
    }

    #[test]
    fn an_archive_is_described_only_if_it_is_automatic() {
        let check = |mode, name, resolution, expected| {
            let request = SessionRequest {
                archive_mode: mode,
                archive_name: name,
                archive_resolution: resolution,
                ..SessionRequest::default()
            };
            assert_eq!(
                SessionOptions::parse(request).err(),
                expected,
                "{request:?}"
            );
        };
        let (fits, long) = ("é".repeat(80), "é".repeat(81));
        check(Some("always"), Some(&fits), Some("1080x1920"), None);
        check(
            Some("always"),
            Some(&long),
            None,
            Some(SessionError::ArchiveName),
        );
        check(
            Some("always"),
            None,
            Some("640x481"),
            Some(SessionError::ArchiveResolution),
        );
        check(
            None,
            Some("lesson"),
            None,
            Some(SessionError::ArchiveNeedsAlways),
        );
        check(
            Some("manual"),
            None,
            Some("640x480"),
            Some(SessionError::ArchiveNeedsAlways),
        );
        check(Some("Always"), None, None, Some(SessionError::ArchiveMode));
    }

    #[test]
    fn a_location_is_an_ipv4_address() {
        let check = |location, valid: bool| {
            let request = SessionRequest {
                location: Some(location),
                ..SessionRequest::default()
            };
            assert_eq!(SessionOptions::parse(request).is_ok(), valid, "{location}");
        };
        check("12.34.56.78", true);
        check("256.0.0.1", false);
        check("12.34.56", false);
        check("::1", false);
        check("12.34.56.78 ", false);
        check("example.org", false);
    }

    #[test]
    fn a_limit_for_connections_is_a_number_in_range() {
        let check = |text, expected: Result<u32, SessionError>| {
            let request = SessionRequest {
                max_connections: Some(text),
                ..SessionRequest::default()
            };
            let parsed = SessionOptions::parse(request).map(|options| options.max_connections);
            assert_eq!(parsed, expected.map(Some), "{text}");
        };
        let refused = Err(SessionError::MaxConnections);
        check("1", Ok(1));
        check("100000", Ok(100_000));
        check("0", refused);
        check("-1", refused);
        check("100001", refused);
        check("99999999999999999999", refused);
        check("2.5", refused);
        check("[2]", refused);
        check("two", refused);
    }

    #[test]
    fn the_smaller_limit_of_a_session_and_its_project_counts() {
        let mut entropy = Entropy::from_seed(1);
        let mut project = Project::generate("shop", 0, &mut entropy);
        let options = SessionOptions::default();
        let mut session = Session::create(project.id, options, 0, &mut entropy);
        let mut check = |of_session, of_project, expected| {
            session.max_connections = of_session;
            project.max_connections = of_project;
            assert_eq!(session.connection_limit(&project), expected);
        };
        check(None, None, None);
        check(Some(2), None, Some(2));
        check(None, Some(3), Some(3));
        check(Some(2), Some(3), Some(2));
        check(Some(4), Some(3), Some(3));
    }

    #[test]
    fn a_session_has_the_codecs_of_its_project_unless_it_names_its_own() {
        let mut entropy = Entropy::from_seed(1);
        let mut project = Project::generate("shop", 0, &mut entropy);
        let options = SessionOptions::default();
        let mut session = Session::create(project.id, options, 0, &mut entropy);
        assert_eq!(session.video_codecs(&project), None);
        project.video_codecs = "h264".parse().ok();
        assert_eq!(
            session.video_codecs(&project),
            project.video_codecs.as_ref()
        );
        session.video_codecs = "vp9,vp8".parse().ok();
        assert_eq!(
            session.video_codecs(&project),
            session.video_codecs.as_ref()
        );
    }

    #[test]
    fn end_to_end_encryption_needs_a_routed_session_without_automatic_archive() {
        let check = |e2ee, p2p, archive, expected| {
            let request = SessionRequest {
                e2ee: Some(e2ee),
                p2p_preference: p2p,
                archive_mode: archive,
                ..SessionRequest::default()
            };
            assert_eq!(
                SessionOptions::parse(request).err(),
                expected,
                "{request:?}"
            );
        };
        check("true", None, None, None);
        check("True", Some("disabled"), Some("manual"), None);
        check("False", Some("enabled"), None, None);
        check(
            "true",
            Some("enabled"),
            None,
            Some(SessionError::E2eeNeedsRouted),
        );
        check(
            "true",
            None,
            Some("always"),
            Some(SessionError::E2eeNeedsRouted),
        );
        check("yes", None, None, Some(SessionError::E2ee));
    }
}
