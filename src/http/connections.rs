//! The connections of a session (`protocol/rest.md`, 8.5 and 10.1).

use axum::response::NoContent;
use schemars::JsonSchema;
use serde::Serialize;

use super::error::ApiError;
use super::target::Target;
use crate::hub::call::{Call, ConnectionSummary};
use crate::model::id::ConnectionId;

/// One strict SDK wants exactly these members.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConnectionList")]
pub struct List {
    /// How many there are.
    count: usize,
    /// The project's key: a text, unlike elsewhere.
    project_id: String,
    /// The session.
    session_id: String,
    /// In the order in which they joined.
    items: Vec<Item>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Connection")]
struct Item {
    /// Its id.
    connection_id: ConnectionId,
    connection_state: State,
    /// When it joined, in milliseconds since the Unix epoch.
    created_at: i64,
}

/// Whether a client is there.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConnectionState")]
enum State {
    /// It is.
    Connected,
    /// It was lost, and may come back.
    Connecting,
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
                true => State::Connecting,
                false => State::Connected,
            },
            created_at: connection.created_at_ms,
        }
    }
}
