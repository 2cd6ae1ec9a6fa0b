//! REST, from the bytes an SDK writes to the row in the database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auth;
mod sdks;
mod sessions;
mod store;
mod support;
