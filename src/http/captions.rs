//! Live captions (`protocol/rest.md`, 17). What is asked for is checked; transcribing itself is not
//! there yet.

use std::convert::Infallible;

use serde::Deserialize;

use super::body::Body;
use super::error::ApiError;
use super::target::{Caller, PathId};
use super::values::{Uri, Web, Within, yes};
use crate::model::id::SessionId;
use crate::model::role::Role;

/// What the operations here answer, until they can do what they are asked.
type Answer = Result<Infallible, ApiError>;

const LATER: Answer = Err(ApiError::Unsupported("Captioning"));

/// The body of `POST …/captions`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    dead_code,
    reason = "parsed is checked; transcribing will read the rest"
)]
pub struct Start {
    session_id: SessionId,
    token: String,
    #[serde(default)]
    language_code: Language,
    /// Seconds.
    max_duration: Option<Within<300, 14_400>>,
    #[serde(default = "yes")]
    partial_captions: bool,
    status_callback_url: Option<Uri<Web>>,
}

impl std::fmt::Debug for Start {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").finish_non_exhaustive()
    }
}

/// What is spoken, as in BCP 47.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum Language {
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

/// `POST …/captions`.
pub async fn start(caller: Caller, Body(asked): Body<Start>) -> Answer {
    caller.media_session(&asked.session_id).await?;
    caller.check_token(&asked.token, &asked.session_id, &[Role::Moderator])?;
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
