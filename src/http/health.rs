//! Whether the process lives, and whether it can take calls: for supervisors and load balancers.

use std::fmt::Display;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::time::timeout;

use super::AppState;
use super::error::NOT_READY;

/// How long a part may take to answer; probes give up after a second or a few.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /healthz`: the process is there. It asks nobody, so that a slow database does not get
/// the process killed.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// What `GET /readyz` says.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Whether new calls are welcome: all of the others are fine.
    ready: bool,
    /// Whether the process is on its way down.
    draining: bool,
    database: String,
    hub: String,
    media: String,
}

/// `GET /readyz`: whether new calls are welcome; with 503 if not.
pub async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let draining = state.draining.is_cancelled();
    let (database, hub, media) = tokio::join!(
        answers(state.db.check()),
        answers(state.hub.snapshot()),
        answers(state.media.snapshot()),
    );
    let ready = !draining && database.is_ok() && hub.is_ok() && media.is_ok();
    let status = match ready {
        true => StatusCode::OK,
        false => NOT_READY,
    };
    let word = |part: Result<(), String>| part.err().unwrap_or_else(|| "ok".into());
    let readiness = Readiness {
        ready,
        draining,
        database: word(database),
        hub: word(hub),
        media: word(media),
    };
    (status, Json(readiness))
}

/// Whether a part does what it was asked, in time.
async fn answers<T, E: Display>(part: impl Future<Output = Result<T, E>>) -> Result<(), String> {
    match timeout(PATIENCE, part).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
