//! The only place that reads the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

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

    /// The moment that the machine's clock showed `since_unix`, if that was shortly before: it may
    /// have been set since. Not after this one.
    pub fn instant_of(&self, since_unix: Duration) -> Instant {
        let ago = self.since_unix.saturating_sub(since_unix);
        self.instant.checked_sub(ago).unwrap_or(self.instant)
    }

    /// Wall-clock time of `now` in whole milliseconds since the Unix epoch.
    pub fn unix_ms(&self, now: Instant) -> i64 {
        i64::try_from(self.since_unix(now).as_millis()).unwrap_or(i64::MAX)
    }
}

impl Clock {
    /// A clock set by the machine's.
    pub fn system() -> Self {
        Self { epoch: read() }
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

    /// This moment, on the machine's clock as it is set now.
    pub fn moment(&self) -> Epoch {
        read()
    }

    /// Processor time that the calling thread has used so far. Unlike the others this is a call
    /// into the kernel, of some 0.2 µs.
    pub fn thread_time(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let whole = Duration::from_secs(time.tv_sec.try_into().unwrap_or(0));
        whole + Duration::from_nanos(time.tv_nsec.try_into().unwrap_or(0))
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(&self) -> i64 {
        self.epoch.unix_ms(self.now())
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the time is read")]
fn read() -> Epoch {
    let since_unix = SystemTime::now().duration_since(UNIX_EPOCH);
    Epoch {
        instant: Instant::now(),
        since_unix: since_unix.unwrap_or_default(),
    }
}
