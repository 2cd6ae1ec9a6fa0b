//! What is under way to one receiver: when each packet left and how long it was, by transport-wide
//! number, until the receiver tells of it.

/// Packets remembered at first: as many as leave between two reports at 1.5 Mbit/s. A power of two.
const FIRST: usize = 32;

/// Packets remembered at most; at 4 Mbit/s about two and a half seconds. A power of two.
/// Overflow rule: the oldest is forgotten, and what is told of it means nothing.
const MAX: usize = 1024;

/// A packet that left so long ago, in microseconds, is not waited for where there is no room: what
/// would have told of it was lost.
const PATIENCE_US: u64 = 2_000_000;

/// Packets by transport-wide number. Takes memory with the first one, and more only where they
/// leave faster than they are told of.
#[derive(Debug, Default)]
pub(super) struct History {
    /// By number, modulo their count.
    slots: Vec<Slot>,
    /// The number of the packet that left last.
    last: u16,
}

/// A packet that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// In microseconds, since whatever the caller counts from.
    pub(super) at_us: u64,
    pub(super) len: u16,
}

/// A [`Sent`] in eight bytes: its length in the lower 16 bits, and above them its time plus one,
/// which is enough for nine years. 0: nothing, or told of.
#[derive(Debug, Clone, Copy, Default)]
struct Slot(u64);

impl History {
    /// A packet leaves. Numbers come one after the other, and wrap.
    pub(super) fn push(&mut self, number: u16, sent: Sent) {
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); FIRST];
        }
        let is_awaited = |slot: Slot| {
            let before = slot.get();
            before.is_some_and(|before| sent.at_us.saturating_sub(before.at_us) < PATIENCE_US)
        };
        if self.slots.len() < MAX && is_awaited(self.slots[self.place(number)]) {
            self.grow();
        }
        self.last = number;
        let place = self.place(number);
        self.slots[place] = Slot::new(sent);
    }

    /// A packet was told of, and is forgotten.
    pub(super) fn take(&mut self, number: u16) -> Option<Sent> {
        if usize::from(self.last.wrapping_sub(number)) >= self.slots.len() {
            return None;
        }
        let place = self.place(number);
        std::mem::take(&mut self.slots[place]).get()
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.slots.fill(Slot::default());
    }

    /// Bytes that left after this time and were not told of.
    pub(super) fn after(&self, at_us: u64) -> u64 {
        let sent = self.slots.iter().filter_map(|slot| slot.get());
        let after = sent.filter(|sent| sent.at_us > at_us);
        after.map(|sent| u64::from(sent.len)).sum()
    }

    fn place(&self, number: u16) -> usize {
        usize::from(number) % self.slots.len()
    }

    fn grow(&mut self) {
        let mut grown = vec![Slot::default(); 2 * self.slots.len()];
        for back in 0..self.slots.len() as u16 {
            let number = self.last.wrapping_sub(back);
            grown[usize::from(number) % (2 * self.slots.len())] = self.slots[self.place(number)];
        }
        self.slots = grown;
    }
}

impl Slot {
    fn new(sent: Sent) -> Self {
        Self((sent.at_us + 1) << 16 | u64::from(sent.len))
    }

    fn get(self) -> Option<Sent> {
        let at_us = (self.0 >> 16).checked_sub(1)?;
        let len = self.0 as u16;
        Some(Sent { at_us, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(index: u64) -> Sent {
        Sent {
            at_us: index * 500,
            len: index as u16,
        }
    }

    #[test]
    fn a_packet_is_told_of_once() {
        let mut history = History::default();
        assert_eq!(history.take(0), None);
        history.push(65_535, sent(0));
        history.push(0, sent(1));
        assert_eq!(history.take(1), None, "not sent yet");
        assert_eq!(history.take(65_535), Some(sent(0)));
        assert_eq!(history.take(65_535), None);
        assert_eq!(history.take(0), Some(sent(1)));
        history.push(1, sent(2));
        history.push(2, sent(3));
        assert_eq!((history.after(500), history.after(1_000)), (2 + 3, 3));
        history.clear();
        assert_eq!(history.after(0), 0);
        assert_eq!(history.take(1), None);
    }

    #[test]
    fn it_stays_small_while_packets_are_told_of() {
        let mut history = History::default();
        for index in 0..200_000_u64 {
            history.push(index as u16, sent(index));
            if let Some(told) = index.checked_sub(FIRST as u64 - 1) {
                assert_eq!(history.take(told as u16), Some(sent(told)));
            }
        }
        assert_eq!(history.slots.len(), FIRST);
    }

    #[test]
    fn what_is_never_told_of_makes_it_no_larger_than_the_rate_does() {
        let mut history = History::default();
        // 100 packets a second, and each of the first few reports is lost.
        for index in 0..10_000_u64 {
            let at_us = index * 10_000;
            history.push(index as u16, Sent { at_us, len: 1 });
            if index > 300 {
                history.take(index as u16);
            }
        }
        assert_eq!(history.slots.len(), 256);
    }

    #[test]
    fn it_grows_up_to_its_bound_and_loses_none_of_the_latest() {
        for count in [33_u64, 100, 1024, 5000, 70_000] {
            let mut history = History::default();
            // Numbers wrap on the way.
            let number = |index: u64| (index + 65_500) as u16;
            (0..count).for_each(|index| history.push(number(index), sent(index)));
            assert!(history.slots.len() <= MAX);
            let kept = count.saturating_sub(MAX as u64)..count;
            for index in kept.clone() {
                assert_eq!(history.take(number(index)), Some(sent(index)), "{count}");
            }
            if let Some(lost) = kept.start.checked_sub(1) {
                assert_eq!(history.take(number(lost)), None);
            }
        }
    }
}
