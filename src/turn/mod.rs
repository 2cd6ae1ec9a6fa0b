//! A TURN server (RFC 8656) that relays to nowhere but here: to this server's own media addresses,
//! and between its own clients, so that relayed sessions work through it as well.
//!
//! [`Server`] is fed with what clients and the media port send, and with the time; it speaks
//! through a [`Network`]. Relayed addresses need no sockets that the outside can see: each is a
//! name for an allocation, and what clients send to it is passed on in memory.
//!
//! Strangers learn nothing and are of no use to anybody: over UDP no more bytes ever go to an
//! address than came from it, and no more is remembered of it than their difference, for seconds.

mod allocation;
mod counters;
pub mod credential;
pub mod ice_servers;
mod message;
mod nonce;
mod request;
mod server;
mod strangers;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use crate::sfu::path::{Path, Via};

pub use self::counters::{Counters, Refused, Snapshot};
pub use self::message::{Framing, MAX_LEN, frame};
pub use self::server::Server;

/// The realm of all credentials: short, since strangers are told.
pub const REALM: &str = "turn";

/// One way from a client to this server, the 5-tuple of RFC 8656, 2: over UDP, or on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client {
    /// Where the client is, as seen from here.
    pub address: SocketAddr,
    /// Which address of ours it sends datagrams to, where that is known: answers leave from there.
    pub local: Option<IpAddr>,
    /// The stream, if it is one.
    pub stream: Option<StreamId>,
}

/// One TCP connection, numbered by whoever accepted it; never reused in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl Client {
    /// A client over UDP.
    pub fn udp(address: SocketAddr) -> Self {
        Self {
            address,
            local: None,
            stream: None,
        }
    }

    /// A client on a stream.
    pub fn stream(address: SocketAddr, stream: StreamId) -> Self {
        Self {
            stream: Some(stream),
            ..Self::udp(address)
        }
    }

    /// The way that a datagram came.
    pub fn of(path: Path) -> Self {
        let local = match path.via {
            Via::Udp(local) => local,
            Via::Tcp(_) => None,
        };
        Self {
            local,
            ..Self::udp(path.remote)
        }
    }

    /// The way back, for a datagram.
    pub fn path(&self) -> Path {
        Path {
            remote: self.address,
            via: Via::Udp(self.local),
        }
    }
}

/// What one allocation sends to one media address from: media tells peers apart by their
/// addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relay {
    /// The port of the allocation's relayed address.
    pub port: u16,
    /// Which of the media addresses it is for.
    pub media: u8,
}

/// What the server speaks through. Nothing of this waits; what cannot be sent is lost.
pub trait Network {
    /// Sends a message to a client, given in parts.
    fn to_client(&mut self, client: Client, parts: [&[u8]; 3]);
    /// Sends a datagram to the media port; what is sent back there goes to
    /// [`Server::handle_media`].
    fn to_media(&mut self, relay: Relay, datagram: &[u8]);
    /// Forgets the relays of an allocation that has ended.
    fn close_relays(&mut self, port: u16);
    /// Closes a stream after what was sent before.
    fn close_stream(&mut self, stream: StreamId);
}

/// How much clients may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Allocations in all; one more is refused (508).
    pub allocations: usize,
    /// Allocations of one connection at one address; one more is refused (486).
    pub allocations_per_connection: usize,
    /// Bytes that one allocation relays in a second, both ways together; a second's worth may come
    /// at once, what is beyond is dropped.
    pub bytes_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allocations: 5000,
            allocations_per_connection: 100,
            bytes_per_second: 8 << 20,
        }
    }
}
