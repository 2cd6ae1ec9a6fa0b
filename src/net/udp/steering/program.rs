//! The program that the kernel runs on each datagram.
//!
//! Classic BPF has neither maps nor indexed jumps, so a table is written out: its words are
//! constants at the leaves of a binary tree.

use std::net::{IpAddr, SocketAddr};

use libc::sock_filter;

/// No number of a socket: the kernel chooses one itself.
const ANY: u32 = u32::MAX;

/// The addresses of an IPv4 or IPv6 packet begin so far behind its start, and its UDP header if it
/// has no options.
const V4_SOURCE: u32 = 12;
const V4_UDP: u32 = 20;
const V6_SOURCE: u32 = 8;
const V6_UDP: u32 = 40;

/// Odd, so that no bit is lost.
const MIX_PORT: u32 = 0x9E37_79B1;
const MIX: u32 = 0x85EB_CA6B;

/// How entries lie in words of 32 bits.
#[derive(Debug)]
pub(super) struct Layout {
    /// How many words there are, as a power of two.
    words_log: u32,
    /// How many bits an entry has, as a power of two.
    bits_log: u32,
}

impl Layout {
    /// Entries that are numbers below `count`.
    pub(super) fn new(count: usize, words_log: u32) -> Self {
        let bits = usize::BITS - count.saturating_sub(1).leading_zeros();
        let bits_log = bits.max(1).next_power_of_two().ilog2();
        Self {
            words_log,
            bits_log,
        }
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> usize {
        1 << (self.words_log + self.per_word_log())
    }

    /// The entry for a hash.
    pub(super) fn entry(&self, hash: u32) -> usize {
        (hash >> self.excess()) as usize
    }

    /// The word that an entry is in, and how many bits are below it there.
    pub(super) fn place(&self, entry: usize) -> (usize, u32) {
        let within = entry & ((1 << self.per_word_log()) - 1);
        let shift = (within << self.bits_log) as u32;
        (entry >> self.per_word_log(), shift)
    }

    /// The bits of an entry, at the low end of a word.
    pub(super) fn mask(&self) -> u32 {
        (1 << (1 << self.bits_log)) - 1
    }

    /// How many entries a word has, as a power of two.
    fn per_word_log(&self) -> u32 {
        5 - self.bits_log
    }

    /// How many bits of a hash are not needed.
    fn excess(&self) -> u32 {
        32 - self.words_log - self.per_word_log()
    }
}

/// Returns what `words` have for the packet's source.
pub(super) fn program(words: &[u32], layout: &Layout) -> Vec<sock_filter> {
    let mut program = hashing();
    let per_word_log = layout.per_word_log();
    program.extend([
        operate(libc::BPF_RSH, layout.excess()),
        plain(libc::BPF_ST, 0),
        operate(libc::BPF_AND, (1 << per_word_log) - 1),
        operate(libc::BPF_LSH, layout.bits_log),
        TO_X,
        plain(libc::BPF_LD | libc::BPF_MEM, 0),
        operate(libc::BPF_RSH, per_word_log),
    ]);
    // A is the number of the word, X says where in it.
    program.append(&mut tree(words, 0));
    program.extend([
        plain(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_X, 0),
        operate(libc::BPF_AND, layout.mask()),
        plain(libc::BPF_RET | libc::BPF_A, 0),
    ]);
    program
}

/// As [`hashing`] does it.
pub(super) fn hash(remote: SocketAddr) -> u32 {
    let address = match remote.ip() {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (bits >> 96 ^ bits >> 64 ^ bits >> 32 ^ bits) as u32
        }
    };
    let port = u32::from(remote.port());
    (port.wrapping_mul(MIX_PORT) ^ address).wrapping_mul(MIX)
}

/// Leaves in A the hash of the packet's source.
fn hashing() -> Vec<sock_filter> {
    let v4 = [
        load(libc::BPF_W, V4_SOURCE),
        TO_X,
        load(libc::BPF_H, V4_UDP),
    ];
    let mut v6 = vec![load(libc::BPF_W, V6_SOURCE)];
    for word in 1..4 {
        v6.extend([TO_X, load(libc::BPF_W, V6_SOURCE + 4 * word), XOR_X]);
    }
    v6.extend([TO_X, load(libc::BPF_H, V6_UDP)]);
    let mut program = vec![
        load(libc::BPF_B, 0),
        // Version and length of the header.
        branch(libc::BPF_JEQ, 0x45, 0, 1),
        jump(v6.len() + 4),
        operate(libc::BPF_RSH, 4),
        branch(libc::BPF_JEQ, 6, 1, 0),
        plain(libc::BPF_RET | libc::BPF_K, ANY),
    ];
    program.append(&mut v6);
    program.push(jump(v4.len()));
    program.extend(v4);
    program.extend([operate(libc::BPF_MUL, MIX_PORT), XOR_X]);
    program.push(operate(libc::BPF_MUL, MIX));
    program
}

/// Leaves in A the word that A is the number of, and goes on `behind` instructions after the tree.
fn tree(words: &[u32], behind: usize) -> Vec<sock_filter> {
    if let [word] = words {
        return vec![plain(libc::BPF_LD | libc::BPF_IMM, *word), jump(behind)];
    }
    let (clear, set) = words.split_at(words.len() / 2);
    let set_code = tree(set, behind);
    let mut code = tree(clear, behind + set_code.len());
    let bit = clear.len() as u32;
    let mut program = match u8::try_from(code.len()) {
        Ok(len) => vec![branch(libc::BPF_JSET, bit, len, 0)],
        // Branches are for 255 instructions at most.
        Err(_) => vec![branch(libc::BPF_JSET, bit, 0, 1), jump(code.len())],
    };
    program.append(&mut code);
    program.extend(set_code);
    program
}

const TO_X: sock_filter = plain(libc::BPF_MISC | libc::BPF_TAX, 0);
const XOR_X: sock_filter = plain(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X, 0);

/// Loads so much of the packet, from here on behind its start.
const fn load(size: u32, at: u32) -> sock_filter {
    let start = libc::SKF_NET_OFF as u32;
    plain(libc::BPF_LD | size | libc::BPF_ABS, start.wrapping_add(at))
}

/// A becomes the result of this operation on it and a constant.
const fn operate(operation: u32, constant: u32) -> sock_filter {
    plain(libc::BPF_ALU | operation | libc::BPF_K, constant)
}

/// Goes on so many instructions later.
fn jump(by: usize) -> sock_filter {
    plain(libc::BPF_JMP | libc::BPF_JA, by as u32)
}

/// Compares A with a constant, and goes on so many instructions later if it is so, or if not.
fn branch(comparison: u32, constant: u32, is_so: u8, is_not: u8) -> sock_filter {
    sock_filter {
        jt: is_so,
        jf: is_not,
        ..plain(libc::BPF_JMP | comparison | libc::BPF_K, constant)
    }
}

const fn plain(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}
