//! Who is behind an ICE check, and behind a path.

use std::time::Instant;

use super::Legs;
use crate::sfu::Leg;
use crate::sfu::command::IceCredentials;
use crate::sfu::offered::Offered;
use crate::sfu::path::Path;
use crate::sfu::stun::BindingRequest;
use crate::sfu::transport::{Checked, Transport};

impl Legs {
    /// Answers checks for a leg that is offered, or offered anew.
    pub(in crate::sfu) fn offer(&mut self, leg: Leg, ice: IceCredentials, now: Instant) {
        if self.transport(leg).is_some() {
            return self.restart_ice(leg, ice, now);
        }
        let before = self.offered.get(&leg);
        if before.is_some_and(|before| before.ufrag() == ice.local_ufrag) {
            return;
        }
        self.take_offered(leg);
        self.by_ufrag.insert(ice.local_ufrag.clone(), leg);
        self.offered.insert(leg, Offered::new(ice));
    }

    /// Takes out what was offered, with the paths that nobody else has proven to own meanwhile.
    pub(in crate::sfu) fn take_offered(&mut self, leg: Leg) -> Option<Offered> {
        let mut offered = self.offered.remove(&leg)?;
        self.retire(leg, Some(offered.ufrag().to_owned()));
        let paths = &mut self.paths;
        offered.retain(|path| {
            let own = paths.get(path) == Some(leg);
            if own {
                paths.remove(path);
            }
            own
        });
        Some(offered)
    }

    /// A leg that is only offered.
    pub(in crate::sfu) fn offered_mut(&mut self, leg: Leg) -> Option<&mut Offered> {
        self.offered.get_mut(&leg)
    }

    /// The password for an authentic check of a leg, or one that is offered; `None` for any other.
    pub(in crate::sfu) fn authenticate(
        &self,
        leg: Leg,
        request: &BindingRequest<'_>,
    ) -> Option<&str> {
        match self.transport(leg) {
            Some(transport) => transport.authenticate(request),
            None => self.offered.get(&leg)?.authenticate(request),
        }
    }

    /// Changes a leg's credentials.
    pub(in crate::sfu) fn restart_ice(&mut self, leg: Leg, ice: IceCredentials, now: Instant) {
        let ufrag = ice.local_ufrag.clone();
        let Some(transport) = self.transport_mut(leg) else {
            return;
        };
        let retired = transport.restart(ice, now);
        self.retire(leg, retired);
        self.by_ufrag.insert(ufrag, leg);
    }

    pub(super) fn unlink(&mut self, leg: Leg, transport: &Transport) {
        for ufrag in transport.ufrags() {
            if self.by_ufrag.get(ufrag) == Some(&leg) {
                self.by_ufrag.remove(ufrag);
            }
        }
        for path in transport.paths() {
            if self.paths.get(&path) == Some(leg) {
                self.paths.remove(&path);
            }
        }
    }

    fn retire(&mut self, leg: Leg, ufrag: Option<String>) {
        if let Some(ufrag) = ufrag
            && self.by_ufrag.get(&ufrag) == Some(&leg)
        {
            self.by_ufrag.remove(&ufrag);
        }
    }

    /// The leg that an ICE check names.
    pub(in crate::sfu) fn by_ufrag(&self, ufrag: &str) -> Option<Leg> {
        self.by_ufrag.get(ufrag).copied()
    }

    /// The leg that owns a path.
    pub(in crate::sfu) fn by_path(&self, path: &Path) -> Option<Leg> {
        self.paths.get(path)
    }

    /// Whether a path belongs to another leg that is still there: a check on it is forged,
    /// or too early, and must not take the other leg's media away.
    pub(in crate::sfu) fn is_taken(&self, path: Path, by: Leg, now: Instant) -> bool {
        let owner = self.by_path(&path).filter(|owner| *owner != by);
        let owner = owner.and_then(|owner| self.transport(owner));
        owner.is_some_and(|transport| transport.is_alive(path, now))
    }

    /// Gives a path up to another worker, whose leg has proven to own it; false if a leg here
    /// is alive there.
    pub(in crate::sfu) fn yield_path(&mut self, path: Path, now: Instant) -> bool {
        let Some(owner) = self.by_path(&path) else {
            return true;
        };
        let alive = |transport: &Transport| transport.is_alive(path, now);
        if self.transport(owner).is_some_and(alive) {
            return false;
        }
        self.lose(path);
        true
    }

    /// Forgets a path, whoever has it.
    pub(in crate::sfu) fn lose(&mut self, path: Path) {
        if let Some(owner) = self.paths.remove(&path)
            && let Some(transport) = self.transport_mut(owner)
        {
            transport.forget(path);
        }
    }

    /// Makes the maps agree with what a check changed.
    pub(in crate::sfu) fn apply(&mut self, leg: Leg, on: Path, change: Checked) {
        self.retire(leg, change.retired_ufrag);
        if let Some(lost) = change.lost {
            self.paths.remove(&lost);
        }
        if change.gained
            && let Some(before) = self.paths.insert(on, leg)
            && let Some(transport) = self.transport_mut(before)
            && before != leg
        {
            transport.forget(on);
        }
    }
}
