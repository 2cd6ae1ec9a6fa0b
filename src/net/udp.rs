//! A UDP socket that receives and sends in batches: one call for up to 64 datagrams in, one call
//! for up to 64 messages out, and runs of equal datagrams cut by the kernel or the network card
//! (`UDP_SEGMENT`, Linux 4.18).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::ptr;

use tracing::{debug, warn};

use super::address::{RAW_LEN, RawAddress};
use crate::sfu::datagram::{Message, ReceiveSlab, SLOT_LEN, SendSlab, Transmit};

/// Datagrams or messages per system call.
const BATCH_LEN: usize = 64;

/// Bytes the kernel is asked to buffer each way: 100 ms at 300 Mbit/s. It grants no more than
/// `net.core.rmem_max` and `wmem_max`.
const BUFFER_LEN: libc::c_int = 4 << 20;

/// Longest datagram left to segmentation. Longer ones could exceed the path's MTU, where a
/// segmented message is an error and a single datagram is only fragmented.
const MAX_SEGMENT_LEN: usize = 1400;

/// Segmented messages refused in a row before the socket stops trying. Not just one, since the
/// refusal may be about one destination and not about the socket.
const MAX_REFUSALS: u32 = 16;

/// What happened to datagrams so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams handed to the kernel.
    pub sent: u64,
    /// Datagrams dropped because the socket's buffer was full.
    pub overflowed: u64,
    /// Datagrams the kernel refused for another reason: no route, say.
    pub refused: u64,
    /// System calls that sent.
    pub send_calls: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
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
    /// # Errors
    ///
    /// Fails where `bind` fails, also if another process has the port.
    pub fn bind_group(address: SocketAddr, count: usize) -> io::Result<Vec<Self>> {
        // Sockets that share a port let another process of the same user in; one that does not
        // share finds out whether there is any.
        let alone = Self::bind(address)?;
        if count <= 1 {
            return Ok(vec![alone]);
        }
        let address = alone.local_addr()?;
        drop(alone);
        (0..count).map(|_| Self::new(address, true)).collect()
    }

    fn new(address: SocketAddr, shared: bool) -> io::Result<Self> {
        let socket = bound(address, shared)?;
        for (name, option) in [("receive", libc::SO_RCVBUF), ("send", libc::SO_SNDBUF)] {
            if let Err(error) = set_option(&socket, libc::SOL_SOCKET, option, BUFFER_LEN) {
                warn!(%error, buffer = name, "Socket buffer keeps its default length");
            }
        }
        // Zero means no segmentation unless a message asks for it, and only kernels that know the
        // option take it.
        let segmentation = set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0)
            .inspect_err(|error| debug!(%error, "No UDP segmentation offload here"))
            .is_ok();
        let (v6, counters) = (address.is_ipv6(), Counters::default());
        Ok(Self {
            socket,
            v6,
            segmentation,
            refusals: 0,
            counters,
        })
    }

    /// Replaces what is in `slab` by what has arrived, up to 64 datagrams; returns how many.
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing has.
    pub fn receive(&mut self, slab: &mut ReceiveSlab) -> io::Result<usize> {
        slab.clear();
        let mut addresses = [RawAddress::empty(); BATCH_LEN];
        let mut vectors = [EMPTY_VECTOR; BATCH_LEN];
        let mut headers = [EMPTY_HEADER; BATCH_LEN];
        let mut slots = 0;
        for slot in slab.bytes_mut().chunks_exact_mut(SLOT_LEN).take(BATCH_LEN) {
            vectors[slots] = libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: slot.len(),
            };
            let header = &mut headers[slots].msg_hdr;
            header.msg_name = ptr::from_mut(&mut addresses[slots]).cast();
            header.msg_namelen = RAW_LEN;
            header.msg_iov = &raw mut vectors[slots];
            header.msg_iovlen = 1;
            slots += 1;
        }
        let count = retry(|| {
            // SAFETY: the first `slots` headers point to an address and a vector in the arrays
            // above, and each vector to a slot of the slab; all outlive the call and are used
            // only by it.
            #[expect(unsafe_code, reason = "recvmmsg has no safe wrapper")]
            unsafe {
                let fd = self.socket.as_raw_fd();
                libc::recvmmsg(
                    fd,
                    headers.as_mut_ptr(),
                    slots as libc::c_uint,
                    0,
                    ptr::null_mut(),
                )
            }
        })?;
        for (header, address) in headers.iter().zip(&addresses).take(count) {
            // A datagram from no address keeps its slot, but as an empty one it means nothing.
            let (len, from) = match address.get() {
                Some(from) => (header.msg_len as usize, from),
                None => (0, SocketAddr::from(([0, 0, 0, 0], 0))),
            };
            slab.filled(len, from.into());
        }
        self.counters.received += count as u64;
        Ok(count)
    }

    /// Where the socket is bound, port included.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a message can go out as it is.
    fn takes(&self, message: &Message) -> bool {
        let segmented = self.segmentation && message.segment <= MAX_SEGMENT_LEN;
        segmented || !is_run(message)
    }

    /// Deals with at least the first of `messages`, and returns with how many.
    ///
    /// [`io::ErrorKind::WouldBlock`] once the socket's buffer is full.
    fn send_some(&mut self, bytes: &[u8], messages: &[Message]) -> io::Result<usize> {
        let count = messages
            .iter()
            .take(BATCH_LEN)
            .take_while(|message| self.takes(message))
            .count();
        if count == 0 {
            self.send_singly(bytes, &messages[0])?;
            return Ok(1);
        }
        match self.send_batch(bytes, &messages[..count]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            // The call fails only if the first message does.
            Err(error) if is_run(&messages[0]) => {
                self.note_refusal(&error);
                self.send_singly(bytes, &messages[0])?;
                Ok(1)
            }
            Err(_) => {
                self.counters.refused += 1;
                Ok(1)
            }
            sent => sent,
        }
    }

    /// Sends the datagrams of a run each on its own.
    fn send_singly(&mut self, bytes: &[u8], run: &Message) -> io::Result<()> {
        let end = run.offset + run.len;
        let mut singles = (run.offset..end).step_by(run.segment).map(|offset| {
            let len = run.segment.min(end - offset);
            Message {
                offset,
                len,
                segment: len,
                ..*run
            }
        });
        let mut batch = [*run; BATCH_LEN];
        loop {
            let mut count = 0;
            for (place, single) in batch.iter_mut().zip(&mut singles) {
                *place = single;
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            let mut sent = 0;
            while sent < count {
                sent += self.send_some(bytes, &batch[sent..count])?;
            }
        }
    }

    /// One call; returns how many of the messages the kernel took, or why not even the first.
    fn send_batch(&mut self, bytes: &[u8], messages: &[Message]) -> io::Result<usize> {
        let mut addresses = [RawAddress::empty(); BATCH_LEN];
        let mut vectors = [EMPTY_VECTOR; BATCH_LEN];
        let mut controls = [SegmentControl::new(0); BATCH_LEN];
        let mut headers = [EMPTY_HEADER; BATCH_LEN];
        for (i, message) in messages.iter().enumerate() {
            let header = &mut headers[i].msg_hdr;
            (addresses[i], header.msg_namelen) = RawAddress::new(message.to.remote, self.v6);
            header.msg_name = ptr::from_mut(&mut addresses[i]).cast();
            vectors[i] = vector(&bytes[message.offset..message.offset + message.len]);
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
            if is_run(message) {
                controls[i] = SegmentControl::new(message.segment as u16);
                header.msg_control = ptr::from_mut(&mut controls[i]).cast();
                header.msg_controllen = size_of::<SegmentControl>() as _;
            }
        }
        self.counters.send_calls += 1;
        let count = retry(|| {
            // SAFETY: as many headers as there are messages point into the arrays above, and
            // their vectors to parts of `bytes`, which the kernel only reads; all outlive the
            // call. The array lengths are checked by the indexing above.
            #[expect(unsafe_code, reason = "sendmmsg has no safe wrapper")]
            unsafe {
                let (fd, len) = (self.socket.as_raw_fd(), messages.len() as libc::c_uint);
                libc::sendmmsg(fd, headers.as_mut_ptr(), len, 0)
            }
        })?;
        for message in &messages[..count] {
            self.counters.sent += datagrams(message);
            if is_run(message) {
                self.refusals = 0;
            }
        }
        Ok(count)
    }

    fn note_refusal(&mut self, error: &io::Error) {
        self.refusals += 1;
        if self.refusals >= MAX_REFUSALS && self.segmentation {
            warn!(%error, "UDP segmentation offload refused; sending single datagrams");
            self.segmentation = false;
        }
    }
}

impl Transmit for BatchSocket {
    fn transmit(&mut self, slab: &SendSlab) {
        let before = self.counters.sent + self.counters.refused;
        let mut rest = slab.messages();
        while !rest.is_empty() {
            match self.send_some(slab.bytes(), rest) {
                Ok(count) => rest = &rest[count..],
                Err(_) => {
                    // Waiting would hold up everybody for the sake of one full buffer.
                    let all: u64 = slab.messages().iter().map(datagrams).sum();
                    let done = self.counters.sent + self.counters.refused - before;
                    self.counters.overflowed += all - done;
                    return;
                }
            }
        }
    }
}

impl AsRawFd for BatchSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Whether a message is more than one datagram.
fn is_run(message: &Message) -> bool {
    message.segment < message.len
}

fn datagrams(message: &Message) -> u64 {
    message.len.div_ceil(message.segment) as u64
}

/// The control message that has the kernel cut a run, laid out as `cmsg(3)` asks.
#[derive(Clone, Copy)]
#[repr(C)]
struct SegmentControl {
    header: libc::cmsghdr,
    segment: u16,
    /// Control messages are padded to the alignment of their header.
    padding: [u8; size_of::<libc::cmsghdr>() / 2 - 2],
}

impl SegmentControl {
    fn new(segment: u16) -> Self {
        Self {
            header: libc::cmsghdr {
                cmsg_len: (size_of::<libc::cmsghdr>() + size_of::<u16>()) as _,
                cmsg_level: libc::SOL_UDP,
                cmsg_type: libc::UDP_SEGMENT,
            },
            segment,
            padding: [0; size_of::<libc::cmsghdr>() / 2 - 2],
        }
    }
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

fn set_option(
    socket: &UdpSocket,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is an integer of `len` bytes and only read.
    #[expect(
        unsafe_code,
        reason = "the standard library does not know these options"
    )]
    let result = unsafe {
        let value = ptr::from_ref(&value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, option, value, len)
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sfu::path::Path;

    /// What an IPv4 socket does not reach.
    fn nowhere() -> SocketAddr {
        "[2001:db8::1]:9".parse().unwrap()
    }

    fn pair(address: &str) -> (BatchSocket, UdpSocket, SocketAddr) {
        let socket = BatchSocket::bind(address.parse().unwrap()).unwrap();
        let peer = UdpSocket::bind(address).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let to = peer.local_addr().unwrap();
        (socket, peer, to)
    }

    fn slab_of(datagrams: &[Vec<u8>], to: impl Into<Path>) -> SendSlab {
        let (mut slab, to) = (SendSlab::new(256 * 1024), to.into());
        for datagram in datagrams {
            slab.spare_mut()[..datagram.len()].copy_from_slice(datagram);
            slab.commit(datagram.len(), to);
        }
        slab
    }

    /// Runs of several lengths, a single datagram and one too long to be segmented.
    fn mixture() -> Vec<Vec<u8>> {
        let lens = [
            1200, 1200, 1200, 300, 50, 1300, 1300, 7, 1450, 1450, 1450, 90,
        ];
        lens.iter()
            .enumerate()
            .map(|(i, len)| vec![i as u8; *len])
            .collect()
    }

    fn read(peer: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
        let mut buffer = [0; 4096];
        (0..count)
            .map(|_| {
                let len = peer.recv(&mut buffer).unwrap();
                buffer[..len].to_vec()
            })
            .collect()
    }

    /// Waits until there is something, without sleeping for luck.
    fn receive(socket: &mut BatchSocket, slab: &mut ReceiveSlab) -> usize {
        let mut wait = libc::pollfd {
            fd: socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, valid for the call.
        #[expect(unsafe_code, reason = "poll has no safe wrapper")]
        let ready = unsafe { libc::poll(&raw mut wait, 1, 5000) };
        assert_eq!(ready, 1, "nothing came");
        socket.receive(slab).unwrap()
    }

    fn check_every_datagram_arrives(address: &str, segmentation: bool) {
        let (mut socket, peer, to) = pair(address);
        socket.segmentation &= segmentation;
        let sent = mixture();
        socket.transmit(&slab_of(&sent, to));
        assert_eq!(read(&peer, sent.len()), sent);
        assert_eq!(socket.counters().sent, sent.len() as u64);
        assert_eq!(socket.counters().refused + socket.counters().overflowed, 0);
    }

    #[test]
    fn every_datagram_of_a_run_arrives_as_it_was() {
        check_every_datagram_arrives("127.0.0.1:0", true);
        check_every_datagram_arrives("[::1]:0", true);
    }

    #[test]
    fn without_segmentation_every_datagram_arrives_too() {
        check_every_datagram_arrives("127.0.0.1:0", false);
        check_every_datagram_arrives("[::1]:0", false);
    }

    #[test]
    fn a_run_to_where_nothing_can_be_sent_is_refused_and_the_rest_arrives() {
        let (mut socket, peer, to) = pair("127.0.0.1:0");
        let mut slab = slab_of(&vec![vec![1; 100]; 3], nowhere());
        slab.spare_mut()[..2].copy_from_slice(b"ok");
        slab.commit(2, to);
        socket.transmit(&slab);
        assert_eq!(read(&peer, 1), [b"ok"]);
        assert_eq!((socket.counters().sent, socket.counters().refused), (1, 3));
    }

    #[test]
    fn segmentation_ends_when_it_is_only_ever_refused() {
        let (mut socket, peer, to) = pair("127.0.0.1:0");
        if !socket.segmentation {
            return;
        }
        let nowhere = slab_of(&vec![vec![1; 100]; 2], nowhere());
        let run = slab_of(&vec![vec![2; 100]; 2], to);
        for _ in 1..MAX_REFUSALS {
            socket.transmit(&nowhere);
        }
        socket.transmit(&run);
        socket.transmit(&nowhere);
        assert!(socket.segmentation, "a success in between forgives");
        for _ in 1..MAX_REFUSALS {
            socket.transmit(&nowhere);
        }
        assert!(!socket.segmentation);
        socket.transmit(&run);
        assert_eq!(read(&peer, 4), vec![vec![2; 100]; 4]);
    }

    #[test]
    fn what_arrived_is_received_in_one_batch_with_its_senders() {
        let (mut socket, peer, _) = pair("127.0.0.1:0");
        let mut slab = ReceiveSlab::new(64);
        let nothing = socket.receive(&mut slab).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);

        let to = socket.local_addr().unwrap();
        for i in 0..70 {
            peer.send_to(&vec![i; usize::from(i) * 20], to).unwrap();
        }
        // Loopback delivers while `send_to` runs.
        assert_eq!(receive(&mut socket, &mut slab), 64);
        for i in 0..64 {
            let (bytes, from) = slab.datagram_mut(i);
            assert_eq!(&*bytes, &*vec![i as u8; i * 20]);
            assert_eq!(from.remote, peer.local_addr().unwrap());
        }
        assert_eq!(receive(&mut socket, &mut slab), 6);
        assert_eq!(slab.datagram(5), vec![69; 69 * 20]);
        assert_eq!(socket.counters().received, 70);
    }

    #[test]
    fn a_dual_stack_socket_knows_ipv4_peers_by_their_ipv4_address() {
        let mut socket = BatchSocket::bind("[::]:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        peer.send_to(b"ping", ("127.0.0.1", port)).unwrap();
        let mut slab = ReceiveSlab::new(64);
        receive(&mut socket, &mut slab);
        let (bytes, from) = slab.datagram_mut(0);
        assert_eq!(&*bytes, b"ping");
        assert_eq!(from.remote, peer.local_addr().unwrap());
        socket.transmit(&slab_of(&[b"pong".to_vec()], from));
        assert_eq!(read(&peer, 1), [b"pong"]);
    }

    #[test]
    fn sockets_of_a_group_share_a_port_that_nobody_else_gets() {
        let any = "127.0.0.1:0".parse().unwrap();
        let mut group = BatchSocket::bind_group(any, 3).unwrap();
        let port = group[0].local_addr().unwrap();
        assert!(group.iter().all(|s| s.local_addr().unwrap() == port));
        let taken = BatchSocket::bind_group(port, 3).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let peers: Vec<_> = (0..64).map(|_| UdpSocket::bind(any).unwrap()).collect();
        for peer in &peers {
            peer.send_to(b"x", port).unwrap();
        }
        let mut slab = ReceiveSlab::new(64);
        let counts: Vec<_> = group
            .iter_mut()
            .map(|socket| socket.receive(&mut slab).unwrap_or(0))
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 64);
        assert!(counts.iter().all(|count| *count < 64), "{counts:?}");
    }

    #[test]
    fn a_datagram_longer_than_a_slot_is_cut() {
        let (mut socket, peer, _) = pair("127.0.0.1:0");
        peer.send_to(&[1; SLOT_LEN + 500], socket.local_addr().unwrap())
            .unwrap();
        let mut slab = ReceiveSlab::new(64);
        receive(&mut socket, &mut slab);
        assert_eq!(slab.datagram(0).len(), SLOT_LEN);
    }
}
