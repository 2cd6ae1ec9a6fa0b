//! HMAC-SHA1 (RFC 2104) with the key's share computed once, and many of them side by side.

use super::cipher::HMAC_TAG_LEN;
use super::sha1::{INITIAL, LANES, State, compress, compress_lanes};

/// A key, as the states of SHA-1 after its inner and its outer padded block.
#[derive(Clone)]
pub(super) struct HmacSha1 {
    inner: State,
    outer: State,
}

impl HmacSha1 {
    pub(super) fn new(key: &[u8; 20]) -> Self {
        let start = |pad: u8| {
            let mut block = [pad; 64];
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            let mut state = INITIAL;
            compress(&mut state, &[block]);
            state
        };
        Self {
            inner: start(0x36),
            outer: start(0x5c),
        }
    }

    /// The truncated MAC of `message` and then `suffix`.
    pub(super) fn tag(&self, message: &[u8], suffix: &[u8]) -> [u8; HMAC_TAG_LEN] {
        let (body, rest) = message.as_chunks();
        let mut inner = self.inner;
        compress(&mut inner, body);
        compress(
            &mut inner,
            LastBlocks::new(rest, suffix, message.len()).get(),
        );
        let mut outer = self.outer;
        compress(&mut outer, &[outer_block(&inner)]);
        truncated(&outer)
    }
}

/// The authentication tags that packets in a slab still lack.
///
/// Bounded by the slab: whoever seals into it calls [`Self::finish`] before it is sent.
#[derive(Default)]
pub struct MacQueue {
    jobs: Vec<Job>,
}

impl std::fmt::Debug for MacQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MacQueue")
            .field("jobs", &self.jobs.len())
            .finish()
    }
}

/// One tag: of `len` bytes at `start`, and the rollover counter; to be written behind them.
struct Job {
    start: usize,
    len: usize,
    suffix: [u8; 4],
    key: HmacSha1,
}

impl MacQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no tag is missing.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Writes all tags into the slab they were asked for.
    pub fn finish(&mut self, slab: &mut [u8]) {
        // Lanes should be equally long to run together, and few lengths occur, so this is cheap.
        self.jobs.sort_unstable_by_key(Job::block_count);
        for jobs in self.jobs.chunks(LANES) {
            if let [job] = jobs {
                job.write(slab, job.key.tag(job.message(slab), &job.suffix));
                continue;
            }
            let tags = tags(slab, jobs);
            for (job, tag) in jobs.iter().zip(tags) {
                job.write(slab, tag);
            }
        }
        self.jobs.clear();
    }

    /// Asks for the tag of `len` bytes at `start` and the rollover counter `roc`.
    pub(super) fn push(&mut self, start: usize, len: usize, roc: u32, key: &HmacSha1) {
        self.jobs.push(Job {
            start,
            len,
            suffix: roc.to_be_bytes(),
            key: key.clone(),
        });
    }
}

impl Job {
    fn message<'a>(&self, slab: &'a [u8]) -> &'a [u8] {
        &slab[self.start..self.start + self.len]
    }

    fn write(&self, slab: &mut [u8], tag: [u8; HMAC_TAG_LEN]) {
        let end = self.start + self.len;
        slab[end..end + HMAC_TAG_LEN].copy_from_slice(&tag);
    }

    /// Whole blocks, and then last blocks.
    fn block_count(&self) -> (usize, usize) {
        (
            self.len / 64,
            last_block_count(self.len % 64 + self.suffix.len()),
        )
    }
}

/// The tags of up to [`LANES`] messages, in their order.
fn tags(slab: &[u8], jobs: &[Job]) -> [[u8; HMAC_TAG_LEN]; LANES] {
    let count = jobs.len();
    let mut states = [INITIAL; LANES];
    let mut bodies: [&[_]; LANES] = [&[]; LANES];
    let mut ends = [LastBlocks::NONE; LANES];
    for (lane, job) in jobs.iter().enumerate() {
        let (body, rest) = job.message(slab).as_chunks();
        states[lane] = job.key.inner;
        bodies[lane] = body;
        ends[lane] = LastBlocks::new(rest, &job.suffix, job.len);
    }
    compress_lanes(&mut states[..count], &bodies[..count]);
    let ends = ends.each_ref().map(LastBlocks::get);
    compress_lanes(&mut states[..count], &ends[..count]);
    let blocks = states.map(|inner| [outer_block(&inner)]);
    for (state, job) in states.iter_mut().zip(jobs) {
        *state = job.key.outer;
    }
    let blocks = blocks.each_ref().map(|block| &block[..]);
    compress_lanes(&mut states[..count], &blocks[..count]);
    states.map(|outer| truncated(&outer))
}

/// The end of an inner message: what did not fill a block, the suffix and the padding
/// (FIPS 180-4, 5.1.1).
struct LastBlocks {
    blocks: [[u8; 64]; 2],
    count: usize,
}

impl LastBlocks {
    const NONE: Self = Self {
        blocks: [[0; 64]; 2],
        count: 0,
    };

    /// `rest` and `suffix` are less than 119 bytes together; `message_len` counts all but the
    /// suffix.
    fn new(rest: &[u8], suffix: &[u8], message_len: usize) -> Self {
        let Self { mut blocks, .. } = Self::NONE;
        let bytes = blocks.as_flattened_mut();
        let len = rest.len() + suffix.len();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()..len].copy_from_slice(suffix);
        bytes[len] = 0x80;
        let count = last_block_count(len);
        // The key's block counts too.
        let bits = 8 * (64 + message_len + suffix.len()) as u64;
        bytes[count * 64 - 8..count * 64].copy_from_slice(&bits.to_be_bytes());
        Self { blocks, count }
    }

    fn get(&self) -> &[[u8; 64]] {
        &self.blocks[..self.count]
    }
}

/// How many blocks `len` bytes need together with a mark and the length.
fn last_block_count(len: usize) -> usize {
    (len + 1 + 8).div_ceil(64)
}

/// The only block of the outer message: the inner digest, padded.
fn outer_block(digest: &State) -> [u8; 64] {
    let mut block = [0; 64];
    for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(digest) {
        *bytes = word.to_be_bytes();
    }
    block[20] = 0x80;
    let bits: u64 = 8 * (64 + 20);
    block[56..].copy_from_slice(&bits.to_be_bytes());
    block
}

fn truncated(digest: &State) -> [u8; HMAC_TAG_LEN] {
    let mut bytes = [0; 20];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(digest) {
        *bytes = word.to_be_bytes();
    }
    std::array::from_fn(|i| bytes[i])
}

#[cfg(test)]
mod tests {
    use ring::hmac;

    use super::*;
    use crate::entropy::Entropy;

    fn expected(key: &[u8], message: &[u8], roc: u32) -> Vec<u8> {
        let mut context =
            hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key));
        context.update(message);
        context.update(&roc.to_be_bytes());
        context.sign().as_ref()[..HMAC_TAG_LEN].to_vec()
    }

    #[test]
    fn a_tag_is_that_of_another_implementation_at_every_length() {
        let key = [0x5a; 20];
        let message: Vec<u8> = (0..300).map(|i| i as u8).collect();
        for len in 0..message.len() {
            let tag = HmacSha1::new(&key).tag(&message[..len], &7_u32.to_be_bytes());
            assert_eq!(
                tag.to_vec(),
                expected(&key, &message[..len], 7),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn queued_tags_of_mixed_lengths_and_keys_land_behind_their_packets() {
        let mut random = Entropy::from_seed(3);
        let mut macs = MacQueue::new();
        for jobs in 0..40 {
            let mut slab = vec![0; 64 * 1024];
            random.fill(&mut slab);
            let mut at = 0;
            let mut wanted = Vec::new();
            for _ in 0..jobs {
                let len = 12 + random.below(1300) as usize;
                let (mut key, roc) = ([0; 20], random.u32());
                random.fill(&mut key);
                macs.push(at, len, roc, &HmacSha1::new(&key));
                wanted.push((at + len, expected(&key, &slab[at..at + len], roc)));
                at += len + HMAC_TAG_LEN;
            }
            macs.finish(&mut slab);
            assert!(macs.is_empty());
            for (at, tag) in wanted {
                assert_eq!(slab[at..at + HMAC_TAG_LEN], tag);
            }
        }
    }
}
