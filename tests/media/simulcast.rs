//! Several layers in, one of them out.

use std::time::Duration;

use parlor::rtp::ntp::Ntp;
use parlor::rtp::rtcp::feedback::push_nack;
use parlor::rtp::rtcp::report::{SenderInfo, push_sender_report};
use parlor::rtp::rtcp::{Compound, Rtcp};
use parlor::sfu::command::{Command, EngineEvent, PublicationConfig, Simulcast};
use parlor::sfu::{Leg, PublicationId, SubscriptionId, Wanted};

use crate::world::*;

const MS: Duration = Duration::from_millis(1);

/// SSRCs of the layers, lowest first, and what their pictures measure.
const SSRCS: [u32; 3] = [10, 11, 12];
const SIZES: [(u16, u16); 3] = [(320, 180), (640, 360), (1280, 720)];

/// Frames between two of temporal layer 0, as in `L1T3`.
const CYCLE: [u8; 4] = [0, 2, 1, 2];

/// A publisher of three layers in VP8, one packet per frame.
pub struct Camera {
    pub peer: Peer,
    pub config: PublicationConfig,
    by_rid: bool,
    /// Frames so far.
    frames: u32,
    next: [u64; 3],
    key: [bool; 3],
    pub on: [bool; 3],
    /// Packets per frame; when more than one, of 1000 bytes each.
    pub packets: [usize; 3],
}

/// What a subscriber sees of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    pub layer: usize,
    pub key: bool,
    temporal: u8,
    sequence: u16,
    timestamp: u32,
    picture: u16,
    tl0: u8,
}

pub fn start(by_rid: bool) -> (World, Camera) {
    let mut world = World::new();
    let camera = Camera::join(&mut world, 1, 1, by_rid);
    (world, camera)
}

impl Camera {
    /// A publisher that is added, checked and keyed.
    pub fn join(world: &mut World, id: u64, port: u16, by_rid: bool) -> Self {
        let peer = Peer::new(Leg::Publisher(PublicationId(id)), port, CM);
        let mut config = publication(PublicationId(id), peer.transport());
        let video = &mut config.tracks[1];
        video.ssrcs = Vec::new();
        video.rtx_ssrcs = Vec::new();
        video.simulcast = if by_rid {
            video.extensions.rid = Some(6);
            video.extensions.repaired_rid = Some(7);
            Simulcast::Rids(["q", "h", "f"].map(str::to_owned).to_vec())
        } else {
            video.ssrcs = SSRCS.to_vec();
            Simulcast::Ssrcs(SSRCS.to_vec())
        };
        world.command(Command::AddPublication(Box::new(config.clone())));
        world.connect(&peer);
        Self {
            peer,
            config,
            by_rid,
            frames: 0,
            next: [100, 40_000, 65_500],
            key: [true; 3],
            on: [true; 3],
            packets: [1; 3],
        }
    }

    /// Each layer's timestamps begin somewhere else.
    fn timestamp(&self, layer: usize) -> u32 {
        (layer as u32 * 0x5555_5555).wrapping_add(self.frames * 3_000)
    }

    fn payload(&self, layer: usize, key: bool) -> Vec<u8> {
        let temporal = CYCLE[self.frames as usize % 4];
        let picture = (self.frames + 1_000 * layer as u32) as u16 & 0x7fff;
        let tl0 = (self.frames / 4 + 50 * layer as u32) as u8;
        let mut payload = vec![0x90, 0xe0];
        payload.extend_from_slice(&(picture | 0x8000).to_be_bytes());
        payload.extend_from_slice(&[tl0, temporal << 6]);
        payload.extend_from_slice(&[u8::from(!key), 0, 0, 0x9d, 0x01, 0x2a]);
        let (width, height) = SIZES[layer];
        payload.extend_from_slice(&width.to_le_bytes());
        payload.extend_from_slice(&height.to_le_bytes());
        payload.resize(200 << layer, layer as u8);
        payload
    }

    /// One frame of every layer, a thirtieth of a second later. Answers key frame requests.
    fn frame(&mut self, world: &mut World) {
        world.advance(Duration::from_micros(33_333));
        self.emit(world);
    }

    /// One frame of every layer, now.
    pub fn emit(&mut self, world: &mut World) {
        let (_, feedback) = self.peer.open(&mut world.net);
        for packet in feedback.iter().flat_map(|datagram| Compound::new(datagram)) {
            if let Rtcp::Pli { media_ssrc } = packet {
                let layer = SSRCS.iter().position(|ssrc| *ssrc == media_ssrc);
                self.key[layer.expect("a layer of ours")] = true;
            }
        }
        for layer in (0..3).filter(|layer| self.on[*layer]) {
            // A key frame comes where the pattern has temporal layer 0.
            let key = self.key[layer] && self.frames.is_multiple_of(4);
            self.key[layer] &= !key;
            let payload = self.payload(layer, key);
            let rid = [&b"q"[..], b"h", b"f"][layer];
            let elements = [(4, &b"1"[..]), (6, rid)];
            let elements = if self.by_rid { &elements[..] } else { &[] };
            let timestamp = self.timestamp(layer);
            for part in 0..self.packets[layer] {
                let mut payload = payload.clone();
                if self.packets[layer] > 1 {
                    payload.resize(1_000, layer as u8);
                }
                if part > 0 {
                    // Not the start of a partition.
                    payload[0] = 0x80;
                }
                let index = self.next[layer];
                self.next[layer] += 1;
                let packet =
                    self.peer
                        .rtp((SSRCS[layer], VP8), index, timestamp, elements, &payload);
                world.receive_one(&packet, self.peer.address);
            }
        }
        self.frames += 1;
    }

    fn run(&mut self, world: &mut World, subscriber: &mut Peer, frames: u32) -> Vec<Shown> {
        for _ in 0..frames {
            self.frame(world);
        }
        shown(world, subscriber)
    }

    /// Says of every layer which timestamp belongs to this moment.
    fn report(&mut self, world: &mut World) {
        let mut reports = Vec::new();
        for (layer, ssrc) in SSRCS.into_iter().enumerate() {
            let info = SenderInfo {
                ntp: Ntp((50 << 32) + ((u64::from(self.frames) << 32) / 30)),
                rtp_timestamp: self.timestamp(layer),
                packets: 1,
                octets: 1,
            };
            push_sender_report(&mut reports, ssrc, &info);
        }
        let datagram = self.peer.rtcp(&reports);
        world.receive_one(&datagram, self.peer.address);
    }
}

fn shown(world: &mut World, subscriber: &mut Peer) -> Vec<Shown> {
    let (media, _) = subscriber.open(&mut world.net);
    media.iter().map(read).collect()
}

pub fn read(packet: &Received) -> Shown {
    let bytes = &packet.payload;
    Shown {
        layer: usize::from(*bytes.last().expect("a payload")),
        key: bytes[6] & 1 == 0,
        temporal: bytes[5] >> 6,
        sequence: packet.header.sequence,
        timestamp: packet.header.timestamp,
        picture: u16::from_be_bytes([bytes[2], bytes[3]]) & 0x7fff,
        tl0: bytes[4],
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

/// What a decoder needs: numbers without holes, every frame's references, a key frame wherever
/// the layer changes, time that moves on.
fn assert_decodable(frames: &[Shown]) {
    assert!(!frames.is_empty() && frames[0].key, "{:?}", frames.first());
    for pair in frames.windows(2) {
        let [before, after] = [pair[0], pair[1]];
        let what = format!("{before:?} then {after:?}");
        assert_eq!(after.sequence, before.sequence.wrapping_add(1), "{what}");
        assert_eq!(after.picture, (before.picture + 1) & 0x7fff, "{what}");
        let base = u8::from(after.temporal == 0);
        assert_eq!(after.tl0, before.tl0.wrapping_add(base), "{what}");
        assert!(after.layer == before.layer || after.key, "{what}");
        let step = after.timestamp.wrapping_sub(before.timestamp).cast_signed();
        assert!((1..90_000).contains(&step), "{what}");
    }
}

#[test]
fn the_smallest_layer_that_covers_what_is_wanted_is_sent_and_switches_can_be_decoded() {
    for by_rid in [false, true] {
        let (mut world, mut camera) = start(by_rid);
        let mut subscriber = world.subscriber(1, 1, 11, CM);
        let mut all = camera.run(&mut world, &mut subscriber, 60);
        assert_eq!(all.last().map(|frame| frame.layer), Some(2));
        for ((width, height), layer) in [
            ((320, 180), 0),
            ((400, 300), 1),
            ((1280, 720), 2),
            ((1920, 1080), 2),
            ((360, 640), 1),
            ((1, 1), 0),
        ] {
            want(&mut world, resolution(width, height));
            let frames = camera.run(&mut world, &mut subscriber, 60);
            let end = &frames[30..];
            assert!(end.iter().all(|f| f.layer == layer), "{width}x{height}");
            // While the switch waits for its key frame, the old layer goes on, and both may have
            // a frame of the same moment.
            assert!((60..=61).contains(&frames.len()), "{}", frames.len());
            all.extend(frames);
        }
        assert_decodable(&all);
    }
}

#[test]
fn sender_reports_keep_the_time_of_layers_together() {
    let (mut world, mut camera) = start(true);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    camera.run(&mut world, &mut subscriber, 40);
    camera.report(&mut world);
    want(&mut world, resolution(320, 180));
    let frames = camera.run(&mut world, &mut subscriber, 40);
    assert_eq!(frames.last().map(|frame| frame.layer), Some(0));
    for pair in frames.windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        // The report's clock rounds.
        assert!((2_999..=3_001).contains(&step), "{step}");
    }
}

#[test]
fn a_lower_frame_rate_leaves_out_temporal_layers_and_can_be_decoded() {
    let (mut world, mut camera) = start(true);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let mut all = camera.run(&mut world, &mut subscriber, 60);
    for (rate, count, highest) in [(7, 15, 0), (15, 30, 1), (30, 60, 2)] {
        want(
            &mut world,
            Wanted {
                frame_rate: Some(rate),
                ..Wanted::default()
            },
        );
        all.extend(camera.run(&mut world, &mut subscriber, 12));
        let frames = camera.run(&mut world, &mut subscriber, 60);
        assert_eq!(frames.len(), count, "{rate} fps");
        assert!(frames.iter().all(|frame| frame.temporal <= highest));
        all.extend(frames);
    }
    assert_decodable(&all);
}

#[test]
fn restricted_to_a_frame_a_second_a_subscriber_gets_key_frames_and_then_all_again() {
    let (mut world, mut camera) = start(true);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let mut all = camera.run(&mut world, &mut subscriber, 60);
    want(
        &mut world,
        Wanted {
            restrict_frame_rate: true,
            ..Wanted::default()
        },
    );
    all.extend(camera.run(&mut world, &mut subscriber, 15));
    let frames = camera.run(&mut world, &mut subscriber, 300);
    assert!((7..=11).contains(&frames.len()), "{} frames", frames.len());
    assert!(frames.iter().all(|frame| frame.key && frame.layer == 0));
    all.extend(frames);
    want(&mut world, Wanted::default());
    all.extend(camera.run(&mut world, &mut subscriber, 60));
    assert_eq!(all.last().map(|frame| frame.layer), Some(2));
    for pair in all.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].picture, (pair[0].picture + 1) & 0x7fff);
    }
}

#[test]
fn a_layer_that_is_no_longer_sent_is_replaced_by_the_next_one() {
    let (mut world, mut camera) = start(true);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let mut all = camera.run(&mut world, &mut subscriber, 60);
    camera.on[2] = false;
    all.extend(camera.run(&mut world, &mut subscriber, 120));
    assert_eq!(all.last().map(|frame| frame.layer), Some(1));
    camera.on[2] = true;
    camera.key[2] = true;
    all.extend(camera.run(&mut world, &mut subscriber, 60));
    assert_eq!(all.last().map(|frame| frame.layer), Some(2));
    for pair in all.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
}

/// How many layers are said to be of use since the last time.
fn layers_of_use(world: &mut World) -> Vec<usize> {
    let events = world.events().into_iter();
    let layers = events.filter_map(|event| match event {
        EngineEvent::Layers(PublicationId(1), layers) => Some(layers),
        _ => None,
    });
    layers.collect()
}

#[test]
fn upper_layers_that_nobody_watches_are_of_no_use_after_a_while() {
    let (mut world, mut camera) = start(true);
    let mut small = world.subscriber(1, 1, 11, CM);
    camera.run(&mut world, &mut small, 60);
    want(&mut world, resolution(320, 180));
    camera.run(&mut world, &mut small, 270);
    assert_eq!(layers_of_use(&mut world), [0; 0]);
    camera.run(&mut world, &mut small, 90);
    assert_eq!(layers_of_use(&mut world), [1]);
    camera.on = [true, false, false];
    for peer in [&camera.peer, &small] {
        world.check(peer);
    }
    camera.run(&mut world, &mut small, 120);
    // The sizes of what is paused follow from the one that is sent.
    want(&mut world, resolution(640, 360));
    assert_eq!(layers_of_use(&mut world), [2]);
    want(&mut world, Wanted::default());
    assert_eq!(layers_of_use(&mut world), [3]);
    let leg = Leg::Subscriber(SubscriptionId(1));
    world.command(Command::Remove(leg));
    camera.run(&mut world, &mut small, 360);
    assert_eq!(layers_of_use(&mut world), [1]);
}

#[test]
fn what_is_sent_again_after_switches_has_the_numbers_it_had() {
    let (mut world, mut camera) = start(true);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let mut all = camera.run(&mut world, &mut subscriber, 60);
    want(
        &mut world,
        Wanted {
            frame_rate: Some(15),
            ..resolution(640, 360)
        },
    );
    all.extend(camera.run(&mut world, &mut subscriber, 30));
    let missing = &all[all.len() - 20..];
    let numbers: Vec<_> = missing.iter().map(|frame| frame.sequence).collect();
    let mut plain = Vec::new();
    push_nack(&mut plain, 1, out_ssrc(1), &numbers);
    let datagram = subscriber.rtcp(&plain);
    world.receive_one(&datagram, subscriber.address);
    let (media, _) = subscriber.open(&mut world.net);
    let again: Vec<_> = media
        .into_iter()
        .map(|mut packet| {
            let original: Vec<_> = packet.payload.drain(..2).collect();
            packet.header.sequence = u16::from_be_bytes([original[0], original[1]]);
            read(&packet)
        })
        .collect();
    assert_eq!(again, missing);
}

/// The transport-wide numbers that the publisher hears of.
fn reported(world: &mut World, publisher: &mut Peer) -> Vec<u16> {
    let (_, feedback) = publisher.open(&mut world.net);
    let packets = feedback.iter().flat_map(|datagram| Compound::new(datagram));
    packets
        .filter_map(|packet| match packet {
            Rtcp::TransportFeedback(feedback) => Some(feedback.arrivals().collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .map(|arrival| arrival.sequence)
        .collect()
}

#[test]
fn retransmissions_find_their_layer_and_probing_ones_are_reported() {
    let (mut world, mut camera) = start(true);
    let mut subscriber = world.subscriber(1, 1, 11, CM);
    let element = 1u16.to_be_bytes();
    let elements = [(3, &element[..]), (4, b"1"), (7, b"f")];
    let probe = camera.peer.rtp((99, VP8_RTX), 1, 0, &elements, &[]);
    world.receive_one(&probe, camera.peer.address);
    world.advance(100 * MS);
    assert_eq!(reported(&mut world, &mut camera.peer), [1]);
    camera.run(&mut world, &mut subscriber, 60);
    // A packet of the highest layer gets lost and comes again.
    let index = camera.next[2];
    camera.next[2] += 1;
    let payload = camera.payload(2, false);
    camera.run(&mut world, &mut subscriber, 1);
    let mut rtx = (index as u16).to_be_bytes().to_vec();
    rtx.extend_from_slice(&payload);
    let element = 2u16.to_be_bytes();
    let elements = [(3, &element[..]), (4, b"1"), (7, b"f")];
    let packet = camera.peer.rtp((99, VP8_RTX), 2, 0, &elements, &rtx);
    world.receive_one(&packet, camera.peer.address);
    assert_eq!(shown(&mut world, &mut subscriber).len(), 1);
    world.advance(100 * MS);
    assert_eq!(reported(&mut world, &mut camera.peer), [2]);
    assert_eq!(world.engine.counters().malformed, 0);
}
