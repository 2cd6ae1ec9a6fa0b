//! What a subscriber says about the way to it, and what follows from that.

use std::time::{Duration, Instant};

use super::bandwidth::Estimator;
use crate::rtp::rtcp::report::ReportBlock;

/// Round trip assumed before the first report.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Shortest round trip believed: a packet needs some time to be missed.
const MIN_RTT: Duration = Duration::from_millis(10);

/// Latest news of one subscriber's network.
#[derive(Debug)]
pub(super) struct Downlink {
    rtt: Option<Duration>,
    pub(super) estimator: Estimator,
    /// The next transport-wide number.
    number: u16,
    /// Bytes sent since the last report, and bits per second before it.
    bytes: u64,
    since: Instant,
    rate: f64,
}

impl Downlink {
    /// `number` is random.
    pub(super) fn new(number: u16, now: Instant) -> Self {
        Self {
            rtt: None,
            estimator: Estimator::new(now),
            number,
            bytes: 0,
            since: now,
            rate: 0.0,
        }
    }

    /// The transport-wide number of the packet that leaves next.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// A packet of `len` bytes leaves; `numbered`: it carries [`Self::number`].
    pub(super) fn sent(&mut self, len: usize, numbered: bool, now: Instant) {
        self.bytes += len as u64;
        if numbered {
            self.estimator.sent(self.number, len, now);
            self.number = self.number.wrapping_add(1);
        }
    }

    /// A report block about one of our streams, and the round trip it shows.
    pub(super) fn report(&mut self, block: &ReportBlock, rtt: Option<Duration>, now: Instant) {
        if let Some(rtt) = rtt {
            self.rtt = Some(self.rtt.map_or(rtt, |smoothed| (smoothed * 7 + rtt) / 8));
        }
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        if passed >= 0.5 {
            self.rate = self.bytes as f64 * 8.0 / passed;
            (self.bytes, self.since) = (0, now);
        }
        let share = f64::from(block.fraction_lost) / 256.0;
        self.estimator.lost(share, self.rate, now);
    }

    /// Smoothed round trip.
    pub(super) fn rtt(&self) -> Duration {
        self.rtt.unwrap_or(INITIAL_RTT).max(MIN_RTT)
    }
}
