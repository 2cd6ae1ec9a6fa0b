//! Forwarding takes memory from nobody.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use parlor::sfu::command::{Command, MirrorConfig, TapConfig, TapId};
use parlor::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use parlor::sfu::worker::WorkerId;
use parlor::sfu::{PublicationId, Wanted};
use parlor::srtp::Profile;

use crate::redundancy::{listener, lose, speak, transport_number};
use crate::world::*;

thread_local! {
    static ALLOCATIONS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, counted per thread: calls and bytes.
struct Counting;

#[expect(unsafe_code, reason = "the only way to see every allocation")]
// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|cell| {
            let (calls, bytes) = cell.get();
            cell.set((calls + 1, bytes + layout.size() as u64));
        });
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A network that takes everything and keeps nothing.
struct Void(usize);

impl Transmit for Void {
    fn transmit(&mut self, slab: &SendSlab) {
        self.0 += slab.datagrams().count();
    }
}

/// 400 frames of ten packets each.
fn frames(publisher: &mut Peer) -> Vec<Vec<Vec<u8>>> {
    let mut frame = |index: u64| {
        (0..10)
            .map(|n| publisher.video(index * 10 + n, n == 0))
            .collect()
    };
    (0..400).map(&mut frame).collect()
}

#[test]
fn a_forwarded_packet_allocates_nothing() {
    for profile in [CM, Profile::AeadAes128Gcm] {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, profile);
        let _subscribers: Vec<_> = (1..=20)
            .map(|id| world.subscriber(id, 1, 10 + id as u16, profile))
            .collect();
        let batches = frames(&mut publisher);
        let (mut slab, mut net) = (ReceiveSlab::new(64), Void(0));
        let mut send = |batch: &[Vec<u8>], from: SocketAddr| {
            slab.clear();
            batch.iter().for_each(|packet| slab.push(packet, from));
            world.now += Duration::from_millis(1);
            while step(&mut world.engine, &mut slab, world.now, &mut net) {}
        };
        // Once round the packet cache, until everything has its final size.
        let (warm, measured) = batches.split_at(200);
        warm.iter().for_each(|batch| send(batch, publisher.address));
        let before = ALLOCATIONS.get().0;
        measured
            .iter()
            .for_each(|batch| send(batch, publisher.address));
        assert_eq!(ALLOCATIONS.get().0 - before, 0);
        assert_eq!(net.0, 400 * 10 * 20);
    }
}

#[test]
fn redundant_audio_allocates_nothing_on_the_way_in_and_out() {
    for profile in [CM, Profile::AeadAes128Gcm] {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, profile);
        let mut subscribers: Vec<_> = (1..=20)
            .map(|id| listener(&mut world, id, 10 + id as u16, profile))
            .collect();
        let all: Vec<_> = (10..2_010)
            .map(|index| speak(&mut publisher, index, 1))
            .collect();
        // Every tenth packet is lost. As nobody tells of those that leave, what is remembered of them
        // grows to its final size.
        let lost = |index: usize| index % 10 == 9;
        let (warm, measured) = all.split_at(1_500);
        for (index, packet) in warm.iter().enumerate().filter(|(index, _)| !lost(*index)) {
            world.receive_one(packet, publisher.address);
            if index <= 100 {
                world.advance(Duration::from_millis(20));
            }
            if index != 100 {
                continue;
            }
            for subscriber in &mut subscribers {
                let media = subscriber.open(&mut world.net).0;
                let at = transport_number(media.last().expect("sound"));
                lose(
                    &mut world,
                    subscriber,
                    at - 20..at,
                    &[at - 9, at - 5, at - 3],
                );
            }
        }
        world.net.sent.clear();
        let (mut slab, mut net) = (ReceiveSlab::new(64), Void(0));
        let before = (ALLOCATIONS.get().0, world.engine.counters());
        for (_, packet) in measured
            .iter()
            .enumerate()
            .filter(|(index, _)| !lost(*index))
        {
            slab.clear();
            slab.push(packet, publisher.address);
            let now = world.now;
            while step(&mut world.engine, &mut slab, now, &mut net) {}
        }
        assert_eq!(ALLOCATIONS.get().0 - before.0, 0);
        let counters = world.engine.counters();
        assert_eq!(counters.restored - before.1.restored, 50);
        let redundant = counters.traffic.redundant - before.1.traffic.redundant;
        assert_eq!(redundant, 500 * 20);
    }
}

#[test]
fn a_packet_for_a_mirror_allocates_nothing_at_either_worker() {
    let [mut origin, mut mirror] = World::pair();
    let mut publisher = origin.publisher(1, 1, CM);
    let (id, to) = (PublicationId(1), WorkerId::new(1).unwrap());
    let config = MirrorConfig {
        id,
        group: parlor::sfu::GroupId(1),
        origin: WorkerId::default(),
        tracks: publication(id, publisher.transport()).tracks,
    };
    mirror.command(Command::AddMirror(Box::new(config)));
    let pipe = Command::AddPipe {
        publication: id,
        to,
    };
    origin.command(pipe);
    let _subscribers: Vec<_> = (1..=20)
        .map(|id| mirror.subscriber(id, 1, 10 + id as u16, CM))
        .collect();
    let batches = frames(&mut publisher);
    let (mut slab, mut net) = (ReceiveSlab::new(64), Void(0));
    let mut send = |batch: &[Vec<u8>]| {
        slab.clear();
        let from = publisher.address;
        batch.iter().for_each(|packet| slab.push(packet, from));
        origin.now += Duration::from_millis(1);
        let now = origin.now;
        while step(&mut origin.engine, &mut slab, now, &mut net) {}
        while let Some((to, mut parcel)) = origin.engine.poll_parcel() {
            while step_parcel(&mut mirror.engine, &mut parcel, now, &mut net) {}
            origin.engine.take_back(to, parcel);
        }
    };
    let (warm, measured) = batches.split_at(200);
    warm.iter().for_each(|batch| send(batch));
    let before = ALLOCATIONS.get().0;
    measured.iter().for_each(|batch| send(batch));
    assert_eq!(ALLOCATIONS.get().0 - before, 0);
    assert_eq!(mirror.engine.counters().forwarded, 400 * 10 * 20);
}

#[test]
fn a_packet_for_a_recording_tap_allocates_nothing() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    world.command(Command::AddTap(TapConfig {
        id: TapId(1),
        publication: PublicationId(1),
        wanted: Wanted::default(),
    }));
    let batches = frames(&mut publisher);
    let (mut slab, mut net, mut tapped) = (ReceiveSlab::new(64), Void(0), 0);
    let mut send = |batch: &[Vec<u8>]| {
        slab.clear();
        let from = publisher.address;
        batch.iter().for_each(|packet| slab.push(packet, from));
        world.now += Duration::from_millis(1);
        let now = world.now;
        while step(&mut world.engine, &mut slab, now, &mut net) {}
        while let Some(batch) = world.engine.poll_tap() {
            tapped += batch.packets.len();
            world.engine.return_tap(batch, now);
        }
    };
    let (warm, measured) = batches.split_at(200);
    warm.iter().for_each(|batch| send(batch));
    let before = ALLOCATIONS.get().0;
    measured.iter().for_each(|batch| send(batch));
    assert_eq!(ALLOCATIONS.get().0 - before, 0);
    assert!(tapped > 400 * 10 - 64, "the last batch waits to be full");
}

#[test]
fn an_idle_peer_takes_less_than_40_kilobytes() {
    let mut world = World::new();
    let _publisher = world.publisher(1, 1, CM);
    // What grows in steps has its steps behind it.
    let _first: Vec<_> = (1..=64)
        .map(|id| world.subscriber(id, 1, 100 + id as u16, CM))
        .collect();
    let before = ALLOCATIONS.get().1;
    let _more: Vec<_> = (65..=164)
        .map(|id| world.subscriber(id, 1, 100 + id as u16, CM))
        .collect();
    // Everything allocated on the way counts, also what was freed again.
    let per_peer = (ALLOCATIONS.get().1 - before) / 100;
    assert!(per_peer < 40_000, "{per_peer} bytes");
}
