//! Which addresses clients are told to send media to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most addresses announced: every candidate costs each client connectivity checks.
const MAX_ANNOUNCED: usize = 8;

/// The addresses under which a socket bound to `bound` can be reached, best first: that address,
/// or those of all interfaces if it is unspecified. `loopback` includes loopback addresses even
/// where there are others, for browsers on this machine.
pub fn reachable(bound: SocketAddr, loopback: bool) -> io::Result<Vec<SocketAddr>> {
    let interfaces = if bound.ip().is_unspecified() {
        if_addrs::get_if_addrs()?
            .into_iter()
            .map(|interface| interface.ip())
            .collect()
    } else {
        Vec::new()
    };
    Ok(choose(bound, &interfaces, loopback))
}

fn choose(bound: SocketAddr, interfaces: &[IpAddr], loopback: bool) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let mut usable: Vec<IpAddr> = interfaces
        .iter()
        .copied()
        .filter(|ip| reaches(bound.ip(), *ip))
        .collect();
    // IPv4 before IPv6, because more clients have it; otherwise in the order of the interfaces.
    usable.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
    usable.dedup();
    if !loopback && usable.iter().any(|ip| !ip.is_loopback()) {
        usable.retain(|ip| !ip.is_loopback());
    }
    if usable.is_empty() {
        usable.push(match bound.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    usable.truncate(MAX_ANNOUNCED);
    usable
        .into_iter()
        .map(|ip| SocketAddr::new(ip, bound.port()))
        .collect()
}

/// Whether packets for `ip` arrive at a socket bound to the unspecified address `bound`.
/// Link-local IPv6 addresses are left out, for they mean nothing without a zone.
fn reaches(bound: IpAddr, ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => bound.is_ipv6() && !v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bound: &str, interfaces: &[&str], loopback: bool, expected: &[&str]) {
        let interfaces: Vec<IpAddr> = interfaces.iter().map(|ip| ip.parse().unwrap()).collect();
        let chosen = choose(bound.parse().unwrap(), &interfaces, loopback);
        let chosen: Vec<_> = chosen.iter().map(ToString::to_string).collect();
        assert_eq!(chosen, expected, "{bound} {interfaces:?}");
    }

    #[test]
    fn a_bound_address_is_the_only_one() {
        check(
            "10.0.0.1:5",
            &["10.0.0.1", "10.0.0.2"],
            true,
            &["10.0.0.1:5"],
        );
    }

    #[test]
    fn bound_to_all_the_addresses_of_all_interfaces_are_announced_but_no_useless_ones() {
        let all = [
            "127.0.0.1",
            "169.254.1.1",
            "10.0.0.1",
            "::1",
            "fe80::1",
            "2001:db8::1",
        ];
        check("0.0.0.0:5", &all, false, &["10.0.0.1:5"]);
        check("[::]:5", &all, false, &["10.0.0.1:5", "[2001:db8::1]:5"]);
        check("0.0.0.0:5", &all, true, &["10.0.0.1:5", "127.0.0.1:5"]);
    }

    #[test]
    fn loopback_is_better_than_nothing() {
        check("0.0.0.0:5", &["127.0.0.1"], false, &["127.0.0.1:5"]);
        check("0.0.0.0:5", &[], false, &["127.0.0.1:5"]);
        check("[::]:5", &["fe80::1"], false, &["[::1]:5"]);
    }
}
