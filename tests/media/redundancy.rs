//! Redundant audio (RFC 2198): what publishers send of it is taken apart, and what subscribers get of
//! it is made for each of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use parlor::rtp::header::Header;
use parlor::rtp::red;
use parlor::rtp::rtcp::feedback::push_nack;
use parlor::rtp::rtcp::transport_cc::push_transport_feedback;
use parlor::rtp::rtcp::{Compound, Rtcp};
use parlor::sfu::command::{Codec, Command, Redundancy, TapConfig, TapId};
use parlor::sfu::{Leg, PublicationId, SubscriptionId, Wanted};
use parlor::srtp::Profile;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::*;

const MS: Duration = Duration::from_millis(1);

/// Ticks of a packet of 20 ms.
pub const TICKS: u32 = 960;

/// What the packet of this number says.
pub fn words(index: u64) -> Vec<u8> {
    format!("opus number {index}").into_bytes()
}

/// The number that a payload says.
pub fn number(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).unwrap();
    text.trim_start_matches("opus number ").parse().unwrap()
}

/// A payload of RED: packet `index`, and in front of it earlier ones, which say how much older they are.
fn red(index: u64, earlier: &[(u64, u32)]) -> Vec<u8> {
    let all: Vec<_> = earlier.iter().map(|(n, age)| (*age, words(*n))).collect();
    let all: Vec<_> = all.iter().map(|(age, words)| (*age, &words[..])).collect();
    let mut out = Vec::new();
    red::push(&mut out, OPUS, &all, &words(index));
    out
}

/// A packet as Chromium sends it: with so many before it.
pub fn speak(publisher: &mut Peer, index: u64, earlier: u64) -> Vec<u8> {
    let earlier = (1..=earlier)
        .rev()
        .map(|back| (index - back, back as u32 * TICKS));
    let earlier: Vec<_> = earlier.collect();
    speak_at(publisher, index, index as u32 * TICKS, &earlier)
}

/// A packet of RED with this timestamp.
pub fn speak_at(
    publisher: &mut Peer,
    index: u64,
    timestamp: u32,
    earlier: &[(u64, u32)],
) -> Vec<u8> {
    let payload = red(index, earlier);
    publisher.rtp(
        (AUDIO_SSRC, RED),
        index,
        timestamp,
        &[(1, &[0x85])],
        &payload,
    )
}

/// A packet of nothing but Opus.
pub fn speak_alone(publisher: &mut Peer, index: u64, timestamp: u32) -> Vec<u8> {
    let kind = (AUDIO_SSRC, OPUS);
    publisher.rtp(kind, index, timestamp, &[(1, &[0x85])], &words(index))
}

/// A subscriber that has agreed to RED.
pub fn listener(world: &mut World, id: u64, port: u16, profile: Profile) -> Peer {
    let peer = Peer::new(Leg::Subscriber(SubscriptionId(id)), port, profile);
    let mut config = subscription(SubscriptionId(id), PublicationId(1), peer.transport());
    config.tracks[1].redundancy = Some(Redundancy {
        outbound: OUT_RED,
        inside: OUT_OPUS,
    });
    world.command(Command::AddSubscription(Box::new(config)));
    world.connect(&peer);
    peer
}

/// What a packet of audio carries: the earlier ones, and its own.
fn heard(packet: &Received) -> (Vec<u64>, u64) {
    contents(packet, |index| index as u32 * TICKS)
}

/// The same, by the timestamps that they had.
pub fn contents(packet: &Received, timestamp: impl Fn(u64) -> u32) -> (Vec<u64>, u64) {
    if packet.header.payload_type != OUT_RED {
        assert_eq!(packet.header.payload_type, OUT_OPUS);
        return (Vec::new(), number(&packet.payload));
    }
    let red = red::Red::parse(&packet.payload).expect("whole");
    let own = number(red.primary);
    assert_eq!(red.payload_type, OUT_OPUS);
    let earlier = red.earlier().map(|block| {
        let earlier = number(block.payload);
        assert_eq!(block.payload_type, OUT_OPUS);
        assert_eq!(block.offset, timestamp(own) - timestamp(earlier));
        earlier
    });
    (earlier.collect(), own)
}

/// A subscriber's report that of the packets since the last one these did not come.
pub fn lose(world: &mut World, subscriber: &mut Peer, of: std::ops::Range<u64>, missing: &[u64]) {
    for numbers in [of.clone(), of.end..of.end + 1] {
        let came = numbers.filter(|number| !missing.contains(number));
        let arrivals: Vec<_> = came.map(|number| (number, 1_000 * number as i64)).collect();
        let mut out = Vec::new();
        push_transport_feedback(&mut out, 1, 2, &mut 0, &arrivals);
        let datagram = subscriber.rtcp(&out);
        world.receive_one(&datagram, subscriber.address);
    }
}

/// The transport-wide number of a packet; there is room below it.
pub fn transport_number(packet: &Received) -> u64 {
    let element = packet.elements.iter().find(|(id, _)| *id == 5);
    let (_, number) = element.expect("numbered");
    1 << 16 | u64::from(u16::from_be_bytes([number[0], number[1]]))
}

fn speaking() -> (World, Peer, Peer) {
    let mut world = World::new();
    let publisher = world.publisher(1, 1, CM);
    let subscriber = world.subscriber(1, 1, 11, CM);
    (world, publisher, subscriber)
}

fn send(world: &mut World, publisher: &Peer, packet: &[u8]) {
    world.receive_one(packet, publisher.address);
    world.advance(20 * MS);
}

#[test]
fn a_lost_packet_comes_inside_the_next_one_and_leaves_before_it() {
    let (mut world, mut publisher, mut subscriber) = speaking();
    let packets: Vec<_> = (10..=14)
        .map(|n| speak(&mut publisher, n, u64::from(n > 10)))
        .collect();
    for packet in [&packets[0], &packets[1], &packets[3], &packets[4]] {
        send(&mut world, &publisher, packet);
    }
    // The original is too late.
    send(&mut world, &publisher, &packets[2]);
    let media = subscriber.open(&mut world.net).0;
    let first = &media[0].header;
    let got: Vec<_> = media
        .iter()
        .map(|packet| {
            let header = &packet.header;
            assert_eq!(header.payload_type, OUT_OPUS);
            let place = header.sequence.wrapping_sub(first.sequence);
            let age = header.timestamp.wrapping_sub(first.timestamp);
            (place, age / TICKS, number(&packet.payload))
        })
        .collect();
    assert_eq!(
        got,
        [0, 1, 2, 3, 4].map(|n| (n, n.into(), 10 + u64::from(n)))
    );
    assert_eq!(world.engine.counters().restored, 1);
}

#[test]
fn what_came_inside_another_packet_is_not_asked_for_and_still_reported_lost() {
    let (mut world, mut publisher, mut subscriber) = speaking();
    for index in [10, 11, 13, 16, 17] {
        let packet = speak(&mut publisher, index, 1);
        send(&mut world, &publisher, &packet);
    }
    world.advance(1_000 * MS);
    let got = subscriber.open(&mut world.net).0;
    let got: Vec<_> = got.iter().map(|packet| number(&packet.payload)).collect();
    assert_eq!(got, [10, 11, 12, 13, 15, 16, 17]);
    let (mut asked, mut lost) = (Vec::new(), None);
    for feedback in publisher.open(&mut world.net).1 {
        for packet in Compound::new(&feedback) {
            match packet {
                Rtcp::Nack(nack) => asked.extend(nack.sequences()),
                Rtcp::ReceiverReport { mut blocks } => lost = blocks.next().map(|b| b.lost),
                _ => {}
            }
        }
    }
    asked.dedup();
    assert_eq!((asked, lost), (vec![14], Some(3)));
}

#[test]
fn two_packets_come_inside_a_third_in_their_order() {
    let (mut world, mut publisher, mut subscriber) = speaking();
    for index in [10, 13] {
        let packet = speak(&mut publisher, index, 2);
        send(&mut world, &publisher, &packet);
    }
    let got = subscriber.open(&mut world.net).0;
    let got: Vec<_> = got.iter().map(|packet| number(&packet.payload)).collect();
    assert_eq!(got, [10, 11, 12, 13]);
}

#[test]
fn a_copy_whose_time_does_not_fit_is_of_another_packet() {
    // After packets 10 and 11 comes 13 with a copy that is so much older.
    let check = |age: u32, restored: u64| {
        let (mut world, mut publisher, _) = speaking();
        for index in [10, 11] {
            let packet = speak(&mut publisher, index, 0);
            send(&mut world, &publisher, &packet);
        }
        let payload = red(13, &[(12, age)]);
        let packet = publisher.rtp((AUDIO_SSRC, RED), 13, 30 * TICKS, &[], &payload);
        send(&mut world, &publisher, &packet);
        assert_eq!(world.engine.counters().restored, restored, "{age}");
    };
    // 20 ms before it, though both came after a silence; and right behind the one before.
    check(TICKS, 1);
    check(red::MAX_OFFSET, 1);
    let at = |index: u32| (30 - index) * TICKS;
    assert!(at(14) < red::MAX_OFFSET);
    check(at(14), 1);
    // No time at all before it.
    check(0, 0);
    let (mut world, mut publisher, _) = speaking();
    for index in [10, 11] {
        let packet = speak(&mut publisher, index, 0);
        send(&mut world, &publisher, &packet);
    }
    // That of 11.
    let payload = red(13, &[(11, 2 * TICKS)]);
    let packet = publisher.rtp((AUDIO_SSRC, RED), 13, 13 * TICKS, &[], &payload);
    send(&mut world, &publisher, &packet);
    assert_eq!(world.engine.counters().restored, 0);
}

#[test]
fn red_that_makes_no_sense_is_refused() {
    let (mut world, mut publisher, mut subscriber) = speaking();
    let mut foreign = red(1, &[]);
    foreign[0] = VP8;
    let payloads = [
        &b""[..],
        &[0x80 | OPUS, 0, 0, 9, OPUS, 1],
        &[OPUS],
        &[0xff; 30],
        &foreign[..],
    ];
    for (index, payload) in (1..).zip(payloads) {
        let packet = publisher.rtp((AUDIO_SSRC, RED), index, 0, &[], payload);
        send(&mut world, &publisher, &packet);
        assert_eq!(world.engine.counters().malformed, index);
    }
    assert_eq!(subscriber.open(&mut world.net).0, []);
}

#[test]
fn what_is_encrypted_end_to_end_is_not_taken_apart() {
    let mut world = World::new();
    let mut publisher = Peer::new(Leg::Publisher(PublicationId(1)), 1, CM);
    let mut config = publication(PublicationId(1), publisher.transport());
    config.tracks[0].encrypted = true;
    world.command(Command::AddPublication(Box::new(config)));
    world.connect(&publisher);
    let mut subscriber = Peer::new(Leg::Subscriber(SubscriptionId(1)), 11, CM);
    let mut config = subscription(SubscriptionId(1), PublicationId(1), subscriber.transport());
    let mut map = config.tracks[1].payload_types[0];
    (map.inbound, map.outbound) = (RED, OUT_RED);
    config.tracks[1].payload_types.push(map);
    world.command(Command::AddSubscription(Box::new(config)));
    world.connect(&subscriber);
    let packet = publisher.rtp((AUDIO_SSRC, RED), 1, 0, &[], b"secret");
    send(&mut world, &publisher, &packet);
    let media = subscriber.open(&mut world.net).0;
    assert_eq!(
        (media[0].header.payload_type, &media[0].payload[..]),
        (OUT_RED, &b"secret"[..])
    );
}

#[test]
fn a_tap_gets_opus_also_of_what_was_lost() {
    let mut world = World::new();
    let mut publisher = world.publisher(1, 1, CM);
    world.command(Command::AddTap(TapConfig {
        id: TapId(1),
        publication: PublicationId(1),
        wanted: Wanted::default(),
    }));
    for index in [10, 12, 13] {
        let packet = speak(&mut publisher, index, 1);
        send(&mut world, &publisher, &packet);
    }
    world.command(Command::RemoveTap {
        tap: TapId(1),
        publication: PublicationId(1),
    });
    let mut got = Vec::new();
    while let Some(batch) = world.engine.poll_tap() {
        for (index, packet) in batch.packets.iter().enumerate() {
            assert_eq!(packet.codec, Codec::Opus);
            got.push(number(batch.payload(index)));
        }
        world.engine.return_tap(batch, world.now);
    }
    assert_eq!(got, [10, 11, 12, 13]);
}

#[test]
fn copies_leave_to_who_loses_packets_and_knows_red() {
    for red in [true, false] {
        let (mut world, mut publisher, mut subscriber) = speaking();
        if red {
            world.command(Command::Remove(subscriber.leg));
            subscriber = listener(&mut world, 1, 12, CM);
        }
        let mut all = Vec::new();
        for index in 10..150 {
            let packet = speak_alone(&mut publisher, index, index as u32 * TICKS);
            send(&mut world, &publisher, &packet);
            let packet = subscriber.open(&mut world.net).0.remove(0);
            let at = transport_number(&packet);
            all.push(heard(&packet));
            let missing = match index {
                40 | 70 | 100 => vec![at - 10],
                130 => Vec::new(),
                120 => {
                    world.advance(3_000 * MS);
                    continue;
                }
                _ => continue,
            };
            lose(&mut world, &mut subscriber, at - 29..at, &missing);
        }
        let copies: Vec<_> = all.iter().map(|(earlier, _)| earlier.len()).collect();
        let expected: Vec<_> = (10..150)
            .map(|index| match index {
                _ if !red => 0,
                ..=70 => 0,
                // The second loss calls for one, the third for two, but not at once.
                71..=130 => 1,
                _ => 2,
            })
            .collect();
        assert_eq!(copies, expected);
        for (earlier, own) in all {
            assert!(
                earlier
                    .iter()
                    .rev()
                    .zip((0..own).rev())
                    .all(|(a, b)| *a == b)
            );
        }
        let counters = world.engine.counters();
        assert_eq!(counters.traffic.redundant, if red { 79 } else { 0 });
    }
}

/// Every packet that ever left under a number, as it left first.
#[derive(Default)]
pub struct Ledger(BTreeMap<(u32, u16), Vec<u8>>);

impl Ledger {
    /// Whether a datagram to a subscriber is of media.
    pub fn is_media((bytes, to): &(Vec<u8>, SocketAddr), subscriber: &Peer) -> bool {
        *to == subscriber.address && bytes[0] >= 128 && !matches!(bytes[1], 192..=223)
    }

    /// Whether a packet is there for the first time. A key that meets one number with two contents
    /// gives both away.
    pub fn is_new(&mut self, bytes: &[u8]) -> bool {
        let header = Header::parse(bytes).unwrap();
        let number = (header.ssrc, header.sequence);
        let known = self.0.entry(number).or_default();
        if known.is_empty() {
            known.extend_from_slice(bytes);
            return true;
        }
        assert_eq!(known, bytes, "number {} left otherwise", header.sequence);
        false
    }

    /// Leaves of what was sent to a subscriber only what is new; how many packets were not.
    fn sift(&mut self, world: &mut World, subscriber: &Peer) -> usize {
        let before = world.net.sent.len();
        let new = |sent: &(Vec<u8>, _)| !Self::is_media(sent, subscriber) || self.is_new(&sent.0);
        world.net.sent.retain(new);
        before - world.net.sent.len()
    }
}

#[test]
fn whatever_is_sent_again_is_the_very_same_packet() {
    for (seed, profile) in [(1, CM), (2, CM), (3, Profile::AeadAes128Gcm), (4, CM)] {
        let mut dice = StdRng::seed_from_u64(seed);
        let (mut world, mut ledger) = (World::new(), Ledger::default());
        let mut publisher = world.publisher(1, 1, profile);
        let mut subscriber = listener(&mut world, 1, 11, profile);
        let (mut late, mut first, mut again, mut copied) = (Vec::new(), None, 0, 0);
        for index in 10..3_000 {
            let packet = match dice.random_bool(0.5) {
                true => speak_alone(&mut publisher, index, index as u32 * TICKS),
                false => speak(&mut publisher, index, 1),
            };
            match dice.random_range(0..10) {
                0 => late.push(packet),
                _ => send(&mut world, &publisher, &packet),
            }
            if dice.random_bool(0.1) {
                for packet in late.drain(..) {
                    send(&mut world, &publisher, &packet);
                }
            }
            again += ledger.sift(&mut world, &subscriber);
            let media = subscriber.open(&mut world.net).0;
            for packet in &media {
                copied += heard(packet).0.len();
                first.get_or_insert(packet.header.sequence);
            }
            let (Some(first), Some(last)) = (first, media.last()) else {
                continue;
            };
            let at = transport_number(last);
            if index % 50 == 0 {
                let missing = [at - 5, at - 9].map(|n| if index < 400 { n } else { 0 });
                lose(&mut world, &mut subscriber, at - 49..at, &missing);
            }
            if index % 500 == 0 {
                world.check(&publisher);
                world.check(&subscriber);
            }
            // What it might have, and what is long gone.
            let sent = last.header.sequence.wrapping_sub(first);
            let mut back: Vec<u16> = (0..8)
                .map(|_| dice.random_range(0..sent.clamp(1, 300)))
                .collect();
            back.sort_unstable_by(|a, b| b.cmp(a));
            let missing: Vec<_> = back
                .iter()
                .map(|back| last.header.sequence.wrapping_sub(*back))
                .collect();
            let mut nack = Vec::new();
            push_nack(&mut nack, 1, out_ssrc(1) + 1, &missing);
            let datagram = subscriber.rtcp(&nack);
            world.receive_one(&datagram, subscriber.address);
            again += ledger.sift(&mut world, &subscriber);
        }
        assert!(
            again > 1_000 && copied > 1_000,
            "{again} sent again, {copied} copies"
        );
    }
}
