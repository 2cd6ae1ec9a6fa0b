//! The whole SFU without its sockets and threads: negotiator, handshakes and engine, connected as
//! the drivers connect them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parlor::clock::Epoch;
use parlor::entropy::Entropy;
use parlor::sfu::command::LocalEndpoint;
use parlor::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use parlor::sfu::dtls::{Certificate, Handshakes};
use parlor::sfu::engine::Engine;
use parlor::sfu::negotiator::Negotiator;
use parlor::sfu::path::Candidate;
use parlor::sfu::worker::WorkerId;
use parlor::sfu::{Event, Request};

use super::simnet::SimNet;
use super::world::step;

/// Datagrams handed over at once, as a socket would.
const BATCH: usize = 64;

pub struct Sfu {
    negotiator: Negotiator,
    handshakes: Handshakes,
    engine: Engine,
    addr: SocketAddr,
    inbox: ReceiveSlab,
}

struct Port<'a> {
    net: &'a mut SimNet,
    addr: SocketAddr,
    now: Instant,
}

impl Transmit for Port<'_> {
    fn transmit(&mut self, slab: &SendSlab) {
        for (datagram, to) in slab.datagrams() {
            self.net.send(self.now, self.addr, to.remote, datagram);
        }
    }
}

impl Sfu {
    pub fn new(addr: SocketAddr, seed: u64, now: Instant) -> Self {
        let mut entropy = Entropy::from_seed(seed);
        let certificates = Certificate::generate_pair().unwrap();
        let local = LocalEndpoint {
            candidates: vec![Candidate::Udp(addr)],
            fingerprints: certificates.each_ref().map(Certificate::fingerprint),
            worker: WorkerId::default(),
        };
        let epoch = Epoch {
            instant: now,
            since_unix: Duration::from_secs(1_700_000_000),
        };
        Self {
            negotiator: Negotiator::new(local, entropy.fork()),
            handshakes: Handshakes::new(certificates).unwrap(),
            engine: Engine::new(entropy.fork(), epoch),
            addr,
            inbox: ReceiveSlab::new(BATCH),
        }
    }

    /// One request, and all that the SFU says to it at once.
    pub fn ask(&mut self, request: Request, now: Instant, net: &mut SimNet) -> Vec<Event> {
        self.negotiator.handle_request(request);
        self.run(now, net)
    }

    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], now: Instant, net: &mut SimNet) {
        self.inbox.push(bytes, from);
        if self.inbox.len() == BATCH {
            self.take_batch(now, net);
        }
    }

    fn take_batch(&mut self, now: Instant, net: &mut SimNet) {
        let mut port = Port {
            net,
            addr: self.addr,
            now,
        };
        while step(&mut self.engine, &mut self.inbox, now, &mut port) {}
        self.inbox.clear();
    }

    /// Lets every part do what is due; returns what is to be told to clients.
    pub fn run(&mut self, now: Instant, net: &mut SimNet) -> Vec<Event> {
        if !self.inbox.is_empty() {
            self.take_batch(now, net);
        }
        let mut port = Port {
            net,
            addr: self.addr,
            now,
        };
        while let Some(command) = self.negotiator.poll_command() {
            self.engine.handle_command(command, now, &mut port);
        }
        if self.negotiator.poll_timeout().is_some_and(|at| at <= now) {
            self.negotiator.handle_timeout(now);
        }
        while self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle_timeout(now, &mut port);
        }
        if self.handshakes.poll_timeout().is_some_and(|at| at <= now) {
            self.handshakes.handle_timeout(now);
        }
        while let Some(input) = self.engine.poll_handshake() {
            self.handshakes.handle_input(input, now);
        }
        while let Some(output) = self.handshakes.poll_output() {
            self.engine.handle_handshake(output, now, &mut port);
        }
        while let Some(event) = self.engine.poll_event() {
            self.negotiator.handle_engine_event(event, now);
        }
        std::iter::from_fn(|| self.negotiator.poll_event()).collect()
    }
}
