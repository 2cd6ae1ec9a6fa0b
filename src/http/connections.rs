//! The connections of a session (`protocol/rest.md`, 8.5 and 10.1).

use axum::response::NoContent;
use serde::Serialize;

use super::error::ApiError;
use super::target::Target;
use crate::hub::call::{Call, ConnectionSummary};
use crate::model::id::ConnectionId;

/// One strict SDK wants exactly these members.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    count: usize,
    /// A text, unlike elsewhere.
    project_id: String,
    session_id: String,
    items: Vec<Item>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    connection_id: ConnectionId,
    connection_state: &'static str,
    /// Milliseconds since the Unix epoch.
    created_at: i64,
}

/// `GET …/session/{session}/connection`.
pub async fn list(target: Target) -> Result<axum::Json<List>, ApiError> {
    let answer = target.call(Call::ListConnections).await?;
    let connections = answer.into_connections().into_iter();
    let items: Vec<_> = connections.map(Item::from).collect();
    Ok(axum::Json(List {
        count: items.len(),
        project_id: target.caller.project.id.to_string(),
        session_id: target.session.to_string(),
        items,
    }))
}

/// `DELETE …/session/{session}/connection/{connection}`: puts a client out.
pub async fn disconnect(target: Target, connection: ConnectionId) -> Result<NoContent, ApiError> {
    target.call(Call::Disconnect(connection)).await?;
    Ok(NoContent)
}

impl From<ConnectionSummary> for Item {
    fn from(connection: ConnectionSummary) -> Self {
        Self {
            connection_id: connection.id,
            // A client that is away is still in the session, and about to connect again.
            connection_state: match connection.away {
                true => "Connecting",
                false => "Connected",
            },
            created_at: connection.created_at_ms,
        }
    }
}
