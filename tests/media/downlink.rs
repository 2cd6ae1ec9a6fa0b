//! What a subscriber gets through a network that carries less than there is to send.

use std::time::{Duration, Instant};

use parlor::rtp::rtcp::transport_cc::push_transport_feedback;
use parlor::rtp::seq::Extender;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::simulcast::{Camera, read, start};
use crate::world::*;

const MS: Duration = Duration::from_millis(1);

/// How long packets wait in front of the bottleneck before further ones are dropped.
const MAX_QUEUE: Duration = Duration::from_millis(800);

/// A camera of 0.24, 0.75 and 2 Mbit/s, a microphone, and a subscriber behind a bottleneck that
/// reports what arrives.
struct Line {
    world: World,
    camera: Camera,
    subscriber: Peer,
    /// Bits per second.
    rate: f64,
    /// Share that vanishes at random.
    loss: f64,
    dice: StdRng,
    free_at: Instant,
    numbers: Extender,
    /// Transport-wide numbers under way, and when they arrive.
    under_way: Vec<(u64, Instant)>,
    counter: u8,
    zero: Instant,
    elapsed_ms: u32,
    audio: (u64, u64),
    /// The layer of the last frame that arrived.
    layer: usize,
    dropped: u64,
    longest_queue: Duration,
}

impl Line {
    fn new(rate: f64) -> Self {
        let (mut world, mut camera) = start(true);
        camera.packets = [1, 3, 8];
        let subscriber = world.subscriber(1, 1, 11, CM);
        Self {
            camera,
            subscriber,
            rate,
            loss: 0.0,
            dice: StdRng::seed_from_u64(1),
            free_at: world.now,
            numbers: Extender::default(),
            under_way: Vec::new(),
            counter: 0,
            zero: world.now,
            elapsed_ms: 0,
            audio: (0, 0),
            layer: 0,
            dropped: 0,
            longest_queue: Duration::ZERO,
            world,
        }
    }

    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds * 1000 {
            self.world.advance(MS);
            self.elapsed_ms += 1;
            if self.elapsed_ms % 5_000 == 0 {
                self.world.check(&self.camera.peer);
                self.world.check(&self.subscriber);
            }
            if self.elapsed_ms % 33 == 0 {
                self.camera.emit(&mut self.world);
            }
            if self.elapsed_ms % 20 == 0 {
                self.audio.0 += 1;
                let packet = self.camera.peer.audio(self.audio.0);
                let from = self.camera.peer.address;
                self.world.receive_one(&packet, from);
            }
            self.carry();
            if self.elapsed_ms % 50 == 0 {
                self.report();
            }
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
            if wait > MAX_QUEUE || self.dice.random_bool(self.loss) {
                self.dropped += 1;
                continue;
            }
            let bits = (packet.payload.len() + 40) as f64 * 8.0;
            self.free_at = now.max(self.free_at) + Duration::from_secs_f64(bits / self.rate);
            self.under_way.push((number, self.free_at + 20 * MS));
            match packet.header.payload_type {
                OUT_OPUS => self.audio.1 += 1,
                OUT_VP8 => self.layer = read(&packet).layer,
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
        let from = self.subscriber.address;
        self.world.receive_one(&datagram, from);
    }

    /// How often the layer changes within some seconds, looked at once a second.
    fn changes(&mut self, seconds: u32) -> usize {
        let mut layers = vec![self.layer];
        for _ in 0..seconds {
            self.run(1);
            layers.push(self.layer);
        }
        layers.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}

#[test]
fn a_good_network_carries_the_highest_layer_and_is_not_probed() {
    let mut line = Line::new(20e6);
    line.run(10);
    assert_eq!(line.layer, 2);
    assert_eq!(line.changes(10), 0);
    assert_eq!(line.world.engine.counters().resent, 0);
    assert_eq!((line.dropped, line.audio.0), (0, line.audio.1));
}

#[test]
fn a_network_that_gets_slow_gets_a_lower_layer_without_loss_of_audio_and_the_higher_one_later() {
    let mut line = Line::new(6e6);
    line.run(5);
    assert_eq!(line.layer, 2);
    line.rate = 1.2e6;
    line.run(3);
    assert_eq!(line.layer, 1, "queue of {:?}", line.longest_queue);
    assert_eq!(line.dropped, 0);
    assert_eq!(line.audio.0, line.audio.1);
    // Probing shows that more does not fit, and costs nothing that is noticed.
    assert_eq!(line.changes(30), 0);
    assert_eq!(line.audio.0, line.audio.1);
    line.rate = 6e6;
    line.run(75);
    assert_eq!(line.layer, 2);
    assert_eq!(line.audio.0, line.audio.1);
}

#[test]
fn hardly_any_network_still_carries_the_audio() {
    let mut line = Line::new(6e6);
    line.run(5);
    line.rate = 250e3;
    line.run(10);
    let (sent, arrived) = line.audio;
    assert_eq!(line.layer, 0);
    line.run(10);
    let heard = (line.audio.1 - arrived) as f64 / (line.audio.0 - sent) as f64;
    assert!(heard > 0.99, "{heard} of the audio");
}

#[test]
fn loss_that_is_not_congestion_changes_nothing_and_heavy_loss_does() {
    let mut line = Line::new(20e6);
    line.loss = 0.04;
    line.run(15);
    assert_eq!(line.layer, 2);
    line.loss = 0.30;
    line.run(15);
    assert!(line.layer < 2);
}
