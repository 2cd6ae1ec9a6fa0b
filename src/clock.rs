//! The only place that reads the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time to everything that is not told it.
///
/// Wall-clock time is the time at start plus what has passed since, so that it never runs
/// backwards within a process.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Epoch,
}

/// One moment on both clocks; turns any later [`Instant`] into wall-clock time.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// The moment on the monotonic clock.
    pub instant: Instant,
    /// The same moment, since the Unix epoch.
    pub since_unix: Duration,
}

impl Epoch {
    /// Wall-clock time of `now`, since the Unix epoch.
    pub fn since_unix(&self, now: Instant) -> Duration {
        self.since_unix + now.saturating_duration_since(self.instant)
    }

    /// Wall-clock time of `now` in whole milliseconds since the Unix epoch.
    pub fn unix_ms(&self, now: Instant) -> i64 {
        i64::try_from(self.since_unix(now).as_millis()).unwrap_or(i64::MAX)
    }
}

impl Clock {
    /// A clock set by the machine's.
    #[expect(clippy::disallowed_methods, reason = "this is where the time is read")]
    pub fn system() -> Self {
        let since_unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            epoch: Epoch {
                instant: Instant::now(),
                since_unix,
            },
        }
    }

    /// The moment this clock was started.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Monotonic time.
    #[expect(clippy::disallowed_methods, reason = "this is where the time is read")]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(&self) -> i64 {
        self.epoch.unix_ms(self.now())
    }
}
