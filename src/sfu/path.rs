//! Ways between a client and this server, and what clients are told of them.

use std::net::{IpAddr, SocketAddr};

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
