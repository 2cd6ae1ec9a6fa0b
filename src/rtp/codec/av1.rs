//! AV1 (RTP Payload Format For AV1, AOMedia, version 1.0).

use super::Size;
use crate::rtp::bits::Bits;

/// Whether this packet begins a coded video sequence: the N bit of the aggregation header (4.4).
pub fn starts_keyframe(payload: &[u8]) -> Option<bool> {
    let head = *payload.first()?;
    // A new sequence cannot begin with the rest of an earlier unit (4.4), and three bits are 0.
    match (head & 0x88, head & 0x07) {
        (_, reserved) if reserved != 0 => None,
        (0x88, _) => None,
        (bits, _) => Some(bits == 0x08),
    }
}

const SEQUENCE_HEADER: u32 = 1;

/// The picture's size, from the sequence header of the first packet of a key frame (AV1 bitstream
/// specification, 5.5.1): the largest one of the sequence.
pub fn size(payload: &[u8]) -> Option<Size> {
    let (head, rest) = payload.split_first()?;
    // W, the number of elements, of which the last has no length; 0: all have one (4.4).
    let elements = match head >> 4 & 0x03 {
        0 => usize::MAX,
        count => usize::from(count),
    };
    let mut rest = rest;
    for element in 1..=MAX_ELEMENTS {
        let unit = match element == elements {
            true => std::mem::take(&mut rest),
            false => {
                let len = leb128(&mut rest)?;
                let (unit, next) = rest.split_at_checked(len)?;
                rest = next;
                unit
            }
        };
        if let Some(size) = sequence_size(unit) {
            return Some(size);
        }
        if rest.is_empty() {
            return None;
        }
    }
    None
}

/// Elements of one packet that are looked at: the sequence header comes first.
const MAX_ELEMENTS: usize = 4;

/// Reads a length (AV1 bitstream specification, 4.10.5); four bytes are enough for a packet.
fn leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for place in 0..4 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The size from `sequence_header_obu()`; `None` if the unit is another one.
fn sequence_size(unit: &[u8]) -> Option<Size> {
    let mut bits = Bits::new(unit);
    if bits.flag()? || bits.read(4)? != SEQUENCE_HEADER {
        return None;
    }
    let (extended, has_len) = (bits.flag()?, bits.flag()?);
    bits.skip(1 + if extended { 8 } else { 0 })?;
    if has_len {
        while bits.flag()? {
            bits.skip(7)?;
        }
        bits.skip(7)?;
    }
    // Profile, and whether it is a single picture.
    bits.skip(4)?;
    if bits.flag()? {
        bits.skip(5)?;
    } else {
        skip_operating_points(&mut bits)?;
    }
    let (width_bits, height_bits) = (bits.read(4)? as usize + 1, bits.read(4)? as usize + 1);
    Some(Size {
        width: u16::try_from(bits.read(width_bits)? + 1).ok()?,
        height: u16::try_from(bits.read(height_bits)? + 1).ok()?,
    })
}

/// Passes over timing and operating points (AV1 bitstream specification, 5.5.1 to 5.5.5).
fn skip_operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            bits.exp_golomb()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.read(5)? as usize + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let initial_delay = bits.flag()?;
    for _ in 0..=bits.read(5)? {
        bits.skip(12)?;
        if bits.read(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if initial_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::bits::BitsMut;

    #[test]
    fn the_new_sequence_bit_starts_a_key_frame() {
        assert_eq!(starts_keyframe(&[0x18, 0x0a]), Some(true));
        assert_eq!(starts_keyframe(&[0x10, 0x32]), Some(false));
        assert_eq!(starts_keyframe(&[0x90, 0x32]), Some(false));
    }

    #[test]
    fn impossible_headers_are_unreadable() {
        assert_eq!(starts_keyframe(&[]), None);
        assert_eq!(starts_keyframe(&[0x88]), None);
        assert_eq!(starts_keyframe(&[0x1b]), None);
    }

    #[test]
    fn a_sequence_header_says_how_large_the_picture_is() {
        let header = sequence_header();
        for (payload, size) in [
            ([&[0x18][..], &header].concat(), Some((640, 360))),
            (
                [&[0x28, header.len() as u8][..], &header, &[0x30, 1]].concat(),
                Some((640, 360)),
            ),
            (
                [&[0x08, header.len() as u8][..], &header].concat(),
                Some((640, 360)),
            ),
            ([&[0x18][..], &header[..4]].concat(), None),
            (vec![0x18, 0x32, 1, 2, 3], None),
            (vec![0x28, 0x90], None),
        ] {
            let read = super::size(&payload).map(|size| (size.width, size.height));
            assert_eq!(read, size, "{payload:?}");
        }
    }

    /// A sequence header of 640 by 360 pixels with one operating point; its unit has no length of
    /// its own, as in packets.
    fn sequence_header() -> Vec<u8> {
        let mut bytes = [0; 16];
        let mut out = BitsMut::new(&mut bytes);
        // Unit header; profile, still, reduced, timing, delay; points, which, level; sides.
        let fields = [(0x08, 8), (0, 3 + 1 + 1 + 1 + 1), (0, 5), (0, 12), (4, 5)];
        let sides = [(9, 4), (8, 4), (639, 10), (359, 9), (0x55, 7)];
        for (value, count) in fields.into_iter().chain(sides) {
            out.write(value, count).expect("room");
        }
        let len = out.finish();
        bytes[..len].to_vec()
    }
}
