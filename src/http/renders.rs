//! Experience Composer: a web page as a participant (`protocol/rest.md`, 15). What is asked for is
//! checked; rendering itself is not there yet.

use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::body::{Asked, Query};
use super::error::ApiError;
use super::later::{Accepted, Answer};
use super::start::{Start, Starts};
use super::target::{Caller, PathId};
use super::values::{Paging, Text, Uri, Web, Within};
use crate::model::id::{SessionId, StreamId};
use crate::model::resolution::Resolution;
use crate::model::role::Role;

const LATER: ApiError = ApiError::Unsupported("Experience Composer");

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

/// A page that takes part in a session.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Render")]
pub struct Item {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub event: Event,
    /// How far it is.
    pub status: Status,
    /// Why it has ended; empty before.
    pub reason: String,
    /// The session.
    pub session_id: SessionId,
    /// The project's key: a text, unlike elsewhere.
    pub project_id: String,
    /// When it was started, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// When it changed last.
    pub updated_at: i64,
    /// The page.
    pub url: String,
    /// How large it is.
    pub resolution: Resolution,
    /// The stream that it publishes, once it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<StreamId>,
    /// What that is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whom to tell how it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
}

/// What a render calls itself.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RenderEvent")]
pub enum Event {
    /// Always this.
    Render,
}

/// How far a render is.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RenderStatus")]
pub enum Status {
    /// The page is being loaded.
    Starting,
    /// It takes part.
    Started,
    /// It has ended.
    Stopped,
    /// It could not take part.
    Failed,
}

/// Renders.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderList")]
pub struct List {
    /// How many there are, on all pages.
    pub count: usize,
    /// Those of this page, the newest first.
    pub items: Vec<Item>,
}

impl Asked for Render {}

impl Starts for Render {
    fn session_id(&self) -> &SessionId {
        &self.session_id
    }
}

/// `POST …/render`.
pub async fn start(start: Start<Render>) -> Answer<Accepted<Json<Item>>> {
    let publishing = [Role::Publisher, Role::PublisherOnly, Role::Moderator];
    start.check_token(&start.asked.token, &publishing)?;
    Err(LATER)
}

/// `GET …/render`.
pub async fn list(_: Caller, _: Query<Paging>) -> Answer<Json<List>> {
    Err(LATER)
}

/// `GET …/render/{id}`; one SDK asks with `POST`.
pub async fn find(_: Caller, _: PathId) -> Answer<Json<Item>> {
    Err(LATER)
}

/// `DELETE …/render/{id}`.
pub async fn stop(_: Caller, _: PathId) -> Answer<StatusCode> {
    Err(LATER)
}
