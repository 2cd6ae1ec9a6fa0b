//! What a new connection is for, read off its first bytes: one TCP port serves everything.

/// Longest first frame of an ICE-TCP connection: a check takes some 120 bytes and two names
/// (RFC 8445, 7.1). It keeps the first byte below those of the other services.
const MAX_FRAME_LEN: usize = 1023;

/// How many first bytes decide, at most.
pub const MAX_FIRST_LEN: usize = FRAME_HEAD_LEN + MAX_FRAME_LEN;

/// Bytes in front of each frame: its length (RFC 4571, 2).
const FRAME_HEAD_LEN: usize = 2;

/// Bytes of a STUN header (RFC 8489, 5).
const STUN_HEAD_LEN: usize = 20;

/// Where its magic cookie is, and what it is.
const COOKIE_AT: usize = 4;
const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();

/// The first byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// What speaks on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// TLS, with any of the others inside.
    Tls,
    /// HTTP/1.1: REST, signaling, pages.
    Http,
    /// A whole framed STUN message: media over TCP (RFC 6544, RFC 4571).
    Ice,
    /// A bare STUN message: TURN over TCP (RFC 8656, 3.1).
    Turn,
}

/// Whatever it is, it is not for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no service begins like this")]
pub struct UnknownService;

/// Tells what a connection is for by its first bytes; `None` if more are needed, which are never
/// more than [`MAX_FIRST_LEN`].
pub fn classify(first: &[u8]) -> Result<Option<Service>, UnknownService> {
    match first.first() {
        None => Ok(None),
        Some(&TLS_HANDSHAKE) => Ok(Some(Service::Tls)),
        // Methods are letters, and empty lines before them are forgiven (RFC 9112, 2.2).
        Some(b'A'..=b'Z' | b'a'..=b'z' | b'\r' | b'\n') => Ok(Some(Service::Http)),
        // The two highest bits of a STUN message are zero, and so are those of a short length.
        Some(0..=3) => stun(first),
        Some(_) => Err(UnknownService),
    }
}

/// The cookie is in one of two places. It cannot be in both: then the message in the frame would
/// be longer than the frame.
fn stun(first: &[u8]) -> Result<Option<Service>, UnknownService> {
    let cookie = |at: usize| first.get(at..at + COOKIE.len());
    match (cookie(COOKIE_AT), cookie(FRAME_HEAD_LEN + COOKIE_AT)) {
        (Some(bare), _) if bare == COOKIE => Ok(Some(Service::Turn)),
        (_, Some(framed)) if framed == COOKIE => {
            let len = usize::from(u16::from_be_bytes([first[0], first[1]]));
            match first.len() >= FRAME_HEAD_LEN + len {
                _ if len < STUN_HEAD_LEN => Err(UnknownService),
                true => Ok(Some(Service::Ice)),
                false => Ok(None),
            }
        }
        (_, Some(_)) => Err(UnknownService),
        (_, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction.";
    const ALLOCATE: &[u8] =
        b"\x00\x03\x00\x08\x21\x12\xa4\x42transaction.\x00\x19\x00\x04\x11\x00\x00\x00";

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes()[..], message].concat()
    }

    #[test]
    fn every_service_is_known_by_its_first_bytes() {
        let check = |first: &[u8], expected| assert_eq!(classify(first), expected, "{first:02x?}");
        check(b"", Ok(None));
        check(b"\x16\x03\x01\x02\x00\x01", Ok(Some(Service::Tls)));
        check(b"\x16", Ok(Some(Service::Tls)));
        check(b"G", Ok(Some(Service::Http)));
        check(b"OPTIONS / HTTP/1.1\r\n", Ok(Some(Service::Http)));
        check(b"\r\nGET / HTTP/1.1\r\n", Ok(Some(Service::Http)));
        check(BINDING, Ok(Some(Service::Turn)));
        check(ALLOCATE, Ok(Some(Service::Turn)));
        check(&BINDING[..8], Ok(Some(Service::Turn)));
        check(&framed(BINDING), Ok(Some(Service::Ice)));
        let long = [BINDING, &[0; MAX_FRAME_LEN - STUN_HEAD_LEN]].concat();
        check(&framed(&long), Ok(Some(Service::Ice)));
        check(
            &[framed(BINDING), framed(BINDING)].concat(),
            Ok(Some(Service::Ice)),
        );
    }

    #[test]
    fn strangers_are_known_too() {
        let too_short = [b"\x00\x13", &BINDING[..19]].concat();
        let too_long = framed(&[BINDING, &[0; MAX_FRAME_LEN]].concat());
        for first in [
            &b"\x05\x01\x00"[..],
            b"\x80\x80\x00\x00",
            b"\x40\x00\x00\x04data",
            b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\xff",
            &too_short,
            &too_long,
        ] {
            assert_eq!(classify(first), Err(UnknownService), "{first:02x?}");
        }
    }

    #[test]
    fn what_comes_in_pieces_is_the_same_in_the_end_and_never_something_else() {
        for whole in [
            BINDING.to_vec(),
            ALLOCATE.to_vec(),
            framed(BINDING),
            framed(ALLOCATE),
        ] {
            let end = classify(&whole);
            let mut before = (0..whole.len()).map(|len| classify(&whole[..len]));
            assert!(
                before.all(|piece| piece == Ok(None) || piece == end),
                "{whole:02x?}"
            );
        }
    }

    #[test]
    fn a_decision_never_needs_more_bytes_than_announced() {
        for first in 0..=u8::MAX {
            for fill in [0, 1, 0x21, 0xff] {
                let mut bytes = vec![fill; MAX_FIRST_LEN];
                bytes[0] = first;
                assert_ne!(classify(&bytes), Ok(None), "{first} {fill}");
                bytes[FRAME_HEAD_LEN + COOKIE_AT..][..4].copy_from_slice(&COOKIE);
                assert_ne!(classify(&bytes), Ok(None), "{first} {fill}");
            }
        }
    }
}
