//! Telephone calls and their tones (`protocol/rest.md`, 14). What is asked for is checked; calling
//! itself is not there yet.

use std::collections::BTreeMap;
use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::body::{Asked, Body};
use super::error::ApiError;
use super::later::Answer;
use super::start::{Start, Starts};
use super::target::Target;
use super::values::{Sip, Uri, invalid};
use crate::model::id::{ConnectionId, SessionId, StreamId};
use crate::model::role::Role;

const LATER: ApiError = ApiError::Unsupported("SIP");

/// The body of `POST …/dial`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Dial", example = json!({"sessionId": "2_MX40NzY2NTk3MX5-MTczOTUzODg5NDk1OX5ROW1jWEcxUXJOM1RJWXU4eStwcHgvZ3N-fn4", "token": "eyJhbGciOiJIUzI1NiJ9.eyJzY29wZSI6InNlc3Npb24uY29ubmVjdCJ9.c2lnbmVk", "sip": {"uri": "sip:ana@example.com;transport=tls", "headers": {"X-Reason": "support"}}}))]
pub struct Dial {
    /// The session that the call takes part in.
    pub session_id: SessionId,
    /// A client token for it, of somebody who may publish and subscribe.
    pub token: String,
    /// Whom to call, and how.
    pub sip: Callee,
}

impl fmt::Debug for Dial {
    /// Without token and credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

/// Whom to call, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Callee {
    /// Whom. With `;transport=tls` the signaling is encrypted.
    pub uri: Uri<Sip>,
    /// Who calls: `number-or-name@domain`.
    pub from: Option<String>,
    /// Sent along with the INVITE. Names begin with `X-`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// For servers that ask who calls.
    pub auth: Option<Credentials>,
    /// Encrypt the media.
    #[serde(default)]
    pub secure: bool,
    /// Send and receive pictures.
    #[serde(default)]
    pub video: bool,
    /// Be silent when everybody is muted.
    #[serde(default)]
    pub observe_force_mute: bool,
    /// The streams that the callee hears; none stands for all.
    #[serde(default)]
    pub streams: Vec<StreamId>,
}

impl fmt::Debug for Callee {
    /// Without credentials, which headers may hold, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callee").finish_non_exhaustive()
    }
}

/// Digest credentials.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SipCredentials")]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
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

impl Asked for Dial {
    fn check(&self) -> Result<(), ApiError> {
        self.sip.check()
    }
}

/// A call. It may not have been answered yet.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SipCall")]
pub struct Item {
    /// Its id.
    pub id: Uuid,
    /// The project's key: a text, unlike elsewhere.
    pub project_id: String,
    /// The session.
    pub session_id: SessionId,
    /// Its connection, by which it is ended.
    pub connection_id: ConnectionId,
    /// The stream that the callee publishes.
    pub stream_id: StreamId,
    /// When it began, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// When it changed last.
    pub updated_at: i64,
}

impl Starts for Dial {
    fn session_id(&self) -> &SessionId {
        &self.session_id
    }
}

/// `POST …/dial`.
pub async fn dial(start: Start<Dial>) -> Answer<Json<Item>> {
    let speaking = [Role::Publisher, Role::Moderator];
    start.check_token(&start.asked.token, &speaking)?;
    Err(LATER)
}

/// The body of `POST …/play-dtmf`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(example = json!({"digits": "1p23#"}))]
pub struct Tones {
    /// `0` to `9`, `*` and `#`; `p` waits for half a second.
    #[schemars(regex(pattern = "^[0-9*#p]+$"))]
    pub digits: String,
}

impl Asked for Tones {
    const REFUSALS: &'static [ApiError] = &[ApiError::InvalidDigits, ApiError::NobodyConnected];

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
pub async fn dtmf_to_all(target: Target, _: Body<Tones>) -> Answer<StatusCode> {
    let connections = target.caller.connections(&target.session).await?;
    if connections.is_empty() {
        return Err(ApiError::NobodyConnected);
    }
    Err(LATER)
}

/// `POST …/session/{session}/connection/{connection}/play-dtmf`.
pub async fn dtmf_to_one(
    target: Target,
    connection: ConnectionId,
    _: Body<Tones>,
) -> Answer<StatusCode> {
    let connections = target.caller.connections(&target.session).await?;
    if !connections.iter().any(|known| known.id == connection) {
        return Err(ApiError::Missing("connection"));
    }
    Err(LATER)
}
