//! What arrives, and when.

/// Time over which arriving bytes are counted, in microseconds.
const WINDOW_US: i64 = 200_000;

/// The least such time, where that is all there is to go by.
const LEAST_US: i64 = 40_000;

/// Packets that arrived last, to look at: so many say how fast they arrive.
const RECENT: usize = 16;

/// How far a packet may be from when it was due beyond a quarter of its time, in microseconds.
const UNEVEN_US: i64 = 3_000;

/// So many packets after another say how evenly they arrive.
const STEADY: usize = 3;

/// How fast bytes arrive, on the receiver's clock.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    since_us: Option<i64>,
    /// The last packet; those before it in this window.
    last_us: i64,
    last_len: u64,
    bytes: u64,
    /// Bits per second.
    pub(super) rate: Option<f64>,
    /// Whether a window has ended, and nobody has asked yet.
    pub(super) is_news: bool,
    /// Whether one has ended since a queue builds up.
    pub(super) is_fresh: bool,
}

/// The packets that arrived last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    packets: [Packet; RECENT],
    /// The oldest, which is next to go.
    next: usize,
}

/// One that arrived.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Packet {
    pub(super) at_us: i64,
    pub(super) delay: i64,
    pub(super) len: u64,
}

impl Arrived {
    pub(super) fn add(&mut self, at_us: i64, len: u64) {
        let before = std::mem::replace(&mut self.last_len, len);
        self.last_us = at_us;
        let Some(since_us) = self.since_us else {
            return self.restart();
        };
        // A packet's bytes arrive in the time until the next one has.
        self.bytes += before;
        let passed = at_us - since_us;
        if passed.abs() >= 2 * WINDOW_US {
            // A pause, or a clock that jumped.
            self.restart();
        } else if passed >= WINDOW_US {
            self.rate = Some(self.bytes as f64 * 8e6 / passed as f64);
            (self.is_news, self.is_fresh) = (true, true);
            self.restart();
        }
    }

    /// Begins a window with the last packet.
    pub(super) fn restart(&mut self) {
        (self.since_us, self.bytes) = (Some(self.last_us), 0);
    }

    /// What arrives since a queue builds up, in bits per second, if that is known already.
    pub(super) fn carried(&self) -> Option<f64> {
        let passed = self.last_us - self.since_us?;
        let open = self.bytes as f64 * 8e6 / passed.max(1) as f64;
        match self.is_fresh {
            true => self.rate,
            false => (passed >= LEAST_US).then_some(open),
        }
    }

    /// The rate of the window that is open, if that is long enough to tell that it is lower.
    pub(super) fn latest(&self) -> Option<f64> {
        let passed = self.last_us - self.since_us?;
        let open = self.bytes as f64 * 8e6 / passed.max(1) as f64;
        match self.rate {
            Some(rate) if passed < LEAST_US || rate < open => Some(rate),
            Some(_) => Some(open),
            None => (passed >= LEAST_US).then_some(open),
        }
    }
}

impl Recent {
    pub(super) fn add(&mut self, packet: Packet) {
        self.packets[self.next] = packet;
        self.next = (self.next + 1) % RECENT;
    }

    /// The delay now, and the bits per second that arrive, if so much arrives evenly, as it does
    /// out of a queue: what a network held back for a moment comes at once, and jitter is uneven.
    pub(super) fn steady(&self) -> Option<(i64, f64)> {
        let last = self.back(0);
        let len = (STEADY..RECENT)
            .take_while(|back| self.back(*back).len > 0)
            .find(|back| last.at_us - self.back(*back).at_us >= LEAST_US)?;
        let bytes: u64 = (0..len).map(|back| self.back(back).len).sum();
        let passed = last.at_us - self.back(len).at_us;
        let is_even = |back: usize| {
            let packet = self.back(back);
            let due = passed * packet.len as i64 / bytes as i64;
            let took = packet.at_us - self.back(back + 1).at_us;
            (took - due).abs() <= due / 4 + UNEVEN_US
        };
        let delay = last.delay.min(self.back(1).delay);
        (0..len)
            .all(is_even)
            .then(|| (delay, bytes as f64 * 8e6 / passed as f64))
    }

    /// The packet that arrived as many before the last.
    fn back(&self, packets: usize) -> &Packet {
        &self.packets[(self.next + 2 * RECENT - 1 - packets) % RECENT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of so many bytes that arrive at these times after waiting so long, in milliseconds.
    fn recent(packets: &[(i64, i64, u64)]) -> Recent {
        let mut recent = Recent::default();
        for &(at, delay, len) in packets {
            recent.add(Packet {
                at_us: at * 1_000,
                delay: delay * 1_000,
                len,
            });
        }
        recent
    }

    #[test]
    fn what_comes_out_of_a_queue_is_told_from_what_was_held_back_and_from_jitter() {
        // 500 kbit/s, sound among it.
        let queue = recent(&[
            (0, 0, 1_250),
            (20, 15, 1_250),
            (22, 16, 125),
            (42, 32, 1_250),
            (62, 48, 1_250),
        ]);
        let (delay, rate) = queue.steady().expect("evenly");
        assert_eq!(delay, 32_000);
        assert!((495e3..505e3).contains(&rate), "{rate}");
        let pause = recent(&[
            (0, 0, 1_250),
            (60, 55, 1_250),
            (60, 50, 1_250),
            (61, 46, 1_250),
        ]);
        assert_eq!(pause.steady(), None);
        let jitter = recent(&[
            (0, 20, 1_250),
            (2, 16, 1_250),
            (30, 40, 1_250),
            (34, 38, 1_250),
            (60, 59, 1_250),
        ]);
        assert_eq!(jitter.steady(), None);
        assert_eq!(recent(&[(0, 0, 1_250), (20, 15, 1_250)]).steady(), None);
    }
}
