//! Signals from a back end (`protocol/rest.md`, 9).

use serde_json::{Value, json};

use super::live::Live;
use super::whole::TestClient;

const UNKNOWN: &str = "8b732909-0a06-46a2-8ea8-074e64d43422";

#[tokio::test]
async fn a_signal_to_the_session_reaches_everybody_from_nobody() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let mut ben = live.join().await;
    let body = json!({"type": "chat", "data": "Hello"});
    let answer = live.ask("POST", "/signal", body.clone()).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    for client in [&mut ana, &mut ben] {
        assert_eq!(received(client).await, body);
    }
    live.shutdown().await;
}

#[tokio::test]
async fn a_signal_to_one_connection_reaches_only_that_connection() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let mut ben = live.join().await;
    let path = format!("/connection/{}/signal", ben.id);
    let answer = live
        .ask("POST", &path, json!({"type": "x", "data": "to ben"}))
        .await;
    assert_eq!(answer.status, 204);
    let answer = live.ask("POST", "/signal", json!({"data": "to all"})).await;
    assert_eq!(answer.status, 204);
    assert_eq!(received(&mut ben).await["data"], "to ben");
    assert_eq!(received(&mut ben).await["data"], "to all");
    assert_eq!(received(&mut ana).await["data"], "to all");
    live.shutdown().await;
}

#[tokio::test]
async fn every_way_in_which_an_sdk_writes_a_signal_is_understood() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let json_type = "Content-Type: application/json; charset=utf-8";
    let sent = [
        // Node writes its header like this.
        (
            "Content-type: application/json",
            r#"{"type":"a","data":"b"}"#,
            json!({"type": "a", "data": "b"}),
        ),
        // Java and .NET always send a type; the latter asks before it sends.
        (
            json_type,
            r#"{"type":null,"data":"b"}"#,
            json!({"data": "b"}),
        ),
        (
            "Content-Type: application/json\nExpect: 100-continue",
            r#"{"data":"b","type":null}"#,
            json!({"data": "b"}),
        ),
        // PHP's defaults.
        (json_type, r#"{"type":"","data":""}"#, json!({"data": ""})),
        // No type at all, and names and members nobody knows.
        (
            "Accept: */*",
            r#"{"DATA":"ü","extra":[1]}"#,
            json!({"data": "ü"}),
        ),
        // Types that a client could not send.
        (
            json_type,
            r#"{"type":"größe in cm","data":"1"}"#,
            json!({"type": "größe in cm", "data": "1"}),
        ),
    ];
    for (headers, body, expected) in sent {
        let answer = live.raw("POST", "/signal", headers, body).await;
        assert_eq!(answer.status, 204, "{body}");
        assert_eq!(received(&mut ana).await, expected);
    }
    live.shutdown().await;
}

#[tokio::test]
async fn a_signal_without_data_is_refused_with_the_platform_s_number() {
    let live = Live::start().await;
    let _ana = live.join().await;
    for body in [
        json!({}),
        json!({"type": "x"}),
        json!({"data": null}),
        Value::Null,
    ] {
        let answer = live.ask("POST", "/signal", body).await;
        assert_eq!(answer.status, 400);
        let message = "Signal payload 'data' must be set";
        let expected = json!({"code": 15202, "message": message, "description": message});
        assert_eq!(answer.json(), expected);
    }
    for body in [
        json!({"data": 1}),
        json!({"data": {}}),
        json!({"type": 1, "data": ""}),
    ] {
        live.ask("POST", "/signal", body).await.error(400);
    }
    live.shutdown().await;
}

#[tokio::test]
async fn limits_are_in_bytes() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let longest = json!({"type": "ü".repeat(64), "data": "ü".repeat(4096)});
    assert_eq!(
        live.ask("POST", "/signal", longest.clone()).await.status,
        204
    );
    assert_eq!(received(&mut ana).await, longest);
    for (kind, data) in [(129, 1), (1, 8193)] {
        let body = json!({"type": "t".repeat(kind), "data": "d".repeat(data)});
        live.ask("POST", "/signal", body).await.error(413);
    }
    live.shutdown().await;
}

#[tokio::test]
async fn where_nobody_hears_it_a_signal_is_not_found() {
    let live = Live::start().await;
    let body = json!({"data": "x"});
    let message = live.ask("POST", "/signal", body.clone()).await.error(404);
    let expected = "Not found. No clients are actively connected to the OpenTok session.";
    assert_eq!(message, expected);
    let _ana = live.join().await;
    let path = format!("/connection/{UNKNOWN}/signal");
    live.ask("POST", &path, body.clone()).await.error(404);
    live.ask("POST", "/connection/nobody/signal", body)
        .await
        .error(400);
    let path = format!("/v2/project/{}/session/{}/signal", live.key(), live.session);
    live.stranger("POST", &path).await.error(403);
    live.shutdown().await;
}

/// The next signal, which must come from nobody.
async fn received(client: &mut TestClient) -> Value {
    let (frame, event) = client.event("signal", "/signal/").await;
    assert_eq!(frame.header("X-TB-FROM-ADDRESS"), Some(""));
    event["content"].clone()
}

#[tokio::test]
async fn the_limits_are_those_of_the_settings() {
    let live = Live::start_with(|config| {
        config.limits.hub.signal.type_chars = 3;
        config.limits.hub.signal.data_chars = 9;
    })
    .await;
    let _client = live.join().await;
    for (kind, data, status) in [
        ("abc", "123456789", 204),
        ("abcd", "", 413),
        ("", "1234567890", 413),
    ] {
        let body = json!({"type": kind, "data": data});
        assert_eq!(
            live.ask("POST", "/signal", body).await.status,
            status,
            "{kind} {data}"
        );
    }
    live.shutdown().await;
}
