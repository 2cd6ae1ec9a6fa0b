//! HTTPS on one port: TLS is told from plain HTTP by the first byte, and plain HTTP is sent to
//! the same place over TLS.
//!
//! Handshakes run beside each other, so that a slow client delays nobody.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tracing::{debug, trace, warn};

/// Handshakes and redirects under way. One more waits in the kernel's backlog.
const MAX_PENDING: usize = 1024;

/// Connections that may wait to be served. When full, finished handshakes wait.
const READY_LEN: usize = 64;

/// How long a client may take for its handshake, or to be redirected.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait after the system had no file or no memory for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(200);

/// The first byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

type Ready = (TlsStream<TcpStream>, SocketAddr);

/// Gives out connections whose handshake is done. Dropping it ends all that are under way.
#[derive(Debug)]
pub struct TlsListener {
    local_addr: SocketAddr,
    ready: mpsc::Receiver<Ready>,
    _accepting: JoinSet<()>,
}

impl TlsListener {
    /// Accepts on `listener` with whatever certificate is current.
    pub fn new(
        listener: TcpListener,
        current: watch::Receiver<Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(READY_LEN);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, current, sender));
        Ok(Self {
            local_addr,
            ready,
            _accepting: accepting,
        })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Ready {
        match self.ready.recv().await {
            Some(ready) => ready,
            // The other end lives as long as this one.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local_addr)
    }
}

async fn accept(
    listener: TcpListener,
    current: watch::Receiver<Arc<ServerConfig>>,
    ready: mpsc::Sender<Ready>,
) {
    let mut pending = JoinSet::new();
    loop {
        while pending.try_join_next().is_some() {}
        if pending.len() >= MAX_PENDING {
            pending.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, from)) => {
                let config = Arc::clone(&current.borrow());
                let ready = ready.clone();
                pending.spawn(async move {
                    match timeout(PATIENCE, welcome(stream, config)).await {
                        // An error means that the server is on its way down.
                        Ok(Ok(Some(stream))) => drop(ready.send((stream, from)).await),
                        Ok(Ok(None)) => {}
                        Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
                        Err(_) => debug!("TLS handshake took too long"),
                    }
                });
            }
            Err(error) if of_one_connection(&error) => trace!(%error, "Client gone already"),
            Err(error) => {
                warn!(%error, "Cannot accept a connection");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Does the handshake, or sends a client that speaks plain HTTP away: then there is nothing.
async fn welcome(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    if first == [TLS_HANDSHAKE] {
        return TlsAcceptor::from(config).accept(stream).await.map(Some);
    }
    let redirected = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(async |request| Ok::<_, Infallible>(redirect(&request))),
        )
        .await;
    redirected.map(|()| None).map_err(io::Error::other)
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
