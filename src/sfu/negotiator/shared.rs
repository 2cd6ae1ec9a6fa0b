//! All of a client's subscriptions on one peer connection (`protocol/signaling.md`, 13.9).
//!
//! The client keeps the whole description; each of our offers has only the sections of one
//! subscription that are new, and none that was offered once is offered again. What ends needs no
//! negotiation: the client takes the sections out by itself, and we never use their mids again.

use std::collections::{BTreeMap, VecDeque};

use super::Negotiator;
use super::numbers::{MidStyle, Numbers};
use super::outgoing::{Outgoing, extend, payload_types, section, sections};
use super::publisher::Track;
use super::subscriber::{Adapted, Order};
use super::transport::{Local, Remote, Transport};
use crate::entropy::Entropy;
use crate::sfu::command::{Command, IceCredentials, LocalEndpoint, SubscriptionConfig};
use crate::sfu::sdp::{Direction, Section, SessionDescription, Setup};
use crate::sfu::{ClientId, CloseReason, Event, Leg, PublicationId, SubscriptionId, Wanted};

/// One client's shared peer connection. It ends with its last subscription.
#[derive(Debug)]
pub(super) struct Shared {
    state: State,
    numbers: Numbers,
    members: BTreeMap<SubscriptionId, Member>,
    /// Whose offer is out; one at a time, as the client can merge no second one before it has
    /// answered the first.
    out: Option<SubscriptionId>,
    /// Whose turn comes after it.
    waiting: VecDeque<SubscriptionId>,
    connected: bool,
}

#[derive(Debug)]
enum State {
    /// No offer was answered yet.
    New(Local),
    /// ICE and DTLS are agreed.
    Agreed(Transport),
}

#[derive(Debug)]
struct Member {
    order: Order,
    /// Canonical name and stream id.
    stream: String,
    outgoing: Vec<Outgoing>,
}

impl Shared {
    fn new(endpoint: &LocalEndpoint, entropy: &mut Entropy) -> Self {
        Self {
            state: State::New(Local::new(endpoint.worker, entropy)),
            numbers: Numbers::new(MidStyle::Typed),
            members: BTreeMap::new(),
            out: None,
            waiting: VecDeque::new(),
            connected: false,
        }
    }

    /// Puts a subscription among those that are to be offered something.
    fn enqueue(&mut self, id: SubscriptionId) {
        if !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
    }

    /// The next one that may be offered something, and what it receives.
    fn next(&mut self) -> Option<(SubscriptionId, PublicationId)> {
        if self.out.is_some() {
            return None;
        }
        let id = self.waiting.pop_front()?;
        Some((id, self.members.get(&id)?.order.publication))
    }

    /// Goes along with the publisher's tracks as they are now.
    fn adapt(
        &mut self,
        id: SubscriptionId,
        tracks: &[Track],
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Result<Adapted, CloseReason> {
        let member = self.members.get_mut(&id).ok_or(CloseReason::Unknown)?;
        let before = payload_types(&member.outgoing);
        let numbers = &mut self.numbers;
        member.outgoing = extend(&member.outgoing, tracks, &member.stream, numbers, entropy);
        let new: Vec<_> = member.outgoing.iter().filter(|o| o.is_new()).collect();
        if new.is_empty() {
            if member.outgoing.is_empty() {
                return Err(CloseReason::NothingInCommon);
            }
            let renumbered = payload_types(&member.outgoing) != before;
            return Ok(match self.config(id) {
                Some(config) if renumbered => Adapted::Renumbered(config),
                _ => Adapted::Unchanged,
            });
        }
        let offered = sections(new);
        self.out = Some(id);
        let sdp = self.describe(offered, Setup::ActPass, endpoint);
        let restarted = None;
        Ok(Adapted::Offer { sdp, restarted })
    }

    /// Takes the answer to our offer. What it refused, or left out, is not sent.
    fn take_answer(
        &mut self,
        id: SubscriptionId,
        sdp: &str,
    ) -> Result<SubscriptionConfig, CloseReason> {
        self.out = None;
        let answer = SessionDescription::parse(sdp).map_err(|_| CloseReason::MalformedSdp)?;
        let member = self.members.get_mut(&id).ok_or(CloseReason::Unknown)?;
        let mut head = None;
        for outgoing in member.outgoing.iter_mut().filter(|o| o.is_new()) {
            let answered = section(&answer, outgoing);
            outgoing.settle(answered);
            head = head.or(answered.filter(|_| outgoing.is_agreed()));
        }
        if let Some(head) = head {
            if head.setup == Some(Setup::Passive) {
                // Somebody must begin the handshake, and we do not.
                return Err(CloseReason::NothingInCommon);
            }
            let remote = Remote::of(head)?;
            match &mut self.state {
                State::New(local) => {
                    self.state = State::Agreed(Transport::new(local.clone(), remote));
                }
                State::Agreed(transport) => transport.agree(remote)?,
            }
        }
        let config = self.config(id).filter(|config| !config.tracks.is_empty());
        config.ok_or(CloseReason::NothingInCommon)
    }

    /// Answers the client's own offer, which restarts ICE and has only the section with the
    /// transport, whosever that was.
    ///
    /// There is no answer while an offer of ours is out: the client gives up its own for it
    /// (RFC 8829, 4.1.10.2), and would take the answer for an error.
    fn take_offer(
        &mut self,
        sdp: &str,
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Result<Option<(String, Option<IceCredentials>)>, CloseReason> {
        let out = self.out.is_some();
        let State::Agreed(transport) = &mut self.state else {
            return Err(CloseReason::Unknown);
        };
        let offer = SessionDescription::parse(sdp).map_err(|_| CloseReason::MalformedSdp)?;
        if out {
            return Ok(None);
        }
        let head = offer.sections.iter().find(|section| !section.rejected);
        let head = head.ok_or(CloseReason::NothingInCommon)?;
        let restarted = transport.renew(Remote::of(head)?, entropy)?;
        let answered = offer.sections.iter().map(|offered| self.answer(offered));
        let answered = answered.collect();
        let answer = self.describe(answered, Setup::Passive, endpoint);
        Ok(Some((answer, restarted)))
    }

    /// Our half of a section that the client offers again.
    fn answer(&self, offered: &Section) -> Section {
        let mut ours = self.members.values().flat_map(|member| &member.outgoing);
        match ours.find(|outgoing| outgoing.section.mid == offered.mid) {
            _ if offered.rejected => offered.refused(),
            Some(outgoing) if outgoing.is_agreed() => outgoing.answer(offered),
            // Its subscription has ended, but not the transport that it carries.
            _ => Section {
                direction: Direction::Inactive,
                ..offered.clone()
            },
        }
    }

    /// Writes a description of some sections, over which all share the transport.
    fn describe(
        &mut self,
        sections: Vec<Section>,
        setup: Setup,
        endpoint: &LocalEndpoint,
    ) -> String {
        let all = self.members.values().flat_map(|member| &member.outgoing);
        let present = all.filter(|outgoing| outgoing.is_present());
        let mids = present
            .map(|outgoing| outgoing.section.mid.clone())
            .collect();
        let local = match &mut self.state {
            State::New(local) => local,
            State::Agreed(transport) => &mut transport.local,
        };
        local.describe_part(sections, mids, setup, endpoint)
    }

    /// Forgets a subscription.
    fn remove(&mut self, id: SubscriptionId) {
        self.members.remove(&id);
        self.waiting.retain(|waiting| *waiting != id);
        if self.out == Some(id) {
            // The client has cancelled it, or answers nobody.
            self.out = None;
        }
    }

    fn config(&self, id: SubscriptionId) -> Option<SubscriptionConfig> {
        let State::Agreed(transport) = &self.state else {
            return None;
        };
        let member = self.members.get(&id)?;
        let tracks = member.outgoing.iter().filter_map(Outgoing::config);
        Some(member.order.config(transport.config(), tracks.collect()))
    }

    fn is_answered(&self, id: SubscriptionId) -> bool {
        let member = self.members.get(&id);
        member.is_some_and(|member| member.outgoing.iter().any(Outgoing::is_agreed))
    }
}

impl Negotiator {
    /// Adds a subscription to its client's shared peer connection.
    pub(super) fn share(&mut self, order: Order) {
        let (endpoint, entropy) = (&self.local, &mut self.entropy);
        let shared = self.shared.entry(order.client);
        let shared = shared.or_insert_with(|| Shared::new(endpoint, entropy));
        let member = Member {
            order,
            stream: entropy.uuid().to_string(),
            outgoing: Vec::new(),
        };
        shared.members.insert(order.id, member);
        shared.enqueue(order.id);
        self.sharing.insert(order.id, order.client);
        self.advance(order.client);
    }

    /// A publisher's tracks have changed.
    pub(super) fn adapt_shared(&mut self, publication: PublicationId) {
        let mut concerned = Vec::new();
        for (client, shared) in &mut self.shared {
            let members = shared.members.iter();
            let members = members.filter(|(_, m)| m.order.publication == publication);
            let members: Vec<_> = members.map(|(id, _)| *id).collect();
            concerned.extend((!members.is_empty()).then_some(*client));
            members.into_iter().for_each(|id| shared.enqueue(id));
        }
        concerned.sort_unstable();
        concerned
            .into_iter()
            .for_each(|client| self.advance(client));
    }

    /// Makes the offers that are due, one after the other.
    fn advance(&mut self, client: ClientId) {
        while let Some(shared) = self.shared.get_mut(&client)
            && let Some((id, publication)) = shared.next()
        {
            let source = self.publications.get(&publication);
            let tracks = source.map_or(&[][..], |source| source.tracks());
            match shared.adapt(id, tracks, &self.local, &mut self.entropy) {
                Ok(Adapted::Unchanged) => {}
                Ok(Adapted::Renumbered(config)) => {
                    let command = Command::AddSubscription(Box::new(config));
                    self.commands.push_back(command);
                }
                Ok(Adapted::Offer { sdp, .. }) => {
                    if let State::New(local) = &shared.state {
                        let leg = Leg::Shared(client);
                        let ice = local.ice();
                        self.commands.push_back(Command::Offer { leg, ice });
                    }
                    let subscription = id;
                    self.events.push_back(Event::Offer { subscription, sdp });
                }
                Err(reason) => self.close(Leg::Subscriber(id), reason),
            }
        }
    }

    /// An answer that nobody waits for is not an error.
    pub(super) fn shared_answer(&mut self, client: ClientId, id: SubscriptionId, sdp: &str) {
        let Some(shared) = self.shared.get_mut(&client) else {
            return;
        };
        if shared.out != Some(id) {
            return;
        }
        let before = shared.is_answered(id);
        let connected = shared.connected;
        match shared.take_answer(id, sdp) {
            Ok(config) => {
                let command = Command::AddSubscription(Box::new(config));
                self.commands.push_back(command);
                if connected && !before {
                    let leg = Leg::Subscriber(id);
                    self.events.push_back(Event::Connected { leg });
                }
            }
            Err(reason) => self.close(Leg::Subscriber(id), reason),
        }
        self.advance(client);
    }

    /// The client restarts ICE, by the name of one of its subscriptions.
    pub(super) fn shared_offer(&mut self, client: ClientId, id: SubscriptionId, sdp: &str) {
        let Some(shared) = self.shared.get_mut(&client) else {
            return;
        };
        let leg = Leg::Subscriber(id);
        match shared.take_offer(sdp, &self.local, &mut self.entropy) {
            Ok(None) => {}
            Ok(Some((sdp, restarted))) => {
                let restart = restarted.map(|ice| Command::RestartIce {
                    leg: Leg::Shared(client),
                    ice,
                });
                self.commands.extend(restart);
                self.events.push_back(Event::Answer { leg, sdp });
            }
            Err(reason) => self.close(leg, reason),
        }
    }

    /// A subscriber changed what it wants; whether the engine is to be told.
    pub(super) fn want_shared(
        &mut self,
        client: ClientId,
        id: SubscriptionId,
        wanted: Wanted,
    ) -> bool {
        let Some(shared) = self.shared.get_mut(&client) else {
            return false;
        };
        if let Some(member) = shared.members.get_mut(&id) {
            member.order.wanted = wanted;
        }
        shared.is_answered(id)
    }

    /// A shared peer connection is up: so are all subscriptions on it.
    pub(super) fn shared_connected(&mut self, client: ClientId) {
        let Some(shared) = self.shared.get_mut(&client) else {
            return;
        };
        shared.connected = true;
        for id in shared.members.keys().filter(|id| shared.is_answered(**id)) {
            let leg = Leg::Subscriber(*id);
            self.events.push_back(Event::Connected { leg });
        }
    }

    /// The engine gave a shared peer connection up, and with it all subscriptions on it.
    pub(super) fn shared_closed(&mut self, client: ClientId, reason: CloseReason) {
        let Some(shared) = self.shared.remove(&client) else {
            return;
        };
        for id in shared.members.into_keys() {
            self.sharing.remove(&id);
            let leg = Leg::Subscriber(id);
            self.events.push_back(Event::Closed { leg, reason });
        }
    }

    /// Takes a subscription, or all of a publication, off the shared peer connections. One that
    /// has none left ends.
    pub(super) fn unshare(&mut self, leg: Leg) {
        let gone = |order: &Order| match leg {
            Leg::Publisher(id) => order.publication == id,
            Leg::Subscriber(id) => order.id == id,
            Leg::Shared(_) => false,
        };
        let mut concerned = Vec::new();
        for (client, shared) in &mut self.shared {
            let members = shared.members.values().map(|member| member.order);
            let members: Vec<_> = members.filter(gone).collect();
            concerned.extend((!members.is_empty()).then_some(*client));
            for order in members {
                shared.remove(order.id);
                self.sharing.remove(&order.id);
            }
        }
        concerned.sort_unstable();
        for client in concerned {
            if self
                .shared
                .get(&client)
                .is_some_and(|s| s.members.is_empty())
            {
                self.shared.remove(&client);
                let end = Command::Remove(Leg::Shared(client));
                self.commands.push_back(end);
            }
            self.advance(client);
        }
    }
}
