//! What a client fetches before it opens a websocket.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::TestServer;

#[tokio::test]
async fn session_info_has_every_field_that_the_client_insists_on() {
    let server = TestServer::start().await;
    let (session, token) = server.join("room").await;
    let host = server.url.strip_prefix("http://").unwrap();
    for prefix in ["", "/anvil.opentok.com", "/127.0.0.1:8080"] {
        let info = server.session_info(prefix, &session, &token).await;
        let info = info.as_array().unwrap()[0].clone();
        assert_eq!(info["session_id"], session);
        assert_eq!(
            info["partner_id"],
            json!(server.key),
            "a string, not a number"
        );
        assert_eq!(info["messaging_url"], format!("ws://{host}/rumor"));
        assert!(
            info["symphony_address"]
                .as_str()
                .unwrap()
                .starts_with("symphony.")
        );
        assert_eq!(info["ice_servers"], json!([]));
        assert_eq!(info["properties"]["p2p"]["preference"]["value"], "disabled");
        assert_eq!(info["properties"]["reconnection"], true);
        assert_eq!(info["properties"]["renegotiation"], true);
        assert_eq!(info["properties"]["streamSimulcastRidEnabled"], true);
        assert_eq!(info["properties"]["singlePeerConnection"], true);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_config_of_a_project_is_empty_wherever_it_is_asked_for() {
    let server = TestServer::start().await;
    for prefix in ["", "/config.opentok.com"] {
        let url = format!("{}{prefix}/project/{}/config.json", server.url, server.key);
        let config: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(config, json!({}));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn logs_of_clients_are_accepted_whatever_they_are() {
    let server = TestServer::start().await;
    let long = "x".repeat(200 * 1024);
    for path in [
        "/logging/ClientEvent",
        "/hlg.tokbox.com/prod/logging/ClientQos",
    ] {
        for body in [
            "{\"variation\":\"Failure\",\"action\":7}",
            "no JSON",
            "",
            &long,
        ] {
            let request = Client::new().post(format!("{}{path}", server.url));
            let response = request.body(body.to_owned()).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}");
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_preflight_allows_what_the_client_sends() {
    let server = TestServer::start().await;
    let request = Client::new()
        .request(
            Method::OPTIONS,
            format!("{}/anvil.opentok.com/session/S", server.url),
        )
        .header("Origin", "https://app.example")
        .header("Access-Control-Request-Method", "GET")
        .header(
            "Access-Control-Request-Headers",
            "x-opentok-auth,x-tb-version",
        );
    let response = request.send().await.unwrap();
    assert!(response.status().is_success());
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_lowercase();
    assert_eq!(header("access-control-allow-origin"), "*");
    for name in [
        "x-opentok-auth",
        "x-tb-token-auth",
        "x-tb-client-version",
        "content-type",
    ] {
        assert!(
            header("access-control-allow-headers").contains(name),
            "{name}"
        );
    }
    server.shutdown().await;
}

#[tokio::test]
async fn what_does_not_exist_is_told_in_json_and_across_origins() {
    let server = TestServer::start().await;
    let http = Client::new();
    for (method, path, status) in [
        (Method::GET, "/no/such/thing", StatusCode::NOT_FOUND),
        (
            Method::DELETE,
            "/session/create",
            StatusCode::METHOD_NOT_ALLOWED,
        ),
    ] {
        let request = http.request(method, format!("{}{path}", server.url));
        let response = request
            .header("Accept", "application/json")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(response.json::<Value>().await.unwrap()["code"].is_number());
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_demo_page_is_served_once_and_then_only_when_it_has_changed() {
    let server = TestServer::start().await;
    let http = Client::new();
    let first = http.get(&server.url).send().await.unwrap();
    assert_eq!(first.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(first.headers()["x-content-type-options"], "nosniff");
    let etag = first.headers()["etag"].clone();
    let again = http
        .get(&server.url)
        .header("If-None-Match", etag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    server.shutdown().await;
}
