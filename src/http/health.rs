//! Whether the process lives, and whether it can take calls: for supervisors and load balancers.

use std::fmt::Display;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use super::AppState;
use super::error::NOT_READY;
use super::openapi::operation::{Gives, Operation};

/// How long a part may take to answer; probes give up after a second or a few.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /healthz`: the process is there. It asks nobody, so that a slow database does not get
/// the process killed.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// What `GET /readyz` says.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Readiness {
    /// Whether new calls are welcome: all of the others are fine.
    ready: bool,
    /// Whether the process is on its way down.
    draining: bool,
    /// `ok`, or what is wrong.
    database: String,
    /// `ok`, or what is wrong.
    hub: String,
    /// `ok`, or what is wrong.
    media: String,
}

/// `GET /readyz`: whether new calls are welcome; with 503 if not.
pub async fn ready(State(state): State<AppState>) -> Readiness {
    let draining = state.draining.is_cancelled();
    let (database, hub, media) = tokio::join!(
        answers(state.db.check()),
        answers(state.hub.snapshot()),
        answers(state.media.snapshot()),
    );
    let ready = !draining && database.is_ok() && hub.is_ok() && media.is_ok();
    let word = |part: Result<(), String>| part.err().unwrap_or_else(|| "ok".into());
    Readiness {
        ready,
        draining,
        database: word(database),
        hub: word(hub),
        media: word(media),
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = match self.ready {
            true => StatusCode::OK,
            false => NOT_READY,
        };
        (status, Json(self)).into_response()
    }
}

impl Gives for Readiness {
    fn gives(operation: &mut Operation<'_>) {
        let schema = operation.schema_of::<Self>();
        let body = [("application/json", schema)];
        operation.answer(200, "They are.", &body);
        operation.answer(NOT_READY.as_u16(), "They are not.", &body);
    }
}

impl Gives for &'static str {
    fn gives(operation: &mut Operation<'_>) {
        let text = json!({"type": "string"});
        operation.answer(200, "It does.", &[("text/plain", text)]);
    }
}

/// Whether a part does what it was asked, in time.
async fn answers<T, E: Display>(part: impl Future<Output = Result<T, E>>) -> Result<(), String> {
    match timeout(PATIENCE, part).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
