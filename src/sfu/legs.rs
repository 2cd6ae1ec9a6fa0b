//! All legs, and the ways to find one: by id, by ICE name, by path.

use std::time::Instant;

use rustc_hash::FxHashMap;

use super::command::{IceCredentials, MirrorConfig, PublicationConfig, SubscriptionConfig};
use super::path::Path;
use super::publication::Publication;
use super::subscription::Subscription;
use super::transport::{Checked, Transport};
use super::{Leg, PublicationId, SubscriptionId};
use crate::entropy::Entropy;

/// Everything the engine knows. Ids are never reused, so a stale one finds nothing.
#[derive(Debug, Default)]
pub(super) struct Legs {
    pub(super) publications: FxHashMap<PublicationId, Box<Publication>>,
    pub(super) subscriptions: FxHashMap<SubscriptionId, Box<Subscription>>,
    by_ufrag: FxHashMap<String, Leg>,
    by_path: FxHashMap<Path, Leg>,
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
        let id = config.id;
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            let ice = config.transport.ice.clone();
            subscription.update(config, entropy);
            self.restart_ice(Leg::Subscriber(id), ice, now);
            return;
        }
        let Some(publication) = self.publications.get_mut(&config.publication) else {
            return;
        };
        publication.subscribers.push(id);
        self.by_ufrag.insert(
            config.transport.ice.local_ufrag.clone(),
            Leg::Subscriber(id),
        );
        let subscription = Subscription::new(config, entropy, now);
        self.subscriptions.insert(id, Box::new(subscription));
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

    /// Takes a leg out, and with a publication its subscriptions.
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
        let leg = Leg::Subscriber(id);
        self.unlink(leg, &subscription.transport);
        removed(leg, &subscription.transport);
    }

    fn unlink(&mut self, leg: Leg, transport: &Transport) {
        for ufrag in transport.ufrags() {
            if self.by_ufrag.get(ufrag) == Some(&leg) {
                self.by_ufrag.remove(ufrag);
            }
        }
        for path in transport.paths() {
            if self.by_path.get(&path) == Some(&leg) {
                self.by_path.remove(&path);
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
        self.by_path.get(path).copied()
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
        if let Some(owner) = self.by_path.remove(&path)
            && let Some(transport) = self.transport_mut(owner)
        {
            transport.forget(path);
        }
    }

    /// Makes the maps agree with what a check changed.
    pub(super) fn apply(&mut self, leg: Leg, on: Path, change: Checked) {
        self.retire(leg, change.retired_ufrag);
        if let Some(lost) = change.lost {
            self.by_path.remove(&lost);
        }
        if change.gained
            && let Some(before) = self.by_path.insert(on, leg)
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
            Leg::Subscriber(id) => self.subscriptions.get(&id).map(|s| &s.transport),
        }
    }

    /// A leg's transport.
    pub(super) fn transport_mut(&mut self, leg: Leg) -> Option<&mut Transport> {
        match leg {
            Leg::Publisher(id) => self.publications.get_mut(&id).map(|p| &mut p.transport),
            Leg::Subscriber(id) => self.subscriptions.get_mut(&id).map(|s| &mut s.transport),
        }
    }

    /// When a leg wants to be driven.
    pub(super) fn poll_timeout(&self, leg: Leg) -> Option<Instant> {
        match leg {
            Leg::Publisher(id) => {
                let publication = self.publications.get(&id)?;
                // A mirror has no leg: it lives and ends with commands.
                let is_here = publication.origin.is_none();
                is_here.then(|| publication.poll_timeout())
            }
            Leg::Subscriber(id) => self.subscriptions.get(&id).map(|s| s.poll_timeout()),
        }
    }
}
