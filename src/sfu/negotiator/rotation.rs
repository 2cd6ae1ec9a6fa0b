//! When which leg changes its keys.
//!
//! A leg is due an interval after it came up or changed them last. The first time comes earlier, by
//! chance, so that legs which came up together do not go on changing together. Few change at a time,
//! and none is given up for not doing so: its old keys go on, and it is asked again after another
//! interval.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::entropy::Entropy;
use crate::sfu::Leg;

/// Legs that change their keys at the same time. Each costs a handshake, about a millisecond of a
/// control thread, and a few round trips.
const MAX_UNDER_WAY: usize = 32;

/// How long a client may take. Some hold a description back for 2 s
/// (`protocol/signaling.md`, 13.1).
const PATIENCE: Duration = Duration::from_secs(10);

/// When a leg is looked at again about which something else was being agreed.
const PUT_OFF: Duration = Duration::from_secs(5);

/// What became of changes of keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotations {
    /// New keys came into use.
    pub completed: u64,
    /// The client did nothing in time; the old keys went on.
    pub unanswered: u64,
}

/// The legs that change their keys.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    /// `None`: none do.
    interval: Option<Duration>,
    /// At which time each is in one of the sets below.
    legs: HashMap<Leg, Instant>,
    /// When legs are due.
    due: BTreeSet<(Instant, Leg)>,
    /// When patience ends with those that have begun.
    under_way: BTreeSet<(Instant, Leg)>,
    counters: Rotations,
}

impl Rotation {
    /// `None`: never.
    pub(super) fn every(interval: Option<Duration>) -> Self {
        Self {
            interval,
            ..Self::default()
        }
    }

    /// A leg is up.
    pub(super) fn begin(&mut self, leg: Leg, now: Instant, entropy: &mut Entropy) {
        if let Some(interval) = self.interval {
            let earlier = interval / 2 * entropy.below(1000) / 1000;
            self.set_due(leg, now + interval - earlier);
        }
    }

    /// A leg is gone.
    pub(super) fn forget(&mut self, leg: Leg) {
        if let Some(at) = self.legs.remove(&leg) {
            self.due.remove(&(at, leg));
            self.under_way.remove(&(at, leg));
        }
    }

    /// The next leg that is to change its keys: what follows is [`Self::start`] or
    /// [`Self::put_off`].
    pub(super) fn next(&mut self, now: Instant) -> Option<Leg> {
        while let Some(&(at, leg)) = self.under_way.first()
            && at <= now
        {
            self.counters.unanswered += 1;
            // Some clients never do.
            self.set_due(leg, now + self.interval.unwrap_or(PUT_OFF));
        }
        let next = self.due.first().filter(|(at, _)| *at <= now);
        next.filter(|_| self.has_room()).map(|(_, leg)| *leg)
    }

    /// A leg's client has been asked.
    pub(super) fn start(&mut self, leg: Leg, now: Instant) {
        self.forget(leg);
        let at = now + PATIENCE;
        self.legs.insert(leg, at);
        self.under_way.insert((at, leg));
    }

    /// A leg cannot change its keys now.
    pub(super) fn put_off(&mut self, leg: Leg, now: Instant) {
        self.set_due(leg, now + PUT_OFF);
    }

    /// A leg has changed its keys, in time or not.
    pub(super) fn complete(&mut self, leg: Leg, now: Instant) {
        if let Some(interval) = self.interval
            && self.legs.contains_key(&leg)
        {
            self.counters.completed += 1;
            self.set_due(leg, now + interval);
        }
    }

    /// When there is something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.due.first().filter(|_| self.has_room());
        let first = due.into_iter().chain(self.under_way.first());
        first.map(|(at, _)| *at).min()
    }

    pub(super) fn counters(&self) -> Rotations {
        self.counters
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < MAX_UNDER_WAY
    }

    fn set_due(&mut self, leg: Leg, at: Instant) {
        self.forget(leg);
        self.legs.insert(leg, at);
        self.due.insert((at, leg));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::sfu::SubscriptionId;

    const INTERVAL: Duration = Duration::from_secs(600);
    const S: Duration = Duration::from_secs(1);

    fn leg(id: u64) -> Leg {
        Leg::Subscriber(SubscriptionId(id))
    }

    /// So many legs that came up together.
    fn rotation(legs: u64) -> (Rotation, Instant) {
        let (mut entropy, now) = (Entropy::from_seed(1), Clock::system().epoch().instant);
        let mut rotation = Rotation::every(Some(INTERVAL));
        (0..legs).for_each(|id| rotation.begin(leg(id), now, &mut entropy));
        (rotation, now)
    }

    #[test]
    fn without_an_interval_nothing_is_due() {
        let now = Clock::system().epoch().instant;
        let mut rotation = Rotation::every(None);
        rotation.begin(leg(1), now, &mut Entropy::from_seed(1));
        assert_eq!(rotation.poll_timeout(), None);
    }

    #[test]
    fn legs_that_came_up_together_change_apart_and_none_later_than_the_interval() {
        let (mut rotation, start) = rotation(100);
        let mut times = Vec::new();
        while let Some(now) = rotation.poll_timeout().filter(|at| *at <= start + INTERVAL) {
            let leg = rotation.next(now).unwrap();
            rotation.start(leg, now);
            rotation.complete(leg, now);
            times.push(now - start);
        }
        assert_eq!(times.len(), 100);
        assert!(times[0] >= INTERVAL / 2);
        let most = times.windows(20).map(|some| some[19] - some[0]).min();
        assert!(most > Some(20 * S), "{most:?}");
        assert_eq!(rotation.counters().completed, 100);
        // From then on exactly.
        assert_eq!(rotation.poll_timeout(), Some(start + times[0] + INTERVAL));
    }

    #[test]
    fn few_change_at_a_time_and_who_does_not_answer_makes_room() {
        let (mut rotation, start) = rotation(100);
        let now = start + INTERVAL;
        let begun = |rotation: &mut Rotation, now| {
            let mut begun = 0;
            while let Some(leg) = rotation.next(now) {
                rotation.start(leg, now);
                begun += 1;
            }
            begun
        };
        assert_eq!(begun(&mut rotation, now), MAX_UNDER_WAY);
        assert_eq!(rotation.poll_timeout(), Some(now + PATIENCE));
        assert_eq!(begun(&mut rotation, now + PATIENCE), MAX_UNDER_WAY);
        assert_eq!(rotation.counters().unanswered, MAX_UNDER_WAY as u64);
        let all: Vec<_> = (0..100).map(leg).collect();
        all.into_iter().for_each(|leg| rotation.forget(leg));
        assert_eq!(rotation.poll_timeout(), None);
    }

    #[test]
    fn a_late_change_counts_and_a_leg_that_is_busy_is_asked_again() {
        let (mut rotation, start) = rotation(1);
        let now = start + INTERVAL;
        rotation.put_off(leg(0), now);
        assert_eq!(rotation.next(now), None);
        assert_eq!(rotation.next(now + PUT_OFF), Some(leg(0)));
        rotation.start(leg(0), now);
        assert_eq!(rotation.next(now + PATIENCE), None);
        rotation.complete(leg(0), now + PATIENCE + S);
        assert_eq!(rotation.poll_timeout(), Some(now + PATIENCE + S + INTERVAL));
        let counters = Rotations {
            completed: 1,
            unanswered: 1,
        };
        assert_eq!(rotation.counters(), counters);
    }
}
