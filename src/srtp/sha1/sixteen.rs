//! Sixteen messages side by side, by AVX-512: a register holds the same word of each.
//!
//! The SHA instructions take what they need of the processor for one message at a time, however
//! many there are; here a step of sixteen costs as much as a step of one.

use std::arch::x86_64::{
    __m512i, _mm_set_epi8, _mm512_add_epi32, _mm512_broadcast_i32x4, _mm512_loadu_si512,
    _mm512_mask_add_epi32, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_ternarylogic_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    _mm512_xor_si512,
};

use super::{LANES, State};

/// What a lane is given that has nothing left.
const NOTHING: &[u8; 64] = &[0; 64];

/// Truth tables of three bits, for `_mm512_ternarylogic_epi32`: the first chooses between the other
/// two, what most of them say, and whether an odd number is set (FIPS 180-4, 4.1.1).
const CHOICE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;
const XOR: i32 = 0x96;

/// For `_mm512_shuffle_i32x4`: of every four words in a row, the first and third of both, or the
/// second and fourth.
const EVENS: i32 = 0b10_00_10_00;
const ODDS: i32 = 0b11_01_11_01;

/// Whether this processor can.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// Advances every state over the blocks of its lane. Takes as long as the longest lane, so it is
/// for lanes of about the same length.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn compress(states: &mut [State], blocks: &[&[[u8; 64]]]) {
    let mut columns = [[0; 64]; 5];
    for (lane, state) in states.iter().enumerate() {
        for (column, word) in columns.iter_mut().zip(state) {
            column.as_chunks_mut().0[lane] = word.to_le_bytes();
        }
    }
    let mut vectors = [_mm512_setzero_si512(); 5];
    for (vector, column) in vectors.iter_mut().zip(&columns) {
        *vector = load(column);
    }
    let longest = blocks.iter().map(|lane| lane.len()).max().unwrap_or(0);
    for index in 0..longest {
        let mut busy = 0;
        let mut row = [NOTHING; LANES];
        for (lane, blocks) in blocks.iter().enumerate() {
            if let Some(block) = blocks.get(index) {
                row[lane] = block;
                busy |= 1 << lane;
            }
        }
        one_block(&mut vectors, row, busy);
    }
    for (column, vector) in columns.iter_mut().zip(vectors) {
        *column = store(vector);
    }
    for (lane, state) in states.iter_mut().enumerate() {
        *state = columns.map(|column| u32::from_le_bytes(column.as_chunks().0[lane]));
    }
}

/// Eighty rounds (FIPS 180-4, 6.1.2), of which the lanes outside `busy` notice nothing.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn one_block(state: &mut [__m512i; 5], blocks: [&[u8; 64]; LANES], busy: u16) {
    let mut words = words(blocks);
    let [mut a, mut b, mut c, mut d, mut e] = *state;

    macro_rules! twenty_rounds {
        ($from:literal, $table:ident, $constant:literal) => {
            let constant = _mm512_set1_epi32(u32::cast_signed($constant));
            for round in $from..$from + 20 {
                let at = round % 16;
                if round >= 16 {
                    let mixed = _mm512_ternarylogic_epi32::<XOR>(
                        words[(at + 13) % 16],
                        words[(at + 8) % 16],
                        words[(at + 2) % 16],
                    );
                    words[at] = _mm512_rol_epi32::<1>(_mm512_xor_si512(mixed, words[at]));
                }
                let function = _mm512_ternarylogic_epi32::<$table>(b, c, d);
                let known = _mm512_add_epi32(e, _mm512_add_epi32(words[at], constant));
                let added = _mm512_add_epi32(known, function);
                (e, d, c, b) = (d, c, _mm512_rol_epi32::<30>(b), a);
                a = _mm512_add_epi32(_mm512_rol_epi32::<5>(a), added);
            }
        };
    }
    twenty_rounds!(0, CHOICE, 0x5a82_7999);
    twenty_rounds!(20, XOR, 0x6ed9_eba1);
    twenty_rounds!(40, MAJORITY, 0x8f1b_bcdc);
    twenty_rounds!(60, XOR, 0xca62_c1d6);

    for (before, after) in state.iter_mut().zip([a, b, c, d, e]) {
        *before = _mm512_mask_add_epi32(*before, busy, *before, after);
    }
}

/// The blocks' big-endian words: the first of each block, the second of each, and so on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn words(blocks: [&[u8; 64]; LANES]) -> [__m512i; 16] {
    let swap = _mm512_broadcast_i32x4(_mm_set_epi8(
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
    ));
    // Rows of a matrix, to be exchanged with its columns: within four rows first, word by word,
    // then four words at a time. (In loops, since `map` is not compiled for these registers.)
    let mut rows = [_mm512_setzero_si512(); LANES];
    for (row, block) in rows.iter_mut().zip(blocks) {
        *row = _mm512_shuffle_epi8(load(block), swap);
    }
    let mut fours = rows;
    for first in [0, 4, 8, 12] {
        let low = _mm512_unpacklo_epi32(rows[first], rows[first + 1]);
        let high = _mm512_unpackhi_epi32(rows[first], rows[first + 1]);
        let lower = _mm512_unpacklo_epi32(rows[first + 2], rows[first + 3]);
        let higher = _mm512_unpackhi_epi32(rows[first + 2], rows[first + 3]);
        fours[first] = _mm512_unpacklo_epi64(low, lower);
        fours[first + 1] = _mm512_unpackhi_epi64(low, lower);
        fours[first + 2] = _mm512_unpacklo_epi64(high, higher);
        fours[first + 3] = _mm512_unpackhi_epi64(high, higher);
    }
    let mut columns = fours;
    for first in [0, 1, 2, 3] {
        let even = _mm512_shuffle_i32x4::<EVENS>(fours[first], fours[first + 4]);
        let odd = _mm512_shuffle_i32x4::<ODDS>(fours[first], fours[first + 4]);
        let evens = _mm512_shuffle_i32x4::<EVENS>(fours[first + 8], fours[first + 12]);
        let odds = _mm512_shuffle_i32x4::<ODDS>(fours[first + 8], fours[first + 12]);
        columns[first] = _mm512_shuffle_i32x4::<EVENS>(even, evens);
        columns[first + 4] = _mm512_shuffle_i32x4::<EVENS>(odd, odds);
        columns[first + 8] = _mm512_shuffle_i32x4::<ODDS>(even, evens);
        columns[first + 12] = _mm512_shuffle_i32x4::<ODDS>(odd, odds);
    }
    columns
}

/// One register full of bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: there are 64 readable bytes, and this load asks for no alignment.
    #[expect(unsafe_code, reason = "a vector load takes a pointer")]
    unsafe {
        _mm512_loadu_si512(bytes.as_ptr().cast())
    }
}

/// The bytes of a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(vector: __m512i) -> [u8; 64] {
    let mut bytes = [0; 64];
    // SAFETY: there are 64 bytes to write, and this store asks for no alignment.
    #[expect(unsafe_code, reason = "a vector store takes a pointer")]
    unsafe {
        _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector);
    }
    bytes
}
