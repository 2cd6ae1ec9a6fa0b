//! Writes the server's events: method, URI and content of each in one table.

use serde::Serialize;

use super::channel::Channel;
use super::client::{Mute, SignalBody};
use super::object::ConnectionObject;
use super::reply::json;
use super::server::{NegotiationId, RelayedKind, Sdp, ServerEvent};
use super::uri::{Resource, Route, Uri};
use crate::model::id::{PeerId, ProjectId, SessionId, StreamId};

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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::id::ConnectionId;
    use crate::model::role::Role;
    use crate::signaling::json::RawJson;

    #[test]
    fn a_signal_carries_its_sender_to_those_who_know_no_connections() {
        let id = Uuid::nil();
        let sender = ConnectionObject {
            id: ConnectionId(id),
            created_at_ms: 5,
            data: "alice".into(),
            role: Role::Subscriber,
        };
        let body = SignalBody {
            kind: Some("chat".into()),
            data: Some(RawJson::parse(r#"{"a": 1.0}"#.into()).unwrap()),
        };
        let event = ServerEvent::Signal {
            to: None,
            id,
            body: &body,
            sender: Some(&sender),
        };
        let expected = format!(
            r#"{{"method":"signal","uri":"/v2/partner/7/session/S/signal/{id}","content":{{"#
        ) + r#""type":"chat","data":{"a": 1.0},"connection":{"#
            + &format!(r#""id":"{id}","creationTime":5,"data":"alice","#)
            + r#""permissions":["subscribe"]}}}"#;
        assert_eq!(
            event.payload("7".parse().unwrap(), &"S".parse().unwrap()),
            expected
        );
    }

    #[test]
    fn an_ended_connection_is_told_with_its_reason_and_an_empty_content() {
        let connection = ConnectionId(Uuid::nil());
        let event = ServerEvent::ConnectionDeleted {
            connection,
            reason: "forceDisconnected",
        };
        let expected = format!(
            r#"{{"method":"deleted","uri":"/v2/partner/7/session/S/connection/{connection}","#
        ) + r#""reason":"forceDisconnected","content":{}}"#;
        assert_eq!(
            event.payload("7".parse().unwrap(), &"S".parse().unwrap()),
            expected
        );
    }
}
