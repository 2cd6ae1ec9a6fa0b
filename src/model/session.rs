//! Sessions: how media travels, what is archived, and the rules between them.

use super::id::{ProjectId, SessionId};

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
    /// Creation time, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}
