//! A ring of recent packets of one incoming stream, decrypted, shared by all its subscribers.

/// Slots that are allocated together: memory grows with use, in few steps.
const CHUNK_SLOTS: usize = 64;

/// Recent packets by their extended number. Holds `slots` packets of up to `slot_len` bytes;
/// longer ones are not kept, so they cannot be sent again.
#[derive(Debug)]
pub(super) struct Cache {
    slots: usize,
    slot_len: usize,
    entries: Vec<Entry>,
    chunks: Vec<Box<[u8]>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    sequence: u64,
    /// 0: empty.
    len: u16,
}

impl Cache {
    /// An empty ring, which takes no memory before its first packet.
    pub(super) fn new(slots: usize, slot_len: usize) -> Self {
        Self {
            slots,
            slot_len,
            entries: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// Keeps a copy of `packet`, over the one that was `slots` before it.
    pub(super) fn insert(&mut self, sequence: u64, packet: &[u8]) {
        if packet.len() > self.slot_len {
            return;
        }
        // Slots are taken in the order of arrival of numbers, so a young stream is small.
        let slot = (sequence % self.slots as u64) as usize;
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); self.slots];
            self.chunks = vec![Box::default(); self.slots.div_ceil(CHUNK_SLOTS)];
        }
        let chunk = &mut self.chunks[slot / CHUNK_SLOTS];
        if chunk.is_empty() {
            *chunk = vec![0; CHUNK_SLOTS * self.slot_len].into_boxed_slice();
        }
        let start = slot % CHUNK_SLOTS * self.slot_len;
        chunk[start..start + packet.len()].copy_from_slice(packet);
        self.entries[slot] = Entry {
            sequence,
            len: packet.len() as u16,
        };
    }

    /// The packet with this number, if it is still there.
    pub(super) fn get(&self, sequence: u64) -> Option<&[u8]> {
        let slot = (sequence % self.slots as u64) as usize;
        let entry = self.entries.get(slot)?;
        if entry.sequence != sequence || entry.len == 0 {
            return None;
        }
        let start = slot % CHUNK_SLOTS * self.slot_len;
        self.chunks[slot / CHUNK_SLOTS].get(start..start + usize::from(entry.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_found_until_the_ring_has_gone_round() {
        let mut cache = Cache::new(128, 16);
        cache.insert(1_000, b"one");
        cache.insert(1_001, b"two");
        assert_eq!(cache.get(1_000), Some(&b"one"[..]));
        cache.insert(1_128, b"three");
        assert_eq!(cache.get(1_000), None);
        assert_eq!(cache.get(1_001), Some(&b"two"[..]));
        assert_eq!(cache.get(1_128), Some(&b"three"[..]));
    }

    #[test]
    fn memory_comes_with_the_first_packets_that_need_it() {
        let mut cache = Cache::new(1024, 1500);
        assert_eq!(cache.get(5), None);
        cache.insert(5, b"x");
        assert_eq!(
            cache
                .chunks
                .iter()
                .filter(|chunk| !chunk.is_empty())
                .count(),
            1
        );
    }

    #[test]
    fn what_is_too_long_is_not_kept_and_harms_nothing() {
        let mut cache = Cache::new(128, 4);
        cache.insert(7, b"four");
        cache.insert(7 + 128, b"five!");
        assert_eq!(cache.get(7), Some(&b"four"[..]));
        assert_eq!(cache.get(7 + 128), None);
    }
}
