//! What a client fetches before it opens its websocket (`protocol/signaling.md`, 2).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tracing::{Level, debug, enabled};

use super::AppState;
use super::forwarded::Client;
use super::openapi::operation::{Operation, Takes};
use super::session_info::SessionInfo;
use crate::hub::effect::{Admission, Denial};
use crate::model::id::{ConnectionId, SessionId};
use crate::model::session::MediaMode;
use crate::turn::ice_servers::IceServer;

/// Where `messaging_url` points; a websocket is welcome anywhere, this is for people who read logs.
const MESSAGING_PATH: &str = "/rumor";

/// Longest log entry of a client that is read, in bytes. Ours; they have some 2 kB.
const MAX_LOG_ENTRY: usize = 256 * 1024;

/// Answers `config.json`: nothing is different from what the client knows (2.3).
pub async fn config() -> Json<ClientConfig> {
    Json(ClientConfig {})
}

/// Nothing.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ClientConfig {}

/// Answers session info (2.4): where to go, if the token is good. Failures are answers, too:
/// with any other status than 200 the client would hide the reason and try again.
pub async fn session_info(
    State(state): State<AppState>,
    Path(path): Path<SessionPath>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Json<[SessionInfo; 1]> {
    Json([match admitted(&state, &path.session, &headers).await {
        Ok(admission) => SessionInfo::granted(
            &admission,
            messaging_url(&state, &client),
            ice_servers(&state, &admission, &client, &headers),
            &state.config.limits.hub,
        ),
        Err((code, message)) => {
            debug!(
                session.id = path.session,
                code, message, "Session info refused"
            );
            SessionInfo::refused(code, message)
        }
    }])
}

/// The one part of the path that matters; the host that the client meant may precede it.
#[derive(Debug, serde::Deserialize)]
pub struct SessionPath {
    session: String,
}

impl Takes for Path<SessionPath> {
    fn takes(operation: &mut Operation<'_>) {
        operation.segment::<SessionId>("session", "The session.");
    }
}

impl Takes for Body {}

/// Codes are those of 14.1.
async fn admitted(
    state: &AppState,
    session: &str,
    headers: &HeaderMap,
) -> Result<Admission, (u16, &'static str)> {
    if state.draining.is_cancelled() {
        return Err((500, "The server is shutting down"));
    }
    let session: SessionId = session.parse().map_err(|_| (404, "Invalid session"))?;
    let token = ["x-opentok-auth", "x-tb-token-auth"]
        .iter()
        .find_map(|name| headers.get(*name));
    let token = token
        .and_then(|token| token.to_str().ok())
        .unwrap_or_default();
    match state.admissions.admit(&session, token).await {
        Ok(admission) => Ok(admission),
        Err(Denial::NoSuchSession) => Err((404, "Session not found")),
        Err(Denial::InvalidToken) => Err((403, "Invalid token")),
        Err(Denial::Unavailable) => Err((500, "Internal error")),
    }
}

/// Ways for those who cannot reach the media port, with credentials for the connection that asks.
/// None where they lead nowhere: relays send datagrams, which the media port may not take.
fn ice_servers(
    state: &AppState,
    admission: &Admission,
    client: &Client,
    headers: &HeaderMap,
) -> Vec<IceServer> {
    let adaptive = state.config.limits.hub.adaptive.enabled;
    let mode = admission.session.media_mode.in_effect(adaptive);
    if mode == MediaMode::Routed && !state.config.media.udp {
        return Vec::new();
    }
    let connection = headers.get("x-tb-connectionid");
    let connection: Option<ConnectionId> = connection
        .and_then(|id| id.to_str().ok())
        .and_then(|id| id.parse().ok());
    // Some clients do not say which connection they will be.
    let connection = connection.unwrap_or_else(|| ConnectionId(state.entropy.lock().uuid()));
    let now_s = u64::try_from(state.clock.unix_ms() / 1000).unwrap_or_default();
    let base_url = state.base_url(client);
    state.ice.list(&connection.to_string(), &base_url, now_s)
}

/// The public URL with another scheme: `ws` for `http`, `wss` for `https`.
fn messaging_url(state: &AppState, client: &Client) -> String {
    let base = state.base_url(client);
    format!(
        "ws{}{MESSAGING_PATH}",
        base.strip_prefix("http").unwrap_or(&base)
    )
}

/// Swallows what clients log, whatever it is (2.5): they wait for each answer, and an error
/// would help nobody. Failures they report are worth a line at `debug`.
pub async fn client_log(body: Body) -> StatusCode {
    if let Ok(bytes) = axum::body::to_bytes(body, MAX_LOG_ENTRY).await
        && enabled!(Level::DEBUG)
        && let Ok(entry) = serde_json::from_slice::<Value>(&bytes)
        && entry["variation"] == "Failure"
    {
        let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        debug!(
            session.id = field("sessionId"),
            connection.id = field("connectionId"),
            action = field("action"),
            "A client reports a failure"
        );
    }
    StatusCode::OK
}
