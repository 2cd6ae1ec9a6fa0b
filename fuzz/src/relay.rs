//! What arrives on the TURN port, from strangers and from clients with good credentials.

use std::net::SocketAddr;

use parlor::clock::Clock;
use parlor::entropy::Entropy;
use parlor::sfu::stun::codec::attribute::USERNAME;
use parlor::sfu::stun::codec::{HEADER_LEN, MAGIC_COOKIE, Writer, attribute_at};
use parlor::turn::credential::Issuer;
use parlor::turn::{Client, Framing, Limits, Network, REALM, Relay, Server, StreamId, frame};

use super::split::parts;

const MEDIA: [&str; 2] = ["203.0.113.7:3478", "[2001:db8::7]:3478"];
const SECRET: &[u8] = b"a secret of the operator";

const ALLOCATE: u16 = 0x0003;
const REALM_KIND: u16 = 0x0014;
const NONCE_KIND: u16 = 0x0015;
const REQUESTED_TRANSPORT: u16 = 0x0019;

/// Most messages of one input: longer ones find nothing more.
const MAX_MESSAGES: usize = 32;

/// What was sent since it was last looked at.
#[derive(Default)]
struct Sent {
    to_clients: Vec<(Client, Vec<u8>)>,
    to_media: usize,
}

impl Network for Sent {
    fn to_client(&mut self, client: Client, parts: [&[u8]; 3]) {
        self.to_clients.push((client, parts.concat()));
    }

    fn to_media(&mut self, _relay: Relay, _datagram: &[u8]) {
        self.to_media += 1;
    }

    fn close_relays(&mut self, _port: u16) {}

    fn close_stream(&mut self, _stream: StreamId) {}
}

/// Messages of a client: as they are, from a stranger; and with a good credential, from a client
/// that has an allocation. Strangers get nothing relayed, and over UDP never more bytes than came
/// from them.
pub fn turn(data: &[u8]) {
    cut(data);
    let (now, issuer) = (Clock::system().epoch(), Issuer::new(SECRET));
    let media = MEDIA.map(|text| text.parse().expect("an address"));
    let entropy = Entropy::from_seed(1);
    let mut server = Server::new(&media, issuer.clone(), Limits::default(), entropy, now);
    let mut net = Sent::default();
    let known = Client::udp(SocketAddr::from(([192, 0, 2, 1], 1000)));
    let strangers = [
        Client::udp(SocketAddr::from(([198, 51, 100, 1], 1000))),
        Client::stream(SocketAddr::from(([198, 51, 100, 1], 1001)), StreamId(1)),
    ];
    let until = now.since_unix.as_secs() + 3600;
    let mut talk = |client, bytes: &[u8]| {
        server.handle_message(client, bytes, now.instant, &mut net);
        let sent = std::mem::take(&mut net);
        assert!(sent.to_clients.len() + sent.to_media <= 1);
        for (to, answer) in &sent.to_clients {
            assert_eq!(*to, client, "nobody else is told");
            assert_eq!(
                answer[4..HEADER_LEN],
                bytes[4..HEADER_LEN],
                "same transaction"
            );
        }
        sent
    };

    let transport = [(REQUESTED_TRANSPORT, &[17, 0, 0, 0][..])];
    let first = request(ALLOCATE, &transport, None);
    assert!(talk(known, &first).to_clients.is_empty());
    let challenge = talk(known, &first);
    let nonce = find(&challenge.to_clients[0].1, NONCE_KIND);
    let credential = issuer.issue(until, "ana");
    let key = issuer.key(&credential.username, REALM);
    let head = [
        (USERNAME, credential.username.as_bytes()),
        (REALM_KIND, REALM.as_bytes()),
        (NONCE_KIND, &nonce[..]),
    ];
    let all: Vec<_> = head.into_iter().chain(transport).collect();
    let granted = talk(known, &request(ALLOCATE, &all, Some(&key)));
    assert_eq!(granted.to_clients[0].1[..2], [1, 3], "an allocation");

    let mut balance = 0;
    for part in parts(data).take(MAX_MESSAGES) {
        balance += part.len();
        for stranger in strangers {
            let sent = talk(stranger, part);
            assert_eq!(sent.to_media, 0, "nothing is relayed for strangers");
            for (_, answer) in sent.to_clients {
                if stranger.stream.is_none() {
                    let left = balance.checked_sub(answer.len());
                    balance = left.expect("no more than came from there");
                }
            }
        }
        talk(known, part);
        if let Some(signed) = sign(part, &head, &key) {
            talk(known, &signed);
        }
    }
}

/// A stream is cut somewhere, or not at all, and never outside itself.
fn cut(stream: &[u8]) {
    let mut at = 0;
    while let Framing::Message { len, total } = frame(&stream[at..]) {
        assert!(len <= total && total.is_multiple_of(4) && total > 0);
        at += total;
        assert!(at <= stream.len());
    }
}

/// The attributes of a message behind a good credential, signed.
fn sign(message: &[u8], head: &[(u16, &[u8])], key: &[u8]) -> Option<Vec<u8>> {
    let kind = u16::from_be_bytes(*message.first_chunk()?);
    let mut attributes = head.to_vec();
    let mut at = HEADER_LEN;
    while let Some((kind, value, next)) = attribute_at(message, at) {
        attributes.push((kind, value));
        at = next;
    }
    let len: usize = attributes.iter().map(|(_, value)| value.len() + 8).sum();
    (len < 1500).then(|| request(kind, &attributes, Some(key)))
}

fn request(kind: u16, attributes: &[(u16, &[u8])], key: Option<&[u8]>) -> Vec<u8> {
    let mut like = [7; HEADER_LEN];
    like[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    let mut out = [0; 2048];
    let mut writer = Writer::new(kind, &like, &mut out);
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    if let Some(key) = key {
        writer.integrity(key);
    }
    let len = writer.finish();
    out[..len].to_vec()
}

fn find(message: &[u8], wanted: u16) -> Vec<u8> {
    let mut at = HEADER_LEN;
    while let Some((kind, value, next)) = attribute_at(message, at) {
        if kind == wanted {
            return value.to_vec();
        }
        at = next;
    }
    Vec::new()
}
