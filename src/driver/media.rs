//! The thread around the SFU's [`Engine`]: one per media worker, plain polling, no async runtime.
//! [`super::workers`] makes a group of them.
//!
//! The worker owns its socket and everything the engine knows. It never waits for anybody: what
//! comes in is drained on every turn, and what it says upward is held back while nobody listens.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use super::dtls::DtlsHandle;
use super::streams::{self, Arrival, Streams};
use super::workers::{Delivery, Links};
use crate::clock::Clock;
use crate::net::udp::{self, BatchSocket};
use crate::sfu::Leg;
use crate::sfu::command::{Command, EngineEvent};
use crate::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use crate::sfu::engine::{self, Engine};
use crate::sfu::handshake::{HandshakeInput, HandshakeOutput};
use crate::sfu::stats::LegStats;
use crate::telemetry::histogram::Histogram;

/// Commands and handshake results that may wait for a worker. When full, the sender waits; the
/// worker drains them all on each turn, so that is no longer than one turn.
const INPUTS_LEN: usize = 1024;

/// Events of all workers that may wait for the hub. When full, they stay in the engine until there is room.
pub(super) const EVENTS_LEN: usize = 1024;

/// Datagrams per receive call.
const BATCH_LEN: usize = 64;

/// Receive calls per turn before anything else gets its turn.
const BATCHES_PER_TURN: usize = 4;

/// How long until the next attempt to pass on what a full queue did not take: nobody tells the
/// worker when there is room again.
const RETRY: Duration = Duration::from_millis(10);

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);
/// The first of those of TCP connections.
const STREAM: Token = Token(2);

/// Wake-ups per turn.
const WAKEUPS_LEN: usize = 256;

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
        let turn = Turn {
            engine,
            net: Net {
                socket: self.socket,
                streams: Streams::new(registry, STREAM),
            },
            poll: self.poll,
            inputs: self.inputs,
            dtls,
            events,
            links,
            clock,
            received: ReceiveSlab::new(BATCH_LEN),
            stops: VecDeque::new(),
            held_back: false,
            forwarding: Histogram::default(),
            turns: Histogram::default(),
        };
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || turn.run())?;
        Ok(MediaThread { thread })
    }
}

/// What the worker sends on.
struct Net {
    socket: BatchSocket,
    streams: Streams,
}

impl Transmit for Net {
    fn transmit(&mut self, slab: &SendSlab) {
        self.socket.transmit(slab);
        if !slab.frames().is_empty() {
            self.streams.transmit(slab);
        }
    }
}

/// All that the thread owns.
struct Turn {
    engine: Engine,
    net: Net,
    poll: Poll,
    inputs: mpsc::Receiver<Input>,
    dtls: DtlsHandle,
    events: mpsc::Sender<EngineEvent>,
    links: Links,
    clock: Clock,
    received: ReceiveSlab,
    /// Handshakes to stop that the control thread had no room for: one for each leg at most.
    stops: VecDeque<HandshakeInput>,
    /// Whether something waits for room in a queue.
    held_back: bool,
    forwarding: Histogram,
    turns: Histogram,
}

impl Turn {
    fn run(mut self) {
        let mut wakeups = Events::with_capacity(WAKEUPS_LEN);
        // Readiness is told once per change, so it is remembered until all has been received.
        let mut readable = false;
        loop {
            let timeout = if readable || self.net.streams.is_readable() {
                Some(Duration::ZERO)
            } else {
                self.time_left()
            };
            if let Err(error) = self.poll.poll(&mut wakeups, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                error!(%error, "Media worker cannot poll; stopping");
                return;
            }
            let begin = self.clock.now();
            for event in &wakeups {
                match event.token() {
                    SOCKET => readable = true,
                    WAKE => {}
                    _ => self.net.streams.wake(event),
                }
            }
            if self.take_inputs().is_break() {
                return;
            }
            self.take_parcels();
            if readable {
                readable = self.take_datagrams();
            }
            self.take_frames();
            self.take_time();
            self.forget_connections();
            self.held_back = false;
            self.send_parcels();
            self.pass_handshakes();
            self.tell();
            self.turns.observe(self.clock.now() - begin);
        }
    }

    /// How long nothing needs to be done unless something comes in.
    fn time_left(&self) -> Option<Duration> {
        let now = self.clock.now();
        let engine = self
            .engine
            .poll_timeout()
            .map(|at| at.saturating_duration_since(now));
        let sweep = self.net.streams.sweep_at();
        let sweep = sweep.map(|at| at.saturating_duration_since(now));
        engine
            .into_iter()
            .chain(sweep)
            .chain(self.held_back.then_some(RETRY))
            .min()
    }

    /// Takes what waited when the turn began. What is sent meanwhile has its own wake-up.
    fn take_inputs(&mut self) -> ControlFlow<()> {
        for _ in 0..INPUTS_LEN {
            match self.inputs.try_recv() {
                Ok(Input::Command(command)) => {
                    self.engine
                        .handle_command(command, self.clock.now(), &mut self.net);
                }
                Ok(Input::Handshake(output)) => {
                    self.engine
                        .handle_handshake(output, self.clock.now(), &mut self.net);
                }
                Ok(Input::Connection(arrival)) => {
                    self.net.streams.add(*arrival, self.clock.now());
                }
                Ok(Input::Snapshot(reply)) => {
                    // Whoever asked may have given up.
                    let _ = reply.send(Snapshot {
                        engine: self.engine.counters(),
                        socket: self.net.socket.counters(),
                        streams: self.net.streams.counters(),
                        forwarding: self.forwarding,
                        turns: self.turns,
                    });
                }
                Ok(Input::Stats(legs, reply)) => {
                    let stats = legs.iter().filter_map(|leg| self.engine.stats(*leg));
                    // As above.
                    let _ = reply.send(stats.collect());
                }
                Ok(Input::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => {
                    return ControlFlow::Break(());
                }
                Err(mpsc::error::TryRecvError::Empty) => break,
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes what other workers sent, and sends it back when it is done.
    fn take_parcels(&mut self) {
        self.links.begin();
        while let Some(delivery) = self.links.receive() {
            match delivery {
                Delivery::Parcel(mut parcel) => {
                    let now = self.clock.now();
                    self.engine.handle_parcel(&mut parcel, now, &mut self.net);
                    self.links.give_back(parcel);
                }
                Delivery::Returned(by, parcel) => self.engine.take_back(by, parcel),
            }
        }
    }

    fn send_parcels(&mut self) {
        while let Some((to, parcel)) = self.engine.poll_parcel() {
            self.links.send(to, parcel);
        }
    }

    /// Takes a few batches; true if there may be more.
    fn take_datagrams(&mut self) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            match self.net.socket.receive(&mut self.received) {
                Ok(count) => {
                    let now = self.clock.now();
                    self.engine
                        .handle_datagrams(&mut self.received, now, &mut self.net);
                    self.forwarding.observe(self.clock.now() - now);
                    // Fewer than asked for were all there were; the next one is a new readiness.
                    if count < BATCH_LEN {
                        return false;
                    }
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        warn!(%error, "Cannot receive media");
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Takes a few batches from TCP connections.
    fn take_frames(&mut self) {
        for _ in 0..BATCHES_PER_TURN {
            if !self.net.streams.is_readable() {
                break;
            }
            let now = self.clock.now();
            self.net.streams.receive(&mut self.received, now);
            self.engine
                .handle_datagrams(&mut self.received, now, &mut self.net);
        }
    }

    fn take_time(&mut self) {
        let now = self.clock.now();
        let engine = &self.engine;
        self.net.streams.sweep(now, |path| engine.knows(path));
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle_timeout(now, &mut self.net);
        }
    }

    /// Has the engine forget the TCP connections that are gone.
    fn forget_connections(&mut self) {
        while let Some(path) = self.net.streams.poll_lost() {
            self.engine.lose(path);
        }
    }

    /// Passes handshake inputs on. The control thread's queue drops datagrams and gives back stops
    /// that it has no room for; those wait here.
    fn pass_handshakes(&mut self) {
        while let Some(stop) = self.stops.pop_front() {
            if let Err(stop) = self.dtls.send(stop) {
                self.stops.push_front(stop);
                break;
            }
        }
        while let Some(input) = self.engine.poll_handshake() {
            // A leg's stop is the last that is heard of it, so others may overtake it.
            if let Err(stop) = self.dtls.send(input) {
                self.stops.push_back(stop);
            }
        }
        self.held_back |= !self.stops.is_empty();
    }

    /// Tells the hub what happened; while it does not listen, the rest stays in the engine.
    fn tell(&mut self) {
        loop {
            match self.events.try_reserve() {
                Ok(place) => match self.engine.poll_event() {
                    Some(event) => place.send(event),
                    None => return,
                },
                Err(TrySendError::Full(())) => {
                    self.held_back = true;
                    return;
                }
                Err(TrySendError::Closed(())) => {
                    // The hub is gone, and this worker is about to be stopped.
                    while self.engine.poll_event().is_some() {}
                    return;
                }
            }
        }
    }
}
