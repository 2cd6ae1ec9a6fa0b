//! When a stream of an adaptive session changes its way (`protocol/signaling.md`, 13.10).
//!
//! Requests only record what has happened. [`Hub::reconsider`] decides what follows from it, after
//! everything that concerns a stream and whenever a deadline has come.

use std::time::Instant;

use super::Hub;
use super::adaptive::{Adaptive, Phase};
use super::effect::SessionKey;
use super::leave::reason;
use super::session::{Source, Stream};
use super::tell::Audience;
use crate::model::id::{ConnectionId, StreamId, SubscriberId};
use crate::signaling::server::ServerEvent;
use crate::signaling::uri::Route;

/// For the log of the publishing client.
const ONE_VIEWER: &str = "one subscriber";
const BACK: &str = "not one subscriber, or no direct connection";

/// What is to be done next.
enum Step {
    Nothing,
    /// Stay with the SFU.
    Stay,
    /// Look again then.
    Settle(Instant),
    /// Ask the publisher to publish directly.
    Ask(SubscriberId),
    /// The leg has been negotiated.
    Trust,
    /// The attempt is no longer wanted: back to the SFU.
    Recall,
    /// The attempt has taken too long: back to the SFU.
    GiveUp,
    /// Wait longer for the publisher: it is away, and cannot have heard.
    Wait,
    /// End the direct way without the publisher's doing.
    End,
}

impl Hub {
    /// Something has happened to a stream that may change which way it should go.
    pub(super) fn touch(&mut self, key: SessionKey, id: StreamId) {
        self.touched.insert((key, id));
    }

    /// Decides whether a stream moves.
    pub(super) fn reconsider(&mut self, key: SessionKey, id: StreamId, now: Instant) {
        match self.next_step(key, id, now) {
            Step::Nothing => {}
            Step::Stay => self.enter(key, id, Phase::Routed),
            Step::Settle(at) => self.enter(key, id, Phase::Settling { at }),
            Step::Ask(viewer) => self.ask(key, id, viewer, now),
            Step::Trust => self.rearrange(key, id, |phase| match phase {
                Phase::Opening { leg, .. } => Phase::Direct { leg, since: now },
                other => other,
            }),
            Step::Recall => self.retreat(key, id, now),
            Step::GiveUp => {
                self.fail(key, id, now);
                self.retreat(key, id, now);
            }
            Step::Wait => {
                let until = now + self.config.adaptive.release;
                self.rearrange(key, id, |phase| match phase {
                    Phase::Leaving { leg, .. } => Phase::Leaving { leg, until },
                    other => other,
                });
            }
            Step::End => {
                self.close_leg(key, id);
                self.withdraw(key, id, now);
            }
        }
    }

    fn next_step(&self, key: SessionKey, id: StreamId, now: Instant) -> Step {
        let settle = self.config.adaptive.settle;
        let sole = self.sole_viewer(key, id);
        let Some((stream, adaptive)) = self.adaptive(key, id) else {
            return Step::Nothing;
        };
        let is_late = adaptive.deadline().is_some_and(|at| at <= now);
        let is_stale = sole != adaptive.viewer();
        match (&adaptive.phase, sole) {
            (Phase::Routed, None) => Step::Nothing,
            (Phase::Routed, Some(_)) => {
                let soonest = now + settle;
                Step::Settle(adaptive.not_before.map_or(soonest, |at| at.max(soonest)))
            }
            (Phase::Settling { .. }, None) => Step::Stay,
            (Phase::Settling { .. }, Some(viewer)) if is_late => {
                let owner = stream.subscribers.get(&viewer).map(|viewer| viewer.owner);
                let both = [Some(stream.owner), owner];
                // Who is away could not take part in time.
                match both.into_iter().flatten().all(|id| self.is_online(key, id)) {
                    true => Step::Ask(viewer),
                    false => Step::Settle(now + settle),
                }
            }
            (Phase::Leaving { .. }, _) if is_late => match self.is_online(key, stream.owner) {
                true => Step::End,
                false => Step::Wait,
            },
            (Phase::Settling { .. } | Phase::Leaving { .. }, _) => Step::Nothing,
            (Phase::Opening { leg, .. }, _) if leg.answered && !is_stale => Step::Trust,
            _ if is_late => Step::GiveUp,
            _ if is_stale => Step::Recall,
            _ => Step::Nothing,
        }
    }

    /// The only subscriber of a stream, if it and the publisher could have a direct leg: both have
    /// the capability, they are not the same client, and the viewer sees the stream by now.
    fn sole_viewer(&self, key: SessionKey, id: StreamId) -> Option<SubscriberId> {
        let session = self.sessions.get(&key)?;
        let stream = session.streams.get(&id)?;
        let mut subscribers = stream.subscribers.iter();
        let (Some((viewer, subscriber)), None) = (subscribers.next(), subscribers.next()) else {
            return None;
        };
        let is_able = |id| session.connections.get(&id).is_some_and(|c| c.adaptive);
        let is_routed = matches!(stream.source, Source::Routed { .. });
        (is_routed
            && subscriber.connected
            && subscriber.owner != stream.owner
            && is_able(stream.owner)
            && is_able(subscriber.owner))
        .then_some(*viewer)
    }

    fn ask(&mut self, key: SessionKey, id: StreamId, viewer: SubscriberId, now: Instant) {
        let Some((stream, _)) = self.adaptive(key, id) else {
            return;
        };
        let event = ServerEvent::SourceCreate {
            stream: id,
            route: Route::Relayed,
            reason: ONE_VIEWER,
        };
        let audience = Audience::One(stream.owner);
        let until = now + self.config.adaptive.negotiation;
        self.tell(key, audience, &event);
        self.enter(key, id, Phase::Asked { viewer, until });
    }

    /// Starts the way back. The publisher sends to the SFU again before it ends the direct leg,
    /// which is why the viewers are told only then.
    ///
    /// A publisher that has never been given an answer has not left the SFU. It is not asked: the
    /// official client would remember that, and come back from the next direct leg right away.
    pub(super) fn retreat(&mut self, key: SessionKey, id: StreamId, now: Instant) {
        let Some((stream, adaptive)) = self.adaptive(key, id) else {
            return;
        };
        if !adaptive.phase.leg().is_some_and(|leg| leg.answered) {
            self.close_leg(key, id);
            return self.withdraw(key, id, now);
        }
        let event = ServerEvent::SourceDelete {
            stream: id,
            route: Route::Relayed,
            reason: BACK,
        };
        let audience = Audience::One(stream.owner);
        let until = now + self.config.adaptive.release;
        self.tell(key, audience, &event);
        self.rearrange(key, id, |phase| match phase {
            Phase::Opening { leg, .. } | Phase::Direct { leg, .. } => Phase::Leaving { leg, until },
            other => other,
        });
    }

    /// Lets the publisher close a direct leg that it does not close by itself.
    fn close_leg(&mut self, key: SessionKey, id: StreamId) {
        let Some((stream, adaptive)) = self.adaptive(key, id) else {
            return;
        };
        let Some(leg) = adaptive.phase.leg() else {
            return;
        };
        let (audience, from) = (Audience::One(stream.owner), leg.owner.to_string());
        let event = ServerEvent::SubscriberDeleted {
            stream: id,
            subscriber: leg.viewer,
        };
        self.tell_from(key, &from, audience, &event);
    }

    /// The direct way is over: everybody who was told of it is told, and goes on with the SFU. Clients finish with
    /// the old leg in their own time, so the next attempt is not made at once.
    pub(super) fn withdraw(&mut self, key: SessionKey, id: StreamId, now: Instant) {
        let pause = self.config.adaptive.pause;
        if let Some(adaptive) = self.adaptive_mut(key, id) {
            adaptive.wait(now + pause);
        }
        // While it was only asked for, nobody was.
        let told = self
            .adaptive(key, id)
            .is_some_and(|(_, adaptive)| !matches!(adaptive.phase, Phase::Asked { .. }));
        if told {
            let event = ServerEvent::StreamDeleted {
                stream: id,
                reason: reason::CLIENT,
                route: Some(Route::Relayed),
            };
            self.tell(key, Audience::Adaptive, &event);
        }
        self.enter(key, id, Phase::Routed);
        self.touch(key, id);
    }

    pub(super) fn fail(&mut self, key: SessionKey, id: StreamId, now: Instant) {
        let config = self.config.adaptive.clone();
        if let Some(adaptive) = self.adaptive_mut(key, id) {
            adaptive.fail(&config, now);
        }
    }
}

/// Bookkeeping.
impl Hub {
    pub(super) fn adaptive(&self, key: SessionKey, id: StreamId) -> Option<(&Stream, &Adaptive)> {
        let stream = self.sessions.get(&key)?.streams.get(&id)?;
        Some((stream, stream.adaptive.as_ref()?))
    }

    pub(super) fn adaptive_mut(&mut self, key: SessionKey, id: StreamId) -> Option<&mut Adaptive> {
        let stream = self.sessions.get_mut(&key)?.streams.get_mut(&id)?;
        stream.adaptive.as_mut()
    }

    pub(super) fn enter(&mut self, key: SessionKey, id: StreamId, phase: Phase) {
        self.rearrange(key, id, |_| phase);
    }

    /// Changes the phase of a stream, and with it its place in the agenda.
    fn rearrange(&mut self, key: SessionKey, id: StreamId, change: impl FnOnce(Phase) -> Phase) {
        let Some(adaptive) = self.adaptive_mut(key, id) else {
            return;
        };
        let before = adaptive.deadline();
        adaptive.phase = change(std::mem::take(&mut adaptive.phase));
        let after = adaptive.deadline();
        if let Some(at) = before {
            self.agenda.remove(&(at, key, id));
        }
        if let Some(at) = after {
            self.agenda.insert((at, key, id));
        }
    }

    /// Takes a stream that has ended out of the agenda.
    pub(super) fn strike(&mut self, key: SessionKey, id: StreamId, stream: &Stream) {
        if let Some(at) = stream.adaptive.as_ref().and_then(Adaptive::deadline) {
            self.agenda.remove(&(at, key, id));
        }
    }

    /// Lets every stream be looked at whose time has come.
    pub(super) fn touch_due(&mut self, now: Instant) {
        while let Some(&(at, key, id)) = self.agenda.first()
            && at <= now
        {
            self.agenda.pop_first();
            self.touch(key, id);
        }
    }

    fn is_online(&self, key: SessionKey, id: ConnectionId) -> bool {
        let session = self.sessions.get(&key);
        let connection = session.and_then(|session| session.connections.get(&id));
        connection.is_some_and(|connection| !self.links.is_away(connection.link))
    }
}
