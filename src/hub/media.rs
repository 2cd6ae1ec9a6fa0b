//! Negotiation with the SFU: between clients and [`crate::sfu`] (`protocol/signaling.md`, 13.3,
//! 13.4 and 13.7).

use super::Hub;
use super::link::{LinkId, Stage};
use super::request::Caller;
use super::session::{Delivery, Source};
use super::tell::Audience;
use crate::model::id::SubscriberId;
use crate::sfu::{Event, GroupId, Leg, PublicationId, Request, Terms};
use crate::signaling::client::{Negotiation, NegotiationMessage};
use crate::signaling::error::Refusal;
use crate::signaling::server::{NegotiationId, Sdp, ServerEvent};
use crate::signaling::uri::Route;

/// Which description we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Description {
    Offer,
    Answer,
}

impl Hub {
    /// Passes a client's message to the SFU, or to the other client in a relayed session.
    pub(super) fn negotiate(
        &mut self,
        caller: &Caller,
        negotiation: Negotiation,
    ) -> Result<(), Refusal> {
        if negotiation.content.get().len() > self.config.description_bytes {
            return Err(Refusal::TooLarge);
        }
        let streams = &self.session(caller.session).streams;
        let stream = streams
            .get(&negotiation.stream)
            .ok_or(Refusal::StreamNotFound)?;
        let is_direct = match stream.source {
            Source::Routed { .. } => {
                stream.adaptive.is_some() && negotiation.route == Some(Route::Relayed)
            }
            Source::Relayed => true,
        };
        match negotiation.subscriber {
            None => self.negotiate_publisher(caller, negotiation),
            Some(id) if is_direct => self.relay(caller, id, negotiation),
            Some(id) => self.negotiate_subscriber(caller, id, negotiation),
        }
    }

    fn negotiate_publisher(
        &mut self,
        caller: &Caller,
        negotiation: Negotiation,
    ) -> Result<(), Refusal> {
        let stream = self.own_stream(caller, negotiation.stream)?;
        let Source::Routed {
            publication, peer, ..
        } = stream.source
        else {
            return Err(Refusal::Conflict);
        };
        if negotiation.peer.is_some_and(|named| named != peer) {
            return Err(Refusal::NotFound);
        }
        match negotiation.message {
            NegotiationMessage::Offer(sdp) => {
                let session = &self.session(caller.session).stored;
                let terms = Terms {
                    codecs: session.video_codecs.clone(),
                    encrypted: session.e2ee,
                    group: GroupId(caller.session.0),
                };
                let request = Request::PublisherOffer {
                    publication,
                    sdp,
                    terms,
                };
                self.media(caller.session, request);
                Ok(())
            }
            // We never offer here.
            NegotiationMessage::Answer(_) => Err(Refusal::Conflict),
            // We are ICE-lite: the client's checks show us its addresses.
            NegotiationMessage::Candidate(_) => Ok(()),
        }
    }

    fn negotiate_subscriber(
        &mut self,
        caller: &Caller,
        id: SubscriberId,
        negotiation: Negotiation,
    ) -> Result<(), Refusal> {
        let subscriber = self.own_subscriber(caller, negotiation.stream, id)?;
        // Nothing was offered yet, so there is nothing to talk about.
        let Delivery::Routed(subscription) = subscriber.media else {
            return Err(Refusal::Conflict);
        };
        if negotiation
            .peer
            .is_some_and(|named| named != subscriber.peer)
        {
            return Err(Refusal::NotFound);
        }
        let request = match negotiation.message {
            NegotiationMessage::Offer(sdp) => Request::SubscriberOffer { subscription, sdp },
            NegotiationMessage::Answer(sdp) => Request::SubscriberAnswer { subscription, sdp },
            NegotiationMessage::Candidate(_) => return Ok(()),
        };
        self.media(caller.session, request);
        Ok(())
    }

    /// Finds out whom an event of the SFU concerns. What is no longer there is silently over.
    pub(super) fn dispatch_media(&mut self, event: Event) {
        match event {
            Event::Offer { subscription, sdp } => {
                self.describe(Leg::Subscriber(subscription), Description::Offer, &sdp);
            }
            Event::Answer { leg, sdp } => self.describe(leg, Description::Answer, &sdp),
            Event::Connected {
                leg: Leg::Publisher(publication),
            } => {
                self.publisher_connected(publication);
            }
            Event::Connected {
                leg: Leg::Subscriber(subscription),
            } => {
                self.subscriber_connected(subscription);
            }
            Event::Renegotiate { publication } => self.ask_for_routed_offer(publication),
            Event::Fallback {
                subscription,
                state,
            } => self.downlink_changed(subscription, state),
            // For composition, which does not exist yet; clients find out by themselves.
            Event::Speaker { .. } => {}
            Event::Closed {
                leg: Leg::Publisher(publication),
                ..
            } => {
                self.publisher_closed(publication);
            }
            Event::Closed {
                leg: Leg::Subscriber(subscription),
                ..
            } => {
                self.subscriber_closed(subscription);
            }
            // We are told of each subscription on it.
            Event::Connected {
                leg: Leg::Shared(_),
            }
            | Event::Closed {
                leg: Leg::Shared(_),
                ..
            } => {}
        }
    }

    /// A client has come back: where it lost its websocket it may have lost the way of its media, and
    /// it would only find that out by and by.
    pub(super) fn watch_legs(&mut self, link: LinkId) {
        let Some(&Stage::Joined(key, id)) = self.links.stage(link) else {
            return;
        };
        let session = self.session(key);
        let Some(connection) = session.connections.get(&id) else {
            return;
        };
        let published = |id| match session.streams.get(id)?.source {
            Source::Routed {
                publication,
                connected: true,
                ..
            } => Some(Leg::Publisher(publication)),
            _ => None,
        };
        let subscribed = |(stream, id)| {
            let subscriber = session.streams.get(stream)?.subscribers.get(id)?;
            match subscriber.media {
                Delivery::Routed(id) if subscriber.connected => Some(Leg::Subscriber(id)),
                _ => None,
            }
        };
        let published = connection.streams.iter().filter_map(published);
        let subscriptions = connection.subscriptions.iter();
        let subscribed = subscriptions.filter_map(|(stream, id)| subscribed((stream, id)));
        let legs: Vec<_> = published.chain(subscribed).collect();
        for leg in legs {
            self.media(key, Request::Watch { leg });
        }
    }

    /// Asks a publisher for an offer on the leg it has (13.3).
    pub(super) fn ask_for_routed_offer(&mut self, publication: PublicationId) {
        let Some(&(key, id)) = self.publications.get(&publication) else {
            return;
        };
        let Some(stream) = self.session(key).streams.get(&id) else {
            return;
        };
        let Source::Routed { peer, .. } = stream.source else {
            return;
        };
        let owner = stream.owner;
        let event = ServerEvent::GenerateOffer {
            negotiation: NegotiationId {
                stream: id,
                subscriber: None,
                peer,
                route: Route::Routed,
            },
            simulcast: Some(self.config.simulcast),
        };
        self.tell(key, Audience::One(owner), &event);
    }

    /// Sends a client a description of the SFU's.
    fn describe(&mut self, leg: Leg, description: Description, sdp: &str) {
        let place = match leg {
            Leg::Publisher(id) => self
                .publications
                .get(&id)
                .map(|&(k, stream)| (k, stream, None)),
            Leg::Subscriber(id) => self
                .subscriptions
                .get(&id)
                .map(|&(k, stream, id)| (k, stream, Some(id))),
            Leg::Shared(_) => None,
        };
        let Some((key, id, subscriber)) = place else {
            return;
        };
        let Some(stream) = self.session(key).streams.get(&id) else {
            return;
        };
        let end = match (subscriber, stream.source) {
            (Some(id), _) => stream.subscribers.get(&id).map(|s| (s.owner, s.peer)),
            (None, Source::Routed { peer, .. }) => Some((stream.owner, peer)),
            (None, Source::Relayed) => None,
        };
        let Some((owner, peer)) = end else { return };
        let negotiation = NegotiationId {
            stream: id,
            subscriber,
            peer,
            route: Route::Routed,
        };
        let sdp = Sdp(sdp);
        let event = match description {
            Description::Offer => ServerEvent::Offer { negotiation, sdp },
            Description::Answer => ServerEvent::Answer { negotiation, sdp },
        };
        self.tell(key, Audience::One(owner), &event);
    }
}
