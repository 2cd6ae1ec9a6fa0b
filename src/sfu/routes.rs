//! Which of the other workers the datagrams are for that come to this one's socket.

use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::path::Path;
use super::worker::WorkerId;

/// Paths of other workers' peers that are remembered before stale ones are looked for.
const MIN_ROUTES: usize = 1_024;

/// How long a path is remembered without a check from it: as long as its leg would live
/// (RFC 7675, 5.1). Each check renews it.
const ROUTE_ALIVE: Duration = Duration::from_secs(30);

/// Checks handed on whose senders may go on before it is known here whether they were authentic.
/// When there are more, the place of a later one may be that of an earlier one, and what follows
/// that is dropped: handshakes say everything again.
const EXPECTED: usize = 256;

/// What one worker knows of the others' peers.
#[derive(Debug)]
pub(super) struct Routes {
    /// Paths on which an authentic check came, as their owners say.
    proven: FxHashMap<Path, (WorkerId, Instant)>,
    /// How many of them there may be before stale ones are looked for.
    max: usize,
    /// Where checks were handed on to, by hash of their path: the answer may be with the client,
    /// and its handshake here, before the owner has said anything. None before the first.
    expected: Vec<Option<(Path, WorkerId)>>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            proven: FxHashMap::default(),
            max: MIN_ROUTES,
            expected: Vec::new(),
        }
    }
}

impl Routes {
    /// Whose peer seems to be behind a path that is no leg's here. Only the owner can tell.
    pub(super) fn owner(&self, path: &Path) -> Option<WorkerId> {
        if let Some((owner, _)) = self.proven.get(path) {
            return Some(*owner);
        }
        let (expected, owner) = self.expected.get(place(path))?.as_ref()?;
        (expected == path).then_some(*owner)
    }

    /// A check was handed on to the worker that it names.
    pub(super) fn expect(&mut self, path: Path, owner: WorkerId) {
        self.expected.resize(EXPECTED, None);
        self.expected[place(&path)] = Some((path, owner));
    }

    /// Remembers that a path belongs to another worker's peer.
    pub(super) fn learn(&mut self, path: Path, owner: WorkerId, now: Instant) {
        if self.proven.len() >= self.max && !self.proven.contains_key(&path) {
            let alive = |at: Instant| now.saturating_duration_since(at) < ROUTE_ALIVE;
            self.proven.retain(|_, (_, at)| alive(*at));
            self.max = MIN_ROUTES.max(2 * self.proven.len());
        }
        self.proven.insert(path, (owner, now));
    }

    /// Forgets that a path belongs to another worker's peer.
    pub(super) fn forget(&mut self, path: &Path) {
        if !self.proven.is_empty() {
            self.proven.remove(path);
        }
    }
}

/// Where a path is found among what is expected.
fn place(path: &Path) -> usize {
    FxBuildHasher.hash_one(path) as usize % EXPECTED
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::clock::Clock;

    fn worker(number: usize) -> WorkerId {
        WorkerId::new(number).unwrap()
    }

    fn path(port: u16) -> Path {
        SocketAddr::from(([192, 0, 2, 1], port)).into()
    }

    #[test]
    fn paths_without_checks_are_forgotten_when_there_are_many() {
        let mut routes = Routes::default();
        let start = Clock::system().epoch().instant;
        for port in 0..MIN_ROUTES as u16 {
            routes.learn(path(port), worker(1), start);
        }
        routes.learn(path(u16::MAX), worker(1), start + ROUTE_ALIVE);
        assert_eq!(routes.proven.len(), 1);
        assert_eq!(routes.owner(&path(1)), None);
        assert_eq!(routes.owner(&path(u16::MAX)), Some(worker(1)));
    }

    #[test]
    fn what_is_expected_is_bounded_and_gives_way_to_what_is_proven() {
        let mut routes = Routes::default();
        for port in 0..10_000 {
            routes.expect(path(port), worker(1));
            assert_eq!(routes.owner(&path(port)), Some(worker(1)));
        }
        assert_eq!(routes.expected.len(), EXPECTED);
        let known = (0..10_000).filter(|port| routes.owner(&path(*port)).is_some());
        assert!(known.count() <= EXPECTED);
        routes.learn(path(9_999), worker(2), Clock::system().epoch().instant);
        assert_eq!(routes.owner(&path(9_999)), Some(worker(2)));
    }
}
