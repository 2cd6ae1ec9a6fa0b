//! VP9 (RFC 9628).

/// Whether this is the first packet of a key frame's base layer.
pub fn starts_keyframe(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let has_picture_id = first & 0x80 != 0;
    let inter_predicted = first & 0x40 != 0;
    let has_layers = first & 0x20 != 0;
    let starts_frame = first & 0x08 != 0;
    if inter_predicted || !starts_frame {
        return Some(false);
    }
    let mut at = 1;
    if has_picture_id {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    // Higher spatial layers of a key picture depend on the base layer (RFC 9628, 4.2).
    let spatial = if has_layers {
        *payload.get(at)? >> 1 & 0x07
    } else {
        0
    };
    Some(spatial == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
