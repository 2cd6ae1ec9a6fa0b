//! Experience Composer: a web page as a participant (`protocol/rest.md`, 15). What is asked for is
//! checked; rendering itself is not there yet.

use std::convert::Infallible;

use serde::Deserialize;

use super::body::{Body, Query};
use super::error::ApiError;
use super::target::{Caller, PathId};
use super::values::{Paging, Resolution, Text, Uri, Web, Within};
use crate::model::id::SessionId;
use crate::model::role::Role;

/// What the operations here answer, until they can do what they are asked.
type Answer = Result<Infallible, ApiError>;

const LATER: Answer = Err(ApiError::Unsupported("Experience Composer"));

/// The body of `POST …/render`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "parsed is checked; rendering will read the rest")]
pub struct Start {
    session_id: SessionId,
    token: String,
    url: Uri<Web>,
    /// Seconds.
    max_duration: Option<Within<60, 36_000>>,
    resolution: Option<Resolution>,
    #[serde(default)]
    properties: Properties,
    status_callback_url: Option<Uri<Web>>,
}

impl std::fmt::Debug for Start {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").finish_non_exhaustive()
    }
}

/// Of the stream that the page becomes.
#[derive(Default, Deserialize)]
#[serde(default)]
#[allow(dead_code, reason = "parsed is checked; rendering will read it")]
struct Properties {
    name: Option<Text<1, 200>>,
}

/// `POST …/render`.
pub async fn start(caller: Caller, Body(asked): Body<Start>) -> Answer {
    caller.media_session(&asked.session_id).await?;
    let publishing = [Role::Publisher, Role::PublisherOnly, Role::Moderator];
    caller.check_token(&asked.token, &asked.session_id, &publishing)?;
    LATER
}

/// `GET …/render`.
pub async fn list(_: Caller, _: Query<Paging>) -> Answer {
    LATER
}

/// `GET …/render/{id}`.
pub async fn find(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `DELETE …/render/{id}`.
pub async fn stop(_: Caller, _: PathId) -> Answer {
    LATER
}
