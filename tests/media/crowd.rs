//! One client with several subscriptions behind one bottleneck: one estimate, one allocation.

use std::time::{Duration, Instant};

use parlor::rtp::rtcp::transport_cc::push_transport_feedback;
use parlor::rtp::seq::Extender;
use parlor::sfu::command::{Command, EngineEvent};
use parlor::sfu::{ClientId, GroupId, Leg, PublicationId, SubscriptionId, Wanted};

use crate::simulcast::{Camera, read};
use crate::world::*;

const MS: Duration = Duration::from_millis(1);
const CLIENT: ClientId = ClientId(77);

/// How long packets wait in front of the bottleneck before further ones are dropped.
const MAX_QUEUE: Duration = Duration::from_millis(800);

/// Levels of a voice and of none, as in the extension (RFC 6464).
const LOUD: u8 = 0x80 | 30;
const SILENT: u8 = 127;

/// Whether each subscription has a leg of its own, or all share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Legs {
    Own,
    Shared,
}

/// A leg of the client.
struct End {
    peer: Peer,
    numbers: Extender,
    /// Transport-wide numbers under way, and when they arrive.
    under_way: Vec<(u64, Instant)>,
    counter: u8,
}

/// What arrives of one stream.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    audio: u64,
    frames: u64,
    layer: usize,
}

/// Cameras of 0.05, 0.72 and 1.9 Mbit/s with microphones, and one client that receives them all.
struct Crowd {
    world: World,
    cameras: Vec<Camera>,
    ends: Vec<End>,
    seen: Vec<Seen>,
    levels: Vec<u8>,
    /// Bits per second.
    rate: f64,
    free_at: Instant,
    zero: Instant,
    elapsed_ms: u32,
    /// Packets of audio that each has sent.
    sounds: Vec<u64>,
    longest_queue: Duration,
    spoke: Vec<Option<PublicationId>>,
}

impl Crowd {
    /// `screens`: which of `count` streams are.
    fn new(count: usize, legs: Legs, rate: f64, screens: &[usize]) -> Self {
        let mut world = World::new();
        let ids = 1..=count as u64;
        let cameras = ids.clone().map(|id| {
            let mut camera = Camera::join(&mut world, id, id as u16, true);
            camera.packets = [1, 3, 8];
            camera
        });
        let cameras = cameras.collect();
        let mut ends: Vec<End> = Vec::new();
        for id in ids {
            let leg = match legs {
                Legs::Own => Leg::Subscriber(SubscriptionId(id)),
                Legs::Shared => Leg::Shared(CLIENT),
            };
            let fresh = legs == Legs::Own || ends.is_empty();
            if fresh {
                ends.push(End {
                    peer: Peer::new(leg, 100 + id as u16, CM),
                    numbers: Extender::default(),
                    under_way: Vec::new(),
                    counter: 0,
                });
            }
            let peer = &ends[ends.len() - 1].peer;
            let mut config = shared_subscription(CLIENT, id, id, peer.transport());
            config.shared = legs == Legs::Shared;
            config.screen = screens.contains(&(id as usize - 1));
            world.command(Command::AddSubscription(Box::new(config)));
            if fresh {
                world.connect(peer);
            }
        }
        Self {
            cameras,
            ends,
            seen: vec![Seen::default(); count],
            levels: vec![SILENT; count],
            rate,
            free_at: world.now,
            zero: world.now,
            elapsed_ms: 0,
            sounds: vec![0; count],
            longest_queue: Duration::ZERO,
            spoke: Vec::new(),
            world,
        }
    }

    fn want(&mut self, index: usize, wanted: Wanted) {
        self.world.command(Command::Update {
            subscription: SubscriptionId(index as u64 + 1),
            wanted,
        });
    }

    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds * 1000 {
            self.world.advance(MS);
            self.elapsed_ms += 1;
            let ms = self.elapsed_ms;
            if ms.is_multiple_of(5_000) {
                self.cameras.iter().for_each(|c| self.world.check(&c.peer));
                self.ends.iter().for_each(|e| self.world.check(&e.peer));
            }
            for (index, camera) in self.cameras.iter_mut().enumerate() {
                // They do not all send at the same moment.
                if (ms + 5 * index as u32).is_multiple_of(33) {
                    camera.emit(&mut self.world);
                }
                if (ms + 3 * index as u32).is_multiple_of(20) {
                    self.sounds[index] += 1;
                    let (number, level) = (self.sounds[index], self.levels[index]);
                    let packet = camera.peer.sound(number, level);
                    let from = camera.peer.address;
                    self.world.receive_one(&packet, from);
                }
            }
            self.carry();
            if ms.is_multiple_of(50) {
                self.report();
            }
            for event in self.world.events() {
                match event {
                    EngineEvent::Speaker(GroupId(1), who) => self.spoke.push(who),
                    // Nobody wants the upper ones.
                    EngineEvent::Layers(..) => {}
                    other => panic!("unexpected {other:?}"),
                }
            }
        }
    }

    /// Takes what was sent through the one bottleneck.
    fn carry(&mut self) {
        let now = self.world.now;
        for end in &mut self.ends {
            let (media, _) = end.peer.open(&mut self.world.net);
            for packet in media {
                let element = packet.elements.iter().find(|(id, _)| *id == 5);
                let (_, number) = element.expect("numbered");
                let number = u16::from_be_bytes([number[0], number[1]]);
                let number = end.numbers.extend(number);
                let wait = self.free_at.saturating_duration_since(now);
                self.longest_queue = self.longest_queue.max(wait);
                if wait > MAX_QUEUE {
                    continue;
                }
                // A packet without a payload is one of padding.
                let len = match packet.payload.len() {
                    0 => 255,
                    len => len,
                };
                let bits = (len + 40) as f64 * 8.0;
                self.free_at = now.max(self.free_at) + Duration::from_secs_f64(bits / self.rate);
                end.under_way.push((number, self.free_at + 20 * MS));
                let seen = &mut self.seen[(packet.header.ssrc as usize - 10_000) / 10 - 1];
                match packet.header.payload_type {
                    OUT_OPUS => seen.audio += 1,
                    OUT_VP8 => {
                        seen.layer = read(&packet).layer;
                        seen.frames += 1;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Transport-wide feedback of each leg about what has arrived by now.
    fn report(&mut self) {
        let now = self.world.now;
        for end in &mut self.ends {
            let arrived = end.under_way.extract_if(.., |(_, at)| *at <= now);
            let arrivals: Vec<_> = arrived
                .map(|(number, at)| (number, (at - self.zero).as_micros() as i64))
                .collect();
            if arrivals.is_empty() {
                continue;
            }
            let mut plain = Vec::new();
            push_transport_feedback(&mut plain, 1, 1, &mut end.counter, &arrivals);
            let datagram = end.peer.rtcp(&plain);
            self.world.receive_one(&datagram, end.peer.address);
        }
    }

    fn layers(&self) -> Vec<usize> {
        self.seen.iter().map(|seen| seen.layer).collect()
    }

    /// How often layers change within some seconds, looked at once a second.
    fn changes(&mut self, seconds: u32) -> usize {
        let mut changes = 0;
        for _ in 0..seconds {
            let before = self.layers();
            self.run(1);
            let after = self.layers();
            changes += before.iter().zip(&after).filter(|(a, b)| a != b).count();
        }
        changes
    }

    /// Packets of audio that are missing, over all streams.
    fn lost_audio(&self) -> u64 {
        let sent: u64 = self.sounds.iter().sum();
        sent - self.seen.iter().map(|seen| seen.audio).sum::<u64>()
    }
}

/// How a narrow link settles, and that it stays so.
fn six_streams(legs: Legs) {
    let mut crowd = Crowd::new(6, legs, 1.5e6, &[]);
    crowd.run(10);
    assert_eq!(crowd.lost_audio(), 0);
    crowd.longest_queue = Duration::ZERO;
    let changes = crowd.changes(20);
    let (layers, queue) = (crowd.layers(), crowd.longest_queue);
    assert!(changes <= 2, "{legs:?}: {changes} changes, now {layers:?}");
    assert!(queue < 300 * MS, "{queue:?}");
    let frames: Vec<_> = crowd.seen.iter().map(|seen| seen.frames).collect();
    crowd.run(2);
    let mut seen = crowd.seen.iter().zip(frames);
    assert!(
        seen.all(|(now, before)| now.frames > before),
        "all are seen"
    );
    assert_eq!(crowd.lost_audio(), 0);
}

#[test]
fn six_streams_behind_a_narrow_link_settle_without_oscillating_and_without_losing_audio() {
    six_streams(Legs::Own);
}

#[test]
fn six_streams_on_one_leg_settle_alike() {
    six_streams(Legs::Shared);
}

#[test]
fn a_wide_link_carries_everything_of_everybody() {
    let mut crowd = Crowd::new(6, Legs::Own, 20e6, &[]);
    crowd.run(4);
    assert_eq!(crowd.layers(), [2; 6]);
    assert_eq!((crowd.changes(4), crowd.lost_audio()), (0, 0));
}

#[test]
fn a_screen_keeps_its_quality_while_cameras_give_way() {
    let mut crowd = Crowd::new(4, Legs::Own, 20e6, &[2]);
    crowd.run(4);
    assert_eq!(crowd.layers(), [2; 4]);
    crowd.rate = 3.2e6;
    crowd.run(10);
    let kept = (0..10).filter(|_| {
        crowd.run(1);
        crowd.layers()[2] == 2
    });
    assert!(kept.count() >= 9);
    let layers = crowd.layers();
    assert!(
        [0, 1, 3].iter().all(|camera| layers[*camera] < 2),
        "{layers:?}"
    );
    assert_eq!(crowd.lost_audio(), 0);
}

#[test]
fn whoever_speaks_is_seen_better_than_the_others() {
    let mut crowd = Crowd::new(4, Legs::Shared, 1.6e6, &[]);
    crowd.levels[1] = LOUD;
    crowd.run(12);
    assert_eq!(crowd.spoke, [Some(PublicationId(2))]);
    assert_eq!(crowd.layers(), [0, 1, 0, 0]);
    (crowd.levels[1], crowd.levels[3]) = (SILENT, LOUD);
    crowd.run(10);
    assert_eq!(crowd.spoke.len(), 2);
    assert_eq!(crowd.layers(), [0, 0, 0, 1]);
    assert_eq!(crowd.lost_audio(), 0);
}

#[test]
fn what_one_stream_does_not_want_is_there_for_the_others() {
    let mut crowd = Crowd::new(3, Legs::Own, 3.2e6, &[]);
    crowd.run(5);
    let thumbnail = Wanted {
        resolution: Some((160, 90)),
        ..Wanted::default()
    };
    crowd.want(0, thumbnail);
    crowd.want(1, thumbnail);
    crowd.run(15);
    assert_eq!(crowd.layers(), [0, 0, 2]);
    assert_eq!(crowd.lost_audio(), 0);
}
