//! All legs and what goes over them: which there are. [`find`] has the ways to one that is known by
//! id, [`checks`] those by ICE name and by path.

mod checks;
mod find;

use std::collections::VecDeque;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::command::{MirrorConfig, PublicationConfig, SubscriptionConfig, TransportConfig};
use super::offered::Offered;
use super::own_paths::OwnPaths;
use super::publication::Publication;
use super::receiver::{Receiver, SharedLeg};
use super::send_leg::SendLeg;
use super::subscription::Subscription;
use super::transport::Transport;
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
            publication.unsubscribe(id);
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
}
