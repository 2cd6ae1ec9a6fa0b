//! The time of one turn, on all the clocks a packet needs.

use std::time::Instant;

use crate::clock::Epoch;
use crate::sfu::report::our_ntp;

/// One turn's time, computed once for all its packets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Monotonic.
    pub(super) now: Instant,
    /// How to get wall-clock time.
    pub(super) epoch: Epoch,
    /// Content of the abs-send-time extension.
    pub(super) abs_send_time: [u8; 3],
}

impl Moment {
    pub(super) fn new(now: Instant, epoch: Epoch) -> Self {
        Self {
            now,
            epoch,
            abs_send_time: our_ntp(epoch, now).abs_send_time(),
        }
    }

    /// Ticks of a clock of `rate` Hz since the engine's epoch.
    pub(super) fn ticks(&self, rate: u32) -> u64 {
        let passed = self
            .now
            .saturating_duration_since(self.epoch.instant)
            .as_micros() as u64;
        passed.wrapping_mul(u64::from(rate)) / 1_000_000
    }
}
