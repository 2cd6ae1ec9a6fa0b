//! What the TURN server speaks through: its UDP socket, the outboxes of streams, and a socket for
//! each relay.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use tokio::sync::mpsc;
use tracing::{trace, warn};

use crate::net::udp::BatchSocket;
use crate::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use crate::sfu::path::RelayNames;
use crate::turn::{Client, Network, Relay, StreamId};

/// Bytes of datagrams that are sent with one call.
const SEND_LEN: usize = 256 * 1024;

/// Bits of a token for the number of a media address.
const MEDIA_BITS: u32 = 8;

/// The sockets.
#[derive(Debug)]
pub(super) struct SocketNetwork {
    socket: Option<BatchSocket>,
    out: SendSlab,
    streams: HashMap<StreamId, mpsc::Sender<Vec<u8>>>,
    relays: HashMap<Relay, UdpSocket>,
    registry: Registry,
    media: SocketAddr,
}

impl SocketNetwork {
    /// `media` is where this machine reaches the media port.
    pub(super) fn new(socket: Option<BatchSocket>, registry: Registry, media: SocketAddr) -> Self {
        Self {
            socket,
            out: SendSlab::new(SEND_LEN),
            streams: HashMap::new(),
            relays: HashMap::new(),
            registry,
            media,
        }
    }

    /// Messages for a stream go into this outbox from now on; one that finds it full is lost, as a
    /// datagram would be.
    pub(super) fn open_stream(&mut self, stream: StreamId, outbox: mpsc::Sender<Vec<u8>>) {
        self.streams.insert(stream, outbox);
    }

    /// What has arrived from clients.
    pub(super) fn receive(&mut self, slab: &mut ReceiveSlab) -> io::Result<usize> {
        match &mut self.socket {
            Some(socket) => socket.receive(slab),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// The length of the next datagram that media has sent to a relay, if there is one.
    pub(super) fn receive_from_media(&self, relay: Relay, out: &mut [u8]) -> Option<usize> {
        let socket = self.relays.get(&relay)?;
        match socket.recv(out) {
            Ok(len) => Some(len),
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    trace!(%error, "Cannot receive from media");
                }
                None
            }
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.transmit(&self.out);
        }
        self.out.clear();
    }

    /// The socket of a relay, made when it is first needed.
    fn relay(&mut self, relay: Relay) -> io::Result<&UdpSocket> {
        use std::collections::hash_map::Entry;
        match self.relays.entry(relay) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let mut socket = bind(relay, self.media)?;
                // From here on it hears nobody else.
                socket.connect(self.media)?;
                self.registry
                    .register(&mut socket, token_of(relay), Interest::READABLE)?;
                Ok(entry.insert(socket))
            }
        }
    }
}

impl Network for SocketNetwork {
    fn to_client(&mut self, client: Client, parts: [&[u8]; 3]) {
        if let Some(stream) = client.stream {
            if let Some(outbox) = self.streams.get(&stream)
                && outbox.try_send(parts.concat()).is_err()
            {
                trace!(?stream, "A stream does not keep up");
            }
            return;
        }
        let len = parts.iter().map(|part| part.len()).sum();
        if self.out.room() < len {
            self.flush();
        }
        let mut rest = self.out.spare_mut();
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        self.out.commit(len, client.path());
    }

    fn to_media(&mut self, relay: Relay, datagram: &[u8]) {
        match self.relay(relay) {
            // A full buffer loses it, as any network may.
            Ok(socket) => drop(socket.send(datagram)),
            Err(error) => warn!(%error, "No socket for a relay"),
        }
    }

    fn close_relays(&mut self, port: u16) {
        let all = Relay { port, media: 0 }..=Relay {
            port,
            media: u8::MAX,
        };
        self.relays.retain(|relay, _| !all.contains(relay));
    }

    fn close_stream(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }
}

/// A socket for a relay that media knows the name of; or for one without a name, where its port is
/// taken or media is bound to an IPv6 address only. Clients then find out about an address that is
/// of no use to them, and that is all.
fn bind(relay: Relay, media: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match media {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let any = SocketAddr::new(any, 0);
    if media.is_ipv6() {
        return UdpSocket::bind(any);
    }
    UdpSocket::bind(RelayNames::source(relay.port, relay.media)).or_else(|_| UdpSocket::bind(any))
}

/// Ports of relays begin far above the tokens of the thread itself.
fn token_of(relay: Relay) -> Token {
    Token(usize::from(relay.port) << MEDIA_BITS | usize::from(relay.media))
}

/// The relay that a token stands for.
pub(super) fn relay_of(token: Token) -> Relay {
    Relay {
        port: (token.0 >> MEDIA_BITS) as u16,
        media: token.0 as u8,
    }
}
