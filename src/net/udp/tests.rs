//! The socket on loopback.

use std::net::IpAddr;
use std::time::Duration;

use super::send::MAX_REFUSALS;
use super::*;
use crate::clock::Clock;
use crate::sfu::datagram::{ReceiveSlab, SLOT_LEN, SendSlab, Transmit};
use crate::sfu::path::{Path, Via};

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

fn own_address(slab: &mut ReceiveSlab) -> Path {
    slab.datagram_mut(0).1
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    for (bound, asked) in [
        ("0.0.0.0:0", "127.0.0.2"),
        ("[::]:0", "127.0.0.2"),
        ("[::]:0", "::1"),
    ] {
        let mut socket = BatchSocket::bind(bound.parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked: IpAddr = asked.parse().unwrap();
        let any = if asked.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        let peer = UdpSocket::bind(any).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // What comes from anywhere else is not for a connected socket.
        peer.connect((asked, port)).unwrap();
        peer.send(b"ping").unwrap();
        let mut slab = ReceiveSlab::new(64);
        receive(&mut socket, &mut slab);
        let path = own_address(&mut slab);
        let via = Via::Udp(Some(asked));
        assert_eq!((path.remote, path.via), (peer.local_addr().unwrap(), via));
        // One alone, and a run, which has two control messages.
        let sent = [vec![1; 50], vec![2; 700], vec![2; 700]];
        socket.transmit(&slab_of(&sent, path));
        assert_eq!(read(&peer, 3), sent, "{bound} {asked}");
    }
}

#[test]
fn a_socket_with_one_address_does_not_ask_for_it() {
    let (mut socket, peer, _) = pair("127.0.0.1:0");
    peer.send_to(b"x", socket.local_addr().unwrap()).unwrap();
    let mut slab = ReceiveSlab::new(64);
    receive(&mut socket, &mut slab);
    assert_eq!(own_address(&mut slab).via, Via::Udp(None));
}

#[test]
fn what_nobody_received_in_time_is_counted() {
    let (mut socket, peer, _) = pair("127.0.0.1:0");
    let granted = socket.buffer(8 * 1024).unwrap();
    assert!(granted[0] < 64 * 1024, "{granted:?}");
    let to = socket.local_addr().unwrap();
    let sent = 200;
    for _ in 0..sent {
        peer.send_to(&[0; 1200], to).unwrap();
    }
    let mut slab = ReceiveSlab::new(64);
    let mut received = 0;
    while let Ok(count) = socket.receive(&mut slab) {
        received += count as u64;
    }
    assert!(received < sent);
    // The kernel tells with the next one that it takes in.
    peer.send_to(b"x", to).unwrap();
    receive(&mut socket, &mut slab);
    assert_eq!(socket.counters().unread, sent - received);
}

#[test]
fn the_kernel_says_when_datagrams_came() {
    for any in ["0.0.0.0:0", "[::]:0"] {
        let mut socket = BatchSocket::bind(any.parse().unwrap()).unwrap();
        socket.note_arrivals().unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = (Ipv4Addr::LOCALHOST, socket.local_addr().unwrap().port());
        let mut slab = ReceiveSlab::new(64);
        let sent = Clock::system().epoch().since_unix;
        for _ in 0..3 {
            peer.send_to(b"x", to).unwrap();
        }
        assert_eq!(receive(&mut socket, &mut slab), 3);
        let received = Clock::system().epoch().since_unix;
        let arrivals: Vec<_> = (0..3).map(|i| socket.arrival(i).unwrap()).collect();
        assert!(arrivals.is_sorted() && arrivals[2] <= received);
        // The kernel's clock is read where ours is, but need not be as fine.
        assert!(arrivals[0] + Duration::from_millis(10) >= sent);
        assert!(matches!(slab.datagram_mut(0).1.via, Via::Udp(Some(_))));
    }
}
