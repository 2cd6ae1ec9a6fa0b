//! New keys in the middle of a call.

use std::time::Duration;

use parlor::rtp::rtcp::feedback::push_nack;
use parlor::sfu::command::{Command, EngineEvent, Generation};
use parlor::sfu::handshake::HandshakeInput;
use parlor::srtp::Profile;

use crate::world::*;

const PROFILES: [Profile; 2] = [CM, Profile::AeadAes128Gcm];
const S: Duration = Duration::from_secs(1);

/// The handshake of another association is complete.
fn rekey(world: &mut World, peer: &mut Peer) {
    let keys = peer.rekey();
    world
        .engine
        .handle_handshake(keys, world.now, &mut world.net);
    assert_eq!(world.events(), [EngineEvent::Rekeyed(peer.leg)]);
}

fn sequences(peer: &mut Peer, world: &mut World) -> Vec<u16> {
    let (media, _) = peer.open(&mut world.net);
    media.iter().map(|packet| packet.header.sequence).collect()
}

#[test]
fn the_next_association_is_for_the_peer_to_begin() {
    let mut world = World::new();
    let publisher = world.publisher(1, 1, CM);
    let leg = publisher.leg;
    let mut expected = Generation::default();
    for _ in 0..3 {
        world.receive_one(&[22, 1, 2, 3], publisher.address);
        let input = world.engine.poll_handshake();
        let Some(HandshakeInput::Datagram { generation, .. }) = input else {
            panic!("no handshake datagram");
        };
        assert_eq!(generation, expected);
        expected = expected.next();
        let generation = expected;
        world.command(Command::Rekey { leg, generation });
    }
}

#[test]
fn what_is_under_way_when_a_publishers_keys_change_still_arrives_but_not_for_ever() {
    for profile in PROFILES {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, profile);
        let mut subscriber = world.subscriber(1, 1, 11, CM);
        let old: Vec<_> = (1..=5).map(|index| publisher.audio(index)).collect();
        world.receive_one(&old[0], publisher.address);
        rekey(&mut world, &mut publisher);
        let new = publisher.audio(4);
        for packet in [&old[1], &new, &old[2]] {
            world.receive_one(packet, publisher.address);
        }
        let first = sequences(&mut subscriber, &mut world);
        assert_eq!(first.len(), 4);
        // Seen is seen, under either key.
        for packet in [&old[1], &new] {
            world.receive_one(packet, publisher.address);
        }
        assert_eq!(world.engine.counters().rejected_media, 2);
        world.check(&subscriber);
        world.check(&publisher);
        world.advance(2 * S);
        world.net.sent.clear();
        world.receive_one(&old[4], publisher.address);
        assert_eq!(world.engine.counters().rejected_media, 3);
        let packet = publisher.audio(5);
        world.receive_one(&packet, publisher.address);
        let last = sequences(&mut subscriber, &mut world);
        assert_eq!(last, [first[0].wrapping_add(4)]);
    }
}

#[test]
fn what_leaves_after_a_subscribers_keys_changed_has_the_next_number_under_the_new_keys() {
    for profile in PROFILES {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, CM);
        let mut subscriber = world.subscriber(1, 1, 11, profile);
        let mut all = Vec::new();
        for index in 1..=60 {
            let packet = publisher.audio(index);
            world.receive_one(&packet, publisher.address);
            // Opens with the keys of the moment, or fails.
            all.extend(sequences(&mut subscriber, &mut world));
            if index % 20 == 0 {
                rekey(&mut world, &mut subscriber);
            }
        }
        let expected: Vec<_> = (0..60).map(|n| all[0].wrapping_add(n)).collect();
        assert_eq!(all, expected);
    }
}

#[test]
fn what_was_lost_while_keys_changed_is_sent_again_under_the_new_ones() {
    for profile in PROFILES {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, CM);
        let mut subscriber = world.subscriber(1, 1, 11, profile);
        for index in 1..=5 {
            let packet = publisher.audio(index);
            world.receive_one(&packet, publisher.address);
        }
        let before = sequences(&mut subscriber, &mut world);
        rekey(&mut world, &mut subscriber);
        let mut plain = Vec::new();
        push_nack(&mut plain, 1, out_ssrc(1) + 1, &before[2..]);
        let nack = subscriber.rtcp(&plain);
        world.receive_one(&nack, subscriber.address);
        assert_eq!(sequences(&mut subscriber, &mut world), before[2..]);
    }
}

#[test]
fn numbers_that_roll_over_right_after_the_change_are_understood_on_both_sides() {
    for profile in PROFILES {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, profile);
        let mut subscriber = world.subscriber(1, 1, 11, profile);
        let (mut last, mut index) = (0, 0);
        while last < 0xfffd {
            index += 1;
            let packet = publisher.audio(index);
            world.receive_one(&packet, publisher.address);
            last = sequences(&mut subscriber, &mut world)[0];
        }
        rekey(&mut world, &mut subscriber);
        let mut after = Vec::new();
        for _ in 0..5 {
            index += 1;
            let packet = publisher.audio(index);
            world.receive_one(&packet, publisher.address);
            after.extend(sequences(&mut subscriber, &mut world));
        }
        assert_eq!(after, [0xfffe, 0xffff, 0, 1, 2]);
        // Keys from behind the rollover do not fit what was before it.
        rekey(&mut world, &mut subscriber);
        index += 1;
        let packet = publisher.audio(index);
        world.receive_one(&packet, publisher.address);
        assert_eq!(sequences(&mut subscriber, &mut world), [3]);
        let mut plain = Vec::new();
        push_nack(&mut plain, 1, out_ssrc(1) + 1, &[0xffff, 1]);
        let nack = subscriber.rtcp(&plain);
        world.receive_one(&nack, subscriber.address);
        assert_eq!(sequences(&mut subscriber, &mut world), [1]);
    }
}

#[test]
fn a_publishers_first_packets_may_be_lost_before_a_rollover() {
    for profile in PROFILES {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, profile);
        let mut subscriber = world.subscriber(1, 1, 11, CM);
        let packet = publisher.audio(0xfffd);
        world.receive_one(&packet, publisher.address);
        rekey(&mut world, &mut publisher);
        for index in [0x1_0001, 0x1_0002, 0xffff, 0x1_0003] {
            let packet = publisher.audio(index);
            world.receive_one(&packet, publisher.address);
        }
        assert_eq!(sequences(&mut subscriber, &mut world).len(), 5);
    }
}
