//! One leg's way through the network: ICE state, selected path, SRTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::{Fingerprint, Generation, IceCredentials, TransportConfig};
use super::datagram::SLOT_LEN;
use super::handshake::SrtpKeys;
use super::path::Path;
use super::silence::Silence;
use super::stun::BindingRequest;
use super::timers::Armed;
use crate::srtp::{Opener, Sealer, SrtpError};

/// How long a leg lives without an authenticated check (RFC 7675, 5.1).
const CONSENT: Duration = Duration::from_secs(30);

/// How long a path without checks stays its leg's, and selected, against another that does
/// not claim nomination. Browsers check every 2.5 s or more often.
const PATH_ALIVE: Duration = Duration::from_secs(8);

/// Paths of one leg; the one without a check for the longest time makes room.
pub(super) const MAX_PATHS: usize = 8;

/// How long packets under the old keys are still let in after a change: longer than a network
/// keeps them on the way, or a client in its pacer.
const OVERLAP: Duration = Duration::from_secs(2);

/// The network side of one leg.
#[derive(Debug)]
pub(super) struct Transport {
    ice: IceCredentials,
    /// Credentials from before a restart, good until a check uses the new ones.
    retiring: Option<IceCredentials>,
    pub(super) fingerprint: Arc<Fingerprint>,
    paths: Vec<CheckedPath>,
    selected: Option<Path>,
    /// Last authenticated check, or the creation.
    consent_at: Instant,
    pub(super) silence: Silence,
    pub(super) srtp: Option<Srtp>,
    /// What opened packets before the last change of keys, and until when it does.
    old: Option<(Opener, Instant)>,
    /// Which association the peer may begin next.
    pub(super) generation: Generation,
    /// Whether it was said that this leg is up.
    pub(super) announced: bool,
    /// Whether the control thread has heard of this leg.
    pub(super) handshaking: bool,
    /// Datagrams that wait for the control thread.
    pub(super) queued: u8,
    pub(super) armed: Armed,
}

#[derive(Debug)]
struct CheckedPath {
    path: Path,
    checked_at: Instant,
}

/// Both directions of SRTP.
pub(super) struct Srtp {
    opener: Opener,
    sealer: Sealer,
    /// How many keys there were before these.
    era: u32,
    /// Whether resending a packet under its old number with another header is safe. It is not
    /// with GCM: two tags under one nonce give the key of the tags away (RFC 7714, 10.1).
    may_reseal: bool,
}

impl std::fmt::Debug for Srtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Srtp")
    }
}

/// What an authenticated check changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// This path now belongs to the leg.
    pub(super) gained: bool,
    /// This one does no longer.
    pub(super) lost: Option<Path>,
    /// This local name is no longer in use.
    pub(super) retired_ufrag: Option<String>,
}

impl Transport {
    pub(super) fn new(config: TransportConfig, now: Instant) -> Self {
        Self {
            ice: config.ice,
            retiring: None,
            fingerprint: Arc::new(config.fingerprint),
            paths: Vec::new(),
            selected: None,
            consent_at: now,
            silence: Silence::new(now),
            srtp: None,
            old: None,
            generation: Generation::default(),
            announced: false,
            handshaking: false,
            queued: 0,
            armed: Armed::default(),
        }
    }

    /// Where to send.
    pub(super) fn path(&self) -> Option<Path> {
        self.selected
    }

    /// Where to send media, what seals it, and how many keys there were before those.
    pub(super) fn outgoing(&mut self) -> Option<(Path, &mut Sealer, u32)> {
        let srtp = self.srtp.as_mut()?;
        Some((self.selected?, &mut srtp.sealer, srtp.era))
    }

    /// Verifies and decrypts RTP in place; returns its length.
    pub(super) fn open_rtp(&mut self, datagram: &mut [u8], now: Instant) -> Option<usize> {
        let opened = self.open(datagram, now, Opener::open_rtp);
        opened.inspect(|_| self.silence.hear(now))
    }

    /// Verifies and decrypts RTCP in place; returns its length.
    pub(super) fn open_rtcp(&mut self, datagram: &mut [u8], now: Instant) -> Option<usize> {
        let opened = self.open(datagram, now, Opener::open_rtcp);
        opened.inspect(|_| self.silence.hear(now))
    }

    /// Opens with the keys that there are, or with the ones before.
    fn open(
        &mut self,
        datagram: &mut [u8],
        now: Instant,
        open: impl Fn(&mut Opener, &mut [u8]) -> Result<usize, SrtpError>,
    ) -> Option<usize> {
        let opener = &mut self.srtp.as_mut()?.opener;
        if self.old.as_ref().is_none_or(|(_, until)| *until <= now) {
            self.old = None;
            return open(opener, datagram).ok();
        }
        // Opening with the wrong keys destroys it.
        let mut copy = [0; SLOT_LEN];
        let copy = copy.get_mut(..datagram.len())?;
        copy.copy_from_slice(datagram);
        let opened = open(opener, datagram).ok();
        let (old, _) = self.old.as_mut()?;
        opened.or_else(|| {
            datagram.copy_from_slice(copy);
            open(old, datagram).ok()
        })
    }

    /// Whether resending a packet under its old number with another header is safe.
    pub(super) fn may_reseal(&self) -> bool {
        self.srtp.as_ref().is_some_and(|srtp| srtp.may_reseal)
    }

    /// The paths on which checks came.
    pub(super) fn paths(&self) -> impl Iterator<Item = Path> {
        self.paths.iter().map(|known| known.path)
    }

    /// The local names that checks may use.
    pub(super) fn ufrags(&self) -> impl Iterator<Item = &str> {
        let all = std::iter::once(&self.ice).chain(&self.retiring);
        all.map(|ice| ice.local_ufrag.as_str())
    }

    /// The password for an authentic check; `None` for any other.
    pub(super) fn authenticate(&self, request: &BindingRequest<'_>) -> Option<&str> {
        let mut all = std::iter::once(&self.ice).chain(&self.retiring);
        all.find_map(|ice| ice.authenticate(request))
    }

    /// Takes note of an authentic check.
    pub(super) fn checked(
        &mut self,
        local_ufrag: &str,
        nominates: bool,
        on: Path,
        now: Instant,
    ) -> Checked {
        let mut change = Checked::default();
        if local_ufrag == self.ice.local_ufrag {
            change.retired_ufrag = self.retiring.take().map(|ice| ice.local_ufrag);
        }
        self.consent_at = now;
        self.silence.hear(now);
        match self.paths.iter_mut().find(|known| known.path == on) {
            Some(known) => known.checked_at = now,
            None => {
                change.gained = true;
                change.lost = self.make_room();
                self.paths.push(CheckedPath {
                    path: on,
                    checked_at: now,
                });
            }
        }
        if nominates || !self.selected.is_some_and(|path| self.is_alive(path, now)) {
            self.selected = Some(on);
        }
        change
    }

    /// Whether checks still come on this path.
    pub(super) fn is_alive(&self, path: Path, now: Instant) -> bool {
        self.paths.iter().any(|known| {
            known.path == path && now.saturating_duration_since(known.checked_at) < PATH_ALIVE
        })
    }

    /// Gives up a path: another leg has proven to own it now, or its connection is closed.
    pub(super) fn forget(&mut self, path: Path) {
        self.paths.retain(|known| known.path != path);
        if self.selected == Some(path) {
            let best = self.paths.iter().max_by_key(|known| known.checked_at);
            self.selected = best.map(|known| known.path);
        }
    }

    fn make_room(&mut self) -> Option<Path> {
        if self.paths.len() < MAX_PATHS {
            return None;
        }
        let others = self
            .paths
            .iter()
            .filter(|known| Some(known.path) != self.selected);
        let oldest = others.min_by_key(|known| known.checked_at)?.path;
        self.paths.retain(|known| known.path != oldest);
        Some(oldest)
    }

    /// Changes the credentials. The old ones stay good until a check uses the new ones; those
    /// from before an unfinished restart do not, and their local name is returned.
    pub(super) fn restart(&mut self, ice: IceCredentials, now: Instant) -> Option<String> {
        if ice == self.ice {
            return None;
        }
        // A restart is a sign of life from the other side of signaling.
        self.consent_at = now;
        self.silence.restarting(now);
        let old = std::mem::replace(&mut self.ice, ice);
        if old.local_ufrag == self.ice.local_ufrag {
            return None;
        }
        self.retiring.replace(old).map(|ice| ice.local_ufrag)
    }

    /// Takes the outcome of a handshake; whether there were other keys before.
    pub(super) fn key(&mut self, keys: &SrtpKeys, now: Instant) -> bool {
        let before = self.srtp.take();
        let era = before.as_ref().map_or(0, |srtp| srtp.era.wrapping_add(1));
        let opener = Opener::new(keys.profile, &keys.inbound);
        self.srtp = Some(Srtp {
            opener: match before {
                Some(_) => opener.joining(),
                None => opener,
            },
            sealer: Sealer::new(keys.profile, &keys.outbound),
            era,
            may_reseal: keys.profile == crate::srtp::Profile::Aes128CmHmacSha1_80,
        });
        self.old = before.map(|srtp| (srtp.opener, now + OVERLAP));
        self.old.is_some()
    }

    /// Whether it is time to say that the leg is up; counts as said.
    pub(super) fn announce(&mut self) -> bool {
        let up = self.selected.is_some() && self.srtp.is_some();
        up && !std::mem::replace(&mut self.announced, up)
    }

    /// When the leg is given up unless a check comes in.
    pub(super) fn consent_until(&self) -> Instant {
        self.consent_at + CONSENT
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddr;

    use super::super::command::FingerprintAlgorithm;
    use super::*;
    use crate::clock::Clock;

    pub(crate) fn config(name: &str) -> TransportConfig {
        TransportConfig {
            ice: IceCredentials {
                local_ufrag: name.into(),
                local_pwd: format!("{name}-password-of-22-chars"),
                remote_ufrag: Some(format!("{name}-remote")),
            },
            fingerprint: Fingerprint {
                algorithm: FingerprintAlgorithm::Sha256,
                digest: vec![0; 32],
            },
        }
    }

    fn path(port: u16) -> Path {
        SocketAddr::from(([192, 0, 2, 1], port)).into()
    }

    fn transport() -> (Transport, Instant) {
        let now = Clock::system().epoch().instant;
        (Transport::new(config("one"), now), now)
    }

    #[test]
    fn the_first_check_selects_and_nomination_moves() {
        let (mut transport, now) = transport();
        assert!(transport.checked("one", false, path(1), now).gained);
        assert_eq!(transport.path(), Some(path(1)));
        transport.checked("one", false, path(2), now);
        assert_eq!(transport.path(), Some(path(1)));
        transport.checked("one", true, path(2), now);
        assert_eq!(transport.path(), Some(path(2)));
    }

    #[test]
    fn a_silent_path_gives_way_without_nomination() {
        let (mut transport, now) = transport();
        transport.checked("one", true, path(1), now);
        let later = now + PATH_ALIVE;
        transport.checked("one", false, path(2), later);
        assert_eq!(transport.path(), Some(path(2)));
    }

    #[test]
    fn addresses_are_bounded_and_the_selected_one_stays() {
        let (mut transport, now) = transport();
        transport.checked("one", true, path(1), now);
        let mut lost = Vec::new();
        for port in 2..20 {
            let at = now + Duration::from_millis(port.into());
            lost.extend(transport.checked("one", false, path(port), at).lost);
        }
        assert_eq!(transport.paths().count(), MAX_PATHS);
        assert_eq!(lost.len(), 19 - MAX_PATHS);
        assert!(!lost.contains(&path(1)));
    }

    #[test]
    fn old_credentials_end_with_the_first_check_that_uses_the_new_ones() {
        let (mut transport, now) = transport();
        assert_eq!(transport.restart(config("two").ice, now), None);
        assert_eq!(
            transport.checked("one", true, path(1), now).retired_ufrag,
            None
        );
        let change = transport.checked("two", true, path(1), now);
        assert_eq!(change.retired_ufrag.as_deref(), Some("one"));
        assert_eq!(transport.ufrags().collect::<Vec<_>>(), ["two"]);
    }

    #[test]
    fn a_second_restart_before_the_first_is_used_drops_the_oldest_credentials() {
        let (mut transport, now) = transport();
        transport.restart(config("two").ice, now);
        assert_eq!(
            transport.restart(config("three").ice, now).as_deref(),
            Some("one")
        );
        assert_eq!(transport.ufrags().collect::<Vec<_>>(), ["three", "two"]);
    }
}
