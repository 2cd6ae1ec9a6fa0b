//! The paths on which the peers of one worker's legs speak, and what the kernel is told of them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::Leg;
use super::path::Path;

/// Which leg is spoken to on each path.
#[derive(Debug, Default)]
pub(super) struct OwnPaths {
    legs: FxHashMap<Path, Leg>,
    /// Whether anybody wants to know what changes.
    followed: bool,
    changes: VecDeque<PathChange>,
}

/// A peer's datagrams are for this worker from now on, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathChange {
    /// Where they come from.
    pub remote: SocketAddr,
    /// Whether they are.
    pub is_ours: bool,
}

impl OwnPaths {
    /// From now on [`Self::poll_change`] tells what changes.
    pub(super) fn follow(&mut self) {
        self.followed = true;
    }

    pub(super) fn get(&self, path: &Path) -> Option<Leg> {
        self.legs.get(path).copied()
    }

    /// Gives a path to a leg; returns the one that had it.
    pub(super) fn insert(&mut self, path: Path, leg: Leg) -> Option<Leg> {
        let before = self.legs.insert(path, leg);
        if before.is_none() {
            self.note(path, true);
        }
        before
    }

    /// Takes a path away from the leg that has it; returns that.
    pub(super) fn remove(&mut self, path: &Path) -> Option<Leg> {
        let before = self.legs.remove(path);
        if before.is_some() {
            self.note(*path, false);
        }
        before
    }

    /// The next change, in order.
    pub(super) fn poll_change(&mut self) -> Option<PathChange> {
        self.changes.pop_front()
    }

    /// A connection's packets come to whoever has the connection.
    fn note(&mut self, path: Path, is_ours: bool) {
        if self.followed && path.tcp().is_none() {
            let remote = path.remote;
            self.changes.push_back(PathChange { remote, is_ours });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::{TcpId, Via};
    use super::super::{PublicationId, SubscriptionId};
    use super::*;

    #[test]
    fn who_follows_is_told_whether_a_path_is_anybodys_here() {
        let remote = SocketAddr::from(([192, 0, 2, 1], 1));
        let path = Path::from(remote);
        let via = Via::Tcp(TcpId(1));
        let connection = Path { remote, via };
        let [one, other] = [
            Leg::Publisher(PublicationId(1)),
            Leg::Subscriber(SubscriptionId(1)),
        ];
        let mut paths = OwnPaths::default();
        paths.insert(path, one);
        assert_eq!(paths.remove(&path), Some(one));
        assert_eq!(paths.poll_change(), None);

        paths.follow();
        paths.insert(path, one);
        paths.insert(connection, one);
        assert_eq!(paths.insert(path, other), Some(one));
        assert_eq!(paths.remove(&path), Some(other));
        assert_eq!(paths.remove(&path), None);
        let changes: Vec<_> = std::iter::from_fn(|| paths.poll_change()).collect();
        assert_eq!(
            changes,
            [true, false].map(|is_ours| PathChange { remote, is_ours })
        );
    }
}
