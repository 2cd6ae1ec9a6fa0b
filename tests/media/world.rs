//! An engine with peers around it, on an invented clock and an in-memory network.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parlor::clock::{Clock, Epoch};
use parlor::entropy::Entropy;
use parlor::rtp::extension::Element;
use parlor::rtp::header::{Header, MAX_LEN, Outgoing};
use parlor::sfu::command::{
    Codec, Command, EngineEvent, ExtensionMap, Fingerprint, FingerprintAlgorithm, IceCredentials,
    InboundCodec, InboundTrackConfig, OutboundTrackConfig, PayloadTypeMap, PublicationConfig,
    Simulcast, SubscriptionConfig, TransportConfig,
};
use parlor::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use parlor::sfu::engine::Engine;
use parlor::sfu::handshake::{HandshakeOutput, SrtpKeys};
use parlor::sfu::parcel::Parcel;
use parlor::sfu::path::{Path, Via};
use parlor::sfu::worker::WorkerId;
use parlor::sfu::{ClientId, GroupId, Leg, MediaKind, PublicationId, SubscriptionId, Wanted};
use parlor::srtp::mac::MacQueue;
use parlor::srtp::{MasterKey, Opener, Profile, Sealer};
use ring::hmac;

pub const VP8: u8 = 96;
pub const VP8_RTX: u8 = 97;
pub const OPUS: u8 = 111;
pub const RED: u8 = 63;
pub const VIDEO_SSRC: u32 = 1_000;
pub const VIDEO_RTX_SSRC: u32 = 1_001;
pub const AUDIO_SSRC: u32 = 2_000;
pub const OUT_VP8: u8 = 100;
pub const OUT_VP8_RTX: u8 = 101;
pub const OUT_OPUS: u8 = 109;
pub const OUT_RED: u8 = 110;

pub const CM: Profile = Profile::Aes128CmHmacSha1_80;

/// What was sent, datagram by datagram.
#[derive(Debug, Default)]
pub struct Net {
    pub sent: Vec<(Vec<u8>, SocketAddr)>,
    /// The way that each of them took, also of those that were taken out of `sent`.
    pub ways: Vec<Via>,
}

impl Transmit for Net {
    fn transmit(&mut self, slab: &SendSlab) {
        for (bytes, to) in slab.datagrams() {
            self.sent.push((bytes.to_vec(), to.remote));
            self.ways.push(to.via);
        }
    }
}

/// A client at the other end of one leg.
pub struct Peer {
    pub leg: Leg,
    pub address: SocketAddr,
    pub ice: IceCredentials,
    opener: Opener,
    sealer: Sealer,
    keys: SrtpKeys,
}

/// A decrypted RTP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub header: Header,
    pub payload: Vec<u8>,
    pub elements: Vec<(u8, Vec<u8>)>,
}

impl Peer {
    pub fn new(leg: Leg, port: u16, profile: Profile) -> Self {
        let id = port as u8;
        let key = |mark: u8| MasterKey {
            key: [id ^ mark; 16],
            salt: [id.wrapping_add(mark); 14],
        };
        let keys = SrtpKeys {
            profile,
            inbound: key(1),
            outbound: key(2),
        };
        Self {
            leg,
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            ice: credentials(&leg.to_string()),
            opener: Opener::new(profile, &keys.outbound),
            sealer: Sealer::new(profile, &keys.inbound),
            keys,
        }
    }

    pub fn transport(&self) -> TransportConfig {
        let fingerprint = Fingerprint {
            algorithm: FingerprintAlgorithm::Sha256,
            digest: vec![7; 32],
        };
        TransportConfig {
            ice: self.ice.clone(),
            fingerprint,
        }
    }

    /// An offer of ours to it: nothing is known of it yet.
    pub fn offer(&self) -> Command {
        let ice = IceCredentials {
            remote_ufrag: None,
            ..self.ice.clone()
        };
        Command::Offer { leg: self.leg, ice }
    }

    /// A Binding request.
    pub fn check(&self, nominate: bool) -> Vec<u8> {
        binding_request(&self.ice, nominate)
    }

    /// Handshake output that keys this leg.
    pub fn keys(&self) -> HandshakeOutput {
        HandshakeOutput::Keys {
            leg: self.leg,
            keys: Box::new(self.keys.clone()),
        }
    }

    /// Handshake output that gives this leg other keys; what follows is under them.
    pub fn rekey(&mut self) -> HandshakeOutput {
        for master in [&mut self.keys.inbound, &mut self.keys.outbound] {
            master.key[0] = master.key[0].wrapping_add(1);
        }
        let profile = self.keys.profile;
        self.opener = Opener::new(profile, &self.keys.outbound);
        self.sealer = Sealer::new(profile, &self.keys.inbound);
        self.keys()
    }

    /// A sealed RTP packet.
    pub fn rtp(
        &mut self,
        (ssrc, payload_type): (u32, u8),
        index: u64,
        timestamp: u32,
        elements: &[Element<'_>],
        payload: &[u8],
    ) -> Vec<u8> {
        self.marked(
            (ssrc, payload_type),
            index,
            timestamp,
            elements,
            payload,
            false,
        )
    }

    /// A sealed RTP packet that says whether its picture ends with it.
    pub fn marked(
        &mut self,
        (ssrc, payload_type): (u32, u8),
        index: u64,
        timestamp: u32,
        elements: &[Element<'_>],
        payload: &[u8],
        marker: bool,
    ) -> Vec<u8> {
        let mut slab = vec![0; MAX_LEN + payload.len() + 32];
        let header_len = Outgoing {
            marker,
            payload_type,
            sequence: index as u16,
            timestamp,
            ssrc,
            elements,
        }
        .write(&mut slab);
        let mut macs = MacQueue::new();
        let len = self
            .sealer
            .seal_rtp(&mut slab, 0, header_len, payload, index, &mut macs);
        macs.finish(&mut slab);
        slab.truncate(len);
        slab
    }

    /// A packet of video: the first of a VP8 key frame, or of another frame.
    pub fn video(&mut self, index: u64, keyframe: bool) -> Vec<u8> {
        let timestamp = (index as u32).wrapping_mul(3_000);
        self.rtp(
            (VIDEO_SSRC, VP8),
            index,
            timestamp,
            &[],
            &vp8(index, keyframe),
        )
    }

    /// A packet of audio.
    pub fn audio(&mut self, index: u64) -> Vec<u8> {
        self.sound(index, 0x85)
    }

    /// A packet of audio with its level (RFC 6464).
    pub fn sound(&mut self, index: u64, level: u8) -> Vec<u8> {
        let timestamp = (index as u32).wrapping_mul(960);
        let elements: [Element<'_>; 1] = [(1, &[level])];
        let kind = (AUDIO_SSRC, OPUS);
        self.rtp(kind, index, timestamp, &elements, b"opus payload")
    }

    /// Sealed RTCP.
    pub fn rtcp(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0; plain.len() + 64];
        let len = self.sealer.seal_rtcp(plain, &mut out);
        out.truncate(len);
        out
    }

    /// Decrypts what was sent to this peer: RTP, then RTCP.
    pub fn open(&mut self, net: &mut Net) -> (Vec<Received>, Vec<Vec<u8>>) {
        let (mut media, mut feedback) = (Vec::new(), Vec::new());
        for (mut bytes, to) in std::mem::take(&mut net.sent) {
            if to != self.address {
                net.sent.push((bytes, to));
            } else if matches!(bytes[1], 192..=223) {
                let len = self.opener.open_rtcp(&mut bytes).expect("authentic RTCP");
                bytes.truncate(len);
                feedback.push(bytes);
            } else if bytes[0] >= 128 {
                let len = self.opener.open_rtp(&mut bytes).expect("authentic RTP");
                bytes.truncate(len);
                media.push(received(&bytes));
            }
        }
        (media, feedback)
    }
}

fn received(bytes: &[u8]) -> Received {
    let header = Header::parse(bytes).expect("a whole packet");
    let elements = header
        .elements(bytes)
        .map(|(id, data)| (id, data.to_vec()))
        .collect();
    Received {
        payload: bytes[header.payload.clone()].to_vec(),
        elements,
        header,
    }
}

/// What a worker does with a batch, once; whether there is more to do.
pub fn step(
    engine: &mut Engine,
    slab: &mut ReceiveSlab,
    now: Instant,
    net: &mut impl Transmit,
) -> bool {
    let left = slab.has_more() && engine.handle_datagrams(slab, now, net);
    engine.forward(now, net) || left
}

/// The same with a parcel.
pub fn step_parcel(
    engine: &mut Engine,
    parcel: &mut Parcel,
    now: Instant,
    net: &mut impl Transmit,
) -> bool {
    let left = engine.handle_parcel(parcel, now, net);
    engine.forward(now, net) || left
}

/// A VP8 payload that names its packet.
pub fn vp8(index: u64, keyframe: bool) -> Vec<u8> {
    let mut payload = vec![0x10, u8::from(!keyframe), 0, 0, 0x9d, 0x01, 0x2a];
    payload.extend_from_slice(&index.to_be_bytes());
    payload
}

pub fn credentials(name: &str) -> IceCredentials {
    IceCredentials {
        local_ufrag: name.into(),
        local_pwd: format!("{name}-password-of-22-characters"),
        remote_ufrag: Some(format!("{name}-remote")),
    }
}

/// The engine and its surroundings.
pub struct World {
    pub engine: Engine,
    pub net: Net,
    pub now: Instant,
    slab: ReceiveSlab,
}

impl World {
    pub fn new() -> Self {
        let epoch = Clock::system().epoch();
        Self::around(Engine::new(Entropy::from_seed(1), epoch), epoch)
    }

    /// The worlds of two workers.
    pub fn pair() -> [Self; 2] {
        let epoch = Clock::system().epoch();
        let mut workers = WorkerId::first(2);
        [1, 2].map(|seed| {
            let worker = workers.next().expect("two workers");
            let engine = Engine::new(Entropy::from_seed(seed), epoch).among(worker, 2);
            Self::around(engine, epoch)
        })
    }

    fn around(engine: Engine, epoch: Epoch) -> Self {
        Self {
            engine,
            net: Net::default(),
            now: epoch.instant,
            slab: ReceiveSlab::new(64),
        }
    }

    pub fn command(&mut self, command: Command) {
        self.engine.handle_command(command, self.now, &mut self.net);
    }

    /// One batch of datagrams.
    pub fn receive<'a, P>(&mut self, datagrams: impl IntoIterator<Item = (&'a [u8], P)>)
    where
        P: Into<Path>,
    {
        self.slab.clear();
        for (bytes, from) in datagrams {
            self.slab.push(bytes, from);
        }
        while step(&mut self.engine, &mut self.slab, self.now, &mut self.net) {}
    }

    /// One datagram.
    pub fn receive_one(&mut self, bytes: &[u8], from: impl Into<Path>) {
        self.receive([(bytes, from)]);
    }

    /// Lets time pass, doing what becomes due when it does.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now, &mut self.net);
        }
        self.now = end;
    }

    pub fn events(&mut self) -> Vec<EngineEvent> {
        std::iter::from_fn(|| self.engine.poll_event()).collect()
    }

    /// A nominated check.
    pub fn check(&mut self, peer: &Peer) {
        self.receive_one(&peer.check(true), peer.address);
    }

    /// A publisher that is added, checked and keyed.
    pub fn publisher(&mut self, id: u64, port: u16, profile: Profile) -> Peer {
        let peer = Peer::new(Leg::Publisher(PublicationId(id)), port, profile);
        let config = publication(PublicationId(id), peer.transport());
        self.command(Command::AddPublication(Box::new(config)));
        self.connect(&peer);
        peer
    }

    /// A subscriber that is added, checked and keyed.
    pub fn subscriber(&mut self, id: u64, publication: u64, port: u16, profile: Profile) -> Peer {
        let peer = Peer::new(Leg::Subscriber(SubscriptionId(id)), port, profile);
        let config = subscription(
            SubscriptionId(id),
            PublicationId(publication),
            peer.transport(),
        );
        self.command(Command::AddSubscription(Box::new(config)));
        self.connect(&peer);
        peer
    }

    pub fn connect(&mut self, peer: &Peer) {
        self.check(peer);
        self.engine
            .handle_handshake(peer.keys(), self.now, &mut self.net);
        assert_eq!(self.events(), [EngineEvent::Connected(peer.leg)]);
        self.net
            .sent
            .retain(|(bytes, to)| *to != peer.address || bytes[0] >= 128);
    }
}

pub fn publication(id: PublicationId, transport: TransportConfig) -> PublicationConfig {
    let codec = |pt, rtx_pt, codec, clock_rate| InboundCodec {
        pt,
        rtx_pt,
        codec,
        clock_rate,
    };
    let extensions = ExtensionMap {
        audio_level: Some(1),
        transport_cc: Some(3),
        mid: Some(4),
        ..ExtensionMap::default()
    };
    PublicationConfig {
        id,
        group: GroupId(1),
        transport,
        tracks: vec![
            InboundTrackConfig {
                kind: MediaKind::Audio,
                mid: "0".into(),
                ssrcs: vec![AUDIO_SSRC],
                rtx_ssrcs: Vec::new(),
                simulcast: Simulcast::Off,
                codecs: vec![
                    codec(OPUS, None, Codec::Opus, 48_000),
                    codec(RED, None, Codec::Red, 48_000),
                ],
                extensions,
                encrypted: false,
            },
            InboundTrackConfig {
                kind: MediaKind::Video,
                mid: "1".into(),
                ssrcs: vec![VIDEO_SSRC],
                rtx_ssrcs: vec![(VIDEO_SSRC, VIDEO_RTX_SSRC)],
                simulcast: Simulcast::Off,
                codecs: vec![codec(VP8, Some(VP8_RTX), Codec::Vp8, 90_000)],
                extensions,
                encrypted: false,
            },
        ],
    }
}

/// SSRC of a subscription's video; audio has the next, retransmissions the one after.
pub fn out_ssrc(id: u64) -> u32 {
    10_000 + 10 * id as u32
}

pub fn subscription(
    id: SubscriptionId,
    publication: PublicationId,
    transport: TransportConfig,
) -> SubscriptionConfig {
    let map = |inbound, outbound, outbound_rtx| PayloadTypeMap {
        inbound,
        outbound,
        outbound_rtx,
    };
    let extensions = ExtensionMap {
        mid: Some(9),
        abs_send_time: Some(2),
        transport_cc: Some(5),
        audio_level: Some(6),
        ..ExtensionMap::default()
    };
    let ssrc = out_ssrc(id.0);
    SubscriptionConfig {
        id,
        client: ClientId(id.0),
        shared: false,
        publication,
        screen: false,
        transport,
        wanted: Wanted::default(),
        tracks: vec![
            OutboundTrackConfig {
                kind: MediaKind::Video,
                mid: "v".into(),
                ssrc,
                rtx_ssrc: Some(ssrc + 2),
                payload_types: vec![map(VP8, OUT_VP8, Some(OUT_VP8_RTX))],
                redundancy: None,
                extensions,
            },
            OutboundTrackConfig {
                kind: MediaKind::Audio,
                mid: "a".into(),
                ssrc: ssrc + 1,
                rtx_ssrc: None,
                payload_types: vec![map(OPUS, OUT_OPUS, None)],
                redundancy: None,
                extensions,
            },
        ],
    }
}

/// A subscription that goes over its client's shared leg.
pub fn shared_subscription(
    client: ClientId,
    id: u64,
    publication: u64,
    transport: TransportConfig,
) -> SubscriptionConfig {
    SubscriptionConfig {
        client,
        shared: true,
        ..subscription(SubscriptionId(id), PublicationId(publication), transport)
    }
}

/// A STUN Binding request as a controlling agent writes it (RFC 8445, 7.2).
fn binding_request(ice: &IceCredentials, nominate: bool) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend_from_slice(&[5; 12]);
    let theirs = ice.remote_ufrag.as_deref().unwrap_or_default();
    let username = format!("{}:{theirs}", ice.local_ufrag);
    attribute(&mut message, 0x0006, username.as_bytes());
    attribute(&mut message, 0x802a, &[1; 8]);
    if nominate {
        attribute(&mut message, 0x0025, &[]);
    }
    set_len(&mut message, 24);
    let key = hmac::Key::new(
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        ice.local_pwd.as_bytes(),
    );
    let tag = hmac::sign(&key, &message);
    attribute(&mut message, 0x0008, tag.as_ref());
    attribute(&mut message, 0x8028, &[0; 4]);
    mend_fingerprint(&message)
}

/// The message with its length and the checksum of its last attribute made right
/// (RFC 8489, 14.7).
pub fn mend_fingerprint(message: &[u8]) -> Vec<u8> {
    let mut mended = message.to_vec();
    let Some(at) = message.len().checked_sub(8).filter(|at| *at >= 20) else {
        return mended;
    };
    set_len(&mut mended, 0);
    let crc = !mended[..at].iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    });
    mended[at..at + 4].copy_from_slice(&[0x80, 0x28, 0, 4]);
    mended[at + 4..].copy_from_slice(&(crc ^ 0x5354_554e).to_be_bytes());
    mended
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Declares that `more` bytes of attributes follow.
fn set_len(message: &mut [u8], more: usize) {
    let len = (message.len() - 20 + more) as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
}
