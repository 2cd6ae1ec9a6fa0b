//! The server: who is there, and where data goes. What requests do is in [`super::request`].

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::allocation::Allocation;
use super::credential::{CREDENTIAL_LIFETIME, Issuer};
use super::message::{Incoming, channel_data, data_indication, padding};
use super::nonce::Nonces;
use super::request::Question;
use super::strangers::Strangers;
use super::{Client, Counters, Limits, Network, Refused, Relay, Snapshot, StreamId};
use crate::clock::Epoch;
use crate::entropy::Entropy;

/// Ports of relayed addresses (RFC 8656, 7.2); they are names, and nothing listens there.
pub(super) const PORTS: RangeInclusive<u16> = 49152..=65535;

/// Most addresses of media; clients are not told more.
const MAX_MEDIA: usize = 64;

/// How long a stream may take until it has an allocation.
const STREAM_PATIENCE: Duration = Duration::from_secs(10);

/// Streams without an allocation. When full, the one that came first makes room.
const MAX_IDLE_STREAMS: usize = 1024;

/// Connections whose credentials were revoked and may not have expired. When full, the oldest is
/// forgotten.
const MAX_REVOKED: usize = 10_000;

/// A connection, by its name and where its client is.
pub(super) type Owner = (String, IpAddr);

/// All allocations. Holds no clock, no socket and no task.
#[derive(Debug)]
pub struct Server {
    pub(super) limits: Limits,
    pub(super) issuer: Issuer,
    pub(super) nonces: Nonces,
    pub(super) strangers: Strangers,
    pub(super) epoch: Epoch,
    pub(super) entropy: Entropy,
    pub(super) counters: Counters,
    /// Where clients are told to send media.
    media: Vec<SocketAddr>,
    /// By the port of the relayed address.
    pub(super) allocations: HashMap<u16, Allocation>,
    pub(super) clients: HashMap<Client, u16>,
    /// How many each connection has at each address, so that nobody can use up what is another's;
    /// none is zero.
    pub(super) owners: HashMap<Owner, usize>,
    pub(super) expiries: BTreeSet<(Instant, u16)>,
    /// Streams without an allocation, in the order in which they came, and how long they have.
    idle_streams: VecDeque<(Instant, StreamId)>,
    streams: usize,
    /// Who, and until when credentials may have been given out for.
    revoked: HashMap<String, Instant>,
}

impl Server {
    /// A server for clients that are told to send media to `media`.
    pub fn new(
        media: &[SocketAddr],
        issuer: Issuer,
        limits: Limits,
        mut entropy: Entropy,
        epoch: Epoch,
    ) -> Self {
        Self {
            limits,
            issuer,
            nonces: Nonces::new(&mut entropy),
            strangers: Strangers::new(epoch.instant),
            epoch,
            entropy,
            counters: Counters::default(),
            media: media.iter().copied().take(MAX_MEDIA).collect(),
            allocations: HashMap::new(),
            clients: HashMap::new(),
            owners: HashMap::new(),
            expiries: BTreeSet::new(),
            idle_streams: VecDeque::new(),
            streams: 0,
            revoked: HashMap::new(),
        }
    }

    /// Takes a datagram, or a message of a stream, from a client.
    pub fn handle_message(
        &mut self,
        client: Client,
        bytes: &[u8],
        now: Instant,
        net: &mut dyn Network,
    ) {
        let to = match Incoming::parse(bytes) {
            Some(Incoming::Request(method, request)) => {
                let question = Question {
                    client,
                    method,
                    request,
                    now,
                };
                return self.request(&question, net);
            }
            Some(Incoming::Send { peer, data }) => {
                let permitted = |known: &Allocation| known.permits(peer.ip(), now).then_some(peer);
                self.destination(client, permitted).map(|to| (to, data))
            }
            Some(Incoming::ChannelData { channel, data }) => {
                let bound = |known: &Allocation| known.peer(channel, now);
                self.destination(client, bound).map(|to| (to, data))
            }
            None => return self.counters.refuse(Refused::BadRequest),
        };
        match to {
            Some(((port, peer), data)) => self.relay(port, peer, data, now, net),
            None => self.counters.refuse(Refused::NoPermission),
        }
    }

    /// Takes a datagram that media sent to a relay.
    pub fn handle_media(&mut self, relay: Relay, data: &[u8], now: Instant, net: &mut dyn Network) {
        if let Some(from) = self.media.get(usize::from(relay.media)).copied() {
            self.deliver(relay.port, from, data, now, net);
        }
    }

    /// A stream was accepted.
    pub fn handle_opened(&mut self, stream: StreamId, now: Instant, net: &mut dyn Network) {
        self.streams += 1;
        if self.idle_streams.len() >= MAX_IDLE_STREAMS
            && let Some((_, first)) = self.idle_streams.pop_front()
        {
            net.close_stream(first);
        }
        self.idle_streams.push_back((now + STREAM_PATIENCE, stream));
    }

    /// A stream has ended, and with it the allocation of its client.
    pub fn handle_closed(&mut self, client: Client, net: &mut dyn Network) {
        self.streams = self.streams.saturating_sub(1);
        self.settle(client);
        if let Some(port) = self.clients.get(&client).copied() {
            self.end(port, net);
        }
    }

    /// Ends what is over.
    pub fn handle_timeout(&mut self, now: Instant, net: &mut dyn Network) {
        while let Some((at, port)) = self.expiries.first().copied()
            && at <= now
        {
            self.end(port, net);
        }
        while let Some((at, stream)) = self.idle_streams.front().copied()
            && at <= now
        {
            self.idle_streams.pop_front();
            net.close_stream(stream);
        }
    }

    /// When [`Self::handle_timeout`] is to be called, at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.expiries.first().map(|(at, _)| *at);
        let idle = self.idle_streams.front().map(|(at, _)| *at);
        expiry.into_iter().chain(idle).min()
    }

    /// Takes back all that a connection has, and believes its credentials no longer.
    pub fn revoke(&mut self, connection: &str, now: Instant, net: &mut dyn Network) {
        if self.revoked.len() >= MAX_REVOKED {
            self.revoked.retain(|_, until| *until > now);
        }
        if self.revoked.len() >= MAX_REVOKED {
            let oldest = self.revoked.iter().min_by_key(|(_, until)| **until);
            if let Some(oldest) = oldest.map(|(connection, _)| connection.clone()) {
                self.revoked.remove(&oldest);
            }
        }
        let until = now + CREDENTIAL_LIFETIME;
        self.revoked.insert(connection.into(), until);
        let all = self.allocations.iter();
        let theirs: Vec<_> = all
            .filter(|(_, allocation)| allocation.connection == connection)
            .map(|(port, _)| *port)
            .collect();
        for port in theirs {
            self.end(port, net);
        }
    }

    /// How much is going on.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            allocations: self.allocations.len(),
            streams: self.streams,
            counters: self.counters,
        }
    }

    /// Whether what this connection was given is of no use any more.
    pub(super) fn is_revoked(&self, connection: &str) -> bool {
        self.revoked.contains_key(connection)
    }

    /// The relayed address of an allocation in a family, as its client and others know it.
    pub(super) fn relayed(&self, port: u16, v6: bool) -> Option<SocketAddr> {
        let mut all = self.media.iter();
        let media = all.find(|address| address.is_ipv6() == v6)?;
        Some(SocketAddr::new(media.ip(), port))
    }

    /// Whether anything that may be relayed to has this address.
    pub(super) fn is_ours(&self, ip: IpAddr) -> bool {
        self.media.iter().any(|address| address.ip() == ip)
    }

    /// Whether this may be relayed to: media, or the relayed address of another client.
    pub(super) fn may_reach(&self, peer: SocketAddr) -> bool {
        self.media.contains(&peer) || self.is_relayed(peer)
    }

    fn is_relayed(&self, peer: SocketAddr) -> bool {
        PORTS.contains(&peer.port()) && self.relayed(peer.port(), peer.is_ipv6()) == Some(peer)
    }

    /// A client on a stream has an allocation, or is gone: nothing waits for it any more.
    pub(super) fn settle(&mut self, client: Client) {
        if let Some(stream) = client.stream {
            self.idle_streams.retain(|(_, idle)| *idle != stream);
        }
    }

    /// A client's allocation, and where it may send what it wants to send.
    fn destination(
        &self,
        client: Client,
        find: impl FnOnce(&Allocation) -> Option<SocketAddr>,
    ) -> Option<(u16, SocketAddr)> {
        let port = *self.clients.get(&client)?;
        Some((port, find(self.allocations.get(&port)?)?))
    }

    /// Passes on what a client sent to a peer that it may send to.
    fn relay(
        &mut self,
        port: u16,
        peer: SocketAddr,
        data: &[u8],
        now: Instant,
        net: &mut dyn Network,
    ) {
        let Some(allocation) = self.allocations.get_mut(&port) else {
            return;
        };
        if !allocation.rate.take_many(data.len() as u32, now) {
            self.counters.refuse(Refused::Rate);
            return;
        }
        if let Some(media) = self.media.iter().position(|address| *address == peer) {
            self.counters.bytes_from_clients += data.len() as u64;
            let media = media as u8;
            net.to_media(Relay { port, media }, data);
        } else if self.is_relayed(peer)
            && let Some(from) = self.relayed(port, peer.is_ipv6())
        {
            self.counters.bytes_from_clients += data.len() as u64;
            self.deliver(peer.port(), from, data, now, net);
        } else {
            self.counters.refuse(Refused::Forbidden);
        }
    }

    /// Brings data to a client, if it lets the sender in.
    fn deliver(
        &mut self,
        port: u16,
        from: SocketAddr,
        data: &[u8],
        now: Instant,
        net: &mut dyn Network,
    ) {
        let allocation = self.allocations.get_mut(&port);
        let Some(allocation) = allocation.filter(|known| known.permits(from.ip(), now)) else {
            self.counters.refuse(Refused::NoPermission);
            return;
        };
        if !allocation.rate.take_many(data.len() as u32, now) {
            self.counters.refuse(Refused::Rate);
            return;
        }
        self.counters.bytes_to_clients += data.len() as u64;
        let head = match allocation.channel(from, now) {
            Some(channel) => channel_data(channel, data),
            None => data_indication(from, data),
        };
        let client = allocation.client;
        let padding = padding(&head, data, client.stream.is_some());
        net.to_client(client, [&head, data, padding]);
    }

    /// Ends an allocation, and the stream it was made on.
    pub(super) fn end(&mut self, port: u16, net: &mut dyn Network) {
        let Some(allocation) = self.allocations.remove(&port) else {
            return;
        };
        self.expiries.remove(&(allocation.expires_at, port));
        self.clients.remove(&allocation.client);
        let owner = (allocation.connection, allocation.client.address.ip());
        if let Some(count) = self.owners.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&owner);
            }
        }
        net.close_relays(port);
        if let Some(stream) = allocation.client.stream {
            net.close_stream(stream);
        }
    }
}
