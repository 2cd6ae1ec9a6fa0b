//! How long things took, in fixed memory, precise to one per cent.

use std::time::Duration;

/// Ratio of one bucket's upper bound to the one before.
const STEP: f64 = 1.01;

/// Buckets: from a microsecond to half a minute.
const BUCKETS: usize = 1750;

/// Durations, counted by size.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }

    /// Counts one. Longer than the longest bucket counts as that.
    pub(super) fn add(&mut self, duration: Duration) {
        let micros = (duration.as_secs_f64() * 1e6).max(1.0);
        let index = (micros.ln() / STEP.ln()) as usize;
        self.counts[index.min(BUCKETS - 1)] += 1;
        self.total += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    pub(super) fn count(&self) -> u64 {
        self.total
    }

    /// What the share `quantile` (0 to 1) of all stayed below, in milliseconds; 0 of nothing.
    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return STEP.powi(index as i32 + 1) / 1e3;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_one_per_cent() {
        let mut all = Histogram::new();
        for ms in 1..=1000 {
            all.add(Duration::from_millis(ms));
        }
        let check = |quantile: f64, expected_ms: f64| {
            let found = all.quantile_ms(quantile);
            assert!(
                (found / expected_ms - 1.0).abs() < 0.021,
                "{quantile}: {found}"
            );
        };
        check(0.5, 500.0);
        check(0.95, 950.0);
        check(0.99, 990.0);
        assert_eq!(all.count(), 1000);
    }

    #[test]
    fn nothing_and_extremes_are_no_trouble() {
        assert_eq!(Histogram::new().quantile_ms(0.5), 0.0);
        let mut one = Histogram::new();
        one.add(Duration::ZERO);
        one.add(Duration::from_secs(3600));
        assert!(one.quantile_ms(0.1) < 0.01);
        assert!(one.quantile_ms(1.0) > 30_000.0);
    }
}
