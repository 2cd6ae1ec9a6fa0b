//! All legs and what goes over them, and the ways to find one: by id, by ICE name, by path.

use std::collections::VecDeque;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::command::{
    IceCredentials, MirrorConfig, PublicationConfig, SubscriptionConfig, TransportConfig,
};
use super::offered::Offered;
use super::own_paths::OwnPaths;
use super::path::Path;
use super::publication::Publication;
use super::receiver::{Receiver, SharedLeg};
use super::send_leg::SendLeg;
use super::stun::BindingRequest;
use super::subscription::Subscription;
use super::timers::Armed;
use super::transport::{Checked, Transport};
use super::{ClientId, Leg, PublicationId, SubscriptionId};
use crate::entropy::Entropy;

/// Everything the engine knows. Ids are never reused, so a stale one finds nothing.
#[derive(Debug, Default)]
pub(super) struct Legs {
    pub(super) publications: FxHashMap<PublicationId, Box<Publication>>,
    pub(super) subscriptions: FxHashMap<SubscriptionId, Box<Subscription>>,
    /// Those that receive, each with its network.
    pub(super) receivers: FxHashMap<ClientId, Box<Receiver>>,
    /// Receivers whose network is to be shared anew; each once.
    pub(super) unsettled: VecDeque<ClientId>,
    /// Those that are not legs yet: our offer is out.
    offered: FxHashMap<Leg, Offered>,
    by_ufrag: FxHashMap<String, Leg>,
    pub(super) paths: OwnPaths,
}

impl Legs {
    /// Adds a publication, or updates the one with this id.
    pub(super) fn add_publication(
        &mut self,
        config: PublicationConfig,
        entropy: &mut Entropy,
        now: Instant,
    ) {
        let id = config.id;
        if self.publications.contains_key(&id) {
            return self.update_publication(config, now);
        }
        let ufrag = config.transport.ice.local_ufrag.clone();
        self.by_ufrag.insert(ufrag, Leg::Publisher(id));
        let publication = Publication::new(config, entropy.u32(), now);
        self.publications.insert(id, Box::new(publication));
    }

    /// Takes over a later offer. Nothing happens without the publication.
    pub(super) fn update_publication(&mut self, config: PublicationConfig, now: Instant) {
        let (id, ice) = (config.id, config.transport.ice.clone());
        if let Some(publication) = self.publications.get_mut(&id) {
            publication.update(config.tracks);
            self.restart_ice(Leg::Publisher(id), ice, now);
        }
    }

    /// Its subscribers' choices are to be made anew if a publication's layers have changed.
    pub(super) fn note_layers(&mut self, id: PublicationId) {
        let publication = self.publications.get_mut(&id);
        if publication.is_some_and(|publication| publication.take_layers_changed()) {
            self.unsettle_subscribers(id);
        }
    }

    /// What all subscribers of a publication get is to be decided anew.
    pub(super) fn unsettle_subscribers(&mut self, id: PublicationId) {
        let publication = self.publications.get(&id);
        for id in publication.into_iter().flat_map(|p| &p.subscribers) {
            if let Some(subscription) = self.subscriptions.get(id)
                && let Some(receiver) = self.receivers.get_mut(&subscription.client)
            {
                receiver.unsettle(subscription.client, &mut self.unsettled);
            }
        }
    }

    /// Adds the mirror of a publication, or updates its tracks.
    pub(super) fn add_mirror(&mut self, config: MirrorConfig, now: Instant) {
        match self.publications.get_mut(&config.id) {
            Some(mirror) => mirror.update(config.tracks),
            None => {
                let id = config.id;
                let mirror = Publication::mirror(config, now);
                self.publications.insert(id, Box::new(mirror));
            }
        }
    }

    /// Adds a subscription, or updates the one with this id. Nothing happens without its
    /// publication.
    pub(super) fn add_subscription(
        &mut self,
        config: SubscriptionConfig,
        entropy: &mut Entropy,
        now: Instant,
    ) {
        let (id, client) = (config.id, config.client);
        let ice = config.transport.ice.clone();
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            let leg = subscription.leg();
            subscription.update(config, entropy);
            self.restart_ice(leg, ice, now);
        } else {
            let Some(publication) = self.publications.get_mut(&config.publication) else {
                return;
            };
            publication.subscribers.push(id);
            let own = match config.shared {
                false => Some(self.open(Leg::Subscriber(id), &config.transport, entropy, now)),
                true => {
                    self.open_shared(client, &config.transport, entropy, now);
                    None
                }
            };
            let receiver = self.receivers.entry(client).or_default();
            receiver.subscriptions.push(id);
            let subscription = Subscription::new(config, own, entropy);
            self.subscriptions.insert(id, Box::new(subscription));
        }
        self.index(id);
        self.unsettle(client);
    }

    fn open(
        &mut self,
        leg: Leg,
        transport: &TransportConfig,
        entropy: &mut Entropy,
        now: Instant,
    ) -> SendLeg {
        let ufrag = transport.ice.local_ufrag.clone();
        self.by_ufrag.insert(ufrag, leg);
        SendLeg::new(transport.clone(), entropy.u32() as u16, now)
    }

    /// Opens a client's shared leg, or takes over its credentials.
    fn open_shared(
        &mut self,
        client: ClientId,
        transport: &TransportConfig,
        entropy: &mut Entropy,
        now: Instant,
    ) {
        let leg = Leg::Shared(client);
        if self.send_leg(leg).is_some() {
            return self.restart_ice(leg, transport.ice.clone(), now);
        }
        let shared = SharedLeg {
            leg: self.open(leg, transport, entropy, now),
            by_ssrc: FxHashMap::default(),
        };
        self.receivers.entry(client).or_default().shared = Some(Box::new(shared));
    }

    /// Makes a subscription's SSRCs known on a shared leg.
    fn index(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let receiver = self.receivers.get_mut(&subscription.client);
        if let Some(shared) = receiver.and_then(|receiver| receiver.shared.as_mut())
            && subscription.own.is_none()
        {
            shared.by_ssrc.retain(|_, known| *known != id);
            let ssrcs = subscription.tracks.iter().map(|track| track.config.ssrc);
            shared.by_ssrc.extend(ssrcs.map(|ssrc| (ssrc, id)));
        }
    }

    /// Answers checks for a leg that is offered, or offered anew.
    pub(super) fn offer(&mut self, leg: Leg, ice: IceCredentials, now: Instant) {
        if self.transport(leg).is_some() {
            return self.restart_ice(leg, ice, now);
        }
        let before = self.offered.get(&leg);
        if before.is_some_and(|before| before.ufrag() == ice.local_ufrag) {
            return;
        }
        self.take_offered(leg);
        self.by_ufrag.insert(ice.local_ufrag.clone(), leg);
        self.offered.insert(leg, Offered::new(ice));
    }

    /// Takes out what was offered, with the paths that nobody else has proven to own meanwhile.
    pub(super) fn take_offered(&mut self, leg: Leg) -> Option<Offered> {
        let mut offered = self.offered.remove(&leg)?;
        self.retire(leg, Some(offered.ufrag().to_owned()));
        let paths = &mut self.paths;
        offered.retain(|path| {
            let own = paths.get(path) == Some(leg);
            if own {
                paths.remove(path);
            }
            own
        });
        Some(offered)
    }

    /// A leg that is only offered.
    pub(super) fn offered_mut(&mut self, leg: Leg) -> Option<&mut Offered> {
        self.offered.get_mut(&leg)
    }

    /// The password for an authentic check of a leg, or one that is offered; `None` for any other.
    pub(super) fn authenticate(&self, leg: Leg, request: &BindingRequest<'_>) -> Option<&str> {
        match self.transport(leg) {
            Some(transport) => transport.authenticate(request),
            None => self.offered.get(&leg)?.authenticate(request),
        }
    }

    /// Changes a leg's credentials.
    pub(super) fn restart_ice(&mut self, leg: Leg, ice: IceCredentials, now: Instant) {
        let ufrag = ice.local_ufrag.clone();
        let Some(transport) = self.transport_mut(leg) else {
            return;
        };
        let retired = transport.restart(ice, now);
        self.retire(leg, retired);
        self.by_ufrag.insert(ufrag, leg);
    }

    /// Takes a leg out, and with a publication, or a shared leg, the subscriptions.
    pub(super) fn remove(&mut self, leg: Leg, mut removed: impl FnMut(Leg, &Transport)) {
        match leg {
            Leg::Publisher(id) => {
                let Some(publication) = self.publications.remove(&id) else {
                    return;
                };
                self.unlink(leg, &publication.transport);
                removed(leg, &publication.transport);
                for id in publication.subscribers {
                    self.remove_subscription(id, &mut removed);
                }
            }
            Leg::Subscriber(id) => self.remove_subscription(id, &mut removed),
            Leg::Shared(client) => {
                let Some(receiver) = self.receivers.get_mut(&client) else {
                    return;
                };
                let Some(shared) = receiver.shared.take() else {
                    return;
                };
                receiver.estimator.forget(shared.leg.downlink.arriving());
                for id in receiver.subscriptions.clone() {
                    if self.subscriptions.get(&id).is_some_and(|s| s.leg() == leg) {
                        self.remove_subscription(id, &mut removed);
                    }
                }
                self.unlink(leg, &shared.leg.transport);
                removed(leg, &shared.leg.transport);
                self.drop_receiver(client);
            }
        }
    }

    fn remove_subscription(
        &mut self,
        id: SubscriptionId,
        removed: &mut impl FnMut(Leg, &Transport),
    ) {
        let Some(subscription) = self.subscriptions.remove(&id) else {
            return;
        };
        if let Some(publication) = self.publications.get_mut(&subscription.publication) {
            publication.subscribers.retain(|other| *other != id);
        }
        let client = subscription.client;
        if let Some(receiver) = self.receivers.get_mut(&client) {
            receiver.subscriptions.retain(|other| *other != id);
            if let Some(shared) = &mut receiver.shared {
                shared.by_ssrc.retain(|_, known| *known != id);
            }
            if let Some(own) = &subscription.own {
                receiver.estimator.forget(own.downlink.arriving());
            }
        }
        if let Some(own) = &subscription.own {
            let leg = Leg::Subscriber(id);
            self.unlink(leg, &own.transport);
            removed(leg, &own.transport);
        }
        self.drop_receiver(client);
    }

    /// Forgets a client that receives nothing more; else there is more for the rest.
    fn drop_receiver(&mut self, client: ClientId) {
        let known = self.receivers.get(&client);
        if known.is_some_and(|r| r.subscriptions.is_empty() && r.shared.is_none()) {
            self.receivers.remove(&client);
        } else {
            self.unsettle(client);
        }
    }

    fn unlink(&mut self, leg: Leg, transport: &Transport) {
        for ufrag in transport.ufrags() {
            if self.by_ufrag.get(ufrag) == Some(&leg) {
                self.by_ufrag.remove(ufrag);
            }
        }
        for path in transport.paths() {
            if self.paths.get(&path) == Some(leg) {
                self.paths.remove(&path);
            }
        }
    }

    fn retire(&mut self, leg: Leg, ufrag: Option<String>) {
        if let Some(ufrag) = ufrag
            && self.by_ufrag.get(&ufrag) == Some(&leg)
        {
            self.by_ufrag.remove(&ufrag);
        }
    }

    /// The leg that an ICE check names.
    pub(super) fn by_ufrag(&self, ufrag: &str) -> Option<Leg> {
        self.by_ufrag.get(ufrag).copied()
    }

    /// The leg that owns a path.
    pub(super) fn by_path(&self, path: &Path) -> Option<Leg> {
        self.paths.get(path)
    }

    /// Whether a path belongs to another leg that is still there: a check on it is forged,
    /// or too early, and must not take the other leg's media away.
    pub(super) fn is_taken(&self, path: Path, by: Leg, now: Instant) -> bool {
        let owner = self.by_path(&path).filter(|owner| *owner != by);
        let owner = owner.and_then(|owner| self.transport(owner));
        owner.is_some_and(|transport| transport.is_alive(path, now))
    }

    /// Gives a path up to another worker, whose leg has proven to own it; false if a leg here
    /// is alive there.
    pub(super) fn yield_path(&mut self, path: Path, now: Instant) -> bool {
        let Some(owner) = self.by_path(&path) else {
            return true;
        };
        let alive = |transport: &Transport| transport.is_alive(path, now);
        if self.transport(owner).is_some_and(alive) {
            return false;
        }
        self.lose(path);
        true
    }

    /// Forgets a path, whoever has it.
    pub(super) fn lose(&mut self, path: Path) {
        if let Some(owner) = self.paths.remove(&path)
            && let Some(transport) = self.transport_mut(owner)
        {
            transport.forget(path);
        }
    }

    /// Makes the maps agree with what a check changed.
    pub(super) fn apply(&mut self, leg: Leg, on: Path, change: Checked) {
        self.retire(leg, change.retired_ufrag);
        if let Some(lost) = change.lost {
            self.paths.remove(&lost);
        }
        if change.gained
            && let Some(before) = self.paths.insert(on, leg)
            && let Some(transport) = self.transport_mut(before)
            && before != leg
        {
            transport.forget(on);
        }
    }

    /// A leg's transport.
    pub(super) fn transport(&self, leg: Leg) -> Option<&Transport> {
        match leg {
            Leg::Publisher(id) => self.publications.get(&id).map(|p| &p.transport),
            leg => self.send_leg(leg).map(|leg| &leg.transport),
        }
    }

    /// A leg's transport.
    pub(super) fn transport_mut(&mut self, leg: Leg) -> Option<&mut Transport> {
        match leg {
            Leg::Publisher(id) => self.publications.get_mut(&id).map(|p| &mut p.transport),
            leg => self.send_leg_mut(leg).map(|leg| &mut leg.transport),
        }
    }

    fn send_leg(&self, leg: Leg) -> Option<&SendLeg> {
        match leg {
            Leg::Publisher(_) => None,
            Leg::Subscriber(id) => self.subscriptions.get(&id)?.own.as_ref(),
            Leg::Shared(client) => {
                let shared = self.receivers.get(&client)?.shared.as_ref();
                shared.map(|shared| &shared.leg)
            }
        }
    }

    /// A leg on which media goes out.
    pub(super) fn send_leg_mut(&mut self, leg: Leg) -> Option<&mut SendLeg> {
        match leg {
            Leg::Publisher(_) => None,
            Leg::Subscriber(id) => self.subscriptions.get_mut(&id)?.own.as_mut(),
            Leg::Shared(client) => {
                let shared = self.receivers.get_mut(&client)?.shared.as_mut();
                shared.map(|shared| &mut shared.leg)
            }
        }
    }

    /// All legs of a client on which media goes out.
    pub(super) fn send_legs(&self, client: ClientId) -> impl Iterator<Item = &SendLeg> {
        let receiver = self.receivers.get(&client);
        let ids = receiver.into_iter().flat_map(|r| &r.subscriptions);
        let own = ids.map(|id| Leg::Subscriber(*id));
        let legs = own.chain([Leg::Shared(client)]);
        legs.filter_map(|leg| self.send_leg(leg))
    }

    /// Whether media can go out on a leg.
    pub(super) fn is_open(&self, leg: Leg) -> bool {
        let transport = self.transport(leg);
        transport.is_some_and(|transport| transport.announced)
    }

    /// Whose leg it is, if media goes out on it.
    pub(super) fn client(&self, leg: Leg) -> Option<ClientId> {
        match leg {
            Leg::Publisher(_) => None,
            Leg::Subscriber(id) => self.subscriptions.get(&id).map(|s| s.client),
            Leg::Shared(client) => Some(client),
        }
    }

    /// Whoever receives over a leg.
    pub(super) fn receiver_mut(&mut self, leg: Leg) -> Option<&mut Receiver> {
        let client = self.client(leg)?;
        self.receivers
            .get_mut(&client)
            .map(|receiver| &mut **receiver)
    }

    /// A subscription, what it receives, and the leg it goes over if that is not its own.
    pub(super) fn way_of(
        &mut self,
        id: SubscriptionId,
    ) -> Option<(&mut Subscription, &Publication, Option<&mut SendLeg>)> {
        let subscription = self.subscriptions.get_mut(&id)?;
        let publication = self.publications.get(&subscription.publication)?;
        let receiver = match subscription.own {
            Some(_) => None,
            None => self.receivers.get_mut(&subscription.client),
        };
        let shared = receiver.and_then(|receiver| receiver.shared.as_mut());
        let shared = shared.map(|shared| &mut shared.leg);
        Some((subscription, publication, shared))
    }

    /// What remembers a leg's deadline. That of a shared leg is its client's, whether or not the
    /// client has such a leg.
    pub(super) fn armed_mut(&mut self, leg: Leg) -> Option<&mut Armed> {
        match leg {
            Leg::Shared(client) => self.receivers.get_mut(&client).map(|r| &mut r.armed),
            leg => self
                .transport_mut(leg)
                .map(|transport| &mut transport.armed),
        }
    }

    /// When a leg wants to be driven.
    pub(super) fn poll_timeout(&self, leg: Leg) -> Option<Instant> {
        let transport = self.transport(leg);
        let silent = transport.and_then(|transport| transport.silence.poll_timeout());
        silent.into_iter().chain(self.next_work(leg)).min()
    }

    fn next_work(&self, leg: Leg) -> Option<Instant> {
        match leg {
            Leg::Publisher(id) => {
                let publication = self.publications.get(&id)?;
                // A mirror has no leg: it lives and ends with commands.
                let is_here = publication.origin.is_none();
                is_here.then(|| publication.poll_timeout())
            }
            Leg::Subscriber(_) => self.send_leg(leg).map(SendLeg::poll_timeout),
            Leg::Shared(client) => {
                let probing = self.receivers.get(&client)?.estimator.poll_timeout();
                let reports = self.send_leg(leg).map(SendLeg::poll_timeout);
                probing.into_iter().chain(reports).min()
            }
        }
    }
}
