//! Our offers to a subscriber, its answers, and its own offers when it restarts ICE.

use super::numbers::{MidStyle, Numbers};
use super::outgoing::{Outgoing, payload_types, plan, section, sections};
use super::publisher::Track;
use super::transport::{Local, Remote, Transport};
use crate::entropy::Entropy;
use crate::sfu::command::{
    Generation, IceCredentials, LocalEndpoint, OutboundTrackConfig, SubscriptionConfig,
    TransportConfig,
};
use crate::sfu::sdp::{SessionDescription, Setup};
use crate::sfu::{ClientId, CloseReason, PublicationId, SubscriptionId, Wanted};

/// What a subscription was asked for with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) id: SubscriptionId,
    pub(super) client: ClientId,
    pub(super) shared: bool,
    pub(super) publication: PublicationId,
    pub(super) screen: bool,
    pub(super) wanted: Wanted,
}

impl Order {
    /// What the engine must know.
    pub(super) fn config(
        &self,
        transport: TransportConfig,
        tracks: Vec<OutboundTrackConfig>,
    ) -> SubscriptionConfig {
        SubscriptionConfig {
            id: self.id,
            client: self.client,
            shared: self.shared,
            publication: self.publication,
            screen: self.screen,
            transport,
            wanted: self.wanted,
            tracks,
        }
    }
}

/// What was offered to, or agreed with, one subscriber on a peer connection of its own.
#[derive(Debug)]
pub(super) struct Subscription {
    order: Order,
    state: State,
    /// Canonical name and stream id.
    stream: String,
    numbers: Numbers,
    /// One for each `m=` line, in order.
    outgoing: Vec<Outgoing>,
    /// What a later offer that is out says, to take its place.
    proposed: Option<Vec<Outgoing>>,
    /// Whether it restarts ICE.
    restarts: bool,
    /// Why the answer is not the end of it.
    next: Next,
}

#[derive(Debug)]
enum State {
    /// Our offer is out; the engine knows nothing yet.
    Offered(Local),
    /// The engine has the subscription.
    Answered(Transport),
}

/// What is to be done once the offer that is out has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Nothing,
    /// The publisher's tracks have changed meanwhile.
    Adapt,
    /// ICE is to be restarted: nothing comes any more, or the subscriber wanted to and gave that up
    /// for our offer.
    Restart,
}

/// What follows from a change of the publisher's tracks.
#[derive(Debug)]
pub(super) enum Adapted {
    /// Nothing, or nothing yet.
    Unchanged,
    /// Only the publisher's numbers are others.
    Renumbered(SubscriptionConfig),
    /// The subscriber has to agree to this.
    Offer {
        sdp: String,
        /// New credentials, if it restarts ICE.
        restarted: Option<IceCredentials>,
    },
}

impl Subscription {
    /// Offers what a publication has, with these credentials.
    pub(super) fn create(
        order: Order,
        tracks: &[Track],
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Result<(Self, String, IceCredentials), CloseReason> {
        let mut local = Local::new(endpoint.worker, entropy);
        let mut numbers = Numbers::new(MidStyle::Plain);
        let stream = entropy.uuid().to_string();
        let outgoing = plan(&[], tracks, &stream, &mut numbers, entropy);
        if outgoing.is_empty() {
            return Err(CloseReason::NothingInCommon);
        }
        let offer = local.describe(sections(&outgoing), true, Setup::ActPass, endpoint);
        let ice = local.ice();
        let subscription = Self {
            order,
            state: State::Offered(local),
            stream,
            numbers,
            outgoing,
            proposed: None,
            restarts: false,
            next: Next::Nothing,
        };
        Ok((subscription, offer, ice))
    }

    /// Goes along with the publisher's tracks as they are now. One offer is out at a time; what
    /// changes meanwhile waits for its answer.
    pub(super) fn adapt(
        &mut self,
        tracks: &[Track],
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Adapted {
        if self.awaits_answer() {
            self.next = self.next.max(Next::Adapt);
            return Adapted::Unchanged;
        }
        let next = std::mem::replace(&mut self.next, Next::Nothing);
        let numbers = &mut self.numbers;
        let planned = plan(&self.outgoing, tracks, &self.stream, numbers, entropy);
        let State::Answered(transport) = &mut self.state else {
            return Adapted::Unchanged;
        };
        let mut restarted = None;
        if next == Next::Restart {
            transport.local.restart(entropy);
            restarted = Some(transport.local.ice());
            self.restarts = true;
        } else if sections(&planned) == sections(&self.outgoing) {
            let renumbered = payload_types(&planned) != payload_types(&self.outgoing);
            self.outgoing = planned;
            return match self.config() {
                Some(config) if renumbered => Adapted::Renumbered(config),
                _ => Adapted::Unchanged,
            };
        }
        let sdp = transport
            .local
            .describe(sections(&planned), true, Setup::ActPass, endpoint);
        self.proposed = Some(planned);
        Adapted::Offer { sdp, restarted }
    }

    /// Has our next offer restart ICE, unless the one that is out does; what follows is
    /// [`Self::adapt`].
    pub(super) fn restart(&mut self) {
        if !self.restarts {
            self.next = Next::Restart;
        }
    }

    /// Offers the same as before, under another certificate; `None` while an offer is out.
    pub(super) fn rekey(&mut self, endpoint: &LocalEndpoint) -> Option<(Generation, String)> {
        if self.awaits_answer() {
            return None;
        }
        let State::Answered(transport) = &mut self.state else {
            return None;
        };
        let generation = transport.local.rekey();
        let sections = sections(&self.outgoing);
        let local = &mut transport.local;
        let offer = local.describe(sections, true, Setup::ActPass, endpoint);
        self.proposed = Some(self.outgoing.clone());
        Some((generation, offer))
    }

    /// Takes the answer to our offer. What it refused, or left out, is not sent.
    pub(super) fn take_answer(&mut self, sdp: &str) -> Result<SubscriptionConfig, CloseReason> {
        let answer = SessionDescription::parse(sdp).map_err(|_| CloseReason::MalformedSdp)?;
        self.restarts = false;
        if let Some(proposed) = self.proposed.take() {
            self.outgoing = proposed;
        }
        for outgoing in &mut self.outgoing {
            outgoing.settle(section(&answer, outgoing));
        }
        let mut answered = self.outgoing.iter().filter(|o| o.is_agreed());
        let head = answered.find_map(|outgoing| section(&answer, outgoing));
        let head = head.ok_or(CloseReason::NothingInCommon)?;
        if head.setup == Some(Setup::Passive) {
            // Somebody must begin the handshake, and we do not.
            return Err(CloseReason::NothingInCommon);
        }
        let remote = Remote::of(head)?;
        match &mut self.state {
            State::Offered(local) => {
                self.state = State::Answered(Transport::new(local.clone(), remote));
            }
            State::Answered(transport) => transport.agree(remote)?,
        }
        self.config().ok_or(CloseReason::Unknown)
    }

    /// Answers the subscriber's own offer (`protocol/signaling.md`, 13.7). Mids, payload types,
    /// SSRCs, certificate and DTLS role stay; new credentials, if it restarts ICE.
    ///
    /// There is no answer while an offer of ours is out: the subscriber gives up its own for it
    /// (RFC 8829, 4.1.10.2), so ICE is restarted by our next one, unless by that one.
    pub(super) fn take_offer(
        &mut self,
        sdp: &str,
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Result<Option<(String, Option<IceCredentials>)>, CloseReason> {
        let awaits_answer = self.awaits_answer();
        let State::Answered(transport) = &mut self.state else {
            return Err(CloseReason::Unknown);
        };
        let offer = SessionDescription::parse(sdp).map_err(|_| CloseReason::MalformedSdp)?;
        if awaits_answer {
            self.restart();
            return Ok(None);
        }
        let mut sections = Vec::new();
        for offered in &offer.sections {
            let ours = self.outgoing.iter().find(|o| o.section.mid == offered.mid);
            sections.push(match ours {
                Some(outgoing) if !offered.rejected => outgoing.answer(offered),
                _ => offered.refused(),
            });
        }
        let head = sections.iter().position(|section| !section.rejected);
        let head = head.ok_or(CloseReason::NothingInCommon)?;
        let head = &offer.sections[head];
        let restarted = transport.renew(Remote::of(head)?, entropy)?;
        let bundle = offer.bundle.contains(&head.mid);
        let answer = transport
            .local
            .describe(sections, bundle, Setup::Passive, endpoint);
        Ok(Some((answer, restarted)))
    }

    pub(super) fn want(&mut self, wanted: Wanted) {
        self.order.wanted = wanted;
    }

    pub(super) fn publication(&self) -> PublicationId {
        self.order.publication
    }

    /// Whether the engine has it.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }

    /// Whether an offer of ours is out.
    pub(super) fn awaits_answer(&self) -> bool {
        self.proposed.is_some() || !self.is_answered()
    }

    /// Whether the next answer, or the last one, leaves something to do.
    pub(super) fn is_unfinished(&self) -> bool {
        self.next != Next::Nothing
    }

    fn config(&self) -> Option<SubscriptionConfig> {
        let State::Answered(transport) = &self.state else {
            return None;
        };
        let tracks = self.outgoing.iter().filter_map(Outgoing::config);
        Some(self.order.config(transport.config(), tracks.collect()))
    }
}
