//! A server inside the test's process, and a client that speaks its signaling.

pub(crate) mod database;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use parlor::app::App;
use parlor::config::{Config, Sources};
use parlor::entropy::Entropy;
use parlor::signaling::frame::{Frame, FrameKind};
use parlor::telemetry::LogHandle;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

/// How long anything may take that is expected to happen: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running playground with its data in a folder of its own.
pub(crate) struct TestServer {
    app: App,
    site: Site,
    _data: TempDir,
}

/// Where a playground is, and what it takes to use it.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) key: String,
    #[allow(dead_code, reason = "not every test signs requests")]
    pub(crate) secret: String,
    http: reqwest::Client,
}

impl std::ops::Deref for TestServer {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl TestServer {
    /// Starts one on ports that the kernel picks.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut flags = vec![
            ("http.listen", "127.0.0.1:0".into()),
            ("media.listen", "127.0.0.1:0".into()),
            ("data.dir", data.path().to_str().unwrap().into()),
        ];
        flags.extend(database::postgres().await.map(|url| ("database.url", url)));
        let sources = Sources {
            dev: true,
            flags,
            ..Sources::default()
        };
        let mut config = Config::load(&sources).unwrap();
        change(&mut config);
        let app = App::start(config, LogHandle::foreign()).await.unwrap();
        let project = app.playground().unwrap();
        let site = Site::new(&app.url(), &project.id.to_string(), project.secret.reveal());
        Self {
            site,
            app,
            _data: data,
        }
    }

    /// Where HTTP is served.
    #[allow(dead_code, reason = "not every test writes HTTP by hand")]
    pub(crate) fn http_addr(&self) -> SocketAddr {
        self.app.http_addr()
    }

    /// Where media arrives.
    pub(crate) fn media_addr(&self) -> SocketAddr {
        self.app.media_addr()
    }

    /// Where TURN takes datagrams.
    #[allow(dead_code, reason = "not every test relays")]
    pub(crate) fn turn_addr(&self) -> SocketAddr {
        self.app.turn_addr().unwrap()
    }

    /// The key and secret of whoever manages projects.
    #[allow(dead_code, reason = "not every test manages projects")]
    pub(crate) fn account(&self) -> (String, String) {
        let account = self.app.account().unwrap();
        (account.id.to_string(), account.secret.reveal().to_owned())
    }

    /// Takes it down and gives back what remains of it.
    pub(crate) async fn shutdown(self) {
        self.app.shutdown().await;
    }
}

impl Site {
    pub(crate) fn new(url: &str, key: &str, secret: &str) -> Self {
        let http = reqwest::Client::new();
        let (url, key, secret) = (url.into(), key.into(), secret.into());
        Self {
            url,
            key,
            secret,
            http,
        }
    }

    /// A named session and a token for it, as the demo page gets them: `(session, token)`.
    pub(crate) async fn join(&self, session: &str) -> (String, String) {
        let request = self.http.post(format!("{}/demo/join", self.url));
        let response = request
            .json(&json!({"name": "test", "session": session}))
            .send()
            .await
            .unwrap();
        let body: Value = response.json().await.unwrap();
        let text = |field: &str| body[field].as_str().unwrap().to_owned();
        (text("sessionId"), text("token"))
    }

    /// Session info, as the client asks for it behind `prefix`.
    pub(crate) async fn session_info(&self, prefix: &str, session: &str, token: &str) -> Value {
        let url = format!("{}{prefix}/session/{session}?extended=true", self.url);
        let request = self.http.get(url).header("X-OPENTOK-AUTH", token);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        response.json().await.unwrap()
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One client of one session, on one websocket at a time.
pub(crate) struct TestClient {
    /// `None` while it is away.
    socket: Option<Socket>,
    socket_id: Uuid,
    messaging_url: String,
    symphony: String,
    base: String,
    pub(crate) id: Uuid,
}

impl TestClient {
    /// Fetches session info and opens a websocket.
    pub(crate) async fn open(server: &Site, session: &str, token: &str) -> Self {
        Self::open_as(server, session, token, false).await
    }

    /// Opens a websocket that claims to replace one, which there never was.
    pub(crate) async fn pretend_to_resume(server: &Site, session: &str, token: &str) -> Self {
        Self::open_as(server, session, token, true).await
    }

    async fn open_as(server: &Site, session: &str, token: &str, resume: bool) -> Self {
        let info = &server.session_info("", session, token).await[0];
        let messaging_url = info["messaging_url"].as_str().unwrap().to_owned();
        let (id, socket_id) = (uuid(), uuid());
        let socket = connect(&messaging_url, socket_id, resume).await;
        Self {
            socket: Some(socket),
            socket_id,
            messaging_url,
            symphony: info["symphony_address"].as_str().unwrap().to_owned(),
            base: format!("/v2/partner/{}/session/{session}", server.key),
            id,
        }
    }

    /// Joins; returns the status and the state of the session.
    pub(crate) async fn join(&mut self, token: &str) -> (String, Value) {
        let headers = [
            ("uniqueId", self.id.to_string()),
            ("TRANSACTION-ID", uuid().to_string()),
            ("notifyDisconnectAddress", self.symphony.clone()),
        ];
        let connect = frame(FrameKind::Connect, vec![], &headers, String::new());
        self.send_frame(connect).await;
        let topics = vec![self.base.clone()];
        self.send_frame(frame(FrameKind::Subscribe, topics, &[], String::new()))
            .await;
        let uri = format!("{}/connection/{}", self.base, self.id);
        let content =
            json!({"userAgent": "test", "clientVersion": "js-2.35.2", "capabilities": []});
        let request = json!({"method": "create", "uri": uri, "content": content});
        self.request(request, &[("X-TB-TOKEN-AUTH", token.to_owned())])
            .await
    }

    /// Sends a signal to all; returns the status.
    pub(crate) async fn signal(&mut self, kind: &str, data: &str) -> String {
        let uri = format!("{}/signal/{}", self.base, uuid());
        let content = json!({"type": kind, "data": data});
        self.request(
            json!({"method": "signal", "uri": uri, "content": content}),
            &[],
        )
        .await
        .0
    }

    /// Waits for an event with this method whose URI contains `part`, acknowledging all others.
    pub(crate) async fn event(&mut self, method: &str, part: &str) -> (Frame, Value) {
        loop {
            let frame = self.frame().await;
            if frame.kind != FrameKind::Message {
                continue;
            }
            self.acknowledge(&frame).await;
            let event: Value = serde_json::from_str(&frame.payload).unwrap();
            let uri = event["uri"].as_str().unwrap();
            if event["method"] == method && uri.contains(part) {
                return (frame, event);
            }
        }
    }

    #[allow(dead_code, reason = "not every test cares how clients leave")]
    /// Says good-bye and waits until the server has heard it.
    pub(crate) async fn leave(&mut self) {
        let headers = [("TRANSACTION-ID", uuid().to_string())];
        self.send_frame(frame(
            FrameKind::Disconnect,
            vec![],
            &headers,
            String::new(),
        ))
        .await;
        assert_eq!(self.closed().await, Some(1000));
    }

    /// Says that it is there, as clients do every few seconds.
    #[allow(dead_code, reason = "not every test takes so long")]
    pub(crate) async fn ping(&mut self) {
        self.send_frame(frame(FrameKind::Ping, vec![], &[], String::new()))
            .await;
    }

    /// Loses the websocket without a word.
    pub(crate) fn lose(&mut self) {
        self.socket = None;
    }

    /// Opens another websocket in place of the lost one.
    pub(crate) async fn resume(&mut self) {
        self.socket = Some(connect(&self.messaging_url, self.socket_id, true).await);
    }

    /// The next frame, whatever it is.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            match self.message().await {
                Message::Binary(bytes) => return Frame::decode(&bytes).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("no frame but {other:?}"),
            }
        }
    }

    /// Reads until the server closes the websocket, and returns the code.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Message::Close(frame) = self.message().await {
                // The next read answers it.
                let _ = self.socket().next().await;
                return frame.map(|frame| frame.code.into());
            }
        }
    }

    /// Sends any message of the websocket.
    pub(crate) async fn send(&mut self, message: Message) {
        self.socket().send(message).await.unwrap();
    }

    async fn message(&mut self) -> Message {
        let next = timeout(PATIENCE, self.socket().next()).await;
        next.expect("something comes")
            .expect("the websocket is open")
            .unwrap()
    }

    fn socket(&mut self) -> &mut Socket {
        self.socket.as_mut().expect("the client is not away")
    }

    async fn acknowledge(&mut self, message: &Frame) {
        let Some(id) = message.header("TRANSACTION-ID") else {
            return;
        };
        let headers = [
            ("TRANSACTION-ID", id.to_owned()),
            ("X-TB-FROM-ADDRESS", self.id.to_string()),
        ];
        let to = vec![
            message
                .header("X-TB-FROM-ADDRESS")
                .unwrap_or_default()
                .to_owned(),
        ];
        self.send_frame(frame(FrameKind::Status, to, &headers, String::new()))
            .await;
    }

    /// Sends a request and waits for its status and payload; events in between are lost.
    pub(crate) async fn request(
        &mut self,
        request: Value,
        more: &[(&str, String)],
    ) -> (String, Value) {
        let transaction = uuid().to_string();
        let mut headers = vec![
            ("TRANSACTION-ID", transaction.clone()),
            ("X-TB-FROM-ADDRESS", self.id.to_string()),
            ("Content-Type", "application/x-raptor+v2".to_owned()),
        ];
        headers.extend_from_slice(more);
        let to = vec![self.symphony.clone()];
        self.send_frame(frame(FrameKind::Message, to, &headers, request.to_string()))
            .await;
        loop {
            let frame = self.frame().await;
            let about = frame.header("TRANSACTION-ID") == Some(&transaction);
            if frame.kind == FrameKind::Status && about {
                let status = frame.header("STATUS").unwrap().to_owned();
                let payload = serde_json::from_str(&frame.payload).unwrap_or_default();
                return (status, payload);
            }
            if frame.kind == FrameKind::Message {
                self.acknowledge(&frame).await;
            }
        }
    }

    async fn send_frame(&mut self, frame: Frame) {
        self.send(Message::Binary(frame.encode())).await;
    }
}

async fn connect(messaging_url: &str, socket_id: Uuid, reconnect: bool) -> Socket {
    let again = if reconnect { "&reconnect=true" } else { "" };
    let attempt = uuid();
    let url = format!("{messaging_url}?socketId={socket_id}{again}&attempt={attempt}");
    connect_async(url).await.unwrap().0
}

fn frame(
    kind: FrameKind,
    addresses: Vec<String>,
    headers: &[(&str, String)],
    payload: String,
) -> Frame {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    Frame {
        kind,
        addresses,
        headers: headers.collect(),
        payload,
    }
}

fn uuid() -> Uuid {
    Entropy::from_system().uuid()
}
