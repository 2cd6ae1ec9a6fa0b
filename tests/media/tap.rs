//! The recording tap, and statistics.

use std::time::Duration;

use parlor::rtp::rtcp::feedback::{push_nack, push_pli};
use parlor::rtp::rtcp::report::{ReportBlock, push_receiver_report};
use parlor::rtp::rtcp::{Compound, Rtcp};
use parlor::sfu::command::{Codec, Command, TapConfig, TapId};
use parlor::sfu::tap::{MAX_BATCHES, TapBatch};
use parlor::sfu::{Leg, MediaKind, PublicationId, Wanted};

use crate::simulcast::start;
use crate::world::*;

const MS: Duration = Duration::from_millis(1);
const TAP: TapId = TapId(9);

fn tap(world: &mut World, wanted: Wanted) {
    world.command(Command::AddTap(TapConfig {
        id: TAP,
        publication: PublicationId(1),
        wanted,
    }));
}

fn untap(world: &mut World) {
    world.command(Command::RemoveTap {
        tap: TAP,
        publication: PublicationId(1),
    });
}

/// Everything that was tapped so far: number and payload, and how many packets were dropped.
fn fetched(world: &mut World) -> (Vec<(MediaKind, u64, Vec<u8>)>, u64) {
    let (mut all, mut dropped) = (Vec::new(), 0);
    while let Some(batch) = world.engine.poll_tap() {
        dropped += batch.dropped;
        all.extend(contents(&batch));
        world.engine.return_tap(batch, world.now);
    }
    (all, dropped)
}

fn contents(batch: &TapBatch) -> Vec<(MediaKind, u64, Vec<u8>)> {
    let packets = batch.packets.iter().enumerate();
    let packets = packets.map(|(index, packet)| {
        let payload = batch.payload(index).to_vec();
        (packet.kind, packet.number, payload)
    });
    packets.collect()
}

#[test]
fn a_tap_gets_what_a_subscriber_gets_and_ends_with_a_last_batch() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    tap(&mut world, Wanted::default());
    for index in 1..=200 {
        for packet in [publisher.video(index, index == 1), publisher.audio(index)] {
            world.receive_one(&packet, publisher.address);
        }
        world.advance(10 * MS);
    }
    untap(&mut world);
    let mut lasts = Vec::new();
    let (mut video, mut audio) = (Vec::new(), 0);
    while let Some(batch) = world.engine.poll_tap() {
        assert_eq!((batch.tap, batch.dropped), (TAP, 0));
        lasts.push(batch.last);
        for (kind, number, payload) in contents(&batch) {
            match kind {
                MediaKind::Video => video.push((number, payload)),
                MediaKind::Audio => audio += 1,
            }
        }
        world.engine.return_tap(batch, world.now);
    }
    assert_eq!(lasts.pop(), Some(true));
    assert!(!lasts.contains(&true) && lasts.len() > 5);
    let expected: Vec<_> = (1..=200)
        .map(|index| (index, vp8(index, index == 1)))
        .collect();
    assert_eq!((audio, video), (200, expected));
    let packet = publisher.video(201, true);
    world.receive_one(&packet, publisher.address);
    assert!(world.engine.poll_tap().is_none());
}

#[test]
fn a_tap_has_the_layer_it_asks_for_without_holes() {
    let (mut world, mut camera) = start(true);
    tap(
        &mut world,
        Wanted {
            audio: false,
            resolution: Some((640, 360)),
            frame_rate: Some(15),
            ..Wanted::default()
        },
    );
    let mut numbers = Vec::new();
    let mut layers = Vec::new();
    for _ in 0..120 {
        world.advance(Duration::from_micros(33_333));
        camera.emit(&mut world);
        for (_, number, payload) in fetched(&mut world).0 {
            numbers.push(number);
            layers.push(usize::from(payload[payload.len() - 1]));
        }
    }
    assert!(layers[layers.len() - 30..].iter().all(|layer| *layer == 1));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

#[test]
fn a_tap_that_nobody_reads_changes_nothing_for_others_and_goes_on_with_a_key_frame() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    tap(&mut world, Wanted::default());
    let room = MAX_BATCHES as u64 * 64;
    for index in 1..=3_000 {
        let packet = publisher.video(index, index == 1);
        world.receive_one(&packet, publisher.address);
    }
    assert_eq!(subscriber.open(&mut world.net).0.len(), 3_000);
    world.advance(2_000 * MS);
    let asked = |world: &mut World, publisher: &mut Peer| {
        let (_, feedback) = publisher.open(&mut world.net);
        let packets = feedback.iter().flat_map(|datagram| Compound::new(datagram));
        packets
            .filter(|packet| matches!(packet, Rtcp::Pli { .. }))
            .count()
    };
    assert_eq!(asked(&mut world, &mut publisher), 0);

    let (packets, dropped) = fetched(&mut world);
    assert_eq!((packets.len() as u64, dropped), (room, 0));
    let packet = publisher.video(3_001, false);
    world.receive_one(&packet, publisher.address);
    assert_eq!(asked(&mut world, &mut publisher), 1);
    world.advance(200 * MS);
    for index in [3_002, 3_003] {
        let packet = publisher.video(index, index == 3_002);
        world.receive_one(&packet, publisher.address);
    }
    untap(&mut world);
    let (packets, dropped) = fetched(&mut world);
    assert_eq!(dropped, 3_000 - room);
    let payloads: Vec<_> = packets.into_iter().map(|(_, _, payload)| payload).collect();
    assert_eq!(payloads, [vp8(3_002, true), vp8(3_003, false)]);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 3);
}

#[test]
fn a_tap_ends_with_its_publication() {
    let mut world = World::new();
    let _publisher = world.publisher(1, 1, CM);
    tap(&mut world, Wanted::default());
    world.command(Command::Remove(Leg::Publisher(PublicationId(1))));
    let batch = world.engine.poll_tap().expect("a last batch");
    assert!(batch.last && batch.packets.is_empty());
}

#[test]
fn statistics_say_what_came_what_left_and_what_was_lost() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    for index in [1, 2, 3, 5, 6] {
        let packet = publisher.video(index, index == 1);
        world.receive_one(&packet, publisher.address);
        world.receive_one(&packet, publisher.address);
    }
    world.advance(20 * MS);
    let (media, _) = subscriber.open(&mut world.net);
    let mut feedback = Vec::new();
    let block = ReportBlock {
        ssrc: out_ssrc(1),
        fraction_lost: 64,
        lost: 7,
        jitter: 900,
        ..ReportBlock::default()
    };
    push_receiver_report(&mut feedback, 1, &[block]);
    push_nack(&mut feedback, 1, out_ssrc(1), &[media[1].header.sequence]);
    push_pli(&mut feedback, 1, out_ssrc(1));
    let datagram = subscriber.rtcp(&feedback);
    world.receive_one(&datagram, subscriber.address);

    let inbound = world.engine.stats(publisher.leg).unwrap().inbound;
    let [video] = inbound[..] else {
        panic!("{inbound:?}");
    };
    assert_eq!(
        (video.kind, video.ssrc, video.layer),
        (MediaKind::Video, VIDEO_SSRC, 0)
    );
    assert_eq!(video.codec, Some(Codec::Vp8));
    assert_eq!((video.packets_received, video.packets_lost), (5, 1));
    let tally = video.tally;
    assert_eq!((tally.frames_received, tally.key_frames_received), (5, 1));
    assert_eq!(tally.bytes_received, 5 * vp8(1, true).len() as u64);
    // Its own at the beginning, and what the subscriber asked for waits for the spacing.
    assert_eq!((tally.nack_count, tally.pli_count), (1, 1));

    let told = world.engine.stats(subscriber.leg).unwrap();
    let video = told.outbound[0];
    assert_eq!((video.kind, video.ssrc), (MediaKind::Video, out_ssrc(1)));
    assert_eq!(video.layers, Some((0, 2)));
    let tally = video.tally;
    assert_eq!(
        (tally.packets_sent, tally.retransmitted_packets_sent),
        (5, 1)
    );
    assert_eq!(
        (tally.nack_count, tally.pli_count, tally.fir_count),
        (1, 1, 0)
    );
    let remote = video.remote.expect("reported");
    assert_eq!((remote.packets_lost, remote.fraction_lost), (7, 0.25));
    assert_eq!(remote.jitter, 10 * MS);
    assert_eq!(told.outbound[1].layers, None, "no audio yet");
}
