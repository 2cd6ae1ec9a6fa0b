//! Who is spoken to, where, and for how long.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use parlor::entropy::Entropy;
use parlor::rtp::rtcp::feedback::push_pli;
use parlor::sfu::command::{Command, EngineEvent};
use parlor::sfu::handshake::{HandshakeInput, HandshakeOutput};
use parlor::sfu::path::{Path, TcpId, Via};
use parlor::sfu::{CloseReason, Leg, PublicationId, SubscriptionId};

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
fn whoever_was_offered_a_leg_is_answered_before_its_own_answer_is_here() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = Peer::new(Leg::Subscriber(SubscriptionId(11)), 11, CM);
    let (remote, via) = (subscriber.address, Via::Tcp(TcpId(1)));
    let path = Path { remote, via };
    world.command(subscriber.offer());
    ways(&mut world);
    world.receive_one(&subscriber.check(true), path);
    assert_eq!(ways(&mut world), [via]);
    assert!(world.engine.knows(&path));
    for index in 0..9 {
        world.receive_one(&[22, index], path);
    }
    assert_eq!(world.engine.poll_handshake(), None);
    assert!(world.engine.counters().dropped_handshakes > 0);

    let config = subscription(SubscriptionId(11), PublicationId(1), subscriber.transport());
    world.command(Command::AddSubscription(Box::new(config)));
    let Some(HandshakeInput::Datagram { leg, bytes, .. }) = world.engine.poll_handshake() else {
        panic!("a handshake");
    };
    assert_eq!((leg, bytes), (subscriber.leg, vec![22, 0]));
    let keys = subscriber.keys();
    world
        .engine
        .handle_handshake(keys, world.now, &mut world.net);
    assert_eq!(world.events(), [EngineEvent::Connected(subscriber.leg)]);
    ways(&mut world);
    world.receive_one(&publisher.audio(1), publisher.address);
    assert_eq!(ways(&mut world), [via]);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 1);
}

#[test]
fn an_offer_that_is_over_is_answered_to_no_longer() {
    let mut world = World::new();
    let subscriber = Peer::new(Leg::Subscriber(SubscriptionId(11)), 11, CM);
    world.command(subscriber.offer());
    world.check(&subscriber);
    world.command(Command::Remove(subscriber.leg));
    assert!(!world.engine.knows(&subscriber.address.into()));
    world.net.sent.clear();
    world.check(&subscriber);
    assert_eq!(world.net.sent, []);
}

#[test]
fn a_path_that_another_leg_has_proven_to_own_meanwhile_is_not_taken_over() {
    let mut world = World::new();
    let subscriber = Peer::new(Leg::Subscriber(SubscriptionId(11)), 11, CM);
    world.command(subscriber.offer());
    world.check(&subscriber);
    let mut publisher = world.publisher(1, 1, CM);
    publisher.address = subscriber.address;
    world.check(&publisher);
    let config = subscription(SubscriptionId(11), PublicationId(1), subscriber.transport());
    world.command(Command::AddSubscription(Box::new(config)));
    world.net.sent.clear();
    world.receive_one(&publisher.audio(1), publisher.address);
    assert_eq!(world.engine.counters().unknown_source, 0);
    assert_eq!(world.net.sent, []);
}

#[test]
fn our_own_restart_of_ice_takes_effect_with_the_first_check() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    subscriber.ice = credentials("restarted");
    subscriber.address = elsewhere(5);
    world.command(subscriber.offer());
    world.check(&subscriber);
    world.net.sent.clear();
    world.receive_one(&publisher.audio(1), publisher.address);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 1);
}

/// Both legs, watched; nothing has come on them for so many seconds.
fn watched_after(seconds: u32) -> (World, [Peer; 2]) {
    let mut world = World::new();
    let publisher = world.publisher(1, 1, CM);
    let subscriber = world.subscriber(1, 1, 11, CM);
    world.advance(seconds * S);
    for leg in [publisher.leg, subscriber.leg] {
        world.command(Command::Watch(leg));
    }
    (world, [publisher, subscriber])
}

#[test]
fn of_a_watched_leg_on_which_nothing_comes_it_is_said_so_soon_and_once_more() {
    let (mut world, peers) = watched_after(6);
    let silent = peers.each_ref().map(|peer| EngineEvent::Silent(peer.leg));
    world.advance(S / 2);
    assert_eq!(world.events(), silent);
    world.advance(4 * S);
    assert_eq!(world.events(), []);
    world.advance(2 * S);
    assert_eq!(world.events(), silent);
    world.advance(12 * S);
    assert_eq!(world.events(), []);
}

#[test]
fn a_leg_that_nobody_watches_may_be_silent() {
    let mut world = World::new();
    world.publisher(1, 1, CM);
    world.subscriber(1, 1, 11, CM);
    world.advance(20 * S);
    assert_eq!(world.events(), []);
}

#[test]
fn whatever_is_authentic_shows_that_a_watched_leg_is_alive() {
    let (mut world, [mut publisher, mut subscriber]) = watched_after(0);
    let mut plain = Vec::new();
    push_pli(&mut plain, 1, out_ssrc(1));
    for second in 0..12 {
        let packet = publisher.audio(second);
        world.receive_one(&packet, publisher.address);
        let feedback = subscriber.rtcp(&plain);
        world.receive_one(&feedback, subscriber.address);
        world.advance(S);
    }
    assert_eq!(world.events(), []);
    // What is not, does not.
    let (mut world, [mut publisher, _]) = watched_after(0);
    let packet = publisher.audio(1);
    let mut forged = Peer::new(publisher.leg, 1, CM);
    forged.ice.local_pwd = "some-other-password-of-22".into();
    world.receive_one(&packet, publisher.address);
    for _ in 0..4 {
        world.advance(S);
        world.receive_one(&packet, publisher.address);
        world.check(&forged);
    }
    assert!(world.events().contains(&EngineEvent::Silent(publisher.leg)));
}

#[test]
fn a_restart_that_the_peer_began_has_its_time() {
    let (mut world, [mut publisher, subscriber]) = watched_after(2);
    publisher.ice = credentials("restarted");
    world.command(Command::RestartIce {
        leg: publisher.leg,
        ice: publisher.ice.clone(),
    });
    world.advance(4 * S);
    assert_eq!(world.events(), [EngineEvent::Silent(subscriber.leg)]);
    world.check(&publisher);
    world.advance(2 * S);
    assert!(!world.events().contains(&EngineEvent::Silent(publisher.leg)));
}

#[test]
fn the_old_way_counts_until_a_restart_has_found_another() {
    let (mut world, [mut publisher, mut subscriber]) = watched_after(6);
    let before = Peer::new(subscriber.leg, 11, CM);
    subscriber.ice = credentials("restarted");
    world.command(subscriber.offer());
    // The network was only slow.
    world.check(&before);
    world.net.sent.clear();
    world.receive_one(&publisher.audio(1), publisher.address);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 1);
    subscriber.address = elsewhere(5);
    world.check(&subscriber);
    world.net.sent.clear();
    world.receive_one(&publisher.audio(2), publisher.address);
    assert_eq!(subscriber.open(&mut world.net).0.len(), 1);
}

#[test]
fn a_leg_that_was_never_up_is_not_watched() {
    let mut world = World::new();
    let peer = Peer::new(Leg::Publisher(PublicationId(1)), 1, CM);
    let config = publication(PublicationId(1), peer.transport());
    world.command(Command::AddPublication(Box::new(config)));
    world.command(Command::Watch(peer.leg));
    world.advance(20 * S);
    assert_eq!(world.events(), []);
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

/// The ways that were taken since the last time.
fn ways(world: &mut World) -> Vec<Via> {
    std::mem::take(&mut world.net.ways)
}

#[test]
fn answers_and_media_leave_the_way_that_the_check_came() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let subscriber = world.subscriber(1, 1, 11, CM);
    let own = |last: u8| Some([192, 0, 2, last].into());
    let mut index = 0;
    for via in [
        Via::Udp(own(1)),
        Via::Udp(own(2)),
        Via::Tcp(TcpId(1)),
        Via::Tcp(TcpId(2)),
        Via::Udp(None),
    ] {
        // The same address of the client each time: each is another path all the same.
        let remote = subscriber.address;
        ways(&mut world);
        world.receive_one(&subscriber.check(true), Path { remote, via });
        assert_eq!(ways(&mut world), [via]);
        index += 1;
        world.receive_one(&publisher.audio(index), publisher.address);
        assert_eq!(ways(&mut world), [via]);
    }
}

#[test]
fn a_connection_that_is_gone_leaves_its_leg_to_the_best_path_that_is_left() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    let subscriber = world.subscriber(1, 1, 11, CM);
    let path = Path {
        remote: elsewhere(5),
        via: Via::Tcp(TcpId(7)),
    };
    world.receive_one(&subscriber.check(true), path);
    assert!(world.engine.knows(&path));
    ways(&mut world);
    world.engine.lose(path);
    assert!(!world.engine.knows(&path));
    world.receive_one(&publisher.audio(1), publisher.address);
    assert_eq!(ways(&mut world), [Via::Udp(None)]);
    world.receive_one(&[22, 1, 2, 3], path);
    assert_eq!(world.engine.poll_handshake(), None);
    // With no path at all nothing is sent, and a new check brings it back.
    world.engine.lose(subscriber.address.into());
    world.receive_one(&publisher.audio(2), publisher.address);
    assert_eq!(ways(&mut world), []);
    world.check(&subscriber);
    world.receive_one(&publisher.audio(3), publisher.address);
    assert_eq!(ways(&mut world), [Via::Udp(None); 2]);
    assert_eq!(world.events(), []);
}

#[test]
fn a_connection_stays_with_its_worker_whatever_its_checks_name() {
    let mut worlds = World::pair();
    let mut elsewhere = Peer::new(Leg::Publisher(PublicationId(1)), 1, CM);
    elsewhere.ice = credentials("1-elsewhere");
    let path = Path {
        remote: elsewhere.address,
        via: Via::Tcp(TcpId(1)),
    };
    worlds[0].receive_one(&elsewhere.check(true), path);
    assert!(worlds[0].engine.poll_parcel().is_none());
    assert_eq!(worlds[0].engine.counters().rejected_checks, 1);
    worlds[0].receive_one(&elsewhere.check(true), elsewhere.address);
    assert!(worlds[0].engine.poll_parcel().is_some());
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

/// What happens to legs at random, seen from outside.
struct Fates {
    world: World,
    dice: Entropy,
    peers: Vec<Peer>,
}

impl Fates {
    fn draw(&mut self, below: usize) -> usize {
        self.dice.u32() as usize % below
    }

    fn step(&mut self, round: u64) {
        let chosen = self.draw(self.peers.len());
        let from = elsewhere(1 + self.draw(8) as u16);
        let Self { world, peers, .. } = self;
        let peer = &mut peers[chosen];
        let Leg::Subscriber(id) = peer.leg else {
            panic!("no subscriber");
        };
        match self.dice.u32() % 16 {
            0 => world.command(peer.offer()),
            1 | 2 => {
                let config = subscription(id, PublicationId(1), peer.transport());
                world.command(Command::AddSubscription(Box::new(config)));
            }
            3 => {
                peer.ice = credentials(&format!("0-{round}"));
                world.command(Command::RestartIce {
                    leg: peer.leg,
                    ice: peer.ice.clone(),
                });
            }
            4 => world.command(Command::Remove(peer.leg)),
            5 => world.advance(u32::from(round.is_multiple_of(3)) * 7 * S),
            6 => world.engine.lose(from.into()),
            _ => world.receive_one(&peer.check(round.is_multiple_of(2)), from),
        }
    }
}

#[test]
fn whoever_is_told_of_paths_knows_at_any_time_which_there_are() {
    let [mut world, _] = World::pair();
    let publisher = world.publisher(1, 1, CM);
    let peer = |id: u16| Peer::new(Leg::Subscriber(SubscriptionId(id.into())), 100 + id, CM);
    let mut fates = Fates {
        world,
        dice: Entropy::from_seed(7),
        peers: (1..=4).map(peer).collect(),
    };
    let mut told = HashMap::<SocketAddr, i32>::new();
    let (mut came, mut went) = (0, 0);
    for round in 0..5_000 {
        fates.world.check(&publisher);
        fates.step(round);
        while let Some(change) = fates.world.engine.poll_path() {
            came += u32::from(change.is_ours);
            went += u32::from(!change.is_ours);
            *told.entry(change.remote).or_default() += if change.is_ours { 1 } else { -1 };
        }
        for port in 1..=8 {
            let remote = elsewhere(port);
            let known = i32::from(fates.world.engine.knows(&remote.into()));
            assert_eq!(
                told.get(&remote).copied().unwrap_or(0),
                known,
                "round {round}"
            );
        }
        fates.world.events();
        fates.world.net.sent.clear();
    }
    assert!(came > 200 && went > 200, "{came} {went}");
}
