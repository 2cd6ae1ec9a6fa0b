//! H.264 (RFC 6184).

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Whether this packet begins an IDR picture: its parameter set, or its first slice.
pub fn starts_keyframe(payload: &[u8]) -> Option<bool> {
    match payload {
        [] => None,
        // Forbidden zero bit.
        [head, ..] if head & 0x80 != 0 => None,
        [head, rest @ ..] => match head & 0x1f {
            1..=23 => Some(is_key(*head)),
            STAP_A => aggregate_has_key(rest),
            FU_A => {
                let fragment = *rest.first()?;
                Some(fragment & 0x80 != 0 && is_key(fragment))
            }
            25..=29 => Some(false),
            _ => None,
        },
    }
}

fn is_key(unit_head: u8) -> bool {
    matches!(unit_head & 0x1f, IDR | SPS)
}

/// Looks through the units of a STAP-A (RFC 6184, 5.7.1).
fn aggregate_has_key(mut rest: &[u8]) -> Option<bool> {
    while let [a, b, tail @ ..] = rest {
        let (unit, next) = tail.split_at_checked(usize::from(u16::from_be_bytes([*a, *b])))?;
        if is_key(*unit.first()?) {
            return Some(true);
        }
        rest = next;
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_and_idr_slices_start_a_key_frame_in_every_packaging() {
        assert_eq!(starts_keyframe(&[0x67, 1, 2]), Some(true));
        assert_eq!(starts_keyframe(&[0x65, 1, 2]), Some(true));
        assert_eq!(
            starts_keyframe(&[0x78, 0, 1, 0x09, 0, 2, 0x67, 1]),
            Some(true)
        );
        assert_eq!(starts_keyframe(&[0x7c, 0x85, 1]), Some(true));
    }

    #[test]
    fn other_slices_and_later_fragments_do_not() {
        assert_eq!(starts_keyframe(&[0x61, 1]), Some(false));
        assert_eq!(starts_keyframe(&[0x7c, 0x05, 1]), Some(false));
        assert_eq!(starts_keyframe(&[0x7c, 0x81, 1]), Some(false));
        assert_eq!(starts_keyframe(&[0x78, 0, 1, 0x09]), Some(false));
    }

    #[test]
    fn nonsense_is_unreadable() {
        assert_eq!(starts_keyframe(&[]), None);
        assert_eq!(starts_keyframe(&[0xe7]), None);
        assert_eq!(starts_keyframe(&[0x00]), None);
        assert_eq!(starts_keyframe(&[0x7c]), None);
        assert_eq!(starts_keyframe(&[0x78, 0, 9, 1]), None);
        assert_eq!(starts_keyframe(&[0x78, 0, 0]), None);
    }
}
