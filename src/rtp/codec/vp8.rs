//! VP8 (RFC 7741).

use super::{Numbering, Size};

/// Whether this is the first packet of a key frame.
pub fn starts_keyframe(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    // Start of partition, and partition 0 (RFC 7741, 4.2).
    let starts_frame = first & 0x10 != 0 && first & 0x0f == 0;
    let frame = payload.get(Descriptor::parse(payload)?.len..)?;
    let tag = *frame.first()?;
    // Inverse key frame flag (RFC 7741, 4.3).
    if !starts_frame || tag & 0x01 != 0 {
        return Some(false);
    }
    // A key frame's header has a start code (RFC 6386, 9.1); without it this is something else.
    match frame.get(3..6) {
        Some([0x9d, 0x01, 0x2a]) => Some(true),
        _ => None,
    }
}

/// The picture's size, from the first packet of a key frame (RFC 6386, 9.1).
pub fn size(payload: &[u8]) -> Option<Size> {
    let frame = payload.get(Descriptor::parse(payload)?.len..)?;
    let [a, b, c, d] = *frame.get(6..)?.first_chunk()?;
    // The upper two bits of each say how to scale.
    let side = |low, high| u16::from_le_bytes([low, high]) & 0x3fff;
    Some(Size {
        width: side(a, b),
        height: side(c, d),
    })
}

/// The payload descriptor (RFC 7741, 4.2). It is readable also when the frame is encrypted end to
/// end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Its bytes.
    len: usize,
    /// The temporal layer; 0 if there is none.
    pub temporal: u8,
    /// The numbers in it.
    pub numbering: Numbering,
}

impl Descriptor {
    /// Reads the descriptor; `None` if it is cut.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut this = Self {
            len: 1,
            temporal: 0,
            numbering: Numbering::default(),
        };
        if payload.first()? & 0x80 == 0 {
            return Some(this);
        }
        let extensions = *payload.get(1)?;
        this.len = 2;
        if extensions & 0x80 != 0 {
            this.len = this.numbering.read_id(payload, this.len)?;
        }
        if extensions & 0x40 != 0 {
            this.len = this.numbering.read_tl0(payload, this.len)?;
        }
        if extensions & 0x30 != 0 {
            let byte = *payload.get(this.len)?;
            if extensions & 0x20 != 0 {
                this.temporal = byte >> 6;
            }
            this.len += 1;
        }
        Some(this)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Picture;
    use super::*;

    const KEY: [u8; 10] = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];

    fn packet(descriptor: &[u8], frame: &[u8]) -> Vec<u8> {
        [descriptor, frame].concat()
    }

    #[test]
    fn the_first_packet_of_a_key_frame_is_recognised_behind_any_descriptor() {
        for descriptor in [
            &[0x10][..],
            &[0x90, 0x80, 0x11],
            &[0x90, 0x80, 0x91, 0x22],
            &[0x90, 0xe0, 0x91, 0x22, 0x01, 0x20],
        ] {
            let payload = packet(descriptor, &KEY);
            assert_eq!(starts_keyframe(&payload), Some(true), "{descriptor:?}");
        }
    }

    #[test]
    fn later_packets_and_other_frames_are_not() {
        assert_eq!(starts_keyframe(&packet(&[0x00], &KEY)), Some(false));
        assert_eq!(starts_keyframe(&packet(&[0x11], &KEY)), Some(false));
        assert_eq!(starts_keyframe(&[0x10, 0x31, 0, 0]), Some(false));
    }

    #[test]
    fn nonsense_is_unreadable_not_a_key_frame() {
        assert_eq!(starts_keyframe(&[]), None);
        assert_eq!(starts_keyframe(&[0x90]), None);
        assert_eq!(starts_keyframe(&[0x90, 0x80, 0x91]), None);
        assert_eq!(starts_keyframe(&[0x10, 0x00, 1, 2, 3, 4, 5]), None);
    }

    #[test]
    fn a_key_frame_says_how_large_the_picture_is() {
        let size = size(&packet(&[0x90, 0x80, 0x11], &KEY)).expect("readable");
        assert_eq!((size.width, size.height), (640, 480));
        assert_eq!(super::size(&[0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x80]), None);
    }

    #[test]
    fn numbers_are_shifted_in_place_and_wrap() {
        let shift = |id, tl0| Picture { id, tl0, frame: 0 };
        let before = [0x90, 0xe0, 0xff, 0xfe, 0xff, 0x80, 0xaa];
        let descriptor = Descriptor::parse(&before).expect("whole");
        assert_eq!(descriptor.temporal, 2);
        assert_eq!(descriptor.numbering.picture, shift(0x7ffe, 0xff));
        let mut after = before;
        descriptor.numbering.write(shift(3, 2), &mut after);
        assert_eq!(after, [0x90, 0xe0, 0x80, 0x01, 0x01, 0x80, 0xaa]);
        let short = [0x90, 0x80, 0x7f, 0];
        let mut after = short;
        let descriptor = Descriptor::parse(&short).expect("whole");
        descriptor.numbering.write(shift(1, 0), &mut after);
        assert_eq!(after, [0x90, 0x80, 0x00, 0]);
    }
}
