//! Logical sockets: what survives when a client loses one websocket and opens another
//! (`protocol/signaling.md`, 4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;

use super::bucket::Bucket;
use super::config::HubConfig;
use super::effect::{Effect, SessionKey, SocketKey, SocketOpen, Ticket};
use super::replies::{Replies, Reply};
use super::unacked::{Message, Unacked};
use crate::model::id::ConnectionId;
use crate::signaling::error::close;
use crate::signaling::frame::PONG;

/// One logical socket, numbered by the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkId(u64);

/// How far a client has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing said yet.
    Opened,
    /// Has said CONNECT.
    Named(ConnectionId),
    /// Its token is being looked at.
    Joining {
        /// The answer will carry this.
        ticket: Ticket,
        /// The request that will be answered.
        transaction: Uuid,
    },
    /// Is in a session.
    Joined(SessionKey, ConnectionId),
    /// Was put out, since this moment, and may hear about it.
    Ended(Instant),
}

/// One logical socket.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stage: Stage,
    /// The websocket in use, unless the client is away.
    pub(super) socket: Option<SocketKey>,
    /// What a resume names. A client without one has left when its websocket is lost.
    socket_id: Option<Uuid>,
    opened_at: Instant,
    heard_at: Instant,
    /// When `socket` last changed.
    moved_at: Instant,
    /// Requests of any kind.
    requests: Bucket,
    unacked: Unacked,
    replies: Replies,
    /// The entry in [`Links::due`], which may be earlier than the real deadline.
    armed_at: Option<Instant>,
}

/// Who has a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Undecided(SocketKey),
    Link(LinkId),
}

/// A websocket's place.
#[derive(Debug, Clone, Copy)]
enum Wire {
    /// Wants to resume what nobody knows; its first frame decides.
    Undecided(SocketOpen),
    Of(LinkId),
}

/// What has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// A websocket has been silent for too long.
    Silent(LinkId),
    /// A client that is in a session has been away for too long.
    Away(LinkId),
    /// A client has not joined in time, or has been put out and is still there.
    Over(LinkId),
}

/// All logical sockets, and the effects that concern them.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<LinkId, Link>,
    wires: BTreeMap<SocketKey, Wire>,
    by_socket_id: BTreeMap<Uuid, LinkId>,
    /// A lower bound of each deadline, soonest first.
    due: BTreeSet<(Instant, Due)>,
    /// Links whose messages no longer fit; the hub ends them when it has time.
    overflowed: Vec<LinkId>,
    pub(super) effects: VecDeque<Effect>,
    next: u64,
}

impl Links {
    /// Accepts a websocket: a resume of a known link, a resume of an unknown one, or a new link.
    /// Returns the link that is resumed.
    pub(super) fn open(
        &mut self,
        socket: SocketKey,
        open: SocketOpen,
        config: &HubConfig,
        now: Instant,
    ) -> Option<LinkId> {
        let known = open
            .socket_id
            .and_then(|id| self.by_socket_id.get(&id).copied());
        match known {
            Some(link) if open.reconnect => {
                self.resume(link, socket, config, now);
                return Some(link);
            }
            // A socket id is chosen anew for every first websocket.
            Some(_) => self.close(socket, close::GONE),
            None if self.links.len().max(self.wires.len()) >= config.sockets => {
                self.close(socket, close::GONE);
            }
            None if open.reconnect => {
                self.wires.insert(socket, Wire::Undecided(open));
                self.due
                    .insert((now + config.undecided, Due::Undecided(socket)));
            }
            None => self.create(socket, open.socket_id, config, now),
        }
        None
    }

    /// Attaches a new websocket to a link: the old one is closed, and everything that was not
    /// acknowledged goes out again. The pong tells the client at once that it is back (4.5).
    fn resume(&mut self, id: LinkId, socket: SocketKey, config: &HubConfig, now: Instant) {
        self.detach(id, close::DONE, config, now);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.socket = Some(socket);
        link.heard_at = now;
        link.moved_at = now;
        self.effects.push_back(Effect::Send {
            socket,
            frame: PONG,
        });
        let replay = link.unacked.frames();
        self.effects
            .extend(replay.map(|frame| Effect::Send { socket, frame }));
        self.wires.insert(socket, Wire::Of(id));
        self.arm(id, config);
    }

    fn create(
        &mut self,
        socket: SocketKey,
        socket_id: Option<Uuid>,
        config: &HubConfig,
        now: Instant,
    ) {
        let id = LinkId(self.next);
        self.next += 1;
        let link = Link {
            stage: Stage::Opened,
            socket: Some(socket),
            socket_id,
            opened_at: now,
            heard_at: now,
            moved_at: now,
            requests: Bucket::new(config.requests_per_second, config.request_burst, now),
            unacked: Unacked::default(),
            replies: Replies::default(),
            armed_at: None,
        };
        self.links.insert(id, link);
        self.wires.insert(socket, Wire::Of(id));
        if let Some(socket_id) = socket_id {
            self.by_socket_id.insert(socket_id, id);
        }
        self.arm(id, config);
    }

    /// The link a frame belongs to. Decides about an unknown resume: a client that never got its
    /// first websocket starts with CONNECT, any other is told that its state is gone (4.5).
    pub(super) fn hear(
        &mut self,
        socket: SocketKey,
        is_connect: bool,
        config: &HubConfig,
        now: Instant,
    ) -> Option<LinkId> {
        if let Wire::Undecided(open) = *self.wires.get(&socket)? {
            let taken = open
                .socket_id
                .is_some_and(|id| self.by_socket_id.contains_key(&id));
            if !is_connect || taken {
                self.close(socket, close::GONE);
                return None;
            }
            self.create(socket, open.socket_id, config, now);
        }
        let Wire::Of(id) = *self.wires.get(&socket)? else {
            return None;
        };
        let link = self.links.get_mut(&id)?;
        link.heard_at = now;
        link.replies.expire(now, (config.replies, config.reply_age));
        Some(id)
    }

    /// Forgets a websocket that is gone. Returns the link that has lost it.
    pub(super) fn lose(&mut self, socket: SocketKey) -> Option<LinkId> {
        match self.wires.remove(&socket)? {
            Wire::Undecided(_) => None,
            Wire::Of(id) => Some(id),
        }
    }

    /// Takes a link's websocket away and closes it, if it is not gone already. Returns whether
    /// the client can come back.
    pub(super) fn detach(
        &mut self,
        id: LinkId,
        code: u16,
        config: &HubConfig,
        now: Instant,
    ) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        let resumable = link.socket_id.is_some();
        if let Some(socket) = link.socket.take() {
            link.moved_at = now;
            link.replies.lost();
            if self.wires.contains_key(&socket) {
                self.close(socket, code);
            }
            self.arm(id, config);
        }
        resumable
    }

    /// Forgets a link, and closes its websocket if it has one.
    pub(super) fn remove(&mut self, id: LinkId, code: u16) {
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        if let Some(socket) = link.socket
            && self.wires.contains_key(&socket)
        {
            self.close(socket, code);
        }
        if let Some(socket_id) = link.socket_id {
            self.by_socket_id.remove(&socket_id);
        }
        if let Some(at) = link.armed_at {
            self.due.remove(&(at, Due::Link(id)));
        }
    }

    fn close(&mut self, socket: SocketKey, code: u16) {
        self.wires.remove(&socket);
        self.effects.push_back(Effect::Close { socket, code });
    }

    /// Closes everything and forgets it.
    pub(super) fn close_all(&mut self) {
        for (socket, _) in std::mem::take(&mut self.wires) {
            self.effects.push_back(Effect::Close {
                socket,
                code: close::GONE,
            });
        }
        self.links.clear();
        self.by_socket_id.clear();
        self.due.clear();
        self.overflowed.clear();
    }

    /// Sends a message, now or when the client is back, until it is acknowledged.
    pub(super) fn deliver(&mut self, id: LinkId, message: &Message, config: &HubConfig) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (messages, bytes) = (config.unacked_messages, config.unacked_bytes);
        if link.unacked.push(message.clone(), messages, bytes).is_err() {
            self.overflowed.push(id);
            return;
        }
        if let Some(socket) = link.socket {
            let frame = message.frame.clone();
            self.effects.push_back(Effect::Send { socket, frame });
        }
    }

    /// Sends what is not acknowledged: a reply or a pong.
    pub(super) fn send(&mut self, id: LinkId, frame: Bytes) {
        if let Some(socket) = self.links.get(&id).and_then(|link| link.socket) {
            self.effects.push_back(Effect::Send { socket, frame });
        }
    }

    /// Sends a reply and keeps it, in case the request comes again.
    pub(super) fn reply(
        &mut self,
        id: LinkId,
        transaction: Uuid,
        frame: Bytes,
        config: &HubConfig,
        now: Instant,
    ) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let limits = (config.replies, config.reply_age);
        let next = link.socket.map(|_| link.unacked.next());
        link.replies
            .insert(transaction, frame.clone(), next, now, limits);
        self.send(id, frame);
    }

    /// The client has received a message, by the present websocket.
    pub(super) fn acknowledge(&mut self, id: LinkId, transaction: Uuid) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        let place = link.unacked.acknowledge(transaction);
        if let Some(place) = place {
            link.replies.arrived(place);
        }
        place.is_some()
    }

    /// Where a link stands.
    pub(super) fn stage(&self, id: LinkId) -> Option<&Stage> {
        self.links.get(&id).map(|link| &link.stage)
    }

    /// When its first websocket was opened.
    pub(super) fn opened_at(&self, id: LinkId) -> Option<Instant> {
        self.links.get(&id).map(|link| link.opened_at)
    }

    /// Whether a link has no websocket just now.
    pub(super) fn is_away(&self, id: LinkId) -> bool {
        self.links
            .get(&id)
            .is_some_and(|link| link.socket.is_none())
    }

    /// Moves a link on.
    pub(super) fn advance(&mut self, id: LinkId, stage: Stage, config: &HubConfig) {
        if let Some(link) = self.links.get_mut(&id) {
            link.stage = stage;
            self.arm(id, config);
        }
    }

    /// Whether a request may be looked at now.
    pub(super) fn may_ask(&mut self, id: LinkId, now: Instant) -> bool {
        self.links
            .get_mut(&id)
            .is_some_and(|link| link.requests.take(now))
    }

    /// The reply this request got before, if it comes again.
    pub(super) fn earlier_reply(&self, id: LinkId, transaction: Uuid) -> Option<&Reply> {
        self.links.get(&id)?.replies.find(transaction)
    }

    /// A link with more messages than are kept for one, if any.
    pub(super) fn pop_overflowed(&mut self) -> Option<LinkId> {
        self.overflowed.pop()
    }

    /// The soonest moment at which something may have run out.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next thing that has run out by now.
    pub(super) fn pop_expired(&mut self, config: &HubConfig, now: Instant) -> Option<Expiry> {
        while let Some((at, due)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            match due {
                Due::Undecided(socket) => {
                    if let Some(Wire::Undecided(_)) = self.wires.get(&socket) {
                        self.close(socket, close::GONE);
                    }
                }
                Due::Link(id) => {
                    let Some(link) = self.links.get_mut(&id) else {
                        continue;
                    };
                    link.armed_at = None;
                    if link.deadline(config) <= now {
                        return Some(link.expiry(id));
                    }
                    self.arm(id, config);
                }
            }
        }
        None
    }

    /// Makes sure that a link is looked at when its deadline comes. An earlier look stays: it
    /// costs one step, and moving it would cost one for every frame.
    fn arm(&mut self, id: LinkId, config: &HubConfig) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let at = link.deadline(config);
        if link.armed_at.is_some_and(|armed| armed <= at) {
            return;
        }
        if let Some(armed) = link.armed_at.replace(at) {
            self.due.remove(&(armed, Due::Link(id)));
        }
        self.due.insert((at, Due::Link(id)));
    }
}

impl Link {
    fn deadline(&self, config: &HubConfig) -> Instant {
        match (&self.stage, self.socket) {
            (Stage::Joined(..), Some(_)) => self.heard_at + config.silence,
            (Stage::Joined(..) | Stage::Ended(_), None) => self.moved_at + config.grace,
            (Stage::Ended(at), Some(_)) => self.moved_at.max(*at) + config.farewell,
            _ => self.opened_at + config.handshake,
        }
    }

    fn expiry(&self, id: LinkId) -> Expiry {
        match (&self.stage, self.socket) {
            (Stage::Joined(..), Some(_)) => Expiry::Silent(id),
            (Stage::Joined(..), None) => Expiry::Away(id),
            _ => Expiry::Over(id),
        }
    }
}
