//! Keeps one outgoing stream continuous while what it is made of pauses or changes.
//!
//! Within a span, outgoing numbers are the incoming ones plus a constant. A new span begins after
//! every pause, with every change of source and behind every frame that is left out; its first
//! packet gets a number that no earlier span can give out, so none is ever used twice: SRTP depends
//! on that. The numbers of pictures, inside payloads of VP8 and VP9 and in the dependency descriptor,
//! are shifted in the same way.

use std::time::Instant;

use crate::rtp::codec::Picture;
use crate::rtp::seq::nearest;

/// Spans remembered for retransmissions. Older packets cannot be asked for again. Half of a
/// camera's frames left out make 15 spans a second.
const MAX_SPANS: usize = 32;

/// The distance to the first picture of another source.
const NEXT: Picture = Picture {
    id: 1,
    tl0: 1,
    frame: 1,
};

/// Numbering state of one outgoing stream.
#[derive(Debug)]
pub(super) struct Rewriter {
    spans: [Span; MAX_SPANS],
    used: usize,
    /// Highest number given out, or the one before the first.
    highest: u64,
    last_timestamp: u32,
    last_at: Option<Instant>,
    last_picture: Option<Picture>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    source: u32,
    first_in: u64,
    first_out: u64,
    timestamp_offset: u32,
    picture: Picture,
}

/// A packet on its way in, as far as its numbers go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming {
    /// Which stream it is of.
    pub(super) source: u32,
    /// Extended sequence number.
    pub(super) sequence: u64,
    /// Timestamp.
    pub(super) timestamp: u32,
    /// The numbers of its picture, in the payload and in the dependency descriptor.
    pub(super) picture: Option<Picture>,
}

/// The same packet on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Extended sequence number.
    pub(super) number: u64,
    /// Timestamp.
    pub(super) timestamp: u32,
    /// What is added to the numbers of its picture.
    pub(super) picture: Picture,
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
            last_picture: None,
        }
    }

    /// Begins a span at this packet. Timestamps go on as the source's own while the source is the
    /// same. Another source is placed by `aligned`, its offset according to sender reports, unless
    /// that contradicts the time that passed.
    pub(super) fn begin(
        &mut self,
        first: Incoming,
        clock_rate: u32,
        aligned: Option<u32>,
        now: Instant,
    ) {
        let timestamp_offset = match (self.current(), self.last_at) {
            (Some(span), _) if span.source == first.source => span.timestamp_offset,
            (_, Some(at)) => {
                let passed = now.saturating_duration_since(at).as_micros();
                let ticks = passed * u128::from(clock_rate) / 1_000_000;
                let next = self.last_timestamp.wrapping_add(ticks.max(1) as u32);
                let credible = |offset: &u32| {
                    let timestamp = first.timestamp.wrapping_add(*offset);
                    let step = timestamp.wrapping_sub(self.last_timestamp).cast_signed();
                    let distance = timestamp.wrapping_sub(next).cast_signed();
                    step > 0 && distance.unsigned_abs() < clock_rate
                };
                let offset = aligned.filter(credible);
                offset.unwrap_or(next.wrapping_sub(first.timestamp))
            }
            _ => 0,
        };
        let picture = match (self.last_picture, first.picture) {
            (Some(last), Some(picture)) => last.shifted(NEXT).since(picture),
            _ => Picture::default(),
        };
        // Late packets of the span before may still take the numbers below its skipped ones.
        let taken = self.current().map_or(0, |span| span.first_out);
        self.push(Span {
            source: first.source,
            first_in: first.sequence,
            first_out: (self.highest + 1).max(taken),
            timestamp_offset,
            picture,
        });
    }

    fn push(&mut self, span: Span) {
        if self.used == MAX_SPANS {
            self.spans.rotate_left(1);
            self.used -= 1;
        }
        self.spans[self.used] = span;
        self.used += 1;
    }

    /// How a packet leaves; `None` if it is of another source than the current one, or older than
    /// what is remembered, or left out.
    pub(super) fn rewrite(&mut self, packet: Incoming, now: Instant) -> Option<Place> {
        let mut end = u64::MAX;
        for span in self.spans[..self.used].iter().rev() {
            if span.source != packet.source {
                return None;
            }
            let Some(distance) = packet.sequence.checked_sub(span.first_in) else {
                end = span.first_out;
                continue;
            };
            let place = Place {
                number: span.first_out + distance,
                timestamp: packet.timestamp.wrapping_add(span.timestamp_offset),
                picture: span.picture,
            };
            if place.number >= end {
                return None;
            }
            if place.number > self.highest {
                self.highest = place.number;
                self.last_timestamp = place.timestamp;
                self.last_at = Some(now);
                self.last_picture = packet.picture.map(|p| p.shifted(place.picture));
            }
            return Some(place);
        }
        None
    }

    /// Leaves a packet of the current source out without leaving a hole, unless a later one has
    /// left already. With `closes`, the first one of a picture, the next picture gets its number;
    /// `base` says whether it was one of temporal layer 0.
    pub(super) fn skip(&mut self, packet: Incoming, closes: bool, base: bool) {
        let Some(span) = self.current().filter(|span| span.source == packet.source) else {
            return;
        };
        let Some(distance) = packet.sequence.checked_sub(span.first_in) else {
            return;
        };
        let number = span.first_out + distance;
        if number <= self.highest {
            return;
        }
        let picture = match (closes, packet.picture) {
            (true, Some(_)) => span.picture.since(Picture {
                id: 1,
                tl0: base.into(),
                frame: 0,
            }),
            _ => span.picture,
        };
        let next = Span {
            first_in: packet.sequence + 1,
            first_out: number,
            picture,
            ..span
        };
        if distance == 0 {
            self.spans[self.used - 1] = next;
        } else {
            self.push(next);
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
            picture: span.picture,
        })
    }

    /// The packet that is `back` before the last one, if it has been sent.
    pub(super) fn recent(&self, back: u64) -> Option<Original> {
        self.last_at?;
        self.original(self.highest.checked_sub(back)? as u16)
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
    /// What was added to the numbers of its picture.
    pub(super) picture: Picture,
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

    fn packet(source: u32, sequence: u64, timestamp: u32) -> Incoming {
        Incoming {
            source,
            sequence,
            timestamp,
            picture: None,
        }
    }

    fn pictured(source: u32, sequence: u64, id: u16, tl0: u8) -> Incoming {
        Incoming {
            picture: Some(Picture { id, tl0, frame: id }),
            ..packet(source, sequence, 0)
        }
    }

    fn begin(rewriter: &mut Rewriter, first: Incoming, now: Instant) {
        rewriter.begin(first, 90_000, None, now);
    }

    fn sent(rewriter: &mut Rewriter, packet: Incoming, now: Instant) -> Option<(u64, u32)> {
        let place = rewriter.rewrite(packet, now)?;
        Some((place.number, place.timestamp))
    }

    #[test]
    fn numbers_go_on_without_a_hole_after_a_pause_and_timestamps_with_the_source() {
        let (mut rewriter, now) = (Rewriter::new(99), now());
        begin(&mut rewriter, packet(1, 1_000, 5_000), now);
        assert_eq!(
            sent(&mut rewriter, packet(1, 1_000, 5_000), now),
            Some((100, 5_000))
        );
        assert_eq!(
            sent(&mut rewriter, packet(1, 1_001, 8_000), now),
            Some((101, 8_000))
        );
        begin(&mut rewriter, packet(1, 1_500, 95_000), now);
        assert_eq!(
            sent(&mut rewriter, packet(1, 1_500, 95_000), now),
            Some((102, 95_000))
        );
    }

    #[test]
    fn packets_from_before_a_pause_or_of_another_source_do_not_leave() {
        let (mut rewriter, now) = (Rewriter::new(0), now());
        begin(&mut rewriter, packet(1, 900, 0), now);
        sent(&mut rewriter, packet(1, 900, 0), now);
        begin(&mut rewriter, packet(1, 1_000, 0), now);
        assert_eq!(sent(&mut rewriter, packet(1, 999, 0), now), None);
        assert_eq!(sent(&mut rewriter, packet(1, 899, 0), now), None);
        assert_eq!(sent(&mut rewriter, packet(2, 1_000, 0), now), None);
    }

    #[test]
    fn another_source_is_placed_by_the_time_that_passed() {
        let (mut rewriter, now) = (Rewriter::new(0), now());
        begin(&mut rewriter, packet(1, 10, 5_000), now);
        sent(&mut rewriter, packet(1, 10, 5_000), now);
        let later = now + Duration::from_millis(100);
        begin(&mut rewriter, packet(2, 70_000, 777), later);
        assert_eq!(
            sent(&mut rewriter, packet(2, 70_000, 777), later),
            Some((2, 14_000))
        );
    }

    #[test]
    fn another_source_is_placed_by_sender_reports_if_they_are_credible() {
        for (aligned, timestamp) in [(7_000, 7_777), (4_000, 14_000), (200_000, 14_000)] {
            let (mut rewriter, now) = (Rewriter::new(0), now());
            begin(&mut rewriter, packet(1, 10, 5_000), now);
            sent(&mut rewriter, packet(1, 10, 5_000), now);
            let later = now + Duration::from_millis(100);
            rewriter.begin(packet(2, 70_000, 777), 90_000, Some(aligned), later);
            let place = sent(&mut rewriter, packet(2, 70_000, 777), later);
            assert_eq!(place, Some((2, timestamp)), "{aligned}");
        }
    }

    #[test]
    fn a_skipped_packet_leaves_no_hole_and_stays_findable_around_it() {
        let (mut rewriter, now) = (Rewriter::new(0), now());
        begin(&mut rewriter, packet(1, 10, 0), now);
        sent(&mut rewriter, packet(1, 10, 0), now);
        rewriter.skip(packet(1, 11, 0), true, false);
        rewriter.skip(packet(1, 12, 0), false, false);
        assert_eq!(sent(&mut rewriter, packet(1, 13, 0), now), Some((2, 0)));
        assert_eq!(rewriter.original(1).map(|o| o.sequence), Some(10));
        assert_eq!(rewriter.original(2).map(|o| o.sequence), Some(13));
        assert_eq!(rewriter.original(3), None);
    }

    #[test]
    fn what_was_missing_before_a_skipped_packet_still_finds_its_place() {
        let (mut rewriter, now) = (Rewriter::new(0), now());
        begin(&mut rewriter, packet(1, 10, 0), now);
        sent(&mut rewriter, packet(1, 10, 0), now);
        rewriter.skip(packet(1, 12, 0), true, false);
        assert_eq!(sent(&mut rewriter, packet(1, 13, 0), now), Some((3, 0)));
        assert_eq!(sent(&mut rewriter, packet(1, 11, 0), now), Some((2, 0)));
        assert_eq!(sent(&mut rewriter, packet(1, 12, 0), now), None);
    }

    #[test]
    fn pictures_are_numbered_on_when_frames_are_left_out_and_when_the_source_changes() {
        let (mut rewriter, now) = (Rewriter::new(0), now());
        let shown = |rewriter: &mut Rewriter, packet: Incoming| {
            let place = rewriter.rewrite(packet, now).expect("leaves");
            let picture = packet.picture.expect("numbered").shifted(place.picture);
            (picture.id, picture.tl0)
        };
        begin(&mut rewriter, pictured(1, 10, 0x7ffe, 254), now);
        assert_eq!(
            shown(&mut rewriter, pictured(1, 10, 0x7ffe, 254)),
            (0x7ffe, 254)
        );
        rewriter.skip(pictured(1, 11, 0x7fff, 254), true, false);
        rewriter.skip(pictured(1, 12, 0x7fff, 254), false, false);
        assert_eq!(shown(&mut rewriter, pictured(1, 13, 0, 255)), (0x7fff, 255));
        begin(&mut rewriter, pictured(2, 500, 77, 3), now);
        assert_eq!(shown(&mut rewriter, pictured(2, 500, 77, 3)), (0, 0));
        let original = rewriter.original(2).expect("kept");
        assert_eq!(
            pictured(1, 0, 0, 255)
                .picture
                .map(|p| p.shifted(original.picture).id),
            Some(0x7fff)
        );
    }

    proptest! {
        #[test]
        fn no_number_is_given_out_twice(
            steps in prop::collection::vec((0u8..5, 0u64..6), 1..200),
        ) {
            let (mut rewriter, now) = (Rewriter::new(5), now());
            let (mut next, mut seen) = (100u64, std::collections::HashSet::new());
            let mut taken = std::collections::HashSet::new();
            let mut source = 1;
            begin(&mut rewriter, packet(source, next, 0), now);
            for (action, by) in steps {
                match action {
                    0 => {
                        next += by;
                        begin(&mut rewriter, packet(source, next, 0), now);
                    }
                    1 => {
                        next += by / 3;
                        rewriter.skip(packet(source, next, 0), true, true);
                        taken.insert(next);
                        next += 1;
                    }
                    2 => {
                        source += 1;
                        next += 1_000;
                        begin(&mut rewriter, packet(source, next, 0), now);
                    }
                    _ => {
                        // In order, or a few late; each incoming number once.
                        let sequence = if action == 3 { next } else { next.saturating_sub(by) };
                        if taken.insert(sequence)
                            && let Some((number, _)) =
                                sent(&mut rewriter, packet(source, sequence, 0), now)
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
