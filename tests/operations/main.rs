//! What operators do to a running server, and what it tells them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "clients here do only some of what they can")]
mod support;

mod acme;
mod backup;
mod commands;
mod doctor;
mod doctor_call;
mod drain;
mod health;
mod log_level;
mod metrics;
mod packaging;
mod proxy;
mod statistics;
mod tls;

use process::Process;
use support::{Site, TestClient};

/// How clients see a process.
fn site(process: &Process) -> Site {
    let text = |field: &str| process.ready[field].as_str().unwrap();
    Site::new(text("url"), text("api_key"), text("api_secret"))
}

/// A client that has joined a named session, and its token.
async fn joined(site: &Site, name: &str) -> TestClient {
    let (session, token) = site.join(name).await;
    let mut client = TestClient::open(site, &session, &token).await;
    assert_eq!(client.join(&token).await.0, "200");
    client
}

/// Status and body of a GET.
async fn get(url: &str) -> (u16, String) {
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}
