//! The server as clients see it, in invented time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::credential::{CREDENTIAL_LIFETIME, Credential, Issuer, LongTermKey};
use super::message::Method;
use super::message::attribute::{
    ADDITIONAL_ADDRESS_FAMILY, CHANNEL_NUMBER, DATA, EVEN_PORT, LIFETIME, NONCE, REALM,
    REQUESTED_ADDRESS_FAMILY, REQUESTED_TRANSPORT, RESERVATION_TOKEN, XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
};
use super::{Client, Limits, Network, Refused, Relay, Server, StreamId};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::sfu::stun::codec::attribute::{
    ERROR_CODE, MESSAGE_INTEGRITY, UNKNOWN_ATTRIBUTES, USERNAME, XOR_MAPPED_ADDRESS,
};
use crate::sfu::stun::codec::{
    HEADER_LEN, MAGIC_COOKIE, Writer, attribute_at, integrity, read_xor_address, u16_at, u32_at,
};

const MEDIA: &str = "203.0.113.7:3478";
const MEDIA_V6: &str = "[2001:db8::7]:3478";
const SECRET: &[u8] = b"north";
const SEND: u16 = 0x0016;

/// One attribute of a request.
enum Attr {
    Bytes(u16, Vec<u8>),
    Address(u16, SocketAddr),
}

fn bytes(kind: u16, value: &[u8]) -> Attr {
    Attr::Bytes(kind, value.to_vec())
}

fn udp() -> Attr {
    bytes(REQUESTED_TRANSPORT, &[17, 0, 0, 0])
}

fn lifetime(seconds: u32) -> Attr {
    bytes(LIFETIME, &seconds.to_be_bytes())
}

fn peer(address: &str) -> Attr {
    Attr::Address(XOR_PEER_ADDRESS, address.parse().unwrap())
}

fn channel(number: u16) -> Attr {
    let [high, low] = number.to_be_bytes();
    bytes(CHANNEL_NUMBER, &[high, low, 0, 0])
}

/// A message as a client writes it.
fn message(kind: u16, transaction: u32, attributes: &[Attr], key: Option<&LongTermKey>) -> Vec<u8> {
    let mut like = [7; HEADER_LEN];
    like[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    like[16..].copy_from_slice(&transaction.to_be_bytes());
    let mut out = [0; 1500];
    let mut writer = Writer::new(kind, &like, &mut out);
    for attribute in attributes {
        match attribute {
            Attr::Bytes(kind, value) => writer.attribute(*kind, value),
            Attr::Address(kind, address) => writer.xor_address(*kind, *address),
        }
    }
    if let Some(key) = key {
        writer.integrity(key);
    }
    let len = writer.finish();
    out[..len].to_vec()
}

/// What the server sent.
#[derive(Default)]
struct Sent {
    to_clients: Vec<(Client, Vec<u8>)>,
    to_media: Vec<(Relay, Vec<u8>)>,
    closed_relays: Vec<u16>,
    closed_streams: Vec<StreamId>,
}

impl Network for Sent {
    fn to_client(&mut self, client: Client, parts: [&[u8]; 3]) {
        self.to_clients.push((client, parts.concat()));
    }

    fn to_media(&mut self, relay: Relay, datagram: &[u8]) {
        self.to_media.push((relay, datagram.to_vec()));
    }

    fn close_relays(&mut self, port: u16) {
        self.closed_relays.push(port);
    }

    fn close_stream(&mut self, stream: StreamId) {
        self.closed_streams.push(stream);
    }
}

/// A message from the server.
struct Answer(Vec<u8>);

impl Answer {
    fn get(&self, kind: u16) -> Option<&[u8]> {
        self.all(kind).next()
    }

    fn all(&self, kind: u16) -> impl Iterator<Item = &[u8]> {
        let mut at = HEADER_LEN;
        std::iter::from_fn(move || {
            let (kind, value, next) = attribute_at(&self.0, at)?;
            at = next;
            Some((kind, value))
        })
        .filter_map(move |(found, value)| (found == kind).then_some(value))
    }

    fn address(&self, kind: u16) -> Option<SocketAddr> {
        read_xor_address(&self.0, self.get(kind)?)
    }

    /// The error code; 0 for a success.
    fn code(&self) -> u16 {
        match self.get(ERROR_CODE) {
            Some(value) => 100 * u16::from(value[2]) + u16::from(value[3]),
            None => 0,
        }
    }
}

struct World {
    server: Server,
    net: Sent,
    now: Instant,
    transactions: u32,
}

/// One client of it, with a credential.
struct Peer {
    client: Client,
    credential: Credential,
    realm: &'static str,
    nonce: Vec<u8>,
}

impl Peer {
    fn key(&self) -> LongTermKey {
        use md5::{Digest, Md5};
        let Credential { username, password } = &self.credential;
        Md5::digest(format!("{username}:{}:{password}", self.realm)).into()
    }
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default(), &[MEDIA, MEDIA_V6])
    }

    fn with(limits: Limits, media: &[&str]) -> Self {
        let media: Vec<_> = media.iter().map(|text| text.parse().unwrap()).collect();
        let epoch = Clock::system().epoch();
        let (issuer, entropy) = (Issuer::new(SECRET), Entropy::from_seed(1));
        Self {
            server: Server::new(&media, issuer, limits, entropy, epoch),
            net: Sent::default(),
            now: epoch.instant,
            transactions: 0,
        }
    }

    fn unix_s(&self) -> u64 {
        self.server.epoch.since_unix(self.now).as_secs()
    }

    /// Time passes.
    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.server.handle_timeout(self.now, &mut self.net);
    }

    fn send(&mut self, client: Client, bytes: &[u8]) {
        self.server
            .handle_message(client, bytes, self.now, &mut self.net);
    }

    /// Sends something and takes the answer, if there is one.
    fn asked(&mut self, client: Client, bytes: &[u8]) -> Option<Answer> {
        self.send(client, bytes);
        let (to, answer) = self.net.to_clients.pop()?;
        assert_eq!(to, client);
        assert!(self.net.to_clients.is_empty(), "one question, one answer");
        assert_eq!(
            answer[4..HEADER_LEN],
            bytes[4..HEADER_LEN],
            "same transaction"
        );
        Some(Answer(answer))
    }

    /// A client that knows its nonce.
    fn peer(&mut self, client: Client, connection: &str) -> Peer {
        let expires_at_s = self.unix_s() + CREDENTIAL_LIFETIME.as_secs();
        let credential = Issuer::new(SECRET).issue(expires_at_s, connection);
        let mut peer = Peer {
            client,
            credential,
            realm: "turn",
            nonce: Vec::new(),
        };
        self.fetch_nonce(&mut peer);
        peer
    }

    fn fetch_nonce(&mut self, peer: &mut Peer) {
        self.transactions += 1;
        let first = message(Method::Allocate.code(), self.transactions, &[udp()], None);
        let answer = self.asked(peer.client, &first).expect("an answer");
        assert_eq!(answer.code(), 401);
        peer.nonce = answer.get(NONCE).unwrap().to_vec();
    }

    /// An authenticated request.
    fn signed(&mut self, peer: &Peer, method: Method, attributes: Vec<Attr>) -> Vec<u8> {
        self.transactions += 1;
        let mut all = vec![
            bytes(USERNAME, peer.credential.username.as_bytes()),
            bytes(REALM, peer.realm.as_bytes()),
            bytes(NONCE, &peer.nonce),
        ];
        all.extend(attributes);
        message(method.code(), self.transactions, &all, Some(&peer.key()))
    }

    /// Sends one and takes the answer, which is authentic if it is one to an authentic request.
    fn ask(&mut self, peer: &Peer, method: Method, attributes: Vec<Attr>) -> Answer {
        let request = self.signed(peer, method, attributes);
        let answer = self.asked(peer.client, &request).expect("an answer");
        if let Some(tag) = answer.get(MESSAGE_INTEGRITY) {
            let at = answer.0.len() - 24;
            assert_eq!(tag, integrity(&answer.0[..at], &peer.key()));
        } else {
            assert!([400, 401, 438, 441].contains(&answer.code()));
        }
        answer
    }

    /// A client with an allocation, and its relayed address.
    fn allocated(&mut self, address: &str, connection: &str) -> (Peer, SocketAddr) {
        let peer = self.peer(Client::udp(address.parse().unwrap()), connection);
        let answer = self.ask(&peer, Method::Allocate, vec![udp()]);
        assert_eq!(answer.code(), 0);
        (peer, answer.address(XOR_RELAYED_ADDRESS).unwrap())
    }

    fn indicate(&mut self, peer: &Peer, to: &str, data: &[u8]) {
        let to = Attr::Address(XOR_PEER_ADDRESS, to.parse().unwrap());
        let bytes = message(SEND, 0, &[to, bytes(DATA, data)], None);
        self.send(peer.client, &bytes);
    }

    fn refused(&self, why: Refused) -> u64 {
        self.server.snapshot().counters.refused(why)
    }
}

fn code(world: &mut World, peer: &Peer, method: Method, attributes: Vec<Attr>) -> u16 {
    world.ask(peer, method, attributes).code()
}

#[test]
fn an_allocation_is_granted_to_a_credential() {
    let mut world = World::new();
    let client = Client::udp("192.0.2.1:1000".parse().unwrap());
    let first = message(Method::Allocate.code(), 1, &[udp()], None);
    let challenge = world.asked(client, &first).unwrap();
    assert_eq!(challenge.code(), 401);
    assert_eq!(challenge.get(REALM), Some(&b"turn"[..]));
    let peer = world.peer(client, "ana");
    let answer = world.ask(&peer, Method::Allocate, vec![udp()]);
    let relayed = answer.address(XOR_RELAYED_ADDRESS).unwrap();
    assert_eq!(relayed.ip().to_string(), "203.0.113.7");
    assert!(relayed.port() >= 49152);
    assert_eq!(answer.address(XOR_MAPPED_ADDRESS), Some(client.address));
    assert_eq!(answer.get(LIFETIME), Some(&600_u32.to_be_bytes()[..]));
    assert_eq!(world.server.snapshot().allocations, 1);
}

#[test]
fn data_goes_to_media_and_back_by_indication_and_by_channel() {
    let mut world = World::new();
    let (ana, relayed) = world.allocated("192.0.2.1:1000", "ana");
    let relay = Relay {
        port: relayed.port(),
        media: 0,
    };
    // Nothing passes before there is a permission.
    world.indicate(&ana, MEDIA, b"early");
    let now = world.now;
    world
        .server
        .handle_media(relay, b"early", now, &mut world.net);
    assert!(world.net.to_media.is_empty() && world.net.to_clients.is_empty());
    assert_eq!(world.refused(Refused::NoPermission), 2);

    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(MEDIA)]
        ),
        0
    );
    world.indicate(&ana, MEDIA, b"check");
    assert_eq!(world.net.to_media.pop(), Some((relay, b"check".to_vec())));
    world
        .server
        .handle_media(relay, b"answer", now, &mut world.net);
    let (to, indication) = world.net.to_clients.pop().unwrap();
    assert_eq!(to, ana.client);
    let indication = Answer(indication);
    assert_eq!(indication.0[..2], [0x00, 0x17]);
    assert_eq!(indication.get(DATA), Some(&b"answer"[..]));
    assert_eq!(
        indication.address(XOR_PEER_ADDRESS),
        Some(MEDIA.parse().unwrap())
    );

    let bind = vec![channel(0x4000), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind), 0);
    world.send(ana.client, b"\x40\x00\x00\x05hello");
    assert_eq!(world.net.to_media.pop(), Some((relay, b"hello".to_vec())));
    world
        .server
        .handle_media(relay, b"world", now, &mut world.net);
    assert_eq!(
        world.net.to_clients.pop(),
        Some((ana.client, b"\x40\x00\x00\x05world".to_vec()))
    );
    let counters = world.server.snapshot().counters;
    assert_eq!(
        (counters.bytes_from_clients, counters.bytes_to_clients),
        (10, 11)
    );
}

#[test]
fn clients_reach_each_other_by_their_relayed_addresses() {
    let mut world = World::new();
    let (ana, anas) = world.allocated("192.0.2.1:1000", "ana");
    let (ben, bens) = world.allocated("198.51.100.1:1000", "ben");
    let (anas, bens) = (anas.to_string(), bens.to_string());
    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(&bens)]
        ),
        0
    );
    // Ben has let nobody in.
    world.indicate(&ana, &bens, b"hello");
    assert!(world.net.to_clients.is_empty());
    let bind = vec![channel(0x4001), peer(&anas)];
    assert_eq!(code(&mut world, &ben, Method::ChannelBind, bind), 0);
    world.indicate(&ana, &bens, b"hello");
    assert_eq!(
        world.net.to_clients.pop(),
        Some((ben.client, b"\x40\x01\x00\x05hello".to_vec()))
    );
    world.send(ben.client, b"\x40\x01\x00\x02hi");
    let (to, indication) = world.net.to_clients.pop().unwrap();
    assert_eq!(to, ana.client);
    let indication = Answer(indication);
    assert_eq!(
        indication.address(XOR_PEER_ADDRESS),
        Some(bens.parse().unwrap())
    );
    assert_eq!(indication.get(DATA), Some(&b"hi"[..]));
    assert!(world.net.to_media.is_empty());
}

#[test]
fn nothing_but_media_and_clients_is_relayed_to() {
    let mut world = World::new();
    let (ana, _) = world.allocated("192.0.2.1:1000", "ana");
    for other in [
        "127.0.0.1:3478",
        "10.0.0.1:3478",
        "192.168.1.1:53",
        "169.254.169.254:80",
        "203.0.113.8:3478",
        "0.0.0.0:3478",
    ] {
        assert_eq!(
            code(
                &mut world,
                &ana,
                Method::CreatePermission,
                vec![peer(other)]
            ),
            403
        );
        let bind = vec![channel(0x4000), peer(other)];
        assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind), 403);
    }
    // One bad address among good ones spoils all.
    let both = vec![peer(MEDIA), peer("10.0.0.1:1")];
    assert_eq!(code(&mut world, &ana, Method::CreatePermission, both), 403);
    world.indicate(&ana, MEDIA, b"x");
    // The right address does not open its other ports.
    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(MEDIA)]
        ),
        0
    );
    for port in [1, 22, 80, 3479, 49_151, 49_152, 65_535] {
        let other = format!("203.0.113.7:{port}");
        world.indicate(&ana, &other, b"x");
        let bind = vec![channel(0x4000), peer(&other)];
        let expected = if port < 49_152 { 403 } else { 0 };
        assert_eq!(
            code(&mut world, &ana, Method::ChannelBind, bind),
            expected,
            "{port}"
        );
        if expected == 0 {
            break;
        }
    }
    assert!(world.net.to_media.is_empty() && world.net.to_clients.is_empty());
}

#[test]
fn quotas_hold_for_one_connection_and_in_all() {
    let limits = Limits {
        allocations: 3,
        allocations_per_connection: 2,
        ..Limits::default()
    };
    let mut world = World::with(limits, &[MEDIA]);
    let (first, _) = world.allocated("192.0.2.1:1", "ana");
    world.allocated("192.0.2.1:2", "ana");
    let third = world.peer(Client::udp("192.0.2.1:3".parse().unwrap()), "ana");
    assert_eq!(code(&mut world, &third, Method::Allocate, vec![udp()]), 486);
    world.allocated("192.0.2.1:4", "ben");
    let late = world.peer(Client::udp("192.0.2.1:5".parse().unwrap()), "cleo");
    assert_eq!(code(&mut world, &late, Method::Allocate, vec![udp()]), 508);
    // Where one goes, another may come.
    assert_eq!(
        code(&mut world, &first, Method::Refresh, vec![lifetime(0)]),
        0
    );
    assert_eq!(code(&mut world, &third, Method::Allocate, vec![udp()]), 0);
    assert_eq!(world.refused(Refused::Quota), 1);
    assert_eq!(world.refused(Refused::Capacity), 1);
}

#[test]
fn an_allocation_relays_no_more_than_it_may() {
    let limits = Limits {
        bytes_per_second: 1000,
        ..Limits::default()
    };
    let mut world = World::with(limits, &[MEDIA]);
    let (ana, relayed) = world.allocated("192.0.2.1:1", "ana");
    code(
        &mut world,
        &ana,
        Method::CreatePermission,
        vec![peer(MEDIA)],
    );
    for _ in 0..5 {
        world.indicate(&ana, MEDIA, &[7; 400]);
    }
    assert_eq!(world.net.to_media.len(), 2);
    let relay = Relay {
        port: relayed.port(),
        media: 0,
    };
    let now = world.now;
    world
        .server
        .handle_media(relay, &[7; 400], now, &mut world.net);
    assert!(world.net.to_clients.is_empty());
    assert_eq!(world.refused(Refused::Rate), 4);
    world.pass(1);
    world.indicate(&ana, MEDIA, &[7; 400]);
    assert_eq!(world.net.to_media.len(), 3);
}

#[test]
fn credentials_that_are_none_are_told_from_good_ones() {
    let mut world = World::new();
    let client = Client::udp("192.0.2.1:1000".parse().unwrap());
    let good = world.peer(client, "ana");
    let with = |username: &str, password: &str, realm| Peer {
        client,
        credential: Credential {
            username: username.into(),
            password: password.into(),
        },
        realm,
        nonce: good.nonce.clone(),
    };
    let Credential { username, password } = good.credential.clone();
    let expired = Issuer::new(SECRET).issue(world.unix_s(), "ana");
    let forged = Issuer::new(b"south").issue(world.unix_s() + 60, "ana");
    for bad in [
        with(&username, "", "turn"),
        with(&username, &forged.password, "turn"),
        with(&username, &password, "other"),
        with(&format!("1{username}"), &password, "turn"),
        with("ana", &password, "turn"),
        with("", "", "turn"),
        with(&expired.username, &expired.password, "turn"),
        with(&forged.username, &forged.password, "turn"),
    ] {
        let answer = world.ask(&bad, Method::Allocate, vec![udp()]);
        assert_eq!(answer.code(), 401, "{:?}", bad.credential);
        assert!(answer.get(NONCE).is_some() && answer.get(MESSAGE_INTEGRITY).is_none());
    }
    assert_eq!(world.refused(Refused::Unauthorized), 8);
    assert_eq!(world.server.snapshot().allocations, 0);
    assert_eq!(code(&mut world, &good, Method::Allocate, vec![udp()]), 0);
    // What one made, another cannot use.
    let ben = Issuer::new(SECRET).issue(world.unix_s() + 60, "ben");
    let ben = with(&ben.username, &ben.password, "turn");
    assert_eq!(
        code(&mut world, &ben, Method::Refresh, vec![lifetime(0)]),
        441
    );
}

#[test]
fn a_granted_allocation_outlives_its_credential_but_not_its_revocation() {
    let mut world = World::new();
    let (mut ana, relayed) = world.allocated("192.0.2.1:1", "ana");
    let refreshed = code(&mut world, &ana, Method::Refresh, vec![lifetime(3600)]);
    assert_eq!(refreshed, 0);
    for _ in 0..30 {
        world.pass(3000);
        world.fetch_nonce(&mut ana);
        assert_eq!(
            code(&mut world, &ana, Method::Refresh, vec![lifetime(3600)]),
            0
        );
    }
    let mut other = world.peer(Client::udp("192.0.2.1:2".parse().unwrap()), "ana");
    let nonce = std::mem::take(&mut other.nonce);
    let expired = Peer {
        nonce,
        client: other.client,
        credential: ana.credential.clone(),
        realm: "turn",
    };
    assert_eq!(
        code(&mut world, &expired, Method::Allocate, vec![udp()]),
        401
    );

    let now = world.now;
    world.server.revoke("ana", now, &mut world.net);
    assert_eq!(world.net.closed_relays, [relayed.port()]);
    assert_eq!(world.server.snapshot().allocations, 0);
    let back = world.peer(Client::udp("192.0.2.1:3".parse().unwrap()), "ana");
    assert_eq!(code(&mut world, &back, Method::Allocate, vec![udp()]), 401);
    world.allocated("192.0.2.1:4", "ben");
}

#[test]
fn an_old_nonce_is_stale_and_the_new_one_comes_with_the_refusal() {
    let mut world = World::new();
    let (mut ana, _) = world.allocated("192.0.2.1:1", "ana");
    assert_eq!(
        code(&mut world, &ana, Method::Refresh, vec![lifetime(3600)]),
        0
    );
    world.pass(3500);
    assert_eq!(
        code(&mut world, &ana, Method::Refresh, vec![lifetime(3600)]),
        0
    );
    world.pass(500);
    let answer = world.ask(&ana, Method::Refresh, vec![]);
    assert_eq!(answer.code(), 438);
    assert_eq!(answer.get(REALM), Some(&b"turn"[..]));
    ana.nonce = answer.get(NONCE).unwrap().to_vec();
    assert_eq!(code(&mut world, &ana, Method::Refresh, vec![]), 0);
    assert_eq!(world.refused(Refused::StaleNonce), 1);
}

#[test]
fn strangers_get_no_more_than_they_send_but_for_one_answer_that_is_rare() {
    let mut world = World::new();
    let client = Client::udp("192.0.2.1:1000".parse().unwrap());
    let ana = world.peer(client, "ana");
    let key = ana.key();
    let name = || bytes(USERNAME, b"x");
    let all = [
        Method::Binding,
        Method::Allocate,
        Method::Refresh,
        Method::CreatePermission,
        Method::ChannelBind,
    ];
    for method in all {
        for attributes in [
            vec![],
            vec![udp(), lifetime(1)],
            vec![name()],
            vec![name(), bytes(REALM, b"turn"), bytes(NONCE, b"none")],
            vec![name(), bytes(REALM, b"turn"), bytes(NONCE, &ana.nonce)],
            vec![bytes(0x7ffe, b""), peer(MEDIA), channel(0x4000)],
        ] {
            for key in [None, Some(&key)] {
                let request = message(method.code(), 1, &attributes, key);
                let begins = method == Method::Allocate && attributes.len() == 2;
                if let Some(answer) = world.asked(client, &request)
                    && !(begins && key.is_none())
                {
                    assert!(answer.0.len() <= request.len(), "{method:?}");
                }
            }
        }
    }
    // What browsers begin with, and what they are told.
    let first = message(Method::Allocate.code(), 1, &[udp()], None);
    assert_eq!(first.len(), 28);
    assert_eq!(world.asked(client, &first).unwrap().0.len(), 48);
    let answered = (0..1000).filter(|_| world.asked(client, &first).is_some());
    assert!(answered.count() < 200);
    // One that knows its nonce does not depend on that.
    assert_eq!(code(&mut world, &ana, Method::Allocate, vec![udp()]), 0);
    // Nor does a stream, whose client is where it says.
    let stream = Client::stream("192.0.2.1:1001".parse().unwrap(), StreamId(1));
    assert_eq!(world.asked(stream, &first).unwrap().code(), 401);
}

#[test]
fn a_binding_request_is_answered_where_that_amplifies_nothing() {
    let mut world = World::new();
    let address = "192.0.2.1:1000".parse().unwrap();
    let short = message(Method::Binding.code(), 1, &[], None);
    assert!(world.asked(Client::udp(address), &short).is_none());
    let padded = message(Method::Binding.code(), 1, &[bytes(0x8022, &[0; 8])], None);
    for (client, request) in [
        (Client::udp(address), padded),
        (Client::stream(address, StreamId(1)), short),
    ] {
        let answer = world.asked(client, &request).unwrap();
        assert_eq!(answer.address(XOR_MAPPED_ADDRESS), Some(address));
    }
}

#[test]
fn families_are_those_that_were_asked_for_and_that_there_are() {
    let family = |number| bytes(REQUESTED_ADDRESS_FAMILY, &[number, 0, 0, 0]);
    let additional = |number| bytes(ADDITIONAL_ADDRESS_FAMILY, &[number, 0, 0, 0]);
    let check = |media: &[&str], attributes: Vec<Attr>, expected: Result<&[bool], u16>| {
        let mut world = World::with(Limits::default(), media);
        let ana = world.peer(Client::udp("192.0.2.1:1".parse().unwrap()), "ana");
        let attributes = std::iter::once(udp()).chain(attributes).collect();
        let answer = world.ask(&ana, Method::Allocate, attributes);
        let relayed: Vec<_> = answer
            .all(XOR_RELAYED_ADDRESS)
            .map(|value| read_xor_address(&answer.0, value).unwrap().is_ipv6())
            .collect();
        match expected {
            Ok(families) => assert_eq!(relayed, families),
            Err(code) => assert_eq!(answer.code(), code),
        }
    };
    let both = [MEDIA, MEDIA_V6];
    check(&both, vec![], Ok(&[false]));
    check(&both, vec![family(1)], Ok(&[false]));
    check(&both, vec![family(2)], Ok(&[true]));
    check(&both, vec![additional(2)], Ok(&[false, true]));
    check(&[MEDIA], vec![additional(2)], Ok(&[false]));
    check(&[MEDIA], vec![family(2)], Err(440));
    check(&[MEDIA_V6], vec![family(1)], Err(440));
    check(&both, vec![family(3)], Err(440));
    check(&both, vec![family(1), additional(2)], Err(400));
    check(&both, vec![additional(1)], Err(400));
    // Browsers do not ask, and could do nothing with an address that leads nowhere.
    check(&[MEDIA_V6], vec![], Ok(&[true]));

    let mut world = World::new();
    let (ana, _) = world.allocated("192.0.2.1:1", "ana");
    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(MEDIA_V6)]
        ),
        443
    );
    let bind = vec![channel(0x4000), peer(MEDIA_V6)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind), 443);
}

#[test]
fn what_was_granted_ends_when_it_is_not_refreshed() {
    let mut world = World::new();
    let (ana, relayed) = world.allocated("192.0.2.1:1", "ana");
    let bind = || vec![channel(0x4000), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind()), 0);
    world.pass(299);
    world.indicate(&ana, MEDIA, b"x");
    assert_eq!(world.net.to_media.len(), 1);
    world.pass(1);
    world.indicate(&ana, MEDIA, b"x");
    assert_eq!(world.net.to_media.len(), 1);
    // Only a permission lets answers in; the channel still carries data out.
    world.send(ana.client, b"\x40\x00\x00\x01x");
    assert_eq!(world.net.to_media.len(), 2);
    let answer = world.ask(&ana, Method::Refresh, vec![lifetime(1200)]);
    assert_eq!(answer.get(LIFETIME), Some(&1200_u32.to_be_bytes()[..]));
    world.pass(300);
    world.send(ana.client, b"\x40\x00\x00\x01x");
    assert_eq!(world.net.to_media.len(), 2);
    // For a while, neither the number nor the peer is another's.
    let other = vec![channel(0x4001), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, other), 400);
    world.pass(300);
    let other = vec![channel(0x4001), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, other), 0);

    assert_eq!(
        world.server.poll_timeout(),
        Some(world.now + Duration::from_secs(600))
    );
    world.pass(600);
    assert_eq!(world.net.closed_relays, [relayed.port()]);
    assert_eq!(world.server.poll_timeout(), None);
    assert_eq!(code(&mut world, &ana, Method::Refresh, vec![]), 437);
    world.allocated("192.0.2.1:1", "ana");
}

#[test]
fn lifetimes_are_kept_within_bounds() {
    let mut world = World::new();
    let (ana, _) = world.allocated("192.0.2.1:1", "ana");
    for (asked, granted) in [(1, 600_u32), (601, 601), (7200, 3600), (u32::MAX, 3600)] {
        let answer = world.ask(&ana, Method::Refresh, vec![lifetime(asked)]);
        assert_eq!(u32_at(answer.get(LIFETIME).unwrap(), 0), Some(granted));
    }
    let answer = world.ask(&ana, Method::Refresh, vec![lifetime(0)]);
    assert_eq!(
        (answer.code(), answer.get(LIFETIME)),
        (0, Some(&[0; 4][..]))
    );
    assert_eq!(world.server.snapshot().allocations, 0);
}

#[test]
fn a_channel_has_one_peer_and_a_peer_one_channel() {
    let mut world = World::with(Limits::default(), &[MEDIA, "203.0.113.8:3478"]);
    let (ana, _) = world.allocated("192.0.2.1:1", "ana");
    let second = "203.0.113.8:3478";
    let mut bind = |number, to: &str| {
        code(
            &mut world,
            &ana,
            Method::ChannelBind,
            vec![channel(number), peer(to)],
        )
    };
    assert_eq!(bind(0x4000, MEDIA), 0);
    assert_eq!(bind(0x4000, MEDIA), 0);
    assert_eq!(bind(0x4000, second), 400);
    assert_eq!(bind(0x4001, MEDIA), 400);
    assert_eq!(bind(0x3fff, second), 400);
    assert_eq!(bind(0x7fff, second), 400);
    assert_eq!(bind(0x7ffe, second), 0);
    for n in 0..30 {
        assert_eq!(bind(0x5000 + n, &format!("203.0.113.7:{}", 50_000 + n)), 0);
    }
    assert_eq!(bind(0x6000, "203.0.113.7:60000"), 508);
}

#[test]
fn a_client_has_one_allocation_and_a_repeated_request_its_old_answer() {
    let mut world = World::new();
    let client = Client::udp("192.0.2.1:1".parse().unwrap());
    let ana = world.peer(client, "ana");
    assert_eq!(code(&mut world, &ana, Method::Refresh, vec![]), 437);
    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(MEDIA)]
        ),
        437
    );
    let request = world.signed(&ana, Method::Allocate, vec![udp()]);
    let first = world.asked(client, &request).unwrap();
    let again = world.asked(client, &request).unwrap();
    assert_eq!(first.0, again.0);
    assert_eq!(code(&mut world, &ana, Method::Allocate, vec![udp()]), 437);
    assert_eq!(world.server.snapshot().counters.allocated, 1);
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let mut world = World::new();
    let ana = world.peer(Client::udp("192.0.2.1:1".parse().unwrap()), "ana");
    let tcp = || bytes(REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    for (attributes, expected) in [
        (vec![], 400),
        (vec![tcp()], 442),
        (vec![udp(), bytes(EVEN_PORT, &[0x80, 0, 0, 0])], 508),
        (vec![udp(), bytes(RESERVATION_TOKEN, &[0; 8])], 508),
    ] {
        assert_eq!(
            code(&mut world, &ana, Method::Allocate, attributes),
            expected
        );
    }
    let strange = vec![
        udp(),
        bytes(0x7ffe, b""),
        bytes(0x7ffd, b""),
        bytes(0xc001, b""),
    ];
    let answer = world.ask(&ana, Method::Allocate, strange);
    assert_eq!(answer.code(), 420);
    assert_eq!(
        answer.get(UNKNOWN_ATTRIBUTES),
        Some(&[0x7f, 0xfe, 0x7f, 0xfd][..])
    );
    let even = vec![udp(), bytes(EVEN_PORT, &[0, 0, 0, 0])];
    let answer = world.ask(&ana, Method::Allocate, even);
    assert_eq!(answer.address(XOR_RELAYED_ADDRESS).unwrap().port() % 2, 0);
    for attributes in [vec![], vec![bytes(XOR_PEER_ADDRESS, b"?")]] {
        assert_eq!(
            code(&mut world, &ana, Method::CreatePermission, attributes),
            400
        );
    }
    assert_eq!(
        code(&mut world, &ana, Method::ChannelBind, vec![peer(MEDIA)]),
        400
    );
    assert_eq!(
        code(&mut world, &ana, Method::ChannelBind, vec![channel(0x4000)]),
        400
    );
}

#[test]
fn a_fingerprint_is_checked_and_answered_with_one() {
    let mut world = World::new();
    let ana = world.peer(Client::udp("192.0.2.1:1".parse().unwrap()), "ana");
    let plain = world.signed(&ana, Method::Allocate, vec![udp()]);
    let mut out = [0; 1500];
    out[..plain.len()].copy_from_slice(&plain);
    let mut at = plain.len();
    let announced = (at - HEADER_LEN + 8) as u16;
    out[2..4].copy_from_slice(&announced.to_be_bytes());
    let crc = crate::sfu::stun::codec::fingerprint(&out[..at]).to_be_bytes();
    out[at..at + 4].copy_from_slice(&[0x80, 0x28, 0, 4]);
    out[at + 4..at + 8].copy_from_slice(&crc);
    at += 8;
    let mut damaged = out;
    damaged[at - 1] ^= 1;
    assert!(world.asked(ana.client, &damaged[..at]).is_none());
    let answer = world.asked(ana.client, &out[..at]).unwrap();
    assert_eq!(answer.code(), 0);
    let end = answer.0.len() - 8;
    assert_eq!(u16_at(&answer.0, end), Some(0x8028));
    let crc = crate::sfu::stun::codec::fingerprint(&answer.0[..end]);
    assert_eq!(u32_at(&answer.0, end + 4), Some(crc));
}

#[test]
fn a_stream_carries_padded_messages_and_ends_with_its_allocation() {
    let mut world = World::new();
    let stream = StreamId(9);
    let client = Client::stream("192.0.2.1:1".parse().unwrap(), stream);
    let now = world.now;
    world.server.handle_opened(stream, now, &mut world.net);
    let ana = world.peer(client, "ana");
    let answer = world.ask(&ana, Method::Allocate, vec![udp()]);
    let port = answer.address(XOR_RELAYED_ADDRESS).unwrap().port();
    let bind = vec![channel(0x4000), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind), 0);
    world.pass(60);
    assert_eq!(world.net.closed_streams, []);
    let now = world.now;
    world
        .server
        .handle_media(Relay { port, media: 0 }, b"hello", now, &mut world.net);
    assert_eq!(
        world.net.to_clients.pop(),
        Some((client, b"\x40\x00\x00\x05hello\0\0\0".to_vec()))
    );
    assert_eq!(world.server.snapshot().streams, 1);
    world.server.handle_closed(client, &mut world.net);
    assert_eq!(world.net.closed_relays, [port]);
    let left = world.server.snapshot();
    assert_eq!((left.streams, left.allocations), (0, 0));
}

#[test]
fn streams_that_never_allocate_are_closed_and_make_room_before() {
    let mut world = World::new();
    let now = world.now;
    for id in 0..1025 {
        world
            .server
            .handle_opened(StreamId(id), now, &mut world.net);
    }
    assert_eq!(world.net.closed_streams, [StreamId(0)]);
    world.pass(10);
    assert_eq!(world.net.closed_streams.len(), 1025);
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn noise_is_dropped() {
    let mut world = World::new();
    let (ana, _) = world.allocated("192.0.2.1:1", "ana");
    let mut random = Entropy::from_seed(3);
    for len in 0..500 {
        let mut noise = vec![0; len];
        random.fill(&mut noise);
        world.send(ana.client, &noise);
    }
    assert!(world.net.to_clients.is_empty() && world.net.to_media.is_empty());
}
