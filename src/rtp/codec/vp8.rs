//! VP8 (RFC 7741).

use super::Size;

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
    /// Where the picture id is, and whether it has 15 bits.
    picture_id: Option<(usize, bool)>,
    /// Where TL0PICIDX is.
    tl0: Option<usize>,
    /// The temporal layer; 0 if there is none.
    pub temporal: u8,
    /// The picture id and TL0PICIDX as they came; 0 where there is none.
    pub picture: Picture,
}

/// The numbers of a frame, or how they are shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Picture {
    /// Picture id, modulo 2¹⁵.
    pub id: u16,
    /// Index of the frame of temporal layer 0 this one belongs to.
    pub tl0: u8,
}

impl Picture {
    /// These numbers, shifted.
    pub fn shifted(self, by: Self) -> Self {
        Self {
            id: self.id.wrapping_add(by.id) & 0x7fff,
            tl0: self.tl0.wrapping_add(by.tl0),
        }
    }

    /// The shift that makes `from` this.
    pub fn since(self, from: Self) -> Self {
        Self {
            id: self.id.wrapping_sub(from.id) & 0x7fff,
            tl0: self.tl0.wrapping_sub(from.tl0),
        }
    }
}

impl Descriptor {
    /// Reads the descriptor; `None` if it is cut.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut this = Self {
            len: 1,
            picture_id: None,
            tl0: None,
            temporal: 0,
            picture: Picture::default(),
        };
        if payload.first()? & 0x80 == 0 {
            return Some(this);
        }
        let extensions = *payload.get(1)?;
        this.len = 2;
        if extensions & 0x80 != 0 {
            let first = *payload.get(this.len)?;
            let long = first & 0x80 != 0;
            this.picture_id = Some((this.len, long));
            this.picture.id = match long {
                true => u16::from_be_bytes([first & 0x7f, *payload.get(this.len + 1)?]),
                false => first.into(),
            };
            this.len += 1 + usize::from(long);
        }
        if extensions & 0x40 != 0 {
            this.tl0 = Some(this.len);
            this.picture.tl0 = *payload.get(this.len)?;
            this.len += 1;
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

    /// Whether there is anything in it that a shift changes.
    pub fn is_numbered(&self) -> bool {
        self.picture_id.is_some() || self.tl0.is_some()
    }

    /// Shifts the numbers in a copy of the payload that this was parsed from.
    pub fn write(&self, shift: Picture, payload: &mut [u8]) {
        let shifted = self.picture.shifted(shift);
        if let Some((at, long)) = self.picture_id
            && let Some(bytes) = payload.get_mut(at..at + 1 + usize::from(long))
        {
            match bytes {
                [only] => *only = shifted.id as u8 & 0x7f,
                bytes => bytes.copy_from_slice(&(shifted.id | 0x8000).to_be_bytes()),
            }
        }
        if let Some(byte) = self.tl0.and_then(|at| payload.get_mut(at)) {
            *byte = shifted.tl0;
        }
    }
}

#[cfg(test)]
mod tests {
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
        let before = [0x90, 0xe0, 0xff, 0xfe, 0xff, 0x80, 0xaa];
        let descriptor = Descriptor::parse(&before).expect("whole");
        assert_eq!(descriptor.temporal, 2);
        assert_eq!(
            (descriptor.picture.id, descriptor.picture.tl0),
            (0x7ffe, 0xff)
        );
        let mut after = before;
        descriptor.write(Picture { id: 3, tl0: 2 }, &mut after);
        assert_eq!(after, [0x90, 0xe0, 0x80, 0x01, 0x01, 0x80, 0xaa]);
        let short = [0x90, 0x80, 0x7f, 0];
        let mut after = short;
        let descriptor = Descriptor::parse(&short).expect("whole");
        descriptor.write(Picture { id: 1, tl0: 0 }, &mut after);
        assert_eq!(after, [0x90, 0x80, 0x00, 0]);
    }

    #[test]
    fn a_shift_is_the_distance_between_two_pictures() {
        let (from, to) = (
            Picture {
                id: 0x7fff,
                tl0: 250,
            },
            Picture { id: 2, tl0: 3 },
        );
        assert_eq!(from.shifted(to.since(from)), to);
    }
}
