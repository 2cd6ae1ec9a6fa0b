//! How much a client's network carries, from what arrives there and when. All legs of a client
//! share one network, so there is one estimate for all of them.
//!
//! What is sent is limited by the publishers, not by the network, so most of the time there is
//! nothing to estimate, and there is no limit until the network shows one. Kept apart from GCC
//! (draft-ietf-rmcat-gcc-02), whose trendline and rate control expect a paced encoder that follows
//! the estimate at once; we can only choose between layers. The rules:
//!
//! - **Ramp.** A client that asks for much gets it little by little while nothing is known.
//! - **Cut.** A queue that builds up, or heavy loss, sets the limit to a share of what arrives. Until
//!   packets that left after the cut can tell, it follows what comes out of the queue; a queue that
//!   proves to be none takes the cut back.
//! - **Drain.** After a cut for a queue no video leaves until that is gone, as far as can be told from
//!   what is under way: sound waits behind no more than what had left already, and what comes then
//!   does not wait at all.
//! - **Growth.** Without a queue the limit grows slowly, as far as what arrives gives reason to.
//! - **Probe.** More is sent for a moment than is needed, and if that arrives too, the network carries
//!   it. Nothing is probed into a queue, and a probe that makes one sends no more.
//! - **Trial.** Where the receiver tells too little of padding, media itself is sent for some seconds.

mod loss;
mod probe;
mod ramp;
mod trial;

use std::time::{Duration, Instant};

use self::loss::{Loss, MAX_LOSS};
use self::probe::Probes;
use self::ramp::Ramp;
use self::trial::Trials;
use super::downlink::{Queue, Seen};

/// What is left of the arriving rate when the limit is set: the queue has to drain.
const CUT: f64 = 0.85;

/// A packet that was sent less than this after a cut says nothing about it.
const CUT_PAUSE: Duration = Duration::from_millis(300);

/// How long video is held back at most for a queue to go away, and the least of it that is worth
/// that: meanwhile sound alone goes on, and what follows does not wait behind what is old.
const HELD: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(50));

/// How much each window counts in what arrives out of a full queue.
const CARRIED: f64 = 0.5;

/// Growth of the limit per second without congestion.
const GROWTH: f64 = 0.08;

/// Lowest limit, in bits per second: audio and little else.
const MIN_LIMIT: f64 = 50_000.0;

/// A limit above this is none.
const MAX_LIMIT: f64 = 20_000_000.0;

/// How long a probe waits for the queue of the last cut to go away: where delays are seldom short,
/// something has to be found out some time.
const DRAIN: Duration = Duration::from_secs(10);

/// The estimate for one client.
#[derive(Debug, Default)]
pub(super) struct Estimator {
    /// Bits per second; `None` while the network has shown no limit.
    limit: Option<f64>,
    ramp: Ramp,
    has_feedback: bool,
    has_remb: bool,
    /// Bits per second that arrive, over all legs.
    arriving: u64,
    loss: Loss,
    cut: Option<Cut>,
    /// Until when the queue of the last cut drains, as far as can be told.
    drained_at: Option<Instant>,
    grown_at: Option<Instant>,
    /// What more would be of use, in bits per second.
    wanted: Option<f64>,
    probes: Probes,
    trials: Trials,
}

/// Less is sent from here on.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: Instant,
    /// A packet that was sent before this says nothing about it.
    shows_at: Instant,
    /// The limit and what was sent at most before.
    before: (Option<f64>, Option<f64>),
    /// What arrived when it was made, in bits per second.
    rate: f64,
    /// The share of what arrives that the limit is set to as long as the cut does not show; `None`
    /// if it was not for a queue.
    follows: Option<f64>,
    /// What arrives out of the queue, in bits per second.
    carried: Option<f64>,
}

impl Estimator {
    /// Bits per second that the network carries, as far as known; `None`: there is no limit.
    pub(super) fn limit(&self) -> Option<u64> {
        let limit = self.limit.map(|limit| limit.max(self.trials.rate()));
        limit.or(self.ramp.rate).map(|limit| limit as u64)
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
        let queue = match seen.is_burst && !self.probes.is_on() {
            true => Queue::Long,
            false => queue,
        };
        self.has_feedback = true;
        self.probes.note(self.arriving);
        let loss = self.loss.finish(now);
        if queue != Queue::Short {
            self.ramp.pause(now);
            // What is too much already says nothing about more.
            let drains = |cut: &Cut| now.saturating_duration_since(cut.at) < DRAIN;
            if self.cut.as_ref().is_some_and(drains) {
                self.probes.put_off(now);
            }
        }
        // A queue gets longer than it was when less was sent: what is in it was sent before.
        let shows = |cut: &Cut| {
            self.drained_at.is_none() && seen.sent_at.is_none_or(|at| at >= cut.shows_at)
        };
        if let Some(at) = seen.stalled {
            self.undo(at);
        } else if self.cut.as_ref().is_some_and(|cut| !shows(cut)) {
            if queue != Queue::Short {
                self.follow(seen, queue, now);
            }
        } else if queue == Queue::Full {
            self.cut(CUT, seen, now);
        } else if let Some(loss) = loss {
            self.cut(1.0 - loss / 2.0, seen, now);
        }
        if queue == Queue::Short {
            if self
                .cut
                .as_ref()
                .is_some_and(|cut| seen.sent_at > Some(cut.at))
            {
                self.end_drain(now);
            }
            self.grow(now);
        }
    }

    /// Whether video is to be held back, so that a queue goes away.
    pub(super) fn drains(&self) -> bool {
        self.drained_at.is_some()
    }

    /// Takes how many bytes are under way on all legs, and the round trip.
    pub(super) fn drain(&mut self, under_way: u64, rtt: Duration, now: Instant) {
        let (Some(cut), true) = (&self.cut, self.drains()) else {
            return;
        };
        let carried = cut.carried.unwrap_or(cut.rate).max(MIN_LIMIT);
        let takes = Duration::from_secs_f64(under_way as f64 * 8.0 / carried);
        let until = (now + takes.saturating_sub(rtt)).min(cut.at + HELD.0);
        self.drained_at = Some(until);
        if until < now + HELD.1 {
            self.end_drain(now);
        }
    }

    /// What leaves from now on meets no queue, and shows whether the limit is right.
    fn end_drain(&mut self, now: Instant) {
        if self.drained_at.take().is_some()
            && let Some(cut) = &mut self.cut
        {
            cut.shows_at = now + CUT_PAUSE;
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
        if self.probes.stop(seen.is_sudden.then_some(rate), now) {
            // It is the probe that is too much; what was known before is still true.
            return;
        }
        self.grown_at = None;
        let before = (self.limit, self.ramp.rate);
        let limit = self.limit.unwrap_or(MAX_LIMIT).min(rate * share);
        self.limit = Some(limit.max(MIN_LIMIT));
        self.ramp.end();
        let queues = seen.queue == Some(Queue::Full);
        self.cut = Some(Cut {
            at: now,
            shows_at: now + CUT_PAUSE,
            before,
            rate,
            follows: queues.then_some(share),
            carried: None,
        });
        self.drained_at = queues.then_some(now);
    }

    /// While a cut does not show yet, what arrives out of the queue is what the network carries;
    /// when the queue was seen first, there was little of that to go by.
    fn follow(&mut self, seen: &Seen, queue: Queue, now: Instant) {
        let drains = self.drains();
        let Some(cut) = &mut self.cut else { return };
        let Some(share) = cut.follows else { return };
        let Some(latest) = seen.latest else { return };
        let arriving = self.arriving.saturating_sub(seen.rate) as f64 + latest;
        // It was taken for a wider network than it is.
        let believed = cut.carried.unwrap_or(cut.rate);
        if queue == Queue::Full && arriving < believed * CUT {
            self.drained_at.get_or_insert(now);
        }
        // Out of a queue that drains little is enough to go by.
        if !seen.is_news && !drains {
            return;
        }
        let most = cut.before.0.unwrap_or(MAX_LIMIT);
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
            (self.limit, self.ramp.rate) = cut.before;
            self.drained_at = None;
        }
    }

    /// Lets the limit grow, as far as what arrives gives reason to.
    fn grow(&mut self, now: Instant) {
        let Some(limit) = self.limit else {
            return self.ramp.grow(now);
        };
        let since = self.grown_at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(since).as_secs_f64().min(1.0);
        let proven = self.arriving as f64 * 1.5;
        if !self.has_feedback || limit < proven {
            self.raise(limit * (1.0 + GROWTH * passed));
        }
    }

    /// So many bits per second have got through.
    fn prove(&mut self, carried: f64) {
        if let Some(limit) = self.limit {
            self.raise(limit.max(carried));
        }
    }

    fn raise(&mut self, limit: f64) {
        self.limit = (limit < MAX_LIMIT).then_some(limit);
    }

    /// Takes the receiver's own estimate, in bits per second over all legs, which counts unless
    /// there is something better.
    pub(super) fn remb(&mut self, bitrate: u64) {
        self.has_remb = true;
        self.ramp.end();
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
        self.ramp.end();
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
            self.ramp.wait(now);
            self.trials.drive(self.limit, self.wanted, now);
        }
        if self.wanted.is_some() {
            self.probes.want(now);
        }
    }

    /// Bytes of padding to send now. `sent`: bytes that have left on all legs, ever.
    pub(super) fn padding(&mut self, sent: u64, now: Instant) -> usize {
        if self.drained_at.is_some_and(|at| at <= now) {
            self.end_drain(now);
        }
        if self.drains() {
            return 0;
        }
        let (Some(limit), true) = (self.limit, self.has_feedback) else {
            return 0;
        };
        let more = self.wanted.filter(|wanted| *wanted > limit);
        let (due, carried) = self.probes.padding(limit, more, (self.arriving, sent), now);
        if let Some(carried) = carried {
            self.prove(carried);
        }
        due
    }

    /// When [`Self::padding`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let limit = self.limit.filter(|_| self.has_feedback)?;
        if self.drains() {
            return self.drained_at;
        }
        let more = self.wanted.is_some_and(|wanted| wanted > limit);
        self.probes.poll_timeout(more)
    }
}

#[cfg(test)]
mod tests {
    use super::ramp::{PATIENCE, RAMP};
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
    fn after_a_cut_video_waits_until_what_is_under_way_has_arrived() {
        let (mut estimator, now) = estimator();
        let full = Seen {
            queue: Some(Queue::Full),
            arrived: 4,
            latest: Some(500_000.0),
            sent_at: Some(now),
            ..Seen::default()
        };
        let ms = Duration::from_millis;
        estimator.feedback(&full, now);
        assert_eq!(estimator.limit(), Some(425_000));
        // 0.8 s to drain, but for the round trip, in which what comes then is under way itself.
        estimator.drain(50_000, ms(50), now);
        assert_eq!(estimator.poll_timeout(), Some(now + ms(750)));
        estimator.want(Some(1_000_000), now);
        assert_eq!(estimator.padding(0, now + ms(500)), 0);
        assert!(estimator.drains());
        assert_eq!(estimator.padding(0, now + ms(750)), 0);
        assert!(!estimator.drains());
        // The network carries even less.
        let later = now + ms(760);
        let full = Seen {
            latest: Some(200_000.0),
            ..full
        };
        estimator.feedback(&full, later);
        estimator.drain(50_000, ms(50), later);
        assert!(estimator.drains());
        // Whatever is under way, there is an end.
        estimator.drain(10_000_000, ms(50), later);
        assert_eq!(estimator.poll_timeout(), Some(now + HELD.0));
        // Less would not be worth it.
        estimator.drain(1_000, ms(50), later);
        assert!(!estimator.drains());
    }

    #[test]
    fn who_reports_nothing_gets_everything_after_a_while() {
        let (mut estimator, start) = estimator();
        estimator.want(None, start);
        assert!(estimator.limit().is_some());
        estimator.want(None, start + PATIENCE);
        assert_eq!(estimator.limit(), None);
    }
}
