//! What a subscriber says about the way to it. Kept for the congestion control to come; today
//! only the round trip is used.

use std::time::Duration;

use crate::rtp::rtcp::report::ReportBlock;
use crate::rtp::rtcp::transport_cc::TransportFeedback;

/// Round trip assumed before the first report.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Shortest round trip believed: a packet needs some time to be missed.
const MIN_RTT: Duration = Duration::from_millis(10);

/// Latest news of one subscriber's network.
#[derive(Debug, Default)]
pub(super) struct Downlink {
    rtt: Option<Duration>,
    /// Share lost, in 1/256, of the track reported last.
    fraction_lost: u8,
    /// The receiver's own estimate in bits per second.
    remb: Option<u64>,
    /// Packets that transport-wide feedback called received and missing.
    arrived: u64,
    missing: u64,
}

impl Downlink {
    /// A report block about one of our streams, and the round trip it shows.
    pub(super) fn report(&mut self, block: &ReportBlock, rtt: Option<Duration>) {
        self.fraction_lost = block.fraction_lost;
        if let Some(rtt) = rtt {
            self.rtt = Some(self.rtt.map_or(rtt, |smoothed| (smoothed * 7 + rtt) / 8));
        }
    }

    /// Transport-wide feedback.
    pub(super) fn transport_feedback(&mut self, feedback: &TransportFeedback<'_>) {
        for arrival in feedback.arrivals() {
            match arrival.at_us {
                Some(_) => self.arrived += 1,
                None => self.missing += 1,
            }
        }
    }

    /// The receiver's own estimate in bits per second.
    pub(super) fn remb(&mut self, bitrate: u64) {
        self.remb = Some(bitrate);
    }

    /// Smoothed round trip.
    pub(super) fn rtt(&self) -> Duration {
        self.rtt.unwrap_or(INITIAL_RTT).max(MIN_RTT)
    }
}
