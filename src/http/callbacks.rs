//! Callbacks: whom a project wants to be told of what (`protocol/rest.md`, 18), and what it has
//! yet to be told.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::NoContent;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::auth::AuthProject;
use super::body::{Asked, Body, Query};
use super::error::ApiError;
use super::target::PathId;
use super::values::{Paging, invalid};
use super::{AppState, SharedEntropy};
use crate::clock::Clock;
use crate::db::callbacks::Callback;
use crate::db::webhooks::{Filter, StoredWebhook};
use crate::db::{Db, DbError};
use crate::webhook::event::Topic;
use crate::webhook::target::TargetUrl;

/// Most callbacks of one project (our choice): each event is sent to each that wants it.
const MAX_CALLBACKS: usize = 100;

/// The body of `POST …/callback`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "CallbackRegister", example = json!({"group": "stream", "event": "created", "url": "https://example.com/events"}))]
pub struct Register {
    /// What it is about.
    #[schemars(schema_with = "groups")]
    pub group: String,
    /// What happens to it.
    #[schemars(schema_with = "events")]
    pub event: String,
    /// Whom to tell.
    pub url: TargetUrl,
}

/// What callbacks can be about.
fn groups(_: &mut SchemaGenerator) -> Schema {
    words(|(group, _)| group)
}

/// What can happen to it; not everything to each.
fn events(_: &mut SchemaGenerator) -> Schema {
    words(|(_, event)| event)
}

fn words(of: fn((&'static str, &'static str)) -> &'static str) -> Schema {
    let words: BTreeSet<_> = Topic::ALL.iter().map(|topic| of(topic.words())).collect();
    json_schema!({"type": "string", "enum": words})
}

impl Asked for Register {
    fn check(&self) -> Result<(), ApiError> {
        self.topic().map(|_| ())
    }
}

impl Register {
    fn topic(&self) -> Result<Topic, ApiError> {
        let topic = Topic::from_words(&self.group, &self.event);
        topic.ok_or_else(|| invalid("No such group and event"))
    }
}

/// A callback.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Callback")]
pub struct Item {
    /// By which it can be removed.
    id: Uuid,
    /// What it is about.
    #[schemars(schema_with = "groups")]
    group: &'static str,
    /// What happens to it.
    #[schemars(schema_with = "events")]
    event: &'static str,
    /// Whom to tell.
    url: String,
    /// Milliseconds since the Unix epoch.
    created_at: i64,
}

/// `POST …/callback`. The same once more is answered with what there is.
pub async fn register(
    AuthProject(project): AuthProject,
    State(state): State<AppState>,
    State(db): State<Db>,
    State(clock): State<Clock>,
    State(entropy): State<SharedEntropy>,
    Body(asked): Body<Register>,
) -> Result<axum::Json<Item>, ApiError> {
    let (topic, url) = (asked.topic()?, asked.url);
    // Names are looked up when they are called.
    let policy = &state.config.webhooks.addresses;
    if url
        .address()
        .is_some_and(|address| !policy.permits(address))
    {
        return Err(invalid("url must not be an internal address"));
    }
    let callbacks = db.callbacks().of(project.id);
    let same = |callback: &Callback| callback.topic == topic && callback.url == url;
    let present = callbacks.list().await?;
    let room = present.len() < MAX_CALLBACKS;
    if let Some(known) = present.into_iter().find(same) {
        return Ok(axum::Json(known.into()));
    }
    if !room {
        return Err(invalid("There are too many callbacks"));
    }
    let callback = Callback {
        id: entropy.lock().uuid(),
        topic,
        url: url.clone(),
        created_at_ms: clock.unix_ms(),
    };
    match callbacks.insert(&callback).await {
        Ok(()) => Ok(axum::Json(callback.into())),
        // Somebody was faster.
        Err(error @ DbError::Conflict(_)) => {
            let known = callbacks.list().await?.into_iter().find(same);
            Ok(axum::Json(known.ok_or(error)?.into()))
        }
        Err(error) => Err(error.into()),
    }
}

/// `GET …/callback`: a bare list.
pub async fn list(
    AuthProject(project): AuthProject,
    State(db): State<Db>,
) -> Result<axum::Json<Vec<Item>>, ApiError> {
    let callbacks = db.callbacks().of(project.id).list().await?;
    Ok(axum::Json(callbacks.into_iter().map(Item::from).collect()))
}

/// `DELETE …/callback/{id}`; what it has yet to be told is forgotten.
pub async fn unregister(
    AuthProject(project): AuthProject,
    State(db): State<Db>,
    PathId(id): PathId,
) -> Result<NoContent, ApiError> {
    match db.callbacks().of(project.id).remove(id).await? {
        true => Ok(NoContent),
        false => Err(ApiError::Missing("callback")),
    }
}

/// What a project has yet to be told, and what it could not be told. Ours.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OwedWebhooks")]
pub struct Owed {
    /// How many are yet to be told.
    pending: i64,
    /// How many could not be.
    failed: i64,
    /// The oldest first.
    items: Vec<OwedItem>,
}

/// One event for one callback.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OwedWebhook")]
struct OwedItem {
    id: Uuid,
    status: OwedStatus,
    /// As the body calls it, such as `streamCreated`.
    event: String,
    session_id: String,
    url: String,
    /// When it happened, in milliseconds since the Unix epoch, as all times here.
    created_at: i64,
    /// How often it was tried.
    attempts: i64,
    /// Of what is pending: not before this time, and not before those of the same session.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// How it stands with an event.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OwedStatus {
    /// It is tried again.
    Pending,
    /// It is not.
    Failed,
}

/// `GET …/webhook?offset=&count=`, oldest first.
pub async fn owed(
    AuthProject(project): AuthProject,
    State(db): State<Db>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<Owed>, ApiError> {
    let tally = db.webhooks().tally(project.id).await?;
    let of_project = Filter {
        project: Some(project.id),
        ..Filter::default()
    };
    let items = db
        .webhooks()
        .page(of_project, paging.offset.into(), paging.count().into())
        .await?;
    Ok(axum::Json(Owed {
        pending: tally.pending,
        failed: tally.failed,
        items: items.into_iter().map(OwedItem::from).collect(),
    }))
}

impl From<Callback> for Item {
    fn from(callback: Callback) -> Self {
        let (group, event) = callback.topic.words();
        Self {
            id: callback.id,
            group,
            event,
            url: callback.url.to_string(),
            created_at: callback.created_at_ms,
        }
    }
}

impl From<StoredWebhook> for OwedItem {
    fn from(webhook: StoredWebhook) -> Self {
        let failed = webhook.failed_at_ms.is_some();
        Self {
            id: webhook.id,
            status: match failed {
                true => OwedStatus::Failed,
                false => OwedStatus::Pending,
            },
            event: webhook.event,
            session_id: webhook.session.to_string(),
            url: webhook.url.to_string(),
            created_at: webhook.created_at_ms,
            attempts: webhook.attempts,
            next_attempt_at: (!failed).then_some(webhook.next_at_ms),
            failed_at: webhook.failed_at_ms,
            last_error: webhook.last_error,
        }
    }
}
