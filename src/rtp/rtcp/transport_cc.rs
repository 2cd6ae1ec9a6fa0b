//! Transport-wide congestion control feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1).

use super::{FORMAT_TRANSPORT_CC, TRANSPORT_FEEDBACK, push, u16_at, u32_at};

/// Microseconds per tick of an arrival delta.
pub const TICK_US: i64 = 250;

/// Microseconds per unit of the reference time.
const REFERENCE_US: i64 = 64_000;

/// Most packets that one feedback message speaks about; keeps it below 1200 bytes.
const MAX_STATUSES: u64 = 400;

/// Feedback about what a peer received of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    base: u16,
    count: u16,
    reference: u32,
    chunks: &'a [u8],
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its transport-wide number.
    pub sequence: u16,
    /// Microseconds on the peer's clock, modulo 2³⁰ ms; `None`: not received so far.
    pub at_us: Option<i64>,
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        Some(Self {
            base: u16_at(body, 8)?,
            count: u16_at(body, 10)?,
            reference: u32_at(body, 12)? >> 8,
            chunks: body.get(16..)?,
        })
    }

    /// All packets this speaks about, in order. Ends early where lengths contradict each other.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival> + 'a {
        let mut deltas = self.deltas().unwrap_or_default();
        let mut at_us = i64::from(self.reference) * REFERENCE_US;
        let base = self.base;
        self.symbols()
            .zip(0u16..)
            .map_while(move |(symbol, offset)| {
                let sequence = base.wrapping_add(offset);
                let (delta, rest) = match symbol {
                    1 => (i64::from(*deltas.first()?), &deltas[1..]),
                    2 => (i64::from(u16_at(deltas, 0)?.cast_signed()), &deltas[2..]),
                    _ => {
                        return Some(Arrival {
                            sequence,
                            at_us: None,
                        });
                    }
                };
                deltas = rest;
                at_us += delta * TICK_US;
                Some(Arrival {
                    sequence,
                    at_us: Some(at_us),
                })
            })
    }

    /// One status symbol for each packet.
    fn symbols(&self) -> impl Iterator<Item = u8> + use<'a> {
        let chunks = self
            .chunks
            .chunks_exact(2)
            .map(|c| u16::from_be_bytes([c[0], c[1]]));
        chunks.flat_map(chunk_symbols).take(usize::from(self.count))
    }

    /// The deltas, which begin where the chunks have said enough.
    fn deltas(&self) -> Option<&'a [u8]> {
        let (mut left, mut len) = (usize::from(self.count), 0);
        while left > 0 {
            let chunk = u16_at(self.chunks, len)?;
            left = left.saturating_sub(chunk_len(chunk));
            len += 2;
        }
        self.chunks.get(len..)
    }
}

/// How many packets a chunk speaks about.
fn chunk_len(chunk: u16) -> usize {
    match chunk >> 14 {
        0 | 1 => usize::from(chunk & 0x1fff),
        2 => 14,
        _ => 7,
    }
}

fn chunk_symbols(chunk: u16) -> impl Iterator<Item = u8> {
    (0..chunk_len(chunk)).map(move |index| match chunk >> 14 {
        0 | 1 => (chunk >> 13 & 0x03) as u8,
        2 => (chunk >> (13 - index) & 0x01) as u8,
        _ => (chunk >> (12 - 2 * index) & 0x03) as u8,
    })
}

/// Appends feedback messages for `arrivals`: pairs of extended transport-wide number and
/// microseconds, ascending and distinct in the number. `counter` numbers the messages.
pub fn push_transport_feedback(
    out: &mut Vec<u8>,
    sender_ssrc: u32,
    media_ssrc: u32,
    counter: &mut u8,
    arrivals: &[(u64, i64)],
) {
    let mut rest = arrivals;
    while !rest.is_empty() {
        let taken = run_len(rest);
        let (run, tail) = rest.split_at(taken);
        push(out, FORMAT_TRANSPORT_CC, TRANSPORT_FEEDBACK, |out| {
            out.extend_from_slice(&sender_ssrc.to_be_bytes());
            out.extend_from_slice(&media_ssrc.to_be_bytes());
            push_run(out, *counter, run);
        });
        *counter = counter.wrapping_add(1);
        rest = tail;
    }
}

/// Reference time for a message that begins with an arrival at `at_us`.
fn reference(at_us: i64) -> i64 {
    at_us.div_euclid(REFERENCE_US)
}

/// How many of `arrivals` fit into one message.
fn run_len(arrivals: &[(u64, i64)]) -> usize {
    let (first, first_us) = arrivals[0];
    let mut previous = reference(first_us) * REFERENCE_US / TICK_US;
    let fits = arrivals.iter().take_while(|(number, at_us)| {
        let tick = at_us.div_euclid(TICK_US);
        let delta = tick - previous;
        previous = tick;
        number - first < MAX_STATUSES && i16::try_from(delta).is_ok()
    });
    // The first one always fits: its delta is below one unit of the reference time.
    fits.count().max(1)
}

/// Writes what follows the SSRCs.
fn push_run(out: &mut Vec<u8>, counter: u8, run: &[(u64, i64)]) {
    let (first, first_us) = run[0];
    let last = run[run.len() - 1].0;
    let reference = reference(first_us);
    out.extend_from_slice(&(first as u16).to_be_bytes());
    out.extend_from_slice(&((last - first + 1) as u16).to_be_bytes());
    out.extend_from_slice(&((reference as u32) << 8 | u32::from(counter)).to_be_bytes());

    let mut symbols = [0u8; MAX_STATUSES as usize];
    let mut previous = reference * REFERENCE_US / TICK_US;
    for (number, at_us) in run {
        let tick = at_us.div_euclid(TICK_US);
        let small = (0..256).contains(&(tick - previous));
        symbols[(number - first) as usize] = if small { 1 } else { 2 };
        previous = tick;
    }
    push_chunks(out, &symbols[..(last - first + 1) as usize]);

    let mut previous = reference * REFERENCE_US / TICK_US;
    for (_, at_us) in run {
        let tick = at_us.div_euclid(TICK_US);
        match tick - previous {
            delta @ 0..256 => out.push(delta as u8),
            delta => out.extend_from_slice(&(delta as i16).to_be_bytes()),
        }
        previous = tick;
    }
}

/// Run-length chunks where more than 14 symbols are equal, vectors elsewhere.
fn push_chunks(out: &mut Vec<u8>, mut symbols: &[u8]) {
    while let Some(&first) = symbols.first() {
        let equal = symbols
            .iter()
            .take_while(|symbol| **symbol == first)
            .count();
        let (chunk, len) = if equal > 14 {
            (u16::from(first) << 13 | equal as u16, equal)
        } else if symbols.iter().take(14).all(|symbol| *symbol < 2) {
            let bits = symbols.iter().take(14).zip(0..);
            let chunk = bits.fold(0x8000, |chunk, (s, index)| {
                chunk | u16::from(*s) << (13 - index)
            });
            (chunk, 14)
        } else {
            let bits = symbols.iter().take(7).zip(0..);
            let fold = |chunk, (s, index): (&u8, i32)| chunk | u16::from(*s) << (12 - 2 * index);
            (bits.fold(0xc000, fold), 7)
        };
        out.extend_from_slice(&chunk.to_be_bytes());
        symbols = &symbols[len.min(symbols.len())..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Compound, Rtcp};
    use super::*;

    fn round_trip(arrivals: &[(u64, i64)]) -> Vec<Arrival> {
        let (mut out, mut counter) = (Vec::new(), 0);
        push_transport_feedback(&mut out, 1, 2, &mut counter, arrivals);
        Compound::new(&out)
            .flat_map(|packet| match packet {
                Rtcp::TransportFeedback(feedback) => feedback.arrivals().collect::<Vec<_>>(),
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    #[test]
    fn gaps_are_reported_as_not_received() {
        let read = round_trip(&[(65_535, 64_000), (65_537, 65_000)]);
        let expected = [
            Arrival {
                sequence: 65_535,
                at_us: Some(64_000),
            },
            Arrival {
                sequence: 0,
                at_us: None,
            },
            Arrival {
                sequence: 1,
                at_us: Some(65_000),
            },
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_long_pause_or_a_great_jump_starts_another_message() {
        let read = round_trip(&[(1, 0), (2, 60_000_000), (5_000, 60_000_250)]);
        let received: Vec<_> = read.iter().filter(|a| a.at_us.is_some()).collect();
        assert_eq!(received.len(), 3);
        assert_eq!(read.len(), 3);
    }

    proptest! {
        #[test]
        fn every_arrival_comes_back_to_the_tick(
            steps in prop::collection::vec((1u64..40, -2_000i64..90_000), 1..300),
        ) {
            let (mut number, mut at) = (70_000u64, 10_000_000i64);
            let mut arrivals = Vec::new();
            for (gap, delta) in steps {
                number += gap;
                at += delta;
                arrivals.push((number, at));
            }
            let read = round_trip(&arrivals);
            let received: Vec<_> =
                read.iter().filter_map(|a| a.at_us.map(|at| (a.sequence, at))).collect();
            prop_assert_eq!(received.len(), arrivals.len());
            for ((sequence, at), (number, sent)) in received.into_iter().zip(arrivals) {
                prop_assert_eq!(sequence, number as u16);
                prop_assert_eq!(at, sent.div_euclid(TICK_US) * TICK_US);
            }
        }
    }
}
