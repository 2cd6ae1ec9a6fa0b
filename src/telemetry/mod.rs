//! The log: who writes it, and the spans that give its lines their context. What is counted is
//! written by [`text`], and where the settings say so, [`traces`] tells a collector of spans.

pub mod histogram;
pub mod process;
pub mod text;
#[cfg_attr(feature = "otel", path = "otlp.rs")]
#[cfg_attr(not(feature = "otel"), path = "untraced.rs")]
pub mod traces;

use std::io;

use tracing::Span;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use self::traces::Traces;
use crate::config::{LogConfig, LogFormat, TracesConfig};
use crate::model::id::{ConnectionId, ProjectId, SessionId};
use crate::sfu::Leg;

/// Changes what is logged while the process runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogHandle(Option<Handle<EnvFilter, Registry>>);

/// Why the log goes on as before.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not what `log.level` may be.
    #[error("{0}")]
    Level(#[from] ParseError),
    /// The log is somebody else's.
    #[error("the log of this process cannot be changed")]
    Foreign,
}

impl LogHandle {
    /// The log of a process that has set it up itself.
    pub fn foreign() -> Self {
        Self(None)
    }

    /// What is logged from now on, in the form of `log.level`.
    ///
    /// # Errors
    ///
    /// Fails if it is not of that form.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let filter = EnvFilter::builder().parse(level)?;
        let handle = self.0.as_ref().ok_or(LogError::Foreign)?;
        handle.reload(filter).map_err(|_| LogError::Foreign)
    }

    /// What is logged now.
    pub fn level(&self) -> String {
        let handle = self.0.as_ref();
        let level = handle.and_then(|handle| handle.with_current(ToString::to_string).ok());
        level.unwrap_or_default()
    }
}

/// Sends the log of this process to standard error, and traces to the collector of the settings, if
/// there is one: then this must be called in a runtime. Only the first call has an effect.
///
/// # Errors
///
/// Fails if there can be no traces.
pub fn init(
    config: &LogConfig,
    traces: Option<&TracesConfig>,
) -> io::Result<(LogHandle, Option<Traces>)> {
    let filter = EnvFilter::builder().parse_lossy(&config.level);
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let traces = traces.map(Traces::start).transpose()?;
    let mut layers = vec![lines];
    layers.extend(traces.as_ref().map(|traces| traces.layer().boxed()));
    // An error means that there is a subscriber already.
    let set = tracing_subscriber::registry().with(layers).try_init();
    Ok((LogHandle(set.is_ok().then_some(handle)), traces))
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
