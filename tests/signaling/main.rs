//! Clients of the real server over real websockets: join, signal, resume, refusals, shutdown.
//! What the hub decides in detail is tested next to the hub.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod bootstrap;

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::json;
use support::{TestClient, TestServer};
use tokio_tungstenite::tungstenite::Message;

/// A client that has joined.
async fn joined(server: &TestServer, name: &str) -> TestClient {
    let (session, token) = server.join(name).await;
    let mut client = TestClient::open(server, &session, &token).await;
    let (status, _) = client.join(&token).await;
    assert_eq!(status, "200");
    client
}

#[tokio::test]
async fn a_joiner_gets_the_state_of_the_session_and_others_hear_of_it() {
    let server = TestServer::start().await;
    let mut ana = joined(&server, "room").await;

    let (session, token) = server.join("room").await;
    let mut ben = TestClient::open(&server, &session, &token).await;
    let (status, state) = ben.join(&token).await;
    assert_eq!(status, "200");
    assert_eq!(state["id"], session);
    assert_eq!(state["stream"], json!([]));
    assert_eq!(state["archive"], json!([]));
    let listed = state["connection"].as_array().unwrap();
    assert!(listed.iter().any(|each| each["id"] == ana.id.to_string()));

    let (_, created) = ana.event("created", &ben.id.to_string()).await;
    assert_eq!(created["content"]["id"], ben.id.to_string());
    server.shutdown().await;
}

#[tokio::test]
async fn a_signal_to_all_reaches_the_other_and_says_who_sent_it() {
    let server = TestServer::start().await;
    let mut ana = joined(&server, "room").await;
    let mut ben = joined(&server, "room").await;
    assert_eq!(ana.signal("chat", "hello").await, "200");
    let (frame, event) = ben.event("signal", "/signal/").await;
    assert_eq!(event["content"], json!({"type": "chat", "data": "hello"}));
    let from = ana.id.to_string();
    assert_eq!(frame.header("X-TB-FROM-ADDRESS"), Some(from.as_str()));
    server.shutdown().await;
}

#[tokio::test]
async fn what_was_sent_to_a_client_while_it_was_away_arrives_after_its_resume() {
    let server = TestServer::start().await;
    let mut ana = joined(&server, "room").await;
    let mut ben = joined(&server, "room").await;
    ana.event("created", &ben.id.to_string()).await;
    ana.lose();
    assert_eq!(ben.signal("while", "away").await, "200");
    ana.resume().await;
    let (_, event) = ana.event("signal", "/signal/").await;
    assert_eq!(event["content"]["data"], "away");
    server.shutdown().await;
}

#[tokio::test]
async fn a_resume_that_nobody_knows_is_closed_so_that_the_client_gives_up() {
    let server = TestServer::start().await;
    let (session, token) = server.join("room").await;
    let mut client = TestClient::pretend_to_resume(&server, &session, &token).await;
    // What a client sends that believes to have joined.
    client
        .send(Message::Binary(bytes::Bytes::from_static(&[
            0, 0, 0, 5, 0, 0, 7, 0, 0,
        ])))
        .await;
    assert_eq!(client.closed().await, Some(1011));
    server.shutdown().await;
}

#[tokio::test]
async fn a_bad_token_is_refused_in_session_info_and_on_the_websocket() {
    let server = TestServer::start().await;
    let (session, token) = server.join("room").await;
    let (_, foreign) = server.join("another room").await;
    for bad in ["", "T1==bm9uc2Vuc2U=", &foreign] {
        let info = server
            .session_info("/anvil.opentok.com", &session, bad)
            .await;
        assert_eq!(info[0]["error"]["code"], 403, "{bad}");
    }
    let unknown = format!("{}AAAA", &session[..session.len() - 4]);
    let info = server.session_info("", &unknown, &token).await;
    assert_eq!(info[0]["error"]["code"], 404);

    let mut client = TestClient::open(&server, &session, &token).await;
    let (status, payload) = client.join(&foreign).await;
    assert_eq!(status, "403");
    assert!(payload["reason"].is_string());
    assert_eq!(client.closed().await, Some(1011));
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_no_frame_ends_that_websocket_only() {
    let server = TestServer::start().await;
    let mut ana = joined(&server, "room").await;
    let mut ben = joined(&server, "room").await;
    ben.send(Message::Text("hello".into())).await;
    assert!(ben.closed().await.is_some());
    ana.event("deleted", &ben.id.to_string()).await;
    assert_eq!(ana.signal("still", "here").await, "200");
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_longer_than_the_limit_closes_that_websocket_and_no_other() {
    let server = TestServer::start().await;
    let mut ana = joined(&server, "room").await;
    let mut ben = joined(&server, "room").await;
    ben.send(Message::Binary(vec![0; 256 * 1024 + 1].into()))
        .await;
    assert_eq!(ben.closed().await, Some(1009));
    assert_eq!(ana.signal("still", "here").await, "200");
    server.shutdown().await;
}

#[tokio::test]
async fn shutdown_closes_websockets_for_good_and_leaves_nothing_running() {
    let server = TestServer::start().await;
    let (url, media) = (server.url.clone(), server.media_addr());
    let mut client = joined(&server, "room").await;
    let (_, code) = tokio::join!(server.shutdown(), client.closed());
    assert_eq!(code, Some(1011), "the client must not try to resume");
    let gone = reqwest::get(&url).await.unwrap_err();
    assert!(gone.is_connect(), "{gone}");
    UdpSocket::bind(media).expect("the media port is free again");
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_does_not_stop_the_shutdown() {
    let server = TestServer::start_with(|config| {
        config.limits.shutdown = Duration::from_millis(500);
    })
    .await;
    let media = server.media_addr();
    let mut slow = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    slow.write_all(b"POST /logging/ClientEvent HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        .unwrap();
    // An answer to a later request: by then the slow one has been read as far as it goes.
    server.join("room").await;
    server.shutdown().await;
    UdpSocket::bind(media).expect("the rest was closed in order");
}
