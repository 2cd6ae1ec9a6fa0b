//! The thread around the TURN [`Server`]: plain polling, no async runtime, as a media worker's.
//!
//! It owns the UDP socket of TURN and one socket for each allocation and media address that it is
//! used with, on loopback or wherever media is bound, so that media can tell clients apart.
//! Streams are read and written by tasks of their own ([`stream`]).

mod network;
pub mod stream;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use self::network::SocketNetwork;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::net::udp::BatchSocket;
use crate::sfu::datagram::ReceiveSlab;
use crate::turn::credential::Issuer;
use crate::turn::{Client, Limits, Relay, Server, Snapshot, StreamId};

/// Messages of streams and requests of ours that may wait. When full, the sender waits, and TCP
/// makes its client wait.
const INPUTS_LEN: usize = 1024;

/// Datagrams per receive call.
const BATCH_LEN: usize = 64;

/// Receive calls per turn before anything else gets its turn.
const BATCHES_PER_TURN: usize = 4;

/// Datagrams taken from one relay before the next gets its turn.
const RELAY_BATCH_LEN: usize = 32;

/// Longest datagram taken from media; it sends none that is longer than a network takes.
const MAX_DATAGRAM_LEN: usize = 2048;

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);

/// What the thread is told.
#[derive(Debug)]
enum Input {
    Opened {
        client: Client,
        outbox: mpsc::Sender<Vec<u8>>,
    },
    Message {
        client: Client,
        bytes: Vec<u8>,
    },
    Closed {
        client: Client,
    },
    Revoke {
        connection: String,
    },
    Snapshot(oneshot::Sender<Snapshot>),
    Stop,
}

/// The thread is gone: the process is on its way down.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the TURN server has stopped")]
pub struct TurnStopped;

/// A handle to the server. The last thing to do with it is [`Self::stop`].
#[derive(Debug, Clone)]
pub struct TurnHandle {
    inputs: mpsc::Sender<Input>,
    waker: Arc<Waker>,
    next_stream: Arc<AtomicU64>,
}

/// The server's thread; joined on the way down.
#[derive(Debug)]
pub struct TurnThread {
    thread: JoinHandle<()>,
    /// Where it takes datagrams, port included, if it does.
    pub local_addr: Option<SocketAddr>,
}

impl TurnHandle {
    /// Ends what a connection has, and makes its credentials void.
    pub async fn revoke(&self, connection: String) {
        // An error means that there is nothing left to end.
        let _ = self.tell(Input::Revoke { connection }).await;
    }

    /// How much is going on.
    pub async fn snapshot(&self) -> Result<Snapshot, TurnStopped> {
        let (reply, snapshot) = oneshot::channel();
        self.tell(Input::Snapshot(reply)).await?;
        snapshot.await.map_err(|_| TurnStopped)
    }

    /// Ends the server; nothing it was told before is lost, nothing after is heard.
    pub async fn stop(&self) {
        // An error means that it has stopped already.
        let _ = self.tell(Input::Stop).await;
    }

    async fn tell(&self, input: Input) -> Result<(), TurnStopped> {
        self.inputs.send(input).await.map_err(|_| TurnStopped)?;
        if let Err(error) = self.waker.wake() {
            error!(%error, "Cannot wake the TURN server");
        }
        Ok(())
    }

    /// A number for one more stream.
    fn number(&self) -> StreamId {
        StreamId(self.next_stream.fetch_add(1, Ordering::Relaxed))
    }
}

impl TurnThread {
    /// Waits for the thread to end after [`TurnHandle::stop`].
    pub fn join(self) {
        if self.thread.join().is_err() {
            error!("The TURN server panicked");
        }
    }
}

/// Where media is.
#[derive(Debug, Clone)]
pub struct MediaPlace {
    /// What clients are told.
    pub announced: Vec<SocketAddr>,
    /// Where the media port is bound.
    pub local: SocketAddr,
}

/// Starts the thread, with a UDP socket at `listen` if there is one.
///
/// # Errors
///
/// If the address cannot be bound, or the system has no thread or descriptor to give.
pub fn start(
    listen: Option<SocketAddr>,
    media: &MediaPlace,
    issuer: Issuer,
    limits: Limits,
    entropy: Entropy,
    clock: Clock,
) -> io::Result<(TurnHandle, TurnThread)> {
    let poll = Poll::new()?;
    let socket = listen.map(BatchSocket::bind).transpose()?;
    let mut local_addr = None;
    if let Some(socket) = &socket {
        let fd = socket.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), SOCKET, Interest::READABLE)?;
        local_addr = Some(socket.local_addr()?);
    }
    let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
    let (sender, inputs) = mpsc::channel(INPUTS_LEN);
    let registry = poll.registry().try_clone()?;
    let turn = Turn {
        server: Server::new(&media.announced, issuer, limits, entropy, clock.epoch()),
        net: SocketNetwork::new(socket, registry, reachable(media.local)),
        poll,
        inputs,
        clock,
        received: ReceiveSlab::new(BATCH_LEN),
        datagram: vec![0; MAX_DATAGRAM_LEN],
        readable_relays: BTreeSet::new(),
    };
    let thread = std::thread::Builder::new()
        .name("turn".into())
        .spawn(move || turn.run())?;
    if let Some(address) = local_addr {
        info!(%address, "TURN port open");
    }
    let handle = TurnHandle {
        inputs: sender,
        waker,
        next_stream: Arc::default(),
    };
    Ok((handle, TurnThread { thread, local_addr }))
}

/// Where this machine reaches a socket of its own: IPv4 does for both families, since a socket
/// that is bound to all addresses takes both.
fn reachable(bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), bound.port())
    } else {
        bound
    }
}

/// All that the thread owns.
struct Turn {
    server: Server,
    net: SocketNetwork,
    poll: Poll,
    inputs: mpsc::Receiver<Input>,
    clock: Clock,
    received: ReceiveSlab,
    datagram: Vec<u8>,
    /// Relays with something to take.
    readable_relays: BTreeSet<Relay>,
}

impl Turn {
    fn run(mut self) {
        let mut wakeups = Events::with_capacity(256);
        // Readiness is told once per change, so it is remembered until all has been received.
        let mut readable = false;
        loop {
            let timeout = match readable || !self.readable_relays.is_empty() {
                true => Some(Duration::ZERO),
                false => self.time_left(),
            };
            if let Err(error) = self.poll.poll(&mut wakeups, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                error!(%error, "The TURN server cannot poll; stopping");
                return;
            }
            for event in &wakeups {
                match event.token() {
                    SOCKET => readable = true,
                    WAKE => {}
                    token => {
                        self.readable_relays.insert(network::relay_of(token));
                    }
                }
            }
            if self.take_inputs().is_break() {
                return;
            }
            if readable {
                readable = self.take_datagrams();
            }
            self.take_from_media();
            self.take_time();
            self.net.flush();
        }
    }

    /// How long nothing needs to be done unless something comes in.
    fn time_left(&self) -> Option<Duration> {
        let now = self.clock.now();
        let at = self.server.poll_timeout()?;
        Some(at.saturating_duration_since(now))
    }

    /// Takes what waited when the turn began. What is sent meanwhile has its own wake-up.
    fn take_inputs(&mut self) -> ControlFlow<()> {
        let now = self.clock.now();
        for _ in 0..INPUTS_LEN {
            match self.inputs.try_recv() {
                Ok(Input::Opened { client, outbox }) => {
                    let Some(stream) = client.stream else {
                        continue;
                    };
                    self.net.open_stream(stream, outbox);
                    self.server.handle_opened(stream, now, &mut self.net);
                }
                Ok(Input::Message { client, bytes }) => {
                    self.server
                        .handle_message(client, &bytes, now, &mut self.net);
                }
                Ok(Input::Closed { client }) => self.server.handle_closed(client, &mut self.net),
                Ok(Input::Revoke { connection }) => {
                    self.server.revoke(&connection, now, &mut self.net);
                }
                Ok(Input::Snapshot(reply)) => {
                    // Whoever asked may have given up.
                    let _ = reply.send(self.server.snapshot());
                }
                Ok(Input::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => {
                    return ControlFlow::Break(());
                }
                Err(mpsc::error::TryRecvError::Empty) => break,
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes a few batches; true if there may be more.
    fn take_datagrams(&mut self) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            match self.net.receive(&mut self.received) {
                Ok(count) => {
                    let now = self.clock.now();
                    for slot in 0..count {
                        let (bytes, from) = self.received.datagram_mut(slot);
                        let client = Client::of(from);
                        self.server
                            .handle_message(client, bytes, now, &mut self.net);
                    }
                    // Fewer than asked for were all there were; the next one is a new readiness.
                    if count < BATCH_LEN {
                        return false;
                    }
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        warn!(%error, "Cannot receive TURN messages");
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Takes some of what media has sent to each relay; those with more get another turn.
    fn take_from_media(&mut self) {
        let now = self.clock.now();
        for relay in std::mem::take(&mut self.readable_relays) {
            let mut left = RELAY_BATCH_LEN;
            while left > 0
                && let Some(len) = self.net.receive_from_media(relay, &mut self.datagram)
            {
                let data = &self.datagram[..len];
                self.server.handle_media(relay, data, now, &mut self.net);
                left -= 1;
            }
            if left == 0 {
                self.readable_relays.insert(relay);
            }
        }
    }

    fn take_time(&mut self) {
        let now = self.clock.now();
        if self.server.poll_timeout().is_some_and(|at| at <= now) {
            self.server.handle_timeout(now, &mut self.net);
        }
    }
}
