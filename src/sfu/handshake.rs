//! What the packet half and the control thread tell each other about DTLS. Handshakes cost about a
//! millisecond of arithmetic each, so they do not run where packets are forwarded.

use std::sync::Arc;

use super::command::{Fingerprint, Generation};
use super::{CloseReason, Leg};
use crate::srtp::{MasterKey, Profile};

/// What the engine passes to the control thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeInput {
    /// A datagram whose first byte is 20 to 63 (RFC 7983), from a path that answered ICE checks.
    /// The first one of a leg begins its handshake. May be dropped: DTLS sends it again.
    Datagram {
        /// Where it came in.
        leg: Leg,
        /// The certificate that the peer promised in SDP.
        fingerprint: Arc<Fingerprint>,
        /// Whose ClientHello begins a new association, in place of one of an older generation.
        generation: Generation,
        /// The whole datagram.
        bytes: Vec<u8>,
    },
    /// Forget this leg, saying good-bye (`close_notify`) if there is an association. Must not be
    /// dropped.
    Stop {
        /// Which.
        leg: Leg,
    },
}

/// What the control thread gives back.
#[derive(Debug, Clone)]
pub enum HandshakeOutput {
    /// Send this to the leg's selected path.
    Datagram {
        /// Where.
        leg: Leg,
        /// The whole datagram.
        bytes: Vec<u8>,
    },
    /// The handshake is complete and the peer's certificate is the promised one.
    Keys {
        /// Where.
        leg: Leg,
        /// What SRTP needs.
        keys: Box<SrtpKeys>,
    },
    /// The association failed or was closed by the peer.
    Closed {
        /// Where.
        leg: Leg,
        /// Why.
        reason: CloseReason,
    },
}

/// The outcome of a handshake (RFC 5764, 4.2), seen from our side.
#[derive(Debug, Clone)]
pub struct SrtpKeys {
    /// The agreed profile.
    pub profile: Profile,
    /// Opens what the peer sends.
    pub inbound: MasterKey,
    /// Seals what we send.
    pub outbound: MasterKey,
}
