//! What the control half orders, and how legs come and go.

use std::time::Instant;

use super::Core;
use crate::sfu::command::{Command, EngineEvent};
use crate::sfu::handshake::{HandshakeOutput, SrtpKeys};
use crate::sfu::moment::Moment;
use crate::sfu::offered::Offered;
use crate::sfu::outlet::Outlet;
use crate::sfu::pipe::Demand;
use crate::sfu::{CloseReason, Leg, PublicationId, SubscriptionId, Wanted};

impl Core {
    pub(super) fn command(&mut self, command: Command, now: Instant, outlet: &mut Outlet<'_>) {
        match command {
            Command::AddPublication(config) => {
                let leg = Leg::Publisher(config.id);
                self.legs.add_publication(*config, &mut self.entropy, now);
                self.arm(leg);
            }
            Command::UpdatePublication(config) => {
                self.finish(config.id, &Moment::new(now, self.epoch), outlet);
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
            Command::Watch(leg) => {
                // One that was never up has its client's whole attention as it is.
                if let Some(transport) = self.legs.transport_mut(leg)
                    && transport.announced
                {
                    transport.silence.watch(now);
                    self.arm(leg);
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
            Command::AddMirror(config) => {
                self.finish(config.id, &Moment::new(now, self.epoch), outlet);
                self.legs.add_mirror(*config, now);
            }
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

    pub(super) fn want(
        &mut self,
        id: SubscriptionId,
        wanted: Wanted,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        if let Some(subscription) = self.legs.subscriptions.get_mut(&id) {
            subscription.want(wanted);
            let (client, publication) = (subscription.client, subscription.publication);
            self.legs.unsettle(client);
            self.begin(id, at, outlet);
            self.review(publication, at.now);
        }
    }

    /// Asks for what a subscription begins with, if its leg is up.
    pub(super) fn begin(&mut self, id: SubscriptionId, at: &Moment, outlet: &mut Outlet<'_>) {
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

    /// Finds out which layers of a publication are of use, and tells it if that is news.
    pub(super) fn review(&mut self, id: PublicationId, now: Instant) {
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

    pub(super) fn handshake(
        &mut self,
        output: HandshakeOutput,
        now: Instant,
        outlet: &mut Outlet<'_>,
    ) {
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

    /// Passes a datagram of a handshake on, now or when there is a leg.
    pub(super) fn pass_handshake(&mut self, leg: Leg, datagram: &[u8]) {
        let passed = match self.legs.transport_mut(leg) {
            Some(transport) => self.handoff.datagram(leg, transport, datagram),
            None => {
                let offered = self.legs.offered_mut(leg);
                offered.is_some_and(|offered| offered.handshake(datagram))
            }
        };
        self.counters.dropped_handshakes += u64::from(!passed);
    }

    pub(super) fn keys(
        &mut self,
        leg: Leg,
        keys: &SrtpKeys,
        now: Instant,
        outlet: &mut Outlet<'_>,
    ) {
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

    /// Does for a new leg what was to be done before it was there.
    pub(super) fn catch_up(&mut self, leg: Leg, offered: Offered, now: Instant) {
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

    /// Tells that a leg is up, if that is news, and asks for what a new subscriber begins with.
    pub(super) fn announce(&mut self, leg: Leg, at: &Moment, outlet: &mut Outlet<'_>) {
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
    pub(super) fn close(&mut self, leg: Leg, reason: CloseReason, now: Instant) {
        self.remove(leg, now);
        self.events.push(EngineEvent::Closed(leg, reason));
    }

    pub(super) fn remove(&mut self, leg: Leg, now: Instant) {
        if let Leg::Publisher(id) = leg {
            self.taps.end(now, |tap| tap.publication == id);
            self.silence(id);
        }
        self.legs.take_offered(leg);
        let handoff = &mut self.handoff;
        self.legs
            .remove(leg, |leg, transport| handoff.stop(leg, transport));
    }
}
