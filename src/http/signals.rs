//! Signals from a back end (`protocol/rest.md`, 9).

use axum::extract::State;
use axum::http::StatusCode;

use super::error::ApiError;
use super::members::Members;
use super::target::Target;
use crate::hub::call::Call;
use crate::model::id::ConnectionId;
use crate::model::signal::SignalLimits;
use crate::signaling::client::SignalBody;
use crate::signaling::json::RawJson;

/// `POST …/session/{session}/signal`.
pub async fn to_all(
    target: Target,
    State(limits): State<SignalLimits>,
    body: Members,
) -> Result<StatusCode, ApiError> {
    send(target, None, signal(&body, limits)?).await
}

/// `POST …/session/{session}/connection/{connection}/signal`.
pub async fn to_one(
    target: Target,
    connection: ConnectionId,
    State(limits): State<SignalLimits>,
    body: Members,
) -> Result<StatusCode, ApiError> {
    send(target, Some(connection), signal(&body, limits)?).await
}

async fn send(
    target: Target,
    to: Option<ConnectionId>,
    body: SignalBody,
) -> Result<StatusCode, ApiError> {
    target.call(Call::Signal { to, body }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn signal(body: &Members, limits: SignalLimits) -> Result<SignalBody, ApiError> {
    let data = body.text("data")?.ok_or(ApiError::SignalWithoutData)?;
    // Two SDKs always send a type.
    let kind = body.text("type")?.filter(|kind| !kind.is_empty());
    limits.check_text(kind.unwrap_or_default(), data)?;
    Ok(SignalBody {
        kind: kind.map(str::to_owned),
        data: Some(RawJson::of(&data).map_err(|error| ApiError::Internal(error.into()))?),
    })
}
