//! How often strangers are answered with more bytes than they sent: seldom enough that this server
//! is of no use against anybody whose address they pretend to have.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ring::hmac;

use crate::entropy::Entropy;
use crate::hub::bucket::Bucket;

/// Answers a second to one network: what a large office behind one address needs when everybody
/// joins at once, and 6 KB/s for whoever it is aimed at.
const PER_NETWORK: u32 = 100;

/// Answers a second in all: some 6 Mbit/s.
const IN_ALL: u32 = 10_000;

/// Networks are told apart by this many buckets. Two may share one; nobody knows which.
const BUCKETS: usize = 4096;

/// Leading bits of an address that make a network: what one person may have.
const V4_PREFIX: u32 = 24;
const V6_PREFIX: u32 = 56;

/// Decides who is answered. Does not print.
pub(super) struct Strangers {
    in_all: Bucket,
    networks: Vec<Bucket>,
    key: hmac::Key,
}

impl std::fmt::Debug for Strangers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Strangers")
    }
}

impl Strangers {
    pub(super) fn new(entropy: &mut Entropy, now: Instant) -> Self {
        let mut key = [0; 32];
        entropy.fill(&mut key);
        Self {
            in_all: Bucket::new(IN_ALL, IN_ALL, now),
            networks: vec![Bucket::new(PER_NETWORK, 2 * PER_NETWORK, now); BUCKETS],
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        }
    }

    /// Whether to answer this one. The network is asked first, so that one alone cannot use up
    /// what is for all.
    pub(super) fn admit(&mut self, from: SocketAddr, now: Instant) -> bool {
        let index = self.index(from.ip());
        self.networks[index].take(now) && self.in_all.take(now)
    }

    fn index(&self, ip: IpAddr) -> usize {
        let network = match ip.to_canonical() {
            IpAddr::V4(ip) => u128::from(ip.to_bits() >> (32 - V4_PREFIX)),
            IpAddr::V6(ip) => ip.to_bits() >> (128 - V6_PREFIX),
        };
        let tag = hmac::sign(&self.key, &network.to_be_bytes());
        let first = &tag.as_ref()[..2];
        usize::from(u16::from_be_bytes([first[0], first[1]])) % BUCKETS
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "any moment will do as the start of invented time"
)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_network_is_answered_so_often_and_no_other_notices() {
        let start = Instant::now();
        let mut strangers = Strangers::new(&mut Entropy::from_seed(1), start);
        let mut answered = |text: &str, at| {
            let from = SocketAddr::new(text.parse().unwrap(), 1);
            let times = (0..100_000).filter(|_| strangers.admit(from, start + at));
            times.count()
        };
        let second = Duration::from_secs(1);
        assert_eq!(answered("192.0.2.1", Duration::ZERO), 200);
        assert_eq!(answered("192.0.2.254", Duration::ZERO), 0);
        assert_eq!(answered("192.0.3.1", Duration::ZERO), 200);
        assert_eq!(answered("2001:db8::1", Duration::ZERO), 200);
        assert_eq!(answered("2001:db8:0:ff::1", Duration::ZERO), 0);
        assert_eq!(answered("192.0.2.1", second), 100);
    }

    #[test]
    fn all_networks_together_are_answered_so_often() {
        let start = Instant::now();
        let mut strangers = Strangers::new(&mut Entropy::from_seed(1), start);
        let from = |n: u32| SocketAddr::new(IpAddr::from((n << 8).to_be_bytes()), 1);
        let answered = (0..100_000).filter(|n| strangers.admit(from(*n), start));
        assert_eq!(answered.count(), IN_ALL as usize);
    }
}
