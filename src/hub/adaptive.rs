//! Adaptive sessions: a stream with a single viewer goes from browser to browser, any other
//! through the SFU (`protocol/signaling.md`, 13.10).
//!
//! The way through the SFU is never given up. A direct leg is added to it and taken away again,
//! and both browsers keep their legs to the SFU up meanwhile, so that a second viewer is served at
//! once and the first one changes over without a gap.
//!
//! Here is what is known of such a stream. What clients say about direct legs is in `direct`; what
//! follows from it is decided in `reroute`.

use std::time::Instant;

use super::config::{AdaptiveConfig, HubConfig};
use super::relay::Relay;
use crate::model::id::{ConnectionId, PeerId, SubscriberId};
use crate::model::session::MediaMode;

/// What a client announces that can do this.
pub(super) const CAPABILITY: &str = "amr";

/// Which way a stream of an adaptive session goes, and what came of earlier attempts.
#[derive(Debug, Default)]
pub(super) struct Adaptive {
    pub(super) phase: Phase,
    /// When the next attempt may be made, if not at once.
    pub(super) not_before: Option<Instant>,
    /// Attempts in a row that failed.
    failures: u32,
}

/// How far a stream is on its way to a direct leg and back.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// Through the SFU.
    #[default]
    Routed,
    /// Through the SFU, to its only viewer; if that stays so, it is moved then.
    Settling { at: Instant },
    /// The publisher has been asked to publish directly as well.
    Asked {
        viewer: SubscriberId,
        until: Instant,
    },
    /// It does, and everybody has been told.
    Announced {
        viewer: SubscriberId,
        until: Instant,
    },
    /// The viewer has asked for it, and the two negotiate.
    Opening { leg: Leg, until: Instant },
    /// Both have described their ends. That the leg is up we cannot see; that it is not, the
    /// viewer says.
    Direct { leg: Leg, since: Instant },
    /// The publisher has been asked to send to the SFU again and to end the direct leg.
    Leaving { leg: Leg, until: Instant },
}

/// The direct peer connection.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) viewer: SubscriberId,
    /// The viewer's connection, in whose name the publisher is spoken to.
    pub(super) owner: ConnectionId,
    pub(super) peer: PeerId,
    pub(super) relay: Relay,
    /// Whether the publisher has been given an answer. Before that it cannot have connected.
    pub(super) answered: bool,
}

impl Adaptive {
    /// The state of a new stream; `None` where streams do not move.
    pub(super) fn of(mode: MediaMode, config: &HubConfig) -> Option<Self> {
        (mode == MediaMode::Adaptive && config.adaptive.enabled).then(Self::default)
    }

    /// When something has to be done if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Routed | Phase::Direct { .. } => None,
            Phase::Settling { at } => Some(at),
            Phase::Asked { until, .. }
            | Phase::Announced { until, .. }
            | Phase::Opening { until, .. }
            | Phase::Leaving { until, .. } => Some(until),
        }
    }

    /// Both directions of the direct leg of this subscriber, if `peer` does not name another.
    pub(super) fn relay(
        &mut self,
        subscriber: SubscriberId,
        peer: Option<PeerId>,
    ) -> Option<&mut Relay> {
        let leg = self.phase.leg_mut()?;
        let is_meant = leg.viewer == subscriber && peer.is_none_or(|peer| peer == leg.peer);
        is_meant.then_some(&mut leg.relay)
    }

    /// Whether this names the direct leg.
    pub(super) fn is_direct(&self, peer: PeerId) -> bool {
        self.phase.leg().is_some_and(|leg| leg.peer == peer)
    }

    /// An attempt has come to nothing: the next one is made later, and each time later still.
    /// A leg that has held for longer than the pause it would earn has not failed in a row.
    pub(super) fn fail(&mut self, config: &AdaptiveConfig, now: Instant) {
        let pause = |failures: u32| {
            let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
            config
                .backoff
                .saturating_mul(doubled)
                .min(config.backoff_max)
        };
        if let Phase::Direct { since, .. } = self.phase
            && now.saturating_duration_since(since) > pause(self.failures + 1)
        {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.wait(now + pause(self.failures));
    }

    /// Makes no attempt before `at`.
    pub(super) fn wait(&mut self, at: Instant) {
        self.not_before = Some(self.not_before.map_or(at, |before| before.max(at)));
    }

    /// Whose the direct leg is, or will be.
    pub(super) fn viewer(&self) -> Option<SubscriberId> {
        match self.phase {
            Phase::Routed | Phase::Settling { .. } => None,
            Phase::Asked { viewer, .. } | Phase::Announced { viewer, .. } => Some(viewer),
            Phase::Opening { ref leg, .. }
            | Phase::Direct { ref leg, .. }
            | Phase::Leaving { ref leg, .. } => Some(leg.viewer),
        }
    }
}

impl Phase {
    pub(super) fn leg(&self) -> Option<&Leg> {
        match self {
            Self::Opening { leg, .. } | Self::Direct { leg, .. } | Self::Leaving { leg, .. } => {
                Some(leg)
            }
            _ => None,
        }
    }

    pub(super) fn leg_mut(&mut self) -> Option<&mut Leg> {
        match self {
            Self::Opening { leg, .. } | Self::Direct { leg, .. } | Self::Leaving { leg, .. } => {
                Some(leg)
            }
            _ => None,
        }
    }
}
