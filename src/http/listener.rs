//! The connections that speak HTTP, for axum. Where there is TLS, plain HTTP is sent there.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use crate::net::connection::Connection;

/// Connections that may wait to be served. When full, those behind them wait at the port.
const READY_LEN: usize = 64;

/// Redirects under way. When full, a client that speaks plain HTTP is closed.
const MAX_REDIRECTS: usize = 256;

/// How long a client may take to be redirected.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives out connections that are to be served.
#[derive(Debug)]
pub struct HttpListener {
    local_addr: SocketAddr,
    connections: mpsc::Receiver<Connection>,
    /// Redirects under way, if plain HTTP is not served.
    redirects: Option<JoinSet<()>>,
}

impl HttpListener {
    /// The listener for what is sent into the queue. With `secure`, only what comes inside TLS is
    /// served, and the rest is sent there. It is said to listen at `local_addr`.
    pub fn new(local_addr: SocketAddr, secure: bool) -> (mpsc::Sender<Connection>, Self) {
        let (sender, connections) = mpsc::channel(READY_LEN);
        let listener = Self {
            local_addr,
            connections,
            redirects: secure.then(JoinSet::new),
        };
        (sender, listener)
    }
}

impl axum::serve::Listener for HttpListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Some(connection) = self.connections.recv().await else {
                // The port is closed; who serves ends some other way.
                return std::future::pending().await;
            };
            match &mut self.redirects {
                Some(redirects) if !connection.is_secure() => {
                    while redirects.try_join_next().is_some() {}
                    if redirects.len() < MAX_REDIRECTS {
                        redirects.spawn(send_away(connection));
                    }
                }
                _ => {
                    let peer = connection.peer;
                    return (connection, peer);
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local_addr)
    }
}

/// Answers one request of a client that speaks plain HTTP.
async fn send_away(connection: Connection) {
    let redirected = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(connection),
            service_fn(async |request| Ok::<_, Infallible>(redirect(&request))),
        );
    match timeout(PATIENCE, redirected).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "Redirect failed"),
        Err(_) => debug!("Redirect took too long"),
    }
}

/// 308 keeps method and body (RFC 9110, 15.4.9).
fn redirect<B>(request: &Request<B>) -> Response<Body> {
    let host = request.headers().get(header::HOST);
    let host = host
        .and_then(|host| host.to_str().ok())
        .filter(|host| !host.is_empty());
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let location =
        host.and_then(|host| HeaderValue::try_from(format!("https://{host}{path}")).ok());
    let mut response = Response::new(Body::empty());
    match location {
        Some(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(header::LOCATION, location);
        }
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}
