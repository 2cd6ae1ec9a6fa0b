//! Audio Connector: the sound of a session over a websocket (`protocol/rest.md`, 16). What is asked
//! for is checked; connecting itself is not there yet.

use std::collections::BTreeMap;
use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::Asked;
use super::error::ApiError;
use super::later::Answer;
use super::start::{Start, Starts};
use super::target::{Caller, PathId};
use super::values::{Uri, WebSocket, invalid};
use crate::model::id::{ConnectionId, SessionId, StreamId};
use crate::model::role::Role;

/// Most bytes of names and values of `websocket.headers` in all (`protocol/rest.md`, 22).
const MAX_HEADERS: usize = 512;

/// Samples per second.
const AUDIO_RATES: [u32; 3] = [8000, 16_000, 24_000];

const LATER: ApiError = ApiError::Unsupported("Audio Connector");

/// The body of `POST …/connect`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AudioConnectorStart", example = json!({"sessionId": "2_MX40NzY2NTk3MX5-MTczOTUzODg5NDk1OX5ROW1jWEcxUXJOM1RJWXU4eStwcHgvZ3N-fn4", "token": "eyJhbGciOiJIUzI1NiJ9.eyJzY29wZSI6InNlc3Npb24uY29ubmVjdCJ9.c2lnbmVk", "websocket": {"uri": "wss://example.com/sound", "audioRate": 16000}}))]
pub struct Connect {
    /// The session to listen to.
    pub session_id: SessionId,
    /// A client token for it, of somebody who may publish and subscribe.
    pub token: String,
    /// Where the sound goes, and how.
    pub websocket: Websocket,
}

impl fmt::Debug for Connect {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").finish_non_exhaustive()
    }
}

/// Where the sound of a session goes.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AudioConnectorWebsocket")]
pub struct Websocket {
    /// The application's own server.
    pub uri: Uri<WebSocket>,
    /// The streams to mix; none stands for all.
    #[serde(default)]
    pub streams: Vec<StreamId>,
    /// Sent along when the websocket is opened; at most 512 bytes in all.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Samples per second.
    #[schemars(extend("enum" = [8000, 16_000, 24_000, null]))]
    pub audio_rate: Option<u32>,
    /// Publish what comes back.
    #[serde(default)]
    pub bidirectional: bool,
    /// An object, or with one SDK a text that holds its JSON.
    pub audio_transport: Option<Value>,
}

impl fmt::Debug for Websocket {
    /// Without headers, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Websocket").finish_non_exhaustive()
    }
}

impl Websocket {
    fn check(&self) -> Result<(), ApiError> {
        let size = |(name, value): (&String, &String)| name.len() + value.len();
        if self.headers.iter().map(size).sum::<usize>() > MAX_HEADERS {
            return Err(invalid("websocket.headers must have at most 512 bytes"));
        }
        if self
            .audio_rate
            .is_some_and(|rate| !AUDIO_RATES.contains(&rate))
        {
            return Err(invalid("websocket.audioRate must be 8000, 16000 or 24000"));
        }
        let transport = match &self.audio_transport {
            Some(Value::String(text)) => serde_json::from_str(text).ok(),
            other => Some(other.clone().unwrap_or(Value::Null)),
        };
        match transport {
            Some(Value::Null | Value::Object(_)) => Ok(()),
            _ => Err(invalid("websocket.audioTransport must be an object")),
        }
    }
}

/// A session's sound on its way to a websocket.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AudioConnector")]
pub struct Item {
    /// Its id.
    pub id: Uuid,
    /// Its connection, by which it is ended.
    pub connection_id: ConnectionId,
}

impl Asked for Connect {
    fn check(&self) -> Result<(), ApiError> {
        self.websocket.check()
    }
}

impl Starts for Connect {
    fn session_id(&self) -> &SessionId {
        &self.session_id
    }
}

/// `POST …/connect`.
pub async fn start(start: Start<Connect>) -> Answer<Json<Item>> {
    let speaking = [Role::Publisher, Role::Moderator];
    start.check_token(&start.asked.token, &speaking)?;
    Err(LATER)
}

/// `POST …/connect/{id}/stop`.
pub async fn stop(_: Caller, _: PathId) -> Answer<StatusCode> {
    Err(LATER)
}
