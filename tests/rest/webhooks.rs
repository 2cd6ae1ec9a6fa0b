//! Callbacks and webhooks, from the registration to what a receiver gets.

use std::path::Path;
use std::time::Duration;

use parlor::config::Config;
use parlor::db::webhooks::{Claim, NewWebhook};
use parlor::db::{Db, Options};
use parlor::entropy::Entropy;
use parlor::model::id::ProjectId;
use parlor::model::jwt;
use parlor::model::project::{Project, Secret};
use parlor::webhook::address::AddressPolicy;
use ring::digest;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::live::Live;
use super::process::{Process, eventually, parlor, try_parlor};
use super::receiver::{Got, Mood, PATIENCE, Receiver, due, events, header, told};

impl Live {
    async fn callback(&self, method: &str, rest: &str, body: Value) -> super::support::Answer {
        let path = format!("/v2/project/{}/callback{rest}", self.key());
        self.ask_at(method, &path, body).await
    }

    async fn register_all(&self, url: &str) {
        for group in ["session", "connection", "stream"] {
            for event in ["created", "destroyed"] {
                let body = json!({"group": group, "event": event, "url": url});
                assert_eq!(self.callback("POST", "", body).await.status, 200);
            }
        }
    }

    async fn owed(&self) -> Value {
        let path = format!("/v2/project/{}/webhook", self.key());
        self.ask_at("GET", &path, Value::Null).await.json()
    }

    /// Waits until the project's queue looks like this.
    async fn owed_until(&self, enough: impl Fn(&Value) -> bool) -> Value {
        let asked = async {
            loop {
                let owed = self.owed().await;
                if enough(&owed) {
                    return owed;
                }
                // The queue can only be looked at.
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, asked)
            .await
            .expect("the queue gets there")
    }
}

fn impatient(config: &mut Config) {
    config.webhooks.patience.total = Duration::from_millis(300);
}

#[tokio::test]
async fn a_call_is_told_in_order_and_signed() {
    let live = Live::start().await;
    let receiver = Receiver::start(Mood::Well).await;
    live.register_all(&receiver.url()).await;
    let mut client = live
        .join_with(json!({"role": "publisher", "connection_data": "me"}))
        .await;
    let stream = live.publish_camera(&mut client, "front").await;
    let path = format!("/connection/{}", client.id);
    assert_eq!(live.ask("DELETE", &path, Value::Null).await.status, 204);
    let got = receiver.accepted(6).await;
    assert_eq!(
        events(&got),
        [
            "sessionCreated",
            "connectionCreated",
            "streamCreated",
            "streamDestroyed",
            "connectionDestroyed",
            "sessionDestroyed"
        ]
    );
    let secret: Secret = live.secret().parse().unwrap();
    for got in &got {
        assert!(
            got.head.starts_with("POST /hook?a=b HTTP/1.1\r\n"),
            "{}",
            got.head
        );
        assert_eq!(header(&got.head, "content-type"), Some("application/json"));
        assert_eq!(
            header(&got.head, "host"),
            Some(receiver.addr.to_string().as_str())
        );
        assert_eq!(got.body["sessionId"], live.session);
        assert_eq!(got.body["projectId"], live.key());
        let bearer = header(&got.head, "authorization").unwrap();
        let token = bearer.strip_prefix("Bearer ").unwrap();
        let (_, claims) = jwt::verify::<Value>(token, &secret).unwrap();
        let hash = digest::digest(&digest::SHA256, got.text.as_bytes());
        let hash: String = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(claims["payload_hash"], hash);
        assert_eq!(claims["jti"], header(&got.head, "webhook-id").unwrap());
    }
    assert_eq!(got[1].body["connection"]["id"], client.id.to_string());
    assert_eq!(got[1].body["connection"]["data"], "me");
    assert_eq!(got[2].body["stream"]["id"], stream);
    assert_eq!(got[2].body["stream"]["videoType"], "camera");
    assert_eq!(got[3].body["reason"], "forceDisconnected");
    assert_eq!(got[3].body["stream"]["name"], "front");
    assert_eq!(got[4].body["reason"], "forceDisconnected");
    live.owed_until(|owed| owed["pending"] == 0).await;
    live.shutdown().await;
}

#[tokio::test]
async fn a_receiver_that_fails_stalls_and_redirects_gets_everything_once_it_is_back() {
    let live = Live::start_with(impatient).await;
    let elsewhere = Receiver::start(Mood::Well).await;
    let receiver = Receiver::start(Mood::Fails).await;
    live.register_all(&receiver.url()).await;
    let mut client = live.join().await;
    live.publish_camera(&mut client, "").await;
    let failed =
        |why: &'static str| live.owed_until(move |owed| owed["items"][0]["lastError"] == why);
    failed("answered 500").await;
    receiver.get(Mood::Stalls);
    failed("no answer in time").await;
    receiver.get(Mood::RedirectsTo(elsewhere.addr));
    let owed = failed("answered 307").await;
    assert!(owed["items"][0]["attempts"].as_i64() >= Some(3), "{owed}");
    assert_eq!(owed["pending"], 3, "the others wait for the first: {owed}");
    receiver.get(Mood::Well);
    let got = receiver.accepted(3).await;
    assert_eq!(
        events(&got),
        ["sessionCreated", "connectionCreated", "streamCreated"]
    );
    assert!(
        elsewhere.got.borrow().is_empty(),
        "a redirect is not followed"
    );
    let all = receiver.got.borrow().clone();
    let ids: Vec<_> = all
        .iter()
        .take(4)
        .map(|got| header(&got.head, "webhook-id"))
        .collect();
    assert!(
        ids.windows(2).all(|two| two[0] == two[1]),
        "one event, one id"
    );
    live.shutdown().await;
}

#[tokio::test]
async fn nothing_internal_is_called() {
    let live =
        Live::start_with(|config| config.webhooks.addresses = AddressPolicy::default()).await;
    let receiver = Receiver::start(Mood::Well).await;
    let port = receiver.addr.port();
    for host in [
        "127.0.0.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
    ] {
        let url = format!("http://{host}:{port}/");
        let body = json!({"group": "stream", "event": "created", "url": url});
        live.callback("POST", "", body).await.error(400);
    }
    // That a name means this machine turns out when it is looked up.
    live.register_all(&format!("http://localhost:{port}/"))
        .await;
    let _client = live.join().await;
    let owed = live
        .owed_until(|owed| owed["items"][0]["attempts"].as_i64() >= Some(1))
        .await;
    let reason = "the host is not on a network that may be called";
    assert_eq!(owed["items"][0]["lastError"], reason);
    assert!(receiver.got.borrow().is_empty());
    live.shutdown().await;
}

#[tokio::test]
async fn callbacks_are_registered_listed_and_removed() {
    let live = Live::start().await;
    assert_eq!(
        live.callback("GET", "", Value::Null).await.json(),
        json!([])
    );
    let wanted = json!({"group": "archive", "event": "status", "url": "https://example.com/a"});
    let first = live.callback("POST", "", wanted.clone()).await.json();
    let second = live.callback("POST", "", wanted).await.json();
    assert_eq!(first, second, "the same once more is the same");
    assert_eq!(first["group"], "archive");
    assert_eq!(first["event"], "status");
    assert_eq!(first["url"], "https://example.com/a");
    assert!(first["createdAt"].is_i64());
    assert_eq!(
        live.callback("GET", "", Value::Null).await.json(),
        json!([first])
    );
    for bad in [
        json!({}),
        json!({"group": "stream", "event": "status", "url": "https://example.com"}),
        json!({"group": "stream", "event": "created"}),
        json!({"group": "stream", "event": "created", "url": "nonsense"}),
        json!({"group": "stream", "event": "created", "url": 7}),
    ] {
        live.callback("POST", "", bad).await.error(400);
    }
    let path = format!("/{}", first["id"].as_str().unwrap());
    assert_eq!(
        live.callback("DELETE", &path, Value::Null).await.status,
        204
    );
    live.callback("DELETE", &path, Value::Null).await.error(404);
    live.callback("DELETE", "/nonsense", Value::Null)
        .await
        .error(400);
    let path = format!("/v2/project/{}/callback", live.key());
    assert_eq!(live.stranger("GET", &path).await.status, 403);
    live.shutdown().await;
}

#[tokio::test]
async fn a_project_that_cannot_be_told_keeps_a_bounded_number() {
    let live = Live::start_with(|config| config.webhooks.queue = 3).await;
    let receiver = Receiver::start(Mood::Fails).await;
    live.register_all(&receiver.url()).await;
    let _first = live.join().await;
    let _second = live.join().await;
    let mut third = live.join().await;
    live.publish_camera(&mut third, "").await;
    live.owed_until(|owed| owed["pending"] == 3).await;
    receiver.get(Mood::Well);
    let got = receiver.accepted(3).await;
    assert_eq!(
        events(&got),
        ["sessionCreated", "connectionCreated", "connectionCreated"]
    );
    live.shutdown().await;
}

#[tokio::test]
async fn what_was_due_when_the_server_was_killed_arrives_after_the_restart() {
    const SESSIONS: i64 = 5;
    const EVENTS: i64 = 4;
    let receiver = Receiver::start(Mood::Fails).await;
    let data = tempfile::tempdir().unwrap();
    store(data.path(), |project| {
        due(project, &receiver.url(), SESSIONS, EVENTS)
    })
    .await;
    // What was under way is claimed for that long.
    let environment = [("PARLOR_WEBHOOKS_TIMEOUT", "2s")];
    let process = Process::start_in(data, &environment);
    receiver.wait(|got| got.len() >= 3).await;
    receiver.get(Mood::Well);
    receiver.wait(|got| got.iter().any(|got| got.well)).await;
    // Without a warning, with requests under way.
    process.signal("KILL");
    let (_, data) = process.ended();
    let _process = Process::start_in(data, &environment);
    let all: Vec<_> = (0..EVENTS).collect();
    let told = |got: &[Got]| {
        let mut told = told(got);
        // At least once: a repetition of the last one is allowed.
        told.values_mut().for_each(Vec::dedup);
        told
    };
    let done = |got: &[Got]| {
        let told = told(got);
        told.len() == 5 && told.values().all(|told| told.last() == all.last())
    };
    let got = receiver.wait(done).await;
    for told in told(&got).values() {
        assert_eq!(*told, all, "all, and in order");
    }
}

#[tokio::test]
async fn a_receiver_with_tls_has_to_be_whom_the_system_trusts() {
    let trusted = Receiver::start_with_tls(Mood::Well, "first").await;
    let unknown = Receiver::start_with_tls(Mood::Well, "second").await;
    let data = tempfile::tempdir().unwrap();
    store(data.path(), |project| {
        let mut both = due(project, &trusted.url(), 1, 1);
        both.extend(due(project, &unknown.url(), 1, 1));
        both
    })
    .await;
    let authorities = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/first.pem");
    let process = Process::start_in(data, &[("SSL_CERT_FILE", authorities)]);
    trusted.accepted(1).await;
    let failed = eventually("the other one fails", || {
        let all = parlor(&process, &["webhook", "list", "--json"]);
        let all: Value = serde_json::from_str(&all).unwrap();
        all[0]["last_error"].is_string().then(|| all[0].clone())
    });
    assert_eq!(failed["url"], unknown.url());
    let reason = failed["last_error"].as_str().unwrap();
    assert!(reason.starts_with("no TLS: "), "{reason}");
    assert!(unknown.got.borrow().is_empty());
}

#[tokio::test]
async fn the_command_line_shows_webhooks_and_has_them_sent_again() {
    let receiver = Receiver::start(Mood::Fails).await;
    let process = Process::start();
    let project = store(process.data(), |project| {
        due(project, &receiver.url(), 1, 2)
    })
    .await;
    receiver.wait(|got| !got.is_empty()).await;
    let list = |more: &[&str]| -> Value {
        let words = [&["webhook", "list", "--json"], more].concat();
        serde_json::from_str(&parlor(&process, &words)).unwrap()
    };
    let first = eventually("it is tried", || {
        let first = list(&[])[0].clone();
        (first["attempts"].as_i64() > Some(0)).then_some(first)
    });
    assert_eq!(first["status"], "pending");
    assert_eq!(first["event"], "streamCreated");
    assert_eq!(first["last_error"], "answered 500");
    assert_eq!(first["api_key"], project.to_string());
    let id = first["id"].as_str().unwrap();
    let text = parlor(&process, &["webhook", "show", id]);
    assert!(text.contains("Last error  answered 500\n"), "{text}");
    assert!(text.contains("{\"n\":0,\"session\":0}"), "{text}");
    assert_eq!(
        list(&["--project", &project.to_string()])
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(list(&["--project", "1"]), json!([]));
    assert_eq!(list(&["--failed"]), json!([]));

    // A day later, in short.
    let db = open(process.data()).await;
    let lane = due(project, &receiver.url(), 1, 1).remove(0).lane;
    let far = i64::MAX / 2;
    let Claim::Due(given_up) = db.webhooks().claim(&lane, far, far + 1).await.unwrap() else {
        panic!("the first one is there");
    };
    db.webhooks()
        .give_up(&given_up, 0, "no answer in time")
        .await
        .unwrap();
    let failed = list(&["--failed"]);
    assert_eq!(
        (&failed[0]["id"], &failed[0]["status"]),
        (&json!(id), &json!("failed"))
    );

    receiver.get(Mood::Well);
    let retried = parlor(&process, &["webhook", "retry", "--failed"]);
    assert_eq!(retried, "To be sent again: 1\n");
    let got = receiver.accepted(2).await;
    assert!(told(&got).values().all(|told| told.len() == 2));
    eventually("nothing is left", || (list(&[]) == json!([])).then_some(()));
    assert!(try_parlor(&process, &["webhook", "retry", id]).is_err());
    assert!(try_parlor(&process, &["webhook", "retry"]).is_err());
}

/// The store of a server with its data there.
async fn open(data: &Path) -> Db {
    let file = data.join("parlor.sqlite");
    Db::open_file(&file, &Options::default()).await.unwrap()
}

/// Puts webhooks of a new project into a store.
async fn store(data: &Path, webhooks: impl FnOnce(ProjectId) -> Vec<NewWebhook>) -> ProjectId {
    let db = open(data).await;
    let project = Project::generate("Shop", 0, &mut Entropy::from_system());
    db.projects().insert(&project).await.unwrap();
    db.webhooks().insert(&webhooks(project.id)).await.unwrap();
    db.close().await;
    project.id
}
