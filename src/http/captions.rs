//! Live captions (`protocol/rest.md`, 17). What is asked for is checked; transcribing itself is not
//! there yet.

use std::fmt;

use axum::Json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::body::Asked;
use super::error::ApiError;
use super::later::{Accepted, Answer};
use super::start::{Start, Starts};
use super::target::{Caller, PathId};
use super::values::{Uri, Web, Within, yes};
use crate::model::id::SessionId;
use crate::model::role::Role;

const LATER: ApiError = ApiError::Unsupported("Captioning");

/// The body of `POST …/captions`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CaptionsStart", example = json!({"sessionId": "2_MX40NzY2NTk3MX5-MTczOTUzODg5NDk1OX5ROW1jWEcxUXJOM1RJWXU4eStwcHgvZ3N-fn4", "token": "eyJhbGciOiJIUzI1NiJ9.eyJzY29wZSI6InNlc3Npb24uY29ubmVjdCJ9.c2lnbmVk", "languageCode": "en-GB"}))]
pub struct Captions {
    /// The session to listen to.
    pub session_id: SessionId,
    /// A client token for it, of a moderator.
    pub token: String,
    /// What is spoken.
    #[serde(default)]
    pub language_code: Language,
    /// When it ends by itself, in seconds.
    pub max_duration: Option<Within<300, 14_400>>,
    /// Send sentences that may still change.
    #[serde(default = "yes")]
    pub partial_captions: bool,
    /// Whom to tell how it goes.
    pub status_callback_url: Option<Uri<Web>>,
}

impl fmt::Debug for Captions {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captions").finish_non_exhaustive()
    }
}

/// What is spoken, as in BCP 47.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum Language {
    #[default]
    #[serde(rename = "en-US")]
    EnUs,
    #[serde(rename = "en-AU")]
    EnAu,
    #[serde(rename = "en-GB")]
    EnGb,
    #[serde(rename = "zh-CN")]
    ZhCn,
    #[serde(rename = "fr-FR")]
    FrFr,
    #[serde(rename = "fr-CA")]
    FrCa,
    #[serde(rename = "de-DE")]
    DeDe,
    #[serde(rename = "hi-IN")]
    HiIn,
    #[serde(rename = "it-IT")]
    ItIt,
    #[serde(rename = "ja-JP")]
    JaJp,
    #[serde(rename = "ko-KR")]
    KoKr,
    #[serde(rename = "pt-BR")]
    PtBr,
    #[serde(rename = "th-TH")]
    ThTh,
}

/// Captions that have been started.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CaptionsStarted")]
pub struct Started {
    /// Their id.
    pub captions_id: Uuid,
}

/// How captions are (`protocol/rest.md`, 19.6). Times are in seconds.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Captions")]
pub struct Item {
    /// Their id.
    pub caption_id: Uuid,
    /// The project's key: a text, unlike elsewhere.
    pub project_id: String,
    /// The session.
    pub session_id: SessionId,
    /// How far they are.
    pub status: Status,
    /// When they were started, in seconds since the Unix epoch.
    pub created_at: i64,
    /// When that changed last.
    pub updated_at: i64,
    /// For how many seconds they have been going on.
    pub duration: u64,
    /// What is spoken.
    pub language_code: Language,
    /// Who writes it down.
    pub provider: String,
    /// Always `caption`.
    pub group: String,
}

/// How far captions are.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "CaptionsStatus")]
#[allow(missing_docs, reason = "each says what it is")]
pub enum Status {
    Started,
    Paused,
    Stopped,
    Failed,
}

impl Asked for Captions {}

impl Starts for Captions {
    fn session_id(&self) -> &SessionId {
        &self.session_id
    }
}

/// `POST …/captions`.
pub async fn start(start: Start<Captions>) -> Answer<Accepted<Json<Started>>> {
    start.check_token(&start.asked.token, &[Role::Moderator])?;
    Err(LATER)
}

/// `GET …/captions/{id}`.
pub async fn find(_: Caller, _: PathId) -> Answer<Json<Item>> {
    Err(LATER)
}

/// `POST …/captions/{id}/stop`.
pub async fn stop(_: Caller, _: PathId) -> Answer<Accepted<()>> {
    Err(LATER)
}
