//! Four messages side by side, by the SHA instructions.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi8, _mm_set_epi32,
    _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32,
    _mm_sha1rnds4_epu32, _mm_shuffle_epi8, _mm_xor_si128,
};

use super::State;

/// How many messages run side by side.
const LANES: usize = 4;

/// Whether this processor can.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
}

/// Advances every state over the first `count` blocks of its lane.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) fn compress(states: &mut [State; LANES], blocks: [&[[u8; 64]]; LANES], count: usize) {
    let mut abcd = [_mm_setzero_si128(); LANES];
    let mut e = abcd;
    for lane in 0..LANES {
        let [a, b, c, d, last] = states[lane].map(u32::cast_signed);
        abcd[lane] = _mm_set_epi32(a, b, c, d);
        e[lane] = _mm_set_epi32(last, 0, 0, 0);
    }
    for block in 0..count {
        one_block(
            &mut abcd,
            &mut e,
            blocks.each_ref().map(|lane| &lane[block]),
        );
    }
    for lane in 0..LANES {
        states[lane] = [
            _mm_extract_epi32::<3>(abcd[lane]),
            _mm_extract_epi32::<2>(abcd[lane]),
            _mm_extract_epi32::<1>(abcd[lane]),
            _mm_extract_epi32::<0>(abcd[lane]),
            _mm_extract_epi32::<3>(e[lane]),
        ]
        .map(i32::cast_unsigned);
    }
}

/// Twenty groups of four rounds. In each group all lanes take the same step, so that the
/// processor always has three other instructions to do while it waits for one.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn one_block(abcd: &mut [__m128i; LANES], e: &mut [__m128i; LANES], blocks: [&[u8; 64]; LANES]) {
    let (abcd_before, e_before) = (*abcd, *e);
    // `abcd` as it was before the last group: four rounds later its A has become E.
    let mut previous = *abcd;
    // The last four groups of message words, by group number modulo four.
    let mut words = [[_mm_setzero_si128(); LANES]; 4];

    macro_rules! group {
        ($group:literal, $function:literal) => {
            for lane in 0..LANES {
                words[$group % 4][lane] = if $group < 4 {
                    load(blocks[lane], $group)
                } else {
                    let mixed =
                        _mm_sha1msg1_epu32(words[$group % 4][lane], words[($group + 1) % 4][lane]);
                    _mm_sha1msg2_epu32(
                        _mm_xor_si128(mixed, words[($group + 2) % 4][lane]),
                        words[($group + 3) % 4][lane],
                    )
                };
                let added = if $group == 0 {
                    _mm_add_epi32(e_before[lane], words[0][lane])
                } else {
                    _mm_sha1nexte_epu32(previous[lane], words[$group % 4][lane])
                };
                previous[lane] = abcd[lane];
                abcd[lane] = _mm_sha1rnds4_epu32::<$function>(abcd[lane], added);
            }
        };
    }
    macro_rules! twenty_rounds {
        ($function:literal: $($group:literal)*) => { $(group!($group, $function);)* };
    }
    twenty_rounds!(0: 0 1 2 3 4);
    twenty_rounds!(1: 5 6 7 8 9);
    twenty_rounds!(2: 10 11 12 13 14);
    twenty_rounds!(3: 15 16 17 18 19);

    for lane in 0..LANES {
        e[lane] = _mm_sha1nexte_epu32(previous[lane], e_before[lane]);
        abcd[lane] = _mm_add_epi32(abcd[lane], abcd_before[lane]);
    }
}

/// Sixteen bytes of a block as four big-endian words, the first in the highest place.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn load(block: &[u8; 64], group: usize) -> __m128i {
    let bytes: &[u8] = &block[group * 16..group * 16 + 16];
    // SAFETY: `bytes` is 16 readable bytes, and this load asks for no alignment.
    #[expect(unsafe_code, reason = "a vector load takes a pointer")]
    let words = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm_shuffle_epi8(
        words,
        _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    )
}
