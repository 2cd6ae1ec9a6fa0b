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
}
