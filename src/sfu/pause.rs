//! Simulcast layers that nobody watches: when their publisher is told to pause them, and when to
//! go on (RFC 8853, 5.1: a `~` before the layer's name in an answer).

use std::time::{Duration, Instant};

/// How long nobody watches before a publisher is told: subscribers come, go and resize.
const PATIENCE: Duration = Duration::from_secs(10);

/// Decides how many of a publisher's layers are of use, the lowest first. Only upper ones pause:
/// the lower ones cost little, and are what is left when a network gets slow.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// What the publisher was told last; `None`: nothing, so that it sends all.
    told: Option<usize>,
    /// Since when fewer would do.
    idle_since: Option<Instant>,
}

impl Pauses {
    /// `wanted` of `all` layers are of use now; how many the publisher is to be told, if that is
    /// news.
    pub(super) fn update(&mut self, wanted: usize, all: usize, now: Instant) -> Option<usize> {
        let running = self.told.unwrap_or(all).min(all);
        // The lowest is what the next subscriber begins with.
        let wanted = wanted.clamp(1, all.max(1));
        if wanted >= running {
            self.idle_since = None;
            return (wanted > running).then(|| self.tell(wanted));
        }
        let since = *self.idle_since.get_or_insert(now);
        let idle = now.saturating_duration_since(since);
        (idle >= PATIENCE).then(|| self.tell(wanted))
    }

    fn tell(&mut self, layers: usize) -> usize {
        self.idle_since = None;
        self.told = Some(layers);
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_layer_pauses_after_patience_and_goes_on_at_once() {
        let now = Clock::system().epoch().instant;
        let at = |s| now + Duration::from_secs(s);
        let mut pauses = Pauses::default();
        assert_eq!(pauses.update(3, 3, at(0)), None);
        assert_eq!(pauses.update(1, 3, at(1)), None);
        assert_eq!(pauses.update(2, 3, at(10)), None);
        assert_eq!(pauses.update(2, 3, at(11)), Some(2));
        assert_eq!(pauses.update(2, 3, at(100)), None);
        assert_eq!(pauses.update(3, 3, at(101)), Some(3));
        assert_eq!(pauses.update(0, 3, at(102)), None);
        assert_eq!(pauses.update(3, 3, at(111)), None);
        assert_eq!(pauses.update(0, 3, at(112)), None);
        assert_eq!(pauses.update(0, 3, at(122)), Some(1));
        assert_eq!(pauses.update(5, 3, at(122)), Some(3));
    }

    #[test]
    fn without_simulcast_there_is_nothing_to_pause() {
        let now = Clock::system().epoch().instant;
        let mut pauses = Pauses::default();
        for seconds in 0..100 {
            let at = now + Duration::from_secs(seconds);
            assert_eq!(pauses.update(0, 1, at), None);
        }
    }
}
