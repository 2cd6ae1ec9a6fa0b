//! The packet half of the SFU: ICE, SRTP and forwarding for all legs of one media worker.
//!
//! Nothing here waits or reads the time. Each `handle_*` does everything that its input makes due,
//! sends what is to be sent, and leaves news for [`Engine::poll_event`] and
//! [`Engine::poll_handshake`].

use std::time::Instant;

use rustc_hash::FxHashMap;

use super::command::{Command, EngineEvent};
pub use super::counters::Counters;
use super::datagram::{ReceiveSlab, Transmit};
use super::events::Events;
use super::feedback::Scratch;
use super::handoff::Handoff;
use super::handshake::{HandshakeInput, HandshakeOutput, SrtpKeys};
use super::legs::Legs;
use super::moment::Moment;
use super::offered::Offered;
use super::outlet::{Buffers, Outlet};
use super::parcel::{Item, Parcel, Post};
use super::path::{Path, RelayNames};
use super::pipe::Demand;
use super::publication::Refused;
use super::speaker::Speakers;
use super::stats::LegStats;
use super::stun::BindingRequest;
use super::tap::{TapBatch, Taps};
use super::timers::Timers;
use super::transport::{Checked, Transport};
use super::worker::WorkerId;
use super::{CloseReason, GroupId, Leg, PublicationId, SubscriptionId, Wanted, allocate};
use crate::clock::Epoch;
use crate::entropy::Entropy;

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
    /// Publications with packets to forward at the end of this turn.
    touched: Vec<PublicationId>,
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

    /// Takes one batch of datagrams, decrypting in place, and forwards it.
    pub fn handle_datagrams(
        &mut self,
        received: &mut ReceiveSlab,
        now: Instant,
        net: &mut dyn Transmit,
    ) {
        let mut outlet = self.buffers.outlet(net);
        let at = Moment::new(now, self.core.epoch);
        for slot in 0..received.len() {
            let (datagram, from) = received.datagram_mut(slot);
            self.core
                .datagram(datagram, from, slot, None, &at, &mut outlet);
        }
        self.core.forward(received, &at, &mut outlet);
        outlet.flush();
    }

    /// Takes what another worker sent; afterwards the parcel goes back there, see
    /// [`Self::take_back`].
    pub fn handle_parcel(&mut self, parcel: &mut Parcel, now: Instant, net: &mut dyn Transmit) {
        let mut outlet = self.buffers.outlet(net);
        let at = Moment::new(now, self.core.epoch);
        let from = parcel.sender();
        for item in parcel.items.drain(..) {
            if let Item::Datagram(slot) = item {
                let (datagram, source) = parcel.slab.datagram_mut(slot);
                self.core
                    .datagram(datagram, source, slot, Some(from), &at, &mut outlet);
            } else {
                self.core.item(item, from, &parcel.slab, &at, &mut outlet);
            }
        }
        self.core.forward(&parcel.slab, &at, &mut outlet);
        outlet.flush();
    }

    /// Takes back a parcel of this engine's that `by` is done with.
    pub fn take_back(&mut self, by: WorkerId, parcel: Box<Parcel>) {
        self.core.post.take_back(by, parcel);
    }

    /// The next parcel, and the worker to bring it to.
    pub fn poll_parcel(&mut self) -> Option<(WorkerId, Box<Parcel>)> {
        self.core.post.poll()
    }

    /// The next batch of a tap; when it has been read it goes back, see [`Self::return_tap`].
    pub fn poll_tap(&mut self) -> Option<Box<TapBatch>> {
        self.core.taps.poll()
    }

    /// Takes back a batch that has been read.
    pub fn return_tap(&mut self, batch: Box<TapBatch>, now: Instant) {
        self.core.taps.take_back(batch, now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, net: &mut dyn Transmit) {
        let mut outlet = self.buffers.outlet(net);
        let at = Moment::new(now, self.core.epoch);
        self.core.timeout(&at, &mut outlet);
        outlet.flush();
    }

    /// When [`Self::handle_timeout`] is to be called, at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.timers.poll_timeout()
    }

    /// The next thing the control half must know. At most six for each leg it added, and one for
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

impl Core {
    fn command(&mut self, command: Command, now: Instant, outlet: &mut Outlet<'_>) {
        match command {
            Command::AddPublication(config) => {
                let leg = Leg::Publisher(config.id);
                self.legs.add_publication(*config, &mut self.entropy, now);
                self.arm(leg);
            }
            Command::UpdatePublication(config) => {
                let leg = Leg::Publisher(config.id);
                self.legs.update_publication(*config, now);
                self.arm(leg);
            }
            Command::AddSubscription(config) => {
                let (id, leg) = (config.id, config.leg());
                let offered = self.legs.take_offered(leg);
                self.legs.add_subscription(*config, &mut self.entropy, now);
                if let Some(offered) = offered {
                    self.catch_up(leg, offered, now);
                }
                self.arm(leg);
                self.begin(id, &Moment::new(now, self.epoch), outlet);
            }
            Command::Offer { leg, ice } => {
                self.legs.offer(leg, ice, now);
                self.arm(leg);
            }
            Command::RestartIce { leg, ice } => {
                self.legs.restart_ice(leg, ice, now);
                self.arm(leg);
            }
            Command::Rekey { leg, generation } => {
                if let Some(transport) = self.legs.transport_mut(leg) {
                    transport.generation = generation;
                }
            }
            Command::Update {
                subscription,
                wanted,
            } => {
                let at = Moment::new(now, self.epoch);
                self.want(subscription, wanted, &at, outlet);
            }
            Command::Remove(leg) => self.remove(leg, now),
            Command::AddTap(config) => {
                if let Some(publication) = self.legs.publications.get_mut(&config.publication) {
                    self.taps.add(config);
                    publication.taps = self.taps.count(publication.id);
                }
            }
            Command::RemoveTap { tap, publication } => {
                self.taps.end(now, |config| config.id == tap);
                if let Some(publication) = self.legs.publications.get_mut(&publication) {
                    publication.taps = self.taps.count(publication.id);
                }
            }
            Command::AddMirror(config) => self.legs.add_mirror(*config, now),
            Command::AddPipe { publication, to } => {
                if let Some(publication) = self.legs.publications.get_mut(&publication) {
                    publication.add_pipe(to);
                }
            }
            Command::RemovePipe { publication, to } => {
                if let Some(publication) = self.legs.publications.get_mut(&publication) {
                    publication.remove_pipe(to);
                }
            }
        }
    }

    /// Does for a new leg what was to be done before it was there.
    fn catch_up(&mut self, leg: Leg, offered: Offered, now: Instant) {
        for (path, nominates) in offered.checks() {
            if let Some(transport) = self.legs.transport_mut(leg) {
                let change = transport.checked(offered.ufrag(), nominates, path, now);
                self.legs.apply(leg, path, change);
            }
        }
        for datagram in offered.into_handshake() {
            self.pass_handshake(leg, &datagram);
        }
    }

    /// Passes a datagram of a handshake on, now or when there is a leg.
    fn pass_handshake(&mut self, leg: Leg, datagram: &[u8]) {
        let passed = match self.legs.transport_mut(leg) {
            Some(transport) => self.handoff.datagram(leg, transport, datagram),
            None => {
                let offered = self.legs.offered_mut(leg);
                offered.is_some_and(|offered| offered.handshake(datagram))
            }
        };
        self.counters.dropped_handshakes += u64::from(!passed);
    }

    fn want(&mut self, id: SubscriptionId, wanted: Wanted, at: &Moment, outlet: &mut Outlet<'_>) {
        if let Some(subscription) = self.legs.subscriptions.get_mut(&id) {
            subscription.want(wanted);
            let (client, publication) = (subscription.client, subscription.publication);
            self.legs.unsettle(client);
            self.begin(id, at, outlet);
            self.review(publication, at.now);
        }
    }

    /// Asks for what a subscription begins with, if its leg is up.
    fn begin(&mut self, id: SubscriptionId, at: &Moment, outlet: &mut Outlet<'_>) {
        self.settle(at.now);
        if let Some(subscription) = self.legs.subscriptions.get(&id)
            && self.legs.is_open(subscription.leg())
        {
            let (publication, layers) = (subscription.publication, subscription.awaited());
            self.review(publication, at.now);
            if layers != 0 {
                self.want_keyframes(publication, layers, at, outlet);
            }
        }
    }

    /// Decides anew what those clients get for whom something has changed.
    fn settle(&mut self, now: Instant) {
        let events = &mut self.events;
        while let Some(client) = self.legs.settle(&mut self.demands, now, |id, state| {
            events.push(EngineEvent::Fallback(id, state));
        }) {
            let leg = Leg::Shared(client);
            arm(&mut self.legs, &mut self.timers, leg);
        }
    }

    /// Finds out which layers of a publication are of use, and tells it if that is news.
    fn review(&mut self, id: PublicationId, now: Instant) {
        let Self {
            legs, events, post, ..
        } = self;
        let Some(publication) = legs.publications.get_mut(&id) else {
            return;
        };
        let Some(demand) = Demand::of(&legs.subscriptions, publication) else {
            return;
        };
        if publication.origin.is_some() {
            return publication.tell_demand(demand, post, now);
        }
        if let Some(layers) = publication.pause(demand, now) {
            events.push(EngineEvent::Layers(id, layers));
        }
    }

    fn handshake(&mut self, output: HandshakeOutput, now: Instant, outlet: &mut Outlet<'_>) {
        match output {
            HandshakeOutput::Datagram { leg, bytes } => {
                let path = match self.legs.transport(leg) {
                    Some(transport) => transport.path(),
                    None => self.handoff.farewell(leg),
                };
                if let Some(path) = path {
                    outlet.plain(path, |out| {
                        let Some(out) = out.get_mut(..bytes.len()) else {
                            return 0;
                        };
                        out.copy_from_slice(&bytes);
                        bytes.len()
                    });
                }
            }
            HandshakeOutput::Keys { leg, keys } => self.keys(leg, &keys, now, outlet),
            HandshakeOutput::Closed { leg, reason } => {
                if let Some(transport) = self.legs.transport_mut(leg) {
                    // The control thread has forgotten it already.
                    transport.handshaking = false;
                    self.close(leg, reason, now);
                }
            }
        }
    }

    fn keys(&mut self, leg: Leg, keys: &SrtpKeys, now: Instant, outlet: &mut Outlet<'_>) {
        if let Some(transport) = self.legs.transport_mut(leg) {
            if transport.key(keys, now) {
                self.events.push(EngineEvent::Rekeyed(leg));
                if let Some(leg) = self.legs.send_leg_mut(leg) {
                    leg.downlink.abandon();
                }
            }
            self.announce(leg, &Moment::new(now, self.epoch), outlet);
        }
    }

    /// Tells that a leg is up, if that is news, and asks for what a new subscriber begins with.
    fn announce(&mut self, leg: Leg, at: &Moment, outlet: &mut Outlet<'_>) {
        if !self
            .legs
            .transport_mut(leg)
            .is_some_and(|transport| transport.announce())
        {
            return;
        }
        self.events.push(EngineEvent::Connected(leg));
        self.arm(leg);
        match leg {
            Leg::Publisher(_) => {}
            Leg::Subscriber(id) => self.begin(id, at, outlet),
            Leg::Shared(client) => {
                let receiver = self.legs.receivers.get(&client);
                for id in receiver.map_or(Vec::new(), |r| r.subscriptions.clone()) {
                    self.begin(id, at, outlet);
                }
            }
        }
    }

    /// Gives a leg up and says so.
    fn close(&mut self, leg: Leg, reason: CloseReason, now: Instant) {
        self.remove(leg, now);
        self.events.push(EngineEvent::Closed(leg, reason));
    }

    fn remove(&mut self, leg: Leg, now: Instant) {
        if let Leg::Publisher(id) = leg {
            self.taps.end(now, |tap| tap.publication == id);
            self.silence(id);
        }
        self.legs.take_offered(leg);
        let handoff = &mut self.handoff;
        self.legs
            .remove(leg, |leg, transport| handoff.stop(leg, transport));
    }

    /// Sorts a datagram by its first byte (RFC 7983). `via`: the worker whose socket it came to.
    fn datagram(
        &mut self,
        datagram: &mut [u8],
        from: Path,
        slot: usize,
        via: Option<WorkerId>,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        self.counters.received += 1;
        self.counters.received_bytes += datagram.len() as u64;
        let Some(&first) = datagram.first() else {
            self.counters.malformed += 1;
            return;
        };
        if first <= 3 {
            return self.check(datagram, from, via, at, outlet);
        }
        let Some(leg) = self.legs.by_path(&from) else {
            // A datagram changes hands once.
            match via.is_none() && self.post.stray(datagram, from) {
                true => self.counters.handed_on += 1,
                false => self.counters.unknown_source += 1,
            }
            return;
        };
        match first {
            20..=63 => self.pass_handshake(leg, datagram),
            128..=191 => match self.media(leg, datagram, slot, at, outlet) {
                Ok(()) => {}
                Err(Refused::Media) => self.counters.rejected_media += 1,
                Err(Refused::Malformed) => self.counters.malformed += 1,
            },
            _ => self.counters.malformed += 1,
        }
    }

    /// Answers an ICE check.
    fn check(
        &mut self,
        datagram: &[u8],
        from: Path,
        via: Option<WorkerId>,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        let parsed = BindingRequest::parse(datagram);
        if let Some(request) = &parsed
            && via.is_none()
            // A connection is with the worker that its first check named, and stays there.
            && from.tcp().is_none()
            && self.legs.by_ufrag(request.local_ufrag()).is_none()
            && self.post.check(request.local_ufrag(), datagram, from)
        {
            self.counters.handed_on += 1;
            return;
        }
        let authentic = parsed.and_then(|request| {
            let leg = self.legs.by_ufrag(request.local_ufrag())?;
            let pwd = self.legs.authenticate(leg, &request)?;
            (!self.legs.is_taken(from, leg, at.now)).then_some((request, leg, pwd))
        });
        let Some((request, leg, pwd)) = authentic else {
            self.counters.rejected_checks += 1;
            return;
        };
        if request.has_unknown() {
            outlet.plain(from, |out| request.write_unknown_attributes(pwd, out));
            return;
        }
        if request.claims_controlled() {
            outlet.plain(from, |out| request.write_role_conflict(pwd, out));
            return;
        }
        outlet.plain(from, |out| {
            request.write_success(self.relays.name(from.remote), pwd, out)
        });
        match via {
            Some(worker) => self.post.note(worker, Item::Route(from)),
            None => self.post.forget(&from),
        }
        let nominates = request.use_candidate();
        let change = if let Some(transport) = self.legs.transport_mut(leg) {
            transport.checked(request.local_ufrag(), nominates, from, at.now)
        } else {
            let offered = self.legs.offered_mut(leg);
            let gained = offered.is_some_and(|offered| offered.check(from, nominates));
            Checked {
                gained,
                ..Checked::default()
            }
        };
        self.legs.apply(leg, from, change);
        self.announce(leg, at, outlet);
    }

    /// Takes anything but a datagram from another worker.
    fn item(
        &mut self,
        item: Item,
        from: WorkerId,
        slab: &ReceiveSlab,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        match item {
            Item::Datagram(_) => {}
            Item::Packet {
                publication: id,
                track,
                slot,
                packet,
            } => {
                if let Some(publication) = self.legs.publications.get_mut(&id)
                    && publication.receive_piped(track, packet, slab.datagram(slot), slot, at)
                {
                    if publication.pending.len() == 1 {
                        self.touched.push(id);
                    }
                    self.hear(id, at.now);
                }
            }
            Item::Report {
                publication,
                source,
                info,
            } => {
                if let Some(publication) = self.legs.publications.get_mut(&publication) {
                    publication.receive_report(source, &info, at);
                }
            }
            Item::Keyframes {
                publication,
                layers,
            } => self.want_keyframes(publication, layers, at, outlet),
            Item::Layers {
                publication,
                layers,
            } => {
                if let Some(publication) = self.legs.publications.get_mut(&publication) {
                    publication.receive_layers(&layers);
                }
            }
            Item::Demand {
                publication: id,
                demand,
            } => {
                if let Some(publication) = self.legs.publications.get_mut(&id) {
                    publication.set_demand(from, demand);
                }
                self.review(id, at.now);
            }
            Item::Route(path) => {
                if self.legs.yield_path(path, at.now) {
                    self.post.learn(path, from, at.now);
                }
            }
        }
    }

    /// Takes RTP or RTCP, told apart by the second byte (RFC 5761, 4).
    fn media(
        &mut self,
        leg: Leg,
        datagram: &mut [u8],
        slot: usize,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> Result<(), Refused> {
        let is_rtcp = matches!(datagram.get(1), Some(192..=223));
        match leg {
            Leg::Publisher(id) => {
                let Some(publication) = self.legs.publications.get_mut(&id) else {
                    return Err(Refused::Malformed);
                };
                if is_rtcp {
                    publication.receive_rtcp(datagram, at)?;
                    publication.pass_reports(&mut self.post);
                    return Ok(());
                }
                if publication.receive_rtp(datagram, slot, at)? {
                    if publication.pending.len() == 1 {
                        self.touched.push(id);
                    }
                    self.hear(id, at.now);
                } else {
                    // What is not forwarded may still be reported.
                    self.arm(leg);
                }
                Ok(())
            }
            _ if !is_rtcp => Err(Refused::Malformed),
            leg => self.feedback(leg, datagram, at, outlet),
        }
    }

    /// Notes how loud a publication is.
    fn hear(&mut self, id: PublicationId, now: Instant) {
        let Some(publication) = self.legs.publications.get(&id) else {
            return;
        };
        let (group, level) = (publication.group, publication.level());
        let Some(level) = level else { return };
        let speakers = self.speakers.entry(group).or_default();
        let before = speakers.active();
        if speakers.hear(id, level, now) {
            self.mark_speaker(before, false);
            // Each worker hears what is here; where somebody lives, that counts.
            if self.mark_speaker(Some(id), true) {
                self.events.push(EngineEvent::Speaker(group, Some(id)));
            }
        }
    }

    /// A publication ends.
    fn silence(&mut self, id: PublicationId) {
        let Some(publication) = self.legs.publications.get(&id) else {
            return;
        };
        let group = publication.group;
        let Some(speakers) = self.speakers.get_mut(&group) else {
            return;
        };
        let lives_here = publication.origin.is_none();
        if speakers.forget(id) && lives_here {
            self.events.push(EngineEvent::Speaker(group, None));
        }
        if speakers.is_empty() {
            self.speakers.remove(&group);
        }
    }

    /// Begins or ends to prefer a publication; whether it lives here.
    fn mark_speaker(&mut self, id: Option<PublicationId>, speaks: bool) -> bool {
        let Some(id) = id else { return false };
        let Some(publication) = self.legs.publications.get_mut(&id) else {
            return false;
        };
        publication.speaks = speaks;
        let lives_here = publication.origin.is_none();
        self.legs.unsettle_subscribers(id);
        lives_here
    }

    /// Takes the RTCP of whoever receives.
    fn feedback(
        &mut self,
        leg: Leg,
        datagram: &mut [u8],
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> Result<(), Refused> {
        let mut wishes = std::mem::take(&mut self.wishes);
        let scratch = &mut self.scratch;
        let legs = &mut self.legs;
        let resent = legs.receive_feedback(leg, datagram, &mut wishes, scratch, at, outlet);
        for (publication, layers) in wishes.drain(..) {
            self.want_keyframes(publication, layers, at, outlet);
        }
        self.wishes = wishes;
        self.counters.resent += resent?;
        // What was reported may be a reason to probe.
        if let Some(client) = self.legs.client(leg) {
            self.arm(Leg::Shared(client));
        }
        Ok(())
    }

    /// Asks a publisher for key frames of some layers, now or as soon as spacing allows.
    fn want_keyframes(
        &mut self,
        id: PublicationId,
        layers: u8,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        let Some(publication) = self.legs.publications.get_mut(&id) else {
            return;
        };
        if let Some(origin) = publication.origin {
            let publication = id;
            let item = Item::Keyframes {
                publication,
                layers,
            };
            return self.post.note(origin, item);
        }
        publication.want_keyframes(layers);
        publication.drive(at, &mut self.scratch[0], outlet);
        self.arm(Leg::Publisher(id));
    }

    /// Forwards what this turn brought: subscribers outside, packets inside, so that each
    /// subscriber's packets lie side by side and leave as one message.
    fn forward(&mut self, received: &ReceiveSlab, at: &Moment, outlet: &mut Outlet<'_>) {
        for id in &self.touched {
            self.legs.note_layers(*id);
        }
        self.settle(at.now);
        let Self {
            legs,
            touched,
            timers,
            scratch,
            counters,
            post,
            taps,
            ..
        } = self;
        for id in touched.drain(..) {
            let Some(publication) = legs.publications.get_mut(&id) else {
                continue;
            };
            let mut keyframes = 0;
            for subscriber in &publication.subscribers {
                let Some(subscription) = legs.subscriptions.get_mut(subscriber) else {
                    continue;
                };
                let receiver = match subscription.own {
                    Some(_) => None,
                    None => legs.receivers.get_mut(&subscription.client),
                };
                let shared = receiver.and_then(|receiver| receiver.shared.as_mut());
                let shared = shared.map(|shared| &mut shared.leg);
                let changed = &mut scratch[1];
                let outcome =
                    subscription.forward(publication, shared, received, changed, at, outlet);
                counters.forwarded += outcome.packets;
                keyframes |= outcome.keyframes;
            }
            if publication.taps > 0 {
                keyframes |= taps.forward(publication, received, at.now);
            }
            let piped = publication.pass_packets(received, post, at.now);
            counters.piped += piped.packets;
            counters.pipe_dropped += piped.dropped;
            keyframes |= piped.keyframes;
            publication.pending.clear();
            if let Some(origin) = publication.origin {
                if let Some(demand) = Demand::of(&legs.subscriptions, publication) {
                    publication.tell_demand(demand, post, at.now);
                }
                if keyframes != 0 {
                    let item = Item::Keyframes {
                        publication: id,
                        layers: keyframes,
                    };
                    post.note(origin, item);
                }
                continue;
            }
            if keyframes != 0 {
                publication.want_keyframes(keyframes);
                publication.drive(at, &mut scratch[0], outlet);
            }
            let due = publication.poll_timeout();
            timers.arm(Leg::Publisher(id), &mut publication.transport.armed, due);
        }
    }

    fn timeout(&mut self, at: &Moment, outlet: &mut Outlet<'_>) {
        while let Some((leg, due)) = self.timers.pop(at.now) {
            let Some(armed) = self.legs.armed_mut(leg) else {
                continue;
            };
            if !armed.disarm(due) {
                continue;
            }
            let consent = self.legs.transport(leg).map(Transport::consent_until);
            if consent.is_some_and(|until| until <= at.now) {
                self.close(leg, CloseReason::ConsentExpired, at.now);
                continue;
            }
            self.drive(leg, at, outlet);
            self.arm(leg);
        }
        self.settle(at.now);
    }

    fn drive(&mut self, leg: Leg, at: &Moment, outlet: &mut Outlet<'_>) {
        match leg {
            Leg::Publisher(id) => {
                if let Some(publication) = self.legs.publications.get_mut(&id) {
                    publication.drive(at, &mut self.scratch[0], outlet);
                    self.review(id, at.now);
                }
                return;
            }
            Leg::Subscriber(_) => {}
            Leg::Shared(client) => self.legs.probe(client, &mut self.scratch, at, outlet),
        }
        let out = &mut self.scratch[0];
        self.legs.send_reports(leg, out, at, outlet);
    }

    fn arm(&mut self, leg: Leg) {
        arm(&mut self.legs, &mut self.timers, leg);
    }
}

fn arm(legs: &mut Legs, timers: &mut Timers, leg: Leg) {
    let due = legs.poll_timeout(leg);
    if let (Some(due), Some(armed)) = (due, legs.armed_mut(leg)) {
        timers.arm(leg, armed, due);
    }
}
