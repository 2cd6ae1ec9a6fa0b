//! Leaving, by whatever way (`protocol/signaling.md`, 4.4 and 7).

use std::collections::BTreeSet;
use std::time::Instant;

use super::Hub;
use super::effect::{NoticeEvent, SessionKey};
use super::link::{LinkId, Stage};
use super::tell::Audience;
use crate::model::id::{ConnectionId, ProjectId};
use crate::signaling::error::close;
use crate::signaling::server::ServerEvent;

/// The documented words for why a connection or a stream ended.
pub(crate) mod reason {
    /// By its own wish.
    pub(in crate::hub) const CLIENT: &str = "clientDisconnected";
    /// Lost, and not back in time.
    pub(in crate::hub) const NETWORK: &str = "networkDisconnected";
    /// A moderator disconnected the client.
    pub(crate) const FORCED: &str = "forceDisconnected";
    /// A moderator ended the stream.
    pub(in crate::hub) const UNPUBLISHED: &str = "forceUnpublished";
    /// The media connection ended.
    pub(in crate::hub) const MEDIA: &str = "mediaStopped";
}

impl Hub {
    /// The client said good-bye.
    pub(super) fn depart(&mut self, link: LinkId) {
        self.end_link(link, close::DONE, reason::CLIENT);
    }

    /// The client is lost, or is to be got rid of.
    pub(super) fn drop_link(&mut self, link: LinkId, code: u16) {
        self.end_link(link, code, reason::NETWORK);
    }

    fn end_link(&mut self, link: LinkId, code: u16, reason: &'static str) {
        match self.links.stage(link) {
            Some(&Stage::Joined(session, connection)) => {
                self.links.remove(link, code);
                self.end_connection(session, connection, reason);
            }
            Some(Stage::Joining { ticket, .. }) => {
                self.joining.remove(ticket);
                self.links.remove(link, code);
            }
            _ => self.links.remove(link, code),
        }
    }

    /// A moderator puts a client out. It is told, and then has a moment to leave by itself; if it
    /// is away, it will hear when it is back.
    pub(super) fn put_out(&mut self, key: SessionKey, id: ConnectionId, now: Instant) {
        let Some(link) = self
            .sessions
            .get(&key)
            .and_then(|s| Some(s.connections.get(&id)?.link))
        else {
            return;
        };
        self.end_connection(key, id, reason::FORCED);
        self.links.advance(link, Stage::Ended(now), &self.config);
    }

    /// Puts everybody out of all sessions of projects that may not be used any longer.
    pub fn end_sessions(&mut self, projects: &BTreeSet<ProjectId>, now: Instant) {
        let live = self.live.iter();
        let sessions: Vec<_> = live
            .filter(|(id, _)| id.project().is_some_and(|of| projects.contains(&of)))
            .map(|(_, key)| *key)
            .collect();
        for key in sessions {
            let connections = &self.session(key).connections;
            for id in connections.keys().copied().collect::<Vec<_>>() {
                self.put_out(key, id, now);
            }
        }
        self.settle(now);
    }

    /// Ends a connection: its subscriptions, then its streams, then itself. The others are told
    /// of the streams first; so is the connection itself, as long as its link is there.
    fn end_connection(&mut self, key: SessionKey, id: ConnectionId, reason: &'static str) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let Some(connection) = session.connections.get(&id) else {
            return;
        };
        let (streams, subscriptions) =
            (connection.streams.clone(), connection.subscriptions.clone());
        for (stream, subscriber) in subscriptions {
            self.end_subscriber(key, stream, subscriber);
        }
        for stream in streams {
            self.end_stream(key, stream, reason);
        }
        let event = ServerEvent::ConnectionDeleted {
            connection: id,
            reason,
        };
        self.tell(key, Audience::About(id), &event);
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let removed = session.connections.remove(&id);
        let is_empty = session.connections.is_empty();
        if let Some(removed) = removed {
            let connection = removed.object;
            self.notice(key, NoticeEvent::ConnectionDestroyed { connection, reason });
        }
        if is_empty {
            self.notice(key, NoticeEvent::SessionEnded);
            if let Some(session) = self.sessions.remove(&key) {
                self.live.remove(&session.stored.id);
            }
        }
    }

    /// Everybody has left, because the server is about to. Only back ends are told.
    pub(super) fn note_everybody_left(&mut self) {
        let reason = reason::NETWORK;
        for key in self.sessions.keys().copied().collect::<Vec<_>>() {
            let session = self.session(key);
            let streams: Vec<_> = session
                .streams
                .iter()
                .filter(|(_, stream)| stream.announced)
                .filter_map(|(id, stream)| session.stream_facts(*id, stream))
                .collect();
            let connections: Vec<_> = session
                .connections
                .values()
                .map(|c| c.object.clone())
                .collect();
            for stream in streams {
                self.notice(key, NoticeEvent::StreamDestroyed { stream, reason });
            }
            for connection in connections {
                self.notice(key, NoticeEvent::ConnectionDestroyed { connection, reason });
            }
            self.notice(key, NoticeEvent::SessionEnded);
        }
    }
}
