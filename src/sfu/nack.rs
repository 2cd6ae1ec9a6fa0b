//! What we miss of an incoming stream, and when to ask for it; what subscribers miss, and how
//! often they get it.

use std::time::{Duration, Instant};

/// Most packets missing at once. A greater hole is not worth filling: a key frame is cheaper.
const MAX_MISSING: u64 = 256;

/// How long a packet may be late before it is asked for: networks reorder.
const REORDER_GRACE: Duration = Duration::from_millis(15);

/// How often a packet is asked for.
const MAX_TRIES: u8 = 10;

/// How long a missing packet of video is of use; it has been skipped by then.
pub(super) const VIDEO_AGE: Duration = Duration::from_secs(1);

/// The same for audio: receivers do not wait longer.
pub(super) const AUDIO_AGE: Duration = Duration::from_millis(400);

/// Round trip assumed before the first recovery has shown it.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// What a packet's number says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The highest so far.
    Next,
    /// The highest so far, behind a hole too great to fill: what follows needs a key frame.
    AfterGap,
    /// One that was missing.
    Recovered,
    /// Seen before, or given up: not to be forwarded.
    Stale,
}

/// The holes in one incoming stream. Each number is let through once.
#[derive(Debug)]
pub(super) struct Gaps {
    highest: Option<u64>,
    missing: Vec<Missing>,
    rtt: Duration,
    max_age: Duration,
}

#[derive(Debug)]
struct Missing {
    sequence: u64,
    since: Instant,
    due: Instant,
    asked_at: Option<Instant>,
    tries: u8,
}

impl Gaps {
    /// `max_age` is how long a missing packet is of use.
    pub(super) fn new(max_age: Duration) -> Self {
        Self {
            highest: None,
            missing: Vec::new(),
            rtt: INITIAL_RTT,
            max_age,
        }
    }

    /// Takes note of an original packet.
    pub(super) fn receive(&mut self, sequence: u64, now: Instant) -> Arrival {
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            return Arrival::Next;
        };
        if sequence <= highest {
            return self.recover(sequence, now);
        }
        self.highest = Some(sequence);
        let gap = sequence - highest - 1;
        if gap > MAX_MISSING {
            self.missing.clear();
            return Arrival::AfterGap;
        }
        if gap > 0 {
            self.forget_old(now);
            self.missing
                .extend((highest + 1..sequence).map(|sequence| Missing {
                    sequence,
                    since: now,
                    due: now + REORDER_GRACE,
                    asked_at: None,
                    tries: 0,
                }));
            let excess = self.missing.len().saturating_sub(MAX_MISSING as usize);
            self.missing.drain(..excess);
        }
        Arrival::Next
    }

    /// Takes note of a late or retransmitted packet.
    pub(super) fn recover(&mut self, sequence: u64, now: Instant) -> Arrival {
        let Some(missing) = self.take(sequence) else {
            return Arrival::Stale;
        };
        // Only the first try tells which request was answered.
        if let (Some(asked_at), 1) = (missing.asked_at, missing.tries) {
            self.rtt = (self.rtt * 7 + now.saturating_duration_since(asked_at)) / 8;
        }
        Arrival::Recovered
    }

    /// Whether a packet could still be of use. Of what was before the first one nothing is missing.
    pub(super) fn lacks(&self, sequence: u64) -> bool {
        let Some(highest) = self.highest else {
            return false;
        };
        sequence > highest || self.missing.iter().any(|m| m.sequence == sequence)
    }

    /// Takes note of a packet whose content came inside a later one.
    pub(super) fn fill(&mut self, sequence: u64, now: Instant) {
        if self.take(sequence).is_none() {
            self.receive(sequence, now);
        }
    }

    fn take(&mut self, sequence: u64) -> Option<Missing> {
        let index = self.missing.iter().position(|m| m.sequence == sequence)?;
        Some(self.missing.remove(index))
    }

    /// Appends what is to be asked for now, in ascending order.
    pub(super) fn poll(&mut self, now: Instant, out: &mut Vec<u16>) {
        self.forget_old(now);
        let pause = self
            .rtt
            .clamp(Duration::from_millis(20), Duration::from_millis(500));
        for missing in self.missing.iter_mut().filter(|m| m.due <= now) {
            missing.tries += 1;
            missing.asked_at = Some(now);
            missing.due = now + pause;
            out.push(missing.sequence as u16);
        }
    }

    /// When [`Self::poll`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.missing.iter().map(|m| m.due).min()
    }

    fn forget_old(&mut self, now: Instant) {
        self.missing.retain(|m| {
            let tired = m.tries >= MAX_TRIES && m.due <= now;
            !tired && now.saturating_duration_since(m.since) < self.max_age
        });
    }
}

/// Numbers whose last resend is remembered; a direct-mapped table.
const RESENDS: usize = 256;

/// Resent bytes per second and subscriber stream: 2 Mbit/s, about a full-quality camera.
const RESEND_RATE: f64 = 250_000.0;

/// The same as a share of what the network was seen to carry, if it is less: media goes on beside
/// it, and what is lost in a full queue is best not sent again.
const RESEND_SHARE: f64 = 0.25;

/// Resent bytes at once, as seconds of the rate, and at least.
const RESEND_BURST: (f64, f64) = (0.5, 3_000.0);

/// Decides whether a subscriber's NACK is answered.
#[derive(Debug)]
pub(super) struct ResendLimit {
    /// Outgoing numbers and when they were last sent again; allocated with the first NACK.
    recent: Vec<Option<(u64, Instant)>>,
    /// Bytes per second.
    rate: f64,
    tokens: f64,
    filled_at: Option<Instant>,
}

impl ResendLimit {
    pub(super) fn new() -> Self {
        Self {
            recent: Vec::new(),
            rate: RESEND_RATE,
            tokens: RESEND_RATE * RESEND_BURST.0,
            filled_at: None,
        }
    }

    /// Takes what the network was seen to carry, in bits per second.
    pub(super) fn share(&mut self, carried: Option<u64>) {
        let share = carried.map(|carried| carried as f64 / 8.0 * RESEND_SHARE);
        self.rate = share.unwrap_or(RESEND_RATE).min(RESEND_RATE);
    }

    /// Whether packet `number` of `len` bytes may be sent again: once per round trip, and within
    /// the rate.
    pub(super) fn allow(&mut self, number: u64, len: usize, rtt: Duration, now: Instant) -> bool {
        if self.recent.is_empty() {
            self.recent = vec![None; RESENDS];
        }
        let slot = &mut self.recent[number as usize % RESENDS];
        if let Some((last, at)) = *slot
            && last == number
            && now.saturating_duration_since(at) < rtt
        {
            return false;
        }
        if let Some(at) = self.filled_at {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            self.tokens += passed * self.rate;
        }
        self.tokens = self
            .tokens
            .min((self.rate * RESEND_BURST.0).max(RESEND_BURST.1));
        self.filled_at = Some(now);
        if self.tokens < len as f64 {
            return false;
        }
        self.tokens -= len as f64;
        *slot = Some((number, now));
        true
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

    fn asked(gaps: &mut Gaps, now: Instant) -> Vec<u16> {
        let mut out = Vec::new();
        gaps.poll(now, &mut out);
        out
    }

    #[test]
    fn a_hole_is_asked_for_after_the_grace_and_again_after_a_round_trip() {
        let (mut gaps, now) = (Gaps::new(VIDEO_AGE), now());
        gaps.receive(10, now);
        gaps.receive(13, now);
        assert!(asked(&mut gaps, now).is_empty());
        assert_eq!(gaps.poll_timeout(), Some(now + 15 * MS));
        assert_eq!(asked(&mut gaps, now + 15 * MS), [11, 12]);
        assert!(asked(&mut gaps, now + 60 * MS).is_empty());
        assert_eq!(asked(&mut gaps, now + 115 * MS), [11, 12]);
    }

    #[test]
    fn a_reordered_packet_is_not_asked_for() {
        let (mut gaps, now) = (Gaps::new(VIDEO_AGE), now());
        gaps.receive(10, now);
        gaps.receive(12, now);
        assert_eq!(gaps.receive(11, now + 5 * MS), Arrival::Recovered);
        assert!(asked(&mut gaps, now + 50 * MS).is_empty());
        assert_eq!(gaps.poll_timeout(), None);
    }

    #[test]
    fn every_number_is_let_through_once() {
        let (mut gaps, now) = (Gaps::new(VIDEO_AGE), now());
        assert_eq!(gaps.receive(10, now), Arrival::Next);
        assert_eq!(gaps.receive(10, now), Arrival::Stale);
        assert_eq!(gaps.receive(9, now), Arrival::Stale);
        gaps.receive(12, now);
        assert_eq!(gaps.recover(11, now), Arrival::Recovered);
        assert_eq!(gaps.receive(11, now), Arrival::Stale);
        assert_eq!(gaps.recover(500, now), Arrival::Stale);
    }

    #[test]
    fn asking_ends_after_ten_tries_or_a_second() {
        let (mut gaps, start) = (Gaps::new(VIDEO_AGE), now());
        gaps.rtt = 20 * MS;
        gaps.receive(1, start);
        gaps.receive(3, start);
        let mut tries = 0;
        for step in 0..2_000 {
            tries += asked(&mut gaps, start + step * MS).len();
        }
        assert_eq!(tries, 10);
        gaps.receive(5, start + 3_000 * MS);
        assert!(asked(&mut gaps, start + 4_001 * MS).is_empty());
    }

    #[test]
    fn a_great_hole_is_not_filled_and_memory_stays_bounded() {
        let (mut gaps, now) = (Gaps::new(VIDEO_AGE), now());
        gaps.receive(1, now);
        assert_eq!(gaps.receive(30_000, now), Arrival::AfterGap);
        assert_eq!(gaps.poll_timeout(), None);
        for step in 1..2_000 {
            gaps.receive(30_000 + step * 2, now);
        }
        assert_eq!(gaps.missing.len(), MAX_MISSING as usize);
    }

    #[test]
    fn a_packet_is_sent_again_once_per_round_trip() {
        let (mut limit, now) = (ResendLimit::new(), now());
        assert!(limit.allow(7, 1_000, 50 * MS, now));
        assert!(!limit.allow(7, 1_000, 50 * MS, now + 49 * MS));
        assert!(limit.allow(8, 1_000, 50 * MS, now + 49 * MS));
        assert!(limit.allow(7, 1_000, 50 * MS, now + 50 * MS));
    }

    #[test]
    fn resends_are_capped_by_bytes() {
        let (mut limit, now) = (ResendLimit::new(), now());
        let sent = (0..1_000)
            .filter(|n| limit.allow(*n, 1_000, 50 * MS, now))
            .count();
        assert_eq!(sent, 125);
        let later = now + 100 * MS;
        let sent = (1_000..2_000)
            .filter(|n| limit.allow(*n, 1_000, 50 * MS, later))
            .count();
        assert_eq!(sent, 25);
    }
}
