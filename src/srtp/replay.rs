//! Which packet indices were seen (RFC 3711, 3.3.2), and which one a sequence number means.

/// Words of the window; a power of two.
const WORDS: usize = 16;

/// How far behind the highest index a packet may come: 960 packets, as retransmissions without
/// RTX are late by a round trip, and libsrtp's users commonly set 1024.
///
/// One word less than there is, since the newest word is only partly used.
const WINDOW_LEN: u64 = (WORDS as u64 - 1) * 64;

/// Highest 48-bit index; behind it a new master key would be needed (RFC 3711, 9.2).
const MAX_INDEX: u64 = (1 << 48) - 1;

/// The highest index of one SSRC and what was seen below it: a ring of bits, one for each index.
#[derive(Debug, Clone)]
pub(super) struct ReplayWindow {
    highest: u64,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// A window that has seen `first` and nothing else.
    pub(super) fn starting_at(first: u64) -> Self {
        let mut window = Self {
            highest: first,
            seen: [0; WORDS],
        };
        window.insert(first);
        window
    }

    /// Notes an index that was accepted.
    pub(super) fn insert(&mut self, index: u64) {
        let (word, top) = (index / 64, self.highest / 64);
        // Words between the old top and the new one are about indices a whole ring ago.
        for skipped in (top + 1..=word).take(WORDS) {
            self.seen[skipped as usize % WORDS] = 0;
        }
        self.highest = self.highest.max(index);
        self.seen[word as usize % WORDS] |= 1 << (index % 64);
    }

    /// Whether an index is new, as far as can be told.
    pub(super) fn accepts(&self, index: u64) -> bool {
        if index > self.highest {
            return index <= MAX_INDEX;
        }
        self.highest - index < WINDOW_LEN
            && self.seen[(index / 64) as usize % WORDS] & (1 << (index % 64)) == 0
    }

    /// The index nearest to the highest one that ends in `seq` (RFC 3711, 3.3.1).
    pub(super) fn estimate(&self, seq: u16) -> u64 {
        let ahead = seq.wrapping_sub(self.highest as u16);
        if ahead < 1 << 15 {
            return self.highest + u64::from(ahead);
        }
        let behind = u64::from(ahead.wrapping_neg());
        // Nothing came before index zero, so there it can only be a great leap forward.
        self.highest
            .checked_sub(behind)
            .unwrap_or(self.highest + u64::from(ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_accepted_once() {
        let mut window = ReplayWindow::starting_at(1000);
        assert!(!window.accepts(1000));
        for index in [1001, 1500, 1499, 999, 5000, 4999, 4100] {
            assert!(window.accepts(index), "{index}");
            window.insert(index);
            assert!(!window.accepts(index), "{index} again");
        }
    }

    #[test]
    fn an_index_behind_the_window_is_not_accepted() {
        let window = ReplayWindow::starting_at(10_000);
        assert!(window.accepts(10_000 - WINDOW_LEN + 1));
        assert!(!window.accepts(10_000 - WINDOW_LEN));
        assert!(!window.accepts(0));
    }

    #[test]
    fn the_window_agrees_with_a_set() {
        let mut window = ReplayWindow::starting_at(0);
        let mut seen = std::collections::HashSet::from([0]);
        let mut highest = 0_u64;
        let mut random = crate::entropy::Entropy::from_seed(1);
        for _ in 0..20_000 {
            let index = (highest + u64::from(random.below(200)))
                .saturating_sub(u64::from(random.below(1200)));
            let expected =
                !seen.contains(&index) && (index > highest || highest - index < WINDOW_LEN);
            assert_eq!(window.accepts(index), expected, "{index} after {highest}");
            if expected {
                window.insert(index);
                seen.insert(index);
                highest = highest.max(index);
            }
        }
    }

    #[test]
    fn a_sequence_number_means_the_nearest_index() {
        let window = ReplayWindow::starting_at(0x1_fff0);
        assert_eq!(window.estimate(0xffff), 0x1_ffff);
        assert_eq!(window.estimate(5), 0x2_0005);
        assert_eq!(window.estimate(0xff00), 0x1_ff00);
        let window = ReplayWindow::starting_at(0x2_0005);
        assert_eq!(window.estimate(0xfff0), 0x1_fff0);
        let window = ReplayWindow::starting_at(5);
        assert_eq!(window.estimate(0xfff0), 0xfff0);
    }

    #[test]
    fn the_last_index_is_the_end() {
        let window = ReplayWindow::starting_at(MAX_INDEX);
        assert!(!window.accepts(window.estimate(0)));
    }
}
