//! What the API has and this server does not have yet (`protocol/rest.md`, 18).
//!
//! Callers are told so in the API's own way, and only if they may call at all.

use axum::Router;
use axum::routing::{MethodFilter, on};

use super::AppState;
use super::auth::AuthProject;
use super::error::ApiError;

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const DELETE: MethodFilter = MethodFilter::DELETE;

/// Path below a project, methods, and what they are about.
const OPERATIONS: [(&str, MethodFilter, &str); 2] = [
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
