//! Managing projects, with an account's key and secret (`protocol/rest.md`, section 20).

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::{Serialize, Serializer};
use tracing::info;

use super::AppState;
use super::auth::AuthAccount;
use super::error::ApiError;
use super::params::Params;
use crate::db::DbError;
use crate::model::id::ProjectId;
use crate::model::project::{Project, ProjectStatus, Secret};

/// Longest name in characters (our choice).
const MAX_NAME: usize = 255;

/// A project as its account sees it, with its secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    id: String,
    #[serde(serialize_with = "reveal")]
    secret: Secret,
    status: &'static str,
    name: String,
    environment: &'static str,
    environment_name: &'static str,
    environment_description: &'static str,
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
            status: project.status.word(),
            name: project.name,
            environment: "standard",
            environment_name: "default",
            environment_description: "Standard Environment",
            created_at: project.created_at_ms,
        }
    }
}

/// `POST /v2/project`.
pub async fn create(
    _: AuthAccount,
    State(state): State<AppState>,
    request: Request,
) -> Result<Json<Answer>, ApiError> {
    let params = Params::read(request).await?;
    let name = params.get("name").unwrap_or_default();
    if name.chars().count() > MAX_NAME {
        return Err(ApiError::Invalid(format!("name is longer than {MAX_NAME}")));
    }
    let now_ms = state.clock.unix_ms();
    loop {
        let project = Project::generate(name, now_ms, &mut state.entropy.lock());
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
    Path(key): Path<String>,
) -> Result<Json<Answer>, ApiError> {
    let project = expect(&state, parse(&key)?).await?;
    Ok(Json(project.into()))
}

/// `PUT /v2/project/{api_key}`: suspends or resumes. Suspension ends what is going on.
pub async fn set_status(
    _: AuthAccount,
    State(state): State<AppState>,
    Path(key): Path<String>,
    request: Request,
) -> Result<Json<Answer>, ApiError> {
    let key = parse(&key)?;
    let params = Params::read(request).await?;
    let status = params.get("status").and_then(ProjectStatus::from_word);
    let reason = || ApiError::Invalid("status must be ACTIVE or SUSPENDED".to_owned());
    let status = status.ok_or_else(reason)?;
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
    Path(key): Path<String>,
) -> Result<StatusCode, ApiError> {
    let key = parse(&key)?;
    if !state.db.projects().delete(key).await? {
        return Err(MISSING);
    }
    info!(project.id = %key, "Project deleted");
    end_sessions(&state, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v2/project/{api_key}/refreshSecret`.
pub async fn refresh_secret(
    _: AuthAccount,
    State(state): State<AppState>,
    Path(key): Path<String>,
) -> Result<Json<Answer>, ApiError> {
    let key = parse(&key)?;
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

fn parse(key: &str) -> Result<ProjectId, ApiError> {
    key.parse().map_err(|_| MISSING)
}

async fn expect(state: &AppState, key: ProjectId) -> Result<Project, ApiError> {
    state.db.projects().find(key).await?.ok_or(MISSING)
}

/// Puts everybody out of all the project's sessions.
async fn end_sessions(state: &AppState, key: ProjectId) -> Result<(), ApiError> {
    let ended = state.hub.end_sessions(key).await;
    ended.map_err(|stopped| ApiError::Unavailable(stopped.into()))
}

/// A time span in milliseconds.
fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
