//! Callbacks and webhooks, from the registration to what a receiver gets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlor::config::Config;
use parlor::db::webhooks::NewWebhook;
use parlor::db::{Db, Options};
use parlor::entropy::Entropy;
use parlor::model::jwt;
use parlor::model::project::{Project, Secret};
use parlor::webhook::address::AddressPolicy;
use parlor::webhook::schedule::Lane;
use ring::digest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::live::Live;

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a receiver answers.
#[derive(Debug, Clone)]
enum Mood {
    Well,
    Fails,
    Stalls,
    RedirectsTo(SocketAddr),
}

/// A request that a receiver got.
#[derive(Debug, Clone)]
struct Got {
    head: String,
    text: String,
    body: Value,
    well: bool,
}

/// A web server that gets webhooks. Its task ends with the test's runtime.
struct Receiver {
    addr: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    got: watch::Receiver<Vec<Got>>,
}

impl Receiver {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(mood));
        let (sender, got) = watch::channel(Vec::new());
        let shared = Arc::clone(&mood);
        tokio::spawn(async move {
            let sender = Arc::new(sender);
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared), Arc::clone(&sender)));
            }
        });
        Self { addr, mood, got }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.addr)
    }

    fn get(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Waits until what it got is enough.
    async fn wait(&self, enough: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let mut got = self.got.clone();
        let waited = timeout(PATIENCE, got.wait_for(|got| enough(got))).await;
        match waited {
            Ok(got) => got.unwrap().clone(),
            Err(_) => panic!("not enough: {:#?}", *self.got.borrow()),
        }
    }

    /// What it got and accepted, of which there must be this many.
    async fn accepted(&self, count: usize) -> Vec<Got> {
        let accepted = |got: &[Got]| got.iter().filter(|got| got.well).count();
        let got = self.wait(|got| accepted(got) >= count).await;
        let got: Vec<_> = got.into_iter().filter(|got| got.well).collect();
        assert_eq!(got.len(), count);
        got
    }
}

async fn answer(
    mut stream: TcpStream,
    mood: Arc<Mutex<Mood>>,
    sender: Arc<watch::Sender<Vec<Got>>>,
) {
    let mut bytes = Vec::new();
    let (head, text) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = header(head, "content-length").unwrap();
        if body.len() >= length.parse().unwrap() {
            break (head.to_owned(), body.to_owned());
        }
    };
    let mood = mood.lock().unwrap().clone();
    let well = matches!(mood, Mood::Well);
    let body = serde_json::from_str(&text).unwrap();
    let got = Got {
        head,
        text,
        body,
        well,
    };
    sender.send_modify(|all| all.push(got));
    let answer = match mood {
        Mood::Well => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        Mood::Fails => "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_owned(),
        Mood::RedirectsTo(to) => {
            format!("HTTP/1.1 307 There\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n")
        }
        Mood::Stalls => {
            // Until the other side gives up.
            let _ = stream.read(&mut [0; 1]).await;
            return;
        }
    };
    // Whoever asked may have gone.
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn events(got: &[Got]) -> Vec<&str> {
    got.iter()
        .map(|got| got.body["event"].as_str().unwrap())
        .collect()
}

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
    receiver.wait(|got| !got.is_empty()).await;
    let owed = live
        .owed_until(|owed| owed["items"][0]["attempts"] == 1)
        .await;
    assert_eq!(owed["items"][0]["lastError"], "answered 500");
    receiver.get(Mood::Stalls);
    let owed = live
        .owed_until(|owed| owed["items"][0]["attempts"] == 2)
        .await;
    assert_eq!(owed["items"][0]["lastError"], "no answer in time");
    receiver.get(Mood::RedirectsTo(elsewhere.addr));
    let owed = live
        .owed_until(|owed| owed["items"][0]["attempts"] == 3)
        .await;
    assert_eq!(owed["items"][0]["lastError"], "answered 307");
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

/// The real binary; killed at the end.
struct Process(Child);

impl Process {
    fn start(data: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_parlor"))
            .args([
                "serve",
                "--dev",
                "--http",
                "127.0.0.1:0",
                "--media",
                "127.0.0.1:0",
            ])
            .arg("--data")
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL; it is our own child, and may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn what_was_due_when_the_server_was_killed_arrives_after_the_restart() {
    const SESSIONS: i64 = 5;
    const EVENTS: i64 = 4;
    let data = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Mood::Fails).await;
    let db = Db::open_file(&data.path().join("parlor.sqlite"), &Options::default())
        .await
        .unwrap();
    let mut entropy = Entropy::from_seed(5);
    let project = Project::generate("Shop", 0, &mut entropy);
    db.projects().insert(&project).await.unwrap();
    let now = parlor::clock::Clock::system().unix_ms();
    let due = (0..SESSIONS * EVENTS).map(|n| NewWebhook {
        id: entropy.uuid(),
        position: n,
        lane: Lane {
            project: project.id,
            url: receiver.url().parse().unwrap(),
            session: format!("2_s{}", n % SESSIONS).parse().unwrap(),
        },
        callback: None,
        event: "streamCreated",
        body: json!({"session": n % SESSIONS, "n": n / SESSIONS}).to_string(),
        created_at_ms: now,
    });
    db.webhooks()
        .insert(&due.collect::<Vec<_>>())
        .await
        .unwrap();
    db.close().await;
    let process = Process::start(data.path());
    receiver.wait(|got| got.len() >= 3).await;
    receiver.get(Mood::Well);
    receiver.wait(|got| got.iter().any(|got| got.well)).await;
    // Without a warning, with requests under way.
    drop(process);
    let _process = Process::start(data.path());
    let told = |got: &[Got]| {
        let mut sessions: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for got in got.iter().filter(|got| got.well) {
            let number = |name: &str| got.body[name].as_i64().unwrap();
            let told = sessions.entry(number("session")).or_default();
            // At least once: a repetition of the last one is allowed.
            if told.last() != Some(&number("n")) {
                told.push(number("n"));
            }
        }
        sessions
    };
    let done = |got: &[Got]| {
        let told = told(got);
        told.len() == 5 && told.values().all(|told| told.last() == Some(&(EVENTS - 1)))
    };
    let got = receiver.wait(done).await;
    for told in told(&got).values() {
        assert_eq!(*told, (0..EVENTS).collect::<Vec<_>>(), "all, and in order");
    }
}
