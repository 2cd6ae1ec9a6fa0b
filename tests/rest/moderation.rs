//! Muting others (`protocol/rest.md`, 10.2 and 10.3).

use serde_json::{Value, json};

use super::live::Live;
use super::whole::TestClient;

const UNKNOWN: &str = "8b732909-0a06-46a2-8ea8-074e64d43422";

#[tokio::test]
async fn a_publisher_is_asked_to_mute_its_stream() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let stream = live.publish_camera(&mut ana, "cam").await;
    let path = format!("/stream/{stream}/mute");
    // Without a body, with an empty one of some type, and with nothing in it.
    let json_type = "Content-Type: application/json";
    for (more, body) in [
        ("Accept: */*", ""),
        (json_type, ""),
        (json_type, "{}"),
        (json_type, "[]"),
    ] {
        let answer = live.raw("POST", &path, more, body).await;
        assert_eq!(answer.status, 200);
        assert_is_the_project(&live, &answer.json());
        let expected =
            json!({"reason": "mute", "channels": ["audio"], "active": true, "locked": false});
        let (_, event) = ana.event("update", &stream).await;
        assert_eq!(event["content"], expected);
    }
    live.shutdown().await;
}

#[tokio::test]
async fn everybody_but_the_excluded_is_muted_until_that_is_lifted() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let loud = live.publish_camera(&mut ana, "loud").await;
    let quiet = live.publish_camera(&mut ana, "quiet").await;
    let names = [
        // Java, .NET; then Python, PHP, Ruby; then Node as its documentation spells it.
        "excludedStreamIds",
        "excludedStreams",
        "excudedStreamIds",
    ];
    for name in names {
        let body = json!({"active": true, name: [loud]});
        let answer = live.ask("POST", "/mute", body).await;
        assert_eq!(answer.status, 200);
        assert_is_the_project(&live, &answer.json());
        assert_eq!(session_muted(&mut ana, &live).await, true);
        // Had the excluded stream been muted too, this would be about that.
        let (_, event) = ana.event("update", "/stream/").await;
        assert!(
            event["uri"].as_str().unwrap().ends_with(&quiet),
            "{name}: {event}"
        );
    }
    // Ruby sends booleans as text.
    let answer = live.ask("POST", "/mute", json!({"active": "false"})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(session_muted(&mut ana, &live).await, false);
    live.shutdown().await;
}

#[tokio::test]
async fn an_empty_session_can_be_muted_before_anybody_comes() {
    let live = Live::start().await;
    let mute = async |active: bool| {
        let body = json!({"active": active, "excludedStreamIds": null});
        assert_eq!(live.ask("POST", "/mute", body).await.status, 200);
    };
    mute(true).await;
    assert_eq!(
        live.state_for_newcomer().await["mute"],
        json!({"active": true})
    );
    mute(false).await;
    assert_eq!(live.state_for_newcomer().await.get("mute"), None);
    live.shutdown().await;
}

#[tokio::test]
async fn what_makes_no_sense_or_does_not_exist_is_refused() {
    let live = Live::start().await;
    let _ana = live.join().await;
    let refused = [
        json!({}),
        json!({"active": null}),
        json!({"active": 1}),
        json!({"active": "maybe"}),
        json!({"active": true, "excludedStreams": UNKNOWN}),
        json!({"active": true, "excludedStreams": [1]}),
        json!({"active": true, "excludedStreams": ["x"]}),
        json!({"active": false, "excludedStreams": ["x"]}),
    ];
    for body in refused {
        live.ask("POST", "/mute", body).await.error(400);
    }
    let ignored = json!({"active": false, "excludedStreams": [UNKNOWN]});
    assert_eq!(live.ask("POST", "/mute", ignored).await.status, 200);
    let unknown = format!("/stream/{UNKNOWN}/mute");
    live.ask("POST", &unknown, Value::Null).await.error(404);
    live.ask("POST", "/stream/x/mute", Value::Null)
        .await
        .error(408);
    let base = format!("/v2/project/{}/session/{}", live.key(), live.session);
    live.stranger("POST", &format!("{base}/mute"))
        .await
        .error(403);
    live.stranger("POST", &format!("{base}{unknown}"))
        .await
        .error(403);
    let never = format!(
        "/v2/project/{}/session/1_MX4yMTQ3NDgzNjQ3fn4xfnh-UH5-/mute",
        live.key()
    );
    live.ask_at("POST", &never, json!({"active": true}))
        .await
        .error(404);
    live.shutdown().await;
}

/// What the next change for the whole session says.
async fn session_muted(client: &mut TestClient, live: &Live) -> Value {
    loop {
        let (_, event) = client.event("update", &live.session).await;
        if event["uri"].as_str().unwrap().ends_with(&live.session) {
            return event["content"]["active"].clone();
        }
    }
}

fn assert_is_the_project(live: &Live, body: &Value) {
    assert_eq!(body["id"], live.key());
    assert_eq!(body["status"], "ACTIVE");
    assert_eq!(body.get("secret"), None);
}
