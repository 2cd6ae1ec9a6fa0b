//! What operations answer that check all they are asked, and cannot do it yet.

use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::openapi::operation::{Gives, Operation};

/// Always the refusal.
pub type Answer = Result<Later, ApiError>;

/// What will be answered. There is none.
#[derive(Debug)]
pub enum Later {}

impl IntoResponse for Later {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl Gives for Later {
    fn gives(operation: &mut Operation<'_>) {
        operation.refuses(&ApiError::Unsupported("This"));
    }
}

/// Says that a good request asks for something that this server has not: a 501.
pub const fn later(what: &'static str) -> Answer {
    Err(ApiError::Unsupported(what))
}
