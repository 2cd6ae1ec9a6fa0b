//! Rate limits.

use std::time::{Duration, Instant};

/// A token bucket: `burst` at once, and `per_second` in the long run.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// When the bucket will be full again; the further away, the emptier it is.
    full_at: Instant,
    interval: Duration,
    burst: u32,
}

impl Bucket {
    /// A full bucket. A rate of zero refuses everything but the burst.
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let interval = match per_second {
            0 => Duration::from_secs(u64::from(u32::MAX)),
            n => Duration::from_secs(1) / n,
        };
        Self {
            full_at: now,
            interval,
            burst,
        }
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(1, now)
    }

    /// Takes so many tokens, if there are as many; else none.
    pub fn take_many(&mut self, count: u32, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.interval.saturating_mul(count);
        if full_at - now > self.interval.saturating_mul(self.burst) {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "any moment will do as the start of invented time"
)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3, start);
        let taken = |bucket: &mut Bucket, at: u64| {
            let now = start + Duration::from_millis(at);
            (0..10).filter(|_| bucket.take(now)).count()
        };
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 99), 0);
        assert_eq!(taken(&mut bucket, 100), 1);
        assert_eq!(taken(&mut bucket, 300), 2);
        assert_eq!(
            taken(&mut bucket, 60_000),
            3,
            "no more than the burst is saved up"
        );
    }
}
