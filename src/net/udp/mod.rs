//! A UDP socket that receives and sends in batches: one call for up to 64 datagrams in, one call
//! for up to 64 messages out, and runs of equal datagrams cut by the kernel or the network card
//! (`UDP_SEGMENT`, Linux 4.18).
//!
//! A socket that is bound to all addresses knows to which of them a datagram came, and answers
//! from there.

mod control;
mod receive;
mod send;
mod steering;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::ptr;
use std::time::Duration;

use tracing::{debug, info};

pub use self::steering::Steering;
use super::address::RawAddress;
use super::options::{get_option, set_option};

/// Datagrams or messages per system call.
const BATCH_LEN: usize = 64;

/// Bytes that the kernel is asked to buffer each way, unless it is asked for something else.
const BUFFER_LEN: usize = 4 << 20;

/// What happened to datagrams so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams that came and were dropped because nobody received them in time. Told with the
    /// next datagram that is received.
    pub unread: u64,
    /// Datagrams handed to the kernel.
    pub sent: u64,
    /// Datagrams not sent because the socket's buffer was full.
    pub overflowed: u64,
    /// Datagrams the kernel refused for another reason: no route, say.
    pub refused: u64,
    /// System calls that sent.
    pub send_calls: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.unread += other.unread;
        self.sent += other.sent;
        self.overflowed += other.overflowed;
        self.refused += other.refused;
        self.send_calls += other.send_calls;
    }
}

/// A non-blocking socket. Bound to `[::]` it serves IPv4 too; peers then have IPv4 addresses, not
/// mapped ones.
#[derive(Debug)]
pub struct BatchSocket {
    socket: UdpSocket,
    v6: bool,
    /// Whether runs leave as one message.
    segmentation: bool,
    /// Segmented messages refused since the last one that was not.
    refusals: u32,
    /// What the kernel last said of how many datagrams it has dropped.
    lost: u32,
    /// When each datagram of the last batch came, if that is asked for.
    arrivals: Option<Box<[Option<Duration>; BATCH_LEN]>>,
    counters: Counters,
}

impl BatchSocket {
    /// Binds a socket; fails where `bind` fails.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::new(address, false)
    }

    /// Binds `count` sockets to one port (`SO_REUSEPORT`, Linux 3.9). The kernel gives all of a
    /// peer's datagrams to the same one, which it chooses by the addresses of both.
    ///
    /// Where the system has no IPv6, `[::]` is `0.0.0.0`.
    ///
    /// # Errors
    ///
    /// Fails where `bind` fails, also if another process has the port.
    pub fn bind_group(address: SocketAddr, count: usize) -> io::Result<Vec<Self>> {
        // Sockets that share a port let another process of the same user in; one that does not
        // share finds out whether there is any.
        let alone = match Self::bind(address) {
            Err(error) if is_without_v6(&error) && address.ip().is_unspecified() => {
                info!("This system has no IPv6: media is for IPv4 alone");
                Self::bind((Ipv4Addr::UNSPECIFIED, address.port()).into())?
            }
            bound => bound?,
        };
        if count <= 1 {
            return Ok(vec![alone]);
        }
        let address = alone.local_addr()?;
        drop(alone);
        (0..count).map(|_| Self::new(address, true)).collect()
    }

    fn new(address: SocketAddr, shared: bool) -> io::Result<Self> {
        let socket = bound(address, shared)?;
        let v6 = address.is_ipv6();
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
        if address.ip().is_unspecified() {
            match v6 {
                true => set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?,
                false => set_option(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?,
            }
        }
        // Zero means no segmentation unless a message asks for it, and only kernels that know the
        // option take it.
        let segmentation = set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0)
            .inspect_err(|error| debug!(%error, "No UDP segmentation offload here"))
            .is_ok();
        let this = Self {
            socket,
            v6,
            segmentation,
            refusals: 0,
            lost: 0,
            arrivals: None,
            counters: Counters::default(),
        };
        this.buffer(BUFFER_LEN)?;
        Ok(this)
    }

    /// Asks the kernel to buffer so many bytes each way; returns how many it grants: no more than
    /// `net.core.rmem_max` and `wmem_max`.
    ///
    /// # Errors
    ///
    /// Fails where `setsockopt` fails.
    pub fn buffer(&self, len: usize) -> io::Result<[usize; 2]> {
        let wanted = libc::c_int::try_from(len).unwrap_or(libc::c_int::MAX);
        let mut granted = [0; 2];
        for (granted, option) in granted.iter_mut().zip([libc::SO_RCVBUF, libc::SO_SNDBUF]) {
            set_option(&self.socket, libc::SOL_SOCKET, option, wanted)?;
            // The kernel counts its own bookkeeping in, as much again (`socket(7)`).
            let doubled = get_option(&self.socket, libc::SOL_SOCKET, option)?;
            *granted = usize::try_from(doubled).unwrap_or(0) / 2;
        }
        Ok(granted)
    }

    /// Has the kernel say from now on when datagrams came (`SO_TIMESTAMPNS`).
    ///
    /// # Errors
    ///
    /// Fails where `setsockopt` fails.
    pub fn note_arrivals(&mut self) -> io::Result<()> {
        set_option(&self.socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        self.arrivals = Some(Box::new([None; BATCH_LEN]));
        Ok(())
    }

    /// When this datagram of the last batch reached the socket, on the machine's clock since the
    /// Unix epoch, if [`Self::note_arrivals`] was asked for.
    pub fn arrival(&self, index: usize) -> Option<Duration> {
        *self.arrivals.as_ref()?.get(index)?
    }

    /// Where the socket is bound, port included.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl AsRawFd for BatchSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn is_without_v6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

const EMPTY_VECTOR: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

// SAFETY: a header is integers and pointers, for which zero and null are values.
#[expect(unsafe_code, reason = "the header has private padding on some targets")]
const EMPTY_HEADER: libc::mmsghdr = unsafe { std::mem::zeroed() };

/// Describes `bytes` to the kernel.
fn vector(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

/// Makes a call until it is not interrupted; its result is a count or, below zero, an error.
fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(count) => return Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// A non-blocking socket; one bound to `[::]` also serves IPv4, whatever the system's default.
fn bound(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let family = if address.is_ipv6() {
        libc::AF_INET6
    } else {
        libc::AF_INET
    };
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    #[expect(
        unsafe_code,
        reason = "the standard library cannot set options before it binds"
    )]
    let fd = unsafe { libc::socket(family, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, is a UDP socket, and belongs to nobody else.
    #[expect(unsafe_code, reason = "see above")]
    let socket = unsafe { UdpSocket::from_raw_fd(fd) };
    if address.is_ipv6() {
        set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
    }
    if shared {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    let (raw, len) = RawAddress::new(address, address.is_ipv6());
    // SAFETY: the address is valid for `len` bytes and only read.
    #[expect(unsafe_code, reason = "see above")]
    let result = unsafe { libc::bind(fd, ptr::from_ref(&raw).cast(), len) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(socket)
    }
}
