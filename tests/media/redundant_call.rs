//! A conversation over networks that lose packets at random, in virtual time: what is heard of it where
//! audio is redundant.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parlor::rtp::red::MAX_OFFSET;
use parlor::rtp::rtcp::feedback::push_nack;
use parlor::rtp::rtcp::transport_cc::push_transport_feedback;
use parlor::rtp::rtcp::{Compound, Rtcp};
use parlor::rtp::seq::Extender;

use crate::redundancy::{
    Ledger, TICKS, contents, listener, speak_alone, speak_at, transport_number,
};
use crate::simnet::{Link, SimNet};
use crate::world::*;

const MS: Duration = Duration::from_millis(1);

const DELAY: Duration = Duration::from_millis(50);

/// How long a receiver waits for a packet that is late: hardly more than for two packets.
const PATIENCE: Duration = Duration::from_millis(60);

/// Whoever listens.
struct Listener {
    peer: Peer,
    /// What left for it, and what came.
    left: Ledger,
    arrived: Ledger,
    /// When each packet was there first, whichever way.
    heard: BTreeMap<u64, Instant>,
    sequences: Extender,
    numbers: Extender,
    /// Transport-wide numbers that have come since the last report, and when.
    came: Vec<(u64, i64)>,
    packets: u64,
    copies: u64,
    counter: u8,
}

impl Listener {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            left: Ledger::default(),
            arrived: Ledger::default(),
            heard: BTreeMap::new(),
            sequences: Extender::default(),
            numbers: Extender::default(),
            came: Vec::new(),
            packets: 0,
            copies: 0,
            counter: 0,
        }
    }
}

/// Who speaks, who listens, and the networks between them and the server.
struct Talk {
    world: World,
    zero: Instant,
    up: SimNet,
    down: SimNet,
    publisher: Peer,
    /// Whether the publisher sends RED.
    red: bool,
    jitter: Duration,
    /// What was sent, and when.
    said: Vec<(Vec<u8>, Instant)>,
    /// The timestamps of that.
    timestamps: Vec<u32>,
    /// Whether there are silences, of 160 and 400 ms, in which nothing is sent.
    pauses: bool,
    listeners: Vec<Listener>,
}

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 1);

impl Talk {
    fn new(seed: u64, up: f64, down: f64, jitter: Duration) -> Self {
        let mut world = World::new();
        let publisher = world.publisher(1, 1, CM);
        let knows = listener(&mut world, 1, 11, CM);
        let knows_not = world.subscriber(2, 1, 12, CM);
        let link = |loss| Link {
            delay: DELAY,
            jitter,
            loss,
        };
        Self {
            zero: world.now,
            up: SimNet::new(link(up), seed),
            down: SimNet::new(link(down), seed + 100),
            world,
            publisher,
            red: true,
            jitter,
            said: Vec::new(),
            timestamps: Vec::new(),
            pauses: false,
            listeners: [knows, knows_not].map(Listener::new).into(),
        }
    }

    /// Speaks for so long, in packets of 20 ms.
    fn talk(&mut self, duration: Duration) {
        let server = SocketAddr::from(SERVER);
        for ms in 0..duration.as_millis() as u64 {
            let step = ms / 20 % 100;
            let silence = self.pauses && (step < 20 || (60..68).contains(&step));
            if ms % 20 == 0 && !silence {
                let timestamp = (self.world.now - self.zero).as_millis() as u32 / 20 * TICKS;
                let packet = self.speak(timestamp);
                let now = self.world.now;
                self.up.send(now, self.publisher.address, server, &packet);
                self.said.push((packet, now));
                self.timestamps.push(timestamp);
            }
            self.tick(ms);
        }
    }

    /// As Chromium does: with the packet before it, if that is not too long ago.
    fn speak(&mut self, timestamp: u32) -> Vec<u8> {
        let index = self.said.len() as u64 + 10;
        if !self.red {
            return speak_alone(&mut self.publisher, index, timestamp);
        }
        let last = self.timestamps.last().map(|last| timestamp - last);
        let last = last.filter(|age| *age <= MAX_OFFSET);
        let earlier = last.map(|age| (index - 1, age));
        let earlier = earlier.as_slice();
        speak_at(&mut self.publisher, index, timestamp, earlier)
    }

    fn tick(&mut self, ms: u64) {
        let server = SocketAddr::from(SERVER);
        self.world.advance(MS);
        let now = self.world.now;
        if ms.is_multiple_of(5_000) {
            let peers = self.listeners.iter().map(|listener| &listener.peer);
            for peer in peers.chain([&self.publisher]) {
                self.world.check(peer);
            }
            self.world.net.sent.retain(|(bytes, _)| bytes[0] >= 128);
        }
        while let Some(datagram) = self.up.arrived(now) {
            self.world.receive_one(&datagram.bytes, datagram.from);
        }
        for sent in std::mem::take(&mut self.world.net.sent) {
            for listener in &mut self.listeners {
                if Ledger::is_media(&sent, &listener.peer) {
                    listener.left.is_new(&sent.0);
                }
            }
            self.down.send(now, server, sent.1, &sent.0);
        }
        while let Some(datagram) = self.down.arrived(now) {
            self.world.net.sent.push((datagram.bytes, datagram.to));
        }
        for feedback in self.publisher.open(&mut self.world.net).1 {
            self.answer(&feedback);
        }
        let at_us = (now - self.zero).as_micros() as i64;
        for listener in &mut self.listeners {
            let mut said = listener.listen(&mut self.world.net, &self.timestamps, now, at_us);
            if ms.is_multiple_of(50) {
                listener.report(&mut said);
            }
            for plain in said {
                let bytes = listener.peer.rtcp(&plain);
                self.up.send(now, listener.peer.address, server, &bytes);
            }
        }
        self.world.net.sent.clear();
    }

    /// The publisher sends again what it is asked for.
    fn answer(&mut self, feedback: &[u8]) {
        let server = SocketAddr::from(SERVER);
        for packet in Compound::new(feedback) {
            let Rtcp::Nack(nack) = packet else { continue };
            for sequence in nack.sequences() {
                if let Some((bytes, _)) = self.said.get(usize::from(sequence).wrapping_sub(10)) {
                    let now = self.world.now;
                    self.up.send(now, self.publisher.address, server, bytes);
                }
            }
        }
    }

    /// The share of what was said since `from` that each listener did not hear in time.
    fn missed(&self, from: usize) -> [f64; 2] {
        let said = &self.said[from..self.said.len() - 25];
        [0, 1].map(|index| {
            let heard = &self.listeners[index].heard;
            let late = said.iter().enumerate().filter(|(n, (_, at))| {
                let number = (n + from) as u64 + 10;
                let due = *at + 2 * (DELAY + self.jitter) + PATIENCE;
                heard.get(&number).is_none_or(|came| *came > due)
            });
            late.count() as f64 / said.len() as f64
        })
    }
}

impl Listener {
    /// Takes what has come; asks for what has not.
    fn listen(
        &mut self,
        net: &mut Net,
        timestamps: &[u32],
        now: Instant,
        at_us: i64,
    ) -> Vec<Vec<u8>> {
        // What comes twice is dropped by SRTP.
        let new = |sent: &(Vec<u8>, _)| {
            !Ledger::is_media(sent, &self.peer) || self.arrived.is_new(&sent.0)
        };
        net.sent.retain(new);
        let mut said = Vec::new();
        for packet in self.peer.open(net).0 {
            let before = self.sequences.highest();
            let sequence = self.sequences.extend(packet.header.sequence);
            let missing = before.map_or(0..0, |before| before + 1..sequence);
            let missing: Vec<_> = missing.map(|missing| missing as u16).collect();
            if !missing.is_empty() {
                let mut nack = Vec::new();
                push_nack(&mut nack, 1, packet.header.ssrc, &missing);
                said.push(nack);
            }
            let number = transport_number(&packet);
            self.came.push((self.numbers.extend(number as u16), at_us));
            let timestamp = |index: u64| timestamps[index as usize - 10];
            let (earlier, own) = contents(&packet, timestamp);
            self.packets += 1;
            self.copies += earlier.len() as u64;
            for number in earlier.into_iter().chain([own]) {
                self.heard.entry(number).or_insert(now);
            }
        }
        said
    }

    /// Says what came, and what did not. Like Chromium it speaks of everything behind its last message.
    fn report(&mut self, said: &mut Vec<Vec<u8>>) {
        let mut out = Vec::new();
        self.came.sort_unstable();
        if self.came.len() < 2 {
            return;
        }
        push_transport_feedback(&mut out, 1, 2, &mut self.counter, &self.came);
        self.came.drain(..self.came.len() - 1);
        said.push(out);
    }
}

#[test]
fn half_a_minute_of_five_percent_loss_each_way_is_hardly_heard_where_audio_is_redundant() {
    for seed in 1..=5 {
        let mut talk = Talk::new(seed, 0.05, 0.05, Duration::ZERO);
        talk.talk(Duration::from_secs(32));
        let [red, alone] = talk.missed(100);
        println!(
            "seed {seed}: {:.2} % and {:.2} % missed",
            100.0 * red,
            100.0 * alone
        );
        assert!(red < 0.007, "{red} of it was not heard");
        assert!(alone > 0.03, "{alone}: the network loses nothing");
        let copies = talk.listeners[0].copies as f64 / talk.listeners[0].packets as f64;
        assert!(copies > 1.7, "{copies} copies a packet");
    }
}

#[test]
fn a_subscriber_without_red_has_what_was_restored_on_the_way_in() {
    let mut talk = Talk::new(1, 0.05, 0.0, Duration::ZERO);
    talk.talk(Duration::from_secs(32));
    let missed = talk.missed(100);
    assert!(missed.iter().all(|missed| *missed < 0.006), "{missed:?}");
    // Nothing is lost on the way out.
    assert_eq!(talk.listeners[0].copies, 0);
}

#[test]
fn a_publisher_without_red_is_heard_with_copies_of_ours() {
    let mut talk = Talk::new(2, 0.0, 0.05, Duration::ZERO);
    talk.red = false;
    talk.talk(Duration::from_secs(32));
    let [red, alone] = talk.missed(100);
    assert!(red < 0.003 && alone > 0.03, "{red} and {alone}");
}

#[test]
fn copies_begin_within_a_second_and_end_half_a_minute_after_the_loss() {
    let mut talk = Talk::new(3, 0.0, 0.05, Duration::ZERO);
    talk.talk(Duration::from_millis(2_500));
    let copies = talk.listeners[0].copies;
    assert!(copies > 25, "{copies} in the first two seconds and a half");
    talk.down.lose(0.0);
    talk.talk(Duration::from_secs(40));
    let copies = talk.listeners[0].copies;
    talk.talk(Duration::from_secs(10));
    assert_eq!(talk.listeners[0].copies, copies);
}

#[test]
fn a_network_that_reorders_and_loses_nothing_calls_for_no_copies() {
    let mut talk = Talk::new(4, 0.0, 0.0, Duration::from_millis(45));
    talk.talk(Duration::from_secs(20));
    assert_eq!(talk.missed(10), [0.0, 0.0]);
    assert_eq!(talk.listeners[0].copies, 0);
}

#[test]
fn silence_and_reordering_with_loss_each_way_confuse_nobody() {
    for seed in 5..=7 {
        let mut talk = Talk::new(seed, 0.05, 0.05, Duration::from_millis(30));
        talk.pauses = true;
        talk.talk(Duration::from_secs(60));
        let [red, alone] = talk.missed(100);
        assert!(red < 0.015, "{red} of it was not heard");
        assert!(alone > 0.03, "{alone}: the network loses nothing");
    }
}
