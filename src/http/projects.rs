//! Managing projects, with an account's key and secret (`protocol/rest.md`, section 20).

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;
use tracing::info;

use super::AppState;
use super::auth::AuthAccount;
use super::body::{Asked, Form};
use super::error::ApiError;
use super::values::Text;
use crate::db::DbError;
use crate::model::id::ProjectId;
use crate::model::project::{Project, ProjectStatus, Secret};

/// A project as its account sees it, with its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Project")]
pub struct Answer {
    /// Its API key.
    id: String,
    /// What calls and client tokens are signed with.
    #[serde(serialize_with = "reveal")]
    #[schemars(with = "String")]
    secret: Secret,
    status: ProjectStatus,
    name: String,
    environment: &'static str,
    environment_name: &'static str,
    environment_description: &'static str,
    /// Milliseconds since the Unix epoch.
    created_at: i64,
}

/// Shows the owner their secret.
fn reveal<S: Serializer>(secret: &Secret, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(secret.reveal())
}

impl From<Project> for Answer {
    fn from(project: Project) -> Self {
        Self {
            id: project.id.to_string(),
            secret: project.secret,
            status: project.status,
            name: project.name,
            environment: "standard",
            environment_name: "default",
            environment_description: "Standard Environment",
            created_at: project.created_at_ms,
        }
    }
}

/// The body of `POST /v2/project`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "ProjectCreate", example = json!({"name": "Shop"}))]
pub struct Create {
    /// What to call the project; up to 255 characters (our choice).
    pub name: Text<0, 255>,
}

impl Asked for Create {}

/// `POST /v2/project`.
pub async fn create(
    _: AuthAccount,
    State(state): State<AppState>,
    Form(asked): Form<Create>,
) -> Result<Json<Answer>, ApiError> {
    let Text(name) = asked.name;
    let now_ms = state.clock.unix_ms();
    loop {
        let project = Project::generate(&name, now_ms, &mut state.entropy.lock());
        match state.db.projects().insert(&project).await {
            // The key is taken: draw another.
            Err(DbError::Conflict(_)) => {}
            inserted => {
                inserted?;
                info!(project.id = %project.id, "Project created");
                return Ok(Json(project.into()));
            }
        }
    }
}

/// `GET /v2/project`: a bare array.
pub async fn list(
    _: AuthAccount,
    State(state): State<AppState>,
) -> Result<Json<Vec<Answer>>, ApiError> {
    let projects = state.db.projects().list().await?;
    Ok(Json(projects.into_iter().map(Answer::from).collect()))
}

/// `GET /v2/project/{api_key}`.
pub async fn find(
    _: AuthAccount,
    State(state): State<AppState>,
    key: ProjectId,
) -> Result<Json<Answer>, ApiError> {
    let project = expect(&state, key).await?;
    Ok(Json(project.into()))
}

/// The body of `PUT /v2/project/{api_key}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ProjectSetStatus", example = json!({"status": "SUSPENDED"}))]
pub struct SetStatus {
    /// What the project becomes.
    pub status: ProjectStatus,
}

impl Asked for SetStatus {}

/// `PUT /v2/project/{api_key}`: suspends or resumes. Suspension ends what is going on.
pub async fn set_status(
    _: AuthAccount,
    State(state): State<AppState>,
    key: ProjectId,
    Form(SetStatus { status }): Form<SetStatus>,
) -> Result<Json<Answer>, ApiError> {
    if !state.db.projects().set_status(key, status).await? {
        return Err(MISSING);
    }
    info!(project.id = %key, status = status.word(), "Project changed");
    if status == ProjectStatus::Suspended {
        end_sessions(&state, key).await?;
    }
    Ok(Json(expect(&state, key).await?.into()))
}

/// `DELETE /v2/project/{api_key}`, which ends what is going on.
pub async fn delete(
    _: AuthAccount,
    State(state): State<AppState>,
    key: ProjectId,
) -> Result<NoContent, ApiError> {
    if !state.db.projects().delete(key).await? {
        return Err(MISSING);
    }
    info!(project.id = %key, "Project deleted");
    end_sessions(&state, key).await?;
    Ok(NoContent)
}

/// `POST /v2/project/{api_key}/refreshSecret`.
pub async fn refresh_secret(
    _: AuthAccount,
    State(state): State<AppState>,
    key: ProjectId,
) -> Result<Json<Answer>, ApiError> {
    let now_ms = state.clock.unix_ms();
    let grace_ms = millis(state.config.auth.secret_grace);
    loop {
        let mut project = expect(&state, key).await?;
        let replaced = project.secret.clone();
        project.refresh_secret(now_ms, grace_ms, &mut state.entropy.lock());
        let projects = state.db.projects();
        if projects.set_secret(&project, replaced.reveal()).await? {
            info!(project.id = %key, "Project has a new secret");
            return Ok(Json(project.into()));
        }
    }
}

const MISSING: ApiError = ApiError::Missing("project");

async fn expect(state: &AppState, key: ProjectId) -> Result<Project, ApiError> {
    state.db.projects().find(key).await?.ok_or(MISSING)
}

/// Puts everybody out of all the project's sessions.
async fn end_sessions(state: &AppState, key: ProjectId) -> Result<(), ApiError> {
    let ended = state.hub.end_sessions([key].into()).await;
    ended.map_err(|stopped| ApiError::Unavailable(stopped.into()))
}

/// A time span in milliseconds.
fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
