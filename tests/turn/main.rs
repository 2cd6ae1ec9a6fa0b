//! TURN with the real server: with coturn's clients, which know nothing of us, and with what
//! strangers send.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails here has failed; one that is skipped says so"
)]

mod abuse;
mod coturn;
mod ice_servers;
#[allow(dead_code, reason = "not every test needs all of it")]
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use parlor::clock::Clock;
use parlor::config::{Announce, CertificateFiles, Config};
use parlor::entropy::Entropy;
use parlor::model::project::Project;
use parlor::model::token;
use parlor::turn::ice_servers::Redacted;
use serde_json::Value;
use support::TestServer;

/// What the servers under test make credentials with.
const SECRET: &str = "the secret of the tests";

/// A server with TURN over UDP and TCP whose media is announced at an address of nobody.
async fn server() -> TestServer {
    server_with(|_| {}).await
}

async fn server_with(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(|config| {
        config.turn.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.turn.tcp = true;
        config.turn.secret = Some(Redacted::new(SECRET.into()));
        config.media.announce = Announce::Addresses(vec!["192.0.2.7".parse().unwrap()]);
        change(config);
    })
    .await
}

/// The certificate of the tests.
fn certificate() -> CertificateFiles {
    CertificateFiles {
        certificate: "tests/fixtures/tls/first.pem".into(),
        key: "tests/fixtures/tls/first.key".into(),
    }
}

/// What a connection with a good token is told in a routed session.
async fn ice_servers(server: &TestServer, connection: &str) -> Value {
    let (session, token) = server.join("room").await;
    told(server, (&session, &token), connection).await
}

/// What a connection is told in this session.
async fn told(server: &TestServer, (session, token): (&str, &str), connection: &str) -> Value {
    let url = format!("{}/session/{session}?extended=true", server.url);
    let request = reqwest::Client::new()
        .get(url)
        .header("X-OPENTOK-AUTH", token)
        .header("X-TB-CONNECTIONID", connection);
    let info: Value = request.send().await.unwrap().json().await.unwrap();
    info[0]["ice_servers"].clone()
}

/// A session of this media mode (`p2p.preference`), and a token for it.
async fn session(server: &TestServer, preference: &str) -> (String, String) {
    let key = &server.key;
    let request = reqwest::Client::new()
        .post(format!("{}/session/create", server.url))
        .header("X-TB-PARTNER-AUTH", format!("{key}:{}", server.secret))
        .header("Accept", "application/json")
        .form(&[("p2p.preference", preference)]);
    let created: Value = request.send().await.unwrap().json().await.unwrap();
    let session = created[0]["session_id"].as_str().unwrap();
    let project = Project {
        id: key.parse().unwrap(),
        secret: server.secret.parse().unwrap(),
        ..Project::generate("", 0, &mut Entropy::from_system())
    };
    let (id, now_s) = (session.parse().unwrap(), Clock::system().unix_ms() / 1000);
    let token = token::issue(&project, &id, "publisher", "", now_s, None);
    (session.to_owned(), token)
}

/// Puts a connection out, as a back end does.
async fn force_disconnect(server: &TestServer, session: &str, connection: &str) {
    let (url, key, secret) = (&server.url, &server.key, &server.secret);
    let url = format!("{url}/v2/project/{key}/session/{session}/connection/{connection}");
    let request = reqwest::Client::new()
        .delete(url)
        .header("X-TB-PARTNER-AUTH", format!("{key}:{secret}"));
    assert!(request.send().await.unwrap().status().is_success());
}
