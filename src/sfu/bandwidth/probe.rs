//! Probes: more is sent for a moment than is needed, to see whether that arrives too.

use std::time::{Duration, Instant};

use super::CUT;

/// How long a probe sends, and how long its last packets may take to be reported.
const PROBE: (Duration, Duration) = (Duration::from_millis(600), Duration::from_millis(250));

/// A probe sends at most this many times what is known to get through, so that the queue it makes
/// in vain is short; and after one that succeeded.
const STEP: (f64, f64) = (1.5, 2.5);

/// The share of a probe that is enough for all of it: it is a quarter more than what is needed.
const ENOUGH: f64 = 0.82;

/// How much too high a rate may be, in bits per second: by a packet in the time that is counted over.
const ERROR: f64 = 60_000.0;

/// What the network is taken to carry of the most that arrived while a probe filled it.
const FULL: f64 = 0.95;

/// Time before the first probe after a cut, and at most after failed ones.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(4));

/// Time between a probe that succeeded and the next one.
const NEXT: Duration = Duration::from_millis(500);

/// Time between two batches of padding.
const PADDING_INTERVAL: Duration = Duration::from_millis(20);

/// The probe that is under way, and when the next one is due.
#[derive(Debug)]
pub(super) struct Probes {
    probe: Option<Probe>,
    at: Option<Instant>,
    pause: Duration,
    step: f64,
}

#[derive(Debug)]
struct Probe {
    /// Bits per second.
    target: f64,
    began: Instant,
    padded_at: Instant,
    /// Bytes that had left on all legs when it began, and the rate that arrived.
    sent: u64,
    before: f64,
    /// The highest rate that arrived.
    arrived: f64,
    /// Whether the network is full: more would only wait there.
    is_enough: bool,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            probe: None,
            at: None,
            pause: PAUSE.0,
            step: STEP.0,
        }
    }
}

impl Probes {
    /// Whether one is under way.
    pub(super) fn is_on(&self) -> bool {
        self.probe.is_some()
    }

    /// More would be of use.
    pub(super) fn want(&mut self, now: Instant) {
        self.at.get_or_insert(now + self.pause);
    }

    /// Takes the rate that arrives.
    pub(super) fn note(&mut self, arriving: u64) {
        if let Some(probe) = &mut self.probe {
            probe.arrived = probe.arrived.max(arriving as f64);
        }
    }

    /// What is too much already says nothing about more.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.at = self.at.map(|at| at.max(now + NEXT));
    }

    /// The network is full: whether that is because of a probe, which then sends no more. Not so if
    /// the network is known to carry no more than `carried`, and that is less than what arrived
    /// before. Media that is too much by itself ends the probe, and puts the next one off.
    pub(super) fn stop(&mut self, carried: Option<f64>, now: Instant) -> bool {
        let fits = |probe: &Probe| carried.is_none_or(|rate| rate >= probe.before * CUT);
        self.probe = self.probe.take().filter(fits);
        if let Some(probe) = &mut self.probe {
            probe.is_enough = true;
            return true;
        }
        (self.at, self.step) = (Some(now + self.pause), STEP.0);
        false
    }

    /// Bytes of padding to send now, and what the network carries at least, if a probe ends. `more`
    /// than the limit would be of use; `so_far`: bits per second that arrive, and bytes that have
    /// left on all legs, ever.
    pub(super) fn padding(
        &mut self,
        limit: f64,
        more: Option<f64>,
        so_far: (u64, u64),
        now: Instant,
    ) -> (usize, Option<f64>) {
        let (arriving, sent) = so_far;
        if let Some(probe) = &mut self.probe {
            let passed = now.saturating_duration_since(probe.began);
            probe.padded_at = now;
            if passed < PROBE.0 && !probe.is_enough {
                let due = probe.target / 8.0 * (passed + PADDING_INTERVAL).as_secs_f64();
                let left = sent.saturating_sub(probe.sent) as usize;
                return ((due as usize).saturating_sub(left), None);
            }
            let is_over = passed >= PROBE.0 + PROBE.1;
            return (0, is_over.then(|| self.finish(now)).flatten());
        }
        if let Some(more) = more.filter(|_| self.at.is_some_and(|at| at <= now)) {
            self.probe = Some(Probe {
                target: more.min(limit * self.step),
                began: now,
                padded_at: now,
                sent,
                before: arriving as f64,
                arrived: 0.0,
                is_enough: false,
            });
        }
        (0, None)
    }

    /// Ends the probe; returns what the network carries at least.
    fn finish(&mut self, now: Instant) -> Option<f64> {
        let probe = self.probe.take()?;
        if probe.is_complete() {
            (self.pause, self.step) = (PAUSE.0, STEP.1);
            self.at = Some(now + NEXT);
        } else {
            (self.pause, self.step) = ((self.pause * 2).min(PAUSE.1), STEP.0);
            self.at = Some(now + self.pause);
        }
        Some(probe.carried())
    }

    /// When [`Self::padding`] has something to do; whether `more` would be of use.
    pub(super) fn poll_timeout(&self, more: bool) -> Option<Instant> {
        let Some(probe) = &self.probe else {
            return self.at.filter(|_| more);
        };
        let next = probe.padded_at + PADDING_INTERVAL;
        match !probe.is_enough && next < probe.began + PROBE.0 {
            true => Some(next),
            false => Some(probe.began + PROBE.0 + PROBE.1),
        }
    }
}

impl Probe {
    /// Whether enough of it arrived.
    fn is_complete(&self) -> bool {
        self.arrived - ERROR >= self.target * ENOUGH
    }

    /// Bits per second that the network carries, by what arrived.
    fn carried(&self) -> f64 {
        match (self.is_complete(), self.is_enough) {
            (true, _) => self.target,
            (false, true) => self.arrived * FULL,
            (false, false) => self.arrived * CUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Estimator;
    use super::*;
    use crate::clock::Clock;

    fn estimator() -> (Estimator, Instant) {
        let now = Clock::system().epoch().instant;
        (Estimator::default(), now)
    }

    #[test]
    fn nothing_is_probed_without_a_limit_or_without_a_wish() {
        let (mut estimator, now) = estimator();
        estimator.want(Some(1_000_000), now);
        assert_eq!(estimator.poll_timeout(), None);
        estimator.has_feedback = true;
        estimator.limit = Some(500_000.0);
        assert_eq!(estimator.poll_timeout(), Some(now + PAUSE.0));
        estimator.want(None, now);
        assert_eq!(estimator.poll_timeout(), None);
    }

    #[test]
    fn a_probe_whose_turn_comes_late_is_not_due_again_at_once() {
        let (mut estimator, start) = estimator();
        estimator.has_feedback = true;
        estimator.limit = Some(500_000.0);
        estimator.want(Some(1_000_000), start);
        let began = start + PAUSE.0;
        estimator.padding(0, began);
        let late = began + PROBE.0 + Duration::from_millis(10);
        estimator.padding(0, late);
        assert!(estimator.poll_timeout() > Some(late));
    }

    #[test]
    fn a_probe_pads_up_to_its_target_and_ends() {
        let (mut estimator, start) = estimator();
        estimator.has_feedback = true;
        estimator.limit = Some(700_000.0);
        estimator.want(Some(1_000_000), start);
        let (mut now, mut padded) = (start, 0);
        for number in 0..200 {
            let Some(due) = estimator.poll_timeout() else {
                break;
            };
            assert!(due > now || number == 0, "it waits");
            now = due;
            padded += estimator.padding(padded as u64, now);
            if estimator.probes.pause > PAUSE.0 {
                break;
            }
        }
        // Nothing was reported, so nothing is believed, and the next one is later.
        assert!((72_000..78_000).contains(&padded), "{padded}");
        assert_eq!(estimator.limit(), Some(700_000));
        assert!(estimator.poll_timeout() > Some(now + PAUSE.0));
    }
}
