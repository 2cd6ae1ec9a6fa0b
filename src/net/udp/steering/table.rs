//! Which socket each hash of an address belongs to.
//!
//! Peers share an entry where their addresses hash alike. It is never taken away from one who has
//! it: its datagrams would come where nobody knows it. The other one comes to a socket that is not
//! its own.

use std::net::SocketAddr;

use libc::sock_filter;
use rustc_hash::FxHashMap;

use super::program::{Layout, hash, program};

/// Words of 32 bits in the table: as many as the kernel's default `net.core.optmem_max` had room
/// for before Linux 6.8, 20 kB for a program. Some 16,000 entries for two sockets.
const WORDS: usize = 1 << WORDS_LOG;
const WORDS_LOG: u32 = 9;

/// A socket for each hash of an address.
#[derive(Debug)]
pub(super) struct Table {
    sockets: usize,
    layout: Layout,
    words: Vec<u32>,
    /// The words that the kernel knows; none before the first time.
    applied: Vec<u32>,
    /// How many peers at each entry are each socket's.
    claims: FxHashMap<(usize, usize), usize>,
}

impl Table {
    pub(super) fn new(sockets: usize) -> Self {
        let mut table = Self {
            sockets,
            layout: Layout::new(sockets, WORDS_LOG),
            words: vec![0; WORDS],
            applied: Vec::new(),
            claims: FxHashMap::default(),
        };
        // Whoever is new comes to any of them.
        for entry in 0..table.layout.entries() {
            table.put(entry, entry % sockets.max(1));
        }
        table
    }

    pub(super) fn claim(&mut self, remote: SocketAddr, index: usize) {
        if index < self.sockets {
            let entry = self.entry(remote);
            *self.claims.entry((entry, index)).or_default() += 1;
            self.decide(entry);
        }
    }

    pub(super) fn release(&mut self, remote: SocketAddr, index: usize) {
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

    pub(super) fn is_new(&self) -> bool {
        self.words != self.applied
    }

    /// From now on the kernel knows what there is.
    pub(super) fn set_applied(&mut self) {
        self.applied.clone_from(&self.words);
    }

    fn put(&mut self, entry: usize, index: usize) {
        let (word, shift) = self.layout.place(entry);
        self.words[word] &= !(self.layout.mask() << shift);
        self.words[word] |= (index as u32) << shift;
    }

    fn read(&self, words: &[u32], entry: usize) -> Option<usize> {
        let (word, shift) = self.layout.place(entry);
        let index = words.get(word)? >> shift & self.layout.mask();
        Some(index as usize)
    }

    /// The entry for an address.
    fn entry(&self, remote: SocketAddr) -> usize {
        self.layout.entry(hash(remote))
    }

    /// What the kernel is to run.
    pub(super) fn program(&self) -> Vec<sock_filter> {
        program(&self.words, &self.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a peer's datagrams are to come.
    fn at(table: &Table, remote: SocketAddr) -> usize {
        table.read(&table.words, table.entry(remote)).unwrap()
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
        table.set_applied();
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
