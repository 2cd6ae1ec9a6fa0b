//! Keeps one outgoing stream continuous while what it is made of pauses or changes.
//!
//! Within a span, outgoing numbers are the incoming ones plus a constant. A new span begins after
//! every pause and with every change of source; its first packet gets the number after the
//! highest one sent, so no number is ever used twice: SRTP depends on that.

use std::time::Instant;

use crate::rtp::seq::nearest;

/// Spans remembered for retransmissions. Older packets cannot be asked for again.
const MAX_SPANS: usize = 8;

/// Numbering state of one outgoing stream.
#[derive(Debug)]
pub(super) struct Rewriter {
    spans: [Span; MAX_SPANS],
    used: usize,
    /// Highest number given out, or the one before the first.
    highest: u64,
    last_timestamp: u32,
    last_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    source: u32,
    first_in: u64,
    first_out: u64,
    timestamp_offset: u32,
}

impl Rewriter {
    /// A stream whose first packet gets the number after `start`. `start` should be below 2¹⁵, so
    /// that the receiver's rollover counter begins at 0 whatever is lost (RFC 3711, 3.3.1).
    pub(super) fn new(start: u64) -> Self {
        Self {
            spans: [Span::default(); MAX_SPANS],
            used: 0,
            highest: start,
            last_timestamp: 0,
            last_at: None,
        }
    }

    /// Begins a span at incoming packet `sequence`. Timestamps go on as the source's own while the
    /// source is the same; another source is placed where the time that passed puts it.
    pub(super) fn begin(
        &mut self,
        source: u32,
        sequence: u64,
        timestamp: u32,
        clock_rate: u32,
        now: Instant,
    ) {
        let timestamp_offset = match (self.current(), self.last_at) {
            (Some(span), _) if span.source == source => span.timestamp_offset,
            (_, Some(at)) => {
                let passed = now.saturating_duration_since(at).as_micros();
                let ticks = passed * u128::from(clock_rate) / 1_000_000;
                let next = self.last_timestamp.wrapping_add(ticks.max(1) as u32);
                next.wrapping_sub(timestamp)
            }
            _ => 0,
        };
        if self.used == MAX_SPANS {
            self.spans.rotate_left(1);
            self.used -= 1;
        }
        self.spans[self.used] = Span {
            source,
            first_in: sequence,
            first_out: self.highest + 1,
            timestamp_offset,
        };
        self.used += 1;
    }

    /// The outgoing number and timestamp of a packet; `None` if it is older than its span or of
    /// another source.
    pub(super) fn rewrite(
        &mut self,
        source: u32,
        sequence: u64,
        timestamp: u32,
        now: Instant,
    ) -> Option<(u64, u32)> {
        let span = self.current()?;
        if span.source != source {
            return None;
        }
        let number = span.first_out + sequence.checked_sub(span.first_in)?;
        let timestamp = timestamp.wrapping_add(span.timestamp_offset);
        if number > self.highest {
            self.highest = number;
            self.last_timestamp = timestamp;
            self.last_at = Some(now);
        }
        Some((number, timestamp))
    }

    /// Leaves out incoming packet `sequence` of the current source without leaving a hole, if it
    /// is the next one. A hole that a later packet has already passed stays one.
    pub(super) fn skip(&mut self, source: u32, sequence: u64) {
        let Some(span) = self.current().filter(|span| span.source == source) else {
            return;
        };
        let next_in = (self.highest + 1)
            .checked_sub(span.first_out)
            .map(|n| span.first_in + n);
        if next_in == Some(sequence) {
            let moved = Span {
                first_in: sequence + 1,
                first_out: self.highest + 1,
                ..span
            };
            if span.first_out > self.highest {
                self.spans[self.used - 1] = moved;
                return;
            }
            if self.used == MAX_SPANS {
                self.spans.rotate_left(1);
                self.used -= 1;
            }
            self.spans[self.used] = moved;
            self.used += 1;
        }
    }

    /// Which incoming packet left, or would have left, as `number`: its source, its extended
    /// number, and how to write it again.
    pub(super) fn original(&self, number: u16) -> Option<Original> {
        let number = nearest(self.highest, number);
        if number > self.highest {
            return None;
        }
        let spans = &self.spans[..self.used];
        let span = spans.iter().rev().find(|span| span.first_out <= number)?;
        Some(Original {
            source: span.source,
            sequence: span.first_in + (number - span.first_out),
            number,
            timestamp_offset: span.timestamp_offset,
        })
    }

    /// How the timestamps of `source` are shifted now, if it is the current one.
    pub(super) fn timestamp_offset(&self, source: u32) -> Option<u32> {
        self.current()
            .filter(|span| span.source == source)
            .map(|span| span.timestamp_offset)
    }

    /// The source of the current span.
    pub(super) fn source(&self) -> Option<u32> {
        self.current().map(|span| span.source)
    }

    fn current(&self) -> Option<Span> {
        Some(self.spans[self.used.checked_sub(1)?])
    }
}

/// Where a sent packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Original {
    /// Source.
    pub(super) source: u32,
    /// Incoming number.
    pub(super) sequence: u64,
    /// Outgoing number.
    pub(super) number: u64,
    /// What was added to its timestamp.
    pub(super) timestamp_offset: u32,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    fn now() -> Instant {
        Clock::system().epoch().instant
    }

    #[test]
    fn numbers_go_on_without_a_hole_after_a_pause_and_timestamps_with_the_source() {
        let (mut rewriter, now) = (Rewriter::new(99), now());
        rewriter.begin(1, 1_000, 5_000, 90_000, now);
        assert_eq!(rewriter.rewrite(1, 1_000, 5_000, now), Some((100, 5_000)));
        assert_eq!(rewriter.rewrite(1, 1_001, 8_000, now), Some((101, 8_000)));
        rewriter.begin(1, 1_500, 95_000, 90_000, now);
        assert_eq!(rewriter.rewrite(1, 1_500, 95_000, now), Some((102, 95_000)));
    }

    #[test]
    fn packets_from_before_the_current_span_do_not_leave() {
        let (mut rewriter, now) = (Rewriter::new(0), now());
        rewriter.begin(1, 1_000, 0, 90_000, now);
        assert_eq!(rewriter.rewrite(1, 999, 0, now), None);
        assert_eq!(rewriter.rewrite(2, 1_000, 0, now), None);
    }

    #[test]
    fn another_source_is_placed_by_the_time_that_passed() {
        let (mut rewriter, now) = (Rewriter::new(0), now());
        rewriter.begin(1, 10, 5_000, 90_000, now);
        rewriter.rewrite(1, 10, 5_000, now);
        let later = now + Duration::from_millis(100);
        rewriter.begin(2, 70_000, 777, 90_000, later);
        assert_eq!(rewriter.rewrite(2, 70_000, 777, later), Some((2, 14_000)));
    }

    #[test]
    fn a_skipped_packet_leaves_no_hole_and_stays_findable_around_it() {
        let (mut rewriter, now) = (Rewriter::new(0), now());
        rewriter.begin(1, 10, 0, 90_000, now);
        rewriter.rewrite(1, 10, 0, now);
        rewriter.skip(1, 11);
        rewriter.skip(1, 12);
        assert_eq!(rewriter.rewrite(1, 13, 0, now), Some((2, 0)));
        assert_eq!(rewriter.original(1).map(|o| o.sequence), Some(10));
        assert_eq!(rewriter.original(2).map(|o| o.sequence), Some(13));
        assert_eq!(rewriter.original(3), None);
    }

    proptest! {
        #[test]
        fn no_number_is_given_out_twice(
            steps in prop::collection::vec((0u8..4, 0u64..6), 1..200),
        ) {
            let (mut rewriter, now) = (Rewriter::new(5), now());
            let (mut next, mut seen) = (100u64, std::collections::HashSet::new());
            let mut taken = std::collections::HashSet::new();
            rewriter.begin(1, next, 0, 90_000, now);
            for (action, by) in steps {
                match action {
                    0 => { next += by; rewriter.begin(1, next, 0, 90_000, now); }
                    1 => { rewriter.skip(1, next); taken.insert(next); next += 1; }
                    _ => {
                        // In order, or a few late; each incoming number once.
                        let sequence = if action == 2 { next } else { next.saturating_sub(by) };
                        if taken.insert(sequence)
                            && let Some((number, _)) = rewriter.rewrite(1, sequence, 0, now)
                        {
                            prop_assert!(seen.insert(number), "{number} twice");
                            let original = rewriter.original(number as u16);
                            prop_assert_eq!(original.map(|o| o.sequence), Some(sequence));
                        }
                        next = next.max(sequence + 1);
                    }
                }
            }
        }
    }
}
