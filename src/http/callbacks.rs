//! Callbacks: whom a project wants to be told of what (`protocol/rest.md`, 18), and what it has
//! yet to be told.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::auth::AuthProject;
use super::error::ApiError;
use super::members::Members;
use super::{AppState, SharedEntropy};
use crate::clock::Clock;
use crate::db::callbacks::Callback;
use crate::db::webhooks::StoredWebhook;
use crate::db::{Db, DbError};
use crate::webhook::event::Topic;
use crate::webhook::target::TargetUrl;

/// Most callbacks of one project (our choice): each event is sent to each that wants it.
const MAX_CALLBACKS: usize = 100;

/// How many webhooks are listed at a time, unless asked otherwise, and at most; as for other lists
/// (`protocol/rest.md`, 22).
const DEFAULT_COUNT: i64 = 50;
const MAX_COUNT: i64 = 1000;

/// A callback.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    id: Uuid,
    group: &'static str,
    event: &'static str,
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
    body: Members,
) -> Result<axum::Json<Item>, ApiError> {
    let (topic, url) = wanted(&state, &body)?;
    let callbacks = db.callbacks().of(project.id);
    let same = |callback: &Callback| callback.topic == topic && callback.url == url;
    let present = callbacks.list().await?;
    let room = present.len() < MAX_CALLBACKS;
    if let Some(known) = present.into_iter().find(same) {
        return Ok(axum::Json(known.into()));
    }
    if !room {
        return Err(ApiError::Invalid("There are too many callbacks".to_owned()));
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

/// `DELETE …/callback/{callback}`; what it has yet to be told is forgotten.
pub async fn unregister(
    AuthProject(project): AuthProject,
    State(db): State<Db>,
    Path(path): Path<Vec<(String, String)>>,
) -> Result<StatusCode, ApiError> {
    let id = path.into_iter().find(|(name, _)| name == "callback");
    let id = id.and_then(|(_, text)| text.parse().ok());
    let id: Uuid = id.ok_or(ApiError::Missing("callback"))?;
    match db.callbacks().of(project.id).remove(id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::Missing("callback")),
    }
}

/// What a project has yet to be told, and what it could not be told. Ours.
#[derive(Debug, Serialize)]
pub struct Owed {
    pending: i64,
    failed: i64,
    items: Vec<OwedItem>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OwedItem {
    id: Uuid,
    status: &'static str,
    event: String,
    session_id: String,
    url: String,
    created_at: i64,
    attempts: i64,
    /// Of what is pending: not before this time, and not before those of the same session.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// `GET …/webhook?offset=&count=`, oldest first.
pub async fn owed(
    AuthProject(project): AuthProject,
    State(db): State<Db>,
    RawQuery(query): RawQuery,
) -> Result<axum::Json<Owed>, ApiError> {
    let query = query.unwrap_or_default();
    let number = |wanted: &str, default, most| {
        let mut given = form_urlencoded::parse(query.as_bytes());
        let text = given.find(|(name, _)| name == wanted);
        let number = text.map_or(Some(default), |(_, text)| text.parse().ok());
        number
            .filter(|number| (0..=most).contains(number))
            .ok_or_else(|| ApiError::Invalid(format!("{wanted} must be a number up to {most}")))
    };
    let offset = number("offset", 0, i64::MAX)?;
    let count = number("count", DEFAULT_COUNT, MAX_COUNT)?;
    let tally = db.webhooks().tally(project.id).await?;
    let items = db.webhooks().page(project.id, offset, count).await?;
    Ok(axum::Json(Owed {
        pending: tally.pending,
        failed: tally.failed,
        items: items.into_iter().map(OwedItem::from).collect(),
    }))
}

fn wanted(state: &AppState, body: &Members) -> Result<(Topic, TargetUrl), ApiError> {
    let text = |name: &'static str| {
        let given = body.text(name)?.filter(|text| !text.is_empty());
        given.ok_or_else(|| ApiError::Invalid(format!("{name} is missing")))
    };
    let topic = Topic::from_words(text("group")?, text("event")?);
    let topic = topic.ok_or_else(|| ApiError::Invalid("No such group and event".to_owned()))?;
    let url: TargetUrl =
        text("url")?
            .parse()
            .map_err(|error: crate::webhook::target::InvalidTarget| {
                ApiError::Invalid(error.to_string())
            })?;
    // Names are looked up when they are called.
    let policy = &state.config.webhooks.addresses;
    if url
        .address()
        .is_some_and(|address| !policy.permits(address))
    {
        return Err(ApiError::Invalid(
            "url must not be an internal address".to_owned(),
        ));
    }
    Ok((topic, url))
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
            status: if failed { "failed" } else { "pending" },
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
