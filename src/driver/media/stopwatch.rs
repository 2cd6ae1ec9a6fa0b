//! How long a worker's turns take.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::telemetry::histogram::Histogram;

/// A turn that takes longer is told from one that was kept waiting for a processor.
const SHORT_TURN: Duration = Duration::from_millis(1);

/// How much time turns take together until the processor's time is asked for again: so the question
/// costs less than a hundredth of them. What was used meanwhile counts to a long turn as well.
const ASK_AFTER: Duration = Duration::from_micros(100);

/// Measures turns by the clock and by the processor time that they used.
pub(super) struct Stopwatch {
    clock: Clock,
    /// The processor's time when it was asked for last, and how long turns have taken since.
    used: Duration,
    since_asked: Duration,
    /// By the clock.
    pub(super) turns: Histogram,
    /// Of the processor's time, where the clock says that it was long.
    pub(super) busy: Histogram,
}

impl Stopwatch {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            used: Duration::ZERO,
            since_asked: Duration::MAX,
            turns: Histogram::default(),
            busy: Histogram::default(),
        }
    }

    /// When a turn begins, which is now.
    pub(super) fn begin(&mut self) -> Instant {
        if self.since_asked >= ASK_AFTER {
            self.ask();
        }
        self.clock.now()
    }

    /// Takes note of the turn that began then.
    pub(super) fn end(&mut self, begin: Instant) {
        let took = self.clock.now() - begin;
        self.since_asked += took;
        self.turns.observe(took);
        let mut busy = took;
        if took > SHORT_TURN {
            let before = self.used;
            self.ask();
            busy = took.min(self.used.saturating_sub(before));
        }
        self.busy.observe(busy);
    }

    fn ask(&mut self) {
        self.used = self.clock.thread_time();
        self.since_asked = Duration::ZERO;
    }
}
