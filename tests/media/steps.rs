//! One call of the engine does a bounded share of what there is to do, however many receive.

use std::time::Duration;

use parlor::rtp::ntp::Ntp;
use parlor::rtp::rtcp::feedback::push_nack;
use parlor::rtp::rtcp::report::{SenderInfo, push_sender_report};
use parlor::sfu::command::{Command, MirrorConfig};
use parlor::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use parlor::sfu::worker::WorkerId;
use parlor::sfu::{GroupId, PublicationId};

use crate::world::*;

const PUBLICATION: PublicationId = PublicationId(1);

/// Datagrams that a call sends before it leaves the rest.
const STEP: usize = 64;

/// Datagrams that a call takes in any case, and those to be forwarded with which it takes none.
const RUN: u64 = 6;
const TOO_MUCH: u64 = 4096;

/// Datagrams of one batch.
const BATCH: u64 = 64;

/// A network that only counts.
#[derive(Default)]
struct Counting(usize);

impl Transmit for Counting {
    fn transmit(&mut self, slab: &SendSlab) {
        self.0 += slab.datagrams().count();
    }
}

fn join(world: &mut World, subscribers: u64) {
    for id in 1..=subscribers {
        world.subscriber(id, 1, 10 + id as u16, CM);
    }
}

/// A batch of video, of which the first packet begins a key frame.
fn batch(publisher: &mut Peer) -> ReceiveSlab {
    let mut slab = ReceiveSlab::new(BATCH as usize);
    for index in 1..=BATCH {
        slab.push(&publisher.video(index, index == 1), publisher.address);
    }
    slab
}

/// How many datagrams each of the calls sends that it takes until there is nothing more to do.
fn steps(mut call: impl FnMut(&mut Counting) -> bool) -> Vec<usize> {
    let mut steps = Vec::new();
    loop {
        let mut net = Counting::default();
        let more = call(&mut net);
        steps.push(net.0);
        if !more {
            return steps;
        }
    }
}

/// No call did too much, and together they did enough for their number. What goes to one leg is
/// sent whole.
fn assert_bounded(steps: &[usize]) {
    let most = STEP - 1 + BATCH as usize;
    assert!(steps.iter().all(|sent| *sent <= most), "{steps:?}");
    let sent: usize = steps.iter().sum();
    assert!(steps.len() <= 2 * sent / STEP + 1, "{steps:?}");
}

#[test]
fn a_key_frame_to_many_leaves_in_several_steps() {
    for subscribers in [1, 10, 100, 300] {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, CM);
        join(&mut world, subscribers);
        let mut slab = batch(&mut publisher);
        let now = world.now;
        let steps = steps(|net| step(&mut world.engine, &mut slab, now, net));
        assert_bounded(&steps);
        let sent: usize = steps.iter().sum();
        assert_eq!(sent as u64, BATCH * subscribers);
    }
}

#[test]
fn a_parcel_for_many_is_forwarded_in_several_steps() {
    let [mut origin, mut mirror] = World::pair();
    let mut publisher = origin.publisher(1, 1, CM);
    mirror.command(Command::AddMirror(Box::new(MirrorConfig {
        id: PUBLICATION,
        group: GroupId(1),
        origin: WorkerId::default(),
        tracks: publication(PUBLICATION, publisher.transport()).tracks,
    })));
    origin.command(Command::AddPipe {
        publication: PUBLICATION,
        to: WorkerId::new(1).unwrap(),
    });
    join(&mut mirror, 100);
    let (mut slab, now) = (batch(&mut publisher), origin.now);
    while step(&mut origin.engine, &mut slab, now, &mut origin.net) {}
    let mut sent = 0;
    while let Some((_, mut parcel)) = origin.engine.poll_parcel() {
        let steps = steps(|net| step_parcel(&mut mirror.engine, &mut parcel, now, net));
        assert_bounded(&steps);
        sent += steps.iter().sum::<usize>();
    }
    assert_eq!(sent as u64, BATCH * 100);
}

#[test]
fn a_small_call_does_not_wait_for_a_large_one() {
    let mut world = World::new();
    let mut large = world.publisher(1, 1, CM);
    join(&mut world, 300);
    let mut small = world.publisher(2, 2, CM);
    let mut listener = world.subscriber(1_000, 2, 9, CM);
    let (mut slab, now) = (ReceiveSlab::new(16), world.now);
    for index in 1..=RUN {
        slab.push(&large.video(index, index == 1), large.address);
    }
    assert!(step(&mut world.engine, &mut slab, now, &mut world.net));
    slab.clear();
    slab.push(&small.audio(1), small.address);
    // The large one has its turn, and then the small one.
    for _ in 0..2 {
        assert!(step(&mut world.engine, &mut slab, now, &mut world.net));
    }
    assert_eq!(listener.open(&mut world.net).0.len(), 1);
}

#[test]
fn while_too_much_waits_nothing_is_taken() {
    const SUBSCRIBERS: u64 = 1_000;
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    join(&mut world, SUBSCRIBERS);
    let (mut slab, now) = (batch(&mut publisher), world.now);
    let mut net = Counting::default();
    let before = world.engine.counters();
    let mut more = true;
    while more {
        more = step(&mut world.engine, &mut slab, now, &mut net);
        let counters = world.engine.counters();
        let taken = (counters.received - before.received) * SUBSCRIBERS;
        let waits = taken - (counters.forwarded - before.forwarded);
        assert!(waits <= TOO_MUCH + RUN * SUBSCRIBERS, "{waits}");
    }
    assert_eq!(net.0 as u64, BATCH * SUBSCRIBERS);
}

/// A call in which a run has begun, and not all have it.
struct Begun {
    world: World,
    publisher: Peer,
    peers: Vec<Peer>,
    slab: ReceiveSlab,
}

impl Begun {
    fn new() -> Self {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, CM);
        let peers = (1..=100)
            .map(|id| world.subscriber(id, 1, 10 + id as u16, CM))
            .collect();
        let mut slab = ReceiveSlab::new(RUN as usize);
        for index in 1..=RUN {
            slab.push(&publisher.video(index, index == 1), publisher.address);
        }
        let mut begun = Self {
            world,
            publisher,
            peers,
            slab,
        };
        assert!(begun.step());
        begun
    }

    fn step(&mut self) -> bool {
        let world = &mut self.world;
        step(&mut world.engine, &mut self.slab, world.now, &mut world.net)
    }

    /// How many packets each peer has received since this was asked last.
    fn received(&mut self) -> Vec<u64> {
        let net = &mut self.world.net;
        let counts = self.peers.iter_mut().map(|peer| peer.open(net).0.len());
        counts.map(|count| count as u64).collect()
    }
}

#[test]
fn whoever_comes_or_goes_between_two_steps_takes_nothing_from_the_others() {
    let mut call = Begun::new();
    // One that has been served, and one that has not.
    for gone in [80, 3] {
        let peer = call.peers.remove(gone);
        call.world.command(Command::Remove(peer.leg));
    }
    let first = call.received();
    assert!(first.contains(&0) && first.contains(&RUN), "{first:?}");
    call.world.subscriber(1_000, 1, 9, CM);
    while call.step() {}
    let rest = call.received();
    assert!(
        first
            .iter()
            .zip(rest)
            .all(|(first, rest)| first + rest == RUN)
    );
}

#[test]
fn an_offer_between_two_steps_takes_nothing_from_anybody() {
    let mut call = Begun::new();
    let mut offered = publication(PUBLICATION, call.publisher.transport());
    offered.tracks.reverse();
    let update = Command::UpdatePublication(Box::new(offered));
    call.world.command(update);
    while call.step() {}
    assert!(call.received().iter().all(|received| *received == RUN));
}

#[test]
fn what_many_ask_for_again_leaves_in_several_steps() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut peers: Vec<_> = (1..=BATCH)
        .map(|id| world.subscriber(id, 1, 10 + id as u16, CM))
        .collect();
    for index in 1..=20 {
        let packet = publisher.video(index, index == 1);
        world.receive_one(&packet, publisher.address);
    }
    let mut slab = ReceiveSlab::new(BATCH as usize);
    for (id, peer) in (1..).zip(&mut peers) {
        let (lost, _) = peer.open(&mut world.net);
        let lost: Vec<_> = lost.iter().map(|packet| packet.header.sequence).collect();
        let mut nack = Vec::new();
        push_nack(&mut nack, 1, out_ssrc(id), &lost);
        slab.push(&peer.rtcp(&nack), peer.address);
    }
    let now = world.now;
    let steps = steps(|net| step(&mut world.engine, &mut slab, now, net));
    assert_bounded(&steps);
    let sent: usize = steps.iter().sum();
    assert_eq!(world.engine.counters().resent, 20 * BATCH);
    assert_eq!(sent as u64, 20 * BATCH);
}

#[test]
fn reports_of_many_legs_that_are_due_at_once_leave_in_several_steps() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    join(&mut world, 1_000);
    let first = publisher.video(1, true);
    world.receive_one(&first, publisher.address);
    let mut report = Vec::new();
    let info = SenderInfo {
        ntp: Ntp(50 << 32),
        rtp_timestamp: 900_000,
        packets: 1,
        octets: 1,
    };
    push_sender_report(&mut report, VIDEO_SSRC, &info);
    let report = publisher.rtcp(&report);
    world.receive_one(&report, publisher.address);
    let later = world.now + Duration::from_secs(2);
    let engine = &mut world.engine;
    let steps = steps(|net| {
        engine.handle_timeout(later, net);
        engine.poll_timeout().is_some_and(|at| at <= later)
    });
    assert!(steps.len() > 1, "{steps:?}");
    assert!(steps.iter().all(|sent| *sent <= STEP), "{steps:?}");
    // One to each subscriber, and one to the publisher.
    assert_eq!(steps.iter().sum::<usize>(), 1_001);
}

#[test]
fn what_many_get_is_decided_in_several_steps() {
    const LOUD: u8 = 0x80 | 20;
    let mut world = World::new();
    let mut speaker = world.publisher(1, 1, CM);
    join(&mut world, 1_200);
    // Whoever begins to speak is preferred by all who see them.
    for index in 1.. {
        assert!(index < 100, "nobody is heard");
        world.advance(Duration::from_millis(20));
        let packet = speaker.sound(index, LOUD);
        world.receive_one(&packet, speaker.address);
        if !world.events().is_empty() {
            break;
        }
    }
    let (now, engine) = (world.now, &mut world.engine);
    let waits = engine.poll_timeout().is_some_and(|at| at <= now);
    assert!(waits, "the first share was decided at once");
    let steps = steps(|net| {
        engine.handle_timeout(now, net);
        engine.poll_timeout().is_some_and(|at| at <= now)
    });
    assert_eq!(steps.len(), 2, "and there were three");
}
