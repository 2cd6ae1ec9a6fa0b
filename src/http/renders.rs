//! Experience Composer: a web page as a participant (`protocol/rest.md`, 15). What is asked for is
//! checked; rendering itself is not there yet.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::body::{Asked, Query};
use super::later::{Answer, later};
use super::start::{Start, Starts};
use super::target::{Caller, PathId};
use super::values::{Paging, Text, Uri, Web, Within};
use crate::model::id::SessionId;
use crate::model::resolution::Resolution;
use crate::model::role::Role;

const LATER: Answer = later("Experience Composer");

/// The body of `POST …/render`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RenderStart", example = json!({"sessionId": "2_MX40NzY2NTk3MX5-MTczOTUzODg5NDk1OX5ROW1jWEcxUXJOM1RJWXU4eStwcHgvZ3N-fn4", "token": "eyJhbGciOiJIUzI1NiJ9.eyJzY29wZSI6InNlc3Npb24uY29ubmVjdCJ9.c2lnbmVk", "url": "https://example.com/page"}))]
pub struct Render {
    /// The session that the page takes part in.
    pub session_id: SessionId,
    /// A client token for it, of somebody who may publish.
    pub token: String,
    /// The page.
    pub url: Uri<Web>,
    /// When it ends by itself, in seconds.
    pub max_duration: Option<Within<60, 36_000>>,
    /// How large the page is.
    pub resolution: Option<Resolution>,
    /// Of the stream that the page becomes.
    #[serde(default)]
    pub properties: Properties,
    /// Whom to tell how it goes.
    pub status_callback_url: Option<Uri<Web>>,
}

impl fmt::Debug for Render {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Render").finish_non_exhaustive()
    }
}

/// Of the stream that a page becomes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "RenderProperties")]
pub struct Properties {
    /// Its name.
    pub name: Option<Text<1, 200>>,
}

impl Asked for Render {}

impl Starts for Render {
    fn session_id(&self) -> &SessionId {
        &self.session_id
    }
}

/// `POST …/render`.
pub async fn start(start: Start<Render>) -> Answer {
    let publishing = [Role::Publisher, Role::PublisherOnly, Role::Moderator];
    start.check_token(&start.asked.token, &publishing)?;
    LATER
}

/// `GET …/render`.
pub async fn list(_: Caller, _: Query<Paging>) -> Answer {
    LATER
}

/// `GET …/render/{id}`; one SDK asks with `POST`.
pub async fn find(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `DELETE …/render/{id}`.
pub async fn stop(_: Caller, _: PathId) -> Answer {
    LATER
}
