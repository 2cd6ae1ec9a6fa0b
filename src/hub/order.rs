//! Keeps ICE candidates behind the description they belong to.
//!
//! A client sends candidates at once but holds its description back until gathering is over, and
//! another client discards candidates that come before their description
//! (`protocol/signaling.md`, 13.1).

use std::collections::VecDeque;

/// One direction of one relayed peer connection. `T` is a candidate as it will be passed on.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    /// ICE user name fragments of the last description; empty before the first.
    ufrags: Vec<String>,
    described: bool,
    held: VecDeque<(Option<String>, T)>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self {
            ufrags: Vec::new(),
            described: false,
            held: VecDeque::new(),
        }
    }
}

impl<T> InOrder<T> {
    /// A description passes; returns the candidates that may follow it.
    pub(super) fn describe(&mut self, sdp: &str) -> Vec<T> {
        self.described = true;
        self.ufrags = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=ice-ufrag:"))
            .map(|ufrag| ufrag.trim_end().to_owned())
            .collect();
        self.ufrags.dedup();
        let (go, stay) = std::mem::take(&mut self.held)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(ufrag, _)| self.belongs(ufrag.as_deref()));
        self.held = stay;
        go.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// A candidate comes; returns it if it may pass now. Of those that may not, the last `max`
    /// are kept.
    pub(super) fn candidate(&mut self, line: &str, candidate: T, max: usize) -> Option<T> {
        let ufrag = ufrag_of(line);
        if self.belongs(ufrag) {
            return Some(candidate);
        }
        self.held.push_back((ufrag.map(str::to_owned), candidate));
        if self.held.len() > max {
            self.held.pop_front();
        }
        None
    }

    /// Whether a candidate belongs to the last description. One that does not say counts as such.
    fn belongs(&self, ufrag: Option<&str>) -> bool {
        self.described && ufrag.is_none_or(|ufrag| self.ufrags.iter().any(|u| u == ufrag))
    }
}

/// The `ufrag` attribute of a candidate line (RFC 8839, 5.1 leaves room for such extensions).
fn ufrag_of(line: &str) -> Option<&str> {
    let mut words = line.split(' ');
    words.find(|word| *word == "ufrag")?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "candidate:1 1 udp 2122 192.0.2.1 5000 typ host generation 0 ufrag";

    #[test]
    fn candidates_wait_for_their_description() {
        let mut order = InOrder::default();
        assert_eq!(
            order.candidate(&format!("{LINE} aaaa network-id 1"), 1, 9),
            None
        );
        assert_eq!(order.candidate("candidate:1 without", 2, 9), None);
        assert_eq!(order.describe("v=0\r\na=ice-ufrag:aaaa\r\n"), [1, 2]);
        assert_eq!(order.candidate(&format!("{LINE} aaaa"), 3, 9), Some(3));
    }

    #[test]
    fn candidates_of_an_ice_restart_wait_for_its_description() {
        let mut order = InOrder::default();
        order.describe("a=ice-ufrag:aaaa\r\n");
        assert_eq!(order.candidate(&format!("{LINE} bbbb"), 1, 9), None);
        assert_eq!(
            order.describe("a=ice-ufrag:aaaa\r\n"),
            [0; 0],
            "still the old one"
        );
        assert_eq!(order.describe("a=ice-ufrag:bbbb\r\n"), [1]);
    }

    #[test]
    fn only_the_last_held_candidates_are_kept() {
        let mut order = InOrder::default();
        for n in 1..=5 {
            order.candidate(LINE, n, 2);
        }
        assert_eq!(order.describe(""), [4, 5]);
    }
}
