//! Relayed streams: descriptions and candidates pass between two clients
//! (`protocol/signaling.md`, 13.2).

use super::Hub;
use super::effect::SessionKey;
use super::order::InOrder;
use super::request::Caller;
use super::session::Delivery;
use super::tell::Audience;
use crate::model::id::{ConnectionId, PeerId, StreamId, SubscriberId};
use crate::signaling::client::{Negotiation, NegotiationMessage};
use crate::signaling::error::Refusal;
use crate::signaling::json::RawJson;
use crate::signaling::server::{NegotiationId, RelayedKind, ServerEvent};
use crate::signaling::uri::Route;

/// The two directions of one peer connection between two clients.
#[derive(Debug, Default)]
pub(super) struct Relay {
    to_subscriber: InOrder<RawJson>,
    to_publisher: InOrder<RawJson>,
}

impl Hub {
    /// Asks the publisher for an offer to a new subscriber, in the subscriber's name.
    pub(super) fn start_relay(&mut self, key: SessionKey, id: StreamId, subscriber: SubscriberId) {
        let Some(stream) = self.session(key).streams.get(&id) else {
            return;
        };
        let Some(state) = stream.subscribers.get(&subscriber) else {
            return;
        };
        let between = (state.owner, stream.owner);
        self.ask_for_offer(key, (id, subscriber), state.peer, between);
    }

    /// Asks a publisher for an offer, in a subscriber's name.
    pub(super) fn ask_for_offer(
        &mut self,
        key: SessionKey,
        (id, subscriber): (StreamId, SubscriberId),
        peer: PeerId,
        (from, publisher): (ConnectionId, ConnectionId),
    ) {
        let route = Route::Relayed;
        let negotiation = NegotiationId {
            stream: id,
            subscriber: Some(subscriber),
            peer,
            route,
        };
        let event = ServerEvent::GenerateOffer {
            negotiation,
            simulcast: None,
        };
        self.tell_from(key, &from.to_string(), Audience::One(publisher), &event);
    }

    /// Passes one message of a negotiation on, and the candidates that waited for it.
    pub(super) fn relay(
        &mut self,
        caller: &Caller,
        subscriber: SubscriberId,
        negotiation: Negotiation,
    ) -> Result<(), Refusal> {
        let max = self.config.held_candidates;
        let Negotiation {
            stream: id,
            message,
            content,
            peer,
            ..
        } = negotiation;
        let session = self.session_mut(caller.session);
        let stream = session
            .streams
            .get_mut(&id)
            .ok_or(Refusal::StreamNotFound)?;
        let publisher = stream.owner;
        let state = stream
            .subscribers
            .get_mut(&subscriber)
            .ok_or(Refusal::NotFound)?;
        let direct = stream.adaptive.as_mut();
        let relay = match &mut state.media {
            Delivery::Relayed(relay) => Some(relay),
            Delivery::Held | Delivery::Routed(_) => {
                direct.and_then(|adaptive| adaptive.relay(subscriber, peer))
            }
        };
        let relay = relay.ok_or(Refusal::Conflict)?;
        let (order, to) = if caller.connection == publisher {
            (&mut relay.to_subscriber, state.owner)
        } else if caller.connection == state.owner {
            (&mut relay.to_publisher, publisher)
        } else {
            return Err(Refusal::Forbidden);
        };
        let is_answer = to == publisher && matches!(message, NegotiationMessage::Answer(_));
        let (description, candidates) = match message {
            NegotiationMessage::Offer(sdp) => {
                (Some((RelayedKind::Offer, content)), order.describe(&sdp))
            }
            NegotiationMessage::Answer(sdp) => {
                (Some((RelayedKind::Answer, content)), order.describe(&sdp))
            }
            NegotiationMessage::Candidate(line) => (
                None,
                order.candidate(&line, content, max).into_iter().collect(),
            ),
        };
        let candidates = candidates
            .into_iter()
            .map(|content| (RelayedKind::Candidate, content));
        let from = caller.connection.to_string();
        for (kind, content) in description.into_iter().chain(candidates) {
            let event = ServerEvent::Relayed {
                stream: id,
                subscriber,
                kind,
                content: &content,
            };
            self.tell_from(caller.session, &from, Audience::One(to), &event);
        }
        if is_answer {
            self.answered_directly(caller.session, id);
        }
        Ok(())
    }
}
