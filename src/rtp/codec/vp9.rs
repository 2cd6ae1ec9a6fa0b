//! VP9 (RFC 9628). The payload descriptor is readable also when the frame is encrypted end to end.

use super::{Numbering, Size};

/// Spatial layers told apart; a structure may announce more.
const LAYERS: usize = 3;

/// Most references of a frame in flexible mode, and of a picture in a group (RFC 9628, 4.2).
const MAX_REFERENCES: usize = 3;

/// The payload descriptor (RFC 9628, 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// The numbers in it.
    pub numbering: Numbering,
    /// The spatial layer.
    pub spatial: u8,
    /// The temporal layer; 0 if there is none.
    pub temporal: u8,
    /// Whether the frame refers to earlier pictures.
    pub predicted: bool,
    /// Whether this is the first packet of its layer's frame.
    pub starts: bool,
    /// Whether this is the last packet of its layer's frame.
    pub ends: bool,
    /// What the scalability structure announces, if it is here.
    pub structure: Option<Structure>,
}

/// The scalability structure, as far as it concerns spatial layers (RFC 9628, 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Structure {
    /// How many spatial layers there are.
    pub layers: u8,
    /// How large their pictures are, if it says so.
    pub sizes: [Option<Size>; LAYERS],
}

impl Descriptor {
    /// Reads the descriptor; `None` if it is cut.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let has = |bit: u8| first & bit != 0;
        let flexible = has(0x10);
        let mut this = Self {
            predicted: has(0x40),
            starts: has(0x08),
            ends: has(0x04),
            ..Self::default()
        };
        let mut at = 1;
        if has(0x80) {
            at = this.numbering.read_id(payload, at)?;
        }
        if has(0x20) {
            let layers = *payload.get(at)?;
            this.temporal = layers >> 5;
            this.spatial = layers >> 1 & 0x07;
            at += 1;
            if !flexible {
                at = this.numbering.read_tl0(payload, at)?;
            }
        }
        if flexible && this.predicted {
            // Each reference has a bit that says whether one more follows.
            for _ in 0..MAX_REFERENCES {
                at += 1;
                if payload.get(at - 1)? & 1 == 0 {
                    break;
                }
            }
        }
        if has(0x02) {
            this.structure = Some(Structure::parse(payload.get(at..)?)?);
        }
        Some(this)
    }

    /// Whether this is the first packet of a key picture. Higher spatial layers of one depend on
    /// the lowest.
    pub fn starts_keyframe(&self) -> bool {
        self.starts && !self.predicted && self.spatial == 0
    }
}

impl Structure {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let head = *bytes.first()?;
        let layers = (head >> 5) + 1;
        let mut sizes = [None; LAYERS];
        if head & 0x10 != 0 {
            let (all, _) = bytes.get(1..)?.as_chunks::<4>();
            for (index, [a, b, c, d]) in all.get(..layers.into())?.iter().enumerate() {
                if let Some(size) = sizes.get_mut(index) {
                    *size = Some(Size {
                        width: u16::from_be_bytes([*a, *b]),
                        height: u16::from_be_bytes([*c, *d]),
                    });
                }
            }
        }
        Some(Self { layers, sizes })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Picture;
    use super::*;

    fn starts_keyframe(payload: &[u8]) -> Option<bool> {
        Descriptor::parse(payload).map(|descriptor| descriptor.starts_keyframe())
    }

    #[test]
    fn a_frame_that_predicts_from_nothing_starts_a_key_frame() {
        assert_eq!(starts_keyframe(&[0x08, 0]), Some(true));
        assert_eq!(starts_keyframe(&[0x88, 0x91, 0x22, 0]), Some(true));
        assert_eq!(starts_keyframe(&[0xa8, 0x91, 0x22, 0x00, 0]), Some(true));
    }

    #[test]
    fn predicted_frames_later_packets_and_upper_layers_do_not() {
        assert_eq!(starts_keyframe(&[0x48, 0]), Some(false));
        assert_eq!(starts_keyframe(&[0x00, 0]), Some(false));
        assert_eq!(starts_keyframe(&[0xa8, 0x11, 0x02, 0]), Some(false));
    }

    #[test]
    fn a_cut_descriptor_is_unreadable() {
        assert_eq!(starts_keyframe(&[]), None);
        assert_eq!(starts_keyframe(&[0x88]), None);
        assert_eq!(starts_keyframe(&[0xa8, 0x11]), None);
        assert_eq!(starts_keyframe(&[0x50, 0x01, 0x03]), None);
    }

    #[test]
    fn layers_and_sizes_are_read_behind_the_picture_id() {
        let delta = Descriptor::parse(&[0xe8, 0x91, 0x22, 0x42, 7, 0]).expect("whole");
        assert_eq!((delta.spatial, delta.temporal), (1, 2));
        assert_eq!((delta.predicted, delta.structure), (true, None));
        // Two spatial layers, with sizes.
        let key = [0xaa, 0x91, 0x22, 0, 7, 0x30, 1, 64, 0, 180, 2, 128, 1, 104];
        let read = Descriptor::parse(&key).and_then(|descriptor| descriptor.structure);
        let structure = read.expect("announced");
        assert_eq!(structure.layers, 2);
        let size = |width, height| Some(Size { width, height });
        assert_eq!(structure.sizes, [size(320, 180), size(640, 360), None]);
        assert_eq!(Descriptor::parse(&key[..12]), None);
        // In flexible mode there is no TL0PICIDX, but a reference.
        let flexible = [0xfa, 0x91, 0x22, 0, 0x02, 0x10, 1, 64, 0, 180];
        let structure = Descriptor::parse(&flexible).and_then(|read| read.structure);
        assert_eq!(structure.map(|s| s.sizes[0]), Some(size(320, 180)));
    }

    #[test]
    fn numbers_are_shifted_where_they_are() {
        let before = [0xac, 0xff, 0xfe, 0x20, 0xff, 0xaa];
        let descriptor = Descriptor::parse(&before).expect("whole");
        assert!(descriptor.starts && descriptor.ends);
        let mut after = before;
        let (id, tl0, frame) = (3, 2, 0);
        let numbering = descriptor.numbering;
        numbering.write(Picture { id, tl0, frame }, &mut after);
        assert_eq!(after, [0xac, 0x80, 0x01, 0x20, 0x01, 0xaa]);
    }
}
