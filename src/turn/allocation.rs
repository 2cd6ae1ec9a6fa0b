//! One allocation: what a client has been granted, and for how long.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Client;
use super::credential::LongTermKey;
use crate::hub::bucket::Bucket;

/// How long an allocation lasts unless its client asks for more (RFC 8656, 3.2).
const LIFETIME: Duration = Duration::from_secs(600);

/// Most that it may ask for (RFC 8656, 7.2).
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// How long a permission lasts (RFC 8656, 9).
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// How long a channel is bound (RFC 8656, 12).
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// How long a channel's number or peer is not given to another after that (RFC 8656, 12).
const CHANNEL_REST: Duration = Duration::from_secs(300);

/// Channels of one allocation; peers are media addresses and the clients of one relayed stream.
const MAX_CHANNELS: usize = 32;

/// A grant to one client.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: Client,
    /// Who it was made for.
    pub(super) connection: String,
    pub(super) username: String,
    pub(super) key: LongTermKey,
    /// The request that made it.
    pub(super) transaction: [u8; 12],
    pub(super) families: Families,
    pub(super) expires_at: Instant,
    pub(super) rate: Bucket,
    /// As many as there are addresses that one may have a permission for.
    permissions: Vec<(IpAddr, Instant)>,
    channels: Vec<Channel>,
}

/// Which kinds of relayed address there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

impl Families {
    pub(super) fn contains(self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

#[derive(Debug)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    expires_at: Instant,
}

/// Why a channel was not bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unbound {
    /// The number has another peer, or the peer another number.
    Taken,
    /// There are enough.
    Full,
}

impl Allocation {
    pub(super) fn new(
        client: Client,
        account: Account<'_>,
        transaction: [u8; 12],
        families: Families,
        expires_at: Instant,
        rate: Bucket,
    ) -> Self {
        Self {
            client,
            connection: account.connection.into(),
            username: account.username.into(),
            key: account.key,
            transaction,
            families,
            expires_at,
            rate,
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Lets a peer's address in, from now on.
    pub(super) fn permit(&mut self, ip: IpAddr, now: Instant) {
        let until = now + PERMISSION_LIFETIME;
        match self.permissions.iter_mut().find(|(known, _)| *known == ip) {
            Some((_, expires_at)) => *expires_at = until,
            None => self.permissions.push((ip, until)),
        }
    }

    /// Whether a peer's address may send and be sent to.
    pub(super) fn permits(&self, ip: IpAddr, now: Instant) -> bool {
        let mut all = self.permissions.iter();
        all.any(|(known, expires_at)| *known == ip && *expires_at > now)
    }

    /// Binds a channel, or keeps it bound; gives a permission as well.
    pub(super) fn bind(
        &mut self,
        number: u16,
        peer: SocketAddr,
        now: Instant,
    ) -> Result<(), Unbound> {
        self.channels
            .retain(|channel| channel.expires_at + CHANNEL_REST > now);
        let (expires_at, is_full) = (now + CHANNEL_LIFETIME, self.channels.len() >= MAX_CHANNELS);
        let mut all = self.channels.iter_mut();
        match all.find(|channel| channel.number == number || channel.peer == peer) {
            Some(channel) if (channel.number, channel.peer) == (number, peer) => {
                channel.expires_at = expires_at;
            }
            Some(_) => return Err(Unbound::Taken),
            None if is_full => return Err(Unbound::Full),
            None => self.channels.push(Channel {
                number,
                peer,
                expires_at,
            }),
        }
        self.permit(peer.ip(), now);
        Ok(())
    }

    /// The peer of a channel.
    pub(super) fn peer(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let mut all = self.channels.iter();
        let found = all.find(|channel| channel.number == number && channel.expires_at > now);
        found.map(|channel| channel.peer)
    }

    /// The channel of a peer.
    pub(super) fn channel(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let mut all = self.channels.iter();
        let found = all.find(|channel| channel.peer == peer && channel.expires_at > now);
        found.map(|channel| channel.number)
    }
}

/// Who a verified request is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) username: &'a str,
    pub(super) connection: &'a str,
    pub(super) key: LongTermKey,
}

/// What a client gets that asks for so many seconds; none for nothing at all.
pub(super) fn lifetime(asked_s: Option<u32>) -> Duration {
    match asked_s {
        Some(0) => Duration::ZERO,
        Some(seconds) => Duration::from_secs(seconds.into()).clamp(LIFETIME, MAX_LIFETIME),
        None => LIFETIME,
    }
}
