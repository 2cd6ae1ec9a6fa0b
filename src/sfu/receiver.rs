//! What one client receives: the estimate of its network, and how that is shared.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::allocate::{Demand, serve_all, share};
use super::bandwidth::Estimator;
use super::legs::Legs;
use super::protection::Protection;
use super::send_leg::SendLeg;
use super::subscription::Subscription;
use super::timers::Armed;
use super::{ClientId, Fallback, SubscriptionId};

/// Time between two allocations for no other reason than that time passes: where the network has
/// a limit, and where it has none.
const SETTLE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// One client's subscriptions at this worker.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    pub(super) subscriptions: Vec<SubscriptionId>,
    /// Apart, as few have one.
    pub(super) shared: Option<Box<SharedLeg>>,
    pub(super) estimator: Estimator,
    pub(super) protection: Protection,
    pub(super) armed: Armed,
    /// Whether it is among those that are to be settled.
    unsettled: bool,
    settled_at: Option<Instant>,
    /// The limit that was shared, and whether video was held back.
    settled_for: Option<u64>,
    held: bool,
}

/// The leg of those of a client's subscriptions that have none of their own.
#[derive(Debug)]
pub(super) struct SharedLeg {
    pub(super) leg: SendLeg,
    /// Whose each SSRC is.
    pub(super) by_ssrc: FxHashMap<u32, SubscriptionId>,
}

impl Receiver {
    /// Puts it, the one of this name, among those that are to be settled.
    pub(super) fn unsettle(&mut self, client: ClientId, unsettled: &mut VecDeque<ClientId>) {
        if !std::mem::replace(&mut self.unsettled, true) {
            unsettled.push_back(client);
        }
    }

    /// Whether what is known of the network is reason enough to share it anew.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let limit = self.estimator.limit();
        let pause = if limit.is_some() { SETTLE.0 } else { SETTLE.1 };
        let long_ago = |at: Instant| now.saturating_duration_since(at) >= pause;
        limit != self.settled_for
            || self.estimator.drains() != self.held
            || self.settled_at.is_none_or(long_ago)
            || self.protection.is_due(now)
    }

    /// How many copies of earlier packets leave with each packet of sound.
    fn protect(
        &mut self,
        subscriptions: &FxHashMap<SubscriptionId, Box<Subscription>>,
        now: Instant,
    ) -> u8 {
        let ids = &self.subscriptions;
        let all = || ids.iter().filter_map(|id| subscriptions.get(id));
        let cost = |copies| {
            all()
                .map(|subscription| subscription.cost(copies))
                .sum::<f64>()
        };
        self.protection.settle(&self.estimator, cost, now)
    }
}

impl Legs {
    /// What a client gets is to be decided anew.
    pub(super) fn unsettle(&mut self, client: ClientId) {
        if let Some(receiver) = self.receivers.get_mut(&client) {
            receiver.unsettle(client, &mut self.unsettled);
        }
    }

    /// Settles the next client that needs it, and returns it. What is to be told goes to `news`;
    /// `demands` is room to work in.
    pub(super) fn settle(
        &mut self,
        demands: &mut Vec<Demand>,
        now: Instant,
        mut news: impl FnMut(SubscriptionId, Fallback),
    ) -> Option<ClientId> {
        let client = self.unsettled.pop_front()?;
        demands.clear();
        let Some(receiver) = self.receivers.get_mut(&client) else {
            return Some(client);
        };
        receiver.unsettled = false;
        receiver.settled_at = Some(now);
        receiver.settled_for = receiver.estimator.limit();
        let copies = receiver.protect(&self.subscriptions, now);
        let mut sound = 0.0;
        for id in &receiver.subscriptions {
            let Some(subscription) = self.subscriptions.get_mut(id) else {
                continue;
            };
            subscription.repeat(copies);
            let Some(publication) = self.publications.get(&subscription.publication) else {
                continue;
            };
            sound += subscription.sound();
            demands.extend(subscription.demand(publication, now));
        }
        let missing = match receiver.settled_for {
            None => {
                serve_all(demands);
                None
            }
            Some(limit) => {
                let room = (limit as f64 - sound).max(0.0);
                let missing = share(demands, room, receiver.estimator.seen().is_some());
                missing.map(|video| video + sound as u64)
            }
        };
        receiver.estimator.want(missing, now);
        let holds = receiver.estimator.drains();
        receiver.held = holds;
        for demand in demands.iter() {
            if let Some(subscription) = self.subscriptions.get_mut(&demand.subscription) {
                subscription.hold(holds);
                subscription.take(demand, now);
            }
        }
        for id in &receiver.subscriptions {
            let subscription = self.subscriptions.get_mut(id);
            if let Some(state) = subscription.and_then(|s| s.news.take()) {
                news(*id, state);
            }
        }
        Some(client)
    }
}
