//! Whether a leg has fallen silent because its client is elsewhere now.
//!
//! A browser goes on checking from where it was, notices after 5 to 7.5 s that nothing is answered,
//! and waits for 2 s more before it restarts ICE. It cannot be told by the leg itself, which does not
//! reach it; but who comes back with another websocket may have moved, and can be told.

use std::time::{Duration, Instant};

/// How long nothing comes on a leg that has lost its client. Browsers check every 2.5 s or more
/// often; and who has moved comes back 3.9 s later at the earliest, if it had to find that out by
/// silence (`protocol/signaling.md`, 4.3).
const SILENCE: Duration = Duration::from_secs(3);

/// How long a leg is watched. Where the system closes the websocket at once, the leg is not silent
/// yet when the client comes back; and for 10 s clients restart ICE in every offer that they are
/// asked for (`protocol/signaling.md`, 4.5).
const WATCH: Duration = Duration::from_secs(9);

/// The time for what the client has to say when it comes back: Firefox notices at once that its
/// address is gone, and brings the offers with it in which it restarts ICE itself. Longer than most
/// round trips; where it is not, the two restarts cross, which costs half a second.
const WELCOME: Duration = Duration::from_millis(300);

/// The time that a restart has. Some clients hold a description back for 2 s
/// (`protocol/signaling.md`, 13.1), and the first check may not be the one that gets through.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one leg's transport has heard.
#[derive(Debug)]
pub(super) struct Silence {
    heard_at: Instant,
    watched_until: Option<Instant>,
    /// A restart is under way until then, or the client has just come back.
    patient_until: Instant,
}

impl Silence {
    /// Of a leg that nobody watches.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard_at: now,
            watched_until: None,
            patient_until: now,
        }
    }

    /// Something authentic came, from wherever.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// The leg's client may have moved.
    pub(super) fn watch(&mut self, now: Instant) {
        self.watched_until = Some(now + WATCH);
        self.patient_until = self.patient_until.max(now + WELCOME);
    }

    /// ICE is restarted, whoever began.
    pub(super) fn restarting(&mut self, now: Instant) {
        self.patient_until = now + PATIENCE;
    }

    /// Whether a restart is to be asked for; then it is under way.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if due {
            self.restarting(now);
        }
        due
    }

    /// When [`Self::take`] has something to say, unless something comes until then.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let at = (self.heard_at + SILENCE).max(self.patient_until);
        self.watched_until
            .and_then(|until| (at <= until).then_some(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const S: Duration = Duration::from_secs(1);

    fn silence() -> (Silence, Instant) {
        let now = Clock::system().epoch().instant;
        (Silence::new(now), now)
    }

    #[test]
    fn silence_alone_is_no_reason() {
        let (mut silence, start) = silence();
        assert_eq!(silence.poll_timeout(), None);
        assert!(!silence.take(start + 60 * S));
    }

    #[test]
    fn a_leg_that_is_silent_when_its_client_comes_back_is_restarted_unless_the_client_does() {
        for client_does in [false, true] {
            let (mut silence, start) = silence();
            let back = start + 6 * S;
            silence.watch(back);
            assert!(!silence.take(back + WELCOME / 2));
            if client_does {
                silence.restarting(back + WELCOME / 2);
            }
            assert_eq!(silence.take(back + WELCOME), !client_does);
        }
    }

    #[test]
    fn a_leg_that_falls_silent_soon_afterwards_is_restarted_and_one_that_does_so_later_is_not() {
        for (last, restarted) in [(0, true), (6, true), (7, false)] {
            let (mut silence, start) = silence();
            silence.watch(start);
            for second in 0..=last {
                assert!(!silence.take(start + second * S));
                silence.hear(start + second * S);
            }
            let due = start + last * S + SILENCE;
            assert!(!silence.take(due - Duration::from_millis(1)));
            assert_eq!(silence.take(due), restarted);
        }
    }

    #[test]
    fn a_restart_has_time_whoever_began_and_however_often_the_client_comes_back() {
        let (mut silence, start) = silence();
        let mut restarts = 0;
        for half in 0..120 {
            let now = start + half * S / 2;
            restarts += u32::from(silence.take(now));
            silence.watch(now);
        }
        assert_eq!(restarts, 12);
        let now = start + 60 * S;
        silence.watch(now);
        silence.restarting(now);
        assert_eq!(silence.poll_timeout(), Some(now + PATIENCE));
    }

    #[test]
    fn who_comes_back_once_and_never_answers_is_asked_twice() {
        let (mut silence, start) = silence();
        silence.watch(start + 6 * S);
        let mut restarts = 0;
        while let Some(at) = silence.poll_timeout() {
            restarts += u32::from(silence.take(at));
        }
        assert_eq!(restarts, 2);
    }
}
