//! Every request: what the log says of it, and how many there were by route and status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::{Empty, display};
use tracing::{Instrument, Level, Span, enabled, trace_span};

use super::forwarded::Client;
use crate::clock::Clock;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::traces::Cause;

/// Most combinations of method, route and status that are counted apart: method names are the
/// caller's choice. What is new after that is not counted by route.
const MAX_KINDS: usize = 1000;

/// One kind of answer: method, route and status.
pub type Kind = (String, String, u16);

/// What has been answered so far.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// How often, by kind.
    pub by_kind: BTreeMap<Kind, u64>,
    /// How long it took to answer, websockets excluded.
    pub duration: Histogram,
}

/// Counts requests; all clones count together.
#[derive(Debug, Clone)]
pub struct Requests {
    clock: Clock,
    answered: Arc<Mutex<Answered>>,
}

impl Requests {
    /// Nothing has been asked yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            answered: Arc::default(),
        }
    }

    /// What has been answered so far.
    pub fn answered(&self) -> Answered {
        let answered = self.answered.lock();
        answered.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The layer that counts, and traces.
pub async fn count(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    let began = requests.clock.now();
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = traced(&request, route.as_ref().map(MatchedPath::as_str));
    let response = next.run(request).instrument(span.clone()).await;
    let took = requests.clock.now() - began;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let upgraded = status == StatusCode::SWITCHING_PROTOCOLS;
    let route = match &route {
        _ if upgraded => "websocket",
        Some(route) => route.as_str(),
        None => "none",
    };
    let kind = (method, route.to_owned(), status.as_u16());
    let mut answered = requests
        .answered
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if !upgraded {
        answered.duration.observe(took);
    }
    if answered.by_kind.len() < MAX_KINDS || answered.by_kind.contains_key(&kind) {
        *answered.by_kind.entry(kind).or_default() += 1;
    }
    response
}

/// The trace of one HTTP request, a part of its caller's if there is one; named as OpenTelemetry
/// says. Nothing in it is as long as the caller likes.
fn traced(request: &Request, route: Option<&str>) -> Span {
    let method = match request.method() {
        known @ (&Method::GET
        | &Method::POST
        | &Method::PUT
        | &Method::PATCH
        | &Method::DELETE
        | &Method::HEAD
        | &Method::OPTIONS) => known.as_str(),
        _ => "_OTHER",
    };
    let span = trace_span!(
        "http",
        otel.kind = "server",
        otel.name = format!("{method} {}", route.unwrap_or_default()).trim_end(),
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        project.id = Empty,
    );
    if !span.is_disabled() {
        Cause::remote(request.headers()).lead_to(&span);
    }
    span
}

/// The context of one HTTP request. The path is logged without the query, and by whoever logs
/// at `debug` only: paths name sessions, but never secrets. The client's address is there for
/// whoever reads the log at `debug`, and for nobody else.
pub fn span(request: &Request) -> Span {
    let (method, path) = (request.method(), request.uri().path());
    let span = tracing::info_span!("request", %method, path, client.address = Empty);
    if enabled!(Level::DEBUG)
        && let Some(client) = request.extensions().get::<Client>()
    {
        span.record("client.address", display(client.address));
    }
    span
}
