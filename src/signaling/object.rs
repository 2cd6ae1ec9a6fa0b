//! The objects clients see: connections, streams, archives, and the state of a session
//! (`protocol/signaling.md`, 6 to 8 and 12).

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::channel::StreamChannel;
use super::json::RawJson;
use super::uri::Route;
use crate::model::id::{ConnectionId, SessionId, StreamId};
use crate::model::role::Role;

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionObject {
    /// Its id.
    pub id: ConnectionId,
    /// When it joined, milliseconds since the Unix epoch.
    #[serde(rename = "creationTime")]
    pub created_at_ms: i64,
    /// Connection data from the token.
    pub data: String,
    /// What it may do; clients see a list of words.
    #[serde(rename = "permissions", serialize_with = "permissions")]
    pub role: Role,
}

fn permissions<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        role.capabilities()
            .iter()
            .map(|capability| capability.word()),
    )
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamObject<'a> {
    /// Its id.
    pub id: StreamId,
    /// The name the publisher gave it.
    pub name: &'a str,
    /// When it was published, milliseconds since the Unix epoch.
    #[serde(rename = "creationTime")]
    pub created_at_ms: i64,
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner<'a>,
    /// Whether the publisher turns its video off when its network is bad.
    #[serde(rename = "publisherAudioFallbackEnabled")]
    pub publisher_audio_fallback: bool,
    /// Whether subscribers' video may be turned off when their network is bad.
    #[serde(rename = "subscriberAudioFallbackEnabled")]
    pub subscriber_audio_fallback: bool,
    /// Whatever the application attached; a JSON object.
    pub custom_properties: &'a RawJson,
    /// Its channels.
    #[serde(rename = "channel")]
    pub channels: &'a [StreamChannel],
    /// The way this announcement is about. Required in adaptive sessions and migrations.
    #[serde(rename = "sourceStreamId", skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
}

/// The owner of a stream, once as an object and once as an id: a client may look for either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a>(pub &'a ConnectionObject);

impl Serialize for Owner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Both<'a> {
            connection: &'a ConnectionObject,
            connection_id: ConnectionId,
        }
        Both {
            connection: self.0,
            connection_id: self.0.id,
        }
        .serialize(serializer)
    }
}

/// An archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveObject<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: &'a str,
    /// `started`, `paused`, `stopped`, …
    pub status: &'a str,
}

/// All there is in a session: what a new connection is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionState<'a> {
    /// The session.
    #[serde(serialize_with = "session_id")]
    pub id: &'a SessionId,
    /// Who is there.
    #[serde(rename = "connection")]
    pub connections: Vec<&'a ConnectionObject>,
    /// What has been announced.
    #[serde(rename = "stream")]
    pub streams: Vec<StreamObject<'a>>,
    /// What is being recorded.
    #[serde(rename = "archive")]
    pub archives: Vec<ArchiveObject<'a>>,
    /// Present if newcomers start muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mute: Option<MuteState>,
}

fn session_id<S: Serializer>(id: &SessionId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.as_str())
}

/// Whether newcomers start muted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MuteState {
    /// Whether they do.
    pub active: bool,
}
