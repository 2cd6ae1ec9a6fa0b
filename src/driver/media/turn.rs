//! A worker at work: what has come in is taken, what follows from it is sent, and then it waits.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use tokio::sync::mpsc::{self, error::TrySendError};
use tracing::{error, warn};

use super::stopwatch::Stopwatch;
use super::{INPUTS_LEN, Input, MediaWorker, SOCKET, Snapshot, WAKE};
use crate::clock::Clock;
use crate::driver::dtls::DtlsHandle;
use crate::driver::links::{Delivery, Links};
use crate::driver::streams::Streams;
use crate::net::udp::BatchSocket;
use crate::sfu::command::EngineEvent;
use crate::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use crate::sfu::engine::Engine;
use crate::sfu::handshake::HandshakeInput;
use crate::sfu::own_paths::PathChange;
use crate::sfu::parcel::Parcel;
use crate::telemetry::histogram::Histogram;

/// Datagrams per receive call.
const BATCH_LEN: usize = 64;

/// How long until the next attempt to pass on what a full queue did not take: nobody tells the
/// worker when there is room again.
const RETRY: Duration = Duration::from_millis(10);

/// How long a turn may take before it leaves what has not begun to the next one, so that nobody
/// waits long for what is a matter of microseconds. Looked at after each input and after each step
/// of the engine, of which the longest take about a millisecond and a half.
const BUDGET: Duration = Duration::from_micros(500);

/// How much of it is for commands and handshakes: while many join, media goes on.
const INPUTS_BUDGET: Duration = Duration::from_micros(250);

/// What else there is to do, by turns.
const WORK: [fn(&mut Turn); 3] = [Turn::take_parcels, Turn::take_datagrams, Turn::take_time];

/// Wake-ups per turn.
const WAKEUPS_LEN: usize = 256;

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
    /// Whether the socket may have datagrams: readiness is told once per change.
    is_readable: bool,
    /// Whether it is the connections' turn, if they have any.
    frames_next: bool,
    /// A parcel that is not done with.
    parcel: Option<Box<Parcel>>,
    /// A change that the steering thread had no room for.
    path: Option<PathChange>,
    /// Handshakes to stop that the control thread had no room for: one for each leg at most.
    stops: VecDeque<HandshakeInput>,
    /// Whether something waits for room in a queue.
    held_back: bool,
    /// When this turn is to leave the rest to the next one.
    due: Instant,
    /// Whether something was left.
    left: bool,
    /// Which of [`WORK`] is next.
    next: usize,
    stopwatch: Stopwatch,
    /// When the first was taken of what waits to be forwarded.
    begun: Option<Instant>,
    forwarding: Histogram,
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
            is_readable: false,
            frames_next: false,
            parcel: None,
            path: None,
            stops: VecDeque::new(),
            held_back: false,
            due: clock.now(),
            left: false,
            next: 0,
            stopwatch: Stopwatch::new(clock),
            begun: None,
            forwarding: Histogram::default(),
        }
    }

    pub(super) fn run(mut self) {
        let mut wakeups = Events::with_capacity(WAKEUPS_LEN);
        loop {
            let timeout = match self.left || self.has_datagrams() {
                true => Some(Duration::ZERO),
                false => self.time_left(),
            };
            if let Err(error) = self.poll.poll(&mut wakeups, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                error!(%error, "Media worker cannot poll; stopping");
                return;
            }
            let begin = self.begin();
            for event in &wakeups {
                match event.token() {
                    SOCKET => self.is_readable = true,
                    WAKE => {}
                    _ => self.net.streams.wake(event),
                }
            }
            if self.take_inputs().is_break() {
                return;
            }
            self.due = begin + BUDGET;
            self.work();
            self.forget_connections();
            self.held_back = false;
            self.send_parcels();
            self.tell_paths();
            self.pass_handshakes();
            self.tell();
            self.stopwatch.end(begin);
        }
    }

    /// Does all kinds of work, or as much as there is time for; the next turn goes on with the kind
    /// that has waited longest.
    fn work(&mut self) {
        for _ in WORK {
            WORK[self.next](self);
            self.next = (self.next + 1) % WORK.len();
            if self.is_over() {
                // Of what waits in the inbox nobody rings again.
                self.left = true;
                return;
            }
        }
    }

    /// A turn begins.
    fn begin(&mut self) -> Instant {
        let now = self.stopwatch.begin();
        self.due = now + INPUTS_BUDGET;
        self.left = false;
        now
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
                        turns: self.stopwatch.turns,
                        busy: self.stopwatch.busy,
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
        loop {
            let begun = self.parcel.take().map(Delivery::Parcel);
            let Some(delivery) = begun.or_else(|| self.links.receive()) else {
                return;
            };
            match delivery {
                Delivery::Parcel(mut parcel) => {
                    let now = self.clock.now();
                    match self.engine.handle_parcel(&mut parcel, now, &mut self.net) {
                        true => self.parcel = Some(parcel),
                        false => self.links.give_back(parcel),
                    }
                    self.engine.forward(now, &mut self.net);
                }
                Delivery::Returned(by, parcel) => self.engine.take_back(by, parcel),
            }
            if self.is_over() {
                return;
            }
        }
    }

    fn send_parcels(&mut self) {
        while let Some((to, parcel)) = self.engine.poll_parcel() {
            self.links.send(to, parcel);
        }
        self.left |= self.engine.holds_parcels() && self.links.expect();
    }

    /// Has the kernel told whose datagrams are ours.
    fn tell_paths(&mut self) {
        while let Some(change) = self.path.take().or_else(|| self.engine.poll_path()) {
            if let Err(change) = self.links.steer(change) {
                self.path = Some(change);
                self.held_back = true;
                return;
            }
        }
    }

    /// Whether there may be datagrams to take, of the last batch or the next one, or to forward.
    fn has_datagrams(&self) -> bool {
        self.received.has_more()
            || self.is_readable
            || self.net.streams.is_readable()
            || self.engine.is_forwarding()
    }

    /// Takes what has come in, batch by batch, and forwards it; other workers get their part first.
    fn take_datagrams(&mut self) {
        while self.received.has_more() || self.receive() || self.engine.is_forwarding() {
            let now = self.clock.now();
            if self.received.has_more() {
                self.engine
                    .handle_datagrams(&mut self.received, now, &mut self.net);
                self.send_parcels();
                self.begun.get_or_insert(now);
            }
            let waits = self.engine.forward(now, &mut self.net);
            if let Some(begun) = self.begun.take_if(|_| !waits) {
                self.forwarding.observe(self.clock.now() - begun);
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// Receives the next batch, from the socket and from connections by turns; false if there is
    /// none.
    fn receive(&mut self) -> bool {
        let frames = self.net.streams.is_readable() && (self.frames_next || !self.is_readable);
        self.frames_next = !frames;
        if frames {
            let now = self.clock.now();
            self.net.streams.receive(&mut self.received, now);
        } else if self.is_readable {
            let received = self.net.socket.receive(&mut self.received);
            // Fewer than asked for were all there were; the next one is a new readiness.
            self.is_readable = received.as_ref().is_ok_and(|count| *count == BATCH_LEN);
            if let Err(error) = received
                && error.kind() != io::ErrorKind::WouldBlock
            {
                warn!(%error, "Cannot receive media");
            }
        }
        self.received.has_more()
    }

    fn take_time(&mut self) {
        let now = self.clock.now();
        let engine = &self.engine;
        self.net.streams.sweep(now, |path| engine.knows(path));
        while self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle_timeout(now, &mut self.net);
            if self.is_over() {
                return;
            }
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
