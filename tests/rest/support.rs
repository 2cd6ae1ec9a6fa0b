//! A server with a database of its own, and a client that writes HTTP by hand.

use std::fmt::Write;
use std::net::SocketAddr;

use axum::Router;
use axum::ServiceExt;
use axum::extract::{DefaultBodyLimit, FromRef, Request};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parlor::clock::Clock;
use parlor::db::{Db, DbError, Options};
use parlor::entropy::Entropy;
use parlor::http::auth::{AuthPolicy, AuthProject};
use parlor::http::error::{ApiError, as_accepted};
use parlor::http::{SharedEntropy, normalize, sessions};
use parlor::model::project::Project;
use ring::hmac;
use serde_json::{Value, json};
use sqlx::any::{AnyConnectOptions, install_default_drivers};
use sqlx::{ConnectOptions, Connection, Executor};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower::Layer;

use crate::whole::database;

/// Bodies larger than this are refused here.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// An empty place for a store, in the database that the tests run on.
pub(crate) struct TestStore {
    url: String,
    _dir: TempDir,
}

impl TestStore {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("parlor.db").display().to_string();
        Self {
            url: database::postgres().await.unwrap_or(file),
            _dir: dir,
        }
    }

    pub(crate) async fn open(&self) -> Result<Db, DbError> {
        Db::open(&self.url, &Options::default()).await
    }

    /// Does to the store what no server would.
    pub(crate) async fn execute(&self, sql: &'static str) {
        install_default_drivers();
        let url = match self.url.split_once(':') {
            Some(_) => self.url.clone(),
            None => format!("sqlite:{}", self.url),
        };
        let options: AnyConnectOptions = url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// A running server with one project. Ends with its value.
pub(crate) struct TestServer {
    pub(crate) db: Db,
    pub(crate) project: Project,
    addr: SocketAddr,
    serving: JoinHandle<()>,
    _store: TestStore,
}

/// What the handlers under test take their state from.
#[derive(Clone)]
struct State {
    db: Db,
    clock: Clock,
    entropy: SharedEntropy,
    policy: AuthPolicy,
}

macro_rules! from_ref {
    ($($field:ident: $part:ty),*) => {$(
        impl FromRef<State> for $part {
            fn from_ref(state: &State) -> Self {
                state.$field.clone()
            }
        }
    )*};
}

from_ref!(db: Db, clock: Clock, entropy: SharedEntropy, policy: AuthPolicy);

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(AuthPolicy::default()).await
    }

    pub(crate) async fn start_with(policy: AuthPolicy) -> Self {
        let store = TestStore::new().await;
        let db = store.open().await.unwrap();
        let mut entropy = Entropy::from_system();
        let project = Project::generate("test", 0, &mut entropy);
        db.projects().insert(&project).await.unwrap();

        let state = State {
            db: db.clone(),
            clock: Clock::system(),
            entropy: SharedEntropy::new(entropy),
            policy,
        };
        let service = normalize::layer().layer(router(state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let service = ServiceExt::<Request>::into_make_service(service);
        let serving = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self {
            db,
            project,
            addr,
            serving,
            _store: store,
        }
    }

    /// A correct `X-OPENTOK-AUTH`, as most SDKs make it.
    pub(crate) fn token(&self) -> String {
        self.token_with(json!({}))
    }

    /// The same with some claims changed.
    pub(crate) fn token_with(&self, change: Value) -> String {
        let mut claims = claims(&self.project);
        claims
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        sign(
            &json!({"alg": "HS256", "typ": "JWT"}),
            &claims,
            self.project.secret.reveal(),
        )
    }

    /// Sends one request and reads its answer. `head` is all lines before the empty one, without
    /// `Host`, `Connection` and `Content-Length`, which are added here.
    pub(crate) async fn exchange(&self, head: &str, body: &str) -> Answer {
        exchange(self.addr, head, body).await
    }

    /// Creates a session with this form and reads the answer as JSON.
    pub(crate) async fn create(&self, form: &str) -> Answer {
        let head = format!(
            "POST /session/create HTTP/1.1\nX-OPENTOK-AUTH: {}\nAccept: application/json\n\
             Content-Type: application/x-www-form-urlencoded",
            self.token()
        );
        self.exchange(&head, form).await
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn router(state: State) -> Router {
    // A route with a key in its path, as most of REST has them.
    let of_project = get(async |_: AuthProject| "mine");
    Router::new()
        .route("/session/create", post(sessions::create))
        .route_layer(from_fn(as_accepted))
        .route("/v2/project/{api_key}/session", of_project)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NotFound)
        .with_state(state)
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Sends one request to a server and reads its answer: see [`TestServer::exchange`].
pub(crate) async fn exchange(addr: SocketAddr, head: &str, body: &str) -> Answer {
    let mut request = head.trim().replace('\n', "\r\n");
    let length = body.len();
    write!(request, "\r\nHost: {addr}\r\nConnection: close").unwrap();
    write!(request, "\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Answer::parse(&answer)
}

/// What a correct token says now.
pub(crate) fn claims(project: &Project) -> Value {
    let now = now_unix_s();
    json!({"iss": project.id.to_string(), "ist": "project", "iat": now, "exp": now + 300})
}

pub(crate) fn now_unix_s() -> i64 {
    Clock::system().unix_ms() / 1000
}

/// A JWT with any header and claims, by another implementation than the server's.
pub(crate) fn sign(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let text = text
            .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
            .unwrap_or(text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// A header's value; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.body).unwrap()
    }

    /// The id of the session that was created.
    pub(crate) fn session_id(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        let id = match self.header("content-type") {
            Some("text/xml") => self.xml("session_id").to_owned(),
            _ => self.json()[0]["session_id"].as_str().unwrap().to_owned(),
        };
        assert!(!id.is_empty());
        id
    }

    /// The text of an XML element.
    pub(crate) fn xml(&self, name: &str) -> &str {
        let (_, rest) = self.body.split_once(&format!("<{name}>")).unwrap();
        rest.split_once(&format!("</{name}>")).unwrap().0
    }

    /// Asserts an error in JSON with everything SDKs read of it; returns its message.
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], -1);
        assert_eq!(body["message"], body["description"]);
        body["message"].as_str().unwrap().to_owned()
    }
}
