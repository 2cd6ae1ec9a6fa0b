//! RED for subscribers (RFC 2198): beside a packet of sound leave the ones before it, so that who
//! loses one has it with the next, and not a round trip later.
//!
//! It is made here for each subscriber, of what the cache has, and never passed on from the publisher:
//! so each gets as much as its own network needs, whatever the publisher's does, and also the sound
//! of a publisher that knows no RED.

use super::command::Redundancy;
use super::inbound::InboundTrack;
use super::outbound::OutboundTrack;
use super::resend::Form;
use crate::rtp::header::Header;
use crate::rtp::red::{self, MAX_BLOCK_LEN, MAX_OFFSET};

/// Most earlier packets that leave with one.
pub(super) const MAX_EARLIER: u8 = 2;

/// Longest payload, in bytes: with its headers it fits every path.
const MAX_LEN: usize = 1_150;

/// A packet of sound that is about to leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sound<'a> {
    /// Its number.
    pub(super) number: u64,
    /// Its timestamp.
    pub(super) timestamp: u32,
    /// The payload type that it has alone.
    pub(super) payload_type: u8,
    /// Its payload.
    pub(super) payload: &'a [u8],
}

impl OutboundTrack {
    /// Writes the payload of RED that has `sound` and up to `most` packets before it, without a hole.
    /// Returns how many these are: 0 if there is none, and then nothing is written.
    ///
    /// The number says all of what is written, as long as the cache has these packets: whoever
    /// writes it again must end up with the same one.
    pub(super) fn pack(
        &self,
        sound: Sound<'_>,
        most: u8,
        inbound: &InboundTrack,
        out: &mut Vec<u8>,
    ) -> u8 {
        let fits = |red: &Redundancy| red.inside == sound.payload_type;
        if most == 0 || self.config.redundancy.filter(fits).is_none() {
            return 0;
        }
        let mut blocks: [(u32, &[u8]); MAX_EARLIER as usize] = Default::default();
        let (mut count, mut offset, mut len) = (0, 0, sound.payload.len());
        while count < usize::from(most.min(MAX_EARLIER)) {
            let Some(number) = sound.number.checked_sub(count as u64 + 1) else {
                break;
            };
            let Some((timestamp, payload)) = self.earlier(number, sound.payload_type, inbound)
            else {
                break;
            };
            let older = sound.timestamp.wrapping_sub(timestamp);
            len += payload.len();
            let is_whole = !payload.is_empty() && payload.len() <= MAX_BLOCK_LEN;
            let fits = len + red::overhead(count + 1) <= MAX_LEN;
            if !(is_whole && fits && older > offset && older <= MAX_OFFSET) {
                break;
            }
            blocks[count] = (older, payload);
            (count, offset) = (count + 1, older);
        }
        if count > 0 {
            let blocks = &mut blocks[..count];
            blocks.reverse();
            out.clear();
            red::push(out, sound.payload_type, blocks, sound.payload);
        }
        count as u8
    }

    /// Makes what left of `sound` once more, byte for byte: the payload type of RED if it was that,
    /// and then it is in `out`. `None`: it cannot be made any more. RED's own number needs no look: on
    /// one leg it belongs to that of the Opus inside (`negotiator::numbers`), which is compared.
    pub(super) fn pack_again(
        &self,
        sound: Sound<'_>,
        form: Form,
        inbound: &InboundTrack,
        out: &mut Vec<u8>,
    ) -> Option<Option<u8>> {
        let count = self.pack(sound, form.earlier, inbound, out);
        if (count, sound.payload_type) != (form.earlier, form.payload_type) {
            return None;
        }
        let red = self.config.redundancy.filter(|_| count > 0);
        Some(red.map(|red| red.outbound))
    }

    /// The timestamp and the payload under which packet `number` left, or would have left, if it is
    /// of this payload type.
    fn earlier<'a>(
        &self,
        number: u64,
        payload_type: u8,
        inbound: &'a InboundTrack,
    ) -> Option<(u32, &'a [u8])> {
        let original = self.selector.rewriter.original(number as u16)?;
        let stream = inbound.stream(original.source)?;
        let bytes = stream.cache.get(original.sequence)?;
        let header = Header::parse(bytes)?;
        let known = self.payload_type(header.payload_type)?;
        let timestamp = header.timestamp.wrapping_add(original.timestamp_offset);
        (known.outbound == payload_type).then(|| (timestamp, &bytes[header.payload]))
    }
}
