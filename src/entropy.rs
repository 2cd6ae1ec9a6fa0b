//! Where random numbers come from: generators seeded by the operating system, handed down.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

/// A cryptographically secure generator (ChaCha12). Seeded once, so tests can replay it.
#[derive(Debug)]
pub struct Entropy(StdRng);

impl Entropy {
    /// A generator nobody can predict.
    pub fn from_system() -> Self {
        Self(rand::make_rng())
    }

    /// The same numbers for the same seed: for tests only.
    pub fn from_seed(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A generator of its own for somebody else.
    pub fn fork(&mut self) -> Self {
        Self(StdRng::from_rng(&mut self.0))
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    /// A random (version 4) UUID.
    pub fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.0.random()).into_uuid()
    }

    /// `len` characters of `A-Z a-z 0-9`: 5.95 bits each.
    pub fn alphanumeric(&mut self, len: usize) -> String {
        (0..len)
            .map(|_| char::from(self.0.sample(rand::distr::Alphanumeric)))
            .collect()
    }

    /// `len` lower-case hexadecimal digits: 4 bits each.
    pub fn hex(&mut self, len: usize) -> String {
        (0..len)
            .map(|_| char::from_digit(self.0.random_range(0..16), 16).unwrap_or('0'))
            .collect()
    }

    /// A number in `0..u32::MAX`, for SSRCs and first sequence numbers.
    pub fn u32(&mut self) -> u32 {
        self.0.random()
    }

    /// A number below `limit`, which must not be zero.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0.random_range(0..limit)
    }
}
