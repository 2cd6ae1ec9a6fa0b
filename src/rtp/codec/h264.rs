//! H.264 (RFC 6184).

use super::Size;
use crate::rtp::bits::Bits;

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

fn aggregate_has_key(rest: &[u8]) -> Option<bool> {
    for unit in units(rest) {
        if is_key(*unit?.first()?) {
            return Some(true);
        }
    }
    Some(false)
}

/// The units of a STAP-A (RFC 6184, 5.7.1); `None` in place of one that is cut.
fn units(mut rest: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        let [a, b, tail @ ..] = rest else {
            return None;
        };
        let len = usize::from(u16::from_be_bytes([*a, *b]));
        let split = tail.split_at_checked(len);
        rest = split.map_or(&[], |(_, next)| next);
        Some(split.map(|(unit, _)| unit))
    })
}

/// The picture's size, if this packet has the sequence parameter set.
pub fn size(payload: &[u8]) -> Option<Size> {
    let (head, rest) = payload.split_first()?;
    let set = match head & 0x1f {
        SPS => rest,
        STAP_A => {
            let sets = units(rest).flatten().filter_map(<[u8]>::split_first);
            sets.filter(|(head, _)| **head & 0x1f == SPS)
                .map(|(_, set)| set)
                .next()?
        }
        _ => return None,
    };
    let mut room = [0; MAX_SPS_LEN];
    let len = unescape(set, &mut room);
    parse_sps(&mut Bits::new(&room[..len]))
}

/// Bytes of a sequence parameter set that are looked at: the size comes well before.
const MAX_SPS_LEN: usize = 256;

/// Profiles whose parameter sets say how colours are coded (ITU-T H.264, 7.3.2.1.1).
const WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Takes emulation prevention bytes out (ITU-T H.264, 7.4.1); returns the length.
fn unescape(unit: &[u8], out: &mut [u8]) -> usize {
    let (mut len, mut zeros) = (0, 0);
    for byte in unit {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        let Some(place) = out.get_mut(len) else {
            break;
        };
        *place = *byte;
        len += 1;
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
    }
    len
}

/// Reads `seq_parameter_set_data()` up to the cropping (ITU-T H.264, 7.3.2.1.1).
fn parse_sps(bits: &mut Bits<'_>) -> Option<Size> {
    let profile = bits.read(8)?;
    bits.skip(16)?;
    bits.exp_golomb()?;
    let (mut chroma, mut separate) = (1, false);
    if WITH_CHROMA.contains(&profile) {
        chroma = bits.exp_golomb()?;
        if chroma == 3 {
            separate = bits.flag()?;
        }
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.flag()?;
        if bits.flag()? {
            skip_scaling_lists(bits, if chroma == 3 { 12 } else { 8 })?;
        }
    }
    bits.exp_golomb()?;
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?;
        }
        1 => {
            bits.flag()?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            for _ in 0..bits.exp_golomb().filter(|count| *count < 256)? {
                bits.exp_golomb()?;
            }
        }
        _ => {}
    }
    bits.exp_golomb()?;
    bits.flag()?;
    let width = bits.exp_golomb()?.checked_add(1)?.checked_mul(16)?;
    let height = bits.exp_golomb()?.checked_add(1)?.checked_mul(16)?;
    let frames_only = bits.flag()?;
    let fields = if frames_only { 1 } else { 2 };
    if !frames_only {
        bits.flag()?;
    }
    bits.flag()?;
    let mut crop = [0; 4];
    if bits.flag()? {
        // Subsampled colours make the unit of cropping two pixels.
        let across = if matches!(chroma, 1 | 2) && !separate {
            2
        } else {
            1
        };
        let down = if chroma == 1 && !separate { 2 } else { 1 } * fields;
        for (side, unit) in crop.iter_mut().zip([across, across, down, down]) {
            *side = bits.exp_golomb()?.checked_mul(unit)?;
        }
    }
    let [left, right, top, bottom] = crop;
    let width = width.checked_sub(left.checked_add(right)?)?;
    let height = height.checked_mul(fields)?;
    let height = height.checked_sub(top.checked_add(bottom)?)?;
    Some(Size {
        width: u16::try_from(width).ok()?,
        height: u16::try_from(height).ok()?,
    })
}

/// Passes over `scaling_list()` of each list that is there (ITU-T H.264, 7.3.2.1.1.1).
fn skip_scaling_lists(bits: &mut Bits<'_>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                // A signed code: 1, 2, 3, 4 are 1, -1, 2, -2.
                let code = i64::from(bits.exp_golomb()?);
                let delta = if code % 2 == 0 {
                    -(code / 2)
                } else {
                    (code + 1) / 2
                };
                next = (last + delta).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
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

    /// Parameter sets of two profiles, with the size they announce.
    #[test]
    fn a_parameter_set_says_how_large_the_picture_is_in_every_packaging() {
        let sets = [
            // High, with timing, escaped.
            (
                &[
                    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00,
                    0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
                ][..],
                (1280, 720),
            ),
            // Constrained baseline.
            (
                &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0],
                (640, 480),
            ),
        ];
        for (set, size) in sets {
            let read = super::size(set).expect("readable");
            assert_eq!((read.width, read.height), size);
            let len = (set.len() as u16).to_be_bytes();
            let aggregate = [&[0x78, 0, 1, 0x09][..], &len, set, &[0, 1, 0x68]].concat();
            assert_eq!(super::size(&aggregate), Some(read));
            for cut in 0..8 {
                assert_eq!(super::size(&set[..cut]), None, "{cut}");
            }
        }
        assert_eq!(super::size(&[0x65, 1, 2]), None);
    }
}
