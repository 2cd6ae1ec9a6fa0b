//! Publishing and unpublishing (`protocol/signaling.md`, 8 and 13.3).

use std::time::Instant;

use super::Hub;
use super::adaptive::Adaptive;
use super::effect::{NoticeEvent, SessionKey};
use super::leave::reason;
use super::request::Caller;
use super::session::{Delivery, Source, Stream};
use super::tell::Audience;
use crate::model::id::{PeerId, StreamId};
use crate::model::role::Capability;
use crate::model::session::MediaMode;
use crate::sfu::{PublicationId, Request};
use crate::signaling::client::{StreamCreate, StreamDelete};
use crate::signaling::error::Refusal;
use crate::signaling::server::ServerEvent;
use crate::signaling::uri::Route;

impl Hub {
    /// A client starts to publish. A relayed stream is announced at once, a routed one when its
    /// media connection is up (8.2).
    pub(super) fn publish(
        &mut self,
        caller: &Caller,
        request: StreamCreate,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.permit(caller, Capability::Publish)?;
        if request.route == Some(Route::Relayed)
            && self.publish_directly(caller, request.stream, now)
        {
            return Ok(());
        }
        self.check_publish(caller, &request)?;
        let (key, id) = (caller.session, request.stream);
        let mode = self.session(key).stored.media_mode;
        let source = match mode {
            MediaMode::Relayed => Source::Relayed,
            MediaMode::Routed | MediaMode::Adaptive => Source::Routed {
                publication: PublicationId(self.number()),
                peer: PeerId(self.entropy.uuid()),
                connected: false,
            },
        };
        let owner = self.session(key).connections.get(&caller.connection);
        let layout_classes = owner.map(|owner| owner.layout_classes.clone());
        let stream = Stream {
            owner: caller.connection,
            created_at_ms: self.epoch.unix_ms(now),
            announced: false,
            description: request,
            source,
            layout_classes: layout_classes.unwrap_or_default(),
            adaptive: Adaptive::of(mode, &self.config),
            subscribers: Default::default(),
        };
        self.accept_create(caller, id.0, now);
        let session = self.session_mut(key);
        session.streams.insert(id, stream);
        if let Some(owner) = session.connections.get_mut(&caller.connection) {
            owner.streams.insert(id);
        }
        match source {
            Source::Relayed => self.announce(key, id),
            Source::Routed { publication, .. } => {
                self.publications.insert(publication, (key, id));
                self.ask_for_routed_offer(publication);
            }
        }
        Ok(())
    }

    fn check_publish(&self, caller: &Caller, request: &StreamCreate) -> Result<(), Refusal> {
        let session = self.session(caller.session);
        let own = session
            .connections
            .get(&caller.connection)
            .map_or(0, |c| c.streams.len());
        if session.streams.contains_key(&request.stream) {
            return Err(Refusal::Conflict);
        }
        if session.streams.len() >= self.config.streams_per_session
            || own >= self.config.streams_per_connection
        {
            return Err(Refusal::StreamLimitExceeded);
        }
        if request.e2ee != session.stored.e2ee {
            return Err(Refusal::IncompatibleEncryption);
        }
        Ok(())
    }

    /// Tells everybody of a stream.
    fn announce(&mut self, key: SessionKey, id: StreamId) {
        let Some(stream) = self.session_mut(key).streams.get_mut(&id) else {
            return;
        };
        stream.announced = true;
        let route = stream.source.route();
        self.tell_of_stream(key, id, Audience::All, route);
        let session = self.session(key);
        let stream = session.streams.get(&id);
        if let Some(stream) = stream.and_then(|stream| session.stream_facts(id, stream)) {
            self.notice(key, NoticeEvent::StreamCreated { stream });
        }
    }

    /// The publisher's leg is up: the stream can be announced, and whoever waited be served.
    pub(super) fn publisher_connected(&mut self, publication: PublicationId) {
        let Some(&(key, id)) = self.publications.get(&publication) else {
            return;
        };
        let Some(stream) = self.session_mut(key).streams.get_mut(&id) else {
            return;
        };
        if let Source::Routed { connected, .. } = &mut stream.source {
            *connected = true;
        }
        let waiting: Vec<_> = stream
            .subscribers
            .iter()
            .filter(|(_, subscriber)| matches!(subscriber.media, Delivery::Held))
            .map(|(id, _)| *id)
            .collect();
        if !stream.announced {
            self.announce(key, id);
        }
        for subscriber in waiting {
            self.start_subscription(key, id, subscriber);
        }
    }

    /// The SFU has given the publisher's leg up.
    pub(super) fn publisher_closed(&mut self, publication: PublicationId) {
        if let Some((key, id)) = self.publications.remove(&publication) {
            // Who has lost the network, too, has lost both to it; the others hear one reason.
            let session = self.session(key);
            let owner = session.streams.get(&id).map(|stream| stream.owner);
            let owner = owner.and_then(|owner| session.connections.get(&owner));
            let away = owner.is_some_and(|owner| self.links.is_away(owner.link));
            let reason = if away { reason::NETWORK } else { reason::MEDIA };
            self.end_stream(key, id, reason);
        }
    }

    /// A client deletes a stream: its own, or as a moderator another's.
    pub(super) fn unpublish(
        &mut self,
        caller: &Caller,
        request: StreamDelete,
        now: Instant,
    ) -> Result<(), Refusal> {
        let StreamDelete { stream: id, route } = request;
        let stream = self.session(caller.session).streams.get(&id);
        let stream = stream.ok_or(Refusal::StreamNotFound)?;
        if route == Some(Route::Relayed) && stream.adaptive.is_some() {
            return self.unpublish_directly(caller, id, now);
        }
        if route.is_some_and(|route| route != stream.source.route()) {
            // The way of the media that ends is one the stream does not have (13.10).
            return Err(Refusal::NotFound);
        }
        let reason = if stream.owner == caller.connection {
            reason::CLIENT
        } else if stream.announced {
            self.permit(caller, Capability::ForceUnpublish)?;
            reason::UNPUBLISHED
        } else {
            return Err(Refusal::StreamNotFound);
        };
        self.accept(caller, now);
        self.end_stream(caller.session, id, reason);
        Ok(())
    }

    /// A stream that belongs to the caller.
    pub(super) fn own_stream(&self, caller: &Caller, id: StreamId) -> Result<&Stream, Refusal> {
        let stream = self.session(caller.session).streams.get(&id);
        let stream = stream.ok_or(Refusal::StreamNotFound)?;
        (stream.owner == caller.connection)
            .then_some(stream)
            .ok_or(Refusal::Forbidden)
    }

    /// Ends a stream and every subscription to it. Everybody is told, the owner included; only
    /// the owner if nobody else knew of it.
    pub(super) fn end_stream(&mut self, key: SessionKey, id: StreamId, reason: &'static str) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(stream) = session.streams.remove(&id) else {
            return;
        };
        let connection = stream.owner;
        if let Some(owner) = session.connections.get_mut(&connection) {
            owner.streams.remove(&id);
        }
        self.strike(key, id, &stream);
        self.forget_subscribers(key, id, &stream);
        if let Source::Routed { publication, .. } = stream.source
            && self.publications.remove(&publication).is_some()
        {
            self.media(key, Request::Unpublish { publication });
        }
        let event = ServerEvent::StreamDeleted {
            stream: id,
            reason,
            route: None,
        };
        if stream.announced {
            self.tell(key, Audience::All, &event);
            if let Some(stream) = self.session(key).stream_facts(id, &stream) {
                self.notice(key, NoticeEvent::StreamDestroyed { stream, reason });
            }
        } else {
            self.tell(key, Audience::One(connection), &event);
        }
    }

    /// The subscriptions of a stream that has ended. The SFU ends its own with the publication,
    /// and clients theirs with the stream.
    fn forget_subscribers(&mut self, key: SessionKey, id: StreamId, stream: &Stream) {
        for (subscriber, state) in &stream.subscribers {
            if let Delivery::Routed(subscription) = state.media {
                self.subscriptions.remove(&subscription);
            }
            if let Some(owner) = self.session_mut(key).connections.get_mut(&state.owner) {
                owner.subscriptions.remove(&(id, *subscriber));
            }
        }
    }
}
