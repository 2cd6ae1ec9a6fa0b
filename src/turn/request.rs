//! Requests: who they are from, what they ask for, and what they are answered.

use std::time::Instant;

use super::allocation::{Account, Allocation, Families, Unbound, lifetime};
use super::credential::{Claim, LongTermKey};
use super::message::attribute::{LIFETIME, NONCE, REALM, XOR_RELAYED_ADDRESS};
use super::message::{CHANNELS, ERROR, MAX_UNKNOWN, Method, Request, SUCCESS};
use super::server::{PORTS, Server};
use super::{Client, Network, REALM as THE_REALM, Refused};
use crate::hub::bucket::Bucket;
use crate::sfu::stun::codec::Writer;
use crate::sfu::stun::codec::attribute::{ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS};

/// Room for any answer: two relayed addresses, where the request came from, a lifetime, integrity
/// and fingerprint take 148.
const MAX_ANSWER_LEN: usize = 192;

/// UDP, the only transport to peers (RFC 8656, 18.8).
const UDP: u8 = 17;

/// The address families of RFC 8656, 18.6.
const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// The errors of RFC 8656, 19 and RFC 8489, 14.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Error {
    BadRequest,
    Unauthenticated,
    Forbidden,
    UnknownAttribute,
    AllocationMismatch,
    StaleNonce,
    AddressFamilyNotSupported,
    WrongCredentials,
    UnsupportedTransport,
    PeerAddressFamilyMismatch,
    AllocationQuotaReached,
    InsufficientCapacity,
}

impl Error {
    fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::UnknownAttribute => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::AllocationQuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }

    fn counted_as(self) -> Refused {
        match self {
            Self::Unauthenticated | Self::WrongCredentials => Refused::Unauthorized,
            Self::StaleNonce => Refused::StaleNonce,
            Self::Forbidden => Refused::Forbidden,
            Self::AllocationQuotaReached => Refused::Quota,
            Self::InsufficientCapacity => Refused::Capacity,
            _ => Refused::BadRequest,
        }
    }
}

/// A request, and who it came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) client: Client,
    pub(super) method: Method,
    pub(super) request: Request<'a>,
    pub(super) now: Instant,
}

/// What an authentic request leads to, besides what it changes.
enum Success {
    /// An allocation, by its port.
    Allocated(u16),
    /// An allocation that lasts so many seconds from now on.
    Refreshed(u32),
    Done,
}

impl Server {
    /// Answers a request.
    pub(super) fn request(&mut self, question: &Question<'_>, net: &mut dyn Network) {
        if question.method == Method::Binding {
            return self.binding(question, net);
        }
        let port = self.clients.get(&question.client).copied();
        let account = match self.authenticate(question, port) {
            Ok(account) => account,
            Err(error) => return self.turn_away(question, error, net),
        };
        let outcome = match question.request.unknown[0] {
            0 => self.perform(question, port, account),
            _ => Err(Error::UnknownAttribute),
        };
        self.answer(question, &account.key, &outcome, net);
        if let Ok(Success::Refreshed(0)) = outcome
            && let Some(port) = port
        {
            self.end(port, net);
        }
    }

    /// Tells where a request came from (RFC 8489, 7.3).
    fn binding(&mut self, question: &Question<'_>, net: &mut dyn Network) {
        let (client, like) = (question.client, question.request.bytes);
        let mut out = [0; MAX_ANSWER_LEN];
        let mut answer = Writer::new(Method::Binding.code() | SUCCESS, like, &mut out);
        answer.xor_address(XOR_MAPPED_ADDRESS, client.address);
        let len = answer.finish();
        if self.may_answer(question, len) {
            net.to_client(client, [&out[..len], &[], &[]]);
        }
    }

    /// Whether somebody who has proven nothing may have an answer of so many bytes. On a stream they
    /// are where they say.
    fn may_answer(&mut self, question: &Question<'_>, len: usize) -> bool {
        let Question {
            client,
            request,
            now,
            ..
        } = question;
        let may = client.stream.is_some() || {
            let question = request.bytes.len();
            self.strangers.ask(client.address, question, len, *now)
        };
        if !may {
            self.counters.refuse(Refused::Silenced);
        }
        may
    }

    /// Finds out who sent a request (RFC 8489, 9.2.4, and RFC 8656, 5).
    fn authenticate<'a>(
        &self,
        question: &Question<'a>,
        port: Option<u16>,
    ) -> Result<Account<'a>, Error> {
        let request = &question.request;
        if !request.has_integrity() {
            return Err(Error::Unauthenticated);
        }
        let (Some(username), Some(nonce), true) =
            (request.username, request.nonce, request.has_realm)
        else {
            return Err(Error::BadRequest);
        };
        let since_unix = self.epoch.since_unix(question.now);
        if !self.nonces.is_good(nonce, question.client, since_unix) {
            return Err(Error::StaleNonce);
        }
        let claim = Claim::parse(username).ok_or(Error::Unauthenticated)?;
        let key = match port.and_then(|port| self.allocations.get(&port)) {
            // What was granted goes on when the credential has expired, or long calls would break.
            Some(allocation) if allocation.username == username => allocation.key,
            Some(_) => return Err(Error::WrongCredentials),
            None if claim.expires_at_s <= since_unix.as_secs() => {
                return Err(Error::Unauthenticated);
            }
            None if self.is_revoked(claim.connection) => return Err(Error::Unauthenticated),
            None => self.issuer.key(username, THE_REALM),
        };
        if !request.verify(&key) {
            return Err(Error::Unauthenticated);
        }
        Ok(Account {
            username,
            connection: claim.connection,
            key,
        })
    }

    /// Answers whoever is not authenticated.
    fn turn_away(&mut self, question: &Question<'_>, error: Error, net: &mut dyn Network) {
        let Question {
            client,
            method,
            request,
            now,
        } = question;
        let mut out = [0; MAX_ANSWER_LEN];
        let mut answer = Writer::new(method.code() | ERROR, request.bytes, &mut out);
        answer.attribute(ERROR_CODE, &error_code(error));
        if matches!(error, Error::Unauthenticated | Error::StaleNonce) {
            let nonce = self.nonces.issue(*client, self.epoch.since_unix(*now));
            answer.attribute(REALM, THE_REALM.as_bytes());
            answer.attribute(NONCE, &nonce);
        }
        let len = answer.finish();
        if !self.may_answer(question, len) {
            return;
        }
        // The first request of every client has no credential; that is no refusal.
        if request.has_integrity() {
            self.counters.refuse(error.counted_as());
        }
        net.to_client(question.client, [&out[..len], &[], &[]]);
    }

    fn perform(
        &mut self,
        question: &Question<'_>,
        port: Option<u16>,
        account: Account<'_>,
    ) -> Result<Success, Error> {
        let Question {
            method,
            request,
            now,
            ..
        } = question;
        let (method, now) = (*method, *now);
        let port = match (method, port) {
            (Method::Allocate, None) => return self.allocate(question, account),
            (_, None) => return Err(Error::AllocationMismatch),
            (_, Some(port)) => port,
        };
        let Some(allocation) = self.allocations.get_mut(&port) else {
            return Err(Error::AllocationMismatch);
        };
        match method {
            // The answer was lost, and the request came again.
            Method::Allocate if allocation.transaction == request.transaction() => {
                Ok(Success::Allocated(port))
            }
            Method::Allocate => Err(Error::AllocationMismatch),
            Method::Refresh => {
                let lifetime = lifetime(request.lifetime);
                self.expiries.remove(&(allocation.expires_at, port));
                allocation.expires_at = now + lifetime;
                self.expiries.insert((allocation.expires_at, port));
                Ok(Success::Refreshed(lifetime.as_secs() as u32))
            }
            Method::CreatePermission => self.create_permission(port, request, now),
            Method::ChannelBind => self.bind_channel(port, request, now),
            Method::Binding => Err(Error::BadRequest),
        }
    }

    /// RFC 8656, 7.2.
    fn allocate(
        &mut self,
        question: &Question<'_>,
        account: Account<'_>,
    ) -> Result<Success, Error> {
        let Question {
            client,
            request,
            now,
            ..
        } = question;
        let (client, now) = (*client, *now);
        match request.transport {
            None => return Err(Error::BadRequest),
            Some(UDP) => {}
            Some(_) => return Err(Error::UnsupportedTransport),
        }
        // Nothing is ever reserved, so there is no token for it.
        if request.has_reservation || request.even_port == Some(true) {
            return Err(Error::InsufficientCapacity);
        }
        let families = self.families(request)?;
        let owner = (account.connection.to_owned(), client.address.ip());
        let has = self.owners.get(&owner).copied();
        if has.unwrap_or_default() >= self.limits.allocations_per_connection {
            return Err(Error::AllocationQuotaReached);
        }
        if self.allocations.len() >= self.limits.allocations {
            return Err(Error::InsufficientCapacity);
        }
        let even = request.even_port.is_some();
        let port = self.free_port(even).ok_or(Error::InsufficientCapacity)?;
        let expires_at = now + lifetime(request.lifetime.filter(|asked| *asked > 0));
        let bytes = self.limits.bytes_per_second;
        let rate = Bucket::new(bytes, bytes, now);
        let transaction = request.transaction();
        let allocation = Allocation::new(client, account, transaction, families, expires_at, rate);
        self.allocations.insert(port, allocation);
        self.clients.insert(client, port);
        *self.owners.entry(owner).or_default() += 1;
        self.expiries.insert((expires_at, port));
        self.settle(client);
        self.counters.allocated += 1;
        Ok(Success::Allocated(port))
    }

    /// Which families a client gets. One that does not ask gets IPv4 (RFC 8656, 7.2), or what
    /// there is on a server that has no such address: browsers never ask.
    fn families(&self, request: &Request<'_>) -> Result<Families, Error> {
        let has = |v6| self.relayed(0, v6).is_some();
        match (request.family, request.additional_family) {
            (Some(_), Some(_)) => Err(Error::BadRequest),
            (None, Some(IPV6)) => Ok(Families {
                v4: has(false),
                v6: has(true),
            }),
            (None, Some(_)) => Err(Error::BadRequest),
            (Some(family @ (IPV4 | IPV6)), None) if has(family == IPV6) => Ok(Families {
                v4: family == IPV4,
                v6: family == IPV6,
            }),
            (Some(_), None) => Err(Error::AddressFamilyNotSupported),
            (None, None) => Ok(Families {
                v4: has(false),
                v6: !has(false),
            }),
        }
    }

    /// A port that nobody has, and nobody can foretell.
    fn free_port(&mut self, even: bool) -> Option<u16> {
        let count = u32::from(PORTS.end() - PORTS.start()) + 1;
        let first = self.entropy.below(count);
        let mut all = (0..count).map(|n| PORTS.start() + ((first + n) % count) as u16);
        all.find(|port| (!even || port % 2 == 0) && !self.allocations.contains_key(port))
    }

    /// RFC 8656, 10.2: all of them or none.
    fn create_permission(
        &mut self,
        port: u16,
        request: &Request<'_>,
        now: Instant,
    ) -> Result<Success, Error> {
        let families = self.allocations[&port].families;
        let mut peers = 0;
        for peer in request.peers() {
            let peer = peer.ok_or(Error::BadRequest)?;
            if !families.contains(peer.ip()) {
                return Err(Error::PeerAddressFamilyMismatch);
            }
            if !self.is_ours(peer.ip()) {
                return Err(Error::Forbidden);
            }
            peers += 1;
        }
        if peers == 0 {
            return Err(Error::BadRequest);
        }
        if let Some(allocation) = self.allocations.get_mut(&port) {
            for peer in request.peers().flatten() {
                allocation.permit(peer.ip(), now);
            }
        }
        Ok(Success::Done)
    }

    /// RFC 8656, 12.2.
    fn bind_channel(
        &mut self,
        port: u16,
        request: &Request<'_>,
        now: Instant,
    ) -> Result<Success, Error> {
        let peer = request.peers().next().flatten();
        let channel = request.channel.filter(|number| CHANNELS.contains(number));
        let (Some(peer), Some(channel)) = (peer, channel) else {
            return Err(Error::BadRequest);
        };
        if !self.allocations[&port].families.contains(peer.ip()) {
            return Err(Error::PeerAddressFamilyMismatch);
        }
        if !self.may_reach(peer) {
            return Err(Error::Forbidden);
        }
        let bound = match self.allocations.get_mut(&port) {
            Some(allocation) => allocation.bind(channel, peer, now),
            None => return Err(Error::AllocationMismatch),
        };
        match bound {
            Ok(()) => Ok(Success::Done),
            Err(Unbound::Taken) => Err(Error::BadRequest),
            Err(Unbound::Full) => Err(Error::InsufficientCapacity),
        }
    }

    /// Answers an authentic request, signed with the same key.
    fn answer(
        &mut self,
        question: &Question<'_>,
        key: &LongTermKey,
        outcome: &Result<Success, Error>,
        net: &mut dyn Network,
    ) {
        let Question {
            client,
            method,
            request,
            now,
        } = question;
        let class = if outcome.is_ok() { SUCCESS } else { ERROR };
        let mut out = [0; MAX_ANSWER_LEN];
        let mut answer = Writer::new(method.code() | class, request.bytes, &mut out);
        match outcome {
            Ok(Success::Allocated(port)) => {
                let allocation = &self.allocations[port];
                let families = allocation.families;
                for v6 in [false, true] {
                    if (if v6 { families.v6 } else { families.v4 })
                        && let Some(relayed) = self.relayed(*port, v6)
                    {
                        answer.xor_address(XOR_RELAYED_ADDRESS, relayed);
                    }
                }
                answer.xor_address(XOR_MAPPED_ADDRESS, client.address);
                let left = allocation.expires_at.saturating_duration_since(*now);
                answer.attribute(LIFETIME, &(left.as_secs() as u32).to_be_bytes());
            }
            Ok(Success::Refreshed(seconds)) => {
                answer.attribute(LIFETIME, &seconds.to_be_bytes());
            }
            Ok(Success::Done) => {}
            Err(error) => {
                self.counters.refuse(error.counted_as());
                answer.attribute(ERROR_CODE, &error_code(*error));
                if *error == Error::UnknownAttribute {
                    let mut names = [0; 2 * MAX_UNKNOWN];
                    let unknown = request.unknown.iter().take_while(|kind| **kind != 0);
                    let mut len = 0;
                    for (name, kind) in names.chunks_exact_mut(2).zip(unknown) {
                        name.copy_from_slice(&kind.to_be_bytes());
                        len += 2;
                    }
                    answer.attribute(UNKNOWN_ATTRIBUTES, &names[..len]);
                }
            }
        }
        answer.integrity(key);
        if request.has_fingerprint {
            answer.fingerprint();
        }
        let len = answer.finish();
        net.to_client(question.client, [&out[..len], &[], &[]]);
    }
}

/// An ERROR-CODE without a phrase, since nobody reads them (RFC 8489, 14.8).
fn error_code(error: Error) -> [u8; 4] {
    let code = error.code();
    [0, 0, (code / 100) as u8, (code % 100) as u8]
}
