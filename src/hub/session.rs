//! One live session: its connections, its streams and who subscribes to what. State and look-ups
//! only; what happens to it is in the verbs' files.

use std::collections::{BTreeMap, BTreeSet};

use super::adaptive::Adaptive;
use super::archive::Archive;
use super::bucket::Bucket;
use super::effect::StreamFacts;
use super::link::LinkId;
use super::relay::Relay;
use crate::model;
use crate::model::id::{ConnectionId, PeerId, StreamId, SubscriberId};
use crate::sfu::{Fallback, PublicationId, SubscriptionId, Wanted};
use crate::signaling::channel::{ChannelKind, VideoSource};
use crate::signaling::client::StreamCreate;
use crate::signaling::object::{ConnectionObject, MuteState, Owner, SessionState, StreamObject};
use crate::signaling::uri::Route;

/// A session with at least one connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) stored: model::session::Session,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    /// Whether whoever publishes from now on starts muted (`protocol/signaling.md`, 11).
    pub(super) mute_on_entry: bool,
    /// What is being recorded, in the order in which it began.
    pub(super) archives: Vec<Archive>,
}

/// A token, kept to recognise its bearer. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bearer(pub(super) String);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// One client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) link: LinkId,
    /// As clients see it.
    pub(super) object: ConnectionObject,
    /// Where it stands among those who came in the same millisecond.
    pub(super) number: u64,
    /// What it joined with, until it knows that it has.
    pub(super) bearer: Option<Bearer>,
    /// Its application does not want to hear of other connections.
    pub(super) events_suppressed: bool,
    /// It can take part in moving a stream of an adaptive session.
    pub(super) adaptive: bool,
    /// All that it receives from the SFU comes over one peer connection
    /// (`protocol/signaling.md`, 13.9).
    pub(super) shares_leg: bool,
    pub(super) signals: Bucket,
    pub(super) streams: BTreeSet<StreamId>,
    pub(super) subscriptions: BTreeSet<(StreamId, SubscriberId)>,
    /// What its streams start with, from its token.
    pub(super) layout_classes: Vec<String>,
}

/// One published stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) owner: ConnectionId,
    pub(super) created_at_ms: i64,
    /// Whether the others know of it.
    pub(super) announced: bool,
    pub(super) description: StreamCreate,
    pub(super) source: Source,
    /// How it is laid out in recordings and broadcasts; a back end's business.
    pub(super) layout_classes: Vec<String>,
    /// Present if it may move between the SFU and a direct leg.
    pub(super) adaptive: Option<Adaptive>,
    pub(super) subscribers: BTreeMap<SubscriberId, Subscriber>,
}

/// Where a stream's media comes from. A stream of an adaptive session is a routed one, which may
/// have a direct leg in addition; see [`Adaptive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From the SFU.
    Routed {
        /// The stream's number there.
        publication: PublicationId,
        /// Names the publisher's leg.
        peer: PeerId,
        /// Whether the leg has been up.
        connected: bool,
    },
    /// From the publisher's browser, one peer connection for each subscriber.
    Relayed,
}

/// One subscriber object of one client.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) owner: ConnectionId,
    /// Names the leg.
    pub(super) peer: PeerId,
    pub(super) wanted: Wanted,
    pub(super) captions: bool,
    pub(super) sender_stats: bool,
    /// How far its video is given up for the publisher's network, and for its own.
    pub(super) congestion: Fallback,
    pub(super) downlink: Fallback,
    pub(super) media: Delivery,
    /// Whether its leg to the SFU has been up.
    pub(super) connected: bool,
}

/// How a subscriber gets its media.
#[derive(Debug)]
pub(super) enum Delivery {
    /// Not yet: the publisher's leg is not up.
    Held,
    /// From the SFU.
    Routed(SubscriptionId),
    /// From the publisher's browser.
    Relayed(Relay),
}

impl Session {
    /// A session before its first connection.
    pub(super) fn new(stored: model::session::Session) -> Self {
        Self {
            stored,
            connections: BTreeMap::new(),
            streams: BTreeMap::new(),
            mute_on_entry: false,
            archives: Vec::new(),
        }
    }

    /// Everything a newcomer is told, in the order in which it came about. A newcomer that does
    /// not want to hear of other connections only gets its own; streams name their owners.
    pub(super) fn state_for(&self, newcomer: ConnectionId) -> SessionState<'_> {
        let suppressed = self
            .connections
            .get(&newcomer)
            .is_some_and(|c| c.events_suppressed);
        let mut connections: Vec<_> = self
            .connections
            .values()
            .filter(|connection| !suppressed || connection.object.id == newcomer)
            .collect();
        connections.sort_by_key(|connection| connection.number);
        let mut streams: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.announced)
            .collect();
        streams.sort_by_key(|(_, stream)| stream.created_at_ms);
        SessionState {
            id: &self.stored.id,
            connections: connections
                .into_iter()
                .map(|connection| &connection.object)
                .collect(),
            streams: streams
                .into_iter()
                .filter_map(|(id, _)| self.stream_object(*id))
                .collect(),
            archives: self.archives.iter().map(Archive::object).collect(),
            mute: self.mute_on_entry.then_some(MuteState { active: true }),
        }
    }

    /// A stream as clients see it.
    pub(super) fn stream_object(&self, id: StreamId) -> Option<StreamObject<'_>> {
        let stream = self.streams.get(&id)?;
        let description = &stream.description;
        Some(StreamObject {
            id,
            name: &description.name,
            created_at_ms: stream.created_at_ms,
            owner: Owner(&self.connections.get(&stream.owner)?.object),
            publisher_audio_fallback: description.publisher_audio_fallback,
            subscriber_audio_fallback: description.subscriber_audio_fallback,
            custom_properties: &description.custom_properties,
            channels: &description.channels,
            route: Some(stream.source.route()),
        })
    }

    /// A stream as back ends are told of it; `None` once its owner is gone.
    pub(super) fn stream_facts(&self, id: StreamId, stream: &Stream) -> Option<StreamFacts> {
        Some(StreamFacts {
            id,
            owner: self.connections.get(&stream.owner)?.object.clone(),
            created_at_ms: stream.created_at_ms,
            name: stream.description.name.clone(),
            video: stream.video(),
        })
    }

    /// A stream the others know of.
    pub(super) fn announced(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(&id).filter(|stream| stream.announced)
    }
}

impl Stream {
    /// Where its pictures come from; `None` if it has none.
    pub(super) fn video(&self) -> Option<VideoSource> {
        let mut channels = self.description.channels.iter();
        let video = channels.find(|channel| channel.kind == ChannelKind::Video);
        // Clients may leave the source out; then it is the usual one.
        video.map(|channel| channel.picture.source.unwrap_or(VideoSource::Camera))
    }
}

impl Source {
    /// The wire's name for it.
    pub(super) fn route(self) -> Route {
        match self {
            Self::Routed { .. } => Route::Routed,
            Self::Relayed => Route::Relayed,
        }
    }
}
