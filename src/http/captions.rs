//! Live captions (`protocol/rest.md`, 17). What is asked for is checked; transcribing itself is not
//! there yet.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::body::Asked;
use super::later::{Answer, later};
use super::start::{Start, Starts};
use super::target::{Caller, PathId};
use super::values::{Uri, Web, Within, yes};
use crate::model::id::SessionId;
use crate::model::role::Role;

const LATER: Answer = later("Captioning");

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
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

impl Asked for Captions {}

impl Starts for Captions {
    fn session_id(&self) -> &SessionId {
        &self.session_id
    }
}

/// `POST …/captions`.
pub async fn start(start: Start<Captions>) -> Answer {
    start.check_token(&start.asked.token, &[Role::Moderator])?;
    LATER
}

/// `GET …/captions/{id}`.
pub async fn find(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `POST …/captions/{id}/stop`.
pub async fn stop(_: Caller, _: PathId) -> Answer {
    LATER
}
