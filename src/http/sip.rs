//! Telephone calls and their tones (`protocol/rest.md`, 14). What is asked for is checked; calling
//! itself is not there yet.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde::Deserialize;

use super::body::Body;
use super::error::ApiError;
use super::target::{Caller, Target};
use super::values::{Sip, Uri, invalid};
use crate::model::id::{ConnectionId, SessionId, StreamId};
use crate::model::role::Role;

/// What the operations here answer, until they can do what they are asked.
type Answer = Result<Infallible, ApiError>;

const LATER: Answer = Err(ApiError::Unsupported("SIP"));

/// The body of `POST …/dial`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dial {
    session_id: SessionId,
    token: String,
    sip: Callee,
}

impl std::fmt::Debug for Dial {
    /// Without token and credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "parsed is checked; calling will read the rest")]
struct Callee {
    uri: Uri<Sip>,
    from: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    auth: Option<Credentials>,
    #[serde(default)]
    secure: bool,
    #[serde(default)]
    video: bool,
    #[serde(default)]
    observe_force_mute: bool,
    #[serde(default)]
    streams: Vec<StreamId>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "parsed is checked; calling will read it")]
struct Credentials {
    username: String,
    password: String,
}

impl Callee {
    /// Headers are the application's own, and stay on their line.
    fn check(&self) -> Result<(), ApiError> {
        let is_name = |name: &str| {
            let begins = name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-"));
            begins && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if !self.headers.keys().all(|name| is_name(name)) {
            return Err(invalid("the names of sip.headers must begin with X-"));
        }
        let mut texts = self.headers.values().chain(&self.from);
        if texts.any(|text| text.chars().any(char::is_control)) {
            return Err(invalid("sip.headers and sip.from must be on one line"));
        }
        Ok(())
    }
}

/// `POST …/dial`.
pub async fn dial(caller: Caller, Body(asked): Body<Dial>) -> Answer {
    asked.sip.check()?;
    caller.media_session(&asked.session_id).await?;
    let speaking = [Role::Publisher, Role::Moderator];
    caller.check_token(&asked.token, &asked.session_id, &speaking)?;
    LATER
}

/// The body of `POST …/play-dtmf`.
#[derive(Debug, Deserialize)]
pub struct Tones {
    digits: String,
}

impl Tones {
    fn check(&self) -> Result<(), ApiError> {
        let is_tone = |c: char| c.is_ascii_digit() || "*#p".contains(c);
        if !self.digits.is_empty() && self.digits.chars().all(is_tone) {
            Ok(())
        } else {
            Err(ApiError::InvalidDigits)
        }
    }
}

/// `POST …/session/{session}/play-dtmf`.
pub async fn dtmf_to_all(target: Target, Body(tones): Body<Tones>) -> Answer {
    tones.check()?;
    let connections = target.caller.connections(&target.session).await?;
    if connections.is_empty() {
        return Err(ApiError::NobodyConnected);
    }
    LATER
}

/// `POST …/session/{session}/connection/{connection}/play-dtmf`.
pub async fn dtmf_to_one(
    target: Target,
    connection: ConnectionId,
    Body(tones): Body<Tones>,
) -> Answer {
    tones.check()?;
    let connections = target.caller.connections(&target.session).await?;
    if !connections.iter().any(|known| known.id == connection) {
        return Err(ApiError::Missing("connection"));
    }
    LATER
}
