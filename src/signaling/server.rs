//! What the server tells clients without being asked: one variant per Raptor event
//! (`protocol/signaling.md`, 5.2).

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::channel::{Channel, ChannelChange};
use super::client::{Mute, SessionMute, SignalBody};
use super::json::RawJson;
use super::object::{ArchiveObject, ConnectionObject, StreamObject};
use super::reply::json;
use super::uri::{Resource, Route, Uri};
use crate::model::id::{ConnectionId, PeerId, ProjectId, SessionId, StreamId, SubscriberId};

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

impl ServerEvent<'_> {
    /// The Raptor payload, for this session.
    pub fn payload(&self, project: ProjectId, session: &SessionId) -> String {
        use Resource as R;
        let write = Writer { project, session };
        match *self {
            Self::ConnectionCreated(connection) => {
                write.event("created", R::Connection(connection.id), connection)
            }
            Self::ConnectionDeleted { connection, reason } => {
                write.with_reason("deleted", R::Connection(connection), reason, Empty {})
            }
            Self::StreamCreated(stream) => write.event("created", R::Stream(stream.id), stream),
            Self::StreamDeleted {
                stream,
                reason,
                route,
            } => write.with_reason("deleted", R::Stream(stream), reason, Way { route }),
            Self::StreamUpdated { stream, change } => {
                write.event("updated", R::Stream(stream), change)
            }
            Self::StreamMute { stream, mute } => {
                write.event("update", R::Stream(stream), Muting::new(mute, None))
            }
            Self::SessionMute(all) => write.event(
                "update",
                R::Session,
                Muting::new(&all.mute, Some(&all.excluded)),
            ),
            Self::StreamChannelUpdated {
                stream,
                channel,
                change,
            } => write.event("updated", R::StreamChannel(stream, channel), change),
            Self::SubscriberDeleted { stream, subscriber } => {
                write.event("deleted", R::Subscriber(stream, subscriber), Empty {})
            }
            Self::DisableWarning {
                stream,
                subscriber,
                warned,
            } => {
                let video = R::SubscriberChannel(stream, subscriber, Channel::Video);
                write.event(
                    "updated",
                    video,
                    Warning {
                        disable_warning: warned,
                    },
                )
            }
            Self::VideoSwitch {
                stream,
                subscriber,
                active,
            } => {
                let video = R::SubscriberChannel(stream, subscriber, Channel::Video);
                write.event("update", video, Switch { active })
            }
            Self::GenerateOffer {
                negotiation,
                simulcast,
            } => {
                let content = Negotiating {
                    simulcast_enabled: simulcast,
                    ..negotiation.into()
                };
                write.event("generateoffer", negotiation.resource(), content)
            }
            Self::Offer { negotiation, sdp } => write.description("offer", negotiation, sdp),
            Self::Answer { negotiation, sdp } => write.description("answer", negotiation, sdp),
            Self::Relayed {
                stream,
                subscriber,
                kind,
                content,
            } => write.event(kind.method(), R::Subscriber(stream, subscriber), content),
            Self::Signal {
                to,
                id,
                body,
                sender,
            } => {
                let resource = to.map_or(R::Signal(id), |connection| R::SignalTo(connection, id));
                write.event(
                    "signal",
                    resource,
                    Signalling {
                        body,
                        connection: sender,
                    },
                )
            }
            Self::Data {
                stream,
                subscriber,
                channel,
                id,
                content,
            } => {
                let resource = match subscriber {
                    None => R::StreamData(stream, channel, id),
                    Some(subscriber) => R::SubscriberData(stream, subscriber, channel, id),
                };
                write.event("data", resource, content)
            }
            Self::ArchiveCreated(archive) => {
                write.event("created", R::Archive(archive.id), archive)
            }
            Self::ArchiveUpdated { archive, status } => {
                write.event("updated", R::Archive(archive), Status { status })
            }
            Self::SourceCreate {
                stream,
                route,
                reason,
            } => write.with_reason("create", R::Source(stream, route), reason, Empty {}),
            Self::SourceDelete {
                stream,
                route,
                reason,
            } => write.with_reason("delete", R::Source(stream, route), reason, Empty {}),
            Self::ServerRotation => write.event(
                "notification",
                R::Notification,
                Notice {
                    reason: "serverRotation",
                },
            ),
        }
    }
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

impl NegotiationId {
    fn resource(self) -> Resource {
        match self.subscriber {
            None => Resource::Stream(self.stream),
            Some(subscriber) => Resource::Subscriber(self.stream, subscriber),
        }
    }
}

impl RelayedKind {
    fn method(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Candidate => "candidate",
        }
    }
}

impl fmt::Debug for Sdp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sdp({} bytes)", self.0.len())
    }
}

/// Writes envelopes for one session.
struct Writer<'a> {
    project: ProjectId,
    session: &'a SessionId,
}

impl Writer<'_> {
    fn event(&self, method: &str, resource: Resource, content: impl Serialize) -> String {
        self.envelope(method, resource, None, content)
    }

    fn with_reason(
        &self,
        method: &str,
        resource: Resource,
        reason: &str,
        content: impl Serialize,
    ) -> String {
        self.envelope(method, resource, Some(reason), content)
    }

    fn description(&self, kind: &'static str, negotiation: NegotiationId, sdp: Sdp<'_>) -> String {
        let content = Negotiating {
            kind: Some(kind),
            sdp: Some(sdp.0),
            ..negotiation.into()
        };
        self.event(kind, negotiation.resource(), content)
    }

    fn envelope(
        &self,
        method: &str,
        resource: Resource,
        reason: Option<&str>,
        content: impl Serialize,
    ) -> String {
        let uri = Uri {
            project: self.project,
            session: self.session.clone(),
            resource,
        };
        json(&Envelope {
            method,
            uri,
            reason,
            content,
        })
    }
}

/// Events without `content` have no effect at the client, so it is never left out.
#[derive(Serialize)]
struct Envelope<'a, C> {
    method: &'a str,
    uri: Uri,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    content: C,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Way {
    #[serde(rename = "sourceStreamId", skip_serializing_if = "Option::is_none")]
    route: Option<Route>,
}

#[derive(Serialize)]
struct Muting<'a> {
    reason: &'static str,
    #[serde(flatten)]
    mute: &'a Mute,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusion: Option<&'a [StreamId]>,
}

impl<'a> Muting<'a> {
    fn new(mute: &'a Mute, exclusion: Option<&'a [StreamId]>) -> Self {
        Self {
            reason: "mute",
            mute,
            exclusion,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Warning {
    disable_warning: bool,
}

#[derive(Serialize)]
struct Switch {
    active: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Negotiating<'a> {
    peer_id: PeerId,
    #[serde(rename = "sourceStreamId")]
    route: Route,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulcast_enabled: Option<bool>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdp: Option<&'a str>,
}

impl From<NegotiationId> for Negotiating<'_> {
    fn from(id: NegotiationId) -> Self {
        Self {
            peer_id: id.peer,
            route: id.route,
            simulcast_enabled: None,
            kind: None,
            sdp: None,
        }
    }
}

#[derive(Serialize)]
struct Signalling<'a> {
    #[serde(flatten)]
    body: &'a SignalBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<&'a ConnectionObject>,
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'a str,
}

#[derive(Serialize)]
struct Notice {
    reason: &'static str,
}
