//! Streams and their layout classes (`protocol/rest.md`, 8.1 to 8.4).

use serde_json::{Value, json};

use super::live::{Live, audio, video};

const UNKNOWN: &str = "8b732909-0a06-46a2-8ea8-074e64d43422";

#[tokio::test]
async fn streams_are_listed_with_what_sdks_read_of_them() {
    let live = Live::start().await;
    assert_eq!(
        list(&live, "/stream").await,
        json!({"count": 0, "items": []})
    );
    let mut ana = live.join().await;
    let camera = live.publish_camera(&mut ana, "cam").await;
    let desk = json!([audio(), video("screen")]);
    let screen = live.publish(&mut ana, "desk", desk).await;
    let voice = live.publish(&mut ana, "", json!([audio()])).await;

    let mut expected = vec![
        json!({"id": camera, "videoType": "camera", "name": "cam", "layoutClassList": [], "subscriberCount": 0}),
        json!({"id": screen, "videoType": "screen", "name": "desk", "layoutClassList": [], "subscriberCount": 0}),
        json!({"id": voice, "name": "", "layoutClassList": [], "subscriberCount": 0}),
    ];
    for each in &expected {
        let path = format!("/stream/{}", each["id"].as_str().unwrap());
        let answer = live.ask("GET", &path, Value::Null).await;
        assert_eq!((answer.status, answer.json()), (200, each.clone()));
    }
    // One SDK puts a slash at the end. Streams of the same millisecond have no order.
    let mut listed = list(&live, "/stream/").await;
    let by_id = |stream: &Value| stream["id"].as_str().unwrap().to_owned();
    listed["items"].as_array_mut().unwrap().sort_by_key(by_id);
    expected.sort_by_key(by_id);
    assert_eq!(listed, json!({"count": 3, "items": expected}));
    live.shutdown().await;
}

#[tokio::test]
async fn of_a_stream_that_goes_from_browser_to_browser_there_are_no_statistics_here() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let stream = live.publish_camera(&mut ana, "cam").await;
    let told = live.ask("GET", "/statistics", Value::Null).await.json();
    assert!(told["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    let expected = json!([{
        "id": stream, "name": "cam", "connectionId": ana.id.to_string(), "route": "relayed",
        "inbound": [], "subscribers": [],
    }]);
    assert_eq!((&told["count"], &told["items"]), (&json!(1), &expected));
    live.shutdown().await;
}

#[tokio::test]
async fn the_sdk_that_parses_twice_gets_one_stream_under_another_type() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let id = live.publish_camera(&mut ana, "cam").await;
    let path = format!("/stream/{id}");
    let ask = async |agent: &str| {
        let agent = format!("Accept: application/json\nUser-Agent: {agent}");
        let answer = live.raw("GET", &path, &agent, "").await;
        assert_eq!(answer.status, 200);
        answer.header("content-type").unwrap().to_owned()
    };
    assert_eq!(ask("OpenTok-Node-SDK/2.23.2").await, "text/json");
    let others = [
        "OpenTok-Python-SDK/3.15.0 python/3.12",
        "Opentok-Java-SDK/4.17.0 JRE/21",
        "OpenTok-Ruby-SDK/4.9.0-Ruby-Version-3.3",
        "OpenTok-PHP-SDK/4.15.0 php/8.3",
        "Opentok-DotNet-SDK/3.22.0",
        "curl/8 OpenTok-Node-SDK/2.23.2",
    ];
    for other in others {
        assert_eq!(ask(other).await, "application/json", "{other}");
    }
    live.shutdown().await;
}

#[tokio::test]
async fn layout_classes_come_from_the_token_and_are_replaced_by_lists() {
    let live = Live::start().await;
    let with_classes = json!({"initial_layout_class_list": "focus+full"});
    let mut ana = live.join_with(with_classes).await;
    let one = live.publish_camera(&mut ana, "one").await;
    let two = live.publish_camera(&mut ana, "two").await;
    assert_eq!(classes(&live, &one).await, json!(["focus", "full"]));

    let items = json!({"items": [{"id": one, "layoutClassList": ["top", "left"]},
                                 {"id": two, "layoutClassList": []}]});
    let answer = live.ask("PUT", "/stream", items).await;
    let item = |id: &str, name: &str, classes: Value| json!({"id": id, "videoType": "camera", "name": name, "layoutClassList": classes, "subscriberCount": 0});
    let (top, none) = (json!(["top", "left"]), json!([]));
    let expected = [item(&one, "one", top), item(&two, "two", none)];
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"count": 2, "items": expected}));
    assert_eq!(classes(&live, &one).await, json!(["top", "left"]));
    assert_eq!(classes(&live, &two).await, json!([]));

    // As one SDK does it, which sends keys in snake case below the first level.
    let items = json!({"items": [{"id": two, "layout_class_list": ["full"]}]});
    assert_eq!(live.ask("PUT", "/stream", items).await.json()["count"], 1);
    assert_eq!(classes(&live, &two).await, json!(["full"]));

    // As only PHP does it.
    let body = json!({"layoutClassList": ["bottom"]});
    let answer = live.ask("PUT", &format!("/stream/{one}"), body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), item(&one, "one", json!(["bottom"])));
    live.shutdown().await;
}

#[tokio::test]
async fn class_lists_that_make_no_sense_are_refused_and_change_nothing() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let id = live.publish_camera(&mut ana, "cam").await;
    let refused = [
        json!({}),
        json!([]),
        json!({"items": id}),
        json!({"items": [id]}),
        json!({"items": [{"layoutClassList": ["a"]}]}),
        json!({"items": [{"id": id}]}),
        json!({"items": [{"id": id, "layoutClassList": "a"}]}),
        json!({"items": [{"id": id, "layoutClassList": [1]}]}),
        json!({"items": [{"id": id, "layoutClassList": [""]}]}),
        json!({"items": [{"id": id, "layoutClassList": ["a b"]}]}),
        json!({"items": [{"id": id, "layoutClassList": ["a".repeat(1025)]}]}),
        json!({"items": [{"id": id, "layoutClassList": vec!["a"; 600]}]}),
        json!({"items": [{"id": id, "layoutClassList": ["a"]},
                         {"id": UNKNOWN, "layoutClassList": ["a"]}]}),
        json!({"items": [{"id": "x", "layoutClassList": ["a"]}]}),
    ];
    for body in refused {
        let answer = live.ask("PUT", "/stream", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        answer.error(400);
    }
    let json = "Content-Type: application/json";
    live.raw("PUT", "/stream", json, "{\"items\":")
        .await
        .error(400);
    assert_eq!(classes(&live, &id).await, json!([]));

    let longest = json!({"items": [{"id": id, "layoutClassList": ["a".repeat(1024)]}]});
    assert_eq!(live.ask("PUT", "/stream", longest).await.status, 200);
    let body = json!({"layoutClassList": ["a"]});
    let path = format!("/stream/{UNKNOWN}");
    live.ask("PUT", &path, body).await.error(404);
    live.shutdown().await;
}

#[tokio::test]
async fn what_does_not_exist_has_the_status_that_sdks_expect() {
    let live = Live::start().await;
    let get = async |path: &str| live.ask("GET", path, Value::Null).await;
    get(&format!("/stream/{UNKNOWN}")).await.error(404);
    get("/stream/not-a-uuid").await.error(408);
    get("/streams").await.error(404);
    live.ask("POST", "/stream", json!({})).await.error(405);
    live.ask("DELETE", &format!("/stream/{UNKNOWN}"), Value::Null)
        .await
        .error(405);

    let of_session = async |session: &str| {
        let path = format!("/v2/project/{}/session/{session}/stream", live.key());
        live.ask_at("GET", &path, Value::Null).await
    };
    of_session("nonsense").await.error(400);
    of_session("%20").await.error(400);
    // Well formed, of this project, but never created.
    let session = &live.session;
    let swapped: String = session.replacen("1_", "2_", 1);
    assert_ne!(*session, swapped);
    of_session(&swapped).await.error(404);
    // Another project's, which for this one does not exist.
    of_session("1_MX4yMTQ3NDgzNjQ3fn4xfnh-UH5-")
        .await
        .error(404);
    live.shutdown().await;
}

#[tokio::test]
async fn only_the_project_may_ask_and_is_told_so_before_anything_else() {
    let live = Live::start().await;
    let own = format!("/v2/project/{}/session/nonsense/stream", live.key());
    live.stranger("GET", &own).await.error(403);
    let other = format!("/v2/project/1/session/{}/stream", live.session);
    live.ask_at("GET", &other, Value::Null).await.error(403);
    live.shutdown().await;
}

#[tokio::test]
async fn old_and_odd_spellings_of_the_path_are_understood() {
    let live = Live::start().await;
    let (key, session) = (live.key(), &live.session);
    let paths = [
        format!("/v2/partner/{key}/session/{session}/stream"),
        format!("//v2/project/{key}/session/{session}/stream"),
        format!("/v2/project/{key}/session/{session}/stream/"),
        format!(
            "/v2/project/{key}/session/{}/stream",
            session.replace('_', "%5F")
        ),
    ];
    for path in paths {
        let answer = live.ask_at("GET", &path, Value::Null).await;
        assert_eq!(
            (answer.status, answer.json()["count"].clone()),
            (200, json!(0)),
            "{path}"
        );
    }
    live.shutdown().await;
}

async fn list(live: &Live, path: &str) -> Value {
    let answer = live.ask("GET", path, Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn classes(live: &Live, id: &str) -> Value {
    let answer = live.ask("GET", &format!("/stream/{id}"), Value::Null).await;
    answer.json()["layoutClassList"].clone()
}
