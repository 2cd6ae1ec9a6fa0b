//! What reverse proxies say is believed, and what others say is not.

use serde_json::{Value, json};

use super::live::Live;
use super::raw::Raw;

/// Where a client that sends these headers is told to open its websocket.
async fn messaging_url(live: &Live, headers: &str) -> String {
    let (session, token) = (&live.session, live.client_token(json!({})));
    let request = format!(
        "GET /session/{session} HTTP/1.1\r\nHost: inner:8080\r\nX-OPENTOK-AUTH: {token}\r\n\
         {headers}\r\n"
    );
    let answer = Raw::connect(live.addr()).await.ask(&request).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let info: Value = serde_json::from_str(body).unwrap();
    info[0]["messaging_url"].as_str().unwrap().to_owned()
}

const BY_TLS: &str = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\
                      X-Forwarded-Host: video.example.com\r\n";
const STANDARD: &str = "Forwarded: for=9.9.9.9;proto=https;host=video.example.com\r\n";

#[tokio::test]
async fn clients_behind_a_proxy_that_speaks_tls_are_sent_back_there() {
    // The proxy on this machine is trusted unless the settings say otherwise.
    let live = Live::start().await;
    assert_eq!(messaging_url(&live, "").await, "ws://inner:8080/rumor");
    let outside = "wss://video.example.com/rumor";
    assert_eq!(messaging_url(&live, BY_TLS).await, outside);
    assert_eq!(messaging_url(&live, STANDARD).await, outside);
    let scheme_only = "X-Forwarded-Proto: https\r\n";
    assert_eq!(
        messaging_url(&live, scheme_only).await,
        "wss://inner:8080/rumor"
    );
    live.shutdown().await;
}

#[tokio::test]
async fn from_strangers_these_headers_mean_nothing() {
    let live = Live::start_with(|config| {
        config.http.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    for lie in [BY_TLS, STANDARD] {
        assert_eq!(messaging_url(&live, lie).await, "ws://inner:8080/rumor");
    }
    live.shutdown().await;
}

#[tokio::test]
async fn a_public_url_in_the_settings_is_above_all() {
    let live = Live::start_with(|config| {
        config.http.public_url = Some("https://video.example.com/parlor".parse().unwrap());
    })
    .await;
    let lie = "X-Forwarded-Proto: http\r\nX-Forwarded-Host: evil\r\n";
    let url = messaging_url(&live, lie).await;
    assert_eq!(url, "wss://video.example.com/parlor/rumor");
    live.shutdown().await;
}
