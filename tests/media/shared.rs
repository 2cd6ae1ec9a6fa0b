//! Several subscriptions over one leg.

use std::time::Duration;

use parlor::rtp::rtcp::feedback::{push_nack, push_pli};
use parlor::rtp::rtcp::{Compound, Rtcp};
use parlor::sfu::command::{Command, EngineEvent};
use parlor::sfu::{ClientId, CloseReason, Leg, PublicationId, SubscriptionId};

use crate::world::*;

const CLIENT: ClientId = ClientId(9);
const LEG: Leg = Leg::Shared(CLIENT);

/// Two publishers, and somebody who receives both over one leg.
fn start() -> (World, [Peer; 2], Peer) {
    let mut world = World::new();
    let publishers = [1, 2].map(|id| world.publisher(id, id as u16, CM));
    let receiver = Peer::new(LEG, 11, CM);
    add(&mut world, &receiver, 1, 1);
    world.connect(&receiver);
    add(&mut world, &receiver, 2, 2);
    (world, publishers, receiver)
}

fn add(world: &mut World, receiver: &Peer, id: u64, publication: u64) {
    let config = shared_subscription(CLIENT, id, publication, receiver.transport());
    world.command(Command::AddSubscription(Box::new(config)));
}

fn send(world: &mut World, publisher: &mut Peer, index: u64, key: bool) {
    let packet = publisher.video(index, key);
    world.receive_one(&packet, publisher.address);
}

fn number(packet: &Received) -> u16 {
    let element = packet.elements.iter().find(|(id, _)| *id == 5);
    let (_, number) = element.expect("numbered");
    u16::from_be_bytes([number[0], number[1]])
}

#[test]
fn all_streams_leave_on_one_leg_in_one_numbering() {
    let (mut world, mut publishers, mut receiver) = start();
    for index in 0..10 {
        for publisher in &mut publishers {
            send(&mut world, publisher, index, index == 0);
        }
    }
    let (media, _) = receiver.open(&mut world.net);
    let ssrcs: Vec<_> = media.iter().map(|packet| packet.header.ssrc).collect();
    assert_eq!(ssrcs, [out_ssrc(1), out_ssrc(2)].repeat(10));
    let numbers: Vec<_> = media.iter().map(number).collect();
    assert!(numbers.windows(2).all(|n| n[1] == n[0].wrapping_add(1)));
}

#[test]
fn each_stream_is_repaired_and_asked_for_by_its_ssrc() {
    let (mut world, mut publishers, mut receiver) = start();
    for index in 0..10 {
        for publisher in &mut publishers {
            send(&mut world, publisher, index, index == 0);
        }
    }
    let (media, _) = receiver.open(&mut world.net);
    let of_second = |packet: &&Received| packet.header.ssrc == out_ssrc(2);
    let lost = media.iter().filter(of_second).nth(5).unwrap().clone();
    let mut plain = Vec::new();
    push_nack(&mut plain, 1, out_ssrc(2), &[lost.header.sequence]);
    world.receive_one(&receiver.rtcp(&plain), receiver.address);
    let (media, _) = receiver.open(&mut world.net);
    let [again] = media.as_slice() else {
        panic!("one packet: {media:?}");
    };
    assert_eq!(again.header.ssrc, out_ssrc(2) + 2);
    assert_eq!(again.payload[2..], lost.payload);

    world.advance(Duration::from_secs(1));
    for publisher in &mut publishers {
        publisher.open(&mut world.net);
    }
    let mut plain = Vec::new();
    push_pli(&mut plain, 1, out_ssrc(2));
    world.receive_one(&receiver.rtcp(&plain), receiver.address);
    let asked = publishers.map(|mut publisher| {
        let (_, feedback) = publisher.open(&mut world.net);
        let mut packets = feedback.iter().flat_map(|datagram| Compound::new(datagram));
        packets.any(|packet| matches!(packet, Rtcp::Pli { .. }))
    });
    assert_eq!(asked, [false, true]);
}

#[test]
fn a_newcomer_on_a_leg_that_is_up_asks_for_a_key_frame_at_once() {
    let (mut world, mut publishers, receiver) = start();
    for index in 0..10 {
        send(&mut world, &mut publishers[0], index, index == 0);
    }
    world.advance(Duration::from_secs(1));
    publishers[0].open(&mut world.net);
    add(&mut world, &receiver, 3, 1);
    let (_, feedback) = publishers[0].open(&mut world.net);
    let mut packets = feedback.iter().flat_map(|datagram| Compound::new(datagram));
    assert!(packets.any(|packet| matches!(packet, Rtcp::Pli { .. })));
}

#[test]
fn a_subscription_ends_alone_and_the_leg_with_all_of_them() {
    let (mut world, mut publishers, mut receiver) = start();
    world.command(Command::Remove(Leg::Subscriber(SubscriptionId(1))));
    for publisher in &mut publishers {
        send(&mut world, publisher, 0, true);
    }
    let (media, _) = receiver.open(&mut world.net);
    let ssrcs: Vec<_> = media.iter().map(|packet| packet.header.ssrc).collect();
    assert_eq!(ssrcs, [out_ssrc(2)]);
    // Nobody is left, but the next one may be on its way.
    world.command(Command::Remove(Leg::Subscriber(SubscriptionId(2))));
    add(&mut world, &receiver, 3, 1);
    send(&mut world, &mut publishers[0], 1, true);
    assert_eq!(receiver.open(&mut world.net).0.len(), 1);
    world.command(Command::Remove(LEG));
    send(&mut world, &mut publishers[0], 2, true);
    assert!(receiver.open(&mut world.net).0.is_empty());
    world.check(&receiver);
    assert_eq!(world.engine.counters().rejected_checks, 1);
}

#[test]
fn a_publisher_that_leaves_takes_nothing_else_along() {
    let (mut world, mut publishers, mut receiver) = start();
    world.command(Command::Remove(Leg::Publisher(PublicationId(1))));
    send(&mut world, &mut publishers[1], 0, true);
    assert_eq!(receiver.open(&mut world.net).0.len(), 1);
}

#[test]
fn a_leg_whose_consent_expires_ends_with_all_its_subscriptions() {
    let (mut world, mut publishers, mut receiver) = start();
    for _ in 0..8 {
        world.advance(Duration::from_secs(5));
        publishers
            .iter()
            .for_each(|publisher| world.check(publisher));
    }
    let reason = CloseReason::ConsentExpired;
    assert_eq!(world.events(), [EngineEvent::Closed(LEG, reason)]);
    send(&mut world, &mut publishers[0], 0, true);
    receiver.open(&mut world.net);
    assert_eq!(world.engine.counters().forwarded, 0);
}
