//! STUN messages as bytes (RFC 8489, 5 and 14): attributes, addresses, integrity, fingerprint.
//! What messages mean is known to [`super::BindingRequest`] and to [`crate::turn`].

use std::net::{IpAddr, SocketAddr};

use ring::hmac;

/// Bytes in front of the attributes.
pub const HEADER_LEN: usize = 20;
/// Bytes of a whole MESSAGE-INTEGRITY attribute.
pub const INTEGRITY_LEN: usize = 24;
/// Bytes of a whole FINGERPRINT attribute.
pub const FINGERPRINT_LEN: usize = 8;

/// The fifth to the eighth byte of every message.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;
/// What the checksum is XORed with (RFC 8489, 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Attributes from here on may be passed over by who does not know them (RFC 8489, 14).
pub const COMPREHENSION_OPTIONAL: u16 = 0x8000;

/// Attribute types that more than one kind of message has.
pub mod attribute {
    #![allow(missing_docs, reason = "the names are those of RFC 8489, 18.3")]

    pub const USERNAME: u16 = 0x0006;
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub const ERROR_CODE: u16 = 0x0009;
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub const FINGERPRINT: u16 = 0x8028;
}

/// The address families of RFC 8489, 14.1.
const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// A message while it is written.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Begins a message of this type with the cookie and the transaction of `like`, which has a
    /// whole header. `out` must have room for everything that is written.
    pub fn new(kind: u16, like: &[u8], out: &'a mut [u8]) -> Self {
        out[..2].copy_from_slice(&kind.to_be_bytes());
        out[4..HEADER_LEN].copy_from_slice(&like[4..HEADER_LEN]);
        let mut message = Self {
            out,
            len: HEADER_LEN,
        };
        message.announce(0);
        message
    }

    /// Adds an attribute, with its padding.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        let end = self.len + 4 + value.len().next_multiple_of(4);
        let bytes = &mut self.out[self.len..end];
        bytes[..2].copy_from_slice(&kind.to_be_bytes());
        bytes[2..4].copy_from_slice(&(value.len() as u16).to_be_bytes());
        bytes[4..4 + value.len()].copy_from_slice(value);
        bytes[4 + value.len()..].fill(0);
        self.len = end;
        self.announce(0);
    }

    /// Adds an address that is XORed with cookie and transaction (RFC 8489, 14.2); IPv4 also where
    /// it is mapped.
    pub fn xor_address(&mut self, kind: u16, address: SocketAddr) {
        let mut value = [0; 20];
        let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
        value[2..4].copy_from_slice(&port.to_be_bytes());
        let len = match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                value[1] = IPV4;
                value[4..8].copy_from_slice(&ip.octets());
                8
            }
            IpAddr::V6(ip) => {
                value[1] = IPV6;
                value[4..20].copy_from_slice(&ip.octets());
                20
            }
        };
        for (byte, mask) in value[4..len].iter_mut().zip(&self.out[4..HEADER_LEN]) {
            *byte ^= mask;
        }
        self.attribute(kind, &value[..len]);
    }

    /// Adds MESSAGE-INTEGRITY, which covers a header that counts it already.
    pub fn integrity(&mut self, key: &[u8]) {
        let integrity = integrity(&self.out[..self.len], key);
        self.attribute(attribute::MESSAGE_INTEGRITY, &integrity);
    }

    /// Adds FINGERPRINT, the last attribute; it too covers a header that counts it.
    pub fn fingerprint(&mut self) {
        self.announce(FINGERPRINT_LEN);
        let fingerprint = fingerprint(&self.out[..self.len]);
        self.attribute(attribute::FINGERPRINT, &fingerprint.to_be_bytes());
    }

    /// How long the message is in the end.
    pub fn finish(self) -> usize {
        self.len
    }

    /// Sets the length in the header to what there is and `more` bytes.
    fn announce(&mut self, more: usize) {
        let len = (self.len - HEADER_LEN + more) as u16;
        self.out[2..4].copy_from_slice(&len.to_be_bytes());
    }
}

/// Whether a datagram has the header of a STUN message that is exactly as long.
pub fn is_message(datagram: &[u8]) -> bool {
    u32_at(datagram, 4) == Some(MAGIC_COOKIE)
        && datagram.len().is_multiple_of(4)
        && u16_at(datagram, 2).is_some_and(|len| datagram.len() == HEADER_LEN + usize::from(len))
}

/// Reads an address that was XORed with the cookie and transaction of `message`.
pub fn read_xor_address(message: &[u8], value: &[u8]) -> Option<SocketAddr> {
    let port = u16_at(value, 2)? ^ (MAGIC_COOKIE >> 16) as u16;
    let masks = message.get(4..HEADER_LEN)?;
    let mut octets = [0; 16];
    let read = value.get(4..)?;
    for ((octet, byte), mask) in octets.iter_mut().zip(read).zip(masks) {
        *octet = byte ^ mask;
    }
    let ip = match (value[1], read.len()) {
        (IPV4, 4) => IpAddr::from([octets[0], octets[1], octets[2], octets[3]]),
        (IPV6, 16) => IpAddr::from(octets),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// MESSAGE-INTEGRITY for a message that ends where the attribute begins; its header is taken to
/// count the attribute and nothing behind it (RFC 8489, 14.5).
pub fn integrity(message: &[u8], key: &[u8]) -> [u8; INTEGRITY_LEN - 4] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    let len = (message.len() - HEADER_LEN + INTEGRITY_LEN) as u16;
    context.update(&message[..2]);
    context.update(&len.to_be_bytes());
    context.update(&message[4..]);
    let tag = context.sign();
    tag.as_ref().try_into().expect("HMAC-SHA1 has 20 bytes")
}

/// FINGERPRINT of a message that ends where the attribute begins.
pub fn fingerprint(message: &[u8]) -> u32 {
    let crc = message.iter().fold(!0, |crc: u32, byte| {
        CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    });
    !crc ^ FINGERPRINT_XOR
}

/// The CRC-32 of ITU V.42, reflected polynomial 0xEDB88320, a byte at a time.
static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// Type and value of the attribute at `at`, and where the next one begins.
pub fn attribute_at(message: &[u8], at: usize) -> Option<(u16, &[u8], usize)> {
    let kind = u16_at(message, at)?;
    let len = usize::from(u16_at(message, at + 2)?);
    let value = message.get(at + 4..at + 4 + len)?;
    Some((kind, value, at + 4 + len.next_multiple_of(4)))
}

/// The number at `at`, in network order.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The number at `at`, in network order.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
