//! Signals from a back end (`protocol/rest.md`, 9).

use axum::extract::State;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::body::{Asked, Body};
use super::error::ApiError;
use super::target::Target;
use crate::hub::call::Call;
use crate::model::id::ConnectionId;
use crate::model::signal::{InvalidSignal, SignalLimits};
use crate::signaling::client::SignalBody;
use crate::signaling::json::RawJson;

/// The body of both.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(example = json!({"type": "chat", "data": "Hello"}))]
pub struct Signal {
    /// What to say; may be empty.
    #[schemars(required, with = "String")]
    pub data: Option<String>,
    /// A word the application sorts signals by.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

impl Asked for Signal {
    const REFUSALS: &'static [ApiError] = &[
        ApiError::SignalWithoutData,
        ApiError::SignalTooLong(InvalidSignal::DataTooLong),
        ApiError::NobodyConnected,
    ];
}

/// `POST …/session/{session}/signal`.
pub async fn to_all(
    target: Target,
    State(limits): State<SignalLimits>,
    Body(asked): Body<Signal>,
) -> Result<NoContent, ApiError> {
    send(target, None, signal(asked, limits)?).await
}

/// `POST …/session/{session}/connection/{connection}/signal`.
pub async fn to_one(
    target: Target,
    connection: ConnectionId,
    State(limits): State<SignalLimits>,
    Body(asked): Body<Signal>,
) -> Result<NoContent, ApiError> {
    send(target, Some(connection), signal(asked, limits)?).await
}

async fn send(
    target: Target,
    to: Option<ConnectionId>,
    body: SignalBody,
) -> Result<NoContent, ApiError> {
    target.call(Call::Signal { to, body }).await?;
    Ok(NoContent)
}

fn signal(asked: Signal, limits: SignalLimits) -> Result<SignalBody, ApiError> {
    let data = asked.data.ok_or(ApiError::SignalWithoutData)?;
    // Two SDKs always send a type.
    let kind = asked.kind.filter(|kind| !kind.is_empty());
    limits.check_text(kind.as_deref().unwrap_or_default(), &data)?;
    Ok(SignalBody {
        kind,
        data: Some(RawJson::of(&data).map_err(|error| ApiError::Internal(error.into()))?),
    })
}
