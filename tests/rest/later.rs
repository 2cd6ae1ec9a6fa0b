//! What the server does not do yet: everything about a request is checked, and only a good one is
//! told so.

use serde_json::{Value, json};

use super::live::Live;

const ID: &str = "8b732909-0a06-46a2-8ea8-074e64d43422";
const CHARACTERS_17: &str = "wss://example.com";

/// A server with a routed session that somebody is in; the rest keeps them there.
async fn live() -> (Live, super::whole::TestClient) {
    let mut live = Live::start().await;
    live.session = live.create("p2p.preference=disabled").await;
    let client = live.join().await;
    (live, client)
}

/// Good requests, one for each operation and alias (`protocol/rest.md`, 6 and 26).
fn good(live: &Live, connection: &str) -> Vec<(&'static str, String, Value)> {
    let session = &live.session;
    let token = live.client_token(json!({"role": "moderator"}));
    let none = Value::Null;
    let dial = json!({"sessionId": session, "token": token, "sip": {
        "uri": "sip:user@sip.example.com;transport=tls", "from": "1@example.com",
        "headers": {"X-KEY": "v"}, "auth": {"username": "u", "password": "p"},
        "secure": "true", "video": false, "streams": [ID], "observeForceMute": null}});
    let at = |text: &str| text.replace("{id}", ID);
    let operations = [
        ("POST", "/archive", json!({"sessionId": session})),
        ("GET", "/archive", none.clone()),
        (
            "GET",
            "/archive/?offset=0&count=50&sessionId=unknown",
            none.clone(),
        ),
        // One SDK writes the mark of a query that it has not; two let 0 through.
        ("GET", "/archive?", none.clone()),
        ("GET", "/archive?count=0", none.clone()),
        ("GET", "/archive?count=5000", none.clone()),
        ("GET", "/archive/{id}", none.clone()),
        ("DELETE", "/archive/{id}", none.clone()),
        ("POST", "/archive/{id}/stop", none.clone()),
        ("GET", "/archive/{id}/layout", none.clone()),
        ("PUT", "/archive/{id}/layout", json!({"type": "pip"})),
        ("PATCH", "/archive/{id}/streams", json!({"addStream": ID})),
        (
            "PUT",
            "/archive/storage",
            json!({"type": "s3", "config": {"accessKey": "a", "secretKey": "s", "bucket": "b"}}),
        ),
        (
            "PUT",
            "/archive/storage",
            json!({"type": "azure", "fallback": "opentok",
                   "config": {"accountName": "a", "accountKey": "k", "container": "c"}}),
        ),
        ("PUT", "/archive/storage", json!({"type": "local"})),
        ("DELETE", "/archive/storage", none.clone()),
        (
            "POST",
            "/broadcast",
            json!({"sessionId": session, "outputs": {"hls": []}}),
        ),
        ("GET", "/broadcast", none.clone()),
        ("GET", "/broadcast/{id}", none.clone()),
        ("POST", "/broadcast/{id}/stop", none.clone()),
        ("GET", "/broadcast/{id}/layout", none.clone()),
        ("PUT", "/broadcast/{id}/layout", json!({"type": "bestFit"})),
        (
            "PATCH",
            "/broadcast/{id}/streams",
            json!({"removeStream": ID}),
        ),
        ("POST", "/dial", dial.clone()),
        ("POST", "/call", dial),
        (
            "POST",
            "/render",
            json!({"sessionId": session, "token": token, "url": "https://example.com/page",
                   "properties": null, "maxDuration": 1800}),
        ),
        ("GET", "/render", none.clone()),
        ("GET", "/render/{id}", none.clone()),
        ("POST", "/render/{id}", none.clone()),
        ("DELETE", "/render/{id}", none.clone()),
        (
            "POST",
            "/connect",
            json!({"sessionId": session, "token": token, "websocket": {"uri": CHARACTERS_17,
                   "streams": [], "audioTransport": "{\"transport\": \"json\"}"}}),
        ),
        ("POST", "/connect/{id}/stop", none.clone()),
        (
            "POST",
            "/captions",
            json!({"sessionId": session, "token": token, "maxDuration": 14400.0,
                   "statusCallbackUrl": null}),
        ),
        ("GET", "/captions/{id}", none.clone()),
        ("POST", "/captions/{id}/stop", none),
    ];
    let tones = json!({"digits": "0123456789*#p"});
    let in_session = [
        (
            "POST",
            format!("/session/{session}/play-dtmf"),
            tones.clone(),
        ),
        (
            "POST",
            format!("/session/{session}/connection/{connection}/play-dtmf"),
            tones,
        ),
    ];
    let operations = operations.map(|(method, path, body)| (method, at(path), body));
    operations.into_iter().chain(in_session).collect()
}

#[tokio::test]
async fn a_good_request_is_told_that_it_is_not_supported() {
    let (live, client) = live().await;
    for (method, path, body) in good(&live, &client.id.to_string()) {
        let answer = live.ask_project(method, &path, body.clone()).await;
        let message = answer.error(501);
        assert!(
            message.ends_with("is not supported by this server"),
            "{method} {path}: {message}"
        );
        let path = format!("/v2/project/{}{path}", live.key());
        live.stranger(method, &path).await.error(403);
    }
    live.ask_project("GET", "/dial", Value::Null)
        .await
        .error(405);
    live.ask_project("GET", "/unknown", Value::Null)
        .await
        .error(404);
    live.shutdown().await;
}

#[tokio::test]
async fn every_start_needs_a_session_of_ones_own_that_passes_through_the_server() {
    let (live, client) = live().await;
    let relayed = live.create("p2p.preference=enabled").await;
    let encrypted = live.create("p2p.preference=disabled&e2ee=true").await;
    // Of the same shape, but of nobody.
    let unknown = "2_MX4xfn4xNzM5NTM4ODk0OTU5flE5bWNYRzFRclJOM1RJWXU4eXBweGdzTn5-fg";
    let starts = good(&live, &client.id.to_string()).into_iter();
    let starts =
        starts.filter(|(method, _, body)| *method == "POST" && !body["sessionId"].is_null());
    let mut count = 0;
    for (method, path, body) in starts {
        for (session, status) in [
            (json!(relayed), 409),
            (json!(encrypted), 409),
            (json!(unknown), 404),
            (json!("nonsense"), 400),
            (json!(7), 400),
            (json!(null), 400),
        ] {
            let mut body = body.clone();
            body["sessionId"] = session;
            let answer = live.ask_project(method, &path, body).await;
            assert_eq!(answer.status, status, "{path} {answer:?}");
            answer.error(status);
        }
        count += 1;
    }
    assert_eq!(
        count, 7,
        "archive, broadcast, dial, call, render, connect, captions"
    );
    live.shutdown().await;
}

#[tokio::test]
async fn nothing_is_recorded_or_sent_while_nobody_is_there() {
    let (live, _client) = live().await;
    let empty = live.create("p2p.preference=disabled").await;
    for (path, more) in [
        ("/archive", json!({})),
        ("/broadcast", json!({"outputs": {"hls": {}}})),
    ] {
        let mut body = more;
        body["sessionId"] = json!(empty);
        let message = live.ask_project("POST", path, body).await.error(400);
        assert_eq!(message, "No clients are connected to the session");
    }
    let path = format!("/session/{empty}/play-dtmf");
    let tones = json!({"digits": "1"});
    live.ask_project("POST", &path, tones.clone())
        .await
        .error(404);
    let path = format!("/session/{}/connection/{ID}/play-dtmf", live.session);
    live.ask_project("POST", &path, tones).await.error(404);
    live.shutdown().await;
}

#[tokio::test]
async fn every_member_is_checked() {
    let (live, _client) = live().await;
    let session = &live.session;
    let token = live.client_token(json!({"role": "moderator"}));
    let rtmp = |n: usize| vec![json!({"serverUrl": "rtmp://a/live", "streamName": "k"}); n];
    let long = "x".repeat(2048);
    let operations = [
        (
            "/archive",
            json!({}),
            vec![
                json!({"hasAudio": false, "hasVideo": "false"}),
                json!({"hasAudio": 1}),
                json!({"name": 1}),
                json!({"outputMode": "both"}),
                json!({"outputMode": "individual", "resolution": "640x480"}),
                json!({"outputMode": "individual", "layout": {"type": "pip"}}),
                json!({"outputMode": "individual", "maxBitrate": 100_000}),
                json!({"resolution": "1x1"}),
                json!({"streamMode": "some"}),
                json!({"maxBitrate": 99_999}),
                json!({"maxBitrate": 6_000_001}),
                json!({"quantizationParameter": 14}),
                json!({"quantizationParameter": 41}),
                json!({"maxBitrate": 100_000, "quantizationParameter": 20}),
                json!({"layout": {"type": "round"}}),
                json!({"layout": {"type": "custom"}}),
                json!({"layout": "pip"}),
                json!({"transcriptionProperties": {"hasSummary": "maybe"}}),
            ],
        ),
        (
            "/broadcast",
            json!({"outputs": {"hls": {}}}),
            vec![
                json!({"outputs": null}),
                json!({"outputs": {}}),
                json!({"outputs": {"rtmp": []}}),
                json!({"outputs": {"rtmp": rtmp(6)}}),
                json!({"outputs": {"rtmp": [{"serverUrl": "http://a/live", "streamName": "k"}]}}),
                json!({"outputs": {"rtmp": [{"serverUrl": "rtmp://a/live"}]}}),
                json!({"outputs": {"hls": {"dvr": true, "low_latency": true}}}),
                json!({"maxDuration": 59}),
                json!({"maxDuration": 36_001}),
                json!({"maxBitRate": 6_000_001}),
                json!({"hasAudio": false, "hasVideo": false}),
                json!({"resolution": "800x600"}),
                json!({"layout": {"type": "pip", "screenshareType": "pip"}}),
            ],
        ),
        (
            "/dial",
            json!({"token": token, "sip": {"uri": "sip:a@b"}}),
            vec![
                json!({"token": null}),
                json!({"token": "T1==forged"}),
                json!({"sip": {"uri": "tel:112"}}),
                json!({"sip": {"uri": null}}),
                json!({"sip": {"uri": "sip:a@b", "headers": {"Via": "x"}}}),
                json!({"sip": {"uri": "sip:a@b", "headers": {"X-A": "b\r\nVia: x"}}}),
                json!({"sip": {"uri": "sip:a@b", "auth": {"username": "u"}}}),
                json!({"sip": {"uri": "sip:a@b", "streams": ["x"]}}),
            ],
        ),
        (
            "/render",
            json!({"token": token, "url": "https://example.com/"}),
            vec![
                json!({"url": "ftp://example.com/file"}),
                json!({"url": "http://a.b/"}),
                json!({"url": format!("http://{long}")}),
                json!({"maxDuration": 59}),
                json!({"resolution": "1x1"}),
                json!({"properties": {"name": ""}}),
                json!({"properties": {"name": "x".repeat(201)}}),
                json!({"token": ""}),
            ],
        ),
        (
            "/connect",
            json!({"token": token, "websocket": {"uri": CHARACTERS_17}}),
            vec![
                json!({"websocket": {"uri": "https://example.com"}}),
                json!({"websocket": {"uri": CHARACTERS_17, "audioRate": 44_100}}),
                json!({"websocket": {"uri": CHARACTERS_17, "headers": {"a": "x".repeat(512)}}}),
                json!({"websocket": {"uri": CHARACTERS_17, "audioTransport": "{"}}),
                json!({"websocket": {"uri": CHARACTERS_17, "bidirectional": "perhaps"}}),
            ],
        ),
        (
            "/captions",
            json!({"token": token}),
            vec![
                json!({"languageCode": "es-US"}),
                json!({"maxDuration": 299}),
                json!({"maxDuration": 14_401}),
                json!({"statusCallbackUrl": "short"}),
                json!({"partialCaptions": "x"}),
            ],
        ),
    ];
    for (path, base, changes) in operations {
        let mut good = base;
        good["sessionId"] = json!(session);
        live.ask_project("POST", path, good.clone())
            .await
            .error(501);
        for change in changes {
            let mut body = good.clone();
            let members = body.as_object_mut().unwrap();
            members.extend(change.as_object().unwrap().clone());
            let answer = live.ask_project("POST", path, body).await;
            assert_eq!(answer.status, 400, "{path} {change} {answer:?}");
            assert!(!answer.error(400).is_empty());
        }
    }
    for role in ["publisher", "subscriber"] {
        let token = live.client_token(json!({"role": role}));
        let body = json!({"sessionId": session, "token": token});
        live.ask_project("POST", "/captions", body).await.error(403);
    }
    live.shutdown().await;
}

#[tokio::test]
async fn what_is_asked_of_one_archive_or_broadcast_is_checked() {
    let (live, _client) = live().await;
    let checks = [
        ("GET", "/archive/nonsense", json!(null)),
        ("DELETE", "/render/1", json!(null)),
        ("GET", "/archive?count=-1", json!(null)),
        ("GET", "/broadcast?offset=x", json!(null)),
        ("PUT", "/archive/{id}/layout", json!({"type": "custom"})),
        ("PUT", "/broadcast/{id}/layout", json!({"type": "square"})),
        ("PATCH", "/archive/{id}/streams", json!({})),
        (
            "PATCH",
            "/archive/{id}/streams",
            json!({"addStream": ID, "removeStream": ID}),
        ),
        (
            "PATCH",
            "/broadcast/{id}/streams",
            json!({"addStream": ID, "hasAudio": false, "hasVideo": false}),
        ),
        (
            "PATCH",
            "/broadcast/{id}/streams",
            json!({"addStream": "x"}),
        ),
        ("PUT", "/archive/storage", json!({"type": "tape"})),
        ("PUT", "/archive/storage", json!({"type": "s3"})),
    ];
    for (method, path, body) in checks {
        let path = path.replace("{id}", ID);
        let answer = live.ask_project(method, &path, body.clone()).await;
        assert_eq!(answer.status, 400, "{method} {path} {body} {answer:?}");
        answer.error(400);
    }
    let path = format!("/session/{}/play-dtmf", live.session);
    for digits in [json!(""), json!("12a"), json!(null)] {
        let answer = live
            .ask_project("POST", &path, json!({"digits": digits}))
            .await;
        assert_eq!(answer.status, 400, "{digits}");
    }
    let answer = live
        .ask_project("POST", &path, json!({"digits": "12a"}))
        .await;
    let message = "Invalid DTMF Digits";
    let expected = json!({"code": 400, "message": message, "description": message});
    assert_eq!((answer.status, answer.json()), (400, expected));
    live.shutdown().await;
}

#[tokio::test]
async fn a_body_of_another_kind_is_refused_and_none_is_fine() {
    let (live, _client) = live().await;
    let head = |kind: &str, path: &str| {
        format!(
            "POST /v2/project/{}{path} HTTP/1.1\nX-OPENTOK-AUTH: {}\n{kind}",
            live.key(),
            live.auth()
        )
    };
    let xml = head("Content-Type: application/xml", "/archive");
    live.exchange(&xml, "<archive/>").await.error(415);
    let stop = format!("/archive/{ID}/stop");
    for kind in [
        "X-TB-VERSION: 1",
        "Content-type: application/json",
        "Expect: 100-continue",
    ] {
        live.exchange(&head(kind, &stop), "").await.error(501);
    }
    let body = json!({"session_id": live.session, "resolution": null, "layout": []}).to_string();
    for kind in [
        "X-TB-VERSION: 1",
        "Content-Type: application/json; charset=utf-8",
    ] {
        live.exchange(&head(kind, "//archive/"), &body)
            .await
            .error(501);
    }
    live.shutdown().await;
}
