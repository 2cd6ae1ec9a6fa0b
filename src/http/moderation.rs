//! Muting others (`protocol/rest.md`, 10.2 and 10.3).

use serde::Serialize;

use super::error::ApiError;
use super::members::Members;
use super::target::Target;
use crate::hub::call::Call;
use crate::model::id::StreamId;
use crate::model::project::Project;

/// What SDKs call the streams that go on; the last is how one spells it.
const EXCLUDED: [&str; 3] = ["excludedStreamIds", "excludedStreams", "excudedStreamIds"];

/// The answer to a mute: the project, for no known reason.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Muted {
    id: String,
    status: &'static str,
    name: String,
    environment: &'static str,
    created_at: i64,
}

/// `POST …/session/{session}/stream/{stream}/mute`. There is nothing to read in the body.
pub async fn mute_stream(target: Target, stream: StreamId) -> Result<axum::Json<Muted>, ApiError> {
    target.call(Call::MuteStream(stream)).await?;
    Ok(axum::Json(target.caller.project.into()))
}

/// `POST …/session/{session}/mute`: everybody, or with `active: false` newcomers no longer.
pub async fn mute_session(target: Target, body: Members) -> Result<axum::Json<Muted>, ApiError> {
    let active = body
        .flag("active")?
        .ok_or_else(|| ApiError::Invalid("active is missing".to_owned()))?;
    let excluded = match active {
        true => excluded(&body)?,
        false => Vec::new(),
    };
    target.call(Call::MuteSession { active, excluded }).await?;
    Ok(axum::Json(target.caller.project.into()))
}

fn excluded(body: &Members) -> Result<Vec<StreamId>, ApiError> {
    let mut excluded = Vec::new();
    for name in EXCLUDED {
        for text in body.texts(name)?.unwrap_or_default() {
            let id = text.parse().ok();
            let reason = || ApiError::Invalid(format!("{name} must consist of stream IDs"));
            excluded.push(id.ok_or_else(reason)?);
        }
    }
    Ok(excluded)
}

impl From<Project> for Muted {
    fn from(project: Project) -> Self {
        Self {
            id: project.id.to_string(),
            status: "ACTIVE",
            name: project.name,
            environment: "standard",
            created_at: project.created_at_ms,
        }
    }
}
