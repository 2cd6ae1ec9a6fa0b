//! What the API has and this server does not have yet (`protocol/rest.md`, 11 to 18).
//!
//! Callers are told so in the API's own way, and only if they may call at all.

use axum::Router;
use axum::routing::{MethodFilter, on};

use super::AppState;
use super::auth::AuthProject;
use super::error::ApiError;

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PUT: MethodFilter = MethodFilter::PUT;
const PATCH: MethodFilter = MethodFilter::PATCH;
const DELETE: MethodFilter = MethodFilter::DELETE;

/// Path below a project, methods, and what they are about.
const OPERATIONS: [(&str, MethodFilter, &str); 24] = [
    ("/archive", GET.or(POST), "Archiving"),
    ("/archive/storage", PUT.or(DELETE), "Archiving"),
    ("/archive/{id}", GET.or(DELETE), "Archiving"),
    ("/archive/{id}/stop", POST, "Archiving"),
    ("/archive/{id}/layout", GET.or(PUT), "Archiving"),
    ("/archive/{id}/streams", PATCH, "Archiving"),
    ("/broadcast", GET.or(POST), "Broadcasting"),
    ("/broadcast/{id}", GET, "Broadcasting"),
    ("/broadcast/{id}/stop", POST, "Broadcasting"),
    ("/broadcast/{id}/layout", GET.or(PUT), "Broadcasting"),
    ("/broadcast/{id}/streams", PATCH, "Broadcasting"),
    ("/dial", POST, "SIP"),
    ("/call", POST, "SIP"),
    ("/session/{session}/play-dtmf", POST, "SIP"),
    (
        "/session/{session}/connection/{connection}/play-dtmf",
        POST,
        "SIP",
    ),
    ("/render", GET.or(POST), "Experience Composer"),
    (
        "/render/{id}",
        GET.or(POST).or(DELETE),
        "Experience Composer",
    ),
    ("/connect", POST, "Audio Connector"),
    ("/connect/{id}/stop", POST, "Audio Connector"),
    ("/captions", POST, "Captioning"),
    ("/captions/{id}", GET, "Captioning"),
    ("/captions/{id}/stop", POST, "Captioning"),
    ("/callback", GET.or(POST), "Callback registration"),
    ("/callback/{id}", DELETE, "Callback registration"),
];

/// Routes for all of them, to be nested below a project.
pub fn routes() -> Router<AppState> {
    let mut routes = Router::new();
    for (path, methods, what) in OPERATIONS {
        let refuse = async move |_: AuthProject| ApiError::Unsupported(what);
        routes = routes.route(path, on(methods, refuse));
    }
    routes
}
