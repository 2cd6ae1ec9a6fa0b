//! Recordings, as the clients of a session hear of them (`protocol/signaling.md`, 12.1). What is
//! recorded, and how, is decided elsewhere.

use uuid::Uuid;

use super::Hub;
use super::effect::SessionKey;
use super::session::Session;
use super::tell::Audience;
use crate::signaling::object::ArchiveObject;
use crate::signaling::server::ServerEvent;

/// One recording of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its id.
    pub id: Uuid,
    /// The name a back end gave it; may be empty.
    pub name: String,
    /// How far it is.
    pub status: ArchiveStatus,
}

/// How far a recording is, as clients learn it (`protocol/rest.md`, archives).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveStatus {
    /// It runs.
    Started,
    /// It waits for somebody to publish.
    Paused,
    /// It has ended; its file is being made.
    Stopped,
    /// It has ended, and there will be no file.
    Failed,
}

impl ArchiveStatus {
    /// The documented word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Whether newcomers have to be told of it.
    fn is_current(self) -> bool {
        matches!(self, Self::Started | Self::Paused)
    }
}

impl Archive {
    /// As clients see it.
    pub(super) fn object(&self) -> ArchiveObject<'_> {
        ArchiveObject {
            id: self.id,
            name: &self.name,
            status: self.status.word(),
        }
    }
}

impl Hub {
    /// Tells everybody that a recording has started, or that its status has changed. Saying the
    /// same again tells nobody anything; neither does the end of one that is not known.
    pub(super) fn set_archive(&mut self, key: SessionKey, archive: Archive) {
        let event = match self.session_mut(key).replace_archive(archive.clone()) {
            Some(before) if before.status == archive.status => return,
            Some(_) => ServerEvent::ArchiveUpdated {
                archive: archive.id,
                status: archive.status.word(),
            },
            None if archive.status.is_current() => {
                self.tell(
                    key,
                    Audience::All,
                    &ServerEvent::ArchiveCreated(&archive.object()),
                );
                return;
            }
            None => return,
        };
        self.tell(key, Audience::All, &event);
    }
}

impl Session {
    /// Keeps a recording for as long as newcomers have to know of it; gives back what was known.
    fn replace_archive(&mut self, archive: Archive) -> Option<Archive> {
        let known = self.archives.iter().position(|a| a.id == archive.id);
        match (known, archive.status.is_current()) {
            (Some(at), true) => Some(std::mem::replace(&mut self.archives[at], archive)),
            (Some(at), false) => Some(self.archives.remove(at)),
            (None, true) => {
                self.archives.push(archive);
                None
            }
            (None, false) => None,
        }
    }
}
