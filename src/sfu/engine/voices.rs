//! Who speaks.

use std::time::Instant;

use super::Core;
use crate::sfu::PublicationId;
use crate::sfu::command::EngineEvent;

impl Core {
    /// Notes how loud a publication is.
    pub(super) fn hear(&mut self, id: PublicationId, now: Instant) {
        let Some(publication) = self.legs.publications.get(&id) else {
            return;
        };
        let (group, level) = (publication.group, publication.level());
        let Some(level) = level else { return };
        let speakers = self.speakers.entry(group).or_default();
        let before = speakers.active();
        if speakers.hear(id, level, now) {
            self.mark_speaker(before, false);
            // Each worker hears what is here; where somebody lives, that counts.
            if self.mark_speaker(Some(id), true) {
                self.events.push(EngineEvent::Speaker(group, Some(id)));
            }
        }
    }

    /// A publication ends.
    pub(super) fn silence(&mut self, id: PublicationId) {
        let Some(publication) = self.legs.publications.get(&id) else {
            return;
        };
        let group = publication.group;
        let Some(speakers) = self.speakers.get_mut(&group) else {
            return;
        };
        let lives_here = publication.origin.is_none();
        if speakers.forget(id) && lives_here {
            self.events.push(EngineEvent::Speaker(group, None));
        }
        if speakers.is_empty() {
            self.speakers.remove(&group);
        }
    }

    /// Begins or ends to prefer a publication; whether it lives here.
    pub(super) fn mark_speaker(&mut self, id: Option<PublicationId>, speaks: bool) -> bool {
        let Some(id) = id else { return false };
        let Some(publication) = self.legs.publications.get_mut(&id) else {
            return false;
        };
        publication.speaks = speaks;
        let lives_here = publication.origin.is_none();
        self.legs.unsettle_subscribers(id);
        lives_here
    }
}
