//! A web server that gets webhooks, in whatever mood it is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlor::db::webhooks::NewWebhook;
use parlor::entropy::Entropy;
use parlor::model::id::ProjectId;
use parlor::webhook::schedule::Lane;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

/// How long anything may take that is expected to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const TLS_FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

/// How a receiver answers.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    Well,
    Fails,
    Stalls,
    RedirectsTo(SocketAddr),
}

/// A request that a receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) head: String,
    pub(crate) text: String,
    pub(crate) body: Value,
    pub(crate) well: bool,
}

/// A web server that gets webhooks. Its task ends with the test's runtime.
pub(crate) struct Receiver {
    pub(crate) addr: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    pub(crate) got: watch::Receiver<Vec<Got>>,
    scheme: &'static str,
}

impl Receiver {
    pub(crate) async fn start(mood: Mood) -> Self {
        Self::serve(mood, None).await
    }

    /// One that speaks TLS with this certificate of `tests/fixtures/tls`, for `localhost`.
    pub(crate) async fn start_with_tls(mood: Mood, certificate: &str) -> Self {
        let file = |kind| format!("{TLS_FIXTURES}/{certificate}.{kind}");
        let chain = vec![CertificateDer::from_pem_file(file("pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::serve(mood, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serve(mood: Mood, tls: Option<TlsAcceptor>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(mood));
        let (sender, got) = watch::channel(Vec::new());
        let shared = Arc::clone(&mood);
        tokio::spawn(async move {
            let sender = Arc::new(sender);
            while let Ok((stream, _)) = listener.accept().await {
                // That of now: the request may be read only after whoever sent it has died.
                let mood = shared.lock().unwrap().clone();
                let (sender, tls) = (Arc::clone(&sender), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, mood, sender).await,
                        Some(tls) => {
                            // An error means that we are not trusted.
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, mood, sender).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            addr,
            mood,
            got,
            scheme,
        }
    }

    pub(crate) fn url(&self) -> String {
        match self.scheme {
            "https" => format!("https://localhost:{}/hook?a=b", self.addr.port()),
            _ => format!("http://{}/hook?a=b", self.addr),
        }
    }

    pub(crate) fn get(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Waits until everybody who has connected so far is served, in the mood of now.
    pub(crate) async fn catch_up(&self) {
        let mut last = TcpStream::connect(self.addr).await.unwrap();
        last.shutdown().await.unwrap();
        // They are accepted in order, and one that says nothing is hung up on.
        assert_eq!(last.read(&mut [0; 1]).await.unwrap(), 0);
    }

    /// Waits until what it got is enough.
    pub(crate) async fn wait(&self, enough: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let mut got = self.got.clone();
        let waited = timeout(PATIENCE, got.wait_for(|got| enough(got))).await;
        match waited {
            Ok(got) => got.unwrap().clone(),
            Err(_) => panic!("not enough: {:#?}", *self.got.borrow()),
        }
    }

    /// What it got and accepted, of which there must be this many.
    pub(crate) async fn accepted(&self, count: usize) -> Vec<Got> {
        let accepted = |got: &[Got]| got.iter().filter(|got| got.well).count();
        let got = self.wait(|got| accepted(got) >= count).await;
        let got: Vec<_> = got.into_iter().filter(|got| got.well).collect();
        assert_eq!(got.len(), count);
        got
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    mood: Mood,
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
    let _ = stream.shutdown().await;
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

pub(crate) fn events(got: &[Got]) -> Vec<&str> {
    got.iter()
        .map(|got| got.body["event"].as_str().unwrap())
        .collect()
}

/// What a project has yet to tell a receiver: so many events of each of so many sessions, which say
/// whose and which they are.
pub(crate) fn due(project: ProjectId, url: &str, sessions: i64, events: i64) -> Vec<NewWebhook> {
    let mut entropy = Entropy::from_system();
    let webhook = |n: i64| NewWebhook {
        id: entropy.uuid(),
        position: n,
        lane: Lane {
            project,
            url: url.parse().unwrap(),
            session: format!("2_s{}", n % sessions).parse().unwrap(),
        },
        callback: None,
        event: "streamCreated",
        body: json!({"session": n % sessions, "n": n / sessions}).to_string(),
        created_at_ms: parlor::clock::Clock::system().unix_ms(),
    };
    (0..sessions * events).map(webhook).collect()
}

/// Which events of [`due`] were accepted, by session, in the order in which they were.
pub(crate) fn told(got: &[Got]) -> BTreeMap<i64, Vec<i64>> {
    let mut told: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for got in got.iter().filter(|got| got.well) {
        let number = |name: &str| got.body[name].as_i64().unwrap();
        told.entry(number("session")).or_default().push(number("n"));
    }
    told
}
