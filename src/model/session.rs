//! Sessions: how media travels, what is archived, and the rules between them.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::codec::VideoCodecs;
use super::id::{ProjectId, SessionId};
use super::project::Project;
use super::resolution::Resolution;
use crate::entropy::Entropy;

/// Longest `archiveName` in characters (`protocol/rest.md`, 7.1).
const MAX_ARCHIVE_NAME: usize = 80;

/// Most connections that a session or a project may allow itself; the server's own limit counts
/// too. Ours.
pub const MAX_CONNECTIONS: u32 = 100_000;

/// How media travels in a session (`p2p.preference`, `protocol/rest.md`, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum MediaMode {
    /// Through this server (`disabled`).
    #[default]
    #[serde(rename = "disabled")]
    Routed,
    /// From browser to browser (`enabled`).
    #[serde(rename = "enabled")]
    Relayed,
    /// Routed, or browser to browser while only two take part (`adaptive`).
    #[serde(rename = "adaptive")]
    Adaptive,
}

/// Whether a session is archived without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
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
    /// How large the pictures of the automatic archive are.
    pub archive_resolution: Option<Resolution>,
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
        let SessionOptions(asked) = options;
        let relayed = asked.media_mode == MediaMode::Relayed;
        Self {
            id: SessionId::issue(project, asked.location, created_at_ms, relayed, entropy),
            project,
            media_mode: asked.media_mode,
            archive_mode: asked.archive_mode,
            archive_name: asked.archive_name,
            archive_resolution: asked.archive_resolution,
            location: asked.location.map(|address| address.to_string()),
            e2ee: asked.e2ee,
            max_connections: asked.max_connections,
            video_codecs: asked.video_codecs,
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

    /// How such a session is run; `adaptive` says whether any is run as adaptive.
    pub fn in_effect(self, adaptive: bool) -> Self {
        match self {
            Self::Adaptive if !adaptive => Self::Routed,
            mode => mode,
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

/// What an application asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRequest {
    /// `p2p.preference`.
    pub media_mode: MediaMode,
    /// `archiveMode`.
    pub archive_mode: ArchiveMode,
    /// `archiveName`.
    pub archive_name: Option<String>,
    /// `archiveResolution`.
    pub archive_resolution: Option<Resolution>,
    /// `location`.
    pub location: Option<Ipv4Addr>,
    /// `e2ee`.
    pub e2ee: bool,
    /// `maxConnections`, our own.
    pub max_connections: Option<u32>,
    /// `videoCodecs`, our own.
    pub video_codecs: Option<VideoCodecs>,
}

/// What a session is to be like; only combinations that make sense exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionOptions(SessionRequest);

/// What is wrong with a [`SessionRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// What does not pass through the server cannot be archived there.
    #[error("archiveMode always needs p2p.preference disabled")]
    ArchiveNeedsRouted,
    /// A name or resolution for an archive that is not going to be.
    #[error("archiveName and archiveResolution need archiveMode always")]
    ArchiveNeedsAlways,
    /// Too long.
    #[error("archiveName must have at most 80 characters")]
    ArchiveName,
    /// What is encrypted end to end can be neither relayed, adapted nor archived.
    #[error("e2ee needs p2p.preference disabled and archiveMode manual")]
    E2eeNeedsRouted,
}

impl TryFrom<SessionRequest> for SessionOptions {
    type Error = SessionError;

    /// Applies the rules between what was asked for (`protocol/rest.md`, 7.1).
    fn try_from(mut asked: SessionRequest) -> Result<Self, SessionError> {
        let routed = asked.media_mode == MediaMode::Routed;
        let always = asked.archive_mode == ArchiveMode::Always;
        let described = asked.archive_name.is_some() || asked.archive_resolution.is_some();
        let name_len = asked
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
        if asked.e2ee && (always || !routed) {
            return Err(SessionError::E2eeNeedsRouted);
        }
        if always {
            asked.archive_resolution.get_or_insert_default();
        }
        Ok(Self(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_for_is_a_routed_session_archived_by_hand() {
        let options = SessionOptions::try_from(SessionRequest::default()).unwrap();
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
    fn an_adaptive_session_is_routed_where_there_are_none() {
        let run = |mode: MediaMode| [true, false].map(|adaptive| mode.in_effect(adaptive).word());
        assert_eq!(run(MediaMode::Relayed), ["enabled", "enabled"]);
        assert_eq!(run(MediaMode::Routed), ["disabled", "disabled"]);
        assert_eq!(run(MediaMode::Adaptive), ["adaptive", "disabled"]);
    }

    fn refused(request: &SessionRequest) -> Option<SessionError> {
        SessionOptions::try_from(request.clone()).err()
    }

    #[test]
    fn an_automatic_archive_needs_a_routed_session() {
        let always = |media_mode| SessionRequest {
            media_mode,
            archive_mode: ArchiveMode::Always,
            ..SessionRequest::default()
        };
        let SessionOptions(archived) = always(MediaMode::Routed).try_into().unwrap();
        assert_eq!(archived.archive_resolution, Some(Resolution::SdLandscape));
        for mode in [MediaMode::Relayed, MediaMode::Adaptive] {
            let expected = Some(SessionError::ArchiveNeedsRouted);
            assert_eq!(refused(&always(mode)), expected, "{mode:?}");
        }
    }

    #[test]
    fn an_archive_is_described_only_if_it_is_automatic() {
        let check = |archive_mode, name: Option<&str>, archive_resolution, expected| {
            let request = SessionRequest {
                archive_mode,
                archive_name: name.map(str::to_owned),
                archive_resolution,
                ..SessionRequest::default()
            };
            assert_eq!(refused(&request), expected, "{request:?}");
        };
        let (always, manual) = (ArchiveMode::Always, ArchiveMode::Manual);
        let (fits, long) = ("é".repeat(80), "é".repeat(81));
        let portrait = Some(Resolution::FhdPortrait);
        let needs_always = Some(SessionError::ArchiveNeedsAlways);
        check(always, Some(&fits), portrait, None);
        check(always, Some(&long), None, Some(SessionError::ArchiveName));
        check(manual, Some("lesson"), None, needs_always);
        check(manual, None, portrait, needs_always);
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
        let check = |e2ee, media_mode, archive_mode, expected| {
            let request = SessionRequest {
                e2ee,
                media_mode,
                archive_mode,
                ..SessionRequest::default()
            };
            assert_eq!(refused(&request), expected, "{request:?}");
        };
        let (routed, relayed) = (MediaMode::Routed, MediaMode::Relayed);
        let (always, manual) = (ArchiveMode::Always, ArchiveMode::Manual);
        let needs_routed = Some(SessionError::E2eeNeedsRouted);
        check(true, routed, manual, None);
        check(false, relayed, manual, None);
        check(true, relayed, manual, needs_routed);
        check(true, routed, always, needs_routed);
    }
}
