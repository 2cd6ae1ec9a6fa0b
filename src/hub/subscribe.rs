//! Subscribing and unsubscribing (`protocol/signaling.md`, 9 and 13.4).

use std::time::Instant;

use super::Hub;
use super::effect::SessionKey;
use super::relay::Relay;
use super::request::Caller;
use super::session::{Delivery, Source, Subscriber};
use super::tell::Audience;
use crate::model::id::{PeerId, StreamId, SubscriberId};
use crate::model::role::Capability;
use crate::sfu::{ClientId, Fallback, Request, SubscriptionId, Wanted};
use crate::signaling::channel::{Channel, VideoSource};
use crate::signaling::client::{SubscriberChannelUpdate, SubscriberCreate, SubscriberDelete, Wish};
use crate::signaling::error::Refusal;
use crate::signaling::server::ServerEvent;
use crate::signaling::uri::Route;

impl Hub {
    /// A client wants a stream. Negotiation starts from our side, or from the publisher's.
    pub(super) fn subscribe(
        &mut self,
        caller: &Caller,
        request: &SubscriberCreate,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.permit(caller, Capability::Subscribe)?;
        let (stream_id, id) = (request.stream, request.subscriber);
        let session = self.session(caller.session);
        let stream = session
            .streams
            .get(&stream_id)
            .ok_or(Refusal::StreamNotFound)?;
        if request.route == Some(Route::Relayed) && stream.adaptive.is_some() {
            return self.subscribe_directly(caller, (stream_id, id), now);
        }
        if stream.subscribers.contains_key(&id) {
            return Err(Refusal::Conflict);
        }
        let own = session
            .connections
            .get(&caller.connection)
            .map_or(0, |c| c.subscriptions.len());
        if own >= self.config.subscriptions_per_connection {
            return Err(Refusal::StreamLimitExceeded);
        }
        if request.e2ee != stream.description.e2ee {
            return Err(Refusal::IncompatibleEncryption);
        }
        if request
            .route
            .is_some_and(|route| route != stream.source.route())
        {
            // A way the stream's media does not take (13.10).
            return Err(Refusal::Conflict);
        }
        let source = stream.source;
        let audio_fallback = stream.description.subscriber_audio_fallback;
        let mut subscriber = Subscriber {
            owner: caller.connection,
            peer: PeerId(self.entropy.uuid()),
            wanted: Wanted {
                audio_fallback,
                ..Wanted::default()
            },
            captions: false,
            sender_stats: false,
            congestion: Fallback::default(),
            downlink: Fallback::default(),
            media: match source {
                Source::Relayed => Delivery::Relayed(Relay::default()),
                Source::Routed { .. } => Delivery::Held,
            },
            connected: false,
        };
        for channel in &request.channels {
            subscriber.apply(channel.id, &channel.wish);
        }
        self.accept_create(caller, id.0, now);
        let session = self.session_mut(caller.session);
        if let Some(stream) = session.streams.get_mut(&stream_id) {
            stream.subscribers.insert(id, subscriber);
        }
        if let Some(connection) = session.connections.get_mut(&caller.connection) {
            connection.subscriptions.insert((stream_id, id));
        }
        self.touch(caller.session, stream_id);
        match source {
            Source::Relayed => self.start_relay(caller.session, stream_id, id),
            Source::Routed {
                connected: true, ..
            } => {
                self.start_subscription(caller.session, stream_id, id);
            }
            Source::Routed {
                connected: false, ..
            } => {}
        }
        Ok(())
    }

    /// Asks the SFU to serve a subscriber.
    pub(super) fn start_subscription(
        &mut self,
        key: SessionKey,
        stream_id: StreamId,
        id: SubscriberId,
    ) {
        let subscription = SubscriptionId(self.number());
        let session = self.session_mut(key);
        let Some(stream) = session.streams.get_mut(&stream_id) else {
            return;
        };
        let screen = stream.video() == Some(VideoSource::Screen);
        let Source::Routed { publication, .. } = stream.source else {
            return;
        };
        let Some(subscriber) = stream.subscribers.get_mut(&id) else {
            return;
        };
        let Some(owner) = session.connections.get(&subscriber.owner) else {
            return;
        };
        subscriber.media = Delivery::Routed(subscription);
        let wanted = subscriber.wanted;
        let (client, shared) = (ClientId(owner.number), owner.shares_leg);
        self.subscriptions
            .insert(subscription, (key, stream_id, id));
        self.media(
            key,
            Request::Subscribe {
                subscription,
                client,
                shared,
                publication,
                screen,
                wanted,
            },
        );
    }

    /// A client no longer wants a stream. That it is gone already is fine (9.2).
    pub(super) fn unsubscribe(
        &mut self,
        caller: &Caller,
        request: SubscriberDelete,
        now: Instant,
    ) -> Result<(), Refusal> {
        let SubscriberDelete {
            stream: stream_id,
            subscriber: id,
            route,
        } = request;
        let stream = self.session(caller.session).streams.get(&stream_id);
        if route == Some(Route::Relayed) && stream.is_some_and(|s| s.adaptive.is_some()) {
            return self.unsubscribe_directly(caller, (stream_id, id), now);
        }
        if let Some(stream) = stream
            && route.is_some_and(|route| route != stream.source.route())
        {
            // Not the way its media takes (13.10): what is to end is not there.
            return Ok(());
        }
        match self.own_subscriber(caller, stream_id, id) {
            Ok(_) => {
                self.accept(caller, now);
                self.end_subscriber(caller.session, stream_id, id);
                Ok(())
            }
            Err(Refusal::Forbidden) => Err(Refusal::Forbidden),
            Err(_) => Ok(()),
        }
    }

    /// Ends a subscription. The publisher of a relayed stream is told, so that it closes its peer
    /// connection.
    pub(super) fn end_subscriber(
        &mut self,
        key: SessionKey,
        stream_id: StreamId,
        id: SubscriberId,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(stream) = session.streams.get_mut(&stream_id) else {
            return;
        };
        let Some(subscriber) = stream.subscribers.remove(&id) else {
            return;
        };
        let publisher = stream.owner;
        if let Some(owner) = session.connections.get_mut(&subscriber.owner) {
            owner.subscriptions.remove(&(stream_id, id));
        }
        self.touch(key, stream_id);
        match subscriber.media {
            Delivery::Held => {}
            Delivery::Routed(subscription) => {
                if self.subscriptions.remove(&subscription).is_some() {
                    self.media(key, Request::Unsubscribe { subscription });
                }
            }
            Delivery::Relayed(_) => {
                let from = subscriber.owner.to_string();
                let event = ServerEvent::SubscriberDeleted {
                    stream: stream_id,
                    subscriber: id,
                };
                self.tell_from(key, &from, Audience::One(publisher), &event);
            }
        }
    }

    /// A subscriber's leg is up. The client sees by itself that media flows.
    pub(super) fn subscriber_connected(&mut self, subscription: SubscriptionId) {
        let Some(&(key, stream, id)) = self.subscriptions.get(&subscription) else {
            return;
        };
        let stream_state = self.session_mut(key).streams.get_mut(&stream);
        if let Some(subscriber) = stream_state.and_then(|s| s.subscribers.get_mut(&id)) {
            subscriber.connected = true;
            self.touch(key, stream);
        }
    }

    /// The SFU has given a subscriber's leg up: the client is told, and may subscribe again.
    pub(super) fn subscriber_closed(&mut self, subscription: SubscriptionId) {
        let Some((key, stream_id, id)) = self.subscriptions.remove(&subscription) else {
            return;
        };
        let Some(stream) = self.session(key).streams.get(&stream_id) else {
            return;
        };
        let Some(owner) = stream.subscribers.get(&id).map(|s| s.owner) else {
            return;
        };
        self.end_subscriber(key, stream_id, id);
        let event = ServerEvent::SubscriberDeleted {
            stream: stream_id,
            subscriber: id,
        };
        self.tell(key, Audience::One(owner), &event);
    }

    /// A subscriber changed what it wants. Nobody is told but the SFU.
    pub(super) fn update_subscriber(
        &mut self,
        caller: &Caller,
        update: &SubscriberChannelUpdate,
    ) -> Result<(), Refusal> {
        let (stream_id, id) = (update.stream, update.subscriber);
        self.own_subscriber(caller, stream_id, id)?;
        let session = self.session_mut(caller.session);
        let stream = session.streams.get_mut(&stream_id);
        let subscriber = stream.and_then(|stream| stream.subscribers.get_mut(&id));
        let subscriber = subscriber.ok_or(Refusal::NotFound)?;
        let before = subscriber.wanted;
        subscriber.apply(update.channel, &update.wish);
        let wanted = subscriber.wanted;
        let resumes = update.channel == Channel::Video
            && !update.wish.automatic
            && update.wish.active == Some(true);
        let refused = resumes && subscriber.told() == Fallback::AudioOnly;
        if let Delivery::Routed(subscription) = subscriber.media
            && wanted != before
        {
            self.media(
                caller.session,
                Request::Update {
                    subscription,
                    wanted,
                },
            );
        }
        if refused {
            // Its application asks for video in spite of the network: it is still not there.
            let event = ServerEvent::VideoSwitch {
                stream: stream_id,
                subscriber: id,
                active: false,
            };
            self.tell(caller.session, Audience::One(caller.connection), &event);
        }
        Ok(())
    }

    /// A subscriber that belongs to the caller.
    pub(super) fn own_subscriber(
        &self,
        caller: &Caller,
        stream_id: StreamId,
        id: SubscriberId,
    ) -> Result<&Subscriber, Refusal> {
        let stream = self.session(caller.session).streams.get(&stream_id);
        let stream = stream.ok_or(Refusal::StreamNotFound)?;
        let subscriber = stream.subscribers.get(&id).ok_or(Refusal::NotFound)?;
        let own = subscriber.owner == caller.connection;
        own.then_some(subscriber).ok_or(Refusal::Forbidden)
    }
}

impl Subscriber {
    /// Takes over what is wanted of a channel (9.3); 0 means no preference.
    fn apply(&mut self, channel: Channel, wish: &Wish) {
        match channel {
            Channel::Audio => set(&mut self.wanted.audio, wish.active),
            Channel::Captions => set(&mut self.captions, wish.active),
            Channel::DownlinkStats => set(&mut self.sender_stats, wish.active),
            Channel::Video => {
                // What a client does because we told it to (13.8) is not what it wants.
                set(
                    &mut self.wanted.video,
                    wish.active.filter(|_| !wish.automatic),
                );
                set(
                    &mut self.wanted.restrict_frame_rate,
                    wish.restrict_frame_rate,
                );
                if let Some(rate) = wish.preferred_frame_rate {
                    self.wanted.frame_rate = (rate > 0).then_some(rate);
                }
                if let (Some(width), Some(height)) = (wish.preferred_width, wish.preferred_height) {
                    self.wanted.resolution = (width > 0 && height > 0).then_some((width, height));
                }
            }
        }
    }
}

fn set(target: &mut bool, value: Option<bool>) {
    if let Some(value) = value {
        *target = value;
    }
}
