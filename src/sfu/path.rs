//! Ways between a client and this server, and what clients are told of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One way between a client and this server: what RFC 8445 calls a candidate pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The client's address, as seen from here.
    pub remote: SocketAddr,
    /// How it is reached.
    pub via: Via,
}

/// An address at which clients reach us, announced as a host candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    /// By datagrams.
    Udp(SocketAddr),
    /// By a connection that the client opens (RFC 6544).
    Tcp(SocketAddr),
}

/// How an address is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// By datagrams from the media port; from this address of ours, if it has several.
    Udp(Option<IpAddr>),
    /// On this connection, framed (RFC 6544).
    Tcp(TcpId),
}

/// One TCP connection, by number; never reused in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpId(pub u64);

impl Path {
    /// The TCP connection, if it is one.
    pub fn tcp(&self) -> Option<TcpId> {
        match self.via {
            Via::Udp(_) => None,
            Via::Tcp(id) => Some(id),
        }
    }
}

/// By datagrams, from whichever address of ours the system chooses.
impl From<SocketAddr> for Path {
    fn from(remote: SocketAddr) -> Self {
        let via = Via::Udp(None);
        Self { remote, via }
    }
}

/// Where relays on this machine send from: 127.84.0.0/24, the last byte for the media address that
/// they are for. All of 127.0.0.0/8 is this machine, and nothing from outside comes from there.
const RELAYS: [u8; 3] = [127, 84, 0];

/// What relays on this machine are called outside. A client whose way leads through our TURN server
/// knows the relayed address, and takes an answer that names another one for news about itself
/// (RFC 8445, 7.2.5.3.1).
#[derive(Debug, Clone, Default)]
pub struct RelayNames(Vec<IpAddr>);

impl RelayNames {
    /// Names for relays to these media addresses: each is called by the first one of its family.
    pub fn new(media: &[SocketAddr]) -> Self {
        let ips = || media.iter().map(SocketAddr::ip);
        let name = |ip: IpAddr| ips().find(|first| first.is_ipv6() == ip.is_ipv6());
        Self(ips().filter_map(name).collect())
    }

    /// Where the relay with this port sends from to the media address of this number.
    pub fn source(port: u16, media: u8) -> SocketAddr {
        let [a, b, c] = RELAYS;
        SocketAddr::from((Ipv4Addr::new(a, b, c, media), port))
    }

    /// The address by which a client knows itself: that of its relay if it has one.
    pub fn name(&self, remote: SocketAddr) -> SocketAddr {
        match remote.ip() {
            IpAddr::V4(ip) if ip.octets()[..3] == RELAYS => {
                let name = self.0.get(usize::from(ip.octets()[3]));
                name.map_or(remote, |name| SocketAddr::new(*name, remote.port()))
            }
            _ => remote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_called_by_its_relayed_address_and_all_others_as_they_are() {
        let media = ["203.0.113.7:1", "[2001:db8::7]:1", "203.0.113.8:1"];
        let names = RelayNames::new(&media.map(|text| text.parse().unwrap()));
        for (media, name) in [(0, "203.0.113.7"), (1, "2001:db8::7"), (2, "203.0.113.7")] {
            let name = SocketAddr::new(name.parse().unwrap(), 50_000);
            assert_eq!(names.name(RelayNames::source(50_000, media)), name);
        }
        for other in ["127.84.0.3:1", "127.0.0.1:1", "192.0.2.1:1", "[::1]:1"] {
            let other = other.parse().unwrap();
            assert_eq!(names.name(other), other);
        }
    }
}
