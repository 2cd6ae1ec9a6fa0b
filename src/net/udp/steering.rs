//! Which socket of a group the kernel gives a peer's datagrams to (`SO_ATTACH_REUSEPORT_CBPF`,
//! Linux 4.5; no privilege is needed).
//!
//! The kernel runs a program on each datagram, and takes the number it returns for that of a
//! socket. Classic BPF has neither maps nor indexed jumps, so the table is written out: its words
//! are constants at the leaves of a binary tree, and whenever the table changes the program is
//! replaced. Peers share an entry where their addresses hash alike. It is never taken away from one
//! who has it: its datagrams would come where nobody knows it. The other one comes to a socket that
//! is not its own.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use libc::sock_filter;
use rustc_hash::FxHashMap;

use super::BatchSocket;
use crate::net::options::attach_filter;

/// Words of 32 bits in the table: as many as the kernel's default `net.core.optmem_max` had room
/// for before Linux 6.8, 20 kB for a program. Some 16,000 entries for two sockets.
const WORDS: usize = 1 << WORDS_LOG;
const WORDS_LOG: u32 = 9;

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

/// Gives peers' datagrams to the right sockets of one group.
#[derive(Debug)]
pub struct Steering {
    /// Any socket of the group.
    socket: UdpSocket,
    table: Table,
}

impl Steering {
    /// For a group from [`BatchSocket::bind_group`]; nothing is steered yet.
    ///
    /// # Errors
    ///
    /// Fails if there is no descriptor to be had.
    pub fn of(group: &[BatchSocket]) -> io::Result<Self> {
        let first = group.first().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            socket: first.socket.try_clone()?,
            table: Table::new(group.len()),
        })
    }

    /// What comes from `remote` is for the socket with this index in the group: from the next
    /// [`Self::apply`] on it comes there, unless the entry is another's. Does nothing if there is no
    /// such socket.
    pub fn claim(&mut self, remote: SocketAddr, index: usize) {
        self.table.claim(remote, index);
    }

    /// It is not any more; once for each claim.
    pub fn release(&mut self, remote: SocketAddr, index: usize) {
        self.table.release(remote, index);
    }

    /// Tells the kernel, if anything is new. Costs it a millisecond or so, in which it compiles the
    /// program.
    ///
    /// # Errors
    ///
    /// Fails where `setsockopt` fails: on kernels that do not know of this, or have no room.
    pub fn apply(&mut self) -> io::Result<()> {
        if self.table.is_new() {
            attach_filter(&self.socket, &mut self.table.program())?;
            self.table.applied.clone_from(&self.table.words);
        }
        Ok(())
    }
}

/// A socket for each hash of an address.
#[derive(Debug)]
struct Table {
    sockets: usize,
    /// How many bits an entry has, as a power of two.
    bits_log: u32,
    words: Vec<u32>,
    /// The words that the kernel knows; none before the first time.
    applied: Vec<u32>,
    /// How many peers at each entry are each socket's.
    claims: FxHashMap<(usize, usize), usize>,
}

impl Table {
    fn new(sockets: usize) -> Self {
        let bits = usize::BITS - sockets.saturating_sub(1).leading_zeros();
        let mut table = Self {
            sockets,
            bits_log: bits.max(1).next_power_of_two().ilog2(),
            words: vec![0; WORDS],
            applied: Vec::new(),
            claims: FxHashMap::default(),
        };
        // Whoever is new comes to any of them.
        for entry in 0..WORDS << table.entries_log() {
            table.put(entry, entry % sockets.max(1));
        }
        table
    }

    /// How many entries a word has, as a power of two.
    fn entries_log(&self) -> u32 {
        5 - self.bits_log
    }

    fn claim(&mut self, remote: SocketAddr, index: usize) {
        if index < self.sockets {
            let entry = self.entry(remote);
            *self.claims.entry((entry, index)).or_default() += 1;
            self.decide(entry);
        }
    }

    fn release(&mut self, remote: SocketAddr, index: usize) {
        let entry = self.entry(remote);
        if let Some(count) = self.claims.get_mut(&(entry, index)) {
            *count -= 1;
            if *count == 0 {
                self.claims.remove(&(entry, index));
            }
            self.decide(entry);
        }
    }

    /// Gives an entry to one of those that claim it: to the one that has it, if there are several.
    fn decide(&mut self, entry: usize) {
        let has = self.read(&self.applied, entry);
        let mut all = has.into_iter().chain(0..self.sockets);
        if let Some(index) = all.find(|index| self.claims.contains_key(&(entry, *index))) {
            self.put(entry, index);
        }
    }

    fn is_new(&self) -> bool {
        self.words != self.applied
    }

    fn put(&mut self, entry: usize, index: usize) {
        let (word, shift) = self.place(entry);
        self.words[word] &= !(self.mask() << shift);
        self.words[word] |= (index as u32) << shift;
    }

    fn read(&self, words: &[u32], entry: usize) -> Option<usize> {
        let (word, shift) = self.place(entry);
        let index = words.get(word)? >> shift & self.mask();
        Some(index as usize)
    }

    /// The entry for an address.
    fn entry(&self, remote: SocketAddr) -> usize {
        (hash(remote) >> (32 - WORDS_LOG - self.entries_log())) as usize
    }

    /// The word that an entry is in, and how many bits are below it there.
    fn place(&self, entry: usize) -> (usize, u32) {
        let within = entry & ((1 << self.entries_log()) - 1);
        let shift = (within << self.bits_log) as u32;
        (entry >> self.entries_log(), shift)
    }

    fn mask(&self) -> u32 {
        (1 << (1 << self.bits_log)) - 1
    }

    /// What the kernel is to run.
    fn program(&self) -> Vec<sock_filter> {
        let mut program = hashing();
        let entries_log = self.entries_log();
        program.extend([
            operate(libc::BPF_RSH, 32 - WORDS_LOG - entries_log),
            plain(libc::BPF_ST, 0),
            operate(libc::BPF_AND, (1 << entries_log) - 1),
            operate(libc::BPF_LSH, self.bits_log),
            TO_X,
            plain(libc::BPF_LD | libc::BPF_MEM, 0),
            operate(libc::BPF_RSH, entries_log),
        ]);
        // A is the number of the word, X says where in it.
        let mut tree = tree(&self.words, 0);
        program.append(&mut tree);
        program.extend([
            plain(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_X, 0),
            operate(libc::BPF_AND, self.mask()),
            plain(libc::BPF_RET | libc::BPF_A, 0),
        ]);
        program
    }
}

/// As [`hashing`] does it.
fn hash(remote: SocketAddr) -> u32 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sfu::datagram::ReceiveSlab;

    /// Where a peer's datagrams are to come.
    fn at(table: &Table, remote: SocketAddr) -> usize {
        table.read(&table.words, table.entry(remote)).unwrap()
    }

    /// Steers a peer to each of `sockets` in turn, and says where its datagrams come.
    fn rounds(bound: &str, peer: &str, sockets: usize) {
        let mut group = BatchSocket::bind_group(bound.parse().unwrap(), sockets).unwrap();
        let port = group[0].local_addr().unwrap().port();
        let peer = UdpSocket::bind(peer).unwrap();
        let address = peer.local_addr().unwrap();
        let mut steering = Steering::of(&group).unwrap();
        let mut slab = ReceiveSlab::new(64);
        for index in (0..sockets).rev() {
            steering.claim(address, index);
            steering.claim(address, sockets);
            steering.apply().unwrap();
            for _ in 0..3 {
                peer.send_to(b"x", (address.ip(), port)).unwrap();
            }
            let came: Vec<_> = group
                .iter_mut()
                .map(|socket| socket.receive(&mut slab).unwrap_or(0))
                .collect();
            let expected: Vec<_> = (0..sockets)
                .map(|i| [0, 3][usize::from(i == index)])
                .collect();
            assert_eq!(came, expected, "{bound} {address}");
            steering.release(address, index);
        }
    }

    #[test]
    fn the_kernel_gives_a_peers_datagrams_to_the_socket_that_they_are_for() {
        for sockets in [2, 3, 4, 5, 16, 17, 62] {
            rounds("127.0.0.1:0", "127.0.0.1:0", sockets);
        }
        rounds("[::]:0", "127.0.0.1:0", 3);
        rounds("[::]:0", "[::1]:0", 3);
        rounds("0.0.0.0:0", "127.0.0.2:0", 3);
    }

    #[test]
    fn peers_are_told_apart_and_unknown_ones_spread() {
        let mut table = Table::new(4);
        let peers = |count: u16| (0..count).map(|n| SocketAddr::from(([192, 0, 2, 7], 40_000 + n)));
        let mut counts = [0; 4];
        for peer in peers(4_000) {
            counts[at(&table, peer)] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
        for (n, peer) in peers(400).enumerate() {
            table.claim(peer, n % 4);
        }
        let missed = peers(400)
            .enumerate()
            .filter(|(n, peer)| at(&table, *peer) != n % 4);
        assert!(missed.count() < 20);
    }

    #[test]
    fn nobody_loses_an_entry_to_another() {
        let mut table = Table::new(3);
        let peers = (0..u16::MAX).map(|port| SocketAddr::from(([192, 0, 2, 7], port)));
        let alike = peers.filter(|peer| table.entry(*peer) == 7).take(3);
        let [first, second, third] = *alike.collect::<Vec<_>>() else {
            panic!("three that hash alike");
        };
        // As long as the kernel does not know, it makes no difference.
        table.claim(first, 2);
        table.claim(second, 1);
        assert_eq!(at(&table, first), 1);
        table.applied.clone_from(&table.words);
        table.claim(third, 0);
        table.claim(third, 0);
        table.release(first, 2);
        table.claim(first, 2);
        assert_eq!(at(&table, first), 1);
        table.release(second, 1);
        assert_eq!(at(&table, first), 0);
        table.release(third, 0);
        assert_eq!(at(&table, first), 0);
        table.release(third, 0);
        table.release(third, 0);
        assert_eq!(at(&table, first), 2);
        table.release(first, 2);
        assert_eq!(at(&table, first), 2, "whoever comes next");
        assert!(table.claims.is_empty());
    }

    #[test]
    fn the_program_fits_where_the_kernel_has_little_room() {
        // Its own instructions are eight bytes, and a branch with two ways out becomes two.
        let program = Table::new(2).program();
        assert!(program.len() + 64 < 2_400, "{}", program.len());
    }
}
