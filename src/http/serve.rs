//! Serves HTTP on what a listener accepts: as many connections as the settings allow, each for as
//! long as its client keeps pace.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};
use tracing::{debug, trace, warn};

use super::forwarded::TrustedProxies;
use super::limits::{PerAddress, Place};
use super::pace::{CutOff, Paced, PacedBody, Turn};
use crate::config::HttpConfig;
use crate::config::http::Pace;

/// Longest head of a request in bytes, and most that is read at a time. Tokens and lists of
/// proxies have room; hyper's own limit is seven times as much.
const MAX_HEAD: usize = 64 * 1024;

/// The connections of one server. All clones are the same.
#[derive(Debug, Clone)]
pub struct Connections {
    free: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
    of_one_address: PerAddress,
    refused: Arc<AtomicU64>,
    cut_off: Arc<CutOff>,
    proxies: TrustedProxies,
    pace: Pace,
}

/// How connections fare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open ones, websockets excluded.
    pub open: usize,
    /// Closed at once, because their address has enough of them.
    pub refused: u64,
    /// Cut off in the head of a request.
    pub slow_head: u64,
    /// Cut off in its body.
    pub slow_body: u64,
    /// Cut off while it was answered.
    pub slow_write: u64,
}

/// What an open connection occupies.
#[derive(Debug)]
struct Occupied {
    _in_all: OwnedSemaphorePermit,
    _of_its_address: Option<Place>,
    open: Arc<AtomicUsize>,
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    /// None yet.
    pub fn new(config: &HttpConfig) -> Self {
        let most = config.crowd.connections.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(most)),
            open: Arc::default(),
            of_one_address: PerAddress::new(config.crowd.of_one_address),
            refused: Arc::default(),
            cut_off: Arc::default(),
            proxies: TrustedProxies::new(&config.trusted_proxies),
            pace: config.pace,
        }
    }

    /// What there is now, and what happened so far.
    pub fn counts(&self) -> Counts {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        Counts {
            open: self.open.load(Ordering::Relaxed),
            refused: read(&self.refused),
            slow_head: read(&self.cut_off.head),
            slow_body: read(&self.cut_off.body),
            slow_write: read(&self.cut_off.write),
        }
    }

    /// Serves what `listener` accepts, until `stop`; then waits for the answers that are under
    /// way. Dropping the future closes all connections; websockets are somebody else's.
    pub async fn serve<L, S>(self, mut listener: L, service: S, stop: CancellationToken)
    where
        L: Listener<Addr = SocketAddr>,
        S: Service<Request, Response = Response, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let mut serving = JoinSet::new();
        loop {
            let (in_all, stream, from) = tokio::select! {
                accepted = self.accept(&mut listener) => accepted,
                Some(ended) = serving.join_next() => {
                    report(ended);
                    continue;
                }
                () = stop.cancelled() => break,
            };
            if let Some(occupied) = self.admit(in_all, from) {
                let (this, service) = (self.clone(), service.clone());
                let stop = stop.clone();
                serving.spawn(async move {
                    this.serve_one(stream, from, service, stop).await;
                    drop(occupied);
                });
            }
        }
        drop(listener);
        while let Some(ended) = serving.join_next().await {
            report(ended);
        }
    }

    /// The next connection, when there may be one more. While there may not, clients wait where
    /// the listener has them.
    async fn accept<L>(&self, listener: &mut L) -> (OwnedSemaphorePermit, L::Io, SocketAddr)
    where
        L: Listener<Addr = SocketAddr>,
    {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let (stream, from) = listener.accept().await;
        (permit, stream, from)
    }

    /// Whether whoever is there may have one more. Proxies may: they carry those of many clients.
    fn admit(&self, in_all: OwnedSemaphorePermit, from: SocketAddr) -> Option<Occupied> {
        let address = from.ip().to_canonical();
        let place = match self.proxies.trusts(address) {
            true => None,
            false => match self.of_one_address.enter(address) {
                Some(place) => Some(place),
                None => {
                    debug!(%from, "Too many connections from one address");
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
            },
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Occupied {
            _in_all: in_all,
            _of_its_address: place,
            open: Arc::clone(&self.open),
        })
    }

    async fn serve_one<I, S>(
        &self,
        stream: I,
        from: SocketAddr,
        service: S,
        stop: CancellationToken,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request, Response = Response, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let turn = Turn::default();
        let stream = Paced::new(stream, self.pace, turn.clone(), Arc::clone(&self.cut_off));
        let answer = |request| self.answer(request, from, service.clone(), turn.clone());
        let connection = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service_fn(answer))
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            trace!(%from, %error, "A connection failed");
        }
    }

    /// Answers one request, while the client waits.
    async fn answer<S>(
        &self,
        request: hyper::Request<Incoming>,
        from: SocketAddr,
        service: S,
        turn: Turn,
    ) -> Result<Response, Infallible>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let ours = turn.take();
        let client = self.proxies.client(from, request.headers());
        let paced = |body| PacedBody::new(body, self.pace, Arc::clone(&self.cut_off));
        let mut request = request.map(|body| Body::new(paced(Body::new(body))));
        request.extensions_mut().insert(client);
        let response = service.oneshot(request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            ours.upgrade();
        }
        Ok(response)
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        warn!(%error, "A request panicked");
    }
}
