//! Events to clients: encoded once, whoever they are for (`protocol/signaling.md`, 5.2).

use super::Hub;
use super::effect::SessionKey;
use super::session::{Connection, Session};
use super::unacked::Message;
use crate::model::id::{ConnectionId, StreamId};
use crate::signaling::frame::encode_event;
use crate::signaling::object::ConnectionObject;
use crate::signaling::server::ServerEvent;
use crate::signaling::uri::Route;

/// The address of our session logic: where clients send requests to, and where everything comes
/// from that no other client has said. Clients learn it from the session info.
pub const SYMPHONY: &str = "symphony.parlor";

/// Who gets to hear something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Everybody in the session.
    All,
    /// One client.
    One(ConnectionId),
    /// Those who know of direct legs of routed streams; to others a word about one would sound as
    /// if it were about the stream.
    Adaptive,
    /// Those who want to hear of connections, and the one it is about in any case.
    About(ConnectionId),
    /// Those who do not want to hear of connections, or those who do; of these only one, if given.
    Hearing {
        suppressed: bool,
        only: Option<ConnectionId>,
    },
}

impl Audience {
    /// Whether this connection belongs to it.
    fn includes(self, id: ConnectionId, connection: &Connection) -> bool {
        match self {
            Self::All => true,
            Self::Adaptive => connection.adaptive,
            Self::One(target) => id == target,
            Self::About(subject) => id == subject || !connection.events_suppressed,
            Self::Hearing { suppressed, only } => {
                connection.events_suppressed == suppressed && only.is_none_or(|only| only == id)
            }
        }
    }

    /// The only connection that can belong to it, if there is only one.
    fn single(self) -> Option<ConnectionId> {
        match self {
            Self::One(target) => Some(target),
            Self::Hearing { only, .. } => only,
            Self::All | Self::Adaptive | Self::About(_) => None,
        }
    }
}

impl Hub {
    /// Tells an audience, in the server's name.
    pub(super) fn tell(&mut self, key: SessionKey, audience: Audience, event: &ServerEvent<'_>) {
        self.tell_from(key, SYMPHONY, audience, event);
    }

    /// Tells an audience in somebody's name.
    pub(super) fn tell_from(
        &mut self,
        key: SessionKey,
        from: &str,
        audience: Audience,
        event: &ServerEvent<'_>,
    ) {
        self.post(key, from, audience, |session| {
            Some(event.payload(session.stored.project, &session.stored.id))
        });
    }

    /// Tells an audience of a stream, or of a further way of its media.
    pub(super) fn tell_of_stream(
        &mut self,
        key: SessionKey,
        id: StreamId,
        audience: Audience,
        route: Route,
    ) {
        self.post(key, SYMPHONY, audience, |session| {
            let mut object = session.stream_object(id)?;
            object.route = Some(route);
            let event = ServerEvent::StreamCreated(&object);
            Some(event.payload(session.stored.project, &session.stored.id))
        });
    }

    /// Sends the same bytes to everybody in an audience; writes nothing if nobody is in it.
    fn post(
        &mut self,
        key: SessionKey,
        from: &str,
        audience: Audience,
        payload: impl FnOnce(&Session) -> Option<String>,
    ) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let connections = &session.connections;
        let (all, one) = match audience.single() {
            Some(id) => (None, connections.get_key_value(&id)),
            None => (Some(connections.iter()), None),
        };
        let mut receivers = all
            .into_iter()
            .flatten()
            .chain(one)
            .filter(|(id, connection)| audience.includes(**id, connection))
            .peekable();
        if receivers.peek().is_none() {
            return;
        }
        let Some(payload) = payload(session) else {
            return;
        };
        let transaction = self.entropy.uuid();
        // One address for all receivers; clients do not look at it.
        let address = session.stored.id.as_str();
        let frame = encode_event(from, transaction, address, &payload);
        let message = Message { transaction, frame };
        for (_, connection) in receivers {
            self.links.deliver(connection.link, &message, &self.config);
        }
    }

    /// A connection as others see it, for events that have to outlive a change.
    pub(super) fn object(&self, key: SessionKey, id: ConnectionId) -> Option<ConnectionObject> {
        Some(
            self.sessions
                .get(&key)?
                .connections
                .get(&id)?
                .object
                .clone(),
        )
    }
}
