//! Signals: an application's own messages (`protocol/signaling.md`, 10).

use std::time::Instant;

use super::Hub;
use super::effect::SessionKey;
use super::request::Caller;
use super::tell::Audience;
use crate::model::id::ConnectionId;
use crate::model::role::Capability;
use crate::model::signal::InvalidSignal;
use crate::signaling::client::Signal;
use crate::signaling::error::Refusal;
use crate::signaling::server::ServerEvent;

/// Whom a signal comes from that no client has sent. With any other word clients would wait for a
/// connection of that name.
const NOBODY: &str = "";

impl Hub {
    /// Passes a signal to everybody, its sender included, or to one connection.
    pub(super) fn signal(
        &mut self,
        caller: &Caller,
        request: Signal,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.permit(caller, Capability::Signal)?;
        let limits = self.config.signal;
        let session = self.session_mut(caller.session);
        let sender = session.connections.get_mut(&caller.connection);
        if !sender.is_some_and(|sender| sender.signals.take(now)) {
            return Err(Refusal::TooManyRequests);
        }
        let body = &request.body;
        let data = body.data.as_ref().map(|data| data.get());
        let checked = limits.check(body.kind.as_deref(), data);
        checked.map_err(|invalid| match invalid {
            InvalidSignal::TypeCharacters => Refusal::Malformed,
            InvalidSignal::TypeTooLong | InvalidSignal::DataTooLong => Refusal::TooLarge,
        })?;
        if request
            .to
            .is_some_and(|target| !session.connections.contains_key(&target))
        {
            return Err(Refusal::ConnectionNotFound);
        }
        self.accept(caller, now);
        self.pass_signal(caller.session, Some(caller.connection), &request);
        Ok(())
    }

    /// Passes a signal on in the name of a connection, or in nobody's.
    pub(super) fn pass_signal(
        &mut self,
        key: SessionKey,
        from: Option<ConnectionId>,
        signal: &Signal,
    ) {
        let &Signal { to, id, ref body } = signal;
        let Some(from) = from else {
            let sender = None;
            let event = ServerEvent::Signal {
                to,
                id,
                body,
                sender,
            };
            let audience = to.map_or(Audience::All, Audience::One);
            return self.tell_from(key, NOBODY, audience, &event);
        };
        let sender = self.object(key, from);
        let from = from.to_string();
        // Receivers that do not hear of connections are told the sender's (section 7).
        for (suppressed, sender) in [(false, None), (true, sender.as_ref())] {
            let event = ServerEvent::Signal {
                to,
                id,
                body,
                sender,
            };
            let audience = Audience::Hearing {
                suppressed,
                only: to,
            };
            self.tell_from(key, &from, audience, &event);
        }
    }
}
