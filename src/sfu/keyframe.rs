//! When to ask a publisher for a key frame.

use std::time::{Duration, Instant};

/// Least time between two requests: encoders answer each with a large frame.
const SPACING: Duration = Duration::from_millis(500);

/// Requests without an answer before silence; the next need starts over.
const MAX_TRIES: u8 = 10;

/// After this a request is taken as answered where key frames cannot be recognised; a decoder that
/// got none asks again.
const PRESUMED: Duration = Duration::from_millis(300);

/// Merges the requests of all subscribers of one stream.
#[derive(Debug, Default)]
pub(super) struct KeyframeRequests {
    wanted: bool,
    tries: u8,
    sent_at: Option<Instant>,
}

impl KeyframeRequests {
    /// Somebody needs a key frame.
    pub(super) fn want(&mut self) {
        if !self.wanted {
            self.wanted = true;
            self.tries = 0;
        }
    }

    /// A key frame begins to come in.
    pub(super) fn arrived(&mut self) {
        self.wanted = false;
    }

    /// A frame begins to come in, of which nobody can say whether it is a key frame.
    pub(super) fn presume_arrived(&mut self, now: Instant) {
        let answered = |at: Instant| now.saturating_duration_since(at) >= PRESUMED;
        if self.sent_at.is_some_and(answered) {
            self.wanted = false;
        }
    }

    /// Whether to ask now; counts as asked.
    pub(super) fn poll(&mut self, now: Instant) -> bool {
        if !self.wanted || self.not_before().is_some_and(|at| at > now) {
            return false;
        }
        self.tries += 1;
        self.sent_at = Some(now);
        self.wanted = self.tries < MAX_TRIES;
        true
    }

    /// When [`Self::poll`] is to be called next, if one request did not help.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.not_before().filter(|_| self.wanted)
    }

    fn not_before(&self) -> Option<Instant> {
        self.sent_at.map(|at| at + SPACING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const MS: Duration = Duration::from_millis(1);

    fn now() -> Instant {
        Clock::system().epoch().instant
    }

    #[test]
    fn the_first_request_is_immediate_and_others_wait_for_the_spacing() {
        let (mut requests, now) = (KeyframeRequests::default(), now());
        requests.want();
        assert!(requests.poll(now));
        requests.want();
        assert!(!requests.poll(now + 499 * MS));
        assert_eq!(requests.poll_timeout(), Some(now + 500 * MS));
        assert!(requests.poll(now + 500 * MS));
    }

    #[test]
    fn a_key_frame_ends_the_asking() {
        let (mut requests, now) = (KeyframeRequests::default(), now());
        requests.want();
        requests.poll(now);
        requests.arrived();
        assert_eq!(requests.poll_timeout(), None);
        assert!(!requests.poll(now + 600 * MS));
    }

    #[test]
    fn asking_in_vain_ends_until_somebody_asks_anew() {
        let (mut requests, now) = (KeyframeRequests::default(), now());
        requests.want();
        let asked = (0..100)
            .filter(|n| requests.poll(now + *n * 500 * MS))
            .count();
        assert_eq!(asked, usize::from(MAX_TRIES));
        requests.want();
        assert!(requests.poll(now + 100 * 500 * MS));
    }

    #[test]
    fn where_key_frames_cannot_be_seen_one_request_is_taken_as_answered() {
        let (mut requests, now) = (KeyframeRequests::default(), now());
        requests.want();
        requests.presume_arrived(now);
        assert!(requests.poll(now));
        requests.presume_arrived(now + 299 * MS);
        assert!(requests.poll_timeout().is_some());
        requests.presume_arrived(now + 300 * MS);
        assert_eq!(requests.poll_timeout(), None);
    }
}
