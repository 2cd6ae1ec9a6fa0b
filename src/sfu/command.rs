//! What the control half tells the packet half: facts agreed in SDP, reduced to what a packet needs.

use super::path::Candidate;
use super::stun::BindingRequest;
use super::worker::WorkerId;
use super::{
    ClientId, CloseReason, Fallback, GroupId, Leg, MediaKind, PublicationId, SubscriptionId, Wanted,
};

/// A change to the engine. Applied in order; none can fail: a command about something
/// the engine no longer has is dropped.
#[derive(Debug, Clone)]
pub enum Command {
    /// A publisher's offer was answered.
    AddPublication(Box<PublicationConfig>),
    /// A publisher's later offer was answered: replaces its tracks, keeps transport and caches.
    UpdatePublication(Box<PublicationConfig>),
    /// A subscriber answered our offer, the first or a later one.
    AddSubscription(Box<SubscriptionConfig>),
    /// An offer of ours is out, the first one for this leg or one that restarts ICE: checks are
    /// answered from now on, whoever the peer says to be.
    Offer {
        /// Where.
        leg: Leg,
        /// Our credentials; the peer's are not known yet.
        ice: IceCredentials,
    },
    /// New ICE credentials on a live leg; DTLS and SRTP go on (`protocol/signaling.md`, 13.7).
    RestartIce {
        /// Where.
        leg: Leg,
        /// The new credentials.
        ice: IceCredentials,
    },
    /// From now on the leg's peer may begin another DTLS association, in which we show the
    /// certificate of this generation. The keys that there are go on until that is complete.
    Rekey {
        /// Where.
        leg: Leg,
        /// What comes next.
        generation: Generation,
    },
    /// The leg's client may have moved: say if nothing comes any more.
    Watch(Leg),
    /// A subscriber changed what it wants.
    Update {
        /// Whose.
        subscription: SubscriptionId,
        /// All of what is wanted from now on.
        wanted: Wanted,
    },
    /// Forget this leg; the subscriptions of a publisher, or of a shared leg, go with it. A
    /// subscription that has no leg of its own ends by its own name. No event follows.
    Remove(Leg),
    /// Subscriptions here will receive a publication that lives at another worker; or its tracks
    /// have changed. Ends with [`Self::Remove`].
    AddMirror(Box<MirrorConfig>),
    /// Pass a publication's packets on to a worker that mirrors it.
    AddPipe {
        /// What to pass on.
        publication: PublicationId,
        /// To whom.
        to: WorkerId,
    },
    /// Begin to copy a publication's packets; nothing happens without the publication.
    AddTap(TapConfig),
    /// End a tap. Its last batch follows.
    RemoveTap {
        /// Which.
        tap: TapId,
        /// What it is on.
        publication: PublicationId,
    },
    /// Pass them on no longer.
    RemovePipe {
        /// What was passed on.
        publication: PublicationId,
        /// To whom.
        to: WorkerId,
    },
}

/// One tap, numbered by who asks for it; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapId(pub u64);

/// What to copy.
#[derive(Debug, Clone, Copy)]
pub struct TapConfig {
    /// Which tap.
    pub id: TapId,
    /// What it is on; at the worker where it lives.
    pub publication: PublicationId,
    /// Which tracks, and which of the layers, as if it were a subscriber with a perfect network.
    pub wanted: Wanted,
}

/// What the engine tells the control half.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// ICE and DTLS are up.
    Connected(Leg),
    /// The leg has other keys now.
    Rekeyed(Leg),
    /// Nothing comes on a leg that is watched: ICE is to be restarted.
    Silent(Leg),
    /// The engine gave the leg up and forgot it.
    Closed(Leg, CloseReason),
    /// A subscriber's network has become too bad for video, or good enough again.
    Fallback(SubscriptionId, Fallback),
    /// Somebody else is listened to now in a group, or nobody any more.
    Speaker(GroupId, Option<PublicationId>),
    /// How many simulcast layers of a publication are of use, the lowest first.
    Layers(PublicationId, usize),
}

impl EngineEvent {
    /// What it is about: a leg, or a group.
    pub(super) fn subject(&self) -> (Option<Leg>, Option<GroupId>) {
        match self {
            Self::Connected(leg)
            | Self::Rekeyed(leg)
            | Self::Silent(leg)
            | Self::Closed(leg, _) => (Some(*leg), None),
            Self::Fallback(id, _) => (Some(Leg::Subscriber(*id)), None),
            Self::Layers(id, _) => (Some(Leg::Publisher(*id)), None),
            Self::Speaker(group, _) => (None, Some(*group)),
        }
    }
}

/// ICE credentials of one leg (RFC 8445, 5.3). We are ICE-lite: the remote password is not needed.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// Ours; unique in the process, so that a check finds its leg.
    pub local_ufrag: String,
    /// Ours; the key of MESSAGE-INTEGRITY.
    pub local_pwd: String,
    /// Theirs; the second half of USERNAME. `None` until they have answered: then any will do, as
    /// nobody else knows our password (RFC 8445, 7.3).
    pub remote_ufrag: Option<String>,
}

impl IceCredentials {
    /// The password for an authentic check; `None` for any other.
    pub(super) fn authenticate(&self, request: &BindingRequest<'_>) -> Option<&str> {
        let theirs = self.remote_ufrag.as_deref();
        let named = self.local_ufrag == request.local_ufrag()
            && theirs.is_none_or(|theirs| theirs == request.remote_ufrag());
        (named && request.verify(&self.local_pwd)).then_some(self.local_pwd.as_str())
    }
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials")
            .field("local_ufrag", &self.local_ufrag)
            .finish_non_exhaustive()
    }
}

/// How often the keys of a leg were changed; each change needs a new DTLS association.
///
/// A peer begins one when our certificate is another one (RFC 8842, 4), so two certificates that
/// take turns are enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generation(u32);

impl Generation {
    /// The one after this.
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Of two certificates, or what belongs to them, that of this generation.
    pub fn choose<T>(self, pair: &[T; 2]) -> &T {
        &pair[usize::from(self.0 % 2 == 1)]
    }
}

/// How to reach and to trust one peer.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// ICE credentials.
    pub ice: IceCredentials,
    /// Hash of the certificate the peer must show in DTLS (RFC 8122).
    pub fingerprint: Fingerprint,
}

impl TransportConfig {
    /// For what has no peer: no check ever names it.
    pub(super) fn detached() -> Self {
        Self {
            ice: IceCredentials {
                local_ufrag: String::new(),
                local_pwd: String::new(),
                remote_ufrag: None,
            },
            fingerprint: Fingerprint {
                algorithm: FingerprintAlgorithm::Sha256,
                digest: Vec::new(),
            },
        }
    }
}

/// A certificate hash from `a=fingerprint` (RFC 8122, 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Which hash.
    pub algorithm: FingerprintAlgorithm,
    /// The hash itself.
    pub digest: Vec<u8>,
}

/// The hash functions we accept; weaker ones are refused in SDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FingerprintAlgorithm {
    /// SHA-256, what browsers send.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A publisher's leg.
#[derive(Debug, Clone)]
pub struct PublicationConfig {
    /// Which publication.
    pub id: PublicationId,
    /// What it is published together with.
    pub group: GroupId,
    /// Its transport.
    pub transport: TransportConfig,
    /// At most one per kind.
    pub tracks: Vec<InboundTrackConfig>,
}

/// A publication that lives at another worker.
#[derive(Debug, Clone)]
pub struct MirrorConfig {
    /// Which publication.
    pub id: PublicationId,
    /// What it is published together with.
    pub group: GroupId,
    /// Where it lives.
    pub origin: WorkerId,
    /// Its tracks, as there.
    pub tracks: Vec<InboundTrackConfig>,
}

/// One `m=` section of a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundTrackConfig {
    /// Audio or video.
    pub kind: MediaKind,
    /// Its `a=mid`; packets of an undeclared SSRC are matched by it (RFC 8843, 9.2).
    pub mid: String,
    /// SSRCs named in the offer, RTX excluded. Empty: learned from mid, rid or payload type.
    pub ssrcs: Vec<u32>,
    /// Pairs of (media SSRC, its RTX SSRC) from `a=ssrc-group:FID`.
    pub rtx_ssrcs: Vec<(u32, u32)>,
    /// How its simulcast layers are told apart.
    pub simulcast: Simulcast,
    /// Payload types in the publisher's numbering.
    pub codecs: Vec<InboundCodec>,
    /// Header extensions in the publisher's numbering.
    pub extensions: ExtensionMap,
    /// Whether payloads are encrypted end to end, so that nothing is to be read of them.
    pub encrypted: bool,
}

/// The simulcast layers of a track, lowest first (`protocol/signaling.md`, 13.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Simulcast {
    /// One layer, whatever its SSRC is.
    #[default]
    Off,
    /// Layers by SSRC, from `a=ssrc-group:SIM`.
    Ssrcs(Vec<u32>),
    /// Layers by `a=rid` (RFC 8853).
    Rids(Vec<String>),
}

impl Simulcast {
    /// How many layers it has.
    pub(super) fn layers(&self) -> usize {
        match self {
            Self::Off => 1,
            Self::Ssrcs(ssrcs) => ssrcs.len(),
            Self::Rids(rids) => rids.len(),
        }
    }
}

/// A codec as the publisher numbers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundCodec {
    /// Payload type of media.
    pub pt: u8,
    /// Payload type of its retransmissions (RFC 4588), if agreed.
    pub rtx_pt: Option<u8>,
    /// What it is.
    pub codec: Codec,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
}

/// The codecs we forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// Redundant audio (RFC 2198), carrying Opus.
    Red,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// AV1 RTP payload, AOMedia.
    Av1,
}

impl Codec {
    /// Its media type, as browsers write it (`mimeType` of webrtc-stats).
    pub fn mime_type(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Red => "audio/red",
            Self::Vp8 => "video/VP8",
            Self::Vp9 => "video/VP9",
            Self::H264 => "video/H264",
            Self::Av1 => "video/AV1",
        }
    }
}

/// A subscription, and the leg it goes over.
#[derive(Debug, Clone)]
pub struct SubscriptionConfig {
    /// Which subscription.
    pub id: SubscriptionId,
    /// Whose.
    pub client: ClientId,
    /// Whether its leg is [`Leg::Shared`].
    pub shared: bool,
    /// What it receives.
    pub publication: PublicationId,
    /// Whether that is a screen, which is served before cameras.
    pub screen: bool,
    /// Its leg's transport.
    pub transport: TransportConfig,
    /// What is wanted at the start.
    pub wanted: Wanted,
    /// At most one per kind; sections the subscriber refused are missing.
    pub tracks: Vec<OutboundTrackConfig>,
}

impl SubscriptionConfig {
    /// The leg it goes over.
    pub(super) fn leg(&self) -> Leg {
        match self.shared {
            true => Leg::Shared(self.client),
            false => Leg::Subscriber(self.id),
        }
    }
}

/// One `m=` section towards a subscriber.
#[derive(Debug, Clone)]
pub struct OutboundTrackConfig {
    /// Audio or video.
    pub kind: MediaKind,
    /// Its `a=mid`.
    pub mid: String,
    /// The SSRC we announced for media.
    pub ssrc: u32,
    /// The SSRC we announced for retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// How payload types translate. What is not listed is not forwarded.
    pub payload_types: Vec<PayloadTypeMap>,
    /// How redundant audio is numbered, if it was agreed and can be made.
    pub redundancy: Option<Redundancy>,
    /// Header extensions in the subscriber's numbering.
    pub extensions: ExtensionMap,
}

/// Redundant audio (RFC 2198) in the subscriber's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundancy {
    /// The payload type of packets.
    pub outbound: u8,
    /// The payload type of what is inside, Opus.
    pub inside: u8,
}

/// One payload type, from the publisher's number to the subscriber's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadTypeMap {
    /// The publisher's number.
    pub inbound: u8,
    /// The subscriber's number.
    pub outbound: u8,
    /// The subscriber's number for retransmissions, if it answered with RTX.
    pub outbound_rtx: Option<u8>,
}

/// Header extension ids by meaning (RFC 8285); `None` where not agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionMap {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid`.
    pub mid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`.
    pub rid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id`.
    pub repaired_rid: Option<u8>,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`.
    pub abs_send_time: Option<u8>,
    /// `http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01`.
    pub transport_cc: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464).
    pub audio_level: Option<u8>,
    /// `urn:3gpp:video-orientation`.
    pub video_orientation: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:toffset` (RFC 5450).
    pub toffset: Option<u8>,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/playout-delay`.
    pub playout_delay: Option<u8>,
    /// `https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension`.
    pub dependency_descriptor: Option<u8>,
}

/// What the negotiator needs to know of the outside to write SDP; the same for every leg but for
/// the worker.
#[derive(Debug, Clone)]
pub struct LocalEndpoint {
    /// What is announced, best first.
    pub candidates: Vec<Candidate>,
    /// Hashes of our two DTLS certificates (see [`Generation`]).
    pub fingerprints: [Fingerprint; 2],
    /// The worker that new legs live at.
    pub worker: WorkerId,
}
