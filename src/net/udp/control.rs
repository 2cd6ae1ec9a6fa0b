//! What goes beside datagrams (`cmsg(3)`): how a run is cut, which address of ours is meant, when
//! one came, and how many were lost.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;
use std::time::Duration;

use libc::{c_int, cmsghdr};

/// Bytes in front of each value.
const HEAD_LEN: usize = size_of::<cmsghdr>();

/// Room for all values that come or go together: an address, a time and a count.
const LEN: usize = 3 * HEAD_LEN + 24 + 16 + 8;

/// Bytes of `struct in_pktinfo` (`ip(7)`), and where in it our address is.
const INFO_LEN: usize = 12;
const INFO_AT: usize = 4;

/// Bytes of `struct in6_pktinfo` (`ipv6(7)`), which begins with our address.
const INFO6_LEN: usize = 20;

/// Some control messages.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control {
    bytes: [u8; LEN],
    len: usize,
}

/// What is known of a received datagram besides its sender.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// The address of ours that it came to.
    pub(super) to: Option<IpAddr>,
    /// How many datagrams the socket has lost so far, modulo 2³², if it has lost any.
    pub(super) lost: Option<u32>,
    /// When it came, since the Unix epoch, if the socket was asked to say so.
    pub(super) at: Option<Duration>,
}

impl Control {
    /// None.
    pub(super) const EMPTY: Self = Self {
        bytes: [0; LEN],
        len: 0,
    };

    /// Has the kernel cut a message into datagrams of `len` bytes.
    pub(super) fn segment(&mut self, len: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &len.to_ne_bytes());
    }

    /// Has a message leave from an address of ours; `v6` as the socket is.
    pub(super) fn source(&mut self, address: IpAddr, v6: bool) {
        match (address, v6) {
            (IpAddr::V4(ip), false) => {
                let mut info = [0; INFO_LEN];
                info[INFO_AT..INFO_AT + 4].copy_from_slice(&ip.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            (IpAddr::V4(ip), true) => self.source_v6(ip.to_ipv6_mapped()),
            // On an IPv4 socket the destination is refused anyway.
            (IpAddr::V6(ip), _) => self.source_v6(ip),
        }
    }

    fn source_v6(&mut self, ip: Ipv6Addr) {
        let mut info = [0; INFO6_LEN];
        info[..16].copy_from_slice(&ip.octets());
        self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
    }

    fn push(&mut self, level: c_int, kind: c_int, value: &[u8]) {
        let head = cmsghdr {
            cmsg_len: (HEAD_LEN + value.len()) as _,
            cmsg_level: level,
            cmsg_type: kind,
        };
        let place = &mut self.bytes[self.len..self.len + HEAD_LEN];
        // SAFETY: the place has the length of a header, and any alignment will do.
        #[expect(unsafe_code, reason = "the header has private padding on some targets")]
        unsafe {
            ptr::write_unaligned(place.as_mut_ptr().cast(), head);
        }
        let at = self.len + HEAD_LEN;
        self.bytes[at..at + value.len()].copy_from_slice(value);
        self.len = aligned(at + value.len());
    }

    /// Describes it to the kernel: what there is, for sending.
    pub(super) fn attach(&mut self, header: &mut libc::msghdr) {
        if self.len > 0 {
            header.msg_control = self.bytes.as_mut_ptr().cast();
            header.msg_controllen = self.len as _;
        }
    }

    /// Describes it to the kernel: all the room, for receiving.
    pub(super) fn offer(&mut self, header: &mut libc::msghdr) {
        header.msg_control = self.bytes.as_mut_ptr().cast();
        header.msg_controllen = LEN as _;
    }

    /// What the kernel wrote, which is `len` bytes.
    pub(super) fn read(&self, len: usize) -> Received {
        let mut received = Received::default();
        let mut rest = &self.bytes[..len.min(LEN)];
        while let Some((level, kind, value, next)) = first(rest) {
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let ip = value.get(INFO_AT..).and_then(<[u8]>::first_chunk::<4>);
                    received.to = ip.map(|ip| Ipv4Addr::from(*ip).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let ip = value.first_chunk::<16>();
                    received.to = ip.map(|ip| Ipv6Addr::from(*ip).to_canonical());
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    received.lost = value.first_chunk().copied().map(u32::from_ne_bytes);
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => received.at = time(value),
                _ => {}
            }
            rest = next;
        }
        received
    }
}

/// A `struct timespec` of two words (`socket(7)`).
fn time(value: &[u8]) -> Option<Duration> {
    const WORD: usize = size_of::<libc::c_long>();
    let word = |at: usize| {
        let bytes = value.get(at..)?.first_chunk::<WORD>()?;
        u64::try_from(libc::c_long::from_ne_bytes(*bytes)).ok()
    };
    Some(Duration::from_secs(word(0)?) + Duration::from_nanos(word(WORD)?))
}

/// Level, kind and value of the first control message, and what follows it.
fn first(bytes: &[u8]) -> Option<(c_int, c_int, &[u8], &[u8])> {
    if bytes.len() < HEAD_LEN {
        return None;
    }
    // SAFETY: there are as many bytes as a header has, it is integers, and any alignment will do.
    #[expect(unsafe_code, reason = "the header has private padding on some targets")]
    let head: cmsghdr = unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) };
    let len = head.cmsg_len as usize;
    let value = bytes.get(HEAD_LEN..len)?;
    let next = bytes.get(aligned(len)..).unwrap_or_default();
    Some((head.cmsg_level, head.cmsg_type, value, next))
}

/// Each message begins where a header may.
fn aligned(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for (ip, v6) in [
            ("192.0.2.1", false),
            ("192.0.2.1", true),
            ("2001:db8::1", true),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            let mut control = Control::EMPTY;
            control.segment(1200);
            control.source(ip, v6);
            let expected = Received {
                to: Some(ip),
                ..Received::default()
            };
            assert_eq!(control.read(control.len), expected);
        }
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_passed_over() {
        let mut control = Control::EMPTY;
        control.push(libc::SOL_SOCKET, libc::SO_TIMESTAMP, &[1; 16]);
        control.push(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &7_u32.to_ne_bytes());
        assert_eq!(control.read(control.len).lost, Some(7));
        assert_eq!(control.read(control.len).at, None);
        for len in 0..control.len - 4 {
            assert_eq!(control.read(len), Received::default(), "{len}");
        }
        let mut control = Control::EMPTY;
        control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &[0; 3]);
        assert_eq!(control.read(control.len), Received::default());
    }
}
