//! Two workers: datagrams that come to the wrong one, and a publication with subscribers at both.

use std::net::SocketAddr;
use std::time::Duration;

use parlor::rtp::rtcp::feedback::{push_nack, push_pli};
use parlor::rtp::rtcp::{Compound, Rtcp};
use parlor::sfu::command::{Command, EngineEvent, MirrorConfig};
use parlor::sfu::datagram::ReceiveSlab;
use parlor::sfu::handshake::HandshakeInput;
use parlor::sfu::worker::WorkerId;
use parlor::sfu::{Leg, PublicationId, SubscriptionId, Wanted};

use crate::redundancy::{number, speak};
use crate::simulcast::{Camera, read};
use crate::world::*;

const PUBLICATION: PublicationId = PublicationId(1);

fn worker(number: usize) -> WorkerId {
    WorkerId::new(number).unwrap()
}

/// Brings all parcels to where they are to go, until there are none.
fn exchange(worlds: &mut [World; 2]) {
    let [first, second] = worlds;
    loop {
        let there = carry(first, second);
        let back = carry(second, first);
        if !there && !back {
            return;
        }
    }
}

fn carry(from: &mut World, to: &mut World) -> bool {
    let mut any = false;
    while let Some((reader, mut parcel)) = from.engine.poll_parcel() {
        while step_parcel(&mut to.engine, &mut parcel, to.now, &mut to.net) {}
        from.engine.take_back(reader, parcel);
        any = true;
    }
    any
}

/// A publisher at the first worker and a subscriber at each.
struct Call {
    worlds: [World; 2],
    publisher: Peer,
    here: Peer,
    there: Peer,
}

impl Call {
    fn new() -> Self {
        let mut worlds = World::pair();
        let publisher = worlds[0].publisher(1, 1, CM);
        let here = worlds[0].subscriber(1, 1, 11, CM);
        let tracks = publication(PUBLICATION, publisher.transport()).tracks;
        let mirror = MirrorConfig {
            id: PUBLICATION,
            group: parlor::sfu::GroupId(1),
            origin: worker(0),
            tracks,
        };
        worlds[1].command(Command::AddMirror(Box::new(mirror)));
        worlds[0].command(Command::AddPipe {
            publication: PUBLICATION,
            to: worker(1),
        });
        let there = worlds[1].subscriber(2, 1, 12, CM);
        let mut call = Self {
            worlds,
            publisher,
            here,
            there,
        };
        // Both ask for a key frame; that is done with.
        exchange(&mut call.worlds);
        call.worlds[0].net.sent.clear();
        call
    }

    fn send(&mut self, packet: &[u8]) {
        self.worlds[0].receive_one(packet, self.publisher.address);
    }

    fn video(&mut self, index: u64, keyframe: bool) {
        let packet = self.publisher.video(index, keyframe);
        self.send(&packet);
    }

    /// What the two subscribers have received.
    fn received(&mut self) -> [Vec<Received>; 2] {
        let [first, second] = &mut self.worlds;
        [
            self.here.open(&mut first.net).0,
            self.there.open(&mut second.net).0,
        ]
    }

    /// How many key frames the publisher was asked for since the last time.
    fn key_frame_requests(&mut self) -> usize {
        let (_, feedback) = self.publisher.open(&mut self.worlds[0].net);
        let plis = feedback.iter().flat_map(|bytes| Compound::new(bytes));
        plis.filter(|rtcp| matches!(rtcp, Rtcp::Pli { .. })).count()
    }

    fn advance(&mut self, by: Duration) {
        self.worlds.iter_mut().for_each(|world| world.advance(by));
    }

    fn say_there(&mut self, plain: &[u8]) {
        let bytes = self.there.rtcp(plain);
        self.worlds[1].receive_one(&bytes, self.there.address);
    }
}

fn payloads(received: &[Received]) -> Vec<&[u8]> {
    received.iter().map(|packet| &packet.payload[..]).collect()
}

#[test]
fn subscribers_at_both_workers_receive_the_same() {
    let mut call = Call::new();
    for index in 1..=5 {
        call.video(index, index == 1);
        let packet = call.publisher.audio(index);
        call.send(&packet);
    }
    exchange(&mut call.worlds);
    let [here, there] = call.received();
    assert_eq!(here.len(), 10);
    assert_eq!(payloads(&here), payloads(&there));
    let counters = call.worlds[0].engine.counters();
    assert_eq!((counters.piped, counters.pipe_dropped), (10, 0));
}

#[test]
fn another_worker_gets_its_part_before_anything_is_forwarded_here() {
    let mut call = Call::new();
    let packet = call.publisher.video(1, true);
    let [first, second] = &mut call.worlds;
    let mut slab = ReceiveSlab::new(1);
    slab.push(&packet, call.publisher.address);
    let now = first.now;
    first
        .engine
        .handle_datagrams(&mut slab, now, &mut first.net);
    assert_eq!(first.net.sent.len(), 0);
    assert!(carry(first, second));
    first.engine.forward(now, &mut first.net);
    let [here, there] = call.received();
    assert_eq!(payloads(&here), payloads(&there));
    assert_eq!(here.len(), 1);
}

#[test]
fn audio_that_came_inside_a_later_packet_passes_a_mirror() {
    let mut call = Call::new();
    for index in [10, 12, 13] {
        let packet = speak(&mut call.publisher, index, 1);
        call.send(&packet);
    }
    exchange(&mut call.worlds);
    for received in call.received() {
        let heard: Vec<_> = received.iter().map(|p| number(&p.payload)).collect();
        assert_eq!(heard, [10, 11, 12, 13]);
    }
}

#[test]
fn what_is_lost_behind_a_mirror_is_sent_again_from_there() {
    let mut call = Call::new();
    call.video(1, true);
    call.video(2, false);
    exchange(&mut call.worlds);
    let [_, there] = call.received();
    let lost = there[1].header.sequence;
    let mut nack = Vec::new();
    push_nack(&mut nack, 1, out_ssrc(2), &[lost]);
    call.say_there(&nack);
    let [here, again] = call.received();
    assert_eq!(here, []);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].header.payload_type, OUT_VP8_RTX);
    assert_eq!(again[0].payload[..2], lost.to_be_bytes());
    assert_eq!(again[0].payload[2..], there[1].payload);
}

#[test]
fn a_key_frame_request_behind_a_mirror_reaches_the_publisher() {
    let mut call = Call::new();
    call.video(1, true);
    exchange(&mut call.worlds);
    call.advance(Duration::from_secs(1));
    call.key_frame_requests();
    let mut pli = Vec::new();
    push_pli(&mut pli, 1, out_ssrc(2));
    call.say_there(&pli);
    exchange(&mut call.worlds);
    assert_eq!(call.key_frame_requests(), 1);
}

#[test]
fn a_mirror_that_falls_behind_loses_video_up_to_a_key_frame_but_no_audio() {
    let mut call = Call::new();
    // Many more packets than parcels hold, which nobody fetches.
    for index in 1..=2_000 {
        call.video(index, index == 1);
    }
    for index in 1..=100 {
        let packet = call.publisher.audio(index);
        call.send(&packet);
    }
    let dropped = call.worlds[0].engine.counters().pipe_dropped;
    assert!(dropped > 0);
    exchange(&mut call.worlds);
    let [here, there] = call.received();
    assert_eq!(here.len(), 2_100, "nobody else is held up");
    assert_eq!(there.len(), 2_100 - dropped as usize);
    let audio = |packet: &&Received| packet.header.payload_type == OUT_OPUS;
    assert_eq!(there.iter().filter(audio).count(), 100);

    call.advance(Duration::from_secs(1));
    assert!(call.key_frame_requests() > 0, "it is helped without asking");
    call.video(2_001, false);
    exchange(&mut call.worlds);
    assert_eq!(call.received()[1], []);
    call.video(2_002, true);
    call.video(2_003, false);
    exchange(&mut call.worlds);
    assert_eq!(call.received()[1].len(), 2);
}

#[test]
fn a_pipe_that_was_closed_passes_nothing() {
    let mut call = Call::new();
    call.worlds[0].command(Command::RemovePipe {
        publication: PUBLICATION,
        to: worker(1),
    });
    call.worlds[1].command(Command::Remove(Leg::Publisher(PUBLICATION)));
    call.video(1, true);
    assert_eq!(call.worlds[0].engine.poll_parcel().map(|_| ()), None);
    assert_eq!(call.received()[0].len(), 1);
    assert_eq!(call.worlds[1].events(), []);
}

#[test]
fn a_mirror_outlives_the_time_a_leg_would_have_without_checks() {
    let mut call = Call::new();
    for _ in 0..40 {
        call.worlds[0].check(&call.publisher);
        call.worlds[1].check(&call.there);
        call.advance(Duration::from_secs(1));
    }
    let closed = call.worlds[0].events();
    assert!(matches!(closed[..], [EngineEvent::Closed(leg, _)] if leg == call.here.leg));
    assert_eq!(call.worlds[1].events(), []);
    call.worlds[1].net.sent.clear();
    call.video(1, true);
    exchange(&mut call.worlds);
    assert_eq!(call.received()[1].len(), 1);
}

/// A subscriber of a publication at the second worker whose datagrams come to the first.
fn misled(worlds: &mut [World; 2]) -> (Peer, Peer) {
    let publisher = worlds[1].publisher(1, 1, CM);
    let mut peer = Peer::new(Leg::Subscriber(SubscriptionId(1)), 11, CM);
    peer.ice = credentials("1-second");
    let config = subscription(SubscriptionId(1), PUBLICATION, peer.transport());
    worlds[1].command(Command::AddSubscription(Box::new(config)));
    (publisher, peer)
}

#[test]
fn datagrams_find_their_worker_whichever_socket_they_come_to() {
    let mut worlds = World::pair();
    let (_, peer) = misled(&mut worlds);
    worlds[0].receive_one(&peer.check(true), peer.address);
    exchange(&mut worlds);
    let answers = |world: &World| {
        let binding = |sent: &&(Vec<u8>, SocketAddr)| sent.0[..2] == [1, 1];
        world.net.sent.iter().filter(binding).count()
    };
    assert_eq!(worlds.each_ref().map(answers), [0, 1]);
    worlds[0].receive_one(&[22, 1, 2, 3], peer.address);
    exchange(&mut worlds);
    let input = worlds[1].engine.poll_handshake();
    assert!(matches!(input, Some(HandshakeInput::Datagram { leg, .. }) if leg == peer.leg));
    assert_eq!(worlds[0].engine.counters().handed_on, 2);
    assert_eq!(worlds[1].engine.counters().handed_on, 0);
}

#[test]
fn a_handshake_that_is_faster_than_the_word_of_its_check_is_not_lost() {
    let mut worlds = World::pair();
    let (_, peer) = misled(&mut worlds);
    worlds[0].receive_one(&peer.check(true), peer.address);
    worlds[0].receive_one(&[22, 1, 2, 3], peer.address);
    exchange(&mut worlds);
    let input = worlds[1].engine.poll_handshake();
    assert!(matches!(input, Some(HandshakeInput::Datagram { leg, .. }) if leg == peer.leg));
}

#[test]
fn a_forged_check_leads_nobodys_datagrams_elsewhere() {
    let mut worlds = World::pair();
    let (_, mut forger) = misled(&mut worlds);
    forger.ice.local_pwd = "some-other-password-of-22".into();
    worlds[0].receive_one(&forger.check(true), forger.address);
    exchange(&mut worlds);
    assert_eq!(worlds[1].engine.counters().rejected_checks, 1);
    // Its own follow it, and end there.
    worlds[0].receive_one(&[22, 1, 2, 3], forger.address);
    exchange(&mut worlds);
    assert_eq!(worlds[1].engine.counters().unknown_source, 1);
    assert!(worlds[1].engine.poll_handshake().is_none());
    let mut changes = std::iter::from_fn(|| worlds[1].engine.poll_path());
    assert!(changes.all(|change| change.remote != forger.address));

    // Whoever has a leg here goes on with it.
    let victim = worlds[0].publisher(7, 70, CM);
    worlds[0].receive_one(&forger.check(true), victim.address);
    worlds[0].receive_one(&[22, 1, 2, 3], victim.address);
    let input = worlds[0].engine.poll_handshake();
    assert!(matches!(input, Some(HandshakeInput::Datagram { leg, .. }) if leg == victim.leg));
}

#[test]
fn a_leg_elsewhere_cannot_take_the_address_of_one_that_is_alive() {
    let mut worlds = World::pair();
    let (_, mut thief) = misled(&mut worlds);
    let mut publisher = worlds[0].publisher(7, 70, CM);
    let mut subscriber = worlds[0].subscriber(8, 7, 80, CM);
    thief.address = publisher.address;
    worlds[0].receive_one(&thief.check(true), thief.address);
    exchange(&mut worlds);
    let packet = publisher.audio(1);
    worlds[0].receive_one(&packet, publisher.address);
    assert_eq!(subscriber.open(&mut worlds[0].net).0.len(), 1);

    // Silent for long enough, it can.
    worlds
        .iter_mut()
        .for_each(|world| world.advance(Duration::from_secs(10)));
    worlds[0].receive_one(&thief.check(true), thief.address);
    exchange(&mut worlds);
    worlds[0].receive_one(&[22, 1, 2, 3], thief.address);
    exchange(&mut worlds);
    assert!(worlds[1].engine.poll_handshake().is_some());
}

/// A camera of three layers at the first worker, and a subscriber of it at the second.
fn layered() -> ([World; 2], Camera, Peer) {
    let mut worlds = World::pair();
    let camera = Camera::join(&mut worlds[0], 1, 1, true);
    let mirror = MirrorConfig {
        id: PUBLICATION,
        group: parlor::sfu::GroupId(1),
        origin: worker(0),
        tracks: camera.config.tracks.clone(),
    };
    worlds[1].command(Command::AddMirror(Box::new(mirror)));
    worlds[0].command(Command::AddPipe {
        publication: PUBLICATION,
        to: worker(1),
    });
    let there = worlds[1].subscriber(1, 1, 12, CM);
    (worlds, camera, there)
}

#[test]
fn a_mirror_receives_only_the_layers_that_somebody_there_wants() {
    let (mut worlds, mut camera, mut there) = layered();
    for ((width, height), layer) in [((320, 180), 0), ((1280, 720), 2), ((640, 360), 1)] {
        worlds[1].command(Command::Update {
            subscription: SubscriptionId(1),
            wanted: Wanted {
                resolution: Some((width, height)),
                ..Wanted::default()
            },
        });
        let run = |worlds: &mut [World; 2], camera: &mut Camera, frames: u32| {
            for _ in 0..frames {
                exchange(worlds);
                let by = Duration::from_micros(33_333);
                worlds.iter_mut().for_each(|world| world.advance(by));
                camera.emit(&mut worlds[0]);
                exchange(worlds);
            }
        };
        run(&mut worlds, &mut camera, 60);
        there.open(&mut worlds[1].net);
        let before = worlds[0].engine.counters().piped;
        run(&mut worlds, &mut camera, 30);
        assert_eq!(worlds[0].engine.counters().piped - before, 30);
        let (media, _) = there.open(&mut worlds[1].net);
        let shown: Vec<_> = media.iter().map(read).collect();
        assert_eq!(shown.len(), 30);
        assert!(shown.iter().all(|frame| frame.layer == layer), "{layer}");
    }
}
