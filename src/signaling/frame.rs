//! Rumor frames: one binary websocket message each (`protocol/signaling.md`, section 3).

use std::fmt;
use std::str;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// Longest frame accepted, in bytes; settings can only lower it.
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const VECTORS: &str = include_str!("../../tests/fixtures/signaling/rumor-vectors.json");

    #[test]
    fn captured_frames_are_read_and_written_byte_for_byte() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let vectors = vectors["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 12);
        for vector in vectors {
            let bytes = from_hex(vector["hex"].as_str().unwrap());
            let frame = Frame::decode(&bytes).unwrap();
            let decoded = &vector["decoded"];
            let kind = format!("{:?}", frame.kind).to_uppercase();
            assert_eq!(kind, vector["type"].as_str().unwrap());
            assert_eq!(serde_json::json!(frame.addresses), decoded["to"]);
            let headers = decoded["headers"].as_object().unwrap();
            assert_eq!(frame.headers.len(), headers.len());
            for (name, value) in headers {
                assert_eq!(frame.header(name), value.as_str());
            }
            if decoded["data"].is_object() {
                assert_eq!(
                    serde_json::from_str::<Value>(&frame.payload).unwrap(),
                    decoded["data"]
                );
            } else {
                assert_eq!(frame.payload, decoded["data"].as_str().unwrap());
            }
            assert_eq!(frame.encode(), bytes, "{}", vector["note"]);
        }
    }

    #[test]
    fn the_ready_made_pong_is_a_pong() {
        let pong = Frame::decode(&PONG).unwrap();
        assert_eq!(
            pong,
            Frame {
                kind: FrameKind::Pong,
                ..empty()
            }
        );
    }

    #[test]
    fn an_event_carries_its_sender_and_transaction() {
        let id = Uuid::from_u128(7);
        let frame = Frame::decode(&encode_event("symphony.x", id, "c", "{}")).unwrap();
        assert_eq!(frame.kind, FrameKind::Message);
        assert_eq!(frame.transaction(), Some(id));
        assert_eq!(frame.header("X-TB-FROM-ADDRESS"), Some("symphony.x"));
        assert_eq!(
            frame.header("Content-Type"),
            Some("application/x-raptor+v2")
        );
        assert_eq!(
            (frame.addresses, &*frame.payload),
            (vec!["c".to_owned()], "{}")
        );
    }

    #[test]
    fn a_status_carries_the_requests_transaction_and_a_code() {
        let id = Uuid::from_u128(7);
        let frame = Frame::decode(&encode_status("symphony.x", id, "c", 404, "")).unwrap();
        assert_eq!(frame.kind, FrameKind::Status);
        assert_eq!(frame.header("STATUS"), Some("404"));
        assert_eq!(frame.header("TRANSACTION-ID"), Some(&*id.to_string()));
    }

    #[test]
    fn malformed_frames_are_told_apart() {
        let check = |hex: &str, error| assert_eq!(Frame::decode(&from_hex(hex)), Err(error));
        check("", FrameError::Truncated);
        check("000000", FrameError::Truncated);
        check("00000000", FrameError::Truncated);
        check("0000000600000700", FrameError::WrongLength);
        check("ffffffff0000070000", FrameError::WrongLength);
        check("0000000500000500 00", FrameError::UnknownKind(5));
        check("000000050000020100", FrameError::Truncated);
        check("0000000700000201ffff61", FrameError::Truncated);
        check("000000050000021100", FrameError::TooManyEntries);
        check("0000000500000200ff", FrameError::TooManyEntries);
        check("000000060000020000ff", FrameError::NotUtf8);
        check("000000080000020100 01c300", FrameError::NotUtf8);
        let long = vec![0; MAX_FRAME_LEN + 1];
        assert_eq!(Frame::decode(&long), Err(FrameError::TooLong));
    }

    #[test]
    fn the_longest_frame_is_accepted() {
        let payload = "x".repeat(MAX_FRAME_LEN - 9);
        let frame = Frame { payload, ..empty() };
        assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }

    #[test]
    fn a_field_too_long_for_the_format_is_cut_between_characters() {
        let frame = Frame {
            addresses: vec!["é".repeat(40_000)],
            ..empty()
        };
        let decoded = Frame::decode(&frame.encode()).unwrap();
        assert_eq!(decoded.addresses, ["é".repeat(32_767)]);
    }

    #[test]
    fn tokens_and_payloads_do_not_print() {
        let headers = vec![(header::TOKEN.to_owned(), "T1==secret".to_owned())];
        let frame = Frame {
            headers,
            payload: "secret".into(),
            ..empty()
        };
        assert!(!format!("{frame:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn a_frame_survives_encoding(
            kind in prop::sample::select(vec![0u8, 1, 2, 3, 4, 7, 8, 9]),
            addresses in vec(".{0,40}", 0..=16),
            headers in vec((".{0,20}", ".{0,200}"), 0..=16),
            payload in ".{0,500}",
        ) {
            let kind = FrameKind::from_wire(kind).unwrap();
            let frame = Frame { kind, addresses, headers, payload };
            prop_assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Frame::decode(&bytes);
        }

        #[test]
        fn arbitrary_bytes_behind_a_right_length_mean_the_same_again(
            kind in 0u8..10,
            body in vec(prop_oneof![0u8..4, any::<u8>()], 0..120),
        ) {
            let mut bytes = (body.len() as u32 + 3).to_be_bytes().to_vec();
            bytes.extend([0, 0, kind]);
            bytes.extend(body);
            if let Ok(frame) = Frame::decode(&bytes) {
                prop_assert_eq!(frame.encode(), bytes);
            }
        }
    }

    fn empty() -> Frame {
        Frame {
            kind: FrameKind::Message,
            addresses: vec![],
            headers: vec![],
            payload: String::new(),
        }
    }

    fn from_hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .chars()
            .filter_map(|c| c.to_digit(16))
            .map(|digit| digit as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }
}
