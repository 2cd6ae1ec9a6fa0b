//! Trials, for receivers that tell too little of padding: what they say about the media itself then
//! counts.

use std::time::{Duration, Instant};

/// How long media itself is the probe.
const TRIAL: Duration = Duration::from_secs(5);

/// Time before the first trial, and at most after failed ones.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(80));

/// When more is tried than is known to get through.
#[derive(Debug)]
pub(super) struct Trials {
    /// Until when this many bits per second are tried, whatever the limit is.
    trial: Option<(Instant, f64)>,
    at: Option<Instant>,
    pause: Duration,
}

impl Default for Trials {
    fn default() -> Self {
        Self {
            trial: None,
            at: None,
            pause: PAUSE.0,
        }
    }
}

impl Trials {
    /// Bits per second that are tried now.
    pub(super) fn rate(&self) -> f64 {
        self.trial.map_or(0.0, |(_, rate)| rate)
    }

    /// Begins and ends trials.
    pub(super) fn drive(&mut self, limit: Option<f64>, wanted: Option<f64>, now: Instant) {
        if let Some((until, rate)) = self.trial {
            if now < until {
                return;
            }
            self.trial = None;
            self.pause = match limit.is_none_or(|limit| limit >= rate) {
                true => PAUSE.0,
                false => (self.pause * 2).min(PAUSE.1),
            };
            self.at = None;
        }
        let (Some(limit), Some(wanted)) = (limit, wanted) else {
            self.at = None;
            return;
        };
        if wanted > limit && *self.at.get_or_insert(now + self.pause) <= now {
            self.trial = Some((now + TRIAL, wanted));
        }
    }
}
