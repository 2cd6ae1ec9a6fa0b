//! The first moments of a client, in which nothing is known of its network.

use std::time::{Duration, Instant};

use super::MAX_LIMIT;

/// What a client gets at once, in bits per second, and the time in which that doubles as long as
/// all is well: enough for one good picture, and not so much that a slow network loses sound
/// before it can say so.
pub(super) const RAMP: (f64, Duration) = (2_500_000.0, Duration::from_millis(300));

/// How long a receiver may leave us without feedback before it gets everything.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What is sent at most meanwhile.
#[derive(Debug)]
pub(super) struct Ramp {
    /// Bits per second; `None` once something is known, or all was well for long enough.
    pub(super) rate: Option<f64>,
    began: Option<Instant>,
    grown_at: Option<Instant>,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            rate: Some(RAMP.0),
            began: None,
            grown_at: None,
        }
    }
}

impl Ramp {
    /// All is well so far.
    pub(super) fn grow(&mut self, now: Instant) {
        let since = self.grown_at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(since).min(RAMP.1);
        let growth = 2_f64.powf(passed.as_secs_f64() / RAMP.1.as_secs_f64());
        let rate = self.rate.map(|rate| rate * growth);
        self.rate = rate.filter(|rate| *rate < MAX_LIMIT);
    }

    /// There is a queue.
    pub(super) fn pause(&mut self, now: Instant) {
        self.grown_at = Some(now);
    }

    /// The receiver has not said anything yet.
    pub(super) fn wait(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let late = now.saturating_duration_since(began) >= PATIENCE;
        self.rate = self.rate.filter(|_| !late);
    }

    /// Something is known.
    pub(super) fn end(&mut self) {
        self.rate = None;
    }
}
