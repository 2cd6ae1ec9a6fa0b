//! What the server tells clients without being asked: one variant per Raptor event
//! (`protocol/signaling.md`, 5.2).

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::channel::{Channel, ChannelChange};
use super::client::{Mute, SessionMute, SignalBody};
use super::json::RawJson;
use super::object::{ArchiveObject, ConnectionObject, StreamObject};
use super::uri::Route;
use crate::model::id::{ConnectionId, PeerId, StreamId, SubscriberId};

/// One event. [`Self::payload`] writes it once for any number of receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent<'a> {
    /// A client has joined; the newcomer itself waits for this.
    ConnectionCreated(&'a ConnectionObject),
    /// A client has left.
    ConnectionDeleted {
        /// Who.
        connection: ConnectionId,
        /// The documented reason word.
        reason: &'a str,
    },
    /// A stream can be subscribed to; its publisher waits for this.
    StreamCreated(&'a StreamObject<'a>),
    /// A stream, or one way of its media, has ended.
    StreamDeleted {
        /// Which.
        stream: StreamId,
        /// The documented reason word.
        reason: &'a str,
        /// If given, only this way.
        route: Option<Route>,
    },
    /// A property of a stream has changed.
    StreamUpdated {
        /// Which stream.
        stream: StreamId,
        /// What has changed.
        change: StreamChange<'a>,
    },
    /// To a publisher: mute this stream.
    StreamMute {
        /// Which.
        stream: StreamId,
        /// How.
        mute: &'a Mute,
    },
    /// To everybody: newcomers start muted, or no longer.
    SessionMute(&'a SessionMute),
    /// A channel of a stream has changed.
    StreamChannelUpdated {
        /// Of which stream.
        stream: StreamId,
        /// Which channel.
        channel: Channel,
        /// What has changed.
        change: ChannelChange,
    },
    /// To a publisher in a relayed session: this subscriber is gone.
    SubscriberDeleted {
        /// Of which stream.
        stream: StreamId,
        /// Who.
        subscriber: SubscriberId,
    },
    /// To a subscriber: its video may be turned off soon, or is safe again.
    DisableWarning {
        /// Of which stream.
        stream: StreamId,
        /// Who.
        subscriber: SubscriberId,
        /// Whether there is danger.
        warned: bool,
    },
    /// To a subscriber: turn video off for the sake of quality, or on again.
    VideoSwitch {
        /// Of which stream.
        stream: StreamId,
        /// Who.
        subscriber: SubscriberId,
        /// On or off.
        active: bool,
    },
    /// To a publisher: make an offer.
    GenerateOffer {
        /// About what.
        negotiation: NegotiationId,
        /// On a routed leg: whether to send several encodings.
        simulcast: Option<bool>,
    },
    /// The server's own offer.
    Offer {
        /// About what.
        negotiation: NegotiationId,
        /// Full SDP text.
        sdp: Sdp<'a>,
    },
    /// The server's own answer.
    Answer {
        /// About what.
        negotiation: NegotiationId,
        /// Full SDP text.
        sdp: Sdp<'a>,
    },
    /// Another client's offer, answer or candidate, passed on verbatim.
    Relayed {
        /// Of which stream.
        stream: StreamId,
        /// Whose leg.
        subscriber: SubscriberId,
        /// Which of the three.
        kind: RelayedKind,
        /// As it came.
        content: &'a RawJson,
    },
    /// An application's message.
    Signal {
        /// As in the request: to one client, or to everybody.
        to: Option<ConnectionId>,
        /// The id in the URI.
        id: Uuid,
        /// The message.
        body: &'a SignalBody,
        /// The sender, for receivers that asked not to be told of connections.
        sender: Option<&'a ConnectionObject>,
    },
    /// A caption or sender statistics.
    Data {
        /// Of which stream.
        stream: StreamId,
        /// For this subscriber; without one, for the stream at large.
        subscriber: Option<SubscriberId>,
        /// Which of the two.
        channel: Channel,
        /// The id in the URI.
        id: Uuid,
        /// As it came.
        content: &'a RawJson,
    },
    /// A recording has started.
    ArchiveCreated(&'a ArchiveObject<'a>),
    /// The status of a recording has changed.
    ArchiveUpdated {
        /// Which.
        archive: Uuid,
        /// The documented status word.
        status: &'a str,
    },
    /// To a publisher in an adaptive session: also send media this way.
    SourceCreate {
        /// Which stream.
        stream: StreamId,
        /// Which way.
        route: Route,
        /// For the client's log.
        reason: &'a str,
    },
    /// To a publisher in an adaptive session: stop sending media this way.
    SourceDelete {
        /// Which stream.
        stream: StreamId,
        /// Which way.
        route: Route,
        /// For the client's log.
        reason: &'a str,
    },
    /// The client is to move to another server; only for clients with the capability.
    ServerRotation,
}

/// What of a stream has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamChange<'a> {
    /// Its name.
    Name(&'a str),
    /// Whether it is being recorded.
    Archiving(bool),
}

/// Names one negotiation. A publisher makes a new peer connection for every new combination, so
/// all messages of one must carry the same, and come from the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegotiationId {
    /// Of which stream.
    pub stream: StreamId,
    /// On this subscriber's leg; without one, on the publisher's leg to the SFU.
    pub subscriber: Option<SubscriberId>,
    /// The server's own number for it.
    pub peer: PeerId,
    /// Which way the media takes.
    pub route: Route,
}

/// SDP text. `Debug` hides it: it holds the ICE password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sdp<'a>(pub &'a str);

/// What can be passed on between clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayedKind {
    /// An offer.
    Offer,
    /// An answer.
    Answer,
    /// A candidate.
    Candidate,
}

impl fmt::Debug for Sdp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sdp({} bytes)", self.0.len())
    }
}
