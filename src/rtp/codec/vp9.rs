//! VP9 (RFC 9628).

use super::Size;

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

/// The temporal layer of a packet; `None` if it does not say.
pub fn temporal(payload: &[u8]) -> Option<u8> {
    let first = *payload.first()?;
    if first & 0x20 == 0 {
        return None;
    }
    payload.get(layers_at(payload)?).map(|byte| byte >> 5)
}

/// The size of the largest picture that the scalability structure announces; it comes with key
/// frames (RFC 9628, 4.2.1).
pub fn size(payload: &[u8]) -> Option<Size> {
    let first = *payload.first()?;
    if first & 0x02 == 0 {
        return None;
    }
    let mut at = layers_at(payload)?;
    if first & 0x20 != 0 {
        // TL0PICIDX is there unless the mode is flexible.
        at += if first & 0x10 == 0 { 2 } else { 1 };
    }
    if first & 0x50 == 0x50 {
        // Reference indices, each with a bit that says whether one more follows; three at most.
        for _ in 0..3 {
            at += 1;
            if payload.get(at - 1)? & 1 == 0 {
                break;
            }
        }
    }
    let head = *payload.get(at)?;
    if head & 0x10 == 0 {
        return None;
    }
    let last = at + 1 + 4 * usize::from(head >> 5);
    let [a, b, c, d] = *payload.get(last..)?.first_chunk()?;
    Some(Size {
        width: u16::from_be_bytes([a, b]),
        height: u16::from_be_bytes([c, d]),
    })
}

/// Where the layer indices are, behind the picture id.
fn layers_at(payload: &[u8]) -> Option<usize> {
    Some(match payload.first()? & 0x80 {
        0 => 1,
        _ if payload.get(1)? & 0x80 != 0 => 3,
        _ => 2,
    })
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

    #[test]
    fn layers_and_sizes_are_read_behind_the_picture_id() {
        let delta = [0xe8, 0x91, 0x22, 0x40, 7, 0];
        assert_eq!(temporal(&delta), Some(2));
        assert_eq!(size(&delta), None);
        // Two spatial layers, with sizes.
        let key = [0xaa, 0x91, 0x22, 0, 7, 0x30, 1, 64, 0, 180, 2, 128, 1, 104];
        let read = size(&key).expect("announced");
        assert_eq!((read.width, read.height), (640, 360));
        assert_eq!(size(&key[..12]), None);
        assert_eq!(temporal(&[0x88, 0x11, 0]), None);
    }
}
