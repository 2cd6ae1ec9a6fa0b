//! AV1 (RTP Payload Format For AV1, AOMedia, version 1.0).

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

/// The same from the dependency descriptor extension, which stays readable when the payload is
/// encrypted: a key frame is announced with the template structure (appendix A of the payload
/// format, extended part present and structure flag set) at the start of a frame.
pub fn descriptor_starts_keyframe(descriptor: &[u8]) -> Option<bool> {
    let starts_frame = descriptor.first()? & 0x80 != 0;
    // Mandatory fields are three bytes; the first bit behind them is the structure flag.
    Some(starts_frame && descriptor.get(3).is_some_and(|flags| flags & 0x80 != 0))
}

/// Templates of a dependency descriptor: at most 64 (A.8.2).
const MAX_TEMPLATES: usize = 64;

/// The temporal layers of a stream's templates, announced with each key frame (appendix A).
#[derive(Debug, Clone)]
pub struct Templates {
    temporal: [u8; MAX_TEMPLATES],
    count: usize,
    offset: u8,
}

impl Default for Templates {
    fn default() -> Self {
        Self {
            temporal: [0; MAX_TEMPLATES],
            count: 0,
            offset: 0,
        }
    }
}

impl Templates {
    /// The temporal layer of a packet with this descriptor; takes over a new structure first.
    /// `None` if it names no template that was announced.
    pub fn temporal(&mut self, descriptor: &[u8]) -> Option<u8> {
        let template = descriptor.first()? & 0x3f;
        if descriptor.get(3).is_some_and(|flags| flags & 0x80 != 0) {
            self.read(descriptor)?;
        }
        let index = usize::from(template.wrapping_sub(self.offset) & 0x3f);
        self.temporal[..self.count].get(index).copied()
    }

    /// Reads `template_layers()` (A.8.3), behind three mandatory bytes and five flags.
    fn read(&mut self, descriptor: &[u8]) -> Option<()> {
        self.count = 0;
        self.offset = bits(descriptor, 29, 6)?;
        let (mut at, mut temporal) = (29 + 6 + 5, 0);
        while self.count < MAX_TEMPLATES {
            self.temporal[self.count] = temporal;
            self.count += 1;
            match bits(descriptor, at, 2)? {
                0 => {}
                1 => temporal += 1,
                2 => temporal = 0,
                _ => break,
            }
            at += 2;
        }
        Some(())
    }
}

/// `count` bits from bit `at` on; at most eight.
fn bits(bytes: &[u8], at: usize, count: usize) -> Option<u8> {
    (at..at + count).try_fold(0, |value, bit| {
        let byte = bytes.get(bit / 8)?;
        Some(value << 1 | (byte >> (7 - bit % 8) & 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_descriptor_with_a_structure_starts_a_key_frame() {
        assert_eq!(
            descriptor_starts_keyframe(&[0x80, 0, 1, 0x80, 5]),
            Some(true)
        );
        assert_eq!(
            descriptor_starts_keyframe(&[0x00, 0, 1, 0x80, 5]),
            Some(false)
        );
        assert_eq!(descriptor_starts_keyframe(&[0x80, 0, 1]), Some(false));
        assert_eq!(descriptor_starts_keyframe(&[]), None);
    }

    #[test]
    fn the_announced_templates_tell_the_temporal_layer() {
        let mut templates = Templates::default();
        assert_eq!(templates.temporal(&[0x81, 0, 1]), None);
        // Offset 60, one target; layers 0, 0, 1, 2, end: bits 00 01 01 11.
        let key = [0xbc, 0, 1, 0x87, 0x80, 0b0001_0111];
        assert_eq!(templates.temporal(&key), Some(0));
        assert_eq!(templates.temporal(&[0x80 | 61, 0, 2]), Some(0));
        assert_eq!(templates.temporal(&[0x80 | 62, 0, 3]), Some(1));
        assert_eq!(templates.temporal(&[0x80 | 63, 0, 4]), Some(2));
        assert_eq!(templates.temporal(&[0x80, 0, 5]), None);
        assert_eq!(templates.temporal(&key[..5]), None);
    }
}
