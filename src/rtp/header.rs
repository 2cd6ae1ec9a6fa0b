//! The RTP header (RFC 3550, 5.1): a view of what came, and a writer for what leaves.

use std::ops::Range;

use super::extension::{self, Element, Elements};

/// Bytes of a header without CSRCs and extensions.
pub const FIXED_LEN: usize = 12;

/// Bytes that a header written by [`Outgoing::write`] may need at most: the fixed part, the
/// block's own header, and [`extension::MAX_BLOCK_LEN`].
pub const MAX_LEN: usize = FIXED_LEN + 4 + extension::MAX_BLOCK_LEN;

/// A received header; the ranges point into the packet it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in ticks of the codec's clock.
    pub timestamp: u32,
    /// Source.
    pub ssrc: u32,
    /// "Defined by profile" of the extension block; says which form its elements have.
    pub extension_profile: u16,
    /// Content of the extension block; empty if there is none.
    pub extension: Range<usize>,
    /// Payload, padding excluded.
    pub payload: Range<usize>,
}

impl Header {
    /// Reads the header of a whole, decrypted packet. `None` if its lengths contradict each other.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; FIXED_LEN] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut at = FIXED_LEN + 4 * usize::from(fixed[0] & 0x0f);
        let (mut extension_profile, mut extension) = (0, at..at);
        if fixed[0] & 0x10 != 0 {
            let block: &[u8; 4] = packet.get(at..)?.first_chunk()?;
            extension_profile = u16::from_be_bytes([block[0], block[1]]);
            let len = 4 * usize::from(u16::from_be_bytes([block[2], block[3]]));
            extension = at + 4..at + 4 + len;
            at = extension.end;
        }
        let padding = match fixed[0] & 0x20 {
            0 => 0,
            _ => usize::from(*packet.last()?),
        };
        let end = packet.len().checked_sub(padding)?;
        if end < at || (fixed[0] & 0x20 != 0 && padding == 0) {
            return None;
        }
        Some(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            extension_profile,
            extension,
            payload: at..end,
        })
    }

    /// The extension elements of the packet this was parsed from.
    pub fn elements<'a>(&self, packet: &'a [u8]) -> Elements<'a> {
        let block = packet.get(self.extension.clone()).unwrap_or_default();
        Elements::new(self.extension_profile, block)
    }
}

/// A header to be written.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in ticks of the codec's clock.
    pub timestamp: u32,
    /// Source.
    pub ssrc: u32,
    /// Extension elements.
    pub elements: &'a [Element<'a>],
}

impl Outgoing<'_> {
    /// Writes the header and returns its length. `out` must have room for [`MAX_LEN`] bytes.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let block_len = extension::write(self.elements, &mut out[FIXED_LEN..]);
        out[0] = if block_len == 0 { 0x80 } else { 0x90 };
        out[1] = u8::from(self.marker) << 7 | self.payload_type;
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        FIXED_LEN + block_len
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(elements: &[Element<'_>], payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; MAX_LEN];
        let outgoing = Outgoing {
            marker: true,
            payload_type: 96,
            sequence: 0xfffe,
            timestamp: 0x0102_0304,
            ssrc: 0xdead_beef,
            elements,
        };
        let len = outgoing.write(&mut packet);
        packet.truncate(len);
        packet.extend_from_slice(payload);
        packet
    }

    #[test]
    fn what_is_written_is_read_back() {
        let packet = written(&[(3, b"abc"), (5, b"1")], b"payload");
        let header = Header::parse(&packet).expect("valid");
        assert!(header.marker);
        assert_eq!(header.payload_type, 96);
        assert_eq!(header.sequence, 0xfffe);
        assert_eq!(header.timestamp, 0x0102_0304);
        assert_eq!(header.ssrc, 0xdead_beef);
        assert_eq!(&packet[header.payload.clone()], b"payload");
        let elements: Vec<_> = header.elements(&packet).collect();
        assert_eq!(elements, [(3, &b"abc"[..]), (5, &b"1"[..])]);
    }

    #[test]
    fn padding_is_not_payload() {
        let mut packet = written(&[], b"xy");
        packet[0] |= 0x20;
        packet.extend_from_slice(&[0, 0, 3]);
        let header = Header::parse(&packet).expect("valid");
        assert_eq!(&packet[header.payload], b"xy");
    }

    #[test]
    fn lengths_beyond_the_packet_are_refused() {
        let whole = written(&[(3, b"abc")], b"");
        for len in 0..whole.len() {
            assert_eq!(Header::parse(&whole[..len]), None, "{len} bytes");
        }
        let mut padded = written(&[], b"xy");
        padded[0] |= 0x20;
        for padding in [0, 15] {
            padded[13] = padding;
            assert_eq!(Header::parse(&padded), None, "padding of {padding}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_give_ranges_inside_the_packet(bytes: Vec<u8>) {
            if let Some(header) = Header::parse(&bytes) {
                prop_assert!(header.extension.end <= header.payload.start);
                prop_assert!(header.payload.end <= bytes.len());
                for (_, data) in header.elements(&bytes) {
                    prop_assert!(data.len() <= 255);
                }
            }
        }
    }
}
