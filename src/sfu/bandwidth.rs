//! How much a subscriber's network carries, from what arrives there and when.
//!
//! What is sent is limited by the publisher, not by the network, so most of the time there is
//! nothing to estimate: there is no limit until the network shows one, by a queue that builds up
//! or by loss. From then on the limit follows what arrives; it grows slowly with it, and faster by
//! probing: more is sent for a moment than is needed, and if that arrives too, the network carries
//! it. Kept apart from GCC (draft-ietf-rmcat-gcc-02), whose trendline and rate control expect a
//! paced encoder that follows the estimate at once; we can only choose between layers.

use std::time::{Duration, Instant};

use crate::rtp::rtcp::transport_cc::TransportFeedback;

/// Sent packets remembered; at 4 Mbit/s about two and a half seconds. A power of two.
const HISTORY: usize = 1024;

/// A queue that takes longer than this is being filled by us. Browsers' jitter buffers hide it.
const MAX_QUEUE_US: i64 = 80_000;

/// Reports in a row that must agree on a queue: wireless networks stop and go.
const MIN_REPORTS: u8 = 2;

/// A queue that is longer than the first and has grown by the second in each of as many reports
/// is not waited for.
const STEEP_US: (i64, i64) = (50_000, 20_000);

/// Share of loss that means congestion; less is repaired (draft-ietf-rmcat-gcc-02, 6).
const MAX_LOSS: f64 = 0.10;

/// Packets and time over which loss is counted.
const LOSS_WINDOW: (u32, Duration) = (20, Duration::from_millis(500));

/// Time over which arriving bytes are counted, in microseconds.
const ARRIVED_WINDOW_US: i64 = 200_000;

/// What is left of the arriving rate when the limit is set: the queue has to drain.
const CUT: f64 = 0.85;

/// Time between two cuts: the first one has to show.
const CUT_PAUSE: Duration = Duration::from_millis(300);

/// Growth of the limit per second without congestion.
const GROWTH: f64 = 0.08;

/// Lowest limit, in bits per second: audio and little else.
const MIN_LIMIT: f64 = 50_000.0;

/// A limit above this is none.
const MAX_LIMIT: f64 = 20_000_000.0;

/// How long the shortest delay counts as that of an empty queue: routes and clocks change.
const BASELINE: Duration = Duration::from_secs(10);

/// How long a probe sends, and how long its last packets may take to be reported.
const PROBE: (Duration, Duration) = (Duration::from_millis(600), Duration::from_millis(250));

/// A probe sends at most this much more than what is known to get through, so that the queue it
/// makes in vain is short.
const PROBE_STEP: f64 = 2.0;

/// Time before the first probe after a cut, and at most after failed ones.
const PROBE_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(8));

/// Time between a probe that succeeded and the next one.
const PROBE_NEXT: Duration = Duration::from_millis(500);

/// How long media itself is the probe where the receiver reports too little for padding.
const TRIAL: Duration = Duration::from_secs(5);

/// Time before the first trial, and at most after failed ones.
const TRIAL_PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(80));

/// Time between two batches of padding.
const PADDING_INTERVAL: Duration = Duration::from_millis(20);

/// The estimate for one subscriber.
#[derive(Debug)]
pub(super) struct Estimator {
    zero: Instant,
    /// By transport-wide number; allocated with the first packet.
    sent: Vec<Sent>,
    /// Bits per second; `None` while the network has shown no limit.
    limit: Option<f64>,
    has_feedback: bool,
    has_remb: bool,
    baseline: Baseline,
    arrived: Arrived,
    loss: Loss,
    /// The queue seen by the last report, and how many in a row were too long.
    queue_us: i64,
    long_queues: u8,
    rises: u8,
    cut_at: Option<Instant>,
    grown_at: Option<Instant>,
    /// What more would be of use, in bits per second.
    wanted: Option<f64>,
    probe: Option<Probe>,
    probe_at: Option<Instant>,
    probe_pause: Duration,
    /// Until when this many bits per second are tried, whatever the limit is.
    trial: Option<(Instant, f64)>,
    trial_at: Option<Instant>,
    trial_pause: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    /// Microseconds since `zero`, plus one; 0: empty, or reported.
    at_us: u64,
    number: u16,
    len: u16,
}

/// The shortest one-way delay lately; theirs minus ours, so only differences mean something.
#[derive(Debug, Default)]
struct Baseline {
    now: Option<i64>,
    before: Option<i64>,
    since: Option<Instant>,
}

/// How fast bytes arrive, on the receiver's clock.
#[derive(Debug, Default)]
struct Arrived {
    since_us: Option<i64>,
    last_us: i64,
    bytes: u64,
    /// Bits per second.
    rate: Option<f64>,
}

#[derive(Debug, Default)]
struct Loss {
    since: Option<Instant>,
    arrived: u32,
    missing: u32,
}

/// More is sent than needed, to see what the network carries.
#[derive(Debug)]
struct Probe {
    target: f64,
    began: Instant,
    padded_at: Instant,
    sent: u64,
    /// The highest rate that arrived.
    arrived: f64,
}

impl Estimator {
    pub(super) fn new(zero: Instant) -> Self {
        Self {
            zero,
            sent: Vec::new(),
            limit: None,
            has_feedback: false,
            has_remb: false,
            baseline: Baseline::default(),
            arrived: Arrived::default(),
            loss: Loss::default(),
            queue_us: 0,
            long_queues: 0,
            rises: 0,
            cut_at: None,
            grown_at: None,
            wanted: None,
            probe: None,
            probe_at: None,
            probe_pause: PROBE_PAUSE.0,
            trial: None,
            trial_at: None,
            trial_pause: TRIAL_PAUSE.0,
        }
    }

    /// Bits per second that the network carries; `None` if no limit is known.
    pub(super) fn limit(&self) -> Option<u64> {
        let tried = self.trial.map_or(0.0, |(_, rate)| rate);
        self.limit.map(|limit| limit.max(tried) as u64)
    }

    /// Takes note of a packet of `len` bytes that leaves.
    pub(super) fn sent(&mut self, number: u16, len: usize, now: Instant) {
        if self.sent.is_empty() {
            self.sent = vec![Sent::default(); HISTORY];
        }
        self.sent[usize::from(number) % HISTORY] = Sent {
            at_us: self.us(now) + 1,
            number,
            len: len as u16,
        };
        if let Some(probe) = &mut self.probe {
            probe.sent += len as u64;
        }
    }

    fn us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.zero).as_micros() as u64
    }

    /// Takes transport-wide feedback.
    pub(super) fn feedback(&mut self, feedback: &TransportFeedback<'_>, now: Instant) {
        let mut shortest: Option<i64> = None;
        for arrival in feedback.arrivals() {
            let slot = self.sent.get_mut(usize::from(arrival.sequence) % HISTORY);
            let known = slot.filter(|sent| sent.number == arrival.sequence && sent.at_us > 0);
            let Some(sent) = known else { continue };
            let Some(at_us) = arrival.at_us else {
                self.loss.missing += 1;
                continue;
            };
            let delay = at_us - sent.at_us.cast_signed();
            shortest = Some(shortest.map_or(delay, |shortest| shortest.min(delay)));
            self.arrived.add(at_us, sent.len.into());
            self.loss.arrived += 1;
            sent.at_us = 0;
        }
        let Some(delay) = shortest else { return };
        self.has_feedback = true;
        if let (Some(probe), Some(rate)) = (&mut self.probe, self.arrived.rate) {
            probe.arrived = probe.arrived.max(rate);
        }
        let queue_us = delay - self.baseline.observe(delay, now);
        // A queue that gets shorter needs no further cut.
        let grows = queue_us >= self.queue_us - MAX_QUEUE_US / 16;
        let rises = queue_us - self.queue_us >= STEEP_US.1;
        self.rises = if rises { self.rises + 1 } else { 0 };
        let steep = self.rises >= MIN_REPORTS && queue_us > STEEP_US.0;
        self.queue_us = queue_us;
        let long = queue_us > MAX_QUEUE_US;
        self.long_queues = if long && grows {
            self.long_queues + 1
        } else {
            0
        };
        let loss = self.loss.finish(now);
        if self.long_queues >= MIN_REPORTS || steep {
            (self.long_queues, self.rises) = (0, 0);
            self.cut(CUT, now);
        } else if let Some(loss) = loss {
            self.cut(1.0 - loss / 2.0, now);
        } else if !long {
            self.grow(now);
        }
    }

    /// Sets the limit to a share of what arrives.
    fn cut(&mut self, share: f64, now: Instant) {
        // What is in the queue was sent before the last cut could show.
        let pause = CUT_PAUSE + Duration::from_micros(self.queue_us.max(0).unsigned_abs());
        let early = |at: Instant| now.saturating_duration_since(at) < pause;
        if self.cut_at.is_some_and(early) {
            return;
        }
        let Some(rate) = self.arrived.latest() else {
            return;
        };
        self.cut_at = Some(now);
        self.grown_at = None;
        if self.probe.take().is_some() {
            // It was the probe that was too much; what was known before is still true.
            self.probe_pause = (self.probe_pause * 2).min(PROBE_PAUSE.1);
        } else {
            let limit = self.limit.unwrap_or(MAX_LIMIT).min(rate * share);
            self.limit = Some(limit.max(MIN_LIMIT));
        }
        self.probe_at = Some(now + self.probe_pause);
    }

    /// Lets the limit grow, as far as what arrives gives reason to.
    fn grow(&mut self, now: Instant) {
        let Some(limit) = self.limit else { return };
        let since = self.grown_at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(since).as_secs_f64().min(1.0);
        let proven = self.arrived.rate.map_or(0.0, |rate| rate * 1.5);
        if !self.has_feedback || limit < proven {
            self.raise(limit * (1.0 + GROWTH * passed));
        }
    }

    fn raise(&mut self, limit: f64) {
        self.limit = (limit < MAX_LIMIT).then_some(limit);
    }

    /// Takes the receiver's own estimate, which counts unless there is something better.
    pub(super) fn remb(&mut self, bitrate: u64) {
        self.has_remb = true;
        if !self.has_feedback {
            self.raise((bitrate as f64).max(MIN_LIMIT));
        }
    }

    /// Takes the share that a receiver report calls lost, of `rate` bits per second; for receivers
    /// that report nothing else.
    pub(super) fn lost(&mut self, share: f64, rate: f64, now: Instant) {
        if self.has_feedback || self.has_remb {
            return;
        }
        if share > MAX_LOSS {
            let limit = self
                .limit
                .unwrap_or(MAX_LIMIT)
                .min(rate * (1.0 - share / 2.0));
            self.limit = Some(limit.max(MIN_LIMIT));
        } else if share < MAX_LOSS / 5.0 {
            self.grow(now);
        }
    }

    /// Says how much would be of use, in bits per second; `None` if the limit is enough.
    pub(super) fn want(&mut self, rate: Option<u64>, now: Instant) {
        self.wanted = rate.map(|rate| rate as f64);
        if !self.has_feedback {
            self.try_out(now);
        }
        if self.wanted.is_some() {
            self.probe_at.get_or_insert(now + self.probe_pause);
        }
    }

    /// Begins and ends trials, for receivers that tell too little of padding: what they say about
    /// the media itself then counts.
    fn try_out(&mut self, now: Instant) {
        if let Some((until, rate)) = self.trial {
            if now < until {
                return;
            }
            self.trial = None;
            self.trial_pause = match self.limit.is_none_or(|limit| limit >= rate) {
                true => TRIAL_PAUSE.0,
                false => (self.trial_pause * 2).min(TRIAL_PAUSE.1),
            };
            self.trial_at = None;
        }
        let (Some(limit), Some(wanted)) = (self.limit, self.wanted) else {
            self.trial_at = None;
            return;
        };
        if wanted > limit && *self.trial_at.get_or_insert(now + self.trial_pause) <= now {
            self.trial = Some((now + TRIAL, wanted));
        }
    }

    /// Bytes of padding to send now.
    pub(super) fn padding(&mut self, now: Instant) -> usize {
        let (Some(limit), true) = (self.limit, self.has_feedback) else {
            return 0;
        };
        if let Some(probe) = &mut self.probe {
            let passed = now.saturating_duration_since(probe.began);
            probe.padded_at = now;
            if passed < PROBE.0 {
                let due = probe.target / 8.0 * (passed + PADDING_INTERVAL).as_secs_f64();
                return (due as usize).saturating_sub(probe.sent as usize);
            }
            if passed >= PROBE.0 + PROBE.1 {
                self.finish_probe(limit, now);
            }
            return 0;
        }
        let due = self.probe_at.is_some_and(|at| at <= now);
        let wanted = self.wanted.filter(|wanted| due && *wanted > limit);
        let Some(target) = wanted else { return 0 };
        let target = target.min(limit * PROBE_STEP);
        self.probe = Some(Probe {
            target,
            began: now,
            padded_at: now,
            sent: 0,
            arrived: 0.0,
        });
        0
    }

    /// Nothing has spoken against it while the probe lasted.
    fn finish_probe(&mut self, limit: f64, now: Instant) {
        let Some(probe) = self.probe.take() else {
            return;
        };
        let complete = probe.arrived >= probe.target * CUT;
        self.raise(limit.max(if complete {
            probe.target
        } else {
            probe.arrived * CUT
        }));
        self.probe_pause = match complete {
            true => PROBE_PAUSE.0,
            false => (self.probe_pause * 2).min(PROBE_PAUSE.1),
        };
        self.probe_at = Some(
            now + if complete {
                PROBE_NEXT
            } else {
                self.probe_pause
            },
        );
    }

    /// When [`Self::padding`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let limit = self.limit.filter(|_| self.has_feedback)?;
        match &self.probe {
            Some(probe) if probe.padded_at < probe.began + PROBE.0 - PADDING_INTERVAL => {
                Some(probe.padded_at + PADDING_INTERVAL)
            }
            Some(probe) => Some(probe.began + PROBE.0 + PROBE.1),
            None => self
                .probe_at
                .filter(|_| self.wanted.is_some_and(|wanted| wanted > limit)),
        }
    }
}

impl Baseline {
    /// The shortest delay, this one included.
    fn observe(&mut self, delay: i64, now: Instant) -> i64 {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= BASELINE {
            self.since = Some(now);
            self.before = self.now.replace(delay);
        }
        let shortest = self.now.map_or(delay, |shortest| shortest.min(delay));
        self.now = Some(shortest);
        self.before.map_or(shortest, |before| before.min(shortest))
    }
}

impl Arrived {
    fn add(&mut self, at_us: i64, len: u64) {
        let passed = at_us - *self.since_us.get_or_insert(at_us);
        if passed.abs() >= 2 * ARRIVED_WINDOW_US {
            // A pause, or a clock that jumped.
            (self.since_us, self.bytes) = (Some(at_us), 0);
        } else if passed >= ARRIVED_WINDOW_US {
            self.rate = Some(self.bytes as f64 * 8e6 / passed as f64);
            (self.since_us, self.bytes) = (Some(at_us), 0);
        }
        self.bytes += len;
        self.last_us = at_us;
    }

    /// The rate of the window that is open, if that is long enough to tell that it is lower.
    fn latest(&self) -> Option<f64> {
        let passed = self.last_us - self.since_us?;
        let open = self.bytes as f64 * 8e6 / passed.max(1) as f64;
        match self.rate {
            Some(rate) if passed < ARRIVED_WINDOW_US / 2 || rate < open => Some(rate),
            Some(_) => Some(open),
            None => (passed >= ARRIVED_WINDOW_US / 2).then_some(open),
        }
    }
}

impl Loss {
    /// The share lost, if enough has been counted for long enough and it is too much.
    fn finish(&mut self, now: Instant) -> Option<f64> {
        let since = *self.since.get_or_insert(now);
        let all = self.arrived + self.missing;
        if all < LOSS_WINDOW.0 || now.saturating_duration_since(since) < LOSS_WINDOW.1 {
            return None;
        }
        let (all, missing) = (f64::from(all), f64::from(self.missing));
        // Few packets lose more than their share now and then: two standard deviations are luck.
        let luck = 2.0 * (all * MAX_LOSS * (1.0 - MAX_LOSS)).sqrt();
        *self = Self {
            since: Some(now),
            ..Self::default()
        };
        (missing > all * MAX_LOSS + luck).then_some(missing / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn estimator() -> (Estimator, Instant) {
        let now = Clock::system().epoch().instant;
        (Estimator::new(now), now)
    }

    #[test]
    fn without_feedback_the_receivers_own_estimate_counts() {
        let (mut estimator, now) = estimator();
        assert_eq!(estimator.limit(), None);
        estimator.remb(500_000);
        estimator.lost(0.5, 400_000.0, now);
        assert_eq!(estimator.limit(), Some(500_000));
        estimator.remb(1);
        assert_eq!(estimator.limit(), Some(MIN_LIMIT as u64));
        estimator.remb(u64::MAX);
        assert_eq!(estimator.limit(), None);
    }

    #[test]
    fn without_any_estimate_reported_loss_counts() {
        let (mut estimator, now) = estimator();
        estimator.lost(0.05, 1e6, now);
        assert_eq!(estimator.limit(), None);
        estimator.lost(0.4, 1e6, now);
        assert_eq!(estimator.limit(), Some(800_000));
        for second in 1..=10 {
            estimator.lost(0.0, 1e6, now + Duration::from_secs(second));
        }
        let limit = estimator.limit().expect("it grows slowly");
        assert!((1_400_000..1_800_000).contains(&limit), "{limit}");
    }

    #[test]
    fn without_feedback_media_itself_is_tried_and_later_each_time_it_fails() {
        let (mut estimator, start) = estimator();
        estimator.remb(100_000);
        let mut began = Vec::new();
        let mut tried = false;
        for second in 0..200 {
            estimator.remb(100_000);
            estimator.want(Some(300_000), start + Duration::from_secs(second));
            let tries = estimator.limit() == Some(300_000);
            if tries && !tried {
                began.push(second);
            }
            tried = tries;
        }
        assert_eq!(began, [10, 35, 80, 165]);
        // One that succeeds ends all of it.
        estimator.remb(400_000);
        estimator.want(None, start + Duration::from_secs(201));
        assert_eq!(estimator.limit(), Some(400_000));
    }

    #[test]
    fn nothing_is_probed_without_a_limit_or_without_a_wish() {
        let (mut estimator, now) = estimator();
        estimator.want(Some(1_000_000), now);
        assert_eq!(estimator.poll_timeout(), None);
        estimator.has_feedback = true;
        estimator.limit = Some(500_000.0);
        assert_eq!(estimator.poll_timeout(), Some(now + PROBE_PAUSE.0));
        estimator.want(None, now);
        assert_eq!(estimator.poll_timeout(), None);
    }

    #[test]
    fn a_probe_whose_turn_comes_late_is_not_due_again_at_once() {
        let (mut estimator, start) = estimator();
        estimator.has_feedback = true;
        estimator.limit = Some(500_000.0);
        estimator.want(Some(1_000_000), start);
        let began = start + PROBE_PAUSE.0;
        estimator.padding(began);
        let late = began + PROBE.0 + Duration::from_millis(10);
        estimator.padding(late);
        assert!(estimator.poll_timeout() > Some(late));
    }

    #[test]
    fn a_probe_pads_up_to_its_target_and_ends() {
        let (mut estimator, start) = estimator();
        estimator.has_feedback = true;
        estimator.limit = Some(500_000.0);
        estimator.want(Some(1_000_000), start);
        let (mut now, mut padded) = (start, 0);
        for number in 0..200u16 {
            let Some(due) = estimator.poll_timeout() else {
                break;
            };
            assert!(due > now || number == 0, "it waits");
            now = due;
            let due = estimator.padding(now);
            if due > 0 {
                estimator.sent(number, due, now);
                padded += due;
            }
            if estimator.probe_pause > PROBE_PAUSE.0 {
                break;
            }
        }
        // Nothing was reported, so nothing is believed, and the next one is later.
        assert!((72_000..78_000).contains(&padded), "{padded}");
        assert_eq!(estimator.limit(), Some(500_000));
        assert!(estimator.poll_timeout() > Some(now + PROBE_PAUSE.0));
    }
}
