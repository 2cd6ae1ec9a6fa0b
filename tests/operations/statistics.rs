//! What an operator is told of the media of a session.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::process::{Process, eventually, parlor};
use super::{get, joined, site};

/// A program of our own; ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A publisher and a subscriber, for longer than anybody looks.
fn call(process: &Process) -> Running {
    let text = |field: &str| process.ready[field].as_str().unwrap();
    let mut load = Command::new(env!("CARGO_BIN_EXE_parlor"));
    load.args(["load", "media", "--size", "1", "--bitrate", "96"])
        .args(["--frame-rate", "10", "--seconds", "600"])
        .args(["--url", text("url"), "--api-key", text("api_key")])
        .env("PARLOR_LOAD_API_SECRET", text("api_secret"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Running(load.spawn().unwrap())
}

#[test]
fn a_session_is_shown_with_what_flows_through_it() {
    let process = Process::start();
    let _call = call(&process);
    let json = |words: &[&str]| -> Value {
        serde_json::from_str(&parlor(&process, &[words, &["--json"]].concat())).unwrap()
    };
    let key = process.ready["api_key"].as_str().unwrap();
    let session = eventually("the session is created", || {
        let listed = json(&["session", "list", key]);
        listed[0]["session_id"].as_str().map(str::to_owned)
    });
    let (shown, stream) = eventually("media arrives", || {
        let shown = json(&["session", "show", &session]);
        let stream = shown["statistics"][0].clone();
        let sent = &stream["subscribers"][0]["outbound"][0];
        (sent["bitrate"].as_f64()? > 0.0).then_some((shown, stream))
    });
    assert_eq!(stream["id"], shown["streams"][0]["id"]);
    assert_eq!(stream["route"], "routed");
    let connections = shown["connections"].as_array().unwrap();
    let publisher = &stream["connectionId"];
    let subscriber = &stream["subscribers"][0]["connectionId"];
    assert_ne!(publisher, subscriber);
    for id in [publisher, subscriber] {
        assert!(
            connections.iter().any(|c| c["connectionId"] == *id),
            "{shown}"
        );
    }
    let came = &stream["inbound"][0];
    let left = &stream["subscribers"][0]["outbound"][0];
    for (stats, packets) in [(came, "packetsReceived"), (left, "packetsSent")] {
        assert_eq!(stats["kind"], "video", "{stats}");
        assert_eq!(stats["mimeType"], "video/VP8", "{stats}");
        assert!(stats[packets].as_u64() > Some(0), "{stats}");
        assert!(
            stats["nackCount"].is_u64() && stats["pliCount"].is_u64(),
            "{stats}"
        );
    }
    assert_eq!(came["packetsLost"], 0);
    assert_eq!((&came["layer"], &left["layer"]), (&json!(0), &json!(0)));

    let text = parlor(&process, &["session", "show", &session]);
    assert!(
        text.contains("\n  from publisher  video/VP8  layer 0  "),
        "{text}"
    );
    let to = format!("\n  to {}", subscriber.as_str().unwrap());
    assert!(text.contains(&to), "{text}");
}

#[tokio::test]
async fn only_the_sessions_own_project_is_told() {
    let process = Process::start();
    let site = site(&process);
    let _ana = joined(&site, "room").await;
    let (session, _) = site.join("room").await;
    let shown = parlor(&process, &["session", "show", &session, "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["statistics"], json!([]));
    let path = format!("/v2/project/{}/session/{session}/statistics", site.key);
    assert_eq!(get(&format!("{}{path}", site.url)).await.0, 403);
}
