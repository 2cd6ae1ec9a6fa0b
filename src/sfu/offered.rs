//! What comes on a leg before the answer to our offer does.
//!
//! Whoever has our offer may check at once and is to be answered at once (RFC 8445, 7.3), while its
//! answer takes its time; and over TCP Firefox sends a check only once. Our password, which nobody
//! else has, is proof enough. There is no leg yet, so what happened is kept for it.

use super::command::IceCredentials;
use super::path::Path;
use super::stun::BindingRequest;
use super::transport::MAX_PATHS;

/// Datagrams of a handshake that are kept: a ClientHello in pieces. When full, further ones are
/// dropped: DTLS sends them again.
const MAX_HANDSHAKE: usize = 4;

/// A leg whose first offer is out.
#[derive(Debug)]
pub(super) struct Offered {
    ice: IceCredentials,
    /// Where checks came, and whether they nominated: the last one last.
    checks: Vec<(Path, bool)>,
    handshake: Vec<Vec<u8>>,
}

impl Offered {
    /// Offered with these credentials of ours.
    pub(super) fn new(ice: IceCredentials) -> Self {
        Self {
            ice,
            checks: Vec::new(),
            handshake: Vec::new(),
        }
    }

    /// Our name.
    pub(super) fn ufrag(&self) -> &str {
        &self.ice.local_ufrag
    }

    /// The password for an authentic check; `None` for any other.
    pub(super) fn authenticate(&self, request: &BindingRequest<'_>) -> Option<&str> {
        self.ice.authenticate(request)
    }

    /// Takes note of an authentic check; whether its path is kept. When there are too many, no
    /// further ones are.
    pub(super) fn check(&mut self, path: Path, nominates: bool) -> bool {
        let known = self.checks.iter().position(|(known, _)| *known == path);
        let before = known.map(|index| self.checks.remove(index));
        let kept = self.checks.len() < MAX_PATHS;
        if kept {
            let nominated = before.is_some_and(|(_, nominated)| nominated);
            self.checks.push((path, nominates || nominated));
        }
        kept
    }

    /// Keeps a datagram of the handshake; whether there was room.
    pub(super) fn handshake(&mut self, datagram: &[u8]) -> bool {
        let kept = self.handshake.len() < MAX_HANDSHAKE;
        if kept {
            self.handshake.push(datagram.to_vec());
        }
        kept
    }

    /// Keeps only these paths.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&Path) -> bool) {
        self.checks.retain(|(path, _)| stays(path));
    }

    /// Where checks came, in order, and whether they nominated.
    pub(super) fn checks(&self) -> impl Iterator<Item = (Path, bool)> {
        self.checks.iter().copied()
    }

    /// What came of the handshake, in order.
    pub(super) fn into_handshake(self) -> Vec<Vec<u8>> {
        self.handshake
    }
}
