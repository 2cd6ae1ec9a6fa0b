//! Every route on one screen, and what lies in front of them.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{DefaultBodyLimit, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use tower::Layer;
use tower_http::cors::{Any, CorsLayer};
use tower_http::trace::{DefaultOnFailure, DefaultOnResponse, TraceLayer};
use tracing::Level;

use super::AppState;
use super::error::{self, ApiError};
use super::limits::UnderWay;
use super::normalize::{self, Normalized};
use super::{
    archives, bootstrap, broadcasts, callbacks, captions, connect, connections, demo, health,
    limits, moderation, page, projects, renders, requests, sessions, signals, sip, storage,
    streams,
};
use crate::telemetry;

/// How long browsers may remember that they are allowed in; Chromium caps it at this.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(7200);

/// The whole of HTTP as one service: every request is given its one spelling, then routed.
pub fn service(state: AppState) -> Normalized<Router> {
    normalize::layer().layer(router(state))
}

/// All routes, for paths in their one spelling.
fn router(state: AppState) -> Router {
    let requests = state.requests.clone();
    let body_limit = DefaultBodyLimit::max(state.config.http.max_body);
    let under_way = UnderWay::new(&state.config.http.crowd);
    let bounded = middleware::from_fn_with_state(under_way.clone(), limits::bound);
    let mut routes = Router::new()
        .merge(of_an_account())
        .nest("/v2/project/{api_key}", of_a_project())
        .merge(for_clients(""))
        // An application that calls `OT.setProxyUrl` puts the host it would have asked in front.
        .merge(for_clients("/{host}"));
    if state.config.auth.legacy_header {
        // As SDKs before 2017 call it.
        routes = routes.nest("/v2/partner/{api_key}", of_a_project());
    }
    for path in page::paths() {
        routes = routes.route(
            path,
            get(move |headers: HeaderMap| async move { page::file(path, &headers) }),
        );
    }
    if state.demo.is_some() {
        routes = routes.route("/demo/join", post(demo::join));
    }
    routes
        .route_layer(bounded)
        .merge(new_sessions(&state, under_way))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        // Websockets are welcome anywhere: proxies and `setProxyUrl` change the path at will.
        .fallback(websocket)
        .with_state(state)
        .layer(middleware::from_fn_with_state(requests, requests::count))
        .layer(body_limit)
        .layer(cors())
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(telemetry::request_span::<axum::body::Body>)
                .on_response(DefaultOnResponse::new().level(Level::DEBUG))
                .on_failure(DefaultOnFailure::new().level(Level::WARN)),
        )
}

/// Creating sessions, as long as this server takes new ones. Whoever is refused is told in the
/// format that they read.
fn new_sessions(state: &AppState, under_way: UnderWay) -> Router<AppState> {
    let draining = state.draining.clone();
    Router::new()
        .route("/session/create", post(sessions::create))
        .route("/session", post(sessions::create))
        .route("/hl/session/create", post(sessions::create))
        .route_layer(middleware::from_fn(move |request: Request, next: Next| {
            let draining = draining.is_cancelled();
            async move {
                match draining {
                    true => ApiError::Draining.into_response(),
                    false => next.run(request).await,
                }
            }
        }))
        .route_layer(middleware::from_fn_with_state(under_way, limits::bound))
        .route_layer(middleware::from_fn(error::as_accepted))
}

/// Managing projects.
fn of_an_account() -> Router<AppState> {
    let one = get(projects::find)
        .put(projects::set_status)
        .delete(projects::delete);
    Router::new()
        .route("/v2/project", get(projects::list).post(projects::create))
        .route("/v2/project/{api_key}", one)
        .route(
            "/v2/project/{api_key}/refreshSecret",
            post(projects::refresh_secret),
        )
}

/// What back ends find out and do in one project.
fn of_a_project() -> Router<AppState> {
    let of_a_session = Router::new()
        .route("/stream", get(streams::list).put(streams::set_classes))
        .route("/stream/{stream}", get(streams::find))
        .route("/stream/{stream}", put(streams::set_classes_of_one))
        .route("/stream/{stream}/mute", post(moderation::mute_stream))
        .route("/mute", post(moderation::mute_session))
        .route("/connection", get(connections::list))
        .route("/connection/{connection}", delete(connections::disconnect))
        .route("/connection/{connection}/signal", post(signals::to_one))
        .route("/signal", post(signals::to_all))
        .route("/play-dtmf", post(sip::dtmf_to_all))
        .route("/connection/{connection}/play-dtmf", post(sip::dtmf_to_one));
    let archive = get(archives::find).delete(archives::delete);
    let archive_layout = get(archives::layout).put(archives::set_layout);
    let broadcast_layout = get(broadcasts::layout).put(broadcasts::set_layout);
    // One SDK asks with POST.
    let render = get(renders::find).post(renders::find).delete(renders::stop);
    Router::new()
        .nest("/session/{session}", of_a_session)
        .route("/archive", get(archives::list).post(archives::start))
        .route(
            "/archive/storage",
            put(storage::set).delete(storage::delete),
        )
        .route("/archive/{id}", archive)
        .route("/archive/{id}/stop", post(archives::stop))
        .route("/archive/{id}/layout", archive_layout)
        .route("/archive/{id}/streams", patch(archives::select_stream))
        .route("/broadcast", get(broadcasts::list).post(broadcasts::start))
        .route("/broadcast/{id}", get(broadcasts::find))
        .route("/broadcast/{id}/stop", post(broadcasts::stop))
        .route("/broadcast/{id}/layout", broadcast_layout)
        .route("/broadcast/{id}/streams", patch(broadcasts::select_stream))
        .route("/dial", post(sip::dial))
        // As one SDK calls it.
        .route("/call", post(sip::dial))
        .route("/render", get(renders::list).post(renders::start))
        .route("/render/{id}", render)
        .route("/connect", post(connect::start))
        .route("/connect/{id}/stop", post(connect::stop))
        .route("/captions", post(captions::start))
        .route("/captions/{id}", get(captions::find))
        .route("/captions/{id}/stop", post(captions::stop))
        .route("/callback", get(callbacks::list).post(callbacks::register))
        .route("/callback/{id}", delete(callbacks::unregister))
        .route("/webhook", get(callbacks::owed))
}

/// What the client itself asks for before it opens its websocket.
fn for_clients(prefix: &str) -> Router<AppState> {
    let at = |path: &str| format!("{prefix}{path}");
    Router::new()
        .route(&at("/project/{key}/config.json"), get(bootstrap::config))
        .route(&at("/session/{session}"), get(bootstrap::session_info))
        .route(&at("/logging/{kind}"), post(bootstrap::client_log))
        .route(&at("/prod/logging/{kind}"), post(bootstrap::client_log))
}

async fn websocket(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => state.websockets.accept(query.as_deref(), upgrade),
        Err(_) => ApiError::NotFound.into_response(),
    }
}

/// Any page may ask: nothing here rests on cookies (`protocol/signaling.md`, 2.2).
fn cors() -> CorsLayer {
    const CLIENT_HEADERS: [&str; 5] = [
        "x-tb-token-auth",
        "x-opentok-auth",
        "x-tb-version",
        "x-tb-client-version",
        "x-tb-connectionid",
    ];
    let headers = CLIENT_HEADERS.map(HeaderName::from_static);
    let headers = headers
        .into_iter()
        .chain([header::CONTENT_TYPE, header::ACCEPT]);
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers(headers.collect::<Vec<_>>())
        .max_age(PREFLIGHT_MAX_AGE)
}
