//! Audio Connector: the sound of a session over a websocket (`protocol/rest.md`, 16). What is asked
//! for is checked; connecting itself is not there yet.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde::Deserialize;
use serde_json::Value;

use super::body::Body;
use super::error::ApiError;
use super::target::{Caller, PathId};
use super::values::{Uri, WebSocket, invalid};
use crate::model::id::{SessionId, StreamId};
use crate::model::role::Role;

/// Most bytes of names and values of `websocket.headers` in all (`protocol/rest.md`, 22).
const MAX_HEADERS: usize = 512;

/// Samples per second.
const AUDIO_RATES: [u32; 3] = [8000, 16_000, 24_000];

/// What the operations here answer, until they can do what they are asked.
type Answer = Result<Infallible, ApiError>;

const LATER: Answer = Err(ApiError::Unsupported("Audio Connector"));

/// The body of `POST …/connect`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    session_id: SessionId,
    token: String,
    websocket: Websocket,
}

impl std::fmt::Debug for Start {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "parsed is checked; connecting will read the rest")]
struct Websocket {
    uri: Uri<WebSocket>,
    /// None stands for all.
    #[serde(default)]
    streams: Vec<StreamId>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    audio_rate: Option<u32>,
    #[serde(default)]
    bidirectional: bool,
    /// An object, or with one SDK a text that holds its JSON.
    audio_transport: Option<Value>,
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

/// `POST …/connect`.
pub async fn start(caller: Caller, Body(asked): Body<Start>) -> Answer {
    asked.websocket.check()?;
    caller.media_session(&asked.session_id).await?;
    let speaking = [Role::Publisher, Role::Moderator];
    caller.check_token(&asked.token, &asked.session_id, &speaking)?;
    LATER
}

/// `POST …/connect/{id}/stop`.
pub async fn stop(_: Caller, _: PathId) -> Answer {
    LATER
}
