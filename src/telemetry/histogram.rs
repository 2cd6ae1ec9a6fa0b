//! How long things took, in a few numbers: cheap enough for a media thread.

use std::time::Duration;

/// Upper bounds of the buckets in microseconds, from what a packet takes to what a join may take.
pub const BOUNDS_US: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// Durations, counted by size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many were at most as long as each of [`BOUNDS_US`] and longer than the one before.
    pub counts: [u64; BOUNDS_US.len()],
    /// How many there were.
    pub total: u64,
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BOUNDS_US.iter().position(|bound| us <= *bound) {
            self.counts[bucket] += 1;
        }
        self.total += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

impl std::ops::AddAssign for Histogram {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }
}
