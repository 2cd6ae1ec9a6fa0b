//! Recent packets of one incoming stream, decrypted, shared by all its subscribers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Slots that are allocated together: memory grows with use, in few steps.
const CHUNK_SLOTS: usize = 64;

/// How long packets are kept at least, as far as there may be so many. Receivers ask for a packet
/// once in a round trip, and give it up after a second or two.
const KEPT: Duration = Duration::from_millis(2500);

/// Recent packets by their extended number: those of the last [`KEPT`], but no more than `slots`,
/// of up to `slot_len` bytes; longer ones are not kept, so they cannot be sent again.
#[derive(Debug)]
pub(super) struct Cache {
    slots: usize,
    slot_len: usize,
    /// By number, modulo `slots`.
    entries: Vec<Entry>,
    chunks: Vec<Box<[u8]>>,
    /// Slots without a packet.
    free: Vec<u16>,
    /// The others, in the order in which they were filled.
    filled: VecDeque<Filled>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    sequence: u64,
    /// 0: empty.
    len: u16,
    slot: u16,
}

#[derive(Debug, Clone, Copy)]
struct Filled {
    sequence: u64,
    slot: u16,
    at: Instant,
}

impl Cache {
    /// An empty one, which takes no memory before its first packet. `slots` is below 2¹⁶.
    pub(super) fn new(slots: usize, slot_len: usize) -> Self {
        Self {
            slots,
            slot_len,
            entries: Vec::new(),
            chunks: Vec::new(),
            free: Vec::new(),
            filled: VecDeque::new(),
        }
    }

    /// Bytes of the longest packet that is kept.
    pub(super) fn slot_len(&self) -> usize {
        self.slot_len
    }

    /// Keeps a copy of `packet`; whether it is not too long for that.
    pub(super) fn insert(&mut self, sequence: u64, packet: &[u8], now: Instant) -> bool {
        if packet.len() > self.slot_len {
            return false;
        }
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); self.slots];
        }
        let Some(slot) = self.slot(now) else {
            return false;
        };
        self.filled.push_back(Filled {
            sequence,
            slot,
            at: now,
        });
        let start = usize::from(slot) % CHUNK_SLOTS * self.slot_len;
        let chunk = &mut self.chunks[usize::from(slot) / CHUNK_SLOTS];
        chunk[start..start + packet.len()].copy_from_slice(packet);
        self.entries[(sequence % self.slots as u64) as usize] = Entry {
            sequence,
            len: packet.len() as u16,
            slot,
        };
        true
    }

    /// The packet with this number, if it is still there.
    pub(super) fn get(&self, sequence: u64) -> Option<&[u8]> {
        let entry = self.entries.get((sequence % self.slots as u64) as usize)?;
        if entry.sequence != sequence || entry.len == 0 {
            return None;
        }
        let start = usize::from(entry.slot) % CHUNK_SLOTS * self.slot_len;
        let chunk = self.chunks.get(usize::from(entry.slot) / CHUNK_SLOTS)?;
        chunk.get(start..start + usize::from(entry.len))
    }

    /// A slot for the next packet: that of one which is old enough, or one more, or, when there are
    /// as many as may be, that of the oldest.
    fn slot(&mut self, now: Instant) -> Option<u16> {
        let is_old = |oldest: &Filled| now.saturating_duration_since(oldest.at) >= KEPT;
        if !self.filled.front().is_some_and(is_old) {
            if self.free.is_empty() {
                self.grow();
            }
            if let Some(slot) = self.free.pop() {
                return Some(slot);
            }
        }
        let oldest = self.filled.pop_front()?;
        let entry = &mut self.entries[(oldest.sequence % self.slots as u64) as usize];
        if entry.slot == oldest.slot {
            entry.len = 0;
        }
        Some(oldest.slot)
    }

    fn grow(&mut self) {
        let first = self.chunks.len() * CHUNK_SLOTS;
        let count = CHUNK_SLOTS.min(self.slots - first.min(self.slots));
        if count > 0 {
            let chunk = vec![0; CHUNK_SLOTS * self.slot_len];
            self.chunks.push(chunk.into_boxed_slice());
            self.free
                .extend((first..first + count).rev().map(|slot| slot as u16));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn start() -> Instant {
        Clock::system().epoch().instant
    }

    #[test]
    fn a_packet_is_found_until_there_are_too_many_after_it() {
        let (mut cache, now) = (Cache::new(128, 16), start());
        cache.insert(1_000, b"one", now);
        cache.insert(1_001, b"two", now);
        assert_eq!(cache.get(1_000), Some(&b"one"[..]));
        for sequence in 1_002..1_129 {
            cache.insert(sequence, b"three", now);
        }
        assert_eq!(cache.get(1_000), None);
        assert_eq!(cache.get(1_001), Some(&b"two"[..]));
        assert_eq!(cache.get(1_128), Some(&b"three"[..]));
        assert_eq!((cache.chunks.len(), cache.filled.len()), (2, 128));
    }

    #[test]
    fn packets_that_arrive_in_any_order_are_found() {
        let (mut cache, now) = (Cache::new(128, 16), start());
        for turn in 0..20_u64 {
            for sequence in (turn * 100..turn * 100 + 100).rev() {
                cache.insert(sequence, &sequence.to_be_bytes(), now);
            }
            for sequence in turn * 100..turn * 100 + 100 {
                assert_eq!(cache.get(sequence), Some(&sequence.to_be_bytes()[..]));
            }
        }
        assert_eq!(cache.chunks.len(), 2);
    }

    #[test]
    fn memory_is_for_the_packets_of_two_and_a_half_seconds() {
        let (mut cache, start) = (Cache::new(1024, 1500), start());
        assert_eq!(cache.get(5), None);
        cache.insert(5, b"x", start);
        assert_eq!(cache.chunks.len(), 1);
        for sequence in 6..10_000 {
            // 100 packets a second.
            let now = start + Duration::from_millis(10) * (sequence as u32 - 5);
            cache.insert(sequence, b"y", now);
            let kept = sequence.saturating_sub(249).max(5);
            assert!(cache.get(kept).is_some() && cache.get(kept - 1).is_none());
        }
        assert_eq!(cache.chunks.len(), 4);
    }

    #[test]
    fn what_is_too_long_is_not_kept_and_harms_nothing() {
        let (mut cache, now) = (Cache::new(128, 4), start());
        cache.insert(7, b"four", now);
        cache.insert(7 + 128, b"five!", now);
        assert_eq!(cache.get(7), Some(&b"four"[..]));
        assert_eq!(cache.get(7 + 128), None);
    }
}
