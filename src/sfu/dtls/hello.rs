//! A look at records and at the ClientHello before the library sees them.
//!
//! The library follows the client's order of SRTP profiles, and browsers put AES-CM with
//! HMAC-SHA1 before the faster AES-GCM. So each association is told to accept one profile only:
//! GCM if the client's list has it anywhere, else AES-CM. That is known from the first
//! ClientHello, which is put together here from its fragments (RFC 6347, 4.2.3).

/// Longest ClientHello we wait for, in bytes. Browsers send less than 500.
const MAX_HELLO_LEN: usize = 4096;

/// Bytes before the payload of a record (RFC 6347, 4.1).
const RECORD_HEADER_LEN: usize = 13;

/// Bytes before the body of a handshake fragment (RFC 6347, 4.2.2).
const FRAGMENT_HEADER_LEN: usize = 12;

/// Content types of records (RFC 5246, 6.2.1).
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;

/// `client_hello` (RFC 5246, 7.4).
const CLIENT_HELLO: u8 = 1;

/// The `use_srtp` extension, and `SRTP_AEAD_AES_128_GCM` in it (RFC 5764, RFC 7714).
const USE_SRTP: u16 = 14;
const AEAD_AES_128_GCM: u16 = 7;

/// One record of a datagram.
pub(super) struct Record<'a> {
    pub(super) content_type: u8,
    pub(super) epoch: u16,
    payload: &'a [u8],
}

/// The records of a datagram; `None` unless it consists of whole DTLS records.
pub(super) fn records(datagram: &[u8]) -> Option<Vec<Record<'_>>> {
    let mut reader = Reader(datagram);
    let mut records = Vec::new();
    while !reader.0.is_empty() {
        let header = Reader(reader.take(RECORD_HEADER_LEN)?);
        let &[
            content_type,
            major,
            _,
            epoch_hi,
            epoch_lo,
            ..,
            len_hi,
            len_lo,
        ] = header.0
        else {
            return None;
        };
        // Change cipher spec to application data; DTLS versions count down from 0xfeff.
        if !(20..=23).contains(&content_type) || major != 0xfe {
            return None;
        }
        // The library calls an empty record malformed.
        let len = usize::from(u16::from_be_bytes([len_hi, len_lo]));
        if len == 0 {
            return None;
        }
        records.push(Record {
            content_type,
            epoch: u16::from_be_bytes([epoch_hi, epoch_lo]),
            payload: reader.take(len)?,
        });
    }
    Some(records).filter(|records| !records.is_empty())
}

/// Whether a datagram has a record of this content type.
pub(super) fn has(datagram: &[u8], content_type: u8) -> bool {
    let records = records(datagram).into_iter().flatten();
    records.into_iter().any(|r| r.content_type == content_type)
}

/// Whether a datagram has a part of a client's first message.
pub(super) fn begins(datagram: &[u8]) -> bool {
    records(datagram).is_some_and(|records| fragments(&records).next().is_some())
}

/// Puts a ClientHello together.
#[derive(Debug, Default)]
pub(super) struct HelloReader {
    message: Vec<u8>,
    seen: Vec<bool>,
}

impl HelloReader {
    /// Takes a datagram. Once the ClientHello is complete: whether it offers AES-GCM.
    pub(super) fn push(&mut self, datagram: &[u8]) -> Option<bool> {
        let records = records(datagram)?;
        for fragment in fragments(&records) {
            if self.seen.is_empty() {
                self.message = vec![0; fragment.total];
                self.seen = vec![false; fragment.total];
            }
            let range = fragment.offset..fragment.offset + fragment.body.len();
            // Parts of messages of different lengths do not make one.
            if fragment.total == self.message.len()
                && let Some(place) = self.message.get_mut(range.clone())
            {
                place.copy_from_slice(fragment.body);
                self.seen[range].fill(true);
            }
        }
        let complete = !self.seen.is_empty() && self.seen.iter().all(|seen| *seen);
        complete.then(|| offers_gcm(&self.message).unwrap_or(false))
    }
}

/// A part of the client's first message.
struct Fragment<'a> {
    total: usize,
    offset: usize,
    body: &'a [u8],
}

fn fragments<'a>(records: &'a [Record<'a>]) -> impl Iterator<Item = Fragment<'a>> {
    records
        .iter()
        .filter(|record| record.content_type == HANDSHAKE && record.epoch == 0)
        .filter_map(|record| {
            let mut reader = Reader(record.payload);
            let header = Reader(reader.take(FRAGMENT_HEADER_LEN)?).0;
            let number = |at: usize| {
                header[at..at + 3]
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
            };
            let (total, offset) = (number(1), number(6));
            let first = header[0] == CLIENT_HELLO && header[4..6] == [0, 0];
            if !first || !(1..=MAX_HELLO_LEN).contains(&total) {
                return None;
            }
            let body = reader.take(number(9))?;
            Some(Fragment {
                total,
                offset,
                body,
            })
        })
}

/// Reads a whole ClientHello (RFC 5246, 7.4.1.2, with the cookie of RFC 6347, 4.2.1).
fn offers_gcm(hello: &[u8]) -> Option<bool> {
    let mut reader = Reader(hello);
    reader.take(2 + 32)?; // version, random
    reader.vector8()?; // session id
    reader.vector8()?; // cookie
    reader.vector16()?; // cipher suites
    reader.vector8()?; // compression methods
    let mut extensions = Reader(reader.vector16()?);
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let mut extension = Reader(extensions.vector16()?);
        if kind == USE_SRTP {
            let profiles = extension.vector16()?;
            let gcm = AEAD_AES_128_GCM.to_be_bytes();
            return Some(profiles.chunks_exact(2).any(|profile| profile == gcm));
        }
    }
    Some(false)
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let len = self.take(1)?[0];
        self.take(len.into())
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_profile_list_is_found() {
        assert_eq!(push(&hello(&[1, 7])), Some(true));
        assert_eq!(push(&hello(&[7])), Some(true));
        assert_eq!(push(&hello(&[1, 8])), Some(false));
        assert_eq!(push(&hello(&[])), Some(false));
    }

    #[test]
    fn fragments_may_come_in_any_order_and_twice() {
        let hello = hello(&[1, 7]);
        let part = |range: std::ops::Range<usize>| datagram(&hello, range);
        let mut reader = HelloReader::default();
        assert_eq!(reader.push(&part(20..hello.len())), None);
        assert_eq!(reader.push(&part(20..hello.len())), None);
        assert_eq!(reader.push(&part(0..10)), None);
        assert_eq!(reader.push(&part(5..25)), Some(true));
    }

    #[test]
    fn an_endless_hello_is_not_waited_for() {
        let long = vec![0; MAX_HELLO_LEN + 1];
        assert!(!begins(&datagram(&long, 0..1)));
        assert!(begins(&datagram(&long[1..], 0..1)));
    }

    #[test]
    fn what_is_not_whole_records_is_seen_as_such() {
        let whole = datagram(&hello(&[1]), 0..20);
        assert!(records(&whole).is_some());
        assert!(records(&whole[..whole.len() - 1]).is_none());
        assert!(records(&[whole.as_slice(), &[22]].concat()).is_none());
        assert!(records(&[]).is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = push_datagram(&bytes);
            let _ = offers_gcm(&bytes);
            let _ = push_datagram(&datagram(&bytes, 0..bytes.len()));
        }
    }

    fn push_datagram(bytes: &[u8]) -> Option<bool> {
        HelloReader::default().push(bytes)
    }

    fn push(hello: &[u8]) -> Option<bool> {
        push_datagram(&datagram(hello, 0..hello.len()))
    }

    fn hello(profiles: &[u16]) -> Vec<u8> {
        let list: Vec<u8> = profiles.iter().flat_map(|p| p.to_be_bytes()).collect();
        let mut hello = vec![0; 34];
        // Session id, cookie, one suite, one compression method.
        hello.extend([0, 2, 9, 9, 0, 2, 0xc0, 0x2b, 1, 0]);
        let extensions = [
            &[
                0,
                23,
                0,
                0,
                0,
                14,
                0,
                list.len() as u8 + 3,
                0,
                list.len() as u8,
            ][..],
            &list,
            &[0],
        ]
        .concat();
        hello.extend([0, extensions.len() as u8]);
        hello.extend(extensions);
        hello
    }

    fn datagram(message: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
        let be24 = |n: usize| [(n >> 16) as u8, (n >> 8) as u8, n as u8];
        let body = &message[range.clone()];
        let payload_len = (FRAGMENT_HEADER_LEN + body.len()) as u16;
        let mut out = vec![HANDSHAKE, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        out.extend(payload_len.to_be_bytes());
        out.push(CLIENT_HELLO);
        out.extend(be24(message.len()));
        out.extend([0, 0]);
        out.extend(be24(range.start));
        out.extend(be24(body.len()));
        out.extend(body);
        out
    }
}
