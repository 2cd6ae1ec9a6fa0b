//! A worker at work: what has come in is taken, what follows from it is sent, and then it waits.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use tokio::sync::mpsc::{self, error::TrySendError};
use tracing::{error, warn};

use super::{INPUTS_LEN, Input, MediaWorker, SOCKET, Snapshot, WAKE};
use crate::clock::Clock;
use crate::driver::dtls::DtlsHandle;
use crate::driver::streams::Streams;
use crate::driver::workers::{Delivery, Links};
use crate::net::udp::BatchSocket;
use crate::sfu::command::EngineEvent;
use crate::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use crate::sfu::engine::Engine;
use crate::sfu::handshake::HandshakeInput;
use crate::telemetry::histogram::Histogram;

/// Datagrams per receive call.
const BATCH_LEN: usize = 64;

/// Receive calls per turn before anything else gets its turn.
const BATCHES_PER_TURN: usize = 4;

/// How long until the next attempt to pass on what a full queue did not take: nobody tells the
/// worker when there is room again.
const RETRY: Duration = Duration::from_millis(10);

/// How long a turn may take before it leaves what has not begun to the next one, so that nobody
/// waits long for what is a matter of microseconds. Looked at between inputs and between batches.
const BUDGET: Duration = Duration::from_millis(1);

/// Wake-ups per turn.
const WAKEUPS_LEN: usize = 256;

/// A turn that takes longer is told from one that was kept waiting for a processor.
const SHORT_TURN: Duration = Duration::from_millis(1);

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
pub(super) struct Turn {
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
    /// When this turn is to leave the rest to the next one.
    due: Instant,
    /// Whether inputs were left.
    left: bool,
    forwarding: Histogram,
    turns: Histogram,
    busy: Histogram,
}

impl Turn {
    pub(super) fn new(
        worker: MediaWorker,
        streams: Streams,
        engine: Engine,
        dtls: DtlsHandle,
        events: mpsc::Sender<EngineEvent>,
        links: Links,
        clock: Clock,
    ) -> Self {
        Self {
            engine,
            net: Net {
                socket: worker.socket,
                streams,
            },
            poll: worker.poll,
            inputs: worker.inputs,
            dtls,
            events,
            links,
            clock,
            received: ReceiveSlab::new(BATCH_LEN),
            stops: VecDeque::new(),
            held_back: false,
            due: clock.now(),
            left: false,
            forwarding: Histogram::default(),
            turns: Histogram::default(),
            busy: Histogram::default(),
        }
    }

    pub(super) fn run(mut self) {
        let mut wakeups = Events::with_capacity(WAKEUPS_LEN);
        // Readiness is told once per change, so it is remembered until all has been received.
        let mut readable = false;
        loop {
            let timeout = if readable || self.left || self.net.streams.is_readable() {
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
            let begin = (self.clock.now(), self.clock.thread_time());
            self.due = begin.0 + BUDGET;
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
            self.note_turn(begin);
        }
    }

    /// Takes note of how long a turn took: by the clock, and of the processor's time.
    fn note_turn(&mut self, (begin, used): (Instant, Duration)) {
        let took = self.clock.now() - begin;
        self.turns.observe(took);
        let busy = match took <= SHORT_TURN {
            true => took,
            false => self.clock.thread_time().saturating_sub(used),
        };
        self.busy.observe(busy);
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

    /// Takes what waited when the turn began, as far as there is time. What is sent meanwhile has
    /// its own wake-up.
    fn take_inputs(&mut self) -> ControlFlow<()> {
        self.left = false;
        for _ in 0..INPUTS_LEN {
            if self.is_over() {
                self.left = true;
                break;
            }
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
                        busy: self.busy,
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

    /// Whether the rest is for the next turn.
    fn is_over(&self) -> bool {
        self.clock.now() >= self.due
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
                    if self.is_over() {
                        return true;
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
            if self.is_over() {
                break;
            }
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
