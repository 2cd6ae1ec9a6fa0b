//! The STUN of an ICE-lite agent: Binding requests are read, checked and answered
//! (RFC 8489, RFC 8445, 7.3). Nothing else is STUN to us.

pub mod codec;

use std::net::SocketAddr;

use subtle::ConstantTimeEq;

use self::codec::attribute::{
    ERROR_CODE, FINGERPRINT, MESSAGE_INTEGRITY, UNKNOWN_ATTRIBUTES, USERNAME, XOR_MAPPED_ADDRESS,
};
use self::codec::{
    COMPREHENSION_OPTIONAL, FINGERPRINT_LEN, HEADER_LEN, INTEGRITY_LEN, MAGIC_COOKIE, Writer,
    attribute_at, fingerprint, integrity, is_message, u16_at,
};

/// Bytes of the longest answer; `out` of the writing methods must have at least these.
///
/// A shorter request is none, so that an answer never has more bytes: without the priority and the
/// role that RFC 8445, 7.1 demands it could be shorter.
pub const MAX_RESPONSE_LEN: usize = HEADER_LEN + 24 + INTEGRITY_LEN + FINGERPRINT_LEN;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;

/// Priority of a client's only candidate, a peer-reflexive one (RFC 8445, 5.1.2.1).
const HOST_PRIORITY: u32 = 110 << 24 | 0xffff << 8 | 255;

/// Unknown attributes that one answer names: as many as keep it shorter than its request.
const MAX_UNKNOWN: usize = 2;

/// A Binding request that has everything ICE asks of one (RFC 8445, 7.1), not yet authenticated.
#[derive(Debug, Clone, Copy)]
pub struct BindingRequest<'a> {
    datagram: &'a [u8],
    local_ufrag: &'a str,
    remote_ufrag: &'a str,
    use_candidate: bool,
    controlled: bool,
    /// Attributes that must be understood and are not; 0 for none.
    unknown: [u16; MAX_UNKNOWN],
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: usize,
}

impl<'a> BindingRequest<'a> {
    /// Reads a datagram; `None` if it is not a Binding request with USERNAME, MESSAGE-INTEGRITY
    /// and a correct FINGERPRINT.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        if u16_at(datagram, 0)? != BINDING_REQUEST
            || !is_message(datagram)
            || datagram.len() < MAX_RESPONSE_LEN
        {
            return None;
        }
        let fingerprint_at = datagram.len().checked_sub(FINGERPRINT_LEN)?;
        let mut username = None;
        let (mut use_candidate, mut controlled) = (false, false);
        let mut unknown = [0; MAX_UNKNOWN];
        let mut unknowns = unknown.iter_mut();
        let mut integrity_at = None;
        let mut at = HEADER_LEN;
        // The fingerprint is the last attribute, and what follows MESSAGE-INTEGRITY is not
        // authenticated and must be ignored (RFC 8489, 14.5).
        while at < fingerprint_at && integrity_at.is_none() {
            let (kind, value, next) = attribute_at(datagram, at)?;
            match kind {
                USERNAME => username = Some(value),
                USE_CANDIDATE => use_candidate = true,
                ICE_CONTROLLED => controlled = true,
                MESSAGE_INTEGRITY if value.len() == INTEGRITY_LEN - 4 => integrity_at = Some(at),
                PRIORITY | COMPREHENSION_OPTIONAL.. => {}
                kind => {
                    if let Some(place) = unknowns.next() {
                        *place = kind;
                    }
                }
            }
            at = next;
        }
        let (local_ufrag, remote_ufrag) = std::str::from_utf8(username?).ok()?.split_once(':')?;
        let (kind, value, _) = attribute_at(datagram, fingerprint_at)?;
        let expected = fingerprint(&datagram[..fingerprint_at]).to_be_bytes();
        if kind != FINGERPRINT || value != expected {
            return None;
        }
        let integrity_at = integrity_at?;
        Some(Self {
            datagram,
            local_ufrag,
            remote_ufrag,
            use_candidate,
            controlled,
            unknown,
            integrity_at,
        })
    }

    /// The first half of USERNAME: ours.
    pub fn local_ufrag(&self) -> &'a str {
        self.local_ufrag
    }

    /// The second half of USERNAME: the peer's.
    pub fn remote_ufrag(&self) -> &'a str {
        self.remote_ufrag
    }

    /// Whether the peer nominates this path (RFC 8445, 7.3.1.5).
    pub fn use_candidate(&self) -> bool {
        self.use_candidate
    }

    /// Whether the peer claims the controlled role, which a lite agent's peer cannot have
    /// (RFC 8445, 6.1.1); the answer is then [`Self::write_role_conflict`].
    pub fn claims_controlled(&self) -> bool {
        self.controlled
    }

    /// Whether it has attributes that must be understood and are not (RFC 8489, 6.3.1); the answer
    /// is then [`Self::write_unknown_attributes`].
    pub fn has_unknown(&self) -> bool {
        self.unknown[0] != 0
    }

    /// Whether MESSAGE-INTEGRITY was made with our password. Takes the same time for any wrong one.
    pub fn verify(&self, local_pwd: &str) -> bool {
        let expected = integrity(&self.datagram[..self.integrity_at], local_pwd.as_bytes());
        let value = self.integrity_at + 4;
        let actual = &self.datagram[value..value + expected.len()];
        actual.ct_eq(&expected).into()
    }

    /// Writes the success response to a request that came from `from`; returns its length.
    pub fn write_success(&self, from: SocketAddr, local_pwd: &str, out: &mut [u8]) -> usize {
        let mut response = Writer::new(BINDING_SUCCESS, self.datagram, out);
        response.xor_address(XOR_MAPPED_ADDRESS, from);
        sealed(response, local_pwd)
    }

    /// Writes the error 487 (RFC 8445, 7.3.1.1), after which the peer takes the other role;
    /// returns its length.
    pub fn write_role_conflict(&self, local_pwd: &str, out: &mut [u8]) -> usize {
        let mut response = Writer::new(BINDING_ERROR, self.datagram, out);
        response.attribute(ERROR_CODE, b"\0\0\x04\x57Role Conflict");
        sealed(response, local_pwd)
    }

    /// Writes the error 420 (RFC 8489, 6.3.1), which names what was not understood; returns its
    /// length.
    pub fn write_unknown_attributes(&self, local_pwd: &str, out: &mut [u8]) -> usize {
        let mut response = Writer::new(BINDING_ERROR, self.datagram, out);
        response.attribute(ERROR_CODE, b"\0\0\x04\x14Unknown");
        let mut names = [0; 2 * MAX_UNKNOWN];
        let known = self.unknown.iter().take_while(|kind| **kind != 0);
        let mut len = 0;
        for (name, kind) in names.chunks_exact_mut(2).zip(known) {
            name.copy_from_slice(&kind.to_be_bytes());
            len += 2;
        }
        response.attribute(UNKNOWN_ATTRIBUTES, &names[..len]);
        sealed(response, local_pwd)
    }
}

/// Writes a controlling agent's Binding request that nominates its path (RFC 8445, 7.2), and
/// returns its length: for clients of ours, such as load generators. `out` must have room for 120
/// bytes and the user name.
pub fn write_request(transaction: u64, username: &str, pwd: &str, out: &mut [u8]) -> usize {
    let mut head = [0; HEADER_LEN];
    head[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    head[12..].copy_from_slice(&transaction.to_be_bytes());
    let mut request = Writer::new(BINDING_REQUEST, &head, out);
    request.attribute(USERNAME, username.as_bytes());
    request.attribute(PRIORITY, &HOST_PRIORITY.to_be_bytes());
    request.attribute(ICE_CONTROLLING, &transaction.to_be_bytes());
    request.attribute(USE_CANDIDATE, &[]);
    sealed(request, pwd)
}

/// Adds what every message of ICE ends with, and gives back its length.
fn sealed(mut message: Writer<'_>, pwd: &str) -> usize {
    message.integrity(pwd.as_bytes());
    message.fingerprint();
    message.finish()
}

#[cfg(test)]
mod tests {
    use rtc::stun;
    use rtc::stun::message::Getter;

    use super::*;
    use crate::entropy::Entropy;

    /// RFC 5769, 2.1.
    const REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\
        \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\
        \x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
        \x00\x06\x00\x09evtj:h6vY   \
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\
        \xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    fn request() -> BindingRequest<'static> {
        BindingRequest::parse(REQUEST).expect("a Binding request")
    }

    /// What another implementation reads in a response, having verified it.
    fn read(response: &[u8]) -> stun::message::Message {
        let mut message = stun::message::Message::new();
        message.unmarshal_binary(response).unwrap();
        let crypto = rtc::stun::crypto::default_provider().unwrap();
        stun::fingerprint::FINGERPRINT.check(&message).unwrap();
        stun::integrity::MessageIntegrity::check(
            &mut message,
            PASSWORD.as_bytes(),
            crypto.crypto(),
        )
        .unwrap();
        message
    }

    #[test]
    fn the_request_of_rfc_5769_is_understood() {
        let request = request();
        assert_eq!(request.local_ufrag(), "evtj");
        assert_eq!(request.remote_ufrag(), "h6vY");
        assert!(!request.use_candidate());
        assert!(request.claims_controlled());
        assert!(request.verify(PASSWORD));
        assert!(!request.verify("VOkJxbRl1RmTxUk/WvJxBT"));
        assert!(!request.verify(""));
    }

    #[test]
    fn our_own_request_is_understood() {
        let mut out = [0; 200];
        let len = write_request(7, "evtj:h6vY", PASSWORD, &mut out);
        let request = BindingRequest::parse(&out[..len]).expect("a Binding request");
        assert_eq!(
            (request.local_ufrag(), request.remote_ufrag()),
            ("evtj", "h6vY")
        );
        assert!(request.use_candidate() && !request.claims_controlled());
        assert!(request.verify(PASSWORD));
        assert!(len >= MAX_RESPONSE_LEN);
        read(&out[..len]);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        for bit in 0..REQUEST.len() * 8 {
            let mut damaged = REQUEST.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(BindingRequest::parse(&damaged).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_flipped_bit_under_a_mended_fingerprint_fails_verification() {
        let fingerprint_at = REQUEST.len() - FINGERPRINT_LEN;
        for bit in 0..fingerprint_at * 8 {
            let mut damaged = REQUEST.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mended = fingerprint(&damaged[..fingerprint_at]).to_be_bytes();
            damaged[fingerprint_at + 4..].copy_from_slice(&mended);
            let verified =
                BindingRequest::parse(&damaged).is_some_and(|request| request.verify(PASSWORD));
            assert!(!verified, "bit {bit}");
        }
    }

    #[test]
    fn no_prefix_and_no_noise_is_a_request() {
        for len in 0..REQUEST.len() {
            assert!(BindingRequest::parse(&REQUEST[..len]).is_none());
        }
        let mut random = Entropy::from_seed(5);
        for _ in 0..20_000 {
            let mut noise = REQUEST.to_vec();
            // Behind the header, so that the attributes are looked at.
            random.fill(&mut noise[HEADER_LEN..]);
            let at = HEADER_LEN + 4 * random.below(8) as usize;
            noise[HEADER_LEN..at].copy_from_slice(&REQUEST[HEADER_LEN..at]);
            assert!(BindingRequest::parse(&noise).is_none());
        }
    }

    #[test]
    fn a_success_tells_where_the_request_came_from() {
        for from in [
            "192.0.2.1:32853",
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        ] {
            let from: SocketAddr = from.parse().unwrap();
            let mut out = [0xff; MAX_RESPONSE_LEN];
            let len = request().write_success(from, PASSWORD, &mut out);
            assert!(len < REQUEST.len());
            let message = read(&out[..len]);
            assert_eq!(message.typ, stun::message::BINDING_SUCCESS);
            assert_eq!(message.transaction_id.0, REQUEST[8..20]);
            let mut mapped = stun::xoraddr::XorMappedAddress::default();
            mapped.get_from(&message).unwrap();
            assert_eq!(SocketAddr::new(mapped.ip, mapped.port), from);
        }
    }

    #[test]
    fn an_ipv4_address_from_a_dual_stack_socket_is_told_as_ipv4() {
        let mut out = [0; MAX_RESPONSE_LEN];
        let from = "[::ffff:192.0.2.1]:32853".parse().unwrap();
        let len = request().write_success(from, PASSWORD, &mut out);
        // RFC 5769, 2.2: 192.0.2.1, port 32853.
        assert_eq!(
            out[HEADER_LEN..HEADER_LEN + 12],
            *b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"
        );
        read(&out[..len]);
    }

    #[test]
    fn a_request_that_would_be_shorter_than_its_answer_is_none() {
        let head = &REQUEST[..HEADER_LEN];
        let mut out = [0; 200];
        for (padding, is_one) in [(4, false), (8, true)] {
            let mut request = Writer::new(BINDING_REQUEST, head, &mut out);
            request.attribute(USERNAME, b"evtj:h6vY");
            request.attribute(0x8022, &[0; 8][..padding - 4]);
            let len = sealed(request, PASSWORD);
            assert_eq!(len, 68 + padding);
            assert_eq!(BindingRequest::parse(&out[..len]).is_some(), is_one);
        }
    }

    /// [`REQUEST`] with other attributes in front of its own, and a FINGERPRINT that fits; the
    /// integrity does not.
    fn with_attributes(kinds: &[u16]) -> Vec<u8> {
        let mut message = REQUEST[..HEADER_LEN].to_vec();
        for kind in kinds {
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&[0, 0]);
        }
        message.extend_from_slice(&REQUEST[HEADER_LEN..]);
        let len = (message.len() - HEADER_LEN) as u16;
        message[2..4].copy_from_slice(&len.to_be_bytes());
        let fingerprint_at = message.len() - FINGERPRINT_LEN;
        let mended = fingerprint(&message[..fingerprint_at]).to_be_bytes();
        message[fingerprint_at + 4..].copy_from_slice(&mended);
        message
    }

    #[test]
    fn attributes_that_must_be_understood_and_are_not_are_named_in_error_420() {
        assert!(!request().has_unknown());
        let optional = with_attributes(&[0xc057, 0x8022]);
        assert!(!BindingRequest::parse(&optional).unwrap().has_unknown());
        for (kinds, named) in [
            (&[0x7ffe][..], &[0x7f, 0xfe][..]),
            (&[0x0003, 0x0025, 0x7ffe, 0x0026], &[0, 3, 0x7f, 0xfe]),
        ] {
            let datagram = with_attributes(kinds);
            let request = BindingRequest::parse(&datagram).unwrap();
            assert!(request.has_unknown());
            let mut out = [0xff; MAX_RESPONSE_LEN];
            let len = request.write_unknown_attributes(PASSWORD, &mut out);
            assert!(len < datagram.len());
            let message = read(&out[..len]);
            assert_eq!(message.typ, stun::message::BINDING_ERROR);
            let mut code = stun::error_code::ErrorCodeAttribute::default();
            code.get_from(&message).unwrap();
            assert_eq!(code.code.0, 420);
            let unknown = message.get(stun::attributes::ATTR_UNKNOWN_ATTRIBUTES);
            assert_eq!(unknown.unwrap(), named);
        }
    }

    #[test]
    fn a_role_conflict_is_error_487() {
        let mut out = [0xff; MAX_RESPONSE_LEN];
        let len = request().write_role_conflict(PASSWORD, &mut out);
        assert!(len < REQUEST.len());
        let message = read(&out[..len]);
        assert_eq!(message.typ, stun::message::BINDING_ERROR);
        let mut code = stun::error_code::ErrorCodeAttribute::default();
        code.get_from(&message).unwrap();
        assert_eq!(code.code.0, 487);
    }
}
