//! SHA-1 over several messages side by side, as forwarding has them: the same packet for many
//! subscribers. One message cannot keep the processor busy, since each step waits for the one
//! before; several can, in the ways that it offers.

#[cfg(target_arch = "x86_64")]
mod four;
#[cfg(target_arch = "x86_64")]
mod sixteen;

/// The chaining value.
pub(super) type State = [u32; 5];

/// How many messages may run side by side.
pub(super) const LANES: usize = 16;

/// Fewer lanes than this take longer as sixteen than as fours.
#[cfg(target_arch = "x86_64")]
const FEW: usize = 6;

/// Where every message begins (FIPS 180-4, 5.3.1).
pub(super) const INITIAL: State = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

/// Advances one state over whole blocks.
pub(super) fn compress(state: &mut State, blocks: &[[u8; 64]]) {
    sha1::block_api::compress(state, blocks);
}

/// Advances up to [`LANES`] states, each over its own blocks; fastest where all have about equally
/// many.
pub(super) fn compress_lanes(states: &mut [State], blocks: &[&[[u8; 64]]]) {
    #[cfg(target_arch = "x86_64")]
    {
        let longest = blocks.iter().map(|lane| lane.len()).max().unwrap_or(0);
        let total: usize = blocks.iter().map(|lane| lane.len()).sum();
        if total >= longest * FEW && sixteen_lanes(states, blocks) {
            return;
        }
        let (fours, rest) = states.as_chunks_mut();
        let (fours_of_blocks, rest_of_blocks) = blocks.as_chunks();
        for (states, blocks) in fours.iter_mut().zip(fours_of_blocks) {
            four_lanes(states, *blocks);
        }
        one_by_one(rest, rest_of_blocks);
    }
    #[cfg(not(target_arch = "x86_64"))]
    one_by_one(states, blocks);
}

fn one_by_one(states: &mut [State], blocks: &[&[[u8; 64]]]) {
    for (state, blocks) in states.iter_mut().zip(blocks) {
        compress(state, blocks);
    }
}

/// Advances the states all at once; false if this processor cannot.
#[cfg(target_arch = "x86_64")]
fn sixteen_lanes(states: &mut [State], blocks: &[&[[u8; 64]]]) -> bool {
    let able = sixteen::is_supported();
    if able {
        // SAFETY: the processor has just been found to have the features the function is
        // compiled for; that is all it asks.
        #[expect(
            unsafe_code,
            reason = "a function for a processor feature, detected at run time"
        )]
        unsafe {
            sixteen::compress(states, blocks);
        }
    }
    able
}

/// Advances four states, side by side as far as all have blocks if this processor can.
#[cfg(target_arch = "x86_64")]
fn four_lanes(states: &mut [State; 4], mut blocks: [&[[u8; 64]]; 4]) {
    if four::is_supported() {
        let common = blocks.iter().map(|lane| lane.len()).min().unwrap_or(0);
        // SAFETY: as above.
        #[expect(
            unsafe_code,
            reason = "a function for a processor feature, detected at run time"
        )]
        unsafe {
            four::compress(states, blocks, common);
        }
        blocks = blocks.map(|lane| &lane[common..]);
    }
    one_by_one(states, &blocks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;

    /// As many messages of random lengths, about `len` blocks each.
    fn messages(random: &mut Entropy, count: usize, len: u32) -> Vec<Vec<[u8; 64]>> {
        let message = |_| {
            let mut blocks = vec![[0; 64]; (len + random.below(3)) as usize];
            random.fill(blocks.as_flattened_mut());
            blocks
        };
        (0..count).map(message).collect()
    }

    /// What each lane alone computes, by the `sha1` crate, against all of them together.
    fn check(random: &mut Entropy, messages: &[Vec<[u8; 64]>]) {
        let start = |_| std::array::from_fn(|_| random.u32());
        let start: Vec<State> = (0..messages.len()).map(start).collect();
        let blocks: Vec<_> = messages.iter().map(Vec::as_slice).collect();
        let mut expected = start.clone();
        one_by_one(&mut expected, &blocks);
        let mut states = start.clone();
        compress_lanes(&mut states, &blocks);
        assert_eq!(states, expected);
        #[cfg(target_arch = "x86_64")]
        {
            let mut states = start.clone();
            if sixteen_lanes(&mut states, &blocks) {
                assert_eq!(states, expected);
            }
            let mut states = start;
            let (fours, _) = states.as_chunks_mut();
            let whole = fours.len() * 4;
            for (states, blocks) in fours.iter_mut().zip(blocks.as_chunks().0) {
                four_lanes(states, *blocks);
            }
            assert_eq!(states[..whole], expected[..whole]);
        }
    }

    #[test]
    fn lanes_compute_what_one_lane_computes() {
        let mut random = Entropy::from_seed(7);
        for count in 0..=LANES {
            for _ in 0..20 {
                let len = random.below(24);
                let messages = messages(&mut random, count, len);
                check(&mut random, &messages);
            }
        }
    }

    #[test]
    fn lanes_may_be_of_any_lengths() {
        let mut random = Entropy::from_seed(8);
        for _ in 0..50 {
            let mut all = Vec::new();
            for _ in 0..LANES {
                let len = random.below(24);
                all.append(&mut messages(&mut random, 1, len));
            }
            check(&mut random, &all);
        }
    }
}
