//! What a packet says about its frame: by the dependency descriptor where there is one, else by
//! its payload, as far as that can be believed. Payloads that are encrypted end to end are not
//! read at all, only what lies before them: header extensions and payload descriptors.

use super::command::Codec;
use crate::rtp::codec::dependency::{self, Role, Roles, Structure};
use crate::rtp::codec::{Numbering, Picture, Size, av1, h264, vp8, vp9};

/// Spatial layers told apart.
pub(super) const MAX_SPATIAL: usize = dependency::LAYERS;

/// What is known of a packet's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Whether a decoder can begin with this packet; `None` if that cannot be read.
    pub(super) keyframe: Option<bool>,
    /// Its spatial layer.
    pub(super) spatial: u8,
    /// Its temporal layer; 0 if it does not say.
    pub(super) temporal: u8,
    /// The spatial layers, as bits, that cannot be decoded without it.
    pub(super) needed_by: u8,
    /// Whether this packet begins a frame that refers to no earlier picture: from here on, its
    /// layer can be decoded by who can decode the one below.
    pub(super) joins: bool,
    /// Whether this is the last packet of its layer's frame.
    pub(super) ends: bool,
    /// The numbers inside the payload.
    pub(super) numbering: Numbering,
    /// Whether receivers take a hole in the numbers of pictures for a loss.
    pub(super) counted: bool,
    /// What the dependency descriptor says of other frames.
    pub(super) links: Option<Links>,
}

/// How a frame depends on others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Links {
    /// Its number.
    pub(super) number: u16,
    /// Whom it is for.
    pub(super) roles: Roles,
    /// What it refers to, as bits: bit 0 is the frame before it.
    pub(super) references: u64,
}

impl Default for Frame {
    /// Of a codec that has no layers, and whose payload cannot be read.
    fn default() -> Self {
        Self {
            keyframe: None,
            spatial: 0,
            temporal: 0,
            needed_by: needed_from(0),
            joins: false,
            ends: false,
            numbering: Numbering::default(),
            counted: false,
            links: None,
        }
    }
}

impl Frame {
    /// The numbers of its picture, if it has any.
    pub(super) fn picture(&self) -> Option<Picture> {
        let is_numbered = self.numbering.is_numbered() || self.links.is_some();
        is_numbered.then(|| Picture {
            frame: self.links.map_or(0, |links| links.number),
            ..self.numbering.picture
        })
    }
}

/// Everything from a layer on up.
fn needed_from(spatial: u8) -> u8 {
    0xff << spatial.min(MAX_SPATIAL as u8 - 1)
}

/// Reads the packets of one stream.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    /// What the dependency descriptor announced.
    pub(super) structure: Box<Structure>,
    spatial_layers: u8,
    nonsense: Nonsense,
}

impl FrameReader {
    /// What a packet says. `encrypted`: its payload is known to be encrypted end to end.
    pub(super) fn read(
        &mut self,
        codec: Codec,
        payload: &[u8],
        descriptor: Option<&[u8]>,
        encrypted: bool,
    ) -> Frame {
        let (mut frame, readable) = self.read_payload(codec, payload, encrypted);
        if let Some(descriptor) = descriptor {
            // What a descriptor contradicts is not believed.
            frame.keyframe = dependency::starts_keyframe(descriptor);
            if let Some(read) = self.structure.read(descriptor) {
                self.spatial_layers = self.structure.spatial_layers().min(MAX_SPATIAL) as u8;
                apply(&mut frame, &read);
            }
        } else if !readable {
            frame.keyframe = None;
        }
        frame
    }

    /// Takes over what a descriptor announces.
    pub(super) fn learn(&mut self, descriptor: &[u8]) {
        if dependency::starts_keyframe(descriptor) == Some(true) {
            self.structure.read(descriptor);
            self.spatial_layers = self.structure.spatial_layers().min(MAX_SPATIAL) as u8;
        }
    }

    /// Whether the stream carries several spatial layers.
    pub(super) fn is_spatial(&self) -> bool {
        self.spatial_layers > 1
    }

    /// Whether payloads make sense so far.
    pub(super) fn is_blind(&self) -> bool {
        self.nonsense.prevails()
    }

    /// The sizes of the pictures of each spatial layer, as far as this first packet of a key frame
    /// says them.
    pub(super) fn sizes(
        &self,
        codec: Codec,
        payload: &[u8],
        encrypted: bool,
    ) -> [Option<Size>; MAX_SPATIAL] {
        let announced: [_; MAX_SPATIAL] = std::array::from_fn(|layer| self.structure.size(layer));
        if announced[0].is_some() {
            return announced;
        }
        let only = match codec {
            Codec::Vp9 => {
                let structure = vp9::Descriptor::parse(payload).and_then(|read| read.structure);
                return structure.map_or([None; MAX_SPATIAL], |structure| structure.sizes);
            }
            _ if encrypted || self.is_blind() => None,
            Codec::Vp8 => vp8::size(payload),
            Codec::H264 => h264::size(payload),
            Codec::Av1 => av1::size(payload),
            Codec::Opus | Codec::Red => None,
        };
        [only, None, None]
    }

    /// What the payload says, and whether that can be believed.
    fn read_payload(&mut self, codec: Codec, payload: &[u8], encrypted: bool) -> (Frame, bool) {
        let mut frame = Frame::default();
        match codec {
            Codec::Opus | Codec::Red => frame.keyframe = Some(true),
            Codec::Vp9 => {
                if let Some(read) = vp9::Descriptor::parse(payload) {
                    frame.keyframe = Some(read.starts_keyframe());
                    self.read_vp9(&read, &mut frame);
                }
                // All of it lies before what is encrypted.
                return (frame, true);
            }
            Codec::Vp8 => {
                if let Some(read) = vp8::Descriptor::parse(payload) {
                    frame.temporal = read.temporal;
                    frame.numbering = read.numbering;
                    frame.counted = true;
                }
                frame.keyframe = vp8::starts_keyframe(payload);
            }
            Codec::H264 => frame.keyframe = h264::starts_keyframe(payload),
            Codec::Av1 => frame.keyframe = av1::starts_keyframe(payload),
        }
        if !payload.is_empty() {
            self.nonsense.observe(frame.keyframe.is_none());
        }
        (frame, !encrypted && !self.is_blind())
    }

    fn read_vp9(&mut self, read: &vp9::Descriptor, frame: &mut Frame) {
        if let Some(structure) = read.structure {
            self.spatial_layers = structure.layers.min(MAX_SPATIAL as u8);
        }
        frame.spatial = read.spatial;
        frame.temporal = read.temporal;
        // Also what an upper layer does not refer to is sent with it: so it can be left at once.
        frame.needed_by = needed_from(read.spatial);
        frame.joins = read.starts && !read.predicted;
        frame.ends = read.ends;
        frame.numbering = read.numbering;
    }
}

/// Takes over what a dependency descriptor says.
fn apply(frame: &mut Frame, read: &dependency::Frame) {
    frame.spatial = read.spatial;
    frame.temporal = read.temporal;
    frame.ends = read.ends;
    frame.joins = false;
    let highest = MAX_SPATIAL - 1;
    let present = |layer: &usize| read.roles.of(*layer, highest) != Role::NotPresent;
    let needed_by = (0..MAX_SPATIAL).filter(present);
    frame.needed_by = needed_by.fold(0, |mask, layer| mask | 1 << layer);
    frame.links = Some(Links {
        number: read.number,
        roles: read.roles,
        references: read.references,
    });
}

/// Remembers payloads that make no sense: encrypted ones do not look so every time.
#[derive(Debug, Default)]
struct Nonsense {
    /// Payloads that make sense before the others are believed again.
    left: u8,
}

impl Nonsense {
    /// Half of the packets that are nothing but noise make no sense, with every codec.
    const MEMORY: u8 = 64;

    fn observe(&mut self, nonsense: bool) {
        self.left = match nonsense {
            true => Self::MEMORY,
            false => self.left.saturating_sub(1),
        };
    }

    fn prevails(&self) -> bool {
        self.left > 0
    }
}

/// The numbers inside a payload.
pub(super) fn numbering(codec: Codec, payload: &[u8]) -> Option<Numbering> {
    match codec {
        Codec::Vp8 => vp8::Descriptor::parse(payload).map(|read| read.numbering),
        Codec::Vp9 => vp9::Descriptor::parse(payload).map(|read| read.numbering),
        Codec::Opus | Codec::Red | Codec::H264 | Codec::Av1 => None,
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// What Chromium announces with a key frame: one spatial and three temporal layers, 320 by 240.
    const CHROMIUM: [u8; 23] = [
        0xc0, 0x00, 0x01, 0x80, 0x02, 0x04, 0x4e, 0xaa, 0xaf, 0x28, 0x60, 0x41, 0x4d, 0x34, 0x53,
        0x8a, 0x09, 0x40, 0x40, 0x4f, 0xc0, 0x3b, 0xc0,
    ];

    const VIDEO: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    #[test]
    fn a_dependency_descriptor_is_believed_before_the_payload() {
        let mut reader = FrameReader::default();
        for codec in VIDEO {
            let key = reader.read(codec, &[0xff], Some(&CHROMIUM), false);
            assert_eq!((key.keyframe, key.temporal), (Some(true), 0));
            assert_eq!(
                reader.sizes(codec, &[0xff], true)[0].map(|s| s.width),
                Some(320)
            );
            let delta = reader.read(codec, &[0x08], Some(&[0xc3, 0, 2]), true);
            assert_eq!((delta.keyframe, delta.temporal), (Some(false), 1));
            assert_eq!(delta.picture().map(|picture| picture.frame), Some(2));
        }
        assert!(!reader.is_spatial());
    }

    #[test]
    fn random_payloads_are_never_taken_for_key_frames_once_they_are_known_to_be_encrypted() {
        let mut dice = StdRng::seed_from_u64(7);
        for codec in [Codec::Vp8, Codec::H264, Codec::Av1] {
            let mut reader = FrameReader::default();
            for _ in 0..20_000 {
                let mut payload = [0; 40];
                dice.fill(&mut payload);
                let frame = reader.read(codec, &payload, None, true);
                assert_eq!(frame.keyframe, None, "{codec:?} {payload:?}");
                assert_eq!(reader.sizes(codec, &payload, true), [None; 3]);
            }
        }
    }

    #[test]
    fn random_payloads_give_themselves_away() {
        let mut dice = StdRng::seed_from_u64(8);
        for codec in [Codec::Vp8, Codec::H264, Codec::Av1] {
            let mut reader = FrameReader::default();
            let mut believed = 0;
            for _ in 0..20_000 {
                let mut payload = [0; 40];
                dice.fill(&mut payload);
                // The descriptor before the frame is a real one.
                if codec == Codec::Vp8 {
                    payload[0] = 0x10;
                }
                let frame = reader.read(codec, &payload, None, false);
                believed += u32::from(frame.keyframe.is_some());
            }
            assert!(believed < 10, "{codec:?}: {believed}");
            assert!(reader.is_blind());
        }
    }

    #[test]
    fn the_layers_of_vp9_are_needed_by_those_above() {
        let mut reader = FrameReader::default();
        let key = [0xaa, 0x91, 0x22, 0, 7, 0x30, 1, 64, 0, 180, 2, 128, 1, 104];
        let frame = reader.read(Codec::Vp9, &key, None, true);
        assert!(frame.joins && reader.is_spatial());
        assert_eq!((frame.keyframe, frame.needed_by & 7), (Some(true), 0b111));
        let widths = reader
            .sizes(Codec::Vp9, &key, true)
            .map(|s| s.map(|s| s.width));
        assert_eq!(widths, [Some(320), Some(640), None]);
        let upper = reader.read(Codec::Vp9, &[0xac, 0x91, 0x22, 0x03, 7, 1], None, true);
        assert_eq!((upper.keyframe, upper.needed_by & 7), (Some(false), 0b110));
        assert!(upper.joins && upper.ends);
        assert_eq!((upper.spatial, upper.counted), (1, false));
    }
}
