//! The thread around the SFU's [`Engine`]: one per media worker, plain polling, no async runtime.
//! [`super::workers`] makes a group of them.
//!
//! The worker owns its socket and everything the engine knows. It never waits for anybody: what
//! comes in is drained on every turn, and what it says upward is held back while nobody listens.

mod stopwatch;
mod turn;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token, Waker};
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use self::turn::Turn;
use super::dtls::DtlsHandle;
use super::links::Links;
use super::streams::{self, Arrival, Streams};
use crate::clock::Clock;
use crate::net::udp::{self, BatchSocket};
use crate::sfu::Leg;
use crate::sfu::command::{Command, EngineEvent};
use crate::sfu::engine::{self, Engine};
use crate::sfu::handshake::HandshakeOutput;
use crate::sfu::stats::LegStats;
use crate::telemetry::histogram::Histogram;

/// Commands and handshake results that may wait for a worker. When full, the sender waits; the
/// worker takes some on each turn, so that is no longer than one turn.
const INPUTS_LEN: usize = 1024;

/// Events of all workers that may wait for the hub. When full, they stay in the engine until there is room.
pub(super) const EVENTS_LEN: usize = 1024;

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);
/// The first of those of TCP connections.
const STREAM: Token = Token(2);

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Input {
    Command(Command),
    Handshake(HandshakeOutput),
    Connection(Box<Arrival>),
    Snapshot(oneshot::Sender<Snapshot>),
    Stats(Arc<[Leg]>, oneshot::Sender<Vec<LegStats>>),
    Stop,
}

/// What one worker has done so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Snapshot {
    /// What its engine counted.
    pub engine: engine::Counters,
    /// What its socket counted.
    pub socket: udp::Counters,
    /// What its TCP connections counted.
    pub streams: streams::Counters,
    /// From the receipt of a batch to the sending of what it caused.
    pub forwarding: Histogram,
    /// How long it was at work before it looked for datagrams again.
    pub turns: Histogram,
    /// How long it had a processor meanwhile, for turns that took longer than a millisecond; of
    /// all others, how long they took.
    pub busy: Histogram,
}

/// The worker is gone: the process is on its way down.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the media worker has stopped")]
pub struct WorkerStopped;

/// A handle to one media worker. The last thing to do with it is [`Self::stop`].
#[derive(Debug, Clone)]
pub struct MediaHandle {
    inputs: mpsc::Sender<Input>,
    waker: Arc<Waker>,
}

/// The worker's thread; joined on the way down.
#[derive(Debug)]
pub struct MediaThread {
    thread: JoinHandle<()>,
}

impl MediaHandle {
    /// Changes something in the engine.
    pub async fn command(&self, command: Command) {
        if self.inputs.send(Input::Command(command)).await.is_err() {
            warn!("Command for a media worker that has stopped");
        }
        self.wake();
    }

    /// Gives it a connection to speak on.
    pub(super) async fn adopt(&self, arrival: Arrival) {
        let input = Input::Connection(Box::new(arrival));
        if self.inputs.send(input).await.is_err() {
            debug!("Connection for a media worker that has stopped");
        }
        self.wake();
    }

    /// What it has done so far.
    pub async fn snapshot(&self) -> Result<Snapshot, WorkerStopped> {
        let (reply, snapshot) = oneshot::channel();
        let sent = self.inputs.send(Input::Snapshot(reply)).await;
        sent.map_err(|_| WorkerStopped)?;
        self.wake();
        snapshot.await.map_err(|_| WorkerStopped)
    }

    /// The statistics of those of these publications and subscriptions that live here. The worker
    /// does nothing else meanwhile: ask for few at a time.
    pub(super) async fn stats(&self, legs: Arc<[Leg]>) -> Result<Vec<LegStats>, WorkerStopped> {
        let (reply, stats) = oneshot::channel();
        let sent = self.inputs.send(Input::Stats(legs, reply)).await;
        sent.map_err(|_| WorkerStopped)?;
        self.wake();
        stats.await.map_err(|_| WorkerStopped)
    }

    /// Ends the worker; nothing it was told before is lost, nothing after is heard.
    pub async fn stop(&self) {
        // An error means that it has stopped already.
        let _ = self.inputs.send(Input::Stop).await;
        self.wake();
    }

    /// For the handshake thread, which may wait.
    pub fn handshake(&self, output: HandshakeOutput) {
        if self.inputs.blocking_send(Input::Handshake(output)).is_err() {
            debug!("Handshake result for a media worker that has stopped");
        }
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            error!(%error, "Cannot wake a media worker");
        }
    }
}

impl MediaThread {
    /// Waits for the thread to end after [`MediaHandle::stop`].
    pub fn join(self) {
        if self.thread.join().is_err() {
            error!("A media worker panicked");
        }
    }
}

/// A worker that is bound but does not run yet.
#[derive(Debug)]
pub struct MediaWorker {
    socket: BatchSocket,
    poll: Poll,
    inputs: mpsc::Receiver<Input>,
    handle: MediaHandle,
}

impl MediaWorker {
    /// A worker around a bound socket.
    pub(super) fn new(socket: BatchSocket) -> io::Result<Self> {
        let poll = Poll::new()?;
        let fd = socket.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), SOCKET, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (sender, inputs) = mpsc::channel(INPUTS_LEN);
        Ok(Self {
            socket,
            poll,
            inputs,
            handle: MediaHandle {
                inputs: sender,
                waker,
            },
        })
    }

    /// Where the socket is bound, port included.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// A handle to what will run.
    pub fn handle(&self) -> MediaHandle {
        self.handle.clone()
    }

    /// Wakes the worker up.
    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.handle.waker)
    }

    /// Starts the thread.
    pub(super) fn start(
        self,
        engine: Engine,
        dtls: DtlsHandle,
        events: mpsc::Sender<EngineEvent>,
        links: Links,
        clock: Clock,
    ) -> io::Result<MediaThread> {
        let name = format!("media-{}", links.me().index());
        let registry = self.poll.registry().try_clone()?;
        let streams = Streams::new(registry, STREAM);
        let turn = Turn::new(self, streams, engine, dtls, events, links, clock);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || turn.run())?;
        Ok(MediaThread { thread })
    }
}
