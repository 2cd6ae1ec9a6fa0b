//! A network between hosts in one process, on virtual time: delay, loss and reordering come from
//! a seed, so that a failing run can be run again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How the network treats every datagram.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// One-way delay.
    pub delay: Duration,
    /// Up to this much is added at random, which reorders.
    pub jitter: Duration,
    /// Share of datagrams that vanish, 0 to 1.
    pub loss: f64,
}

/// One datagram on its way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Datagram {
    arrives_at: Instant,
    /// Keeps equal arrival times in the order of sending.
    number: u64,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// The datagrams under way.
#[derive(Debug)]
pub struct SimNet {
    link: Link,
    dice: StdRng,
    under_way: BinaryHeap<Reverse<Datagram>>,
    sent: u64,
    pub lost: u64,
}

impl SimNet {
    pub fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            dice: StdRng::seed_from_u64(seed),
            under_way: BinaryHeap::new(),
            sent: 0,
            lost: 0,
        }
    }

    /// From now on this share of datagrams vanishes.
    pub fn lose(&mut self, share: f64) {
        self.link.loss = share;
    }

    /// Takes a datagram; it arrives later, or never.
    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.sent += 1;
        if self.dice.random_bool(self.link.loss) {
            self.lost += 1;
            return;
        }
        let jitter = self.link.jitter.mul_f64(self.dice.random());
        self.under_way.push(Reverse(Datagram {
            arrives_at: now + self.link.delay + jitter,
            number: self.sent,
            from,
            to,
            bytes: bytes.to_vec(),
        }));
    }

    /// The next datagram that has arrived by `now`.
    pub fn arrived(&mut self, now: Instant) -> Option<Datagram> {
        let due = self.under_way.peek()?.0.arrives_at <= now;
        due.then(|| self.under_way.pop().expect("one was peeked").0)
    }
}
