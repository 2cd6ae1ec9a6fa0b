//! Direct legs of adaptive sessions: what publishers and viewers say about them
//! (`protocol/signaling.md`, 13.10). What follows from it is in `adaptive`.

use std::time::Instant;

use super::Hub;
use super::adaptive::{Leg, Phase};
use super::effect::SessionKey;
use super::relay::Relay;
use super::request::Caller;
use super::tell::Audience;
use crate::model::id::{PeerId, StreamId, SubscriberId};
use crate::signaling::error::Refusal;
use crate::signaling::uri::Route;

impl Hub {
    /// The publisher was asked to publish directly, and does: everybody is told.
    /// Returns whether it was asked.
    pub(super) fn publish_directly(&mut self, caller: &Caller, id: StreamId, now: Instant) -> bool {
        let Some((stream, adaptive)) = self.adaptive(caller.session, id) else {
            return false;
        };
        let Phase::Asked { viewer, .. } = adaptive.phase else {
            return false;
        };
        if stream.owner != caller.connection {
            return false;
        }
        let until = now + self.config.adaptive.negotiation;
        self.accept_create(caller, id.0, now);
        self.tell_of_stream(caller.session, id, Audience::Adaptive, Route::Relayed);
        self.enter(caller.session, id, Phase::Announced { viewer, until });
        true
    }

    /// The viewer wants the direct leg: the publisher is asked for an offer in its name.
    pub(super) fn subscribe_directly(
        &mut self,
        caller: &Caller,
        (id, viewer): (StreamId, SubscriberId),
        now: Instant,
    ) -> Result<(), Refusal> {
        self.own_subscriber(caller, id, viewer)?;
        let key = caller.session;
        let announced = self.adaptive(key, id).and_then(|(stream, adaptive)| {
            let is_awaited =
                matches!(adaptive.phase, Phase::Announced { viewer: of, .. } if of == viewer);
            is_awaited.then_some(stream.owner)
        });
        let publisher = announced.ok_or(Refusal::Conflict)?;
        let leg = Leg {
            viewer,
            owner: caller.connection,
            peer: PeerId(self.entropy.uuid()),
            relay: Relay::default(),
            answered: false,
        };
        let (owner, peer) = (leg.owner, leg.peer);
        let until = now + self.config.adaptive.negotiation;
        self.accept_create(caller, viewer.0, now);
        self.enter(key, id, Phase::Opening { leg, until });
        self.ask_for_offer(key, (id, viewer), peer, (owner, publisher));
        Ok(())
    }

    /// An answer has passed from the viewer to the publisher.
    pub(super) fn answered_directly(&mut self, key: SessionKey, id: StreamId) {
        if let Some(leg) = self
            .adaptive_mut(key, id)
            .and_then(|adaptive| adaptive.phase.leg_mut())
        {
            leg.answered = true;
            self.touch(key, id);
        }
    }

    /// The viewer has no direct leg, or no longer. That of somebody else, or of an attempt that is
    /// over, is nothing new.
    pub(super) fn unsubscribe_directly(
        &mut self,
        caller: &Caller,
        (id, viewer): (StreamId, SubscriberId),
        now: Instant,
    ) -> Result<(), Refusal> {
        match self.own_subscriber(caller, id, viewer) {
            Ok(_) => {}
            Err(Refusal::Forbidden) => return Err(Refusal::Forbidden),
            Err(_) => return Ok(()),
        }
        let key = caller.session;
        let Some((_, adaptive)) = self.adaptive(key, id) else {
            return Ok(());
        };
        let is_open = adaptive.viewer() == Some(viewer)
            && matches!(
                adaptive.phase,
                Phase::Announced { .. } | Phase::Opening { .. } | Phase::Direct { .. }
            );
        if is_open {
            self.accept(caller, now);
            self.fail(key, id, now);
            self.retreat(key, id, now);
        }
        Ok(())
    }

    /// The publisher has ended the direct leg: because it was asked to, or because it failed.
    pub(super) fn unpublish_directly(
        &mut self,
        caller: &Caller,
        id: StreamId,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.own_stream(caller, id)?;
        self.accept(caller, now);
        let key = caller.session;
        let Some((_, adaptive)) = self.adaptive(key, id) else {
            return Ok(());
        };
        match adaptive.phase {
            // It comes twice, or after we have given up waiting.
            Phase::Routed | Phase::Settling { .. } => return Ok(()),
            Phase::Leaving { .. } => {}
            _ => self.fail(key, id, now),
        }
        self.withdraw(key, id, now);
        Ok(())
    }
}
