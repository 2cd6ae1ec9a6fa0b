//! RED of publishers (RFC 2198) is taken apart where it comes in: from there on there is Opus only.
//! A packet that did not come is made of the copy of it that a later one has.

use std::time::Instant;

use super::command::{Codec, InboundCodec};
use super::inbound::InboundTrack;
use super::stream::Stream;
use crate::rtp::header::{FIXED_LEN, Header, Outgoing};
use crate::rtp::red::{MAX_BLOCK_LEN, Red};

/// How many packets before its own a copy is taken of, and how far back is looked for one that it
/// must be younger than.
const REACH: u64 = 8;

/// Ticks of the shortest packet of Opus, 2.5 ms (RFC 6716, 2.1.4).
const SHORTEST: u32 = 120;

/// A packet that did not come, and is in its stream's cache now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restored {
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    /// Bytes of its payload, which lies behind a header of [`FIXED_LEN`].
    pub(super) len: usize,
}

impl InboundTrack {
    /// Whether a payload type is RED that can be taken apart: what is encrypted end to end is so as
    /// a whole.
    pub(super) fn is_red(&self, pt: u8) -> bool {
        let red = |codec: &InboundCodec| codec.codec == Codec::Red;
        !self.config.encrypted && self.codec(pt).is_some_and(red)
    }
}

impl Stream {
    /// Keeps what packet `sequence`, whose payload is `red`, has of packets that did not come, and
    /// tells of each. The copies in front of a packet are those of the ones before it, the last copy
    /// of the last one (RFC 2198 does not say so, but all encoders do it); the timestamps must
    /// agree.
    pub(super) fn restore(
        &mut self,
        (sequence, timestamp): (u64, u32),
        red: &Red<'_>,
        now: Instant,
        mut restored: impl FnMut(Restored),
    ) {
        let count = red.count() as u64;
        for (block, back) in red.earlier().zip((1..=count).rev()) {
            let Some(sequence) = sequence.checked_sub(back).filter(|_| back <= REACH) else {
                continue;
            };
            if !self.gaps.lacks(sequence) {
                continue;
            }
            let timestamp = timestamp.wrapping_sub(block.offset);
            let len = FIXED_LEN + block.payload.len();
            let is_usable = block.payload_type == red.payload_type
                && !block.payload.is_empty()
                && len <= self.cache.slot_len()
                && block.offset >= back as u32 * SHORTEST;
            if !is_usable || !self.agrees(sequence, timestamp) {
                continue;
            }
            self.gaps.fill(sequence, now);
            let mut packet = [0; FIXED_LEN + MAX_BLOCK_LEN];
            let header = Outgoing {
                marker: false,
                payload_type: block.payload_type,
                sequence: sequence as u16,
                timestamp,
                ssrc: self.ssrc,
                elements: &[],
            };
            header.write(&mut packet);
            packet[FIXED_LEN..len].copy_from_slice(block.payload);
            self.cache.insert(sequence, &packet[..len], now);
            restored(Restored {
                sequence,
                timestamp,
                len: block.payload.len(),
            });
        }
    }

    /// Whether a packet of this number can have this timestamp, by the nearest ones on either side
    /// that are kept.
    fn agrees(&self, sequence: u64, timestamp: u32) -> bool {
        let before = (1..=REACH).find_map(|steps| {
            let known = self.timestamp(sequence.checked_sub(steps)?)?;
            Some((steps, timestamp.wrapping_sub(known)))
        });
        let behind = (1..=REACH).find_map(|steps| {
            let known = self.timestamp(sequence.checked_add(steps)?)?;
            Some((steps, known.wrapping_sub(timestamp)))
        });
        let mut sides = before.into_iter().chain(behind);
        sides.all(|(steps, ticks)| ticks.cast_signed() >= (steps as u32 * SHORTEST).cast_signed())
    }

    /// The timestamp of a packet that is kept.
    fn timestamp(&self, sequence: u64) -> Option<u32> {
        let timestamp = self.cache.get(sequence)?.get(4..8)?.first_chunk()?;
        Some(u32::from_be_bytes(*timestamp))
    }
}

/// Leaves of a packet of RED only what is sent, of `len` bytes, in place: its header moves up to
/// that. Returns where it begins.
pub(super) fn strip(packet: &mut [u8], header: &mut Header, payload_type: u8, len: usize) -> usize {
    let start = header.payload.len() - len;
    packet.copy_within(..header.payload.start, start);
    packet[start + 1] = u8::from(header.marker) << 7 | payload_type;
    header.payload_type = payload_type;
    header.payload.end -= start;
    start
}
