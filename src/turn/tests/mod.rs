//! The server as clients see it, in invented time.

mod relaying;
mod requests;
mod trust;

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
        // Over UDP the second time, as a rule.
        let answer = (0..2).find_map(|_| self.asked(peer.client, &first));
        let answer = answer.expect("an answer");
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
