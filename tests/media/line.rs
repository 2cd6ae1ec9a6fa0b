//! A call over a line: a publisher near the engine, and a subscriber behind a bottleneck.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parlor::rtp::rtcp::transport_cc::push_transport_feedback;
use parlor::rtp::seq::Extender;
use parlor::sfu::command::{Command, EngineEvent};
use parlor::sfu::{Fallback, SubscriptionId, Wanted};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::simulcast::{Camera, read, start};
use crate::world::*;

const MS: Duration = Duration::from_millis(1);

/// A camera of 0.24, 0.75 and 2 Mbit/s, a microphone, and a subscriber behind a bottleneck that
/// reports what arrives.
pub struct Line {
    pub world: World,
    pub camera: Camera,
    subscriber: Peer,
    /// Bits per second.
    pub rate: f64,
    /// How long packets wait in front of the bottleneck before further ones are dropped.
    pub max_queue: Duration,
    /// Share that vanishes at random.
    pub loss: f64,
    /// Up to this much is added to the delay at random; nothing overtakes.
    pub jitter: Duration,
    dice: StdRng,
    free_at: Instant,
    numbers: Extender,
    /// Transport-wide numbers under way, and when they arrive.
    under_way: Vec<(u64, Instant)>,
    /// How long reports travel, milliseconds between them, and those under way.
    pub back: Duration,
    pub report_ms: u32,
    reports: VecDeque<(Instant, Vec<u8>)>,
    counter: u8,
    zero: Instant,
    elapsed_ms: u32,
    pub audio: (u64, u64),
    told: Vec<Fallback>,
    /// Frames that arrived.
    pub frames: u64,
    /// The layer of the last frame that arrived.
    pub layer: usize,
    pub dropped: u64,
    pub longest_queue: Duration,
    /// The longest time that a packet of sound waited in front of the bottleneck.
    pub longest_wait: Duration,
    /// Bytes of video that left.
    pub video: u64,
}

impl Line {
    pub fn new(rate: f64) -> Self {
        let (mut world, mut camera) = start(true);
        camera.packets = [1, 3, 8];
        let subscriber = world.subscriber(1, 1, 11, CM);
        Self {
            camera,
            subscriber,
            rate,
            max_queue: 800 * MS,
            loss: 0.0,
            jitter: Duration::ZERO,
            dice: StdRng::seed_from_u64(1),
            free_at: world.now,
            numbers: Extender::default(),
            under_way: Vec::new(),
            back: Duration::ZERO,
            report_ms: 50,
            reports: VecDeque::new(),
            counter: 0,
            zero: world.now,
            elapsed_ms: 0,
            audio: (0, 0),
            told: Vec::new(),
            frames: 0,
            layer: 0,
            dropped: 0,
            longest_queue: Duration::ZERO,
            longest_wait: Duration::ZERO,
            video: 0,
            world,
        }
    }

    pub fn update(&mut self, wanted: Wanted) {
        let subscription = SubscriptionId(1);
        self.world.command(Command::Update {
            subscription,
            wanted,
        });
    }

    pub fn want(&mut self, audio_fallback: bool) {
        self.update(Wanted {
            audio_fallback,
            ..Wanted::default()
        });
    }

    /// What the subscriber was told since the last time.
    pub fn fallbacks(&mut self) -> Vec<Fallback> {
        std::mem::take(&mut self.told)
    }

    pub fn run(&mut self, seconds: u32) {
        self.run_ms(seconds * 1000);
    }

    pub fn run_ms(&mut self, ms: u32) {
        for _ in 0..ms {
            self.world.advance(MS);
            self.elapsed_ms += 1;
            if self.elapsed_ms.is_multiple_of(5_000) {
                self.world.check(&self.camera.peer);
                self.world.check(&self.subscriber);
            }
            if self.elapsed_ms.is_multiple_of(33) {
                self.camera.emit(&mut self.world);
            }
            if self.elapsed_ms.is_multiple_of(20) {
                self.audio.0 += 1;
                let packet = self.camera.peer.audio(self.audio.0);
                let from = self.camera.peer.address;
                self.world.receive_one(&packet, from);
            }
            self.carry();
            let events = self.world.events().into_iter();
            self.told.extend(events.filter_map(|event| match event {
                EngineEvent::Fallback(SubscriptionId(1), state) => Some(state),
                EngineEvent::Speaker(..) => None,
                other => panic!("unexpected {other:?}"),
            }));
            if self.elapsed_ms.is_multiple_of(self.report_ms) {
                self.report();
            }
            self.tell();
        }
    }

    /// Takes what was sent to the subscriber through the bottleneck.
    fn carry(&mut self) {
        let now = self.world.now;
        let (media, _) = self.subscriber.open(&mut self.world.net);
        for packet in media {
            let element = packet.elements.iter().find(|(id, _)| *id == 5);
            let (_, number) = element.expect("numbered");
            let number = self
                .numbers
                .extend(u16::from_be_bytes([number[0], number[1]]));
            let wait = self.free_at.saturating_duration_since(now);
            self.longest_queue = self.longest_queue.max(wait);
            if wait > self.max_queue || self.dice.random_bool(self.loss) {
                self.dropped += 1;
                continue;
            }
            // A packet without a payload is one of padding.
            let len = match packet.payload.len() {
                0 => 255,
                len => len,
            };
            let bits = (len + 40) as f64 * 8.0;
            self.free_at = now.max(self.free_at) + Duration::from_secs_f64(bits / self.rate);
            let jitter = self.jitter.mul_f64(self.dice.random());
            let before = self.under_way.last().map_or(now, |(_, at)| *at);
            let arrives_at = before.max(self.free_at + 20 * MS + jitter);
            self.under_way.push((number, arrives_at));
            match packet.header.payload_type {
                OUT_OPUS => {
                    self.audio.1 += 1;
                    self.longest_wait = self.longest_wait.max(wait);
                }
                OUT_VP8 => {
                    self.video += len as u64;
                    self.layer = read(&packet).layer;
                    self.frames += 1;
                }
                _ => {}
            }
        }
    }

    /// Transport-wide feedback about what has arrived by now.
    fn report(&mut self) {
        let now = self.world.now;
        let arrived = self.under_way.extract_if(.., |(_, at)| *at <= now);
        let arrivals: Vec<_> = arrived
            .map(|(number, at)| (number, (at - self.zero).as_micros() as i64))
            .collect();
        if arrivals.is_empty() {
            return;
        }
        let mut plain = Vec::new();
        push_transport_feedback(&mut plain, 1, out_ssrc(1), &mut self.counter, &arrivals);
        let datagram = self.subscriber.rtcp(&plain);
        self.reports.push_back((now + self.back, datagram));
    }

    /// Brings the reports that have arrived.
    fn tell(&mut self) {
        let now = self.world.now;
        while let Some((_, datagram)) = self.reports.pop_front_if(|(at, _)| *at <= now) {
            let from = self.subscriber.address;
            self.world.receive_one(&datagram, from);
        }
    }

    /// Lets what waits arrive at once, and carries so much from now on.
    pub fn recover(&mut self, rate: f64) {
        (self.rate, self.free_at) = (rate, self.world.now);
        let soon = self.world.now + 20 * MS;
        for (_, at) in &mut self.under_way {
            *at = soon.min(*at);
        }
    }

    /// How often the layer changes within some seconds, looked at once a second.
    pub fn changes(&mut self, seconds: u32) -> usize {
        let mut layers = vec![self.layer];
        for _ in 0..seconds {
            self.run(1);
            layers.push(self.layer);
        }
        layers.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}

/// Runs until something holds; how many tenths of a second that took.
pub fn tenths_until(line: &mut Line, limit: u32, done: impl Fn(&mut Line) -> bool) -> u32 {
    (0..limit * 10)
        .find(|_| {
            line.run_ms(100);
            done(line)
        })
        .unwrap_or_else(|| panic!("not within {limit} s"))
}
