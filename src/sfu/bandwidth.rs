//! How much a client's network carries, from what arrives there and when. All legs of a client
//! share one network, so there is one estimate for all of them.
//!
//! What is sent is limited by the publishers, not by the network, so most of the time there is
//! nothing to estimate: but for the first moments, in which a client that asks for much gets it
//! little by little, there is no limit until the network shows one, by a queue that builds up or
//! by loss. From then on the limit follows what arrives; it grows slowly with it, and faster by
//! probing: more is sent for a moment than is needed, and if that arrives too, the network carries
//! it. Kept apart from GCC (draft-ietf-rmcat-gcc-02), whose trendline and rate control expect a
//! paced encoder that follows the estimate at once; we can only choose between layers.

use std::time::{Duration, Instant};

use super::downlink::{Queue, Seen};

/// Share of loss that means congestion; less is repaired (draft-ietf-rmcat-gcc-02, 6).
const MAX_LOSS: f64 = 0.10;

/// Packets and time over which loss is counted.
const LOSS_WINDOW: (u32, Duration) = (20, Duration::from_millis(500));

/// What is left of the arriving rate when the limit is set: the queue has to drain.
const CUT: f64 = 0.85;

/// A packet that was sent less than this after a cut says nothing about it.
const CUT_PAUSE: Duration = Duration::from_millis(300);

/// How much each window counts in what arrives out of a full queue.
const CARRIED: f64 = 0.5;

/// Growth of the limit per second without congestion.
const GROWTH: f64 = 0.08;

/// What a client gets at once, in bits per second, and the time in which that doubles as long as
/// all is well: enough for one good picture, and not so much that a slow network loses sound
/// before it can say so.
const RAMP: (f64, Duration) = (2_500_000.0, Duration::from_millis(300));

/// How long a receiver may leave us without feedback before it gets everything.
const RAMP_PATIENCE: Duration = Duration::from_secs(3);

/// Lowest limit, in bits per second: audio and little else.
const MIN_LIMIT: f64 = 50_000.0;

/// A limit above this is none.
const MAX_LIMIT: f64 = 20_000_000.0;

/// How long a probe sends, and how long its last packets may take to be reported.
const PROBE: (Duration, Duration) = (Duration::from_millis(600), Duration::from_millis(250));

/// A probe sends at most this much more than what is known to get through, so that the queue it
/// makes in vain is short.
const PROBE_STEP: f64 = 2.0;

/// Time before the first probe after a cut, and at most after failed ones.
const PROBE_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));

/// Time between a probe that succeeded and the next one.
const PROBE_NEXT: Duration = Duration::from_millis(500);

/// How long a probe waits for the queue of the last cut to go away: where delays are seldom short,
/// something has to be found out some time.
const DRAIN: Duration = Duration::from_secs(10);

/// How long media itself is the probe where the receiver reports too little for padding.
const TRIAL: Duration = Duration::from_secs(5);

/// Time before the first trial, and at most after failed ones.
const TRIAL_PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(80));

/// Time between two batches of padding.
const PADDING_INTERVAL: Duration = Duration::from_millis(20);

/// The estimate for one client.
#[derive(Debug)]
pub(super) struct Estimator {
    /// Bits per second; `None` while the network has shown no limit.
    limit: Option<f64>,
    /// What is sent at most while nothing is known yet, and when that began and last grew.
    ramp: Option<f64>,
    ramp_began: Option<Instant>,
    ramped_at: Option<Instant>,
    has_feedback: bool,
    has_remb: bool,
    /// Bits per second that arrive, over all legs.
    arriving: u64,
    loss: Loss,
    cut: Option<Cut>,
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

#[derive(Debug, Default)]
struct Loss {
    since: Option<Instant>,
    arrived: u32,
    missing: u32,
}

/// Less is sent from here on.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: Instant,
    /// The limit and what was sent at most before.
    before: (Option<f64>, Option<f64>),
    /// The share of what arrives that the limit is set to as long as the cut does not show; `None`
    /// if it was not for a queue.
    follows: Option<f64>,
    /// What arrives out of the queue, in bits per second.
    carried: Option<f64>,
}

/// More is sent than needed, to see what the network carries.
#[derive(Debug)]
struct Probe {
    target: f64,
    began: Instant,
    padded_at: Instant,
    /// Bytes that had left on all legs when it began.
    sent: u64,
    /// The highest rate that arrived.
    arrived: f64,
}

impl Default for Estimator {
    fn default() -> Self {
        Self {
            limit: None,
            ramp: Some(RAMP.0),
            ramp_began: None,
            ramped_at: None,
            has_feedback: false,
            has_remb: false,
            arriving: 0,
            loss: Loss::default(),
            cut: None,
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
}

impl Estimator {
    /// Bits per second that the network carries, as far as known; `None`: there is no limit.
    pub(super) fn limit(&self) -> Option<u64> {
        let tried = self.trial.map_or(0.0, |(_, rate)| rate);
        let limit = self.limit.map(|limit| limit.max(tried));
        limit.or(self.ramp).map(|limit| limit as u64)
    }

    /// Bits per second that the network was seen to carry, if it has shown a limit.
    pub(super) fn seen(&self) -> Option<u64> {
        self.limit.map(|limit| limit as u64)
    }

    /// Takes what a leg's feedback shows.
    pub(super) fn feedback(&mut self, seen: &Seen, now: Instant) {
        self.loss.missing += seen.missing;
        self.loss.arrived += seen.arrived;
        self.arriving = self.arriving.saturating_sub(seen.rate_before) + seen.rate;
        let Some(queue) = seen.queue else { return };
        let queue = match self.probe {
            None if seen.is_burst => Queue::Long,
            _ => queue,
        };
        self.has_feedback = true;
        if let Some(probe) = &mut self.probe {
            probe.arrived = probe.arrived.max(self.arriving as f64);
        }
        let loss = self.loss.finish(now);
        if queue != Queue::Short {
            self.ramped_at = Some(now);
            // What is too much already says nothing about more.
            let drains = |cut: &Cut| now.saturating_duration_since(cut.at) < DRAIN;
            if self.cut.as_ref().is_some_and(drains) {
                self.probe_at = self.probe_at.map(|at| at.max(now + PROBE_NEXT));
            }
        }
        // A queue gets longer than it was when less was sent: what is in it was sent before.
        let shows = |cut: &Cut| seen.sent_at.is_none_or(|at| at >= cut.at + CUT_PAUSE);
        if let Some(at) = seen.stalled {
            self.undo(at);
        } else if self.cut.as_ref().is_some_and(|cut| !shows(cut)) {
            if queue != Queue::Short && seen.is_news {
                self.follow();
            }
        } else if queue == Queue::Full {
            self.cut(CUT, seen, now);
        } else if let Some(loss) = loss {
            self.cut(1.0 - loss / 2.0, seen, now);
        }
        if queue == Queue::Short {
            self.grow(now);
        }
    }

    /// A leg at which so much arrived, in bits per second, is gone or silent.
    pub(super) fn forget(&mut self, arriving: u64) {
        self.arriving = self.arriving.saturating_sub(arriving);
    }

    /// Sets the limit to a share of what arrives.
    fn cut(&mut self, share: f64, seen: &Seen, now: Instant) {
        let Some(latest) = seen.latest else {
            return;
        };
        let rate = self.arriving.saturating_sub(seen.rate) as f64 + latest;
        self.grown_at = None;
        let before = (self.limit, self.ramp);
        let share = if self.probe.take().is_some() {
            // It was the probe that was too much; what was known before is still true.
            self.probe_pause = (self.probe_pause * 2).min(PROBE_PAUSE.1);
            1.0
        } else {
            let limit = self.limit.unwrap_or(MAX_LIMIT).min(rate * share);
            self.limit = Some(limit.max(MIN_LIMIT));
            self.ramp = None;
            share
        };
        let queues = seen.queue == Some(Queue::Full);
        self.cut = Some(Cut {
            at: now,
            before,
            follows: queues.then_some(share),
            carried: None,
        });
        self.probe_at = Some(now + self.probe_pause);
    }

    /// While a cut does not show yet, what arrives out of the queue is what the network carries;
    /// when the queue was seen first, there was little of that to go by.
    fn follow(&mut self) {
        let Some(cut) = &mut self.cut else { return };
        let Some(share) = cut.follows else { return };
        let most = cut.before.0.unwrap_or(MAX_LIMIT);
        let arriving = self.arriving as f64;
        let carried = match cut.carried {
            Some(before) => before + (arriving - before) * CARRIED,
            None => arriving,
        };
        cut.carried = Some(carried);
        if self.limit.is_some() {
            self.limit = Some((carried * share).min(most).max(MIN_LIMIT));
        }
    }

    /// The queue that there was a cut for then was none.
    fn undo(&mut self, at: Instant) {
        if let Some(cut) = self.cut.take_if(|cut| cut.at == at) {
            (self.limit, self.ramp) = cut.before;
        }
    }

    /// Lets the limit grow, as far as what arrives gives reason to.
    fn grow(&mut self, now: Instant) {
        let Some(limit) = self.limit else {
            return self.grow_ramp(now);
        };
        let since = self.grown_at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(since).as_secs_f64().min(1.0);
        let proven = self.arriving as f64 * 1.5;
        if !self.has_feedback || limit < proven {
            self.raise(limit * (1.0 + GROWTH * passed));
        }
    }

    /// All is well so far.
    fn grow_ramp(&mut self, now: Instant) {
        let since = self.ramped_at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(since).min(RAMP.1);
        let growth = 2_f64.powf(passed.as_secs_f64() / RAMP.1.as_secs_f64());
        let ramp = self.ramp.map(|ramp| ramp * growth);
        self.ramp = ramp.filter(|ramp| *ramp < MAX_LIMIT);
    }

    fn raise(&mut self, limit: f64) {
        self.limit = (limit < MAX_LIMIT).then_some(limit);
    }

    /// Takes the receiver's own estimate, in bits per second over all legs, which counts unless
    /// there is something better.
    pub(super) fn remb(&mut self, bitrate: u64) {
        self.has_remb = true;
        self.ramp = None;
        if !self.has_feedback {
            self.raise((bitrate as f64).max(MIN_LIMIT));
        }
    }

    /// Takes the share that a receiver report calls lost, of `rate` bits per second over all legs;
    /// for receivers that report nothing else.
    pub(super) fn lost(&mut self, share: f64, rate: f64, now: Instant) {
        if self.has_feedback || self.has_remb {
            return;
        }
        self.ramp = None;
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
            let began = *self.ramp_began.get_or_insert(now);
            let late = now.saturating_duration_since(began) >= RAMP_PATIENCE;
            self.ramp = self.ramp.filter(|_| !late);
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

    /// Bytes of padding to send now. `sent`: bytes that have left on all legs, ever.
    pub(super) fn padding(&mut self, sent: u64, now: Instant) -> usize {
        let (Some(limit), true) = (self.limit, self.has_feedback) else {
            return 0;
        };
        if let Some(probe) = &mut self.probe {
            let passed = now.saturating_duration_since(probe.began);
            probe.padded_at = now;
            if passed < PROBE.0 {
                let due = probe.target / 8.0 * (passed + PADDING_INTERVAL).as_secs_f64();
                return (due as usize).saturating_sub(sent.saturating_sub(probe.sent) as usize);
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
            sent,
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
        (Estimator::default(), now)
    }

    #[test]
    fn without_feedback_the_receivers_own_estimate_counts() {
        let (mut estimator, now) = estimator();
        assert_eq!(estimator.limit(), Some(RAMP.0 as u64));
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
    fn a_client_gets_little_by_little_what_nobody_objects_to() {
        let (mut estimator, start) = estimator();
        let seen = |queue| Seen {
            queue: Some(queue),
            arrived: 10,
            latest: Some(2_000_000.0),
            ..Seen::default()
        };
        let mut now = start;
        let mut limits = Vec::new();
        for tenth in 0..12 {
            let queue = if tenth == 4 {
                Queue::Long
            } else {
                Queue::Short
            };
            estimator.feedback(&seen(queue), now);
            limits.push(estimator.limit());
            now += Duration::from_millis(100);
        }
        assert_eq!(limits[0], Some(2_500_000));
        assert!(limits[3] > Some(4_900_000) && limits[4] == limits[3]);
        assert!(limits[9] > limits[5] && limits[11].is_none());
        // Who objects is believed.
        estimator.feedback(&seen(Queue::Full), now);
        assert_eq!(estimator.limit(), Some(1_700_000));
    }

    #[test]
    fn who_reports_nothing_gets_everything_after_a_while() {
        let (mut estimator, start) = estimator();
        estimator.want(None, start);
        assert!(estimator.limit().is_some());
        estimator.want(None, start + RAMP_PATIENCE);
        assert_eq!(estimator.limit(), None);
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
        estimator.padding(0, began);
        let late = began + PROBE.0 + Duration::from_millis(10);
        estimator.padding(0, late);
        assert!(estimator.poll_timeout() > Some(late));
    }

    #[test]
    fn a_probe_pads_up_to_its_target_and_ends() {
        let (mut estimator, start) = estimator();
        estimator.has_feedback = true;
        estimator.limit = Some(500_000.0);
        estimator.want(Some(1_000_000), start);
        let (mut now, mut padded) = (start, 0);
        for number in 0..200 {
            let Some(due) = estimator.poll_timeout() else {
                break;
            };
            assert!(due > now || number == 0, "it waits");
            now = due;
            padded += estimator.padding(padded as u64, now);
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
