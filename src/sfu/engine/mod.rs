//! The packet half of the SFU: ICE, SRTP and forwarding for all legs of one media worker.
//!
//! Nothing here waits or reads the time. Each `handle_*` does what its input makes due, sends what
//! is to be sent, and leaves news for [`Engine::poll_event`] and [`Engine::poll_handshake`].
//! However much there is to do, one call does no more than a share of it ([`STEP`], [`SHARE`]) and
//! says that there is more: whoever calls looks at the time in between.

mod control;
mod due;
mod forward;
mod receive;
mod voices;

use std::collections::VecDeque;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::command::{Command, EngineEvent};
pub use super::counters::Counters;
use super::datagram::{ReceiveSlab, Transmit};
use super::events::Events;
use super::feedback::Scratch;
use super::handoff::Handoff;
use super::handshake::{HandshakeInput, HandshakeOutput};
use super::legs::Legs;
use super::moment::Moment;
use super::outlet::Buffers;
use super::own_paths::PathChange;
use super::parcel::{Item, Parcel, Post};
use super::path::{Path, RelayNames};
use super::speaker::Speakers;
use super::stats::LegStats;
use super::tap::{TapBatch, Taps};
use super::timers::Timers;
use super::worker::WorkerId;
use super::{GroupId, Leg, PublicationId, allocate};
use crate::clock::Epoch;
use crate::entropy::Entropy;

/// Datagrams that one call sends before it leaves the rest to the next one: 0.2 ms on a fast
/// machine, 0.8 on a slow one, most of it the kernel's. What goes to one leg is sent whole.
const STEP: usize = 64;

/// Datagrams to be forwarded for which a call has taken enough.
const SHARE: usize = 512;

/// Datagrams that one call takes even if many are to be forwarded by then: what a frame of
/// 1.5 Mbit/s has, so that it leaves as one message for each subscriber, however many those are.
const RUN: usize = 6;

/// With so many datagrams to be forwarded nothing is taken: what comes waits where it is, and is
/// lost there if that is for too long.
const TOO_MUCH: usize = 4096;

/// The engine. One per media worker.
#[derive(Debug)]
pub struct Engine {
    buffers: Buffers,
    core: Core,
}

/// All but the send slab, which is lent out during a turn.
#[derive(Debug)]
struct Core {
    legs: Legs,
    timers: Timers,
    /// Who is listened to, where there are voices.
    speakers: FxHashMap<GroupId, Speakers>,
    handoff: Handoff,
    events: Events,
    /// Publications of which this call has taken something.
    touched: Vec<PublicationId>,
    /// Publications of which something waits to be forwarded; the first has its turn.
    queue: VecDeque<PublicationId>,
    /// How many datagrams that comes to at most.
    owed: usize,
    /// Since when clients wait to be settled, if some were left.
    behind: Option<Instant>,
    /// What is for other workers.
    post: Post,
    taps: Taps,
    /// Room to build RTCP and retransmissions in.
    scratch: Scratch,
    /// Room to note who is to be asked for key frames.
    wishes: Vec<(PublicationId, u8)>,
    /// Room to share a client's network in.
    demands: Vec<allocate::Demand>,
    counters: Counters,
    relays: RelayNames,
    entropy: Entropy,
    epoch: Epoch,
}

impl Engine {
    /// An engine without legs.
    pub fn new(entropy: Entropy, epoch: Epoch) -> Self {
        Self {
            buffers: Buffers::new(),
            core: Core {
                legs: Legs::default(),
                timers: Timers::default(),
                speakers: FxHashMap::default(),
                handoff: Handoff::default(),
                events: Events::default(),
                touched: Vec::new(),
                queue: VecDeque::new(),
                owed: 0,
                behind: None,
                post: Post::default(),
                taps: Taps::default(),
                scratch: Scratch::default(),
                wishes: Vec::new(),
                demands: Vec::new(),
                counters: Counters::default(),
                relays: RelayNames::default(),
                entropy,
                epoch,
            },
        }
    }

    /// Makes it the engine of `me` among `workers` workers; without this it is the only one.
    pub fn among(mut self, me: WorkerId, workers: usize) -> Self {
        self.core.post = Post::new(me, workers);
        if workers > 1 {
            self.core.legs.paths.follow();
        }
        self
    }

    /// Has relays on this machine called by these names.
    pub fn relaying(mut self, relays: RelayNames) -> Self {
        self.core.relays = relays;
        self
    }

    /// Applies a command.
    pub fn handle_command(&mut self, command: Command, now: Instant, net: &mut dyn Transmit) {
        let mut outlet = self.buffers.outlet(net);
        self.core.command(command, now, &mut outlet);
        self.core.settle(now);
        outlet.flush();
    }

    /// Takes what the control thread has to say about a handshake.
    pub fn handle_handshake(
        &mut self,
        output: HandshakeOutput,
        now: Instant,
        net: &mut dyn Transmit,
    ) {
        let mut outlet = self.buffers.outlet(net);
        self.core.handshake(output, now, &mut outlet);
        outlet.flush();
    }

    /// Takes datagrams of one batch in order, decrypting in place. What is for other workers is
    /// ready then ([`Self::poll_parcel`]); what is for subscribers here waits for
    /// [`Self::forward`], which comes next in any case. Returns whether datagrams are left, for
    /// another call.
    pub fn handle_datagrams(
        &mut self,
        received: &mut ReceiveSlab,
        now: Instant,
        net: &mut dyn Transmit,
    ) -> bool {
        let mut outlet = self.buffers.outlet(net);
        let at = Moment::new(now, self.core.epoch);
        let mut taken = 0;
        while !self.core.has_enough(taken, &outlet)
            && let Some(slot) = received.take()
        {
            taken += 1;
            let (datagram, from) = received.datagram_mut(slot);
            self.core.datagram(datagram, from, None, &at, &mut outlet);
        }
        self.core.share(&at, &mut outlet);
        received.has_more()
    }

    /// Takes what another worker sent, likewise; if nothing is left in the parcel it goes back
    /// there, see [`Self::take_back`].
    pub fn handle_parcel(
        &mut self,
        parcel: &mut Parcel,
        now: Instant,
        net: &mut dyn Transmit,
    ) -> bool {
        let mut outlet = self.buffers.outlet(net);
        let at = Moment::new(now, self.core.epoch);
        let from = parcel.sender();
        let mut taken = 0;
        while !self.core.has_enough(taken, &outlet)
            && let Some(item) = parcel.items.pop_front()
        {
            taken += 1;
            if let Item::Datagram(slot) = item {
                let (datagram, source) = parcel.slab.datagram_mut(slot);
                self.core
                    .datagram(datagram, source, Some(from), &at, &mut outlet);
            } else {
                self.core.item(item, from, &parcel.slab, &at, &mut outlet);
            }
        }
        self.core.share(&at, &mut outlet);
        !parcel.items.is_empty()
    }

    /// Sends a share of what waits to be forwarded. Returns whether there is more.
    pub fn forward(&mut self, now: Instant, net: &mut dyn Transmit) -> bool {
        let mut outlet = self.buffers.outlet(net);
        let at = Moment::new(now, self.core.epoch);
        self.core.forward(&at, &mut outlet);
        outlet.flush();
        self.is_forwarding()
    }

    /// Whether something waits to be forwarded.
    pub fn is_forwarding(&self) -> bool {
        !self.core.queue.is_empty()
    }

    /// Takes back a parcel of this engine's that `by` is done with.
    pub fn take_back(&mut self, by: WorkerId, parcel: Box<Parcel>) {
        self.core.post.take_back(by, parcel);
    }

    /// The next parcel, and the worker to bring it to.
    pub fn poll_parcel(&mut self) -> Option<(WorkerId, Box<Parcel>)> {
        self.core.post.poll()
    }

    /// Whether a worker that has fallen behind must give a parcel back before there is another.
    pub fn holds_parcels(&self) -> bool {
        self.core.post.holds()
    }

    /// The next change of whose datagrams are for this worker, where there are several. At most two
    /// for each leg's path.
    pub fn poll_path(&mut self) -> Option<PathChange> {
        self.core.legs.paths.poll_change()
    }

    /// The next batch of a tap; when it has been read it goes back, see [`Self::return_tap`].
    pub fn poll_tap(&mut self) -> Option<Box<TapBatch>> {
        self.core.taps.poll()
    }

    /// Takes back a batch that has been read.
    pub fn return_tap(&mut self, batch: Box<TapBatch>, now: Instant) {
        self.core.taps.take_back(batch, now);
    }

    /// Does what is due, as far as it goes: [`Self::poll_timeout`] stays where it is if there is
    /// more.
    pub fn handle_timeout(&mut self, now: Instant, net: &mut dyn Transmit) {
        let mut outlet = self.buffers.outlet(net);
        let at = Moment::new(now, self.core.epoch);
        self.core.timeout(&at, &mut outlet);
        outlet.flush();
    }

    /// When [`Self::handle_timeout`] is to be called, at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.core.timers.poll_timeout();
        due.into_iter().chain(self.core.behind).min()
    }

    /// The next thing the control half must know. At most seven for each leg it added, and one for
    /// each group.
    pub fn poll_event(&mut self) -> Option<EngineEvent> {
        self.core.events.pop()
    }

    /// The next thing for the control thread.
    pub fn poll_handshake(&mut self) -> Option<HandshakeInput> {
        let input = self.core.handoff.poll()?;
        if let HandshakeInput::Datagram { leg, .. } = input
            && let Some(transport) = self.core.legs.transport_mut(leg)
        {
            transport.queued = transport.queued.saturating_sub(1);
        }
        Some(input)
    }

    /// Whether a leg is spoken to on this path.
    pub fn knows(&self, path: &Path) -> bool {
        self.core.legs.by_path(path).is_some()
    }

    /// Forgets a path that is no more: its leg goes on with another, if it has one.
    pub fn lose(&mut self, path: Path) {
        self.core.legs.lose(path);
    }

    /// Totals since the start.
    pub fn counters(&self) -> Counters {
        Counters {
            traffic: self.buffers.traffic(),
            ..self.core.counters
        }
    }

    /// The statistics of a publication or a subscription that lives here.
    pub fn stats(&self, leg: Leg) -> Option<LegStats> {
        let legs = &self.core.legs;
        match leg {
            Leg::Publisher(id) => legs.publications.get(&id)?.stats(),
            Leg::Subscriber(id) => legs.stats(id),
            // Each subscription on it has its own.
            Leg::Shared(_) => None,
        }
    }
}
