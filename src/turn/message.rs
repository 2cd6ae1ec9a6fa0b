//! TURN requests and indications as bytes (RFC 8656, 17 and 18), the messages of streams, and the
//! heads that go in front of relayed data.

use std::net::SocketAddr;

use subtle::ConstantTimeEq;

use crate::sfu::stun::codec::attribute::{FINGERPRINT, MESSAGE_INTEGRITY, USERNAME};
use crate::sfu::stun::codec::{
    self, COMPREHENSION_OPTIONAL, HEADER_LEN, INTEGRITY_LEN, attribute_at, is_message,
    read_xor_address, u16_at, u32_at,
};

/// Longest message on a stream, in bytes: more than any datagram that was meant for a network.
/// Whoever sends longer ones is no client of ours.
pub const MAX_LEN: usize = 2048;

/// Room for the head in front of data for a client: a Data indication from an IPv6 address.
pub(super) const MAX_HEAD_LEN: usize = HEADER_LEN + 24 + 4;

/// Bytes in front of the data of a ChannelData message (RFC 8656, 12.4).
const CHANNEL_HEAD_LEN: usize = 4;

/// Attributes that one 420 names at most.
pub(super) const MAX_UNKNOWN: usize = 4;

/// Channel numbers as RFC 5766, 11 has them, since clients made before RFC 8656 use all of them.
pub(super) const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7ffe;

/// Attribute types that only TURN and long-term credentials know (RFC 8656, 18; RFC 8489, 18.3).
pub(super) mod attribute {
    pub(in crate::turn) const CHANNEL_NUMBER: u16 = 0x000c;
    pub(in crate::turn) const LIFETIME: u16 = 0x000d;
    pub(in crate::turn) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(in crate::turn) const DATA: u16 = 0x0013;
    pub(in crate::turn) const REALM: u16 = 0x0014;
    pub(in crate::turn) const NONCE: u16 = 0x0015;
    pub(in crate::turn) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(in crate::turn) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(in crate::turn) const EVEN_PORT: u16 = 0x0018;
    pub(in crate::turn) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(in crate::turn) const DONT_FRAGMENT: u16 = 0x001a;
    pub(in crate::turn) const RESERVATION_TOKEN: u16 = 0x0022;
    pub(in crate::turn) const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
}

use self::attribute::{
    ADDITIONAL_ADDRESS_FAMILY, CHANNEL_NUMBER, DATA, DONT_FRAGMENT, EVEN_PORT, LIFETIME, NONCE,
    REALM, REQUESTED_ADDRESS_FAMILY, REQUESTED_TRANSPORT, RESERVATION_TOKEN, XOR_PEER_ADDRESS,
};

/// What is asked (RFC 8656, 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Binding,
    Allocate,
    Refresh,
    CreatePermission,
    ChannelBind,
}

impl Method {
    /// The type of a request with this method; success and error responses add bits to it.
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
        }
    }
}

/// Added to a method for a success response (RFC 8489, 5).
pub(super) const SUCCESS: u16 = 0x100;
/// Added to a method for an error response.
pub(super) const ERROR: u16 = 0x110;

const SEND_INDICATION: u16 = 0x016;
const DATA_INDICATION: u16 = 0x017;

/// Anything a client may send.
#[derive(Debug, Clone, Copy)]
pub(super) enum Incoming<'a> {
    /// A question, which gets an answer.
    Request(Method, Request<'a>),
    /// Data for a peer, by its address.
    Send {
        /// Which.
        peer: SocketAddr,
        /// For it.
        data: &'a [u8],
    },
    /// Data for a peer, by its channel.
    ChannelData {
        /// Which.
        channel: u16,
        /// For it.
        data: &'a [u8],
    },
}

/// The attributes of a request, not yet authenticated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// All of it.
    pub(super) bytes: &'a [u8],
    pub(super) username: Option<&'a str>,
    pub(super) nonce: Option<&'a [u8]>,
    pub(super) has_realm: bool,
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: Option<usize>,
    pub(super) has_fingerprint: bool,
    /// Seconds.
    pub(super) lifetime: Option<u32>,
    /// The protocol number.
    pub(super) transport: Option<u8>,
    /// The address family, and the one that is wanted as well.
    pub(super) family: Option<u8>,
    pub(super) additional_family: Option<u8>,
    /// Whether an even port is wanted, and whether the next higher one too.
    pub(super) even_port: Option<bool>,
    pub(super) has_reservation: bool,
    pub(super) channel: Option<u16>,
    /// Attributes that must be understood and are not; 0 for none.
    pub(super) unknown: [u16; MAX_UNKNOWN],
}

impl<'a> Incoming<'a> {
    /// Reads a datagram or a message of a stream; `None` for anything that is none of these.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? {
            0..=3 => Self::parse_stun(bytes),
            0x40..=0x7f => {
                let (channel, len) = (u16_at(bytes, 0)?, usize::from(u16_at(bytes, 2)?));
                let data = bytes.get(CHANNEL_HEAD_LEN..CHANNEL_HEAD_LEN + len)?;
                Some(Self::ChannelData { channel, data })
            }
            _ => None,
        }
    }

    fn parse_stun(bytes: &'a [u8]) -> Option<Self> {
        if !is_message(bytes) {
            return None;
        }
        let all = [
            Method::Binding,
            Method::Allocate,
            Method::Refresh,
            Method::CreatePermission,
            Method::ChannelBind,
        ];
        let code = u16_at(bytes, 0)?;
        if code == SEND_INDICATION {
            return Self::parse_send(bytes);
        }
        let method = all.into_iter().find(|method| method.code() == code)?;
        Some(Self::Request(method, Request::parse(bytes)?))
    }

    /// Attributes in any order, and those that a Send indication does not need, are passed over
    /// (RFC 8656, 11.2).
    fn parse_send(bytes: &'a [u8]) -> Option<Self> {
        let (mut peer, mut data) = (None, None);
        let mut at = HEADER_LEN;
        while at < bytes.len() {
            let (kind, value, next) = attribute_at(bytes, at)?;
            match kind {
                XOR_PEER_ADDRESS => peer = peer.or(read_xor_address(bytes, value)),
                DATA => data = data.or(Some(value)),
                _ => {}
            }
            at = next;
        }
        let (peer, data) = (peer?, data?);
        Some(Self::Send { peer, data })
    }
}

impl<'a> Request<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut request = Self {
            bytes,
            username: None,
            nonce: None,
            has_realm: false,
            integrity_at: None,
            has_fingerprint: false,
            lifetime: None,
            transport: None,
            family: None,
            additional_family: None,
            even_port: None,
            has_reservation: false,
            channel: None,
            unknown: [0; MAX_UNKNOWN],
        };
        let mut at = HEADER_LEN;
        while at < bytes.len() {
            let (kind, value, next) = attribute_at(bytes, at)?;
            if kind == FINGERPRINT {
                let expected = codec::fingerprint(&bytes[..at]).to_be_bytes();
                if next != bytes.len() || value != expected {
                    return None;
                }
                request.has_fingerprint = true;
            } else if request.integrity_at.is_none() {
                // What follows MESSAGE-INTEGRITY is not authenticated (RFC 8489, 14.5).
                request.take(kind, value, at)?;
            }
            at = next;
        }
        Some(request)
    }

    /// Takes one attribute; of several of a kind the first counts (RFC 8489, 14).
    fn take(&mut self, kind: u16, value: &'a [u8], at: usize) -> Option<()> {
        let first = value.first().copied();
        match kind {
            USERNAME => self.username = self.username.or(Some(std::str::from_utf8(value).ok()?)),
            REALM => self.has_realm = true,
            NONCE => self.nonce = self.nonce.or(Some(value)),
            MESSAGE_INTEGRITY if value.len() == INTEGRITY_LEN - 4 => self.integrity_at = Some(at),
            LIFETIME => self.lifetime = self.lifetime.or(u32_at(value, 0)),
            REQUESTED_TRANSPORT => self.transport = self.transport.or(first),
            REQUESTED_ADDRESS_FAMILY => self.family = self.family.or(first),
            ADDITIONAL_ADDRESS_FAMILY => {
                self.additional_family = self.additional_family.or(first);
            }
            EVEN_PORT => self.even_port = first.map(|bits| bits & 0x80 != 0),
            RESERVATION_TOKEN => self.has_reservation = true,
            CHANNEL_NUMBER => self.channel = self.channel.or(u16_at(value, 0)),
            // Nothing that is relayed here ever meets a network that could break it up; peers'
            // addresses are read where they are needed.
            DONT_FRAGMENT | XOR_PEER_ADDRESS | COMPREHENSION_OPTIONAL.. => {}
            kind => {
                if let Some(place) = self.unknown.iter_mut().find(|place| **place == 0) {
                    *place = kind;
                }
            }
        }
        Some(())
    }

    /// The peers it names, in order; one that cannot be read is `None`.
    pub(super) fn peers(&self) -> impl Iterator<Item = Option<SocketAddr>> {
        let (bytes, end) = (self.bytes, self.integrity_at.unwrap_or(self.bytes.len()));
        let mut at = HEADER_LEN;
        std::iter::from_fn(move || {
            while at < end {
                let (kind, value, next) = attribute_at(bytes, at)?;
                at = next;
                if kind == XOR_PEER_ADDRESS {
                    return Some(read_xor_address(bytes, value));
                }
            }
            None
        })
    }

    /// Names the transaction: the same request sent again has the same (RFC 8489, 5).
    pub(super) fn transaction(&self) -> [u8; 12] {
        let id = self.bytes[8..HEADER_LEN].try_into();
        id.expect("a message has a whole header")
    }

    /// Whether it claims to be authenticated.
    pub(super) fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// Whether MESSAGE-INTEGRITY was made with this key. Takes the same time for any wrong one.
    pub(super) fn verify(&self, key: &[u8]) -> bool {
        let Some(at) = self.integrity_at else {
            return false;
        };
        let expected = codec::integrity(&self.bytes[..at], key);
        let actual = &self.bytes[at + 4..at + 4 + expected.len()];
        actual.ct_eq(&expected).into()
    }
}

/// What the front of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A message of this many bytes, then padding up to so many in all.
    Message {
        /// Bytes of the message.
        len: usize,
        /// Bytes until the next one.
        total: usize,
    },
    /// A message that has not come in whole.
    Incomplete,
    /// Nothing that TURN knows: the stream is of no use any more.
    Invalid,
}

/// Finds the first message of a stream (RFC 8656, 12.5: a ChannelData message is padded to four
/// bytes there).
pub fn frame(stream: &[u8]) -> Framing {
    let (Some(first), Some(len)) = (stream.first(), u16_at(stream, 2).map(usize::from)) else {
        return Framing::Incomplete;
    };
    let len = match first {
        0..=3 if len.is_multiple_of(4) => HEADER_LEN + len,
        0x40..=0x7f => CHANNEL_HEAD_LEN + len,
        _ => return Framing::Invalid,
    };
    let total = len.next_multiple_of(4);
    match stream.len() {
        _ if len > MAX_LEN => Framing::Invalid,
        there if there < total => Framing::Incomplete,
        _ => Framing::Message { len, total },
    }
}

/// What is written in front of data for a client; see [`data_indication`].
#[derive(Debug)]
pub(super) struct Head {
    bytes: [u8; MAX_HEAD_LEN],
    len: usize,
}

impl std::ops::Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The front of a ChannelData message (RFC 8656, 12.4).
pub(super) fn channel_data(channel: u16, data: &[u8]) -> Head {
    let mut bytes = [0; MAX_HEAD_LEN];
    bytes[..2].copy_from_slice(&channel.to_be_bytes());
    bytes[2..4].copy_from_slice(&(data.len() as u16).to_be_bytes());
    let len = CHANNEL_HEAD_LEN;
    Head { bytes, len }
}

/// The front of a Data indication (RFC 8656, 11.4), whose DATA attribute comes last. Its
/// transaction means nothing to anybody.
pub(super) fn data_indication(from: SocketAddr, data: &[u8]) -> Head {
    let mut bytes = [0; MAX_HEAD_LEN];
    let mut like = [0; HEADER_LEN];
    like[4..8].copy_from_slice(&codec::MAGIC_COOKIE.to_be_bytes());
    let mut message = codec::Writer::new(DATA_INDICATION, &like, &mut bytes);
    message.xor_address(XOR_PEER_ADDRESS, from);
    let at = message.finish();
    bytes[at..at + 2].copy_from_slice(&DATA.to_be_bytes());
    bytes[at + 2..at + 4].copy_from_slice(&(data.len() as u16).to_be_bytes());
    let len = at + 4;
    let announced = (len - HEADER_LEN + data.len().next_multiple_of(4)) as u16;
    bytes[2..4].copy_from_slice(&announced.to_be_bytes());
    Head { bytes, len }
}

/// How many zeros follow data for a client: a STUN message is a multiple of four bytes, and so is
/// everything on a stream.
pub(super) fn padding(head: &Head, data: &[u8], stream: bool) -> &'static [u8] {
    let len = head.len + data.len();
    let padded = stream || head.len > CHANNEL_HEAD_LEN;
    &[0; 3][..if padded {
        len.next_multiple_of(4) - len
    } else {
        0
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_into_messages() {
        let check = |stream: &[u8], expected| assert_eq!(frame(stream), expected, "{stream:02x?}");
        check(b"", Framing::Incomplete);
        check(b"\x40\x00\x00", Framing::Incomplete);
        check(b"\x40\x00\x00\x01", Framing::Incomplete);
        check(
            b"\x40\x00\x00\x01data",
            Framing::Message { len: 5, total: 8 },
        );
        check(
            b"\x40\x00\x00\x00\x40",
            Framing::Message { len: 4, total: 4 },
        );
        check(&[0; 20], Framing::Message { len: 20, total: 20 });
        check(&[0; 19], Framing::Incomplete);
        check(b"\x00\x01\x00\x02", Framing::Invalid);
        check(b"\x40\x00\xff\xff", Framing::Invalid);
        check(b"\x80\x00\x00\x00", Framing::Invalid);
        check(b"GET ", Framing::Invalid);
    }

    #[test]
    fn a_data_indication_is_what_others_read_as_one() {
        use rtc::stun::message::Message;
        for from in ["192.0.2.1:5000", "[2001:db8::1]:5000"] {
            let from: SocketAddr = from.parse().unwrap();
            for data in [&b""[..], b"x", b"four"] {
                let head = data_indication(from, data);
                let bytes = [&head[..], data, padding(&head, data, false)].concat();
                let mut message = Message::new();
                message.unmarshal_binary(&bytes).unwrap();
                assert_eq!(message.typ.value(), DATA_INDICATION);
                let mut peer = rtc::stun::xoraddr::XorMappedAddress::default();
                let kind = rtc::stun::attributes::AttrType(XOR_PEER_ADDRESS);
                peer.get_from_as(&message, kind).unwrap();
                assert_eq!(SocketAddr::new(peer.ip, peer.port), from);
                let kind = rtc::stun::attributes::AttrType(DATA);
                assert_eq!(message.get(kind).unwrap(), data);
            }
        }
    }

    #[test]
    fn channel_data_is_padded_on_streams_only() {
        let head = channel_data(0x4001, b"hello");
        assert_eq!(head[..], *b"\x40\x01\x00\x05");
        assert_eq!(padding(&head, b"hello", false), b"");
        assert_eq!(padding(&head, b"hello", true), b"\0\0\0");
        assert_eq!(padding(&head, b"four", true), b"");
    }
}
