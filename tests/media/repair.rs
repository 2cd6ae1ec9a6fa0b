//! What is done about loss.

use std::net::SocketAddr;
use std::time::Duration;

use parlor::rtp::rtcp::feedback::{push_nack, push_pli};
use parlor::rtp::rtcp::report::{ReportBlock, push_receiver_report};
use parlor::rtp::rtcp::{Compound, Rtcp};
use parlor::srtp::Profile;

use crate::world::*;

const MS: Duration = Duration::from_millis(1);

/// A publisher and a subscriber that has got packets 1 to 5 of video.
fn flowing(profile: Profile) -> (World, Peer, Peer, Vec<u16>) {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, profile);
    for index in 1..=5 {
        let packet = publisher.video(index, index == 1);
        world.receive_one(&packet, publisher.address);
    }
    let (media, _) = subscriber.open(&mut world.net);
    let sequences: Vec<_> = media.iter().map(|p| p.header.sequence).collect();
    assert_eq!(sequences.len(), 5);
    publisher.open(&mut world.net);
    (world, publisher, subscriber, sequences)
}

fn nack(world: &mut World, subscriber: &mut Peer, missing: &[u16]) {
    let mut plain = Vec::new();
    push_nack(&mut plain, 1, out_ssrc(1), missing);
    let datagram = subscriber.rtcp(&plain);
    world.receive_one(&datagram, subscriber.address);
}

fn nacked(feedback: &[Vec<u8>]) -> Vec<u16> {
    let packets = feedback.iter().flat_map(|datagram| Compound::new(datagram));
    packets
        .filter_map(|packet| match packet {
            Rtcp::Nack(nack) => Some(nack.sequences().collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect()
}

#[test]
fn a_missing_packet_is_sent_again_as_a_retransmission() {
    for profile in [CM, Profile::AeadAes128Gcm] {
        let (mut world, _, mut subscriber, sequences) = flowing(profile);
        nack(&mut world, &mut subscriber, &sequences[1..3]);
        let (media, _) = subscriber.open(&mut world.net);
        assert_eq!(media.len(), 2);
        for (packet, (sequence, index)) in media.iter().zip(sequences[1..3].iter().zip(2..)) {
            assert_eq!(packet.header.ssrc, out_ssrc(1) + 2);
            assert_eq!(packet.header.payload_type, OUT_VP8_RTX);
            assert_eq!(packet.header.timestamp, index as u32 * 3_000);
            assert_eq!(packet.payload[..2], sequence.to_be_bytes());
            assert_eq!(packet.payload[2..], vp8(index, false));
        }
        assert_eq!(world.engine.counters().resent, 2);
    }
}

#[test]
fn audio_is_sent_again_as_the_very_same_packet() {
    for profile in [CM, Profile::AeadAes128Gcm] {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, CM);
        let mut subscriber = world.subscriber(1, 1, 11, profile);
        for index in 1..=3 {
            let packet = publisher.audio(index);
            world.receive_one(&packet, publisher.address);
            world.advance(20 * MS);
        }
        let address = subscriber.address;
        let is_audio = |(bytes, to): &&(Vec<u8>, SocketAddr)| *to == address && bytes[0] >= 128;
        let sent: Vec<_> = world.net.sent.iter().filter(is_audio).cloned().collect();
        let first = subscriber.open(&mut world.net).0[0].header.sequence;
        let mut plain = Vec::new();
        push_nack(&mut plain, 1, out_ssrc(1) + 1, &[first + 1]);
        let datagram = subscriber.rtcp(&plain);
        world.receive_one(&datagram, subscriber.address);
        let again: Vec<_> = world.net.sent.iter().filter(is_audio).cloned().collect();
        assert_eq!(again, [sent[1].clone()]);
    }
}

#[test]
fn lost_audio_is_asked_for_while_it_is_of_use() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    for index in [1, 2, 4] {
        let packet = publisher.audio(index);
        world.receive_one(&packet, publisher.address);
    }
    publisher.open(&mut world.net);
    world.advance(15 * MS);
    assert_eq!(nacked(&publisher.open(&mut world.net).1), [3]);
    let packet = publisher.audio(3);
    world.receive_one(&packet, publisher.address);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 4);
    let packet = publisher.audio(6);
    world.receive_one(&packet, publisher.address);
    world.advance(1_000 * MS);
    let asked = nacked(&publisher.open(&mut world.net).1).len();
    assert!((2..=5).contains(&asked), "{asked} times");
}

#[test]
fn a_packet_is_sent_again_once_per_round_trip() {
    let (mut world, _, mut subscriber, sequences) = flowing(CM);
    let mut resent = |world: &mut World| {
        nack(world, &mut subscriber, &sequences[1..2]);
        subscriber.open(&mut world.net).0.len()
    };
    assert_eq!(resent(&mut world), 1);
    world.advance(50 * MS);
    assert_eq!(resent(&mut world), 0);
    world.advance(50 * MS);
    assert_eq!(resent(&mut world), 1);
}

#[test]
fn a_number_that_was_never_sent_is_not_answered() {
    let (mut world, _, mut subscriber, sequences) = flowing(CM);
    nack(
        &mut world,
        &mut subscriber,
        &[sequences[0].wrapping_sub(1), sequences[4] + 1, 40_000],
    );
    assert_eq!(subscriber.open(&mut world.net).0.len(), 0);
}

#[test]
fn what_is_missing_from_the_publisher_is_asked_for_and_forwarded_in_its_place() {
    let (mut world, mut publisher, mut subscriber, sequences) = flowing(CM);
    let packet = publisher.video(8, false);
    world.receive_one(&packet, publisher.address);
    world.advance(14 * MS);
    assert_eq!(nacked(&publisher.open(&mut world.net).1), [0_u16; 0]);
    world.advance(MS);
    assert_eq!(nacked(&publisher.open(&mut world.net).1), [6, 7]);
    let mut payload = 6u16.to_be_bytes().to_vec();
    payload.extend_from_slice(&vp8(6, false));
    let rtx = publisher.rtp((VIDEO_RTX_SSRC, VP8_RTX), 1, 6 * 3_000, &[], &payload);
    world.receive_one(&rtx, publisher.address);
    world.advance(120 * MS);
    assert_eq!(nacked(&publisher.open(&mut world.net).1), [7]);
    let (media, _) = subscriber.open(&mut world.net);
    let got: Vec<_> = media
        .iter()
        .map(|p| {
            (
                p.header.sequence.wrapping_sub(sequences[0]),
                p.payload.clone(),
            )
        })
        .collect();
    assert_eq!(got, [(7, vp8(8, false)), (5, vp8(6, false))]);
    assert!(media.iter().all(|p| p.header.ssrc == out_ssrc(1)));
}

#[test]
fn a_retransmission_of_what_has_come_already_goes_nowhere() {
    let (mut world, mut publisher, mut subscriber, _) = flowing(CM);
    for (index, original) in [(1u64, 3u16), (2, 60_000)] {
        let mut payload = original.to_be_bytes().to_vec();
        payload.extend_from_slice(&vp8(3, false));
        let rtx = publisher.rtp((VIDEO_RTX_SSRC, VP8_RTX), index, 0, &[], &payload);
        world.receive_one(&rtx, publisher.address);
    }
    assert_eq!(subscriber.open(&mut world.net).0.len(), 0);
}

#[test]
fn a_subscribers_pli_reaches_the_publisher() {
    let (mut world, mut publisher, mut subscriber, _) = flowing(CM);
    world.advance(1_000 * MS);
    publisher.open(&mut world.net);
    let mut plain = Vec::new();
    push_receiver_report(&mut plain, 1, &[]);
    push_pli(&mut plain, 1, out_ssrc(1));
    let datagram = subscriber.rtcp(&plain);
    world.receive_one(&datagram, subscriber.address);
    let (_, feedback) = publisher.open(&mut world.net);
    let packets: Vec<_> = feedback
        .iter()
        .flat_map(|datagram| Compound::new(datagram))
        .collect();
    assert_eq!(
        packets,
        [Rtcp::Pli {
            media_ssrc: VIDEO_SSRC
        }]
    );
}

#[test]
fn the_publisher_hears_what_arrived_and_when() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    for (index, number) in [(1u64, 65_535u16), (2, 0), (4, 2)] {
        let element = number.to_be_bytes();
        let payload = vp8(index, false);
        let packet = publisher.rtp((VIDEO_SSRC, VP8), index, 0, &[(3, &element)], &payload);
        world.receive_one(&packet, publisher.address);
        world.advance(2 * MS);
    }
    world.advance(1_000 * MS);
    let (_, feedback) = publisher.open(&mut world.net);
    let (mut arrivals, mut blocks) = (Vec::new(), Vec::<ReportBlock>::new());
    for packet in feedback.iter().flat_map(|datagram| Compound::new(datagram)) {
        match packet {
            Rtcp::TransportFeedback(feedback) => arrivals.extend(feedback.arrivals()),
            Rtcp::ReceiverReport { blocks: more } => blocks.extend(more),
            other => panic!("unexpected {other:?}"),
        }
    }
    let received: Vec<_> = arrivals
        .iter()
        .map(|a| (a.sequence, a.at_us.is_some()))
        .collect();
    assert_eq!(received, [(65_535, true), (0, true), (1, false), (2, true)]);
    assert_eq!(blocks.len(), 1);
    let block = blocks[0];
    assert_eq!((block.ssrc, block.lost, block.highest), (VIDEO_SSRC, 1, 4));
}
