//! Who is listened to: the loudest voice of a group, by the levels that publishers write beside
//! their audio (RFC 6464), which stay readable where the audio itself is encrypted end to end.
//! Without levels nobody speaks.

use std::time::{Duration, Instant};

use super::PublicationId;

/// Loudness below which nobody is speaking; 127 is the loudest, and this 50 dB below.
const QUIET: f32 = 77.0;

/// What a voice must be louder than the one that is listened to, in dB.
const LOUDER: f32 = 4.0;

/// How long it must be: a cough is shorter.
const CLAIM: Duration = Duration::from_millis(400);

/// Time between two changes, so that a quick exchange does not flicker.
const TENURE: Duration = Duration::from_millis(1500);

/// A voice that has sent nothing for this long is silent.
const ABSENT: Duration = Duration::from_secs(1);

/// Weight of one packet's level; at 50 packets a second a voice rises or falls within some 300 ms.
const WEIGHT: f32 = 1.0 / 12.0;

/// The voices of one group.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    voices: Vec<Voice>,
    active: Option<PublicationId>,
    changed_at: Option<Instant>,
}

#[derive(Debug)]
struct Voice {
    publication: PublicationId,
    /// Smoothed, 0 to 127.
    loudness: f32,
    heard_at: Instant,
    /// Since when it has been louder than the one that is listened to.
    louder_since: Option<Instant>,
}

impl Speakers {
    /// Takes the level of a packet, as it stands in the extension. Whether somebody else is
    /// listened to from now on.
    pub(super) fn hear(&mut self, publication: PublicationId, level: u8, now: Instant) -> bool {
        let loudness = f32::from(127 - (level & 0x7f));
        let known = self
            .voices
            .iter()
            .position(|v| v.publication == publication);
        let index = known.unwrap_or_else(|| {
            self.voices.push(Voice {
                publication,
                loudness: 0.0,
                heard_at: now,
                louder_since: None,
            });
            self.voices.len() - 1
        });
        let rival = self.loudness_of_active(now);
        let voice = &mut self.voices[index];
        voice.loudness += (loudness - voice.loudness) * WEIGHT;
        voice.heard_at = now;
        let rises = self.active != Some(publication)
            && voice.loudness >= QUIET
            && voice.loudness >= rival + LOUDER;
        if !rises {
            voice.louder_since = None;
            return false;
        }
        let since = *voice.louder_since.get_or_insert(now);
        let passed = |at: Instant, time| now.saturating_duration_since(at) >= time;
        if !passed(since, CLAIM) || self.changed_at.is_some_and(|at| !passed(at, TENURE)) {
            return false;
        }
        voice.louder_since = None;
        self.active = Some(publication);
        self.changed_at = Some(now);
        true
    }

    fn loudness_of_active(&self, now: Instant) -> f32 {
        let is_active = |voice: &&Voice| Some(voice.publication) == self.active;
        let active = self.voices.iter().find(is_active);
        let present = |v: &&Voice| now.saturating_duration_since(v.heard_at) < ABSENT;
        active.filter(present).map_or(0.0, |voice| voice.loudness)
    }

    /// Forgets a publication. Whether it was the one that is listened to; then nobody is, until
    /// somebody speaks.
    pub(super) fn forget(&mut self, publication: PublicationId) -> bool {
        self.voices.retain(|voice| voice.publication != publication);
        let was_active = self.active == Some(publication);
        if was_active {
            self.active = None;
        }
        was_active
    }

    /// Whoever is listened to. It stays who spoke last when all are silent.
    pub(super) fn active(&self) -> Option<PublicationId> {
        self.active
    }

    /// Whether there are no voices.
    pub(super) fn is_empty(&self) -> bool {
        self.voices.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const ANA: PublicationId = PublicationId(1);
    const BEN: PublicationId = PublicationId(2);

    /// Levels in -dBov, as in the extension, with and without the flag for voice.
    const LOUD: u8 = 0x80 | 25;
    const SILENT: u8 = 127;

    struct Room {
        speakers: Speakers,
        now: Instant,
    }

    impl Room {
        fn new() -> Self {
            Self {
                speakers: Speakers::default(),
                now: Clock::system().epoch().instant,
            }
        }

        /// Both send for some milliseconds; how often somebody else was listened to.
        fn run(&mut self, ms: u64, ana: u8, ben: u8) -> usize {
            let mut changes = 0;
            for _ in 0..ms / 20 {
                self.now += Duration::from_millis(20);
                changes += usize::from(self.speakers.hear(ANA, ana, self.now));
                changes += usize::from(self.speakers.hear(BEN, ben, self.now));
            }
            changes
        }
    }

    #[test]
    fn whoever_speaks_becomes_active_and_stays_when_all_are_silent() {
        let mut room = Room::new();
        assert_eq!(room.run(3_000, SILENT, SILENT), 0);
        assert_eq!(room.speakers.active(), None);
        assert_eq!(room.run(2_000, LOUD, SILENT), 1);
        assert_eq!(room.speakers.active(), Some(ANA));
        assert_eq!(room.run(10_000, SILENT, SILENT), 0);
        assert_eq!(room.speakers.active(), Some(ANA));
        assert_eq!(room.run(2_000, SILENT, LOUD), 1);
        assert_eq!(room.speakers.active(), Some(BEN));
    }

    #[test]
    fn a_cough_and_a_voice_that_is_hardly_louder_change_nothing() {
        let mut room = Room::new();
        room.run(3_000, LOUD, SILENT);
        assert_eq!(room.run(300, LOUD, LOUD - 20), 0);
        assert_eq!(room.run(10_000, LOUD, LOUD - 3), 0);
        assert_eq!(room.speakers.active(), Some(ANA));
    }

    #[test]
    fn a_quick_exchange_does_not_flicker() {
        let mut room = Room::new();
        let mut changes = 0;
        for _ in 0..20 {
            changes += room.run(500, LOUD, SILENT);
            changes += room.run(500, SILENT, LOUD);
        }
        // Twenty seconds, of which each change takes one and a half at least.
        assert!(changes <= 13, "{changes}");
    }

    #[test]
    fn noise_in_the_background_is_no_speech() {
        let mut room = Room::new();
        assert_eq!(room.run(10_000, 60, 70), 0);
        assert_eq!(room.speakers.active(), None);
    }

    #[test]
    fn whoever_leaves_or_stops_sending_makes_room() {
        let mut room = Room::new();
        room.run(3_000, LOUD, SILENT);
        assert!(room.speakers.forget(ANA));
        assert_eq!(room.speakers.active(), None);
        for _ in 0..100 {
            room.now += Duration::from_millis(20);
            room.speakers.hear(BEN, LOUD + 5, room.now);
        }
        assert_eq!(room.speakers.active(), Some(BEN));
        assert!(!room.speakers.forget(ANA));
        // Muted in the middle of a word, a voice does not stay loud.
        room.run(3_000, SILENT, LOUD);
        for _ in 0..150 {
            room.now += Duration::from_millis(20);
            room.speakers.hear(ANA, LOUD + 20, room.now);
        }
        assert_eq!(room.speakers.active(), Some(ANA));
    }
}
