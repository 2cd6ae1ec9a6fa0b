//! Joining a session (`protocol/signaling.md`, 6).

use std::time::Instant;

use uuid::Uuid;

use super::Hub;
use super::adaptive;
use super::bucket::Bucket;
use super::effect::{Admission, Denial, Effect, NoticeEvent, SessionKey, Ticket};
use super::link::{LinkId, Stage};
use super::session::{Bearer, Connection, Session};
use super::tell::Audience;
use crate::model;
use crate::model::id::{ConnectionId, ProjectId, SessionId};
use crate::signaling::client::{Addressed, ConnectionCreate};
use crate::signaling::error::{Refusal, close};
use crate::signaling::frame::{Frame, header};
use crate::signaling::object::ConnectionObject;
use crate::signaling::server::ServerEvent;

/// A client whose token is being looked at.
#[derive(Debug)]
pub(super) struct Joining {
    link: LinkId,
    transaction: Uuid,
    project: ProjectId,
    session: SessionId,
    connection: ConnectionId,
    bearer: Bearer,
    events_suppressed: bool,
    adaptive: bool,
    shares_leg: bool,
}

/// The capability of a client that receives everything over one peer connection
/// (`protocol/signaling.md`, 13.9).
const SINGLE_PEER_CONNECTION: &str = "spc";

/// Signals that may come at once, in seconds of the rate.
const SIGNAL_BURST_SECONDS: u32 = 4;

impl Hub {
    /// CONNECT: the client says which connection it is going to be.
    pub(super) fn handle_connect(&mut self, link: LinkId, frame: &Frame) {
        if self.links.stage(link) != Some(&Stage::Opened) {
            return;
        }
        match frame.header(header::UNIQUE_ID).map(str::parse) {
            Some(Ok(connection)) => {
                self.links
                    .advance(link, Stage::Named(connection), &self.config);
            }
            _ => {
                self.counters.malformed += 1;
                self.drop_link(link, close::GONE);
            }
        }
    }

    /// Connection create: asks the store whether the token is good. The answer to the client
    /// follows in [`Self::finish_join`].
    pub(super) fn begin_join(
        &mut self,
        link: LinkId,
        transaction: Uuid,
        addressed: &Addressed,
        request: &ConnectionCreate,
        token: Option<&str>,
    ) -> Result<(), Refusal> {
        match self.links.stage(link) {
            Some(Stage::Named(named)) if *named == request.connection => {}
            Some(Stage::Opened | Stage::Named(_)) => return Err(Refusal::Forbidden),
            _ => return Err(Refusal::Conflict),
        }
        if self.draining {
            return Err(Refusal::Unavailable);
        }
        let token = token.ok_or(Refusal::InvalidToken)?;
        let capabilities = &request.client.capabilities;
        let can = |capability: &str| capabilities.iter().any(|known| known == capability);
        let ticket = Ticket(self.number());
        let stage = Stage::Joining {
            ticket,
            transaction,
        };
        self.links.advance(link, stage, &self.config);
        let joining = Joining {
            link,
            transaction,
            project: addressed.project,
            session: addressed.session.clone(),
            connection: request.connection,
            bearer: Bearer(token.to_owned()),
            events_suppressed: request.client.connection_events_suppressed,
            adaptive: can(adaptive::CAPABILITY),
            shares_leg: self.config.single_peer_connection && can(SINGLE_PEER_CONNECTION),
        };
        let (session, token) = (joining.session.clone(), token.to_owned());
        self.joining.insert(ticket, joining);
        self.links.effects.push_back(Effect::Authenticate {
            ticket,
            session,
            token,
        });
        Ok(())
    }

    /// The store has answered.
    pub(super) fn finish_join(
        &mut self,
        ticket: Ticket,
        outcome: Result<Admission, Denial>,
        now: Instant,
    ) {
        let Some(joining) = self.joining.remove(&ticket) else {
            return;
        };
        let (link, transaction) = (joining.link, joining.transaction);
        let joined = match outcome {
            Ok(admission) => self.join(joining, admission, now),
            Err(Denial::NoSuchSession) => Err(Refusal::SessionNotFound),
            Err(Denial::InvalidToken) => Err(Refusal::InvalidToken),
            Err(Denial::Unavailable) => Err(Refusal::Unavailable),
        };
        if let Err(refusal) = joined {
            // A rejected client would stay and keep pinging (section 6).
            self.refuse(link, transaction, refusal, now);
            self.drop_link(link, close::GONE);
        }
    }

    fn join(
        &mut self,
        joining: Joining,
        admission: Admission,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Joining {
            link,
            transaction,
            connection: id,
            bearer,
            ..
        } = joining;
        let mut stored = admission.session;
        let own_codecs = admission.video_codecs;
        stored.video_codecs = own_codecs.or_else(|| self.config.video_codecs.clone());
        if joining.project != stored.project || joining.session != stored.id {
            return Err(Refusal::SessionNotFound);
        }
        let limit = self.config.connections_per_session;
        let own_limit = admission.max_connections.map_or(limit, |own| own as usize);
        self.make_room(&stored.id, id, &bearer, limit.min(own_limit))?;
        let number = self.number();
        let key = match self.live.get(&stored.id) {
            Some(key) => *key,
            None => self.go_live(SessionKey(number), stored),
        };
        let created_at_ms = self.epoch.unix_ms(now);
        let object = ConnectionObject {
            id,
            created_at_ms,
            data: admission.data,
            role: admission.role,
        };
        let rate = self.config.signals_per_second;
        let connection = Connection {
            link,
            object,
            number,
            bearer: Some(bearer),
            events_suppressed: joining.events_suppressed,
            adaptive: joining.adaptive,
            shares_leg: joining.shares_leg,
            signals: Bucket::new(rate, rate.saturating_mul(SIGNAL_BURST_SECONDS), now),
            streams: Default::default(),
            subscriptions: Default::default(),
            layout_classes: admission.layout_classes,
        };
        self.session_mut(key).connections.insert(id, connection);
        self.links
            .advance(link, Stage::Joined(key, id), &self.config);
        self.accept_join(link, transaction, (key, id), now);
        if let Some(opened_at) = self.links.opened_at(link) {
            let took = now.saturating_duration_since(opened_at);
            self.join_times.observe(took);
        }
        if let Some(object) = self.object(key, id) {
            let event = ServerEvent::ConnectionCreated(&object);
            self.tell(key, Audience::About(id), &event);
            let connection = object;
            self.notice(key, NoticeEvent::ConnectionCreated { connection });
        }
        Ok(())
    }

    /// Makes room for a session's first connection.
    fn go_live(&mut self, key: SessionKey, stored: model::session::Session) -> SessionKey {
        let mut session = Session::new(stored);
        let id = session.stored.id.clone();
        session.mute_on_entry = self.take_premuted(&id);
        self.live.insert(id, key);
        self.sessions.insert(key, session);
        self.notice(key, NoticeEvent::SessionStarted);
        key
    }

    /// Refuses a newcomer whose id is in use, or who is one too many.
    ///
    /// A client that never heard that it had joined tries again with the same id on another
    /// socket (section 6); it may take its own place. Connection ids are known to everybody in
    /// the session, so it must show the same token, and only before the first has confirmed.
    fn make_room(
        &mut self,
        session: &SessionId,
        id: ConnectionId,
        bearer: &Bearer,
        limit: usize,
    ) -> Result<(), Refusal> {
        let Some(&key) = self.live.get(session) else {
            return Ok(());
        };
        let connections = &self.session(key).connections;
        if let Some(present) = connections.get(&id) {
            if present.bearer.as_ref() != Some(bearer) {
                return Err(Refusal::Conflict);
            }
            let link = present.link;
            self.drop_link(link, close::GONE);
        } else if connections.len() >= limit {
            return Err(Refusal::ConnectionLimitExceeded);
        }
        Ok(())
    }

    /// The client has acknowledged something, so it knows that it has joined.
    pub(super) fn confirm(&mut self, link: LinkId) {
        if let Some(&Stage::Joined(key, id)) = self.links.stage(link)
            && let Some(session) = self.sessions.get_mut(&key)
            && let Some(connection) = session.connections.get_mut(&id)
        {
            connection.bearer = None;
        }
    }
}
