//! What arrives on the media port: STUN, DTLS, and packets, sealed with the right keys and not.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parlor::clock::Clock;
use parlor::rtp::rtcp::Compound;
use parlor::sfu::command::{Fingerprint, FingerprintAlgorithm, Generation};
use parlor::sfu::dtls::{Certificate, Handshakes};
use parlor::sfu::handshake::{HandshakeInput, HandshakeOutput};
use parlor::sfu::stun::{BindingRequest, MAX_RESPONSE_LEN};
use parlor::sfu::{Leg, PublicationId};
use parlor::srtp::{MasterKey, Opener, Profile};

use super::split::parts;
use world::{
    AUDIO_SSRC, CM, Peer, RED, VIDEO_RTX_SSRC, VIDEO_SSRC, VP8, VP8_RTX, World, mend_fingerprint,
    out_ssrc,
};

#[allow(dead_code, unreachable_pub, missing_debug_implementations)]
#[path = "../../tests/media/world.rs"]
mod world;

/// Most messages of one input: longer ones find nothing more.
const MAX_MESSAGES: usize = 64;

fn epoch() -> Instant {
    Clock::system().epoch().instant
}

/// A Binding request, as it is and with its checksum mended.
pub fn stun(data: &[u8]) {
    binding(data);
    binding(&mend_fingerprint(data));
}

fn binding(data: &[u8]) {
    let Some(request) = BindingRequest::parse(data) else {
        return;
    };
    let _ = request.verify("password-of-22-characters");
    assert!(request.local_ufrag().len() + request.remote_ufrag().len() < data.len());
    for from in ["192.0.2.1:5000", "[2001:db8::1]:5000"] {
        let from: SocketAddr = from.parse().expect("an address");
        let mut out = [0; MAX_RESPONSE_LEN];
        let len = request.write_success(from, "password", &mut out);
        assert_eq!(out[4..20], data[4..20], "cookie and transaction");
        assert!(len <= MAX_RESPONSE_LEN);
        assert!(request.write_role_conflict("password", &mut out) <= MAX_RESPONSE_LEN);
    }
}

/// Datagrams of one handshake, after whatever of it was real.
pub fn dtls(data: &[u8]) {
    static CERTIFICATES: OnceLock<[Certificate; 2]> = OnceLock::new();
    let certificates = CERTIFICATES.get_or_init(|| Certificate::generate_pair().expect("both"));
    let mut handshakes = Handshakes::new(certificates.clone()).expect("DTLS");
    let fingerprint = Arc::new(Fingerprint {
        algorithm: FingerprintAlgorithm::Sha256,
        digest: vec![7; 32],
    });
    let mut now = epoch();
    for part in parts(data).take(MAX_MESSAGES) {
        let input = HandshakeInput::Datagram {
            leg: Leg::Publisher(PublicationId(1)),
            fingerprint: fingerprint.clone(),
            generation: Generation::default(),
            bytes: part.to_vec(),
        };
        handshakes.handle_input(input, now);
        now += Duration::from_millis(200);
        if handshakes.poll_timeout().is_some_and(|at| at <= now) {
            handshakes.handle_timeout(now);
        }
        while let Some(output) = handshakes.poll_output() {
            assert!(!matches!(output, HandshakeOutput::Keys { .. }));
        }
    }
    // A handshake that goes no further ends.
    for _ in 0..MAX_MESSAGES {
        let Some(at) = handshakes.poll_timeout() else {
            return;
        };
        now = now.max(at);
        handshakes.handle_timeout(now);
        while handshakes.poll_output().is_some() {}
    }
    panic!("a handshake without end");
}

/// Datagrams that nobody sealed: none opens.
pub fn srtp(data: &[u8]) {
    let key = MasterKey {
        key: [3; 16],
        salt: [4; 14],
    };
    for profile in [Profile::Aes128CmHmacSha1_80, Profile::AeadAes128Gcm] {
        let mut opener = Opener::new(profile, &key);
        for part in parts(data).take(MAX_MESSAGES) {
            assert!(opener.open_rtp(&mut part.to_vec()).is_err());
            assert!(opener.open_rtcp(&mut part.to_vec()).is_err());
        }
    }
}

/// A session whose members have good keys and send nonsense.
///
/// The first byte of a message says what the rest is and who sends it, the second how much time
/// passes and what it is called.
pub fn engine(data: &[u8]) {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let first = publisher.video(1, true);
    world.receive_one(&first, publisher.address);
    let mut index = 70_000;
    for part in parts(data).take(MAX_MESSAGES) {
        let [action, number, body @ ..] = part else {
            continue;
        };
        index += u64::from(*number) + 1;
        let (datagram, from) = message(
            *action,
            *number,
            index,
            body,
            &mut publisher,
            &mut subscriber,
        );
        world.receive_one(&datagram, from);
        world.advance(Duration::from_millis((*number).into()));
        while world.engine.poll_event().is_some() {}
        while world.engine.poll_handshake().is_some() {}
    }
    // What went out is authentic, and no number was used twice: the opener would notice.
    let (media, feedback) = subscriber.open(&mut world.net);
    assert!(!media.is_empty());
    for datagram in &feedback {
        assert!(Compound::new(datagram).count() > 0);
    }
    publisher.open(&mut world.net);
}

fn message(
    action: u8,
    number: u8,
    index: u64,
    body: &[u8],
    publisher: &mut Peer,
    subscriber: &mut Peer,
) -> (Vec<u8>, SocketAddr) {
    /// Longest body: with everything around it a datagram still fits a slot.
    const MAX_BODY: usize = 1200;
    let body = &body[..body.len().min(MAX_BODY)];
    let timestamp = index as u32 * 300;
    match action % 9 {
        0 => (body.to_vec(), publisher.address),
        1 => (body.to_vec(), subscriber.address),
        2 => {
            let names = (VIDEO_SSRC, VP8);
            let packet = publisher.rtp(names, index, timestamp, &[], body);
            (packet, publisher.address)
        }
        3 => {
            let (element, payload) = body.split_at(body.len().min(16));
            let elements = [(4, &b"1"[..]), (number % 15, element)];
            let names = (VIDEO_SSRC, VP8);
            let packet = publisher.rtp(names, index, timestamp, &elements, payload);
            (packet, publisher.address)
        }
        4 => {
            let names = (VIDEO_RTX_SSRC, VP8_RTX);
            let packet = publisher.rtp(names, index, timestamp, &[], body);
            (packet, publisher.address)
        }
        5 => {
            let names = (u32::from(number % 50), number % 128);
            let packet = publisher.rtp(names, index, timestamp, &[(4, b"1")], body);
            (packet, publisher.address)
        }
        6 => (publisher.rtcp(&rtcp(body)), publisher.address),
        7 => (subscriber.rtcp(&rtcp(body)), subscriber.address),
        _ => {
            let packet = publisher.rtp((AUDIO_SSRC, RED), index, timestamp, &[], body);
            (packet, publisher.address)
        }
    }
}

/// RTCP with the stream's name where most kinds have it, as a peer would write it.
fn rtcp(body: &[u8]) -> Vec<u8> {
    let [head, kind, rest @ ..] = body else {
        return vec![0x80, 200, 0, 0, 0, 0, 0, 0];
    };
    let mut plain = vec![0x80 | head & 0x3f, 200 | kind & 7, 0, 0];
    plain.extend_from_slice(&1u32.to_be_bytes());
    let ssrc = if kind & 8 == 0 {
        out_ssrc(1)
    } else {
        VIDEO_SSRC
    };
    plain.extend_from_slice(&ssrc.to_be_bytes());
    plain.extend_from_slice(rest);
    plain.resize(plain.len().next_multiple_of(4), 0);
    let words = (plain.len() / 4 - 1) as u16;
    plain[2..4].copy_from_slice(&words.to_be_bytes());
    plain
}
