//! VP8 (RFC 7741).

/// Whether this is the first packet of a key frame.
pub fn starts_keyframe(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    // Start of partition, and partition 0 (RFC 7741, 4.2).
    let starts_frame = first & 0x10 != 0 && first & 0x0f == 0;
    let frame = payload.get(descriptor_len(payload)?..)?;
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

/// Bytes of the payload descriptor.
fn descriptor_len(payload: &[u8]) -> Option<usize> {
    if payload.first()? & 0x80 == 0 {
        return Some(1);
    }
    let extensions = *payload.get(1)?;
    let mut len = 2;
    if extensions & 0x80 != 0 {
        // A picture id of 7 or 15 bits.
        len += if payload.get(len)? & 0x80 != 0 { 2 } else { 1 };
    }
    if extensions & 0x40 != 0 {
        len += 1;
    }
    if extensions & 0x30 != 0 {
        len += 1;
    }
    Some(len)
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
}
