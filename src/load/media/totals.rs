//! What the legs of a run saw, all together.

use crate::load::histogram::Histogram;

/// Counts since they were last asked for.
#[derive(Debug, Clone)]
pub(super) struct Totals {
    /// Packets that publishers sent.
    pub(super) sent: u64,
    /// Packets that subscribers received.
    pub(super) received: u64,
    /// Packets that subscribers should have received, by sequence number.
    pub(super) expected: u64,
    /// Of those looked at: packets that did not decrypt.
    pub(super) damaged: u64,
    /// From before a frame is sealed until it reaches the socket of its receiver.
    pub(super) delay: Histogram,
    /// From the request for a leg until its handshake was complete.
    pub(super) joined: Histogram,
    /// Legs that failed, and the first reason.
    pub(super) failure: Option<String>,
}

impl Totals {
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            received: 0,
            expected: 0,
            damaged: 0,
            delay: Histogram::new(),
            joined: Histogram::new(),
            failure: None,
        }
    }

    /// Share of packets lost, from 0 to 1.
    pub(super) fn loss(&self) -> f64 {
        let lost = self.expected.saturating_sub(self.received);
        lost as f64 / self.expected.max(1) as f64
    }
}
