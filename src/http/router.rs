//! Every route on one screen, and what lies in front of them.

use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::extract::{DefaultBodyLimit, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tower_http::cors::{Any, CorsLayer};
use tower_http::trace::{DefaultOnFailure, DefaultOnResponse, TraceLayer};
use tracing::Level;

use super::AppState;
use super::error::{self, ApiError};
use super::limits::UnderWay;
use super::normalize::{self, Normalized};
use super::openapi::{self, Document, routes::Routes};
use super::{
    archives, bootstrap, broadcasts, callbacks, captions, connect, connections, demo, health,
    limits, moderation, network_test, page, projects, renders, requests, sessions, signals, sip,
    statistics, storage, streams,
};
use crate::ws::Upgrade;

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
    let routes = routes(
        state.config.auth.legacy_header,
        state.demo.is_some(),
        state.config.limits.network_tests > 0,
        state.draining.clone(),
        UnderWay::new(&state.config.http.crowd),
    );
    let (router, described, _) = routes.into_parts();
    router
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        // Websockets are welcome anywhere: proxies and `setProxyUrl` change the path at will.
        .fallback(websocket)
        .with_state(state)
        .layer(Extension(Document::of(described)))
        .layer(middleware::from_fn_with_state(requests, requests::count))
        .layer(body_limit)
        .layer(cors())
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(requests::span)
                .on_response(DefaultOnResponse::new().level(Level::DEBUG))
                .on_failure(DefaultOnFailure::new().level(Level::WARN)),
        )
}

/// All that is served: `legacy` as SDKs before 2017 call it, too.
fn routes(
    legacy: bool,
    demo: bool,
    network_tests: bool,
    draining: CancellationToken,
    under_way: UnderWay,
) -> Routes {
    let bounded = middleware::from_fn_with_state(under_way.clone(), limits::bound);
    let mut routes = Routes::default()
        .merge(of_an_account())
        .nest("/v2/project/{api_key}", of_a_project())
        .merge(for_clients())
        // An application that calls `OT.setProxyUrl` puts the host it would have asked in front.
        .also_below("/{host}", for_clients())
        .get("/openapi.json", openapi::document);
    if legacy {
        routes = routes.also_below("/v2/partner/{api_key}", of_a_project());
    }
    if demo {
        routes = routes.post("/demo/join", demo::join);
    }
    if network_tests {
        routes = routes.page("/test/session", post(network_test::begin));
    }
    for path in page::paths().filter(|path| network_tests || *path != page::NETWORK_TEST) {
        let page = get(move |headers: HeaderMap| async move { page::file(path, &headers) });
        routes = routes.page(path, page);
    }
    routes
        .route_layer(bounded)
        .merge(new_sessions(draining, under_way))
        .get("/healthz", health::alive)
        .get("/readyz", health::ready)
}

/// Creating sessions, as long as this server takes new ones. Whoever is refused is told in the
/// format that they read.
fn new_sessions(draining: CancellationToken, under_way: UnderWay) -> Routes {
    Routes::default()
        .post("/session/create", sessions::create)
        .post("/session", sessions::create)
        .post("/hl/session/create", sessions::create)
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
fn of_an_account() -> Routes {
    Routes::default()
        .get("/v2/project", projects::list)
        .post("/v2/project", projects::create)
        .get("/v2/project/{api_key}", projects::find)
        .put("/v2/project/{api_key}", projects::set_status)
        .delete("/v2/project/{api_key}", projects::delete)
        .post(
            "/v2/project/{api_key}/refreshSecret",
            projects::refresh_secret,
        )
}

/// What back ends find out and do in one project.
fn of_a_project() -> Routes {
    Routes::default()
        .nest("/session/{session}", of_a_session())
        .get("/archive", archives::list)
        .post("/archive", archives::start)
        .put("/archive/storage", storage::set)
        .delete("/archive/storage", storage::delete)
        .get("/archive/{id}", archives::find)
        .delete("/archive/{id}", archives::delete)
        .post("/archive/{id}/stop", archives::stop)
        .get("/archive/{id}/layout", archives::layout)
        .put("/archive/{id}/layout", archives::set_layout)
        .patch("/archive/{id}/streams", archives::select_stream)
        .get("/broadcast", broadcasts::list)
        .post("/broadcast", broadcasts::start)
        .get("/broadcast/{id}", broadcasts::find)
        .post("/broadcast/{id}/stop", broadcasts::stop)
        .get("/broadcast/{id}/layout", broadcasts::layout)
        .put("/broadcast/{id}/layout", broadcasts::set_layout)
        .patch("/broadcast/{id}/streams", broadcasts::select_stream)
        .post("/dial", sip::dial)
        // As one SDK calls it.
        .post("/call", sip::dial)
        .get("/render", renders::list)
        .post("/render", renders::start)
        .get("/render/{id}", renders::find)
        // One SDK asks with POST.
        .post("/render/{id}", renders::find)
        .delete("/render/{id}", renders::stop)
        .post("/connect", connect::start)
        .post("/connect/{id}/stop", connect::stop)
        .post("/captions", captions::start)
        .get("/captions/{id}", captions::find)
        .post("/captions/{id}/stop", captions::stop)
        .get("/callback", callbacks::list)
        .post("/callback", callbacks::register)
        .delete("/callback/{id}", callbacks::unregister)
        .get("/webhook", callbacks::owed)
}

/// What back ends find out and do in one session.
fn of_a_session() -> Routes {
    Routes::default()
        .get("/stream", streams::list)
        .put("/stream", streams::set_classes)
        .get("/stream/{stream}", streams::find)
        .put("/stream/{stream}", streams::set_classes_of_one)
        .post("/stream/{stream}/mute", moderation::mute_stream)
        .post("/mute", moderation::mute_session)
        .get("/statistics", statistics::list)
        .get("/connection", connections::list)
        .delete("/connection/{connection}", connections::disconnect)
        .post("/connection/{connection}/signal", signals::to_one)
        .post("/signal", signals::to_all)
        .post("/play-dtmf", sip::dtmf_to_all)
        .post("/connection/{connection}/play-dtmf", sip::dtmf_to_one)
}

/// What the client itself asks for before it opens its websocket.
fn for_clients() -> Routes {
    Routes::default()
        .get("/project/{key}/config.json", bootstrap::config)
        .get("/session/{session}", bootstrap::session_info)
        .post("/logging/{kind}", bootstrap::client_log)
        .post("/prod/logging/{kind}", bootstrap::client_log)
}

async fn websocket(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    upgrade: Result<Upgrade, StatusCode>,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::http::Crowd;
    use crate::http::openapi::describe;
    use crate::http::openapi::texts::Texts;

    fn all() -> Routes {
        let under_way = UnderWay::new(&Crowd {
            connections: 1,
            of_one_address: 1,
            requests: 1,
        });
        routes(true, true, true, CancellationToken::new(), under_way)
    }

    /// The paths that a router knows, from what it prints of itself.
    fn served(router: &Router<AppState>) -> BTreeSet<String> {
        let printed = format!("{router:?}");
        let (_, paths) = printed.split_once("paths: {").unwrap();
        let mut quoted = paths.split('"').skip(1).step_by(2);
        std::iter::from_fn(|| quoted.next())
            .filter(|text| text.starts_with('/') && !text.contains("__private__"))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let (router, described, undescribed) = all().into_parts();
        let document = describe(&described);
        let paths = document["paths"].as_object().unwrap().keys().cloned();
        let known: BTreeSet<_> = paths.chain(undescribed).collect();
        assert_eq!(served(&router), known);
        assert!(known.len() > 60, "{known:?}");
    }

    #[test]
    fn every_operation_has_words_and_all_words_an_operation() {
        let (_, described, _) = all().into_parts();
        let handlers: BTreeSet<_> = described
            .iter()
            .map(|route| route.handler.to_owned())
            .collect();
        let texts = Texts::load();
        assert_eq!(handlers, texts.handlers().collect());
        for handler in handlers {
            let (module, _) = handler.split_once("::").unwrap();
            assert!(texts.group(module).is_some(), "{handler} is in no group");
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_their_parameters() {
        let (_, described, _) = all().into_parts();
        let document = describe(&described);
        let mut ids = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} twice");
                let parameters = operation["parameters"].as_array().unwrap().iter();
                let in_path = parameters.filter(|it| it["in"] == "path").count();
                assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
                let answers = operation["responses"].as_object().unwrap();
                assert!(!answers.is_empty(), "{method} {path}");
            }
        }
    }

    #[test]
    fn links_lead_to_operations_that_ask_for_what_they_give() {
        let (_, described, _) = all().into_parts();
        let document = describe(&described);
        let paths = document["paths"].as_object().unwrap().values();
        let operations: Vec<_> = paths
            .flat_map(|it| it.as_object().unwrap().values())
            .collect();
        let mut count = 0;
        for operation in &operations {
            let links = operation["responses"]["200"]["links"].as_object();
            for link in links.into_iter().flat_map(|links| links.values()) {
                let to = operations
                    .iter()
                    .find(|other| other["operationId"] == link["operationId"]);
                let asked = to.unwrap()["parameters"].as_array().unwrap();
                for name in link["parameters"].as_object().unwrap().keys() {
                    assert!(asked.iter().any(|asked| asked["name"] == *name), "{link}");
                }
                count += 1;
            }
        }
        // Sessions are created under three names.
        assert_eq!(count, 3 * 3 + 1 + 4);
    }

    #[test]
    fn what_is_not_there_yet_says_so_and_what_it_will_answer() {
        let (_, described, _) = all().into_parts();
        let document = describe(&described);
        let mut later = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let answers = operation["responses"].as_object().unwrap();
                assert!(
                    answers.keys().any(|s| s.starts_with('2')),
                    "{method} {path}"
                );
                let marked = operation["x-not-there-yet"] == true;
                assert_eq!(answers.contains_key("501"), marked, "{method} {path}");
                later += usize::from(marked);
            }
        }
        // Archives, where they go, broadcasts, SIP, renders, Audio Connector, captions; aliases too.
        assert_eq!(later, 8 + 2 + 7 + 4 + 5 + 2 + 3);
        let answer = |path: &str, method: &str, status: &str| {
            let operation = &document["paths"][format!("/v2/project/{{api_key}}{path}")][method];
            operation["responses"][status]["content"]["application/json"]["schema"].clone()
        };
        let named =
            |name: &str| serde_json::json!({"$ref": format!("#/components/schemas/{name}")});
        assert_eq!(answer("/archive", "post", "200"), named("Archive"));
        assert_eq!(answer("/broadcast", "get", "200"), named("BroadcastList"));
        assert_eq!(answer("/render", "post", "202"), named("Render"));
        assert_eq!(answer("/captions", "post", "202"), named("CaptionsStarted"));
        let statuses = &document["components"]["schemas"]["ArchiveStatus"].to_string();
        for word in [
            "started",
            "paused",
            "stopped",
            "uploaded",
            "available",
            "expired",
            "failed",
        ] {
            assert!(statuses.contains(word), "{word} in {statuses}");
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there_under_one_name() {
        let (_, described, _) = all().into_parts();
        let document = describe(&described);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let numbered = |name: &&String| name.ends_with(|last: char| last.is_ascii_digit());
        assert_eq!(
            schemas.keys().find(numbered),
            None,
            "two types have one name"
        );
        let text = document.to_string();
        let named = text.split("\"#/components/schemas/").skip(1);
        for name in named.map(|rest| rest.split('"').next().unwrap()) {
            assert!(schemas.contains_key(name), "{name}");
        }
    }
}
