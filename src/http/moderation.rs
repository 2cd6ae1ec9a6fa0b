//! Muting others (`protocol/rest.md`, 10.2 and 10.3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::{Asked, Body};
use super::error::ApiError;
use super::target::Target;
use crate::hub::call::Call;
use crate::model::id::StreamId;
use crate::model::project::{Project, ProjectStatus};

/// The body of `POST …/mute`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = json!({"active": true, "excludedStreamIds": ["8b732909-0a06-46a2-8ea8-074e64d43422"]}))]
pub struct Mute {
    /// Mute everybody, newcomers too; or else, newcomers no longer.
    pub active: bool,
    /// The streams that go on. SDKs have three names for them; the last is how one spells it.
    #[serde(default, alias = "excludedStreams", alias = "excudedStreamIds")]
    pub excluded_stream_ids: Vec<StreamId>,
}

impl Asked for Mute {}

/// The answer to a mute: the project, for no known reason.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MutedProject")]
pub struct Muted {
    /// Its API key.
    id: String,
    status: ProjectStatus,
    name: String,
    environment: &'static str,
    /// Milliseconds since the Unix epoch.
    created_at: i64,
}

/// `POST …/session/{session}/stream/{stream}/mute`. There is nothing to read in the body.
pub async fn mute_stream(target: Target, stream: StreamId) -> Result<axum::Json<Muted>, ApiError> {
    target.call(Call::MuteStream(stream)).await?;
    Ok(axum::Json(target.caller.project.into()))
}

/// `POST …/session/{session}/mute`: everybody, or with `active: false` newcomers no longer.
pub async fn mute_session(
    target: Target,
    Body(asked): Body<Mute>,
) -> Result<axum::Json<Muted>, ApiError> {
    let call = Call::MuteSession {
        active: asked.active,
        excluded: match asked.active {
            true => asked.excluded_stream_ids,
            false => Vec::new(),
        },
    };
    target.call(call).await?;
    Ok(axum::Json(target.caller.project.into()))
}

impl From<Project> for Muted {
    fn from(project: Project) -> Self {
        Self {
            id: project.id.to_string(),
            status: project.status,
            name: project.name,
            environment: "standard",
            created_at: project.created_at_ms,
        }
    }
}
