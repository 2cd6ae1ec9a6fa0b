//! One stream of several spatial layers in, some of them out.

use std::collections::HashSet;
use std::time::Duration;

use parlor::rtp::bits::BitsMut;
use parlor::rtp::codec::dependency::Structure;
use parlor::rtp::codec::vp9;
use parlor::rtp::rtcp::{Compound, Rtcp};
use parlor::sfu::command::{Codec, Command};
use parlor::sfu::{Leg, PublicationId, SubscriptionId, Wanted};

use crate::world::*;

const SIZES: [(u16, u16); 3] = [(320, 180), (640, 360), (1280, 720)];

/// Temporal layers of pictures in a row, as in `L3T3`.
const CYCLE: [u8; 4] = [0, 2, 1, 2];

/// The dependency descriptor, to us and from us.
const DESCRIPTOR: u8 = 7;

/// How layers are told apart, and whether upper ones refer to lower ones between key frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// `L3T3` in VP9, by its payload descriptor.
    Vp9,
    /// `L3T3` in AV1, by the dependency descriptor.
    Full,
    /// `L3T3_KEY` in AV1, by the dependency descriptor.
    KeyOnly,
}

/// A publisher of three spatial layers, two packets per layer and picture.
struct Camera {
    peer: Peer,
    mode: Mode,
    pictures: u32,
    /// Where the cycle of temporal layers began.
    since_key: u32,
    next: u64,
    key: bool,
    requests: usize,
}

/// What a subscriber sees of a packet.
#[derive(Debug, Clone)]
struct Shown {
    picture: u32,
    layer: u8,
    key: bool,
    ends: bool,
    packet: Received,
}

fn start(mode: Mode) -> (World, Camera, Peer) {
    let mut world = World::new();
    let peer = Peer::new(Leg::Publisher(PublicationId(1)), 1, CM);
    let mut config = publication(PublicationId(1), peer.transport());
    let video = &mut config.tracks[1];
    video.codecs[0].codec = match mode {
        Mode::Vp9 => Codec::Vp9,
        _ => Codec::Av1,
    };
    video.extensions.dependency_descriptor = Some(DESCRIPTOR);
    world.command(Command::AddPublication(Box::new(config)));
    world.connect(&peer);
    let camera = Camera {
        peer,
        mode,
        pictures: 0,
        since_key: 0,
        next: 65_500,
        key: true,
        requests: 0,
    };
    let subscriber = Peer::new(Leg::Subscriber(SubscriptionId(1)), 11, CM);
    let mut config = subscription(SubscriptionId(1), PublicationId(1), subscriber.transport());
    config.tracks[0].extensions.dependency_descriptor = Some(DESCRIPTOR);
    world.command(Command::AddSubscription(Box::new(config)));
    world.connect(&subscriber);
    (world, camera, subscriber)
}

impl Camera {
    fn run(&mut self, world: &mut World, subscriber: &mut Peer, pictures: u32) -> Vec<Shown> {
        for _ in 0..pictures {
            world.advance(Duration::from_micros(33_333));
            self.listen(world);
            self.emit(world);
        }
        let (media, _) = subscriber.open(&mut world.net);
        media.into_iter().map(shown).collect()
    }

    fn listen(&mut self, world: &mut World) {
        let (_, feedback) = self.peer.open(&mut world.net);
        let packets = feedback.iter().flat_map(|datagram| Compound::new(datagram));
        let asked = packets.filter(|packet| matches!(packet, Rtcp::Pli { .. }));
        let asked = asked.count();
        self.key |= asked > 0;
        self.requests += asked;
    }

    fn emit(&mut self, world: &mut World) {
        let key = std::mem::take(&mut self.key);
        if key {
            self.since_key = 0;
        }
        let temporal = CYCLE[self.since_key as usize % 4];
        for layer in 0..3u8 {
            for part in 0..2 {
                let (first, last) = (part == 0, part == 1);
                let payload = self.payload(layer, temporal, key, (first, last));
                let descriptor = self.descriptor(layer, temporal, key, (first, last));
                let elements = [(DESCRIPTOR, &descriptor[..])];
                let elements = match self.mode {
                    Mode::Vp9 => &[][..],
                    _ => &elements,
                };
                let marker = last && layer == 2;
                let names = (VIDEO_SSRC, VP8);
                let timestamp = self.pictures.wrapping_mul(3_000);
                let mut packet = self
                    .peer
                    .marked(names, self.next, timestamp, elements, &payload, marker);
                self.next += 1;
                world.receive_one(&std::mem::take(&mut packet), self.peer.address);
            }
        }
        self.pictures += 1;
        self.since_key += 1;
    }

    /// A payload that says which packet it is at its end.
    fn payload(&self, layer: u8, temporal: u8, key: bool, (first, last): (bool, bool)) -> Vec<u8> {
        let mut payload = match self.mode {
            Mode::Vp9 => {
                let structure = key && layer == 0 && first;
                let mut head = 0xa0 | u8::from(first) << 3 | u8::from(last) << 2;
                head |= u8::from(!key) << 6 | u8::from(structure) << 1;
                let id = (self.pictures as u16 & 0x7fff | 0x8000).to_be_bytes();
                let mut payload = vec![head, id[0], id[1]];
                payload.extend([temporal << 5 | layer << 1 | u8::from(layer > 0)]);
                payload.push((self.pictures / 4) as u8);
                if structure {
                    payload.push(2 << 5 | 0x10);
                    for (width, height) in SIZES {
                        payload.extend(width.to_be_bytes());
                        payload.extend(height.to_be_bytes());
                    }
                }
                payload
            }
            // Nothing that could be read: the descriptor says it all.
            _ => vec![0xff],
        };
        payload.resize(300, 0x55);
        payload.extend(self.pictures.to_be_bytes());
        payload.extend([layer, u8::from(key), u8::from(last)]);
        payload
    }

    fn descriptor(
        &self,
        layer: u8,
        temporal: u8,
        key: bool,
        (first, last): (bool, bool),
    ) -> Vec<u8> {
        let mut bytes = [0; 255];
        let mut out = BitsMut::new(&mut bytes);
        let mut put = |value: u32, count| out.write(value, count).expect("room");
        let template = u32::from(layer) * 4 + if key { 0 } else { u32::from(temporal) + 1 };
        put(first.into(), 1);
        put(last.into(), 1);
        put(template, 6);
        put((self.pictures * 3 + u32::from(layer)) & 0xffff, 16);
        if key && layer == 0 && first {
            put(0b10000, 5);
            structure(self.mode, &mut put);
        }
        let len = out.finish();
        bytes[..len].to_vec()
    }
}

/// Four templates for each spatial layer, key and three temporal ones; nine targets.
fn structure(mode: Mode, put: &mut impl FnMut(u32, usize)) {
    put(0, 6);
    put(8, 5);
    let templates =
        || (0..3u32).flat_map(|s| [(s, 0, true), (s, 0, false), (s, 1, false), (s, 2, false)]);
    for (index, _) in templates().enumerate() {
        put(
            if index == 11 {
                3
            } else {
                [0, 1, 1, 2][index % 4]
            },
            2,
        );
    }
    for (s, t, key) in templates() {
        for target in 0..9 {
            let (spatial, temporal) = (target / 3, target % 3);
            let below = s == spatial || s < spatial && (key || mode == Mode::Full);
            let role = match (below && t <= temporal, t) {
                (false, _) => 0,
                (_, 2) => 1,
                // Nobody can begin an upper layer with a lower one's frame.
                _ if s < spatial && !key => 3,
                _ => 2,
            };
            put(role, 2);
        }
    }
    for (s, t, key) in templates() {
        let mut refer = |distance: u32| {
            put(1, 1);
            put(distance - 1, 4);
        };
        if !key {
            refer([12, 6, 3][t as usize]);
        }
        if s > 0 && (key || mode == Mode::Full) {
            refer(1);
        }
        put(0, 1);
    }
    // No chains; sizes.
    put(0, 3);
    put(1, 1);
    for (width, height) in SIZES {
        put(u32::from(width) - 1, 16);
        put(u32::from(height) - 1, 16);
    }
}

fn shown(packet: Received) -> Shown {
    let [.., a, b, c, d, layer, key, ends] = packet.payload[..] else {
        panic!("a payload of ours");
    };
    Shown {
        picture: u32::from_be_bytes([a, b, c, d]),
        layer,
        key: key == 1,
        ends: ends == 1,
        packet,
    }
}

fn want(world: &mut World, wanted: Wanted) {
    let subscription = SubscriptionId(1);
    world.command(Command::Update {
        subscription,
        wanted,
    });
}

fn resolution(width: u32, height: u32) -> Wanted {
    Wanted {
        resolution: Some((width, height)),
        ..Wanted::default()
    }
}

fn highest(shown: &[Shown]) -> u8 {
    shown
        .iter()
        .map(|packet| packet.layer)
        .max()
        .expect("packets")
}

/// What a decoder needs: numbers without holes, a mark at the end of each picture and nowhere else,
/// and every frame that another refers to.
fn assert_decodable(mode: Mode, all: &[Shown]) {
    assert!(all[0].key && all[0].layer == 0);
    for pair in all.windows(2) {
        let [before, after] = [&pair[0], &pair[1]];
        let (a, b) = (&before.packet.header, &after.packet.header);
        assert_eq!(b.sequence, a.sequence.wrapping_add(1));
        let ends = before.picture != after.picture;
        assert_eq!(a.marker, ends, "{} then {}", before.picture, after.picture);
        assert!(!ends || before.ends);
    }
    match mode {
        Mode::Vp9 => {
            let mut upper = 0;
            for packet in all {
                let read = vp9::Descriptor::parse(&packet.packet.payload).expect("a descriptor");
                // Each layer of a picture follows the one below, and begins with a key frame or
                // after itself.
                assert!(packet.layer <= upper || packet.key, "{}", packet.picture);
                assert_eq!(read.spatial, packet.layer);
                if packet.packet.header.marker {
                    upper = packet.layer;
                }
            }
        }
        _ => assert_references(all),
    }
}

fn assert_references(all: &[Shown]) {
    let mut structure = Structure::default();
    let mut received = HashSet::new();
    for packet in all {
        let mut elements = packet.packet.elements.iter();
        let (_, descriptor) = elements
            .find(|(id, _)| *id == DESCRIPTOR)
            .expect("described");
        let frame = structure.read(descriptor).expect("announced");
        for back in (0..64u16).filter(|back| frame.references >> back & 1 != 0) {
            let number = frame.number.wrapping_sub(back + 1);
            assert!(received.contains(&number), "{packet:?} refers to {number}");
        }
        if frame.ends {
            received.insert(frame.number);
        }
    }
}

#[test]
fn the_smallest_spatial_layer_that_covers_what_is_wanted_is_sent_and_can_be_decoded() {
    for mode in [Mode::Vp9, Mode::Full, Mode::KeyOnly] {
        let (mut world, mut camera, mut subscriber) = start(mode);
        let mut all = camera.run(&mut world, &mut subscriber, 60);
        assert_eq!(highest(&all[all.len() - 60..]), 2, "{mode:?}");
        for ((width, height), layer) in [
            ((320, 180), 0),
            ((1280, 720), 2),
            ((400, 300), 1),
            ((1, 1), 0),
            ((640, 360), 1),
        ] {
            want(&mut world, resolution(width, height));
            let shown = camera.run(&mut world, &mut subscriber, 60);
            let end = &shown[shown.len() / 2..];
            assert_eq!(highest(end), layer, "{mode:?} {width}x{height}");
            let alone = mode == Mode::KeyOnly;
            let lowest = end.iter().map(|packet| packet.layer).min();
            assert_eq!(lowest, Some(if alone { layer } else { 0 }), "{mode:?}");
            all.extend(shown);
        }
        assert_decodable(mode, &all);
    }
}

#[test]
fn a_lower_layer_is_had_at_once_and_without_a_key_frame_where_it_was_sent_all_along() {
    for (mode, asked) in [(Mode::Vp9, 0), (Mode::Full, 0), (Mode::KeyOnly, 1)] {
        let (mut world, mut camera, mut subscriber) = start(mode);
        let mut all = camera.run(&mut world, &mut subscriber, 60);
        let requests = camera.requests;
        want(&mut world, resolution(320, 180));
        let next = camera.run(&mut world, &mut subscriber, 4);
        if asked == 0 {
            assert_eq!(highest(&next), 0, "{mode:?}");
        }
        all.extend(next);
        all.extend(camera.run(&mut world, &mut subscriber, 30));
        assert_eq!(camera.requests - requests, asked, "{mode:?}");
        assert_eq!(highest(&all[all.len() - 10..]), 0);
        assert_decodable(mode, &all);
    }
}

#[test]
fn a_lower_frame_rate_leaves_out_temporal_layers_of_every_spatial_one() {
    for mode in [Mode::Vp9, Mode::Full, Mode::KeyOnly] {
        let (mut world, mut camera, mut subscriber) = start(mode);
        let mut all = camera.run(&mut world, &mut subscriber, 60);
        for (rate, pictures) in [(7, 15), (15, 30), (30, 60)] {
            let frame_rate = Some(rate);
            want(
                &mut world,
                Wanted {
                    frame_rate,
                    ..Wanted::default()
                },
            );
            all.extend(camera.run(&mut world, &mut subscriber, 12));
            let shown = camera.run(&mut world, &mut subscriber, 60);
            let seen: HashSet<_> = shown.iter().map(|packet| packet.picture).collect();
            assert_eq!(seen.len(), pictures, "{mode:?} {rate}");
            all.extend(shown);
        }
        assert_decodable(mode, &all);
    }
}

#[test]
fn a_receiver_is_told_which_decode_targets_are_left() {
    let (mut world, mut camera, mut subscriber) = start(Mode::Full);
    camera.run(&mut world, &mut subscriber, 60);
    want(&mut world, resolution(640, 360));
    let shown = camera.run(&mut world, &mut subscriber, 8);
    let told: Vec<_> = shown
        .iter()
        .filter_map(|packet| {
            let mut elements = packet.packet.elements.iter();
            let (_, descriptor) = elements.find(|(id, _)| *id == DESCRIPTOR)?;
            // Behind five flags, the second of which says that it is there: nine bits.
            let [_, _, _, flags, rest, ..] = descriptor[..] else {
                return None;
            };
            assert_eq!(flags & 0xf8, 0b0100_0000);
            Some(u16::from(flags & 7) << 6 | u16::from(rest >> 2))
        })
        .collect();
    // Both packets of the first frame.
    assert_eq!(told, [0b000_111_111; 2]);
}

#[test]
fn payloads_are_not_touched_but_for_their_numbers() {
    let (mut world, mut camera, mut subscriber) = start(Mode::Full);
    let shown = camera.run(&mut world, &mut subscriber, 8);
    assert_eq!(shown.len(), 8 * 3 * 2);
    assert!(shown.iter().all(|packet| packet.packet.payload[0] == 0xff));
}
