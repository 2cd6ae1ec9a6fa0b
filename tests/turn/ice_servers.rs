//! What clients are told in session info.

use parlor::turn::credential::Issuer;
use parlor::turn::ice_servers::{Elsewhere, ElsewhereAuth, Redacted};

use super::support::TestServer;
use super::{SECRET, ice_servers, server, server_with, session, told};

const CONNECTION: &str = "7b2f4c1e-66f0-4a53-9d1a-3f0c5c2b8a10";

#[tokio::test]
async fn a_connection_is_told_every_way_with_a_credential_of_its_own() {
    let server = server().await;
    let list = ice_servers(&server, CONNECTION).await;
    let port = server.turn_addr().port();
    let http = server.url.strip_prefix("http://").unwrap();
    let urls = serde_json::json!([
        format!("turn:192.0.2.7:{port}?transport=udp"),
        format!("turn:{http}?transport=tcp"),
    ]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!((&list[0]["urls"], &list[0]["url"]), (&urls, &urls[0]));
    let username = list[0]["username"].as_str().unwrap();
    let (expiry, connection) = username.split_once(':').unwrap();
    assert_eq!(connection, CONNECTION);
    let expected = Issuer::new(SECRET.as_bytes()).issue(expiry.parse().unwrap(), connection);
    assert_eq!(list[0]["credential"], expected.password);
}

#[tokio::test]
async fn where_no_udp_comes_through_only_those_are_told_of_turn_who_may_speak_to_each_other() {
    let server = server_with(|config| config.media.udp = false).await;
    let http = server.url.strip_prefix("http://").unwrap();
    let urls = serde_json::json!([format!("turn:{http}?transport=tcp")]);
    for (preference, expected) in [("enabled", Some(&urls)), ("disabled", None)] {
        let (session, token) = session(&server, preference).await;
        let list = told(&server, (&session, &token), CONNECTION).await;
        assert_eq!(
            list.as_array().unwrap().len(),
            usize::from(expected.is_some())
        );
        assert_eq!(list.get(0).map(|server| &server["urls"]), expected);
    }
}

#[tokio::test]
async fn without_a_turn_server_there_are_only_those_elsewhere() {
    let server = TestServer::start().await;
    assert_eq!(
        ice_servers(&server, CONNECTION).await,
        serde_json::json!([])
    );
    let server = server_with(|config| {
        config.turn.listen = None;
        config.turn.tcp = false;
        config.ice = Elsewhere {
            urls: vec!["turn:turn.example.com:3478".parse().unwrap()],
            auth: ElsewhereAuth::Static {
                username: "parlor".into(),
                credential: Redacted::new("hush".into()),
            },
        };
    })
    .await;
    assert_eq!(
        ice_servers(&server, CONNECTION).await,
        serde_json::json!([{
            "url": "turn:turn.example.com:3478",
            "urls": ["turn:turn.example.com:3478"],
            "username": "parlor",
            "credential": "hush",
        }])
    );
}

#[tokio::test]
async fn nobody_without_a_good_token_is_told_anything() {
    let server = server().await;
    let (session, _) = server.join("room").await;
    let info = server.session_info("", &session, "no token").await;
    assert_eq!(info[0]["error"]["code"], 403);
    assert!(info[0].get("ice_servers").is_none());
}
