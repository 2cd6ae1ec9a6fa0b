//! Which media worker each leg lives at.
//!
//! The legs of one session live together, so that nothing crosses threads, until there are more of
//! them than one worker should carry alone. From then on they are spread in blocks: a publication
//! stays where it is and is mirrored at each worker that has subscribers of it
//! ([`Command::AddPipe`], [`Command::AddMirror`]).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::command::{Command, MirrorConfig, TapConfig};
use super::worker::WorkerId;
use super::{ClientId, Leg, PublicationId, Request, SubscriptionId};

/// Legs of one session that live at one worker before another one is looked for: those of a meeting
/// of ten. One worker carries many times as many, and elsewhere the packets would be kept once more.
const TOGETHER: usize = 128;

/// Further legs of it that are placed in a row at a worker that has had none of them before. A
/// mirrored packet costs its two workers about as much as forwarding it once, which is little
/// against the subscribers that one block adds.
const BLOCK: usize = 64;

/// What a publisher's leg is for its worker, in subscribers' legs: it receives, keeps and may have
/// to pass on to other workers what each of those only sends.
const PUBLISHER: usize = 8;

/// The legs of all workers. Belongs to the control half.
#[derive(Debug)]
pub struct Shards {
    /// What is placed at each worker, in subscribers' legs.
    loads: Vec<usize>,
    sessions: HashMap<u64, Session>,
    publications: HashMap<PublicationId, Publication>,
    subscriptions: HashMap<SubscriptionId, Subscription>,
    /// Where those are that receive anything: all of a client's subscriptions live together, as
    /// they share a network, and perhaps a peer connection.
    clients: HashMap<ClientId, Client>,
    commands: VecDeque<(WorkerId, Command)>,
}

#[derive(Debug)]
struct Client {
    worker: WorkerId,
    subscriptions: usize,
}

/// The legs of one session.
#[derive(Debug)]
struct Session {
    legs: usize,
    /// Where the next leg is placed.
    open: WorkerId,
    /// How many more are, before another one may be chosen.
    left: usize,
    /// The workers that have been chosen.
    chosen: BTreeSet<WorkerId>,
}

#[derive(Debug)]
struct Publication {
    session: u64,
    home: WorkerId,
    /// What mirrors must know; from the latest offer.
    mirror: Option<MirrorConfig>,
    /// Workers with a mirror, and how many subscriptions each serves.
    mirrors: BTreeMap<WorkerId, usize>,
}

#[derive(Debug)]
struct Subscription {
    session: u64,
    client: ClientId,
    publication: PublicationId,
    worker: WorkerId,
    /// Whether its worker knows it.
    added: bool,
}

impl Shards {
    /// The legs of `workers` workers, of which there must be one at least: none yet.
    pub fn new(workers: usize) -> Self {
        Self {
            loads: vec![0; workers.max(1)],
            sessions: HashMap::new(),
            publications: HashMap::new(),
            subscriptions: HashMap::new(),
            clients: HashMap::new(),
            commands: VecDeque::new(),
        }
    }

    /// Takes note of a request about a leg of `session`, before it is carried out; returns the
    /// worker that has the leg or is to have it.
    pub fn place(&mut self, session: u64, request: &Request) -> WorkerId {
        match request {
            Request::PublisherOffer { publication, .. } => {
                if let Some(known) = self.publications.get(publication) {
                    return known.home;
                }
                let home = self.choose(session, PUBLISHER);
                let publication_of_it = Publication {
                    session,
                    home,
                    mirror: None,
                    mirrors: BTreeMap::new(),
                };
                self.publications.insert(*publication, publication_of_it);
                home
            }
            Request::Subscribe {
                subscription,
                client,
                publication,
                ..
            } => {
                let worker = self.place_for(session, *client);
                let placed = Subscription {
                    session,
                    client: *client,
                    publication: *publication,
                    worker,
                    added: false,
                };
                self.subscriptions.insert(*subscription, placed);
                worker
            }
            Request::Unsubscribe { subscription }
            | Request::SubscriberAnswer { subscription, .. }
            | Request::SubscriberOffer { subscription, .. }
            | Request::Update { subscription, .. } => self.worker(Leg::Subscriber(*subscription)),
            Request::Unpublish { publication } => self.worker(Leg::Publisher(*publication)),
            Request::Watch { leg } => self.worker(*leg),
        }
    }

    /// Sends a command to the worker that has its leg, with what others must know.
    pub fn handle_command(&mut self, command: Command) {
        match &command {
            Command::AddPublication(config) | Command::UpdatePublication(config) => {
                let home = self.worker(Leg::Publisher(config.id));
                let mirror = MirrorConfig {
                    id: config.id,
                    group: config.group,
                    origin: home,
                    tracks: config.tracks.clone(),
                };
                let Some(publication) = self.publications.get_mut(&config.id) else {
                    return;
                };
                for worker in publication.mirrors.keys() {
                    let update = Command::AddMirror(Box::new(mirror.clone()));
                    self.commands.push_back((*worker, update));
                }
                publication.mirror = Some(mirror);
                self.commands.push_back((home, command));
            }
            Command::AddSubscription(config) => {
                let (id, publication) = (config.id, config.publication);
                let Some(subscription) = self.subscriptions.get_mut(&id) else {
                    return;
                };
                let worker = subscription.worker;
                if !std::mem::replace(&mut subscription.added, true) {
                    self.mirror(publication, worker);
                }
                self.commands.push_back((worker, command));
            }
            Command::Update { subscription, .. } => {
                let worker = self.worker(Leg::Subscriber(*subscription));
                self.commands.push_back((worker, command));
            }
            Command::Offer { leg, .. }
            | Command::RestartIce { leg, .. }
            | Command::Watch(leg)
            | Command::Rekey { leg, .. } => {
                self.commands.push_back((self.worker(*leg), command));
            }
            Command::AddTap(TapConfig { publication, .. })
            | Command::RemoveTap { publication, .. } => {
                let home = self.worker(Leg::Publisher(*publication));
                self.commands.push_back((home, command));
            }
            Command::Remove(leg) => {
                let leg = *leg;
                self.commands.push_back((self.worker(leg), command));
                self.forget(leg);
            }
            // These are our own.
            Command::AddMirror(_) | Command::AddPipe { .. } | Command::RemovePipe { .. } => {}
        }
    }

    /// Forgets a leg that is gone, a publication's subscriptions with it. Does nothing twice.
    pub fn forget(&mut self, leg: Leg) {
        match leg {
            Leg::Publisher(id) => {
                let Some(publication) = self.publications.remove(&id) else {
                    return;
                };
                for worker in publication.mirrors.into_keys() {
                    self.commands.push_back((worker, Command::Remove(leg)));
                }
                self.release(publication.session, publication.home, PUBLISHER);
                let subscribers = self.subscriptions.extract_if(|_, s| s.publication == id);
                let subscribers: Vec<_> =
                    subscribers.map(|(_, subscription)| subscription).collect();
                for subscription in subscribers {
                    self.release_for(&subscription);
                }
            }
            Leg::Subscriber(id) => {
                let Some(subscription) = self.subscriptions.remove(&id) else {
                    return;
                };
                self.release_for(&subscription);
                if subscription.added {
                    self.unmirror(subscription.publication, subscription.worker);
                }
            }
            // It ends with the last of its subscriptions.
            Leg::Shared(_) => {}
        }
    }

    /// The next command, and who is to carry it out.
    pub fn poll_command(&mut self) -> Option<(WorkerId, Command)> {
        self.commands.pop_front()
    }

    /// Where a leg lives; the first worker for an unknown one, which knows nothing of it.
    fn worker(&self, leg: Leg) -> WorkerId {
        let known = match leg {
            Leg::Publisher(id) => self.publications.get(&id).map(|known| known.home),
            Leg::Subscriber(id) => self.subscriptions.get(&id).map(|known| known.worker),
            Leg::Shared(client) => self.clients.get(&client).map(|known| known.worker),
        };
        known.unwrap_or_default()
    }

    /// The worker for one more subscription of a client.
    fn place_for(&mut self, session: u64, client: ClientId) -> WorkerId {
        let Some(known) = self.clients.get_mut(&client) else {
            let worker = self.choose(session, 1);
            let known = Client {
                worker,
                subscriptions: 1,
            };
            self.clients.insert(client, known);
            return worker;
        };
        known.subscriptions += 1;
        let worker = known.worker;
        self.loads[worker.index()] += 1;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.legs += 1;
            let here = usize::from(session.open == worker);
            session.left = session.left.saturating_sub(here);
        }
        worker
    }

    fn release_for(&mut self, subscription: &Subscription) {
        self.release(subscription.session, subscription.worker, 1);
        if let Some(client) = self.clients.get_mut(&subscription.client) {
            client.subscriptions -= 1;
            if client.subscriptions == 0 {
                self.clients.remove(&subscription.client);
            }
        }
    }

    /// The worker for one more leg of a session, which is so much for it.
    fn choose(&mut self, session: u64, load: usize) -> WorkerId {
        let idlest = WorkerId::first(self.loads.len())
            .min_by_key(|worker| self.loads[worker.index()])
            .unwrap_or_default();
        let session = self.sessions.entry(session).or_insert(Session {
            legs: 0,
            open: idlest,
            left: TOGETHER,
            chosen: BTreeSet::from([idlest]),
        });
        if session.left == 0 {
            // Another one only if that is better.
            if self.loads[idlest.index()] < self.loads[session.open.index()] {
                session.open = idlest;
            }
            session.left = match session.chosen.insert(session.open) {
                true => BLOCK,
                false => 1,
            };
        }
        session.left -= 1;
        session.legs += 1;
        self.loads[session.open.index()] += load;
        session.open
    }

    fn release(&mut self, session: u64, worker: WorkerId, load: usize) {
        self.loads[worker.index()] = self.loads[worker.index()].saturating_sub(load);
        if let Some(known) = self.sessions.get_mut(&session) {
            known.legs -= 1;
            if known.legs == 0 {
                self.sessions.remove(&session);
            }
        }
    }

    /// A subscription begins at `worker`.
    fn mirror(&mut self, id: PublicationId, worker: WorkerId) {
        let Some(publication) = self.publications.get_mut(&id) else {
            return;
        };
        if worker == publication.home {
            return;
        }
        let served = publication.mirrors.entry(worker).or_default();
        *served += 1;
        if *served == 1
            && let Some(mirror) = publication.mirror.clone()
        {
            let add = Command::AddMirror(Box::new(mirror));
            self.commands.push_back((worker, add));
            let pipe = Command::AddPipe {
                publication: id,
                to: worker,
            };
            self.commands.push_back((publication.home, pipe));
        }
    }

    /// A subscription ended at `worker`.
    fn unmirror(&mut self, id: PublicationId, worker: WorkerId) {
        let Some(publication) = self.publications.get_mut(&id) else {
            return;
        };
        let Some(served) = publication.mirrors.get_mut(&worker) else {
            return;
        };
        *served -= 1;
        if *served == 0 {
            publication.mirrors.remove(&worker);
            let unpipe = Command::RemovePipe {
                publication: id,
                to: worker,
            };
            self.commands.push_back((publication.home, unpipe));
            let remove = Command::Remove(Leg::Publisher(id));
            self.commands.push_back((worker, remove));
        }
    }
}
