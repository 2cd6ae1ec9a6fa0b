//! Connections: who is there, and out with them (`protocol/rest.md`, 8.5 and 10.1).

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::live::Live;

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(20);

const UNKNOWN: &str = "8b732909-0a06-46a2-8ea8-074e64d43422";

#[tokio::test]
async fn connections_are_listed_with_exactly_what_the_strict_sdk_knows() {
    let live = Live::start().await;
    let empty = json!({
        "count": 0, "projectId": live.key(), "sessionId": live.session, "items": [],
    });
    let list = async |path| live.ask("GET", path, Value::Null).await.json();
    assert_eq!(list("/connection").await, empty);

    let ana = live.join().await;
    let ben = live.join().await;
    // One SDK puts a slash at the end.
    let listed = list("/connection/").await;
    assert_eq!(listed.as_object().unwrap().len(), 4);
    assert_eq!(listed["count"], 2);
    let items = listed["items"].as_array().unwrap();
    for (item, client) in items.iter().zip([&ana, &ben]) {
        assert_eq!(item["connectionId"], client.id.to_string());
        assert_eq!(item["connectionState"], "Connected");
        assert!(item["createdAt"].as_i64().unwrap() > 1_700_000_000_000);
    }
    live.shutdown().await;
}

#[tokio::test]
async fn a_client_that_is_away_is_about_to_connect() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    ana.lose();
    // The server hears of both by and by.
    let until = async |expected: &str| {
        let reached = async {
            loop {
                let listed = live.ask("GET", "/connection", Value::Null).await.json();
                if listed["items"][0]["connectionState"] == expected {
                    return;
                }
            }
        };
        timeout(PATIENCE, reached).await.expect(expected);
    };
    until("Connecting").await;
    ana.resume().await;
    until("Connected").await;
    live.shutdown().await;
}

#[tokio::test]
async fn a_disconnected_client_and_the_others_learn_why() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let mut ben = live.join().await;
    let stream = live.publish_camera(&mut ana, "cam").await;
    let path = format!("/connection/{}", ana.id);
    let answer = live.ask("DELETE", &path, Value::Null).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    for client in [&mut ana, &mut ben] {
        for part in [format!("/stream/{stream}"), path.clone()] {
            let (_, event) = client.event("deleted", &part).await;
            assert_eq!(event["reason"], "forceDisconnected");
        }
    }
    live.ask("DELETE", &path, Value::Null).await.error(404);
    let listed = live.ask("GET", "/connection", Value::Null).await.json();
    assert_eq!(listed["count"], 1);
    assert_eq!(listed["items"][0]["connectionId"], ben.id.to_string());
    live.shutdown().await;
}

#[tokio::test]
async fn who_is_not_there_cannot_be_disconnected() {
    let live = Live::start().await;
    let delete = async |id: &str| {
        let path = format!("/connection/{id}");
        live.ask("DELETE", &path, Value::Null).await
    };
    delete(UNKNOWN).await.error(404);
    delete("nobody").await.error(400);
    let mut elsewhere = Live::start().await;
    elsewhere.session = elsewhere.create_session().await;
    let stranger = live.join().await;
    let path = format!("/connection/{}", stranger.id);
    elsewhere.ask("DELETE", &path, Value::Null).await.error(404);

    let path = format!("/v2/project/{}/session/{}{path}", live.key(), live.session);
    live.stranger("DELETE", &path).await.error(403);
    let listed = live.ask("GET", "/connection", Value::Null).await.json();
    assert_eq!(
        listed["count"], 1,
        "the stranger is still in its own session"
    );
    elsewhere.shutdown().await;
    live.shutdown().await;
}
