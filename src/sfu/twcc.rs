//! Remembers when a publisher's packets arrived, to report it back
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::time::{Duration, Instant};

use crate::rtp::rtcp::transport_cc::push_transport_feedback;
use crate::rtp::seq::Extender;

/// Time between reports while packets come in; libwebrtc's own receivers use 50 to 250 ms.
const INTERVAL: Duration = Duration::from_millis(50);

/// Arrivals kept for one report; more than 100 Mbit/s in one interval. Further ones are left out,
/// which looks like loss to the sender and slows it down.
const MAX_ARRIVALS: usize = 512;

/// The arrivals since the last report.
#[derive(Debug)]
pub(super) struct ArrivalRecorder {
    numbers: Extender,
    /// Extended transport-wide numbers, and microseconds since `zero`.
    arrivals: Vec<(u64, i64)>,
    zero: Instant,
    due: Option<Instant>,
    counter: u8,
}

impl ArrivalRecorder {
    /// An empty recorder, which measures time from `zero`.
    pub(super) fn new(zero: Instant) -> Self {
        Self {
            numbers: Extender::default(),
            arrivals: Vec::new(),
            zero,
            due: None,
            counter: 0,
        }
    }

    /// Takes note of a packet.
    pub(super) fn record(&mut self, number: u16, now: Instant) {
        self.due.get_or_insert(now + INTERVAL);
        if self.arrivals.len() < MAX_ARRIVALS {
            let at = now.saturating_duration_since(self.zero).as_micros() as i64;
            self.arrivals.push((self.numbers.extend(number), at));
        }
    }

    /// When a report is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Appends the report if it is due.
    pub(super) fn poll(&mut self, now: Instant, sender: u32, media: u32, out: &mut Vec<u8>) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        self.arrivals.sort_unstable();
        self.arrivals.dedup_by_key(|(number, _)| *number);
        push_transport_feedback(out, sender, media, &mut self.counter, &self.arrivals);
        self.arrivals.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::rtp::rtcp::{Compound, Rtcp};

    const MS: Duration = Duration::from_millis(1);

    fn received(out: &[u8]) -> Vec<(u16, i64)> {
        Compound::new(out)
            .flat_map(|packet| match packet {
                Rtcp::TransportFeedback(feedback) => feedback.arrivals().collect::<Vec<_>>(),
                other => panic!("unexpected {other:?}"),
            })
            .filter_map(|arrival| Some((arrival.sequence, arrival.at_us?)))
            .collect()
    }

    #[test]
    fn arrivals_are_reported_in_order_across_the_wrap() {
        let zero = Clock::system().epoch().instant;
        let mut recorder = ArrivalRecorder::new(zero);
        for (number, at) in [(65_535, 1), (1, 3), (0, 4), (1, 5)] {
            recorder.record(number, zero + at * MS);
        }
        assert_eq!(recorder.poll_timeout(), Some(zero + 51 * MS));
        let mut out = Vec::new();
        recorder.poll(zero + 50 * MS, 1, 2, &mut out);
        assert!(out.is_empty());
        recorder.poll(zero + 51 * MS, 1, 2, &mut out);
        assert_eq!(received(&out), [(65_535, 1_000), (0, 4_000), (1, 3_000)]);
        assert_eq!(recorder.poll_timeout(), None);
    }

    #[test]
    fn hostile_numbers_leave_memory_and_messages_bounded() {
        let zero = Clock::system().epoch().instant;
        let mut recorder = ArrivalRecorder::new(zero);
        for step in 0..10_000u16 {
            recorder.record(step.wrapping_mul(31_337), zero);
        }
        let mut out = Vec::new();
        recorder.poll(zero + 50 * MS, 1, 2, &mut out);
        assert!(received(&out).len() <= MAX_ARRIVALS);
    }
}
