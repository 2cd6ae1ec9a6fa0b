//! What it costs to forward a packet.
//!
//! Method: one publisher sends 1200-byte RTP packets (VP8, with a transport-wide number) in
//! bursts; every subscriber gets every packet. Per burst, the thread's CPU time (user and system)
//! is read before and after the engine's turn; the cost of reading it, measured first, is taken
//! off. The figure is the median of nine rounds, divided by the packets forwarded.
//!
//! *engine* sends nowhere: parsing, SRTP in, cache, rewriting, SRTP out. *udp* adds the sockets:
//! receiving the burst on a loopback socket and sending to one socket per subscriber, which
//! another thread empties. What the publisher and the receivers spend is not counted, except for
//! the kernel's delivery, which on loopback happens within the send call.
//!
//! Run with `cargo bench --bench forward`. Compare ratios of one run: machines differ, and shared
//! ones vary by 15 % and more.

#![allow(missing_docs)]
#![allow(clippy::print_stdout, reason = "the table is the point")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parlor::net::udp::BatchSocket;
use parlor::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use parlor::srtp::Profile;
use world::{Peer, VIDEO_SSRC, VP8, World, step};

#[allow(dead_code, unreachable_pub, missing_debug_implementations)]
#[path = "../tests/media/world.rs"]
mod world;

const PACKET_LEN: usize = 1200;
const ROUNDS: usize = 9;
/// Packets forwarded per round, at least.
const PER_ROUND: usize = 4_000;

/// A network without cost.
struct Void;

impl Transmit for Void {
    fn transmit(&mut self, _slab: &SendSlab) {}
}

#[expect(unsafe_code, reason = "the standard library has no clock of CPU time")]
fn cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writing.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What one reading of the clock costs.
fn clock_cost_ns() -> f64 {
    let before = cpu_ns();
    for _ in 0..10_000 {
        cpu_ns();
    }
    (cpu_ns() - before) as f64 / 10_000.0
}

/// A session, and packets to come.
struct Session {
    world: World,
    publisher: Peer,
    slab: ReceiveSlab,
    index: u64,
}

impl Session {
    fn new(subscribers: &[SocketAddr], publisher_at: SocketAddr, profile: Profile) -> Self {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, profile);
        publisher.address = publisher_at;
        world.check(&publisher);
        for (id, address) in (1..).zip(subscribers) {
            let mut peer = world.subscriber(id, 1, 100 + id as u16, profile);
            peer.address = *address;
            world.check(&peer);
        }
        world.net.sent.clear();
        Self {
            world,
            publisher,
            slab: ReceiveSlab::new(64),
            index: 1,
        }
    }

    fn burst(&mut self, len: usize) -> Vec<Vec<u8>> {
        (0..len)
            .map(|_| {
                let index = self.index;
                self.index += 1;
                let mut payload = world::vp8(index, index == 1);
                payload.resize(PACKET_LEN - 12 - 8 - 10, 0x5a);
                let number = (index as u16).to_be_bytes();
                let names = (VIDEO_SSRC, VP8);
                self.publisher
                    .rtp(names, index, index as u32 * 300, &[(3, &number)], &payload)
            })
            .collect()
    }
}

/// Nanoseconds per forwarded packet; `turn` hands a burst to the engine and says what it cost.
fn measure(
    session: &mut Session,
    burst: usize,
    subscribers: usize,
    mut turn: impl FnMut(&mut Session, &[Vec<u8>]) -> u64,
) -> f64 {
    let clock_cost = clock_cost_ns();
    let bursts = PER_ROUND.div_ceil(burst * subscribers).max(40);
    let mut rounds = [0.0; ROUNDS];
    // The first round warms up: caches, memory, the packet ring.
    for round in 0..=ROUNDS {
        let before = session.world.engine.counters().forwarded;
        let mut spent = 0.0;
        for _ in 0..bursts {
            let packets = session.burst(burst);
            session.world.now += Duration::from_millis(5);
            spent += turn(session, &packets) as f64 - clock_cost;
        }
        let forwarded = session.world.engine.counters().forwarded - before;
        assert_eq!(
            forwarded as usize,
            bursts * burst * subscribers,
            "packets were lost"
        );
        if let Some(slot) = round.checked_sub(1) {
            rounds[slot] = spent / forwarded as f64;
        }
    }
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn engine_only(subscribers: usize, burst: usize, profile: Profile) -> f64 {
    let address = |port: u16| SocketAddr::from(([192, 0, 2, 2], port));
    let sinks: Vec<_> = (1..=subscribers as u16).map(address).collect();
    let mut session = Session::new(&sinks, address(1_000), profile);
    measure(&mut session, burst, subscribers, |session, packets| {
        session.slab.clear();
        for packet in packets {
            session.slab.push(packet, session.publisher.address);
        }
        let before = cpu_ns();
        let world = &mut session.world;
        while step(&mut world.engine, &mut session.slab, world.now, &mut Void) {}
        cpu_ns() - before
    })
}

fn with_sockets(subscribers: usize, burst: usize, profile: Profile) -> f64 {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut socket = BatchSocket::bind(any).expect("loopback");
    let media = socket.local_addr().expect("bound");
    let publisher = UdpSocket::bind(any).expect("loopback");
    let sinks: Vec<_> = (0..subscribers)
        .map(|_| UdpSocket::bind(any).expect("loopback"))
        .collect();
    let addresses: Vec<_> = sinks
        .iter()
        .map(|sink| sink.local_addr().expect("bound"))
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let drain = std::thread::spawn({
        let stop = stop.clone();
        move || drain(&sinks, &stop)
    });
    let publisher_at = publisher.local_addr().expect("bound");
    let mut session = Session::new(&addresses, publisher_at, profile);
    let cost = measure(&mut session, burst, subscribers, |session, packets| {
        for packet in packets {
            publisher.send_to(packet, media).expect("loopback");
        }
        session.slab.clear();
        let before = cpu_ns();
        let received = socket
            .receive(&mut session.slab)
            .expect("the burst is there");
        let world = &mut session.world;
        while step(&mut world.engine, &mut session.slab, world.now, &mut socket) {}
        let spent = cpu_ns() - before;
        assert_eq!(received, packets.len());
        spent
    });
    stop.store(true, Ordering::Relaxed);
    drain.join().expect("drained");
    cost
}

/// Empties the subscribers' sockets.
fn drain(sinks: &[UdpSocket], stop: &AtomicBool) {
    let mut bytes = [0; 2048];
    for sink in sinks {
        sink.set_nonblocking(true).expect("a socket");
    }
    while !stop.load(Ordering::Relaxed) {
        for sink in sinks {
            while sink.recv(&mut bytes).is_ok() {}
        }
        std::thread::yield_now();
    }
}

fn main() {
    println!("CPU time per forwarded packet of {PACKET_LEN} bytes, in microseconds");
    println!(
        "{:<10} {:>5} {:>5} {:>8} {:>8}",
        "profile", "subs", "burst", "engine", "udp"
    );
    for (name, profile) in [
        ("CM_SHA1_80", Profile::Aes128CmHmacSha1_80),
        ("GCM", Profile::AeadAes128Gcm),
    ] {
        for subscribers in [1, 10, 50] {
            for burst in [10, 3] {
                let engine = engine_only(subscribers, burst, profile) / 1_000.0;
                let udp = with_sockets(subscribers, burst, profile) / 1_000.0;
                println!("{name:<10} {subscribers:>5} {burst:>5} {engine:>8.2} {udp:>8.2}");
            }
        }
    }
}
