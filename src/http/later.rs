//! What operations answer that check all they are asked, and cannot do it yet: 501. What they will
//! answer is described all the same.

use std::convert::Infallible;
use std::marker::PhantomData;

use axum::Json;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;

use super::error::ApiError;
use super::openapi::operation::{Gives, Operation};

/// Always the refusal.
pub type Answer<T> = Result<Later<T>, ApiError>;

/// What will be answered. There is none.
#[derive(Debug)]
pub struct Later<T>(Infallible, PhantomData<fn() -> T>);

impl<T> IntoResponse for Later<T> {
    fn into_response(self) -> Response {
        match self.0 {}
    }
}

impl<T: Gives> Gives for Later<T> {
    fn gives(operation: &mut Operation<'_>) {
        T::gives(operation);
        operation.not_there_yet();
        operation.refuses(&ApiError::Unsupported("This"));
    }
}

/// Answered with 202: it has begun.
#[derive(Debug)]
pub struct Accepted<T>(pub T);

impl<T: JsonSchema> Gives for Accepted<Json<T>> {
    fn gives(operation: &mut Operation<'_>) {
        let schema = operation.schema_of::<T>();
        operation.answer(202, "It has begun.", &[("application/json", schema)]);
    }
}

impl Gives for Accepted<()> {
    fn gives(operation: &mut Operation<'_>) {
        operation.answer(202, "It has begun.", &[]);
    }
}
