//! The transport of one leg: credentials and certificates, ours and theirs.

use crate::entropy::Entropy;
use crate::sfu::CloseReason;
use crate::sfu::command::{
    Fingerprint, Generation, IceCredentials, LocalEndpoint, TransportConfig,
};
use crate::sfu::sdp::{Section, SessionDescription, Setup};
use crate::sfu::worker::WorkerId;

/// Length of our ufrag behind the mark of its worker. 95 random bits: unique in the process without keeping count.
const UFRAG_LEN: usize = 16;

/// Length of our password; RFC 8445, 5.3 wants at least 128 bits, this is 142.
const PWD_LEN: usize = 24;

/// Shortest and longest ufrag and password that a peer may have (RFC 8839, 5.4).
const REMOTE_UFRAG_LEN: std::ops::RangeInclusive<usize> = 4..=256;
const REMOTE_PWD_LEN: std::ops::RangeInclusive<usize> = 22..=256;

/// What the peer said about its side.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Remote {
    ufrag: String,
    pwd: String,
    fingerprint: Fingerprint,
}

impl Remote {
    /// Takes it from the section whose transport the others share.
    pub(super) fn of(head: &Section) -> Result<Self, CloseReason> {
        let fingerprint = head.fingerprint.clone().ok_or(CloseReason::MalformedSdp)?;
        if !REMOTE_UFRAG_LEN.contains(&head.ice_ufrag.len())
            || !REMOTE_PWD_LEN.contains(&head.ice_pwd.len())
        {
            return Err(CloseReason::MalformedSdp);
        }
        Ok(Self {
            ufrag: head.ice_ufrag.clone(),
            pwd: head.ice_pwd.clone(),
            fingerprint,
        })
    }
}

/// Our side of a leg's transport, which lives as long as the leg.
#[derive(Clone)]
pub(super) struct Local {
    ufrag: String,
    pwd: String,
    /// Whose certificate is described.
    generation: Generation,
    /// `o=`: one session per leg, one version per description.
    session: u64,
    version: u64,
}

impl Local {
    pub(super) fn new(worker: WorkerId, entropy: &mut Entropy) -> Self {
        Self {
            ufrag: ufrag(worker.mark(), entropy),
            pwd: entropy.alphanumeric(PWD_LEN),
            generation: Generation::default(),
            session: entropy.u32().into(),
            version: 0,
        }
    }

    /// Our credentials, while the peer's are not known.
    pub(super) fn ice(&self) -> IceCredentials {
        IceCredentials {
            local_ufrag: self.ufrag.clone(),
            local_pwd: self.pwd.clone(),
            remote_ufrag: None,
        }
    }

    /// New credentials (RFC 8445, 9).
    pub(super) fn restart(&mut self, entropy: &mut Entropy) {
        // The leg stays where it is.
        self.ufrag = ufrag(self.ufrag.chars().next().unwrap_or_default(), entropy);
        self.pwd = entropy.alphanumeric(PWD_LEN);
    }

    /// From the next description on, another certificate: it makes the peer begin another DTLS
    /// association (RFC 8842, 4).
    pub(super) fn rekey(&mut self) -> Generation {
        self.generation = self.generation.next();
        self.generation
    }

    /// Writes a description around `sections`, with our transport in each that is not refused.
    ///
    /// The transport is repeated in all of them, bundled as they are: the official client's
    /// own server does so, and no order of sections can then go wrong.
    pub(super) fn describe(
        &mut self,
        sections: Vec<Section>,
        bundle: bool,
        setup: Setup,
        endpoint: &LocalEndpoint,
    ) -> String {
        let mids = sections.iter().filter(|s| bundle && !s.rejected);
        let bundle = mids.map(|section| section.mid.clone()).collect();
        self.write(sections, bundle, setup, endpoint).to_string()
    }

    /// Writes a description of some of the sections of a shared peer connection, of which all
    /// that there are have these mids (`protocol/signaling.md`, 13.9). The client looks for the
    /// transport above the sections.
    pub(super) fn describe_part(
        &mut self,
        sections: Vec<Section>,
        mids: Vec<String>,
        setup: Setup,
        endpoint: &LocalEndpoint,
    ) -> String {
        let description = SessionDescription {
            ice_ufrag: self.ufrag.clone(),
            ice_pwd: self.pwd.clone(),
            candidates: endpoint.candidates.clone(),
            ..self.write(sections, mids, setup, endpoint)
        };
        description.to_string()
    }

    fn write(
        &mut self,
        sections: Vec<Section>,
        bundle: Vec<String>,
        setup: Setup,
        endpoint: &LocalEndpoint,
    ) -> SessionDescription {
        self.version += 1;
        let sections = sections.into_iter().map(|section| match section.rejected {
            true => section,
            false => Section {
                ice_ufrag: self.ufrag.clone(),
                ice_pwd: self.pwd.clone(),
                fingerprint: Some(self.generation.choose(&endpoint.fingerprints).clone()),
                setup: Some(setup),
                candidates: endpoint.candidates.clone(),
                ..section
            },
        });
        SessionDescription {
            id: self.session,
            version: self.version,
            ice_lite: true,
            bundle,
            sections: sections.collect(),
            ..SessionDescription::default()
        }
    }
}

/// A local name that begins with the mark of its leg's worker.
fn ufrag(mark: char, entropy: &mut Entropy) -> String {
    format!("{mark}{}", entropy.alphanumeric(UFRAG_LEN))
}

/// Both sides.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) local: Local,
    remote: Remote,
}

impl Transport {
    pub(super) fn new(local: Local, remote: Remote) -> Self {
        Self { local, remote }
    }

    /// Takes in what a later offer says of the peer's side; new credentials, if it restarts ICE.
    ///
    /// The certificate must be the same: the DTLS association goes on.
    pub(super) fn renew(
        &mut self,
        remote: Remote,
        entropy: &mut Entropy,
    ) -> Result<Option<IceCredentials>, CloseReason> {
        if remote.fingerprint != self.remote.fingerprint {
            return Err(CloseReason::NothingInCommon);
        }
        if remote == self.remote {
            return Ok(None);
        }
        self.remote = remote;
        self.local.restart(entropy);
        Ok(Some(self.ice()))
    }

    /// Takes in what the answer to a later offer of ours says of the peer's side. Its certificate
    /// must be the same; its credentials are others if we have restarted ICE.
    pub(super) fn agree(&mut self, remote: Remote) -> Result<(), CloseReason> {
        if remote.fingerprint != self.remote.fingerprint {
            return Err(CloseReason::NothingInCommon);
        }
        self.remote = remote;
        Ok(())
    }

    pub(super) fn config(&self) -> TransportConfig {
        TransportConfig {
            ice: self.ice(),
            fingerprint: self.remote.fingerprint.clone(),
        }
    }

    fn ice(&self) -> IceCredentials {
        IceCredentials {
            remote_ufrag: Some(self.remote.ufrag.clone()),
            ..self.local.ice()
        }
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}
