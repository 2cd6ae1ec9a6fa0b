//! How many connections there may be, in all and from one client.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

/// Counts connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Quota {
    total: usize,
    per_client: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_client: FxHashMap<IpAddr, usize>,
}

/// Counts for one connection until it is dropped.
#[derive(Debug)]
pub struct Permit {
    client: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Quota {
    /// So many in all, and so many per client.
    pub fn new(total: usize, per_client: usize) -> Self {
        Self {
            total,
            per_client,
            counts: Arc::default(),
        }
    }

    /// Counts one more from this address, if there is room.
    pub fn admit(&self, from: IpAddr) -> Option<Permit> {
        let client = client(from);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = counts.by_client.get(&client).copied().unwrap_or(0);
        if counts.total >= self.total || of_client >= self.per_client {
            return None;
        }
        counts.total += 1;
        counts.by_client.insert(client, of_client + 1);
        Some(Permit {
            client,
            counts: Arc::clone(&self.counts),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(of_client) = counts.by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                counts.by_client.remove(&self.client);
            }
        }
    }
}

/// Whom an address counts for: with IPv6, everybody has a whole /64.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (!0 << 64)).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_all_and_by_client_until_they_end() {
        let quota = Quota::new(3, 2);
        let at = |ip: &str| ip.parse().unwrap();
        let first = quota.admit(at("2001:db8::1")).unwrap();
        let second = quota.admit(at("2001:db8::2")).unwrap();
        assert!(quota.admit(at("2001:db8::3")).is_none(), "the same /64");
        let third = quota.admit(at("192.0.2.1")).unwrap();
        assert!(quota.admit(at("192.0.2.2")).is_none(), "three in all");
        drop(first);
        let fourth = quota.admit(at("::ffff:192.0.2.1")).unwrap();
        drop((second, fourth));
        assert!(
            quota.admit(at("192.0.2.1")).is_some(),
            "and it ends at once"
        );
        drop(third);
        assert_eq!(quota.counts.lock().unwrap().total, 0);
        assert!(quota.counts.lock().unwrap().by_client.is_empty());
    }
}
