//! Loss that is too much.

use std::time::{Duration, Instant};

/// Share of loss that means congestion; less is repaired (draft-ietf-rmcat-gcc-02, 6).
pub(super) const MAX_LOSS: f64 = 0.10;

/// Packets and time over which loss is counted.
const WINDOW: (u32, Duration) = (20, Duration::from_millis(500));

/// What arrived and what did not, lately.
#[derive(Debug, Default)]
pub(super) struct Loss {
    since: Option<Instant>,
    pub(super) arrived: u32,
    pub(super) missing: u32,
}

impl Loss {
    /// The share lost, if enough has been counted for long enough and it is too much.
    pub(super) fn finish(&mut self, now: Instant) -> Option<f64> {
        let since = *self.since.get_or_insert(now);
        let all = self.arrived + self.missing;
        if all < WINDOW.0 || now.saturating_duration_since(since) < WINDOW.1 {
            return None;
        }
        let (all, missing) = (f64::from(all), f64::from(self.missing));
        // Few packets lose more than their share now and then: two standard deviations are luck.
        let luck = 2.0 * (all * MAX_LOSS * (1.0 - MAX_LOSS)).sqrt();
        *self = Self {
            since: Some(now),
            ..Self::default()
        };
        (missing > all * MAX_LOSS + luck).then_some(missing / all)
    }
}
