//! Handshakes with the DTLS library on the other side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rtc::dtls::config::{ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile as Srtp;
use rtc::shared::TransportProtocol;

use super::*;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::sfu::command::{Fingerprint, Generation};
use crate::sfu::handshake::SrtpKeys;
use crate::sfu::{CloseReason, SubscriptionId};
use crate::srtp::Profile;

const LEG: Leg = Leg::Subscriber(SubscriptionId(1));

/// As Chromium lists them.
const BOTH: &[Srtp] = &[
    Srtp::Srtp_Aes128_Cm_Hmac_Sha1_80,
    Srtp::Srtp_Aead_Aes_128_Gcm,
];
const ONLY_CM: &[Srtp] = &[Srtp::Srtp_Aes128_Cm_Hmac_Sha1_80];

#[test]
fn a_client_that_knows_gcm_gets_it_and_both_sides_have_the_same_keys() {
    let mut world = World::new(Client::default());
    world.run();
    assert_eq!(world.keys().profile, Profile::AeadAes128Gcm);
    world.check_keys(12);
}

#[test]
fn a_client_without_gcm_gets_aes_cm() {
    let mut world = World::new(Client {
        profiles: ONLY_CM,
        ..Client::default()
    });
    world.run();
    assert_eq!(world.keys().profile, Profile::Aes128CmHmacSha1_80);
    world.check_keys(14);
}

#[test]
fn a_hello_in_fragments_is_put_together() {
    for profiles in [BOTH, ONLY_CM] {
        let mut world = World::new(Client {
            profiles,
            mtu: 60,
            ..Client::default()
        });
        world.run();
        let gcm = world.keys().profile == Profile::AeadAes128Gcm;
        assert_eq!(gcm, profiles.len() == 2);
    }
}

#[test]
fn a_hello_as_long_as_post_quantum_ones_is_put_together() {
    for mtu in [1200, 300] {
        // The key share of X25519MLKEM768 has 1216 bytes; this has as many in another place.
        let mut world = World::new(Client {
            mtu,
            padding: 1500,
            ..Client::default()
        });
        world.client_to_server();
        let lens: Vec<_> = world.client_flight.iter().map(Vec::len).collect();
        assert!(
            lens.iter().sum::<usize>() > 1600 && lens.len() > 1,
            "{lens:?}"
        );
        world.run();
        assert_eq!(world.keys().profile, Profile::AeadAes128Gcm);
        world.check_keys(12);
    }
}

#[test]
fn lost_datagrams_are_made_up_for() {
    for seed in 0..40 {
        for mtu in [1200, 200] {
            let mut world = World::new(Client {
                mtu,
                ..Client::default()
            });
            world.loss = Some((25, Entropy::from_seed(seed)));
            world.run();
            assert!(world.keys.is_some(), "seed {seed}, mtu {mtu}");
        }
    }
}

#[test]
fn another_certificate_than_promised_is_refused() {
    let mut world = World::new(Client::default());
    let mut wrong = (*world.promised).clone();
    wrong.digest[31] ^= 1;
    world.promised = Arc::new(wrong);
    world.run();
    assert!(world.keys.is_none());
    assert_eq!(world.closed, Some(CloseReason::DtlsFailed));
}

#[test]
fn a_client_must_show_a_certificate_and_bind_its_session() {
    for client in [
        Client {
            anonymous: true,
            ..Client::default()
        },
        Client {
            extended: ExtendedMasterSecretType::Disable,
            ..Client::default()
        },
        Client {
            profiles: &[],
            ..Client::default()
        },
        Client {
            profiles: &[Srtp::Srtp_Aes128_Cm_Hmac_Sha1_32],
            ..Client::default()
        },
    ] {
        let mut world = World::new(client);
        world.run();
        assert!(world.keys.is_none());
        assert_eq!(world.closed, Some(CloseReason::DtlsFailed));
    }
}

#[test]
fn a_silent_client_is_given_up_after_thirty_seconds() {
    let mut world = World::new(Client::default());
    world.client_to_server();
    world.mute = true;
    let start = world.now;
    world.run();
    assert_eq!(world.closed, Some(CloseReason::DtlsFailed));
    assert_eq!(world.now - start, Duration::from_secs(30));
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn half_a_hello_is_given_up_too() {
    let mut world = World::new(Client {
        mtu: 60,
        ..Client::default()
    });
    let first = world.client.poll_transmit().unwrap();
    world.feed(&first.message[..]);
    world.mute = true;
    world.run();
    assert_eq!(world.closed, Some(CloseReason::DtlsFailed));
}

#[test]
fn both_ends_can_say_good_bye() {
    let mut world = World::new(Client::default());
    world.run();
    world.client.close(world.now).unwrap();
    world.run();
    assert_eq!(world.closed, Some(CloseReason::PeerClosed));

    let mut world = World::new(Client::default());
    world.run();
    world
        .server
        .handle_input(HandshakeInput::Stop { leg: LEG }, world.now);
    world.run();
    assert!(world.client_saw_close);
    assert_eq!(world.closed, None, "the engine knows");
    assert!(world.server.associations.is_empty());
}

#[test]
fn an_association_sleeps_after_its_handshake_and_still_answers_whoever_missed_its_end() {
    let mut world = World::new(Client::default());
    world.run();
    assert!(world.server.associations[&LEG].is_asleep());
    world.client_send(world.client_flight.clone());
    let Some(HandshakeOutput::Datagram { bytes, .. }) = world.server.poll_output() else {
        panic!("no answer");
    };
    assert_eq!(bytes[0], 20, "our last flight begins with ChangeCipherSpec");
    assert!(world.server.associations[&LEG].is_asleep());
    world.client.close(world.now).unwrap();
    world.run();
    assert_eq!(world.closed, Some(CloseReason::PeerClosed));
}

#[test]
fn a_client_that_is_shown_another_certificate_changes_keys_and_may_say_good_bye_before() {
    for says_good_bye in [false, true] {
        let mut world = World::new(Client::default());
        world.run();
        let before = (world.keys().outbound.key, world.server_certificate());
        world.generation = world.generation.next();
        if says_good_bye {
            world.client.close(world.now).unwrap();
        }
        world.run();
        world.reconnect();
        world.run();
        assert_eq!(world.closed, None);
        world.check_keys(12);
        let after = (world.keys().outbound.key, world.server_certificate());
        assert!(before.0 != after.0 && before.1 != after.1);
        assert_eq!(world.server.poll_timeout(), None);
        world.client.close(world.now).unwrap();
        world.run();
        assert_eq!(world.closed, Some(CloseReason::PeerClosed));
    }
}

#[test]
fn nobody_begins_another_association_unasked() {
    let mut world = World::new(Client::default());
    world.run();
    world.keys = None;
    world.reconnect();
    for _ in 0..20 {
        world.client_to_server();
        world.server_to_client();
    }
    assert!(world.keys.is_none() && world.closed.is_none());
}

#[test]
fn a_change_of_keys_that_fails_ends_nothing_and_may_be_tried_again() {
    let mut world = World::new(Client::default());
    world.run();
    world.keys = None;
    world.generation = world.generation.next();
    world.reconnect();
    world.client_to_server();
    let start = world.now;
    while let Some(at) = world.server.poll_timeout() {
        world.now = at;
        world.server.handle_timeout(at);
    }
    assert_eq!(world.now - start, Duration::from_secs(30));
    while let Some(output) = world.server.poll_output() {
        assert!(matches!(output, HandshakeOutput::Datagram { .. }));
    }
    world.reconnect();
    world.run();
    world.check_keys(12);
}

#[test]
fn established_associations_shrug_off_garbage_and_forged_records() {
    let mut world = World::new(Client::default());
    world.run();
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    let data = [23, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 98, 0, 1, 0];
    let fragment = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 97, 0, 3, 1, 0, 0];
    for _ in 0..100 {
        for bytes in [&alert[..], &data, &fragment, b"garbage", &[]] {
            world.feed(bytes);
        }
    }
    world.run();
    assert_eq!(world.closed, None);
    world.client.close(world.now).unwrap();
    world.run();
    assert_eq!(world.closed, Some(CloseReason::PeerClosed));
}

#[test]
fn only_a_client_hello_begins_an_association() {
    let mut world = World::new(Client::default());
    world.feed(&[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0]);
    world.feed(b"garbage");
    assert!(world.server.associations.is_empty());
    world
        .server
        .handle_input(HandshakeInput::Stop { leg: LEG }, world.now);
    assert!(world.server.poll_output().is_none());
}

#[test]
fn a_flood_of_fragments_is_cut_off() {
    let mut world = World::new(Client::default());
    world.client_to_server();
    // Each says to be one byte of a long message that never completes.
    for n in 0..20_000_u32 {
        let mut bytes = vec![22, 0xfe, 0xfd, 0, 0, 0, 0];
        bytes.extend((n + 10).to_be_bytes());
        bytes.extend([0, 13, 16, 1, 0, 0, 0, 1]);
        bytes.extend(&n.to_be_bytes()[1..]);
        bytes.extend([0, 0, 1, 7]);
        world.feed(&bytes);
    }
    world.run();
    assert_eq!(world.closed, Some(CloseReason::DtlsFailed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn mangled_handshakes_do_no_harm(
        which in 0..6_usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut world = World::new(Client::default());
        world.mangle = Some((which, at, byte, cut));
        world.run();
        prop_assert!(world.keys.is_some() || world.closed.is_some());
    }
}

struct Client {
    profiles: &'static [Srtp],
    mtu: usize,
    /// Bytes that make the ClientHello longer: a server name.
    padding: usize,
    anonymous: bool,
    extended: ExtendedMasterSecretType,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            profiles: BOTH,
            mtu: 1200,
            padding: 0,
            anonymous: false,
            extended: ExtendedMasterSecretType::Require,
        }
    }
}

/// A client, our side, and the network between them.
struct World {
    now: Instant,
    config: Arc<HandshakeConfig>,
    client: Endpoint,
    client_saw_close: bool,
    promised: Arc<Fingerprint>,
    generation: Generation,
    server: Handshakes,
    keys: Option<SrtpKeys>,
    closed: Option<CloseReason>,
    /// Loses so many percent of all datagrams.
    loss: Option<(u32, Entropy)>,
    /// Loses everything the client sends.
    mute: bool,
    /// Damages one datagram of the client.
    mangle: Option<(usize, prop::sample::Index, u8, bool)>,
    sent_by_client: usize,
    client_flight: Vec<Vec<u8>>,
    client_resends_at: Option<Instant>,
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 9))
}

fn client(config: Arc<HandshakeConfig>, now: Instant) -> Endpoint {
    let mut client = Endpoint::new(peer(), TransportProtocol::UDP, None);
    client.connect(now, peer(), config, None).unwrap();
    client
}

impl World {
    fn new(options: Client) -> Self {
        let now = Clock::system().now();
        let own = Certificate::generate().unwrap();
        let mut config = ConfigBuilder::default()
            .with_crypto_provider(own.provider.clone())
            .with_srtp_protection_profiles(options.profiles.to_vec())
            .with_extended_master_secret(options.extended)
            .with_mtu(options.mtu)
            .with_server_name("x".repeat(options.padding))
            .with_insecure_skip_verify(true);
        if !options.anonymous {
            config = config.with_certificates(vec![own.inner.clone()]);
        }
        let config = Arc::new(config.build(true, None).unwrap());
        Self {
            now,
            client: client(config.clone(), now),
            config,
            client_saw_close: false,
            promised: Arc::new(own.fingerprint()),
            generation: Generation::default(),
            server: Handshakes::new(Certificate::generate_pair().unwrap()).unwrap(),
            keys: None,
            closed: None,
            loss: None,
            mute: false,
            mangle: None,
            sent_by_client: 0,
            client_flight: Vec::new(),
            client_resends_at: None,
        }
    }

    /// The client begins another association.
    fn reconnect(&mut self) {
        self.keys = None;
        self.client = client(self.config.clone(), self.now);
    }

    /// What the client was shown.
    fn server_certificate(&self) -> Vec<Vec<u8>> {
        let state = self.client.get_connection_state(peer()).unwrap();
        state.peer_certificates.clone()
    }

    /// Until nobody has anything to say and no timer runs.
    fn run(&mut self) {
        for _ in 0..1000 {
            if self.client_to_server() | self.server_to_client() {
                continue;
            }
            let done = self.keys.is_some() || self.closed.is_some();
            let resends_at = self.client_resends_at.filter(|_| !done);
            let timers = [
                self.server.poll_timeout(),
                self.client.poll_timeout(&peer()),
                resends_at,
            ];
            let Some(at) = timers.into_iter().flatten().min() else {
                return;
            };
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            // A client that gives up is not what is tested.
            let _ = self.client.handle_timeout(peer(), self.now);
            if resends_at.is_some_and(|at| at <= self.now) {
                self.client_send(self.client_flight.clone());
            }
        }
        panic!("no end in sight");
    }

    fn client_to_server(&mut self) -> bool {
        let next = || Some(self.client.poll_transmit()?.message.to_vec());
        let datagrams: Vec<_> = std::iter::from_fn(next).collect();
        let talked = !datagrams.is_empty();
        if talked {
            self.client_flight.clone_from(&datagrams);
            self.client_send(datagrams);
        }
        talked
    }

    /// Browsers repeat a flight until it is answered. The library's client does not always,
    /// for the reason told at `association::Flight`.
    fn client_send(&mut self, datagrams: Vec<Vec<u8>>) {
        self.client_resends_at = Some(self.now + Duration::from_millis(700));
        for mut bytes in datagrams {
            if let Some((which, at, byte, cut)) = self.mangle
                && which == self.sent_by_client
            {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes.truncate(if cut { at } else { bytes.len() });
            }
            self.sent_by_client += 1;
            if !self.mute && self.arrives() {
                self.feed(&bytes);
            }
        }
    }

    fn server_to_client(&mut self) -> bool {
        let mut talked = false;
        while let Some(output) = self.server.poll_output() {
            talked = true;
            match output {
                HandshakeOutput::Keys { leg: LEG, keys } => self.keys = Some(*keys),
                HandshakeOutput::Closed { leg: LEG, reason } => self.closed = Some(reason),
                HandshakeOutput::Datagram { leg: LEG, bytes } => {
                    if self.arrives() {
                        let events = self.client.read(self.now, peer(), None, bytes[..].into());
                        self.client_saw_close |= events.is_ok_and(|events| {
                            events
                                .iter()
                                .any(|e| matches!(e, EndpointEvent::PeerClosed))
                        });
                    }
                }
                other => panic!("another leg: {other:?}"),
            }
        }
        talked
    }

    fn arrives(&mut self) -> bool {
        match &mut self.loss {
            Some((percent, entropy)) => entropy.below(100) >= *percent,
            None => true,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let input = HandshakeInput::Datagram {
            leg: LEG,
            fingerprint: self.promised.clone(),
            generation: self.generation,
            bytes: bytes.to_vec(),
        };
        self.server.handle_input(input, self.now);
    }

    fn keys(&self) -> &SrtpKeys {
        self.keys.as_ref().expect("a complete handshake")
    }

    /// Compares our keys with what the client has; salts have so many bytes.
    fn check_keys(&self, salt: usize) {
        let state = self.client.get_connection_state(peer()).unwrap();
        let material = state
            .export_keying_material("EXTRACTOR-dtls_srtp", &[], 2 * (16 + salt))
            .unwrap();
        let keys = self.keys();
        let ours = [
            &keys.inbound.key[..],
            &keys.outbound.key[..],
            &keys.inbound.salt[..salt],
            &keys.outbound.salt[..salt],
        ];
        assert_eq!(ours.concat(), material.as_ref());
        assert_ne!(keys.inbound.key, keys.outbound.key);
    }
}
