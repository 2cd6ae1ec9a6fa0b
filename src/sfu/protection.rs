//! Whether a client's network loses so much that its sound leaves with copies of earlier packets, and
//! how many: one makes 0.25 % of 5 % loss, two make next to nothing of it.
//!
//! Copies help against what is lost at random. What a full queue drops would only become more with
//! them: so loss counts only while the queue is short, and where the network has shown a limit by a
//! queue there must be room for them below it. A limit that was taken from loss alone says nothing of
//! what fits; but if much is lost, copies may be what is too much.

use std::time::{Duration, Instant};

use super::bandwidth::Estimator;
use super::downlink::Queue;
use super::loss::Fate;
use super::pack::MAX_EARLIER;

/// Among so many packets two losses are enough for one copy, and three for two.
const WINDOW: u64 = 100;

/// How long a copy is sent after the network has last called for it.
const HOLD: Duration = Duration::from_secs(30);

/// Least time between two changes, unless there is no room any more.
const PAUSE: Duration = Duration::from_secs(3);

/// The share of a limit that sound may take with its copies.
const SHARE: f64 = 0.5;

/// The share of loss above which there are no copies, and none for some time: with a network that
/// drops what is too much, and has no queue, it is they that are too much.
const HEAVY: f64 = 0.2;

/// Losses that have to come together for as many copies as there may be.
const LOSSES: usize = MAX_EARLIER as usize + 1;

/// What one client's network calls for.
#[derive(Debug, Default)]
pub(super) struct Protection {
    /// Packets whose fate is known.
    packets: u64,
    /// How many these were at each of the last losses, the last one in front.
    losses: [Option<u64>; LOSSES],
    /// When so many copies, and one more, were last called for.
    called_for: [Option<Instant>; MAX_EARLIER as usize],
    copies: u8,
    changed_at: Option<Instant>,
    /// The share that is lost, smoothed over [`WINDOW`], and when that was last too much.
    share: f64,
    heavy_at: Option<Instant>,
    /// Whether the limit that there is may come from more than loss.
    is_limited: bool,
}

impl Protection {
    /// Takes what became of packets, and how long the queue was that they stood in.
    pub(super) fn observe(&mut self, fate: Fate, queue: Option<Queue>, now: Instant) {
        self.is_limited |= queue == Some(Queue::Full);
        self.count(fate, queue == Some(Queue::Short), now);
    }

    /// Takes what a receiver reports that tells of no queue.
    pub(super) fn reported(&mut self, fate: Fate, now: Instant) {
        self.is_limited = true;
        self.count(fate, true, now);
    }

    fn count(&mut self, fate: Fate, is_random: bool, now: Instant) {
        let packets = fate.arrived + fate.lost;
        self.packets += u64::from(packets);
        if packets == 0 || !is_random {
            return;
        }
        let weight = 1.0 - (1.0 - 1.0 / WINDOW as f64).powf(packets.into());
        self.share += (f64::from(fate.lost) / f64::from(packets) - self.share) * weight;
        if self.share > HEAVY {
            self.heavy_at = Some(now);
        }
        for _ in 0..fate.lost.min(LOSSES as u32) {
            self.losses.rotate_right(1);
            self.losses[0] = Some(self.packets);
        }
        if fate.lost == 0 {
            return;
        }
        let packets = self.packets;
        let is_near = |loss: &Option<u64>| loss.is_some_and(|at| packets - at < WINDOW);
        for (called_for, loss) in self.called_for.iter_mut().zip(&self.losses[1..]) {
            if is_near(loss) {
                *called_for = Some(now);
            }
        }
    }

    /// Copies that the network calls for.
    fn wanted(&self, now: Instant) -> u8 {
        let holds =
            |at: &Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < HOLD);
        if holds(&self.heavy_at) {
            return 0;
        }
        let calls = self.called_for.iter().rposition(holds);
        calls.map_or(0, |index| index as u8 + 1)
    }

    fn may_change(&self, now: Instant) -> bool {
        let long_ago = |at| now.saturating_duration_since(at) >= PAUSE;
        self.changed_at.is_none_or(long_ago)
    }

    /// Whether [`Self::settle`] might come to another result than before.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.wanted(now) != self.copies && self.may_change(now)
    }

    /// How many copies leave from now on, where sound takes `cost` bits per second with so many.
    pub(super) fn settle(
        &mut self,
        estimator: &Estimator,
        cost: impl Fn(u8) -> f64,
        now: Instant,
    ) -> u8 {
        let limit = estimator.seen();
        self.is_limited &= limit.is_some();
        let limit = limit.filter(|_| self.is_limited);
        let has_room =
            |copies: &u8| limit.is_none_or(|limit| cost(*copies) <= limit as f64 * SHARE);
        let most = (1..=MAX_EARLIER).rev().find(has_room).unwrap_or(0);
        let wanted = self.wanted(now).min(most);
        let has_changed = wanted != self.copies;
        if has_changed && (self.may_change(now) || self.copies > most) {
            self.copies = wanted;
            self.changed_at = Some(now);
        }
        self.copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const SECOND: Duration = Duration::from_secs(1);

    struct Network {
        protection: Protection,
        estimator: Estimator,
        now: Instant,
    }

    impl Network {
        fn new() -> Self {
            Self {
                protection: Protection::default(),
                estimator: Estimator::default(),
                now: Clock::system().epoch().instant,
            }
        }

        /// So many packets fare like this, in a queue; then that is settled for sound of 50 kbit/s.
        fn send(&mut self, arrived: u32, lost: u32, queue: Queue) -> u8 {
            let fate = Fate { arrived, lost };
            self.protection.observe(fate, Some(queue), self.now);
            self.settle()
        }

        fn settle(&mut self) -> u8 {
            let cost = |copies: u8| 50_000.0 * (1.0 + f64::from(copies));
            self.protection.settle(&self.estimator, cost, self.now)
        }

        fn limited(mut self, bitrate: u64) -> Self {
            self.estimator.remb(bitrate);
            self.send(20, 0, Queue::Full);
            self
        }
    }

    #[test]
    fn two_losses_among_a_hundred_packets_call_for_a_copy_and_three_for_two() {
        let mut network = Network::new();
        assert_eq!(network.send(1_000, 1, Queue::Short), 0);
        assert_eq!(network.send(100, 1, Queue::Short), 0);
        assert_eq!(network.send(90, 1, Queue::Short), 1);
        network.now += PAUSE;
        assert_eq!(network.send(40, 1, Queue::Short), 1);
        assert_eq!(network.send(40, 1, Queue::Short), 2);
        assert_eq!(Network::new().send(50, 3, Queue::Short), 2);
    }

    #[test]
    fn copies_end_half_a_minute_after_the_loss_and_change_seldom() {
        let mut network = Network::new();
        assert_eq!(network.send(50, 2, Queue::Short), 1);
        assert_eq!(network.send(50, 3, Queue::Short), 1);
        network.now += PAUSE;
        assert_eq!(network.settle(), 2);
        network.now += HOLD - PAUSE - SECOND;
        assert_eq!(network.send(5_000, 1, Queue::Short), 2);
        network.now += SECOND;
        assert_eq!(network.send(5_000, 0, Queue::Short), 0);
    }

    #[test]
    fn what_is_lost_in_a_queue_does_not_count() {
        let mut network = Network::new();
        for _ in 0..20 {
            assert_eq!(network.send(20, 5, Queue::Full), 0);
            assert_eq!(network.send(20, 5, Queue::Long), 0);
        }
    }

    #[test]
    fn there_must_be_room_below_a_limit_that_the_network_has_shown() {
        for (limit, copies) in [(190_000, 0), (210_000, 1), (310_000, 2)] {
            let mut network = Network::new().limited(limit);
            assert_eq!(network.send(50, 3, Queue::Short), copies, "{limit}");
        }
        let mut network = Network::new();
        assert_eq!(network.send(50, 3, Queue::Short), 2);
        let mut network = network.limited(100_000);
        assert_eq!(network.settle(), 0, "at once");
    }

    #[test]
    fn a_limit_that_was_taken_from_loss_alone_does_not_count() {
        let mut network = Network::new();
        network.estimator.remb(60_000);
        assert_eq!(network.send(50, 3, Queue::Short), 2);
    }

    #[test]
    fn where_much_is_lost_there_are_no_copies_for_a_while() {
        let mut network = Network::new();
        assert_eq!(network.send(50, 3, Queue::Short), 2);
        network.now += PAUSE;
        for _ in 0..5 {
            network.send(30, 15, Queue::Short);
        }
        assert_eq!(network.settle(), 0);
        network.now += HOLD - SECOND;
        assert_eq!(network.send(500, 10, Queue::Short), 0);
        network.now += SECOND;
        assert_eq!(network.send(50, 3, Queue::Short), 2);
    }
}
