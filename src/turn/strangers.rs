//! What strangers are told over UDP: never more bytes than have come from where they seem to be.
//!
//! Anybody can pretend to be anywhere there, so an address has a credit (as in RFC 9000, 8.1): what
//! came from it, less what was sent to it. An answer that it does not cover is not sent, and who
//! asks again, as every client does (RFC 8489, 6.2.1), has more of it. Whoever aims this server at
//! somebody else thus spends at least as much as arrives there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a credit is kept at least, and three times that at most. Browsers ask again within
/// 250 ms, others within a second or two.
const KEPT: Duration = Duration::from_secs(5);

/// Addresses of one half of the table, some 23 bytes each. With so many new ones within the time
/// in which clients ask again, 200 000 a second, some of these are forgotten and stay unanswered.
const HALF: usize = 50_000;

/// Credits by address and port, in two halves: when the younger one is full or old enough, the
/// older one is forgotten. No credit is none.
#[derive(Debug)]
pub(super) struct Strangers {
    younger: Credits,
    older: Credits,
    turned_at: Instant,
}

/// In bytes; more than 255, which no answer needs, are not saved up.
type Credits = HashMap<(IpAddr, u16), u8>;

impl Strangers {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            younger: Credits::new(),
            older: Credits::new(),
            turned_at: now,
        }
    }

    /// Takes note of a question of so many bytes; whether one of so many may be sent back, which is
    /// paid for then.
    pub(super) fn ask(
        &mut self,
        from: SocketAddr,
        question: usize,
        answer: usize,
        now: Instant,
    ) -> bool {
        self.forget(now);
        let from = (from.ip(), from.port());
        let saved = self.younger.remove(&from);
        let saved = saved.or_else(|| self.older.remove(&from)).unwrap_or(0);
        let credit = usize::from(saved) + question;
        let left = credit.checked_sub(answer);
        let rest = u8::try_from(left.unwrap_or(credit)).unwrap_or(u8::MAX);
        if rest > 0 {
            self.younger.insert(from, rest);
        }
        left.is_some()
    }

    fn forget(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.turned_at);
        if age < KEPT && self.younger.len() < HALF {
            return;
        }
        self.older = std::mem::take(&mut self.younger);
        if age >= 2 * KEPT {
            self.older.clear();
        }
        self.turned_at = now;
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "any moment will do as the start of invented time"
)]
mod tests {
    use super::*;

    fn address(n: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::from(n.to_be_bytes()), 1)
    }

    #[test]
    fn an_answer_is_paid_for_with_what_came_from_its_address() {
        let now = Instant::now();
        let mut strangers = Strangers::new(now);
        let mut ask = |from: &str, question, answer| {
            strangers.ask(from.parse().unwrap(), question, answer, now)
        };
        let first = "192.0.2.1:1";
        assert!(!ask(first, 28, 48));
        for other in ["192.0.2.1:2", "192.0.2.2:1", "[2001:db8::1]:1"] {
            assert!(!ask(other, 28, 48));
        }
        assert!(ask(first, 28, 48));
        // 8 are left.
        assert!(!ask(first, 28, 48));
        assert!(ask(first, 28, 64));
        assert!(!ask(first, 28, 29));
    }

    #[test]
    fn a_credit_is_forgotten_in_time_and_not_saved_up() {
        let start = Instant::now();
        for (seconds, kept) in [(0, true), (9, true), (10, false), (1000, false)] {
            let mut strangers = Strangers::new(start);
            assert!(!strangers.ask(address(1), 28, 48, start));
            let later = start + Duration::from_secs(seconds);
            assert_eq!(strangers.ask(address(1), 28, 48, later), kept, "{seconds}");
        }
        let mut strangers = Strangers::new(start);
        assert!(!strangers.ask(address(1), 1500, 1501, start));
        assert!(!strangers.ask(address(1), 0, 256, start));
        assert!(strangers.ask(address(1), 0, 255, start));
    }

    #[test]
    fn of_too_many_the_ones_that_came_first_are_forgotten() {
        let now = Instant::now();
        let mut strangers = Strangers::new(now);
        let half = HALF as u32;
        for n in 0..3 * half {
            assert!(!strangers.ask(address(n), 28, 48, now));
            assert!(strangers.younger.len() <= HALF && strangers.older.len() <= HALF);
        }
        assert!(strangers.ask(address(2 * half), 28, 48, now));
        assert!(!strangers.ask(address(half - 1), 28, 48, now));
    }
}
