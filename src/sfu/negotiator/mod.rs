//! The control half of the SFU: offers and answers. Owns what was agreed on each leg.
//!
//! Each leg is one peer connection with one bundled transport. We are ICE-lite and the DTLS
//! server everywhere, so a leg's DTLS role never changes; what may change is its ICE credentials (a
//! restart), its keys and with them our certificate ([`rotation`]), and, for a publisher, its tracks.

mod codec;
mod extension;
mod numbers;
mod outgoing;
mod publisher;
pub mod rotation;
mod shared;
mod subscriber;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use self::publisher::{Agreement, Publication};
use self::rotation::{Rotation, Rotations};
use self::shared::Shared;
use self::subscriber::{Adapted, Order, Subscription};
use super::command::{Command, EngineEvent, IceCredentials, LocalEndpoint};
use super::worker::WorkerId;
use super::{
    ClientId, CloseReason, Event, Leg, PublicationId, Request, SubscriptionId, Terms, Wanted,
};
use crate::entropy::Entropy;

/// Turns requests of the hub into session descriptions for clients and commands for the engine.
#[derive(Debug)]
pub struct Negotiator {
    local: LocalEndpoint,
    entropy: Entropy,
    publications: HashMap<PublicationId, Publication>,
    /// Those with a peer connection of their own.
    subscriptions: HashMap<SubscriptionId, Subscription>,
    shared: HashMap<ClientId, Shared>,
    /// Whose peer connection the others are on.
    sharing: HashMap<SubscriptionId, ClientId>,
    rotation: Rotation,
    /// Whether audio may be redundant.
    repeats: bool,
    commands: VecDeque<Command>,
    events: VecDeque<Event>,
}

impl Negotiator {
    /// A negotiator without legs.
    pub fn new(local: LocalEndpoint, entropy: Entropy) -> Self {
        Self {
            local,
            entropy,
            publications: HashMap::new(),
            subscriptions: HashMap::new(),
            shared: HashMap::new(),
            sharing: HashMap::new(),
            rotation: Rotation::default(),
            repeats: true,
            commands: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Changes the keys of each leg after this time; the shared ones excepted.
    pub fn rotating(self, interval: Option<Duration>) -> Self {
        Self {
            rotation: Rotation::every(interval),
            ..self
        }
    }

    /// Says whether audio may be redundant (RFC 2198); without this it may.
    pub fn repeating(self, repeats: bool) -> Self {
        Self { repeats, ..self }
    }

    /// Chooses the worker of the leg that the next request is about.
    pub fn at(&mut self, worker: WorkerId) -> &mut Self {
        self.local.worker = worker;
        self
    }

    /// Carries out a request of the hub.
    pub fn handle_request(&mut self, request: Request) {
        match request {
            Request::PublisherOffer {
                publication,
                sdp,
                terms,
            } => self.publisher_offer(publication, &sdp, &terms),
            Request::Subscribe {
                subscription,
                client,
                shared,
                publication,
                screen,
                wanted,
            } => self.subscribe(Order {
                id: subscription,
                client,
                shared,
                publication,
                screen,
                wanted,
            }),
            Request::SubscriberAnswer { subscription, sdp } => {
                self.subscriber_answer(subscription, &sdp);
            }
            Request::SubscriberOffer { subscription, sdp } => {
                self.subscriber_offer(subscription, &sdp);
            }
            Request::Update {
                subscription,
                wanted,
            } => self.update(subscription, wanted),
            Request::Watch { leg } => self.watch(leg),
            Request::Unpublish { publication } => self.forget(Leg::Publisher(publication)),
            Request::Unsubscribe { subscription } => self.forget(Leg::Subscriber(subscription)),
        }
    }

    /// Takes note of what happened in the engine; about a leg that is gone already, nothing.
    pub fn handle_engine_event(&mut self, event: EngineEvent, now: Instant) {
        match event {
            EngineEvent::Connected(Leg::Shared(client)) => self.shared_connected(client),
            EngineEvent::Closed(Leg::Shared(client), reason) => {
                self.shared_closed(client, reason);
            }
            EngineEvent::Connected(leg) => {
                if self.knows(leg) {
                    self.rotation.begin(leg, now, &mut self.entropy);
                    self.events.push_back(Event::Connected { leg });
                }
            }
            EngineEvent::Rekeyed(leg) => self.rotation.complete(leg, now),
            EngineEvent::Silent(leg) => self.restart(leg),
            EngineEvent::Fallback(subscription, state) => {
                if self.knows(Leg::Subscriber(subscription)) {
                    self.events.push_back(Event::Fallback {
                        subscription,
                        state,
                    });
                }
            }
            EngineEvent::Speaker(group, publication) => {
                let known = |id| self.knows(Leg::Publisher(id));
                if publication.is_none_or(known) {
                    self.events.push_back(Event::Speaker { group, publication });
                }
            }
            EngineEvent::Layers(id, layers) => {
                let known = self.publications.get_mut(&id);
                if known.is_some_and(|publication| publication.use_layers(layers)) {
                    self.events
                        .push_back(Event::Renegotiate { publication: id });
                }
            }
            EngineEvent::Closed(leg, reason) => {
                if self.knows(leg) {
                    self.unshare(leg);
                    self.drop_leg(leg);
                    self.events.push_back(Event::Closed { leg, reason });
                }
            }
        }
    }

    /// The next command for the engine.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The next event for the hub.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Changes the keys of legs whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(leg) = self.rotation.next(now) {
            match self.rekey(leg) {
                true => self.rotation.start(leg, now),
                false => self.rotation.put_off(leg, now),
            }
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.rotation.poll_timeout()
    }

    /// What became of changes of keys.
    pub fn rotations(&self) -> Rotations {
        self.rotation.counters()
    }

    /// Makes a leg's client begin another DTLS association, if nothing else is being agreed. A
    /// publisher is asked for an offer first, as it answers none.
    fn rekey(&mut self, leg: Leg) -> bool {
        match leg {
            Leg::Publisher(publication) => {
                let Some(known) = self.publications.get_mut(&publication) else {
                    return false;
                };
                known.rekey();
                self.events.push_back(Event::Renegotiate { publication });
            }
            Leg::Subscriber(subscription) => {
                let known = self.subscriptions.get_mut(&subscription);
                let rekeyed = known.and_then(|known| known.rekey(&self.local));
                let Some((generation, sdp)) = rekeyed else {
                    return false;
                };
                self.commands.push_back(Command::Rekey { leg, generation });
                self.events.push_back(Event::Offer { subscription, sdp });
            }
            Leg::Shared(_) => return false,
        }
        true
    }

    /// Has the engine say if nothing comes on a leg any more. Not if subscriptions share it: none of
    /// its sections can be offered again, so there only the client can restart ICE.
    fn watch(&mut self, leg: Leg) {
        let known = match leg {
            Leg::Publisher(id) => self.publications.contains_key(&id),
            Leg::Subscriber(id) => self.subscriptions.contains_key(&id),
            Leg::Shared(_) => false,
        };
        if known {
            self.commands.push_back(Command::Watch(leg));
        }
    }

    /// Restarts ICE on a leg. A publisher is asked for an offer that does so, as it answers none.
    fn restart(&mut self, leg: Leg) {
        match leg {
            Leg::Publisher(publication) => {
                if self.publications.contains_key(&publication) {
                    self.events.push_back(Event::Renegotiate { publication });
                }
            }
            Leg::Subscriber(id) => {
                if let Some(subscription) = self.subscriptions.get_mut(&id) {
                    subscription.restart();
                    self.adapt(id);
                }
            }
            Leg::Shared(_) => {}
        }
    }

    fn publisher_offer(&mut self, id: PublicationId, sdp: &str, terms: &Terms) {
        let leg = Leg::Publisher(id);
        let agreement = Agreement::reach(sdp, terms, self.repeats);
        let answered = match self.publications.get_mut(&id) {
            None => agreement
                .and_then(|agreement| {
                    Publication::create(agreement, &self.local, &mut self.entropy)
                })
                .map(|(publication, answer)| {
                    let config = Box::new(publication.config(id));
                    self.publications.insert(id, publication);
                    (answer, vec![Command::AddPublication(config)])
                }),
            Some(publication) => agreement.and_then(|agreement| {
                publication.renew(id, agreement, &self.local, &mut self.entropy)
            }),
        };
        match answered {
            Ok((sdp, commands)) => {
                let changed = |command: &Command| matches!(command, Command::UpdatePublication(_));
                let changed = commands.iter().any(changed);
                self.commands.extend(commands);
                self.events.push_back(Event::Answer { leg, sdp });
                if changed {
                    self.adapt_subscribers(id);
                }
            }
            Err(reason) => self.close(leg, reason),
        }
    }

    /// A publisher's tracks have changed: its subscribers are offered what it has now.
    fn adapt_subscribers(&mut self, publication: PublicationId) {
        let all = self.subscriptions.iter();
        let concerned = all.filter(|(_, s)| s.publication() == publication);
        let mut concerned: Vec<_> = concerned.map(|(id, _)| *id).collect();
        concerned.sort_unstable();
        for id in concerned {
            self.adapt(id);
        }
        self.adapt_shared(publication);
    }

    fn adapt(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let Some(source) = self.publications.get(&subscription.publication()) else {
            return;
        };
        match subscription.adapt(source.tracks(), &self.local, &mut self.entropy) {
            Adapted::Unchanged => {}
            Adapted::Renumbered(config) => {
                let command = Command::AddSubscription(Box::new(config));
                self.commands.push_back(command);
            }
            Adapted::Offer { sdp, restarted } => self.offer(id, sdp, restarted),
        }
    }

    fn subscribe(&mut self, order: Order) {
        let id = order.id;
        let Some(source) = self.publications.get(&order.publication) else {
            return self.close(Leg::Subscriber(id), CloseReason::Unknown);
        };
        if order.shared {
            return self.share(order);
        }
        match Subscription::create(order, source.tracks(), &self.local, &mut self.entropy) {
            Ok((subscription, sdp, ice)) => {
                self.subscriptions.insert(id, subscription);
                self.offer(id, sdp, Some(ice));
            }
            Err(reason) => self.close(Leg::Subscriber(id), reason),
        }
    }

    /// Makes an offer on a subscription's own leg, perhaps with new credentials.
    fn offer(&mut self, id: SubscriptionId, sdp: String, ice: Option<IceCredentials>) {
        let leg = Leg::Subscriber(id);
        let command = ice.map(|ice| Command::Offer { leg, ice });
        self.commands.extend(command);
        self.events.push_back(Event::Offer {
            subscription: id,
            sdp,
        });
    }

    /// An answer to a subscription that ended meanwhile, or a second answer, is not an error.
    fn subscriber_answer(&mut self, id: SubscriptionId, sdp: &str) {
        if let Some(&client) = self.sharing.get(&id) {
            return self.shared_answer(client, id, sdp);
        }
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if !subscription.awaits_answer() {
            return;
        }
        match subscription.take_answer(sdp) {
            Ok(config) => {
                let unfinished = subscription.is_unfinished();
                let command = Command::AddSubscription(Box::new(config));
                self.commands.push_back(command);
                if unfinished {
                    self.adapt(id);
                }
            }
            Err(reason) => self.close(Leg::Subscriber(id), reason),
        }
    }

    fn subscriber_offer(&mut self, id: SubscriptionId, sdp: &str) {
        if let Some(&client) = self.sharing.get(&id) {
            return self.shared_offer(client, id, sdp);
        }
        let leg = Leg::Subscriber(id);
        let answered = match self.subscriptions.get_mut(&id) {
            Some(subscription) if subscription.is_answered() => {
                subscription.take_offer(sdp, &self.local, &mut self.entropy)
            }
            _ => Err(CloseReason::Unknown),
        };
        match answered {
            Ok(None) => {}
            Ok(Some((sdp, restarted))) => {
                let restart = restarted.map(|ice| Command::RestartIce { leg, ice });
                self.commands.extend(restart);
                self.events.push_back(Event::Answer { leg, sdp });
            }
            Err(reason) => self.close(leg, reason),
        }
    }

    /// Before the answer, the engine does not know the subscription: then it begins with `wanted`.
    fn update(&mut self, subscription: SubscriptionId, wanted: Wanted) {
        let is_answered = match self.sharing.get(&subscription) {
            Some(&client) => self.want_shared(client, subscription, wanted),
            None => {
                let known = self.subscriptions.get_mut(&subscription);
                known.is_some_and(|known| {
                    known.want(wanted);
                    known.is_answered()
                })
            }
        };
        if is_answered {
            self.commands.push_back(Command::Update {
                subscription,
                wanted,
            });
        }
    }

    /// Gives a leg up on our own account.
    fn close(&mut self, leg: Leg, reason: CloseReason) {
        self.forget(leg);
        self.events.push_back(Event::Closed { leg, reason });
    }

    /// Ends a leg without an event.
    fn forget(&mut self, leg: Leg) {
        let shared = matches!(leg, Leg::Subscriber(id) if self.sharing.contains_key(&id));
        self.unshare(leg);
        if self.drop_leg(leg) || shared {
            self.commands.push_back(Command::Remove(leg));
        }
    }

    /// Forgets a leg, a publisher's subscriptions with it; whether the engine may know it.
    fn drop_leg(&mut self, leg: Leg) -> bool {
        self.rotation.forget(leg);
        match leg {
            Leg::Publisher(id) => {
                let of_it = self.subscriptions.extract_if(|_, s| s.publication() == id);
                for (id, subscription) in of_it {
                    let leg = Leg::Subscriber(id);
                    self.rotation.forget(leg);
                    // Of the others the engine knows whose they are.
                    let end = (!subscription.is_answered()).then_some(Command::Remove(leg));
                    self.commands.extend(end);
                }
                self.publications.remove(&id).is_some()
            }
            Leg::Subscriber(id) => self.subscriptions.remove(&id).is_some(),
            Leg::Shared(_) => false,
        }
    }

    fn knows(&self, leg: Leg) -> bool {
        match leg {
            Leg::Publisher(id) => self.publications.contains_key(&id),
            Leg::Subscriber(id) => {
                self.subscriptions.contains_key(&id) || self.sharing.contains_key(&id)
            }
            Leg::Shared(client) => self.shared.contains_key(&client),
        }
    }
}
