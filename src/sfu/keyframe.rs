//! When to ask a publisher for a key frame, and how to know one.

use std::time::{Duration, Instant};

use super::command::Codec;
use crate::rtp::codec::{Size, av1, h264, vp8, vp9};

/// Least time between two requests: encoders answer each with a large frame.
const SPACING: Duration = Duration::from_millis(500);

/// Requests without an answer before silence; the next need starts over.
const MAX_TRIES: u8 = 10;

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

/// Whether a decoder can begin with this packet; `None` if its payload cannot be read.
pub(super) fn starts_keyframe(
    codec: Codec,
    payload: &[u8],
    descriptor: Option<&[u8]>,
) -> Option<bool> {
    if let Some(known) = descriptor.and_then(av1::descriptor_starts_keyframe) {
        return Some(known);
    }
    match codec {
        Codec::Opus | Codec::Red => Some(true),
        Codec::Vp8 => vp8::starts_keyframe(payload),
        Codec::Vp9 => vp9::starts_keyframe(payload),
        Codec::H264 => h264::starts_keyframe(payload),
        Codec::Av1 => av1::starts_keyframe(payload),
    }
}

/// The picture's size, if this first packet of a key frame says it.
pub(super) fn picture_size(codec: Codec, payload: &[u8]) -> Option<Size> {
    match codec {
        Codec::Vp8 => vp8::size(payload),
        Codec::Vp9 => vp9::size(payload),
        Codec::Opus | Codec::Red | Codec::H264 | Codec::Av1 => None,
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
    fn a_dependency_descriptor_is_believed_before_the_payload() {
        let (key, delta) = ([0x80, 0, 1, 0x80], [0x80, 0, 1]);
        assert_eq!(starts_keyframe(Codec::Av1, &[0xff], Some(&key)), Some(true));
        assert_eq!(
            starts_keyframe(Codec::Av1, &[0x08], Some(&delta)),
            Some(false)
        );
        assert_eq!(starts_keyframe(Codec::Vp8, &[], None), None);
    }
}
