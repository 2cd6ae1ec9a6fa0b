//! Rumor frames: one binary websocket message each (`protocol/signaling.md`, section 3).

use std::fmt;
use std::str;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// Longest frame accepted, in bytes.
///
/// The longest legitimate ones carry an SDP with many codecs and candidates, some 20 kB. Ours.
pub const MAX_FRAME_LEN: usize = 256 * 1024;

/// Most addresses, and most headers, of an accepted frame. Clients send at most one and four.
const MAX_ENTRIES: u8 = 16;

/// Content type of every Raptor payload.
const RAPTOR: &str = "application/x-raptor+v2";

/// The answer to a PING, ready to send.
pub const PONG: Bytes = Bytes::from_static(&[0, 0, 0, 5, 0, 0, FrameKind::Pong as u8, 0, 0]);

/// Names of the headers in use; they are case-sensitive.
pub mod header {
    /// On CONNECT: the connection id.
    pub const UNIQUE_ID: &str = "uniqueId";
    /// On DISCONNECT: `1` if the socket is being replaced, empty if the client leaves.
    pub const RECONNECT: &str = "reconnect";
    /// Ties a STATUS to the message it answers or acknowledges.
    pub const TRANSACTION_ID: &str = "TRANSACTION-ID";
    /// The sender's Rumor address.
    pub const FROM_ADDRESS: &str = "X-TB-FROM-ADDRESS";
    /// Always the Raptor type.
    pub const CONTENT_TYPE: &str = "Content-Type";
    /// On a connection create: the token. A secret.
    pub const TOKEN: &str = "X-TB-TOKEN-AUTH";
    /// On a STATUS of the server: a decimal code like HTTP's.
    pub const STATUS: &str = "STATUS";
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// The client wants messages for the addresses.
    Subscribe = 0,
    /// The client no longer wants them.
    Unsubscribe = 1,
    /// Carries a Raptor message.
    Message = 2,
    /// The first frame on a fresh socket.
    Connect = 3,
    /// The client leaves, or abandons this socket for another.
    Disconnect = 4,
    /// Keepalive.
    Ping = 7,
    /// Answer to [`Self::Ping`].
    Pong = 8,
    /// Answer to a message, or its acknowledgement.
    Status = 9,
}

impl FrameKind {
    fn from_wire(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Subscribe,
            1 => Self::Unsubscribe,
            2 => Self::Message,
            3 => Self::Connect,
            4 => Self::Disconnect,
            7 => Self::Ping,
            8 => Self::Pong,
            9 => Self::Status,
            _ => return None,
        })
    }
}

/// One frame. `Debug` shows neither header values nor payload: they hold tokens and signals.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is for.
    pub kind: FrameKind,
    /// Topics or receivers.
    pub addresses: Vec<String>,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// Raptor JSON, or empty.
    pub payload: String,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME_LEN`].
    #[error("frame is too long")]
    TooLong,
    /// The length field does not say how long the frame is.
    #[error("frame length does not match")]
    WrongLength,
    /// It ends within a field.
    #[error("frame ends early")]
    Truncated,
    /// A type the protocol does not have.
    #[error("unknown frame type {0}")]
    UnknownKind(u8),
    /// More addresses or headers than any client has use for.
    #[error("too many addresses or headers")]
    TooManyEntries,
    /// An address, a header or the payload is not UTF-8.
    #[error("frame text is not UTF-8")]
    NotUtf8,
}

impl Frame {
    /// Reads one whole frame. The reserved bytes may hold anything, as they do for the client.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if bytes.len() > MAX_FRAME_LEN {
            return Err(FrameError::TooLong);
        }
        let mut reader = Reader { rest: bytes };
        let [a, b, c, d] = reader.array()?;
        if u32::from_be_bytes([a, b, c, d]) as usize != reader.rest.len() {
            return Err(FrameError::WrongLength);
        }
        let [_, _, kind] = reader.array()?;
        let kind = FrameKind::from_wire(kind).ok_or(FrameError::UnknownKind(kind))?;
        let addresses = (0..reader.count()?)
            .map(|_| reader.string())
            .collect::<Result<_, _>>()?;
        let headers = (0..reader.count()?)
            .map(|_| Ok((reader.string()?, reader.string()?)))
            .collect::<Result<_, _>>()?;
        let payload = text(reader.rest)?;
        Ok(Self {
            kind,
            addresses,
            headers,
            payload,
        })
    }

    /// The frame's bytes. At most 255 addresses and headers of at most 65535 bytes can be written;
    /// what is beyond that is cut off, which cannot happen to a decoded frame.
    pub fn encode(&self) -> Bytes {
        let addresses: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        encode(self.kind, &addresses, &headers, &self.payload)
    }

    /// The value of the first header with this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The transaction id, if there is one and it is a UUID.
    pub fn transaction(&self) -> Option<Uuid> {
        self.header(header::TRANSACTION_ID)
            .and_then(|id| Uuid::try_parse(id).ok())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("addresses", &self.addresses)
            .field("headers", &names)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

/// A MESSAGE frame with an event. The same bytes may go to any number of clients: they do not
/// check `address`, and each acknowledges `transaction` on its own socket.
pub fn encode_event(from: &str, transaction: Uuid, address: &str, payload: &str) -> Bytes {
    let mut id = Uuid::encode_buffer();
    let headers = [
        (
            header::TRANSACTION_ID,
            &*transaction.hyphenated().encode_lower(&mut id),
        ),
        (header::FROM_ADDRESS, from),
        (header::CONTENT_TYPE, RAPTOR),
    ];
    encode(FrameKind::Message, &[address], &headers, payload)
}

/// The STATUS frame that answers the request with this transaction id.
pub fn encode_status(
    from: &str,
    transaction: Uuid,
    address: &str,
    status: u16,
    payload: &str,
) -> Bytes {
    let mut id = Uuid::encode_buffer();
    let headers = [
        (
            header::TRANSACTION_ID,
            &*transaction.hyphenated().encode_lower(&mut id),
        ),
        (header::STATUS, &*status.to_string()),
        (header::FROM_ADDRESS, from),
        (header::CONTENT_TYPE, RAPTOR),
    ];
    encode(FrameKind::Status, &[address], &headers, payload)
}

fn encode(kind: FrameKind, addresses: &[&str], headers: &[(&str, &str)], payload: &str) -> Bytes {
    let addresses = &addresses[..addresses.len().min(u8::MAX.into())];
    let headers = &headers[..headers.len().min(u8::MAX.into())];
    let texts: usize = addresses.iter().map(|a| 2 + a.len()).sum::<usize>()
        + headers
            .iter()
            .map(|(name, value)| 4 + name.len() + value.len())
            .sum::<usize>();
    let mut out = BytesMut::with_capacity(4 + 5 + texts + payload.len());
    out.put_u32(0);
    out.put_u16(0);
    out.put_u8(kind as u8);
    out.put_u8(addresses.len() as u8);
    for address in addresses {
        put_string(&mut out, address);
    }
    out.put_u8(headers.len() as u8);
    for (name, value) in headers {
        put_string(&mut out, name);
        put_string(&mut out, value);
    }
    out.put_slice(payload.as_bytes());
    let len = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&len.to_be_bytes());
    out.freeze()
}

fn put_string(out: &mut BytesMut, text: &str) {
    let text = &text[..text.floor_char_boundary(u16::MAX.into())];
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

fn text(bytes: &[u8]) -> Result<String, FrameError> {
    str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| FrameError::NotUtf8)
}

/// Takes fields off the front.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(FrameError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn count(&mut self) -> Result<u8, FrameError> {
        let [count] = self.array()?;
        (count <= MAX_ENTRIES)
            .then_some(count)
            .ok_or(FrameError::TooManyEntries)
    }

    fn string(&mut self) -> Result<String, FrameError> {
        let len = u16::from_be_bytes(self.array()?);
        let (head, rest) = self
            .rest
            .split_at_checked(len.into())
            .ok_or(FrameError::Truncated)?;
        self.rest = rest;
        text(head)
    }
}
