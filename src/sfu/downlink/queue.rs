//! The queue in front of a receiver, seen from how long packets take.

use std::time::{Duration, Instant};

/// A queue that takes longer than this is being filled by us. Browsers' jitter buffers hide it.
const MAX_QUEUE_US: i64 = 80_000;

/// Reports in a row that must agree on a queue: wireless networks stop and go.
const MIN_REPORTS: u8 = 2;

/// A queue that is longer than the first and has grown by the second in each of as many reports
/// is not waited for.
const STEEP_US: (i64, i64) = (50_000, 20_000);

/// The least queue that one report is enough for, in microseconds.
const SUDDEN_US: i64 = 30_000;

/// How long the shortest delay counts as that of an empty queue: routes and clocks change.
const BASELINE: Duration = Duration::from_secs(10);

/// How full the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sfu) enum Queue {
    /// Not.
    Short,
    /// Perhaps.
    Long,
    /// It is.
    Full,
}

/// How the queue has been lately. Times are microseconds; those of sending, since whatever the
/// caller counts from.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    baseline: Baseline,
    /// The queue seen by the last report, and how many in a row were too long, or grew.
    pub(super) queue_us: i64,
    long_queues: u8,
    rises: u8,
    pub(super) is_filling: bool,
    /// Whether it was called full by one report.
    is_sudden: bool,
    full: Option<Full>,
}

/// The shortest one-way delay lately; theirs minus ours, so only differences mean something.
#[derive(Debug, Default)]
struct Baseline {
    now: Option<i64>,
    before: Option<i64>,
    since: Option<Instant>,
}

/// A queue that was reported full.
#[derive(Debug, Clone, Copy)]
struct Full {
    at: Instant,
    /// Which packets would be held up by it, whatever is done: those that left after the one that
    /// showed it, and before it could have gone away. Microseconds since `zero`.
    holds_up: (u64, u64),
    /// A queue of less than this is none; in microseconds.
    none_us: i64,
    /// The least delay of any of them.
    least: Option<i64>,
}

impl Gauge {
    /// What the shortest delay of a report says about the queue in front of it.
    pub(super) fn observe(&mut self, delay: i64, now: Instant) -> Queue {
        let queue_us = delay - self.baseline.observe(delay, now);
        // A queue that gets shorter needs no further cut.
        let grows = queue_us >= self.queue_us - MAX_QUEUE_US / 16;
        let rises = queue_us - self.queue_us >= STEEP_US.1;
        self.rises = if rises { self.rises + 1 } else { 0 };
        let steep = self.rises >= MIN_REPORTS && queue_us > STEEP_US.0;
        self.queue_us = queue_us;
        let long = queue_us > MAX_QUEUE_US;
        self.is_filling = long || self.rises > 0;
        self.is_sudden &= self.is_filling;
        self.long_queues = if long && grows {
            self.long_queues + 1
        } else {
            0
        };
        if self.long_queues >= MIN_REPORTS || steep {
            (self.long_queues, self.rises) = (0, 0);
            return Queue::Full;
        }
        if long { Queue::Long } else { Queue::Short }
    }

    /// Whether a queue of which one report says that much more leaves than comes out of it is
    /// full. `delay` is that of the last packets, `empty` the one without a queue.
    pub(super) fn is_sudden(&mut self, delay: i64, empty: i64) -> bool {
        let queue_us = delay - empty;
        if self.is_sudden || queue_us <= SUDDEN_US {
            return false;
        }
        (self.long_queues, self.rises) = (0, 0);
        (self.is_sudden, self.is_filling) = (true, true);
        self.queue_us = self.queue_us.max(queue_us);
        true
    }

    /// The queue is full, as a packet that left at `sent_us` has shown by now; what is in it takes
    /// as long as `lasts_us`, as far as known.
    pub(super) fn fill(&mut self, sent_us: u64, now_us: u64, lasts_us: u64, now: Instant) {
        let lasts_us = lasts_us.max(self.queue_us.unsigned_abs());
        self.full.get_or_insert(Full {
            at: now,
            holds_up: (sent_us, now_us + lasts_us / 2),
            none_us: STEEP_US.0.min(self.queue_us / 2),
            least: None,
        });
    }

    /// A packet that left at `sent_us` took so long.
    pub(super) fn note(&mut self, sent_us: u64, delay: i64) {
        if let Some(full) = &mut self.full {
            full.note(sent_us, delay);
        }
    }

    /// When a queue was called full, if it was none: what it would have held up came at once, and
    /// the network had only paused. `empty` is the delay without a queue.
    pub(super) fn stalled(&mut self, empty: i64, sent_us: u64) -> Option<Instant> {
        let full = self.full?;
        let is_none = full.least.is_some_and(|least| least - empty < full.none_us);
        if is_none || sent_us > full.holds_up.1 {
            self.full = None;
        }
        is_none.then_some(full.at)
    }
}

impl Baseline {
    /// The shortest delay, this one included.
    fn observe(&mut self, delay: i64, now: Instant) -> i64 {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= BASELINE {
            self.since = Some(now);
            self.before = self.now.replace(delay);
        }
        let shortest = self.now.map_or(delay, |shortest| shortest.min(delay));
        self.now = Some(shortest);
        self.before.map_or(shortest, |before| before.min(shortest))
    }
}

impl Full {
    /// A packet that left at this time took so long.
    fn note(&mut self, sent_us: u64, delay: i64) {
        let (after, until) = self.holds_up;
        if sent_us > after && sent_us <= until {
            self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
        }
    }
}
