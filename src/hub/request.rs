//! Requests: found out whether they are new, taken apart, carried out and answered once
//! (`protocol/signaling.md`, 4.2 and 5).

use std::time::Instant;

use uuid::Uuid;

use super::Hub;
use super::effect::SessionKey;
use super::link::{LinkId, Stage};
use super::replies::Reply as Earlier;
use super::tell::SYMPHONY;
use crate::model::id::ConnectionId;
use crate::model::role::Capability;
use crate::signaling::client::{Addressed, ClientRequest, parse};
use crate::signaling::error::{Refusal, close};
use crate::signaling::frame::{Frame, encode_status, header};
use crate::signaling::reply::Reply;

/// Who asks, and under which transaction the answer goes back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    link: LinkId,
    transaction: Uuid,
    pub(super) session: SessionKey,
    pub(super) connection: ConnectionId,
}

impl Hub {
    /// Answers a request, each exactly once, except for a join, which the store must decide first.
    pub(super) fn handle_request(&mut self, link: LinkId, frame: &Frame, now: Instant) {
        let Some(transaction) = frame.transaction() else {
            // It cannot be answered, so it is not carried out either.
            self.counters.malformed += 1;
            return;
        };
        if let Some(earlier) = self.links.earlier_reply(link, transaction).cloned() {
            self.counters.repeated += 1;
            if let Earlier::Kept(reply) = earlier {
                self.links.send(link, reply);
            }
            return;
        }
        if let Some(Stage::Joining {
            transaction: joining,
            ..
        }) = self.links.stage(link)
            && *joining == transaction
        {
            self.counters.repeated += 1;
            return;
        }
        if !self.links.may_ask(link, now) {
            self.refuse(link, transaction, Refusal::TooManyRequests, now);
            return;
        }
        match parse(&frame.payload, self.config.json_depth) {
            Ok(addressed) => self.dispatch(link, transaction, addressed, frame, now),
            Err(error) => self.refuse(link, transaction, error.refusal(), now),
        }
    }

    fn dispatch(
        &mut self,
        link: LinkId,
        transaction: Uuid,
        addressed: Addressed,
        frame: &Frame,
        now: Instant,
    ) {
        let (session, connection) = match self.links.stage(link) {
            Some(&Stage::Joined(session, connection)) => (session, connection),
            Some(Stage::Ended(_)) | None => {
                return self.refuse(link, transaction, Refusal::ConnectionNotFound, now);
            }
            Some(_) => {
                let token = frame.header(header::TOKEN);
                return self.dispatch_join(link, transaction, addressed, token, now);
            }
        };
        let stored = &self.session(session).stored;
        if addressed.project != stored.project || addressed.session != stored.id {
            return self.refuse(link, transaction, Refusal::SessionNotFound, now);
        }
        let caller = Caller {
            link,
            transaction,
            session,
            connection,
        };
        match self.carry_out(&caller, addressed.request, now) {
            // Most verbs answer as soon as it is certain that they will succeed, so that the
            // answer goes out before the events it causes.
            Ok(()) if self.links.earlier_reply(link, transaction).is_some() => {}
            Ok(()) => self.accept(&caller, now),
            Err(refusal) => self.refuse(link, transaction, refusal, now),
        }
    }

    fn carry_out(
        &mut self,
        caller: &Caller,
        request: ClientRequest,
        now: Instant,
    ) -> Result<(), Refusal> {
        match request {
            ClientRequest::ConnectionCreate(_) => Err(Refusal::Conflict),
            ClientRequest::ConnectionDelete(m) => self.force_disconnect(caller, m.connection, now),
            ClientRequest::StreamCreate(m) => self.publish(caller, m, now),
            ClientRequest::StreamDelete(m) => self.unpublish(caller, m, now),
            ClientRequest::StreamMute(m) => self.force_mute(caller, &m, now),
            ClientRequest::SessionMute(m) => self.force_mute_all(caller, &m, now),
            ClientRequest::StreamChannelUpdate(m) => self.update_stream(caller, &m),
            ClientRequest::Data(m) => self.pass_data(caller, &m),
            ClientRequest::Negotiation(m) => self.negotiate(caller, m),
            ClientRequest::SubscriberCreate(m) => self.subscribe(caller, &m, now),
            ClientRequest::SubscriberDelete(m) => self.unsubscribe(caller, m, now),
            ClientRequest::SubscriberChannelUpdate(m) => self.update_subscriber(caller, &m),
            ClientRequest::Signal(m) => self.signal(caller, m, now),
            // Only ever a test hook of the client; there is nowhere else to go.
            ClientRequest::Migrate => Err(Refusal::NotFound),
        }
    }

    /// The only thing a client that has not joined may ask for is to join.
    fn dispatch_join(
        &mut self,
        link: LinkId,
        transaction: Uuid,
        addressed: Addressed,
        token: Option<&str>,
        now: Instant,
    ) {
        let is_joining = matches!(self.links.stage(link), Some(Stage::Joining { .. }));
        let ClientRequest::ConnectionCreate(ref request) = addressed.request else {
            return self.refuse(link, transaction, Refusal::Forbidden, now);
        };
        if let Err(refusal) = self.begin_join(link, transaction, &addressed, request, token) {
            self.refuse(link, transaction, refusal, now);
            if !is_joining {
                // A rejected client would stay and keep pinging (section 6).
                self.drop_link(link, close::GONE);
            }
        }
    }

    /// Grants a request that has no more to say.
    pub(super) fn accept(&mut self, caller: &Caller, now: Instant) {
        self.reply(caller.link, caller.transaction, &Reply::Done, now);
    }

    /// Grants the creation of a stream or subscriber.
    pub(super) fn accept_create(&mut self, caller: &Caller, id: Uuid, now: Instant) {
        self.reply(caller.link, caller.transaction, &Reply::Created(id), now);
    }

    /// Turns a request down.
    pub(super) fn refuse(
        &mut self,
        link: LinkId,
        transaction: Uuid,
        refusal: Refusal,
        now: Instant,
    ) {
        self.counters.refused += 1;
        self.reply(link, transaction, &Reply::Refused(refusal), now);
    }

    fn reply(&mut self, link: LinkId, transaction: Uuid, reply: &Reply<'_>, now: Instant) {
        // Clients do not look at the address of a reply.
        let frame = encode_status(SYMPHONY, transaction, "", reply.status(), &reply.payload());
        self.links
            .reply(link, transaction, frame, &self.config, now);
    }

    /// Sends the state of the session as the answer to a join.
    pub(super) fn accept_join(
        &mut self,
        link: LinkId,
        transaction: Uuid,
        (key, id): (SessionKey, ConnectionId),
        now: Instant,
    ) {
        let reply = Reply::Joined(self.session(key).state_for(id));
        let frame = encode_status(SYMPHONY, transaction, "", reply.status(), &reply.payload());
        self.links
            .reply(link, transaction, frame, &self.config, now);
    }

    /// Checks the caller's role.
    pub(super) fn permit(&self, caller: &Caller, capability: Capability) -> Result<(), Refusal> {
        let connection = self
            .session(caller.session)
            .connections
            .get(&caller.connection);
        let may = connection.is_some_and(|c| c.object.role.may(capability));
        may.then_some(()).ok_or(Refusal::Forbidden)
    }
}
