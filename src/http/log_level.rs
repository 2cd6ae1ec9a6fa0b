//! What is logged, shown and changed while the server runs, on the operator's address.

use axum::Extension;
use axum::extract::State;
use tracing::info;

use super::AppState;
use super::error::ApiError;
use super::forwarded::Client;
use crate::telemetry::LogHandle;

/// `GET /log-level`: what is logged, in the form of `log.level`.
pub async fn show(State(state): State<AppState>) -> String {
    format!("{}\n", state.log.level())
}

/// `PUT /log-level` with such a text: that is logged from now on. Only from this machine, since
/// nobody shows a password here; 403 for others, 400 with what is wrong.
pub async fn change(
    State(state): State<AppState>,
    Extension(client): Extension<Client>,
    level: String,
) -> Result<String, ApiError> {
    if client.proxied || !client.address.is_loopback() {
        return Err(ApiError::Forbidden(
            "The log can be changed from this machine only",
        ));
    }
    set(&state.log, level.trim()).map_err(ApiError::Invalid)
}

fn set(log: &LogHandle, level: &str) -> Result<String, String> {
    log.set_level(level).map_err(|error| error.to_string())?;
    info!(level, "The log has a new level");
    Ok(format!("{}\n", log.level()))
}
