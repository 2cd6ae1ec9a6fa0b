//! When video is given up, so that audio gets through a bad network, and when it comes back
//! (`protocol/signaling.md`, 13.8).

use std::time::{Duration, Instant};

use super::Fallback;

/// How long the least video must not have fitted before none is sent, as each packet of it waits
/// in front of the sound; after a pause of the network it fits again with the next report.
const HOLD_AFTER: Duration = Duration::from_millis(120);

/// How long it must not have fitted before the subscriber is warned. Networks that stop and go
/// recover sooner.
const WARN_AFTER: Duration = Duration::from_millis(500);

/// How long it must not have fitted after the warning before video is given up.
const STOP_AFTER: Duration = Duration::from_millis(2500);

/// How long video must have fitted, with room to spare, before all is said to be well.
const BACK_AFTER: Duration = Duration::from_secs(2);

/// The longest such time, which doubles with every stop that follows soon after a return.
const BACK_AFTER_MAX: Duration = Duration::from_secs(32);

/// A stop this long after a return is a new story.
const FORGET: Duration = Duration::from_secs(60);

/// Whether the least video there is fits beside the audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It does not.
    Short,
    /// It does, with nothing to spare.
    Tight,
    /// It does.
    Ample,
}

/// The state of one subscription's video.
#[derive(Debug)]
pub(super) struct AudioFallback {
    state: Fallback,
    /// The last fit, and since when it has been so.
    fit: Fit,
    since: Option<Instant>,
    back_after: Duration,
    back_at: Option<Instant>,
    /// Whether video is held back.
    holds: bool,
}

impl Default for AudioFallback {
    fn default() -> Self {
        Self {
            state: Fallback::Good,
            fit: Fit::Ample,
            since: None,
            back_after: BACK_AFTER,
            back_at: None,
            holds: false,
        }
    }
}

impl AudioFallback {
    /// Takes note of how video fits now; the new state if it changes.
    pub(super) fn update(&mut self, fit: Fit, now: Instant) -> Option<Fallback> {
        if fit != self.fit {
            self.fit = fit;
            self.since = Some(now);
        }
        let since = *self.since.get_or_insert(now);
        let lasted = now.saturating_duration_since(since);
        let next = match (self.state, fit) {
            (Fallback::Good, Fit::Short) if lasted >= WARN_AFTER => Fallback::Warned,
            (Fallback::Warned, Fit::Short) if lasted >= WARN_AFTER + STOP_AFTER => {
                self.stopped(now);
                Fallback::AudioOnly
            }
            (Fallback::Warned, Fit::Ample) if lasted >= BACK_AFTER => Fallback::Good,
            (Fallback::AudioOnly, Fit::Ample) if lasted >= self.back_after => {
                self.back_at = Some(now);
                Fallback::Good
            }
            (state, _) => state,
        };
        self.holds = match next {
            Fallback::Good => fit == Fit::Short && lasted >= HOLD_AFTER,
            Fallback::Warned => fit == Fit::Short,
            Fallback::AudioOnly => true,
        };
        (std::mem::replace(&mut self.state, next) != next).then_some(next)
    }

    fn stopped(&mut self, now: Instant) {
        let soon = |at: Instant| now.saturating_duration_since(at) < FORGET;
        self.back_after = match self.back_at.is_some_and(soon) {
            true => (self.back_after * 2).min(BACK_AFTER_MAX),
            false => BACK_AFTER,
        };
    }

    /// Video is no longer this one's business; the new state if that is news.
    pub(super) fn reset(&mut self) -> Option<Fallback> {
        let before = std::mem::take(self).state;
        (before != Fallback::Good).then_some(Fallback::Good)
    }

    /// Whether video is held back now.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    /// Lets a fit last for some seconds; what changed, and after how many tenths of a second.
    fn run(
        this: &mut AudioFallback,
        now: &mut Instant,
        fit: Fit,
        seconds: u32,
    ) -> Vec<(u32, Fallback)> {
        let step = Duration::from_millis(100);
        let changes = (0..seconds * 10).filter_map(|tenth| {
            let change = this.update(fit, *now + step * tenth);
            change.map(|state| (tenth, state))
        });
        let changes = changes.collect();
        *now += step * seconds * 10;
        changes
    }

    #[test]
    fn video_is_given_up_after_a_warning_and_comes_back() {
        let (mut this, mut now) = (AudioFallback::default(), Clock::system().epoch().instant);
        assert_eq!(run(&mut this, &mut now, Fit::Ample, 5), []);
        let down = run(&mut this, &mut now, Fit::Short, 10);
        assert_eq!(down, [(5, Fallback::Warned), (30, Fallback::AudioOnly)]);
        assert!(this.holds());
        assert_eq!(run(&mut this, &mut now, Fit::Tight, 10), []);
        assert!(this.holds());
        assert_eq!(
            run(&mut this, &mut now, Fit::Ample, 5),
            [(20, Fallback::Good)]
        );
        assert!(!this.holds());
    }

    #[test]
    fn a_short_dip_is_nothing_and_a_longer_one_a_warning_that_is_lifted() {
        let (mut this, mut now) = (AudioFallback::default(), Clock::system().epoch().instant);
        this.update(Fit::Short, now);
        now += WARN_AFTER - Duration::from_millis(1);
        assert_eq!(this.update(Fit::Short, now), None);
        assert_eq!(run(&mut this, &mut now, Fit::Ample, 1), []);
        assert_eq!(
            run(&mut this, &mut now, Fit::Short, 2),
            [(5, Fallback::Warned)]
        );
        assert!(this.holds());
        assert_eq!(run(&mut this, &mut now, Fit::Tight, 5), []);
        assert!(!this.holds());
        assert_eq!(
            run(&mut this, &mut now, Fit::Ample, 3),
            [(20, Fallback::Good)]
        );
    }

    #[test]
    fn a_network_that_goes_to_and_fro_is_believed_later_each_time() {
        let (mut this, mut now) = (AudioFallback::default(), Clock::system().epoch().instant);
        let mut waited = Vec::new();
        for _ in 0..6 {
            run(&mut this, &mut now, Fit::Short, 4);
            waited.push(run(&mut this, &mut now, Fit::Ample, 40)[0].0 / 10);
        }
        assert_eq!(waited, [2, 4, 8, 16, 32, 32]);
    }
}
