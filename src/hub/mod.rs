//! Live sessions: who is here, who may see and hear what.
//!
//! [`Hub`] is fed with what websockets, the store and the SFU say, and with the time; it answers
//! with [`Effect`]s. Each thing that can happen has its own file.

mod adaptive;
pub mod archive;
pub mod bucket;
pub mod call;
mod channel;
pub mod config;
mod data;
mod direct;
pub mod effect;
mod join;
mod leave;
mod link;
mod media;
mod moderate;
mod order;
mod publish;
mod relay;
mod replies;
mod request;
mod reroute;
mod session;
mod signal;
pub mod snapshot;
mod subscribe;
mod tell;
mod unacked;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod tests;

pub(crate) use self::leave::reason;
pub use self::tell::SYMPHONY;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use self::config::HubConfig;
use self::effect::{
    Admission, Denial, Effect, Notice, NoticeEvent, SessionKey, SocketKey, SocketOpen, Ticket,
};
use self::join::Joining;
use self::link::{Expiry, LinkId, Links};
use self::session::Session;
use crate::clock::Epoch;
use crate::entropy::Entropy;
use crate::model::id::{SessionId, StreamId, SubscriberId};
use crate::sfu::{self, PublicationId, SubscriptionId};
use crate::signaling::error::close;
use crate::signaling::frame::{Frame, FrameKind, PONG, header};
use crate::telemetry::histogram::Histogram;

/// All live sessions. Holds no clock, no socket and no task.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    epoch: Epoch,
    entropy: Entropy,
    links: Links,
    sessions: BTreeMap<SessionKey, Session>,
    /// Which of them is which stored session.
    live: BTreeMap<SessionId, SessionKey>,
    /// Sessions that were muted before anybody came.
    premuted: VecDeque<SessionId>,
    joining: BTreeMap<Ticket, Joining>,
    publications: BTreeMap<PublicationId, (SessionKey, StreamId)>,
    subscriptions: BTreeMap<SubscriptionId, (SessionKey, StreamId, SubscriberId)>,
    /// Streams that may have to change their way; empty between two calls.
    touched: BTreeSet<(SessionKey, StreamId)>,
    /// When streams have to be looked at again, soonest first.
    agenda: BTreeSet<(Instant, SessionKey, StreamId)>,
    counters: Counters,
    /// From the opening of the websocket.
    join_times: Histogram,
    /// Whether nobody may join any more.
    draining: bool,
    /// The last number given to a session, ticket, connection, publication or subscription.
    last_number: u64,
}

/// What went wrong so far, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections ended because they did not acknowledge what they were sent.
    pub overflowed: u64,
    /// Websockets that did not keep up; their clients may have resumed.
    pub stalled: u64,
    /// Frames that were no frames, or made no sense.
    pub malformed: u64,
    /// Websockets closed because they were silent.
    pub silent: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests that came again and got their old reply.
    pub repeated: u64,
}

impl Hub {
    /// A hub without sessions.
    pub fn new(config: HubConfig, epoch: Epoch, entropy: Entropy) -> Self {
        Self {
            config,
            epoch,
            entropy,
            links: Links::default(),
            sessions: BTreeMap::new(),
            live: BTreeMap::new(),
            premuted: VecDeque::new(),
            joining: BTreeMap::new(),
            publications: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            touched: BTreeSet::new(),
            agenda: BTreeSet::new(),
            counters: Counters::default(),
            join_times: Histogram::default(),
            draining: false,
            last_number: 0,
        }
    }

    /// A websocket was accepted.
    pub fn handle_socket_opened(&mut self, socket: SocketKey, open: SocketOpen, now: Instant) {
        if let Some(link) = self.links.open(socket, open, &self.config, now) {
            self.watch_legs(link);
        }
        self.settle(now);
    }

    /// A frame came in.
    pub fn handle_frame(&mut self, socket: SocketKey, frame: Frame, now: Instant) {
        let is_connect = frame.kind == FrameKind::Connect;
        let Some(link) = self.links.hear(socket, is_connect, &self.config, now) else {
            return;
        };
        match frame.kind {
            FrameKind::Connect => self.handle_connect(link, &frame),
            FrameKind::Message => self.handle_request(link, &frame, now),
            FrameKind::Disconnect => self.handle_disconnect(link, &frame, now),
            FrameKind::Ping => self.links.send(link, PONG),
            FrameKind::Status => self.handle_acknowledgement(link, &frame),
            // The topic is always the session; and there is nothing to unsubscribe from it.
            FrameKind::Subscribe | FrameKind::Unsubscribe | FrameKind::Pong => {}
        }
        self.settle(now);
    }

    /// Something came in that is no frame. Real clients do not do this, so the connection ends.
    pub fn handle_malformed(&mut self, socket: SocketKey, now: Instant) {
        self.counters.malformed += 1;
        if let Some(link) = self.links.hear(socket, false, &self.config, now) {
            self.drop_link(link, close::UNACCEPTABLE);
        }
        self.settle(now);
    }

    /// A websocket is gone. Its client may come back with another one.
    pub fn handle_socket_closed(&mut self, socket: SocketKey, now: Instant) {
        if let Some(link) = self.links.lose(socket) {
            self.detach(link, close::DONE, now);
        }
        self.settle(now);
    }

    /// A websocket's outbox was full, and the websocket was given up.
    pub fn handle_socket_overflow(&mut self, socket: SocketKey, now: Instant) {
        self.counters.stalled += 1;
        self.handle_socket_closed(socket, now);
    }

    /// The answer to [`Effect::Authenticate`].
    pub fn handle_authenticated(
        &mut self,
        ticket: Ticket,
        outcome: Result<Admission, Denial>,
        now: Instant,
    ) {
        self.finish_join(ticket, outcome, now);
        self.settle(now);
    }

    /// The SFU said something.
    pub fn handle_media(&mut self, event: sfu::Event, now: Instant) {
        self.dispatch_media(event);
        self.settle(now);
    }

    /// Does what is due; see [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(expiry) = self.links.pop_expired(&self.config, now) {
            match expiry {
                Expiry::Silent(link) => {
                    self.counters.silent += 1;
                    self.detach(link, close::RESUME, now);
                }
                Expiry::Away(link) | Expiry::Over(link) => self.drop_link(link, close::GONE),
            }
        }
        self.touch_due(now);
        self.settle(now);
    }

    /// Lets nobody join any more; whoever is here or on the way in stays as long as they like.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether nobody is here, or on the way in.
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty() && self.joining.is_empty()
    }

    /// Closes every websocket in such a way that clients stop at once, and forgets everything.
    pub fn shutdown(&mut self, _now: Instant) {
        self.links.close_all();
        self.joining.clear();
        self.publications.clear();
        self.subscriptions.clear();
        self.live.clear();
        self.touched.clear();
        self.agenda.clear();
        self.note_everybody_left();
        self.sessions.clear();
    }

    /// The next thing to do outside, or `None` once the hub is drained.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.links.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] next has something to look at, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let stream = self.agenda.first().map(|(at, ..)| *at);
        self.links.next_due().into_iter().chain(stream).min()
    }

    /// What went wrong so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn handle_disconnect(&mut self, link: LinkId, frame: &Frame, now: Instant) {
        match frame.header(header::RECONNECT) {
            // The client has given this websocket up and comes back with another.
            Some("1") => self.detach(link, close::DONE, now),
            _ => self.depart(link),
        }
    }

    fn handle_acknowledgement(&mut self, link: LinkId, frame: &Frame) {
        if let Some(id) = frame.transaction()
            && self.links.acknowledge(link, id)
        {
            self.confirm(link);
        }
    }

    /// Takes a client's websocket away; one that cannot come back has left by that.
    fn detach(&mut self, link: LinkId, code: u16, now: Instant) {
        if !self.links.detach(link, code, &self.config, now) {
            self.drop_link(link, close::GONE);
        }
    }

    /// Ends the connections that have too much waiting, also those that get too much by that, and
    /// moves the streams for which something has changed.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(link) = self.links.pop_overflowed() {
                if self.links.stage(link).is_some() {
                    self.counters.overflowed += 1;
                    self.drop_link(link, close::GONE);
                }
            } else if let Some((key, id)) = self.touched.pop_first() {
                self.reconsider(key, id, now);
            } else {
                break;
            }
        }
    }

    /// A live session. Keys are handed out and taken back in `join` and `leave` only.
    fn session(&self, key: SessionKey) -> &Session {
        self.sessions
            .get(&key)
            .expect("a session lives as long as anything in it")
    }

    fn session_mut(&mut self, key: SessionKey) -> &mut Session {
        self.sessions
            .get_mut(&key)
            .expect("a session lives as long as anything in it")
    }

    fn media(&mut self, session: SessionKey, request: sfu::Request) {
        self.links
            .effects
            .push_back(Effect::Media { session, request });
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn notice(&mut self, key: SessionKey, event: NoticeEvent) {
        let stored = &self.session(key).stored;
        let (project, session) = (stored.project, stored.id.clone());
        self.links.effects.push_back(Effect::Notice(Notice {
            project,
            session,
            event,
        }));
    }
}
