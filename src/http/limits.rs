//! How many may be served at a time: connections, and requests under way.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Semaphore;

use super::error::ApiError;
use super::forwarded::Client;
use crate::config::http::Crowd;

/// Counts what each address has, up to a limit. All clones count together.
#[derive(Debug, Clone)]
pub struct PerAddress {
    most: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of those that count. Ends with its value.
#[derive(Debug)]
pub struct Place {
    of: PerAddress,
    network: IpAddr,
}

impl PerAddress {
    /// So many for each.
    pub fn new(most: usize) -> Self {
        let counts = Arc::default();
        Self { most, counts }
    }

    /// Takes a place; none if the address has all of its own.
    pub fn enter(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        // What is counted is never 0.
        if *count >= self.most {
            return None;
        }
        *count += 1;
        let of = self.clone();
        Some(Place { of, network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = self.of.counts.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.network)),
        }
    }
}

/// The addresses that count as one: in IPv6, everybody has a /64 at least (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Bounds the requests under way: in all, and of each client that comes through a trusted proxy.
/// The clients that come directly are bounded by their connections.
#[derive(Debug, Clone)]
pub struct UnderWay {
    all: Arc<Semaphore>,
    behind_proxies: PerAddress,
}

impl UnderWay {
    /// As many as the settings say.
    pub fn new(crowd: &Crowd) -> Self {
        Self {
            all: Arc::new(Semaphore::new(crowd.requests)),
            behind_proxies: PerAddress::new(crowd.of_one_address),
        }
    }
}

/// The layer that holds the bounds: one request too many is `Busy`, or `TooManyRequests` if it is
/// one client's.
pub async fn bound(
    State(under_way): State<UnderWay>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let _permit = under_way.all.try_acquire().map_err(|_| ApiError::Busy)?;
    let client = request.extensions().get::<Client>();
    let _place = match client.filter(|client| client.proxied) {
        Some(client) => {
            let place = under_way.behind_proxies.enter(client.address);
            Some(place.ok_or(ApiError::TooManyRequests)?)
        }
        None => None,
    };
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let places = PerAddress::new(2);
        let enter = |address: &str| places.enter(address.parse().unwrap());
        let (first, second) = (enter("9.9.9.9"), enter("9.9.9.9"));
        assert!(first.is_some() && second.is_some());
        assert!(enter("9.9.9.9").is_none());
        assert!(enter("9.9.9.8").is_some());
        drop(first);
        let third = enter("9.9.9.9");
        assert!(third.is_some() && enter("9.9.9.9").is_none());
        drop((second, third));
        assert!(places.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let places = PerAddress::new(1);
        let enter = |address: &str| places.enter(address.parse().unwrap());
        let first = enter("2001:db8:0:1::1");
        assert!(first.is_some());
        assert!(enter("2001:db8:0:1:ffff::2").is_none());
        assert!(enter("2001:db8:0:2::1").is_some());
    }
}
