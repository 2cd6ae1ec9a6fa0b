//! The log: who writes it, and the spans that give its lines their context. What is counted is
//! written by [`text`].

pub mod histogram;
pub mod process;
pub mod text;

use std::io;

use tracing::field::{Empty, display};
use tracing::{Level, Span, enabled};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{LogConfig, LogFormat};
use crate::http::forwarded::Client;
use crate::model::id::{ConnectionId, ProjectId, SessionId};
use crate::sfu::Leg;

/// Sends the log of this process to standard error. Only the first call has an effect.
pub fn init(config: &LogConfig) {
    let filter = EnvFilter::builder().parse_lossy(&config.level);
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that there is a subscriber already.
    let _ = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// The context of one HTTP request. The path is logged without the query, and by whoever logs
/// at `debug` only: paths name sessions, but never secrets. The client's address is there for
/// whoever reads the log at `debug`, and for nobody else.
pub fn request_span<B>(request: &axum::http::Request<B>) -> Span {
    let (method, path) = (request.method(), request.uri().path());
    let span = tracing::info_span!("request", %method, path, client.address = Empty);
    if enabled!(Level::DEBUG)
        && let Some(client) = request.extensions().get::<Client>()
    {
        span.record("client.address", display(client.address));
    }
    span
}

/// The context of one live session.
pub fn session_span(project: ProjectId, session: &SessionId) -> Span {
    tracing::info_span!("session", project.id = %project, session.id = %session)
}

/// The context of one client in a session.
pub fn connection_span(connection: ConnectionId) -> Span {
    tracing::info_span!("connection", connection.id = %connection)
}

/// The context of one peer connection between a client and the SFU.
pub fn peer_span(leg: Leg) -> Span {
    tracing::info_span!("peer", peer.id = %leg)
}
