//! REST, from the bytes an SDK writes to the row in the database or to what clients see.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auth;
mod connections;
mod killed;
mod later;
mod limits;
mod live;
mod moderation;
mod openapi;
mod postgres;
mod projects;
mod proxies;
mod raw;
mod receiver;
mod sdk_calls;
mod sdks;
mod servers;
mod sessions;
mod signals;
mod slow;
mod store;
mod streams;
mod support;
mod webhooks;

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "clients here neither get lost nor resume")]
mod whole;

#[path = "../support/process.rs"]
mod process;
