//! New inputs from old ones, in the ways that find most: what libFuzzer does, without coverage.

use parlor::entropy::Entropy;

/// Longest input made; longer seeds stay as long as they are.
const MAX_LEN: usize = 4096;

/// Most changes to one input.
const MAX_CHANGES: u32 = 6;

/// Bytes at the edges of what fields mean.
const EDGES: [u8; 12] = [0, 1, 2, 3, 4, 0x0f, 0x10, 0x7f, 0x80, 0xc0, 0xfe, 0xff];

/// Words that lengths and counts trip over.
const WORDS: [u16; 8] = [0, 1, 0x00ff, 0x0100, 0x0fff, 0x7fff, 0x8000, 0xffff];

/// Makes inputs, the same ones for the same seed.
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    random: Entropy,
}

impl Mutator {
    /// Mutates `seeds`, of which there must be one.
    pub fn new(seeds: Vec<Vec<u8>>, seed: u64) -> Self {
        Self {
            seeds,
            random: Entropy::from_seed(seed),
        }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let seed = self.below(self.seeds.len());
        let mut input = self.seeds[seed].clone();
        for _ in 0..=self.random.below(MAX_CHANGES) {
            self.change(&mut input);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let left = input.len() - at;
        match self.random.below(9) {
            0 if left > 0 => input[at] ^= 1 << self.random.below(8),
            1 if left > 0 => input[at] = EDGES[self.below(EDGES.len())],
            2 if left > 0 => self.random.fill(&mut input[at..=at]),
            3 if left > 1 => {
                let word = WORDS[self.below(WORDS.len())];
                input[at..at + 2].copy_from_slice(&word.to_be_bytes());
            }
            // A length that is off by a little.
            4 if left > 0 => {
                input[at] = input[at]
                    .wrapping_add(self.random.below(9) as u8)
                    .wrapping_sub(4)
            }
            5 => input.truncate(at),
            6 => {
                let len = self.below(left.min(32) + 1);
                input.drain(at..at + len);
            }
            7 => {
                let len = self.below(left.min(64) + 1);
                let again = input[at..at + len].to_vec();
                insert(input, at, &again);
            }
            _ => {
                let other = self.below(self.seeds.len());
                let len = self.seeds[other].len();
                let from = self.below(len + 1);
                let len = self.below((len - from).min(64) + 1);
                let piece = self.seeds[other][from..from + len].to_vec();
                insert(input, at, &piece);
            }
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit as u32) as usize
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if input.len() + piece.len() <= MAX_LEN {
        input.splice(at..at, piece.iter().copied());
    }
}
