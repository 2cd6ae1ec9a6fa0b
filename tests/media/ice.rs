//! Who is spoken to, where, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use parlor::sfu::command::{Command, EngineEvent};
use parlor::sfu::handshake::{HandshakeInput, HandshakeOutput};
use parlor::sfu::{CloseReason, Leg, PublicationId};

use crate::world::*;

const S: Duration = Duration::from_secs(1);

fn elsewhere(port: u16) -> SocketAddr {
    ([198, 51, 100, 7], port).into()
}

fn kept_alive(world: &mut World, peer: &Peer, seconds: u32) {
    for _ in 0..seconds {
        world.check(peer);
        world.advance(S);
    }
}

#[test]
fn a_check_is_answered_only_if_it_is_authentic() {
    let mut world = World::new();
    let publisher = world.publisher(1, 1, CM);
    let mut forged = Peer::new(publisher.leg, 9, CM);
    forged.ice.local_pwd = "some-other-password-of-22".into();
    world.check(&forged);
    forged.ice = credentials("nobody");
    world.check(&forged);
    assert_eq!(world.net.sent, []);
    assert_eq!(world.engine.counters().rejected_checks, 2);
    world.check(&publisher);
    assert_eq!(world.net.sent.len(), 1);
    assert_eq!(world.net.sent[0].1, publisher.address);
}

#[test]
fn media_and_handshakes_from_addresses_without_a_check_are_dropped() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let packet = publisher.audio(1);
    world.receive_one(&packet, elsewhere(5));
    world.receive_one(&[22, 0xfe, 0xfd, 0], elsewhere(5));
    assert_eq!(subscriber.open(&mut world.net).0, []);
    assert_eq!(world.engine.poll_handshake(), None);
    assert_eq!(world.engine.counters().unknown_source, 2);
    world.receive_one(&packet, publisher.address);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 1);
}

#[test]
fn a_replayed_packet_is_dropped() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let packet = publisher.audio(1);
    world.receive([
        (&packet[..], publisher.address),
        (&packet[..], publisher.address),
    ]);
    world.receive_one(&packet, publisher.address);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 1);
    assert_eq!(world.engine.counters().rejected_media, 2);
}

#[test]
fn media_follows_a_peer_to_a_new_address() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    subscriber.address = elsewhere(6);
    publisher.address = elsewhere(5);
    world.check(&subscriber);
    world.check(&publisher);
    world.net.sent.clear();
    let packet = publisher.audio(1);
    world.receive_one(&packet, publisher.address);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 1);
    assert_eq!(world.net.sent, []);
}

#[test]
fn one_leg_cannot_take_the_address_of_another_that_is_alive() {
    let mut world = World::new();
    let publisher = world.publisher(1, 1, CM);
    let mut thief = world.publisher(2, 2, CM);
    thief.address = publisher.address;
    world.check(&thief);
    assert_eq!(world.net.sent, []);
    world.advance(20 * S);
    world.check(&thief);
    assert_eq!(
        world
            .net
            .sent
            .iter()
            .filter(|(bytes, _)| bytes[0] < 4)
            .count(),
        1
    );
}

#[test]
fn an_ice_restart_keeps_keys_and_ends_the_old_credentials_when_the_new_ones_are_used() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let new = credentials("restarted");
    world.command(Command::RestartIce {
        leg: publisher.leg,
        ice: new.clone(),
    });
    let answers = |world: &mut World, peer: &Peer| {
        world.net.sent.clear();
        world.check(peer);
        world.net.sent.len()
    };
    assert_eq!(answers(&mut world, &publisher), 1);
    let old = std::mem::replace(&mut publisher.ice, new);
    publisher.address = elsewhere(3);
    assert_eq!(answers(&mut world, &publisher), 1);
    let new = std::mem::replace(&mut publisher.ice, old);
    assert_eq!(answers(&mut world, &publisher), 0);
    publisher.ice = new;
    let packet = publisher.audio(1);
    world.receive_one(&packet, publisher.address);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 1);
    assert_eq!(world.events(), []);
}

#[test]
fn a_leg_without_checks_is_closed_after_30_seconds() {
    let mut world = World::new();
    let publisher = world.publisher(1, 1, CM);
    let subscriber = world.subscriber(1, 1, 11, CM);
    kept_alive(&mut world, &publisher, 29);
    assert_eq!(world.events(), []);
    kept_alive(&mut world, &publisher, 5);
    let closed = EngineEvent::Closed(subscriber.leg, CloseReason::ConsentExpired);
    assert_eq!(world.events(), [closed]);
    world.check(&subscriber);
    world.advance(30 * S);
    let closed = EngineEvent::Closed(publisher.leg, CloseReason::ConsentExpired);
    assert_eq!(world.events(), [closed]);
    assert_eq!(world.engine.poll_timeout(), None);
}

#[test]
fn a_leg_that_never_hears_a_check_is_closed_30_seconds_after_it_was_added() {
    let mut world = World::new();
    let leg = Leg::Publisher(PublicationId(3));
    let config = publication(PublicationId(3), Peer::new(leg, 3, CM).transport());
    world.command(Command::AddPublication(Box::new(config)));
    world.advance(30 * S - Duration::from_millis(1));
    assert_eq!(world.events(), []);
    world.advance(Duration::from_millis(1));
    assert_eq!(
        world.events(),
        [EngineEvent::Closed(leg, CloseReason::ConsentExpired)]
    );
}

#[test]
fn handshake_datagrams_pass_both_ways_and_the_good_bye_finds_its_way() {
    let mut world = World::new();
    let publisher = world.publisher(1, 1, CM);
    world.receive_one(&[22, 1, 2, 3], publisher.address);
    let Some(HandshakeInput::Datagram { leg, bytes, .. }) = world.engine.poll_handshake() else {
        panic!("no handshake datagram");
    };
    assert_eq!((leg, bytes), (publisher.leg, vec![22, 1, 2, 3]));
    let answer = HandshakeOutput::Datagram {
        leg: publisher.leg,
        bytes: vec![22, 9],
    };
    world
        .engine
        .handle_handshake(answer.clone(), world.now, &mut world.net);
    assert_eq!(world.net.sent, [(vec![22, 9], publisher.address)]);
    world.command(Command::Remove(publisher.leg));
    assert_eq!(
        world.engine.poll_handshake(),
        Some(HandshakeInput::Stop { leg: publisher.leg })
    );
    world
        .engine
        .handle_handshake(answer.clone(), world.now, &mut world.net);
    world
        .engine
        .handle_handshake(answer, world.now, &mut world.net);
    assert_eq!(world.net.sent.len(), 2);
}

#[test]
fn a_failed_handshake_closes_the_leg() {
    let mut world = World::new();
    let publisher = world.publisher(1, 1, CM);
    let reason = CloseReason::PeerClosed;
    let closed = HandshakeOutput::Closed {
        leg: publisher.leg,
        reason,
    };
    world
        .engine
        .handle_handshake(closed.clone(), world.now, &mut world.net);
    world
        .engine
        .handle_handshake(closed, world.now, &mut world.net);
    assert_eq!(world.events(), [EngineEvent::Closed(publisher.leg, reason)]);
}
