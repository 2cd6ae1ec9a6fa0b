//! Deadlines of all legs, without looking at all legs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::Leg;

/// A queue of deadlines. A deadline is moved forward by a second entry; the first one, when its
/// time comes, is found to be stale by [`Armed`] and ignored.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BinaryHeap<Reverse<(Instant, Leg)>>,
}

/// A leg's own memory of its earliest deadline.
#[derive(Debug, Default)]
pub(super) struct Armed(Option<Instant>);

impl Timers {
    /// Wakes `leg` at `at`, or earlier.
    pub(super) fn arm(&mut self, leg: Leg, armed: &mut Armed, at: Instant) {
        if armed.0.is_none_or(|earlier| at < earlier) {
            armed.0 = Some(at);
            self.queue.push(Reverse((at, leg)));
        }
    }

    /// A leg whose deadline, or a stale entry of it, has passed.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Leg, Instant)> {
        let Reverse((at, leg)) = *self.queue.peek()?;
        if at > now {
            return None;
        }
        self.queue.pop();
        Some((leg, at))
    }

    /// When the next deadline passes; possibly a stale one.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }
}

impl Armed {
    /// Whether the entry for `at` was the current one; if so, the leg must be armed anew.
    pub(super) fn disarm(&mut self, at: Instant) -> bool {
        let current = self.0 == Some(at);
        if current {
            self.0 = None;
        }
        current
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::sfu::PublicationId;

    #[test]
    fn an_earlier_deadline_replaces_a_later_one_and_a_later_one_nothing() {
        let now = Clock::system().epoch().instant;
        let leg = Leg::Publisher(PublicationId(1));
        let (mut timers, mut armed) = (Timers::default(), Armed::default());
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
        timers.arm(leg, &mut armed, late);
        timers.arm(leg, &mut armed, soon);
        timers.arm(leg, &mut armed, late);
        assert_eq!(timers.poll_timeout(), Some(soon));
        assert_eq!(timers.pop(now), None);
        assert_eq!(timers.pop(late), Some((leg, soon)));
        assert!(armed.disarm(soon));
        assert_eq!(timers.pop(late), Some((leg, late)));
        assert!(!armed.disarm(late));
        assert_eq!(timers.pop(late), None);
    }
}
