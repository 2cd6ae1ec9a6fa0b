//! What a back end may ask of a live session (`protocol/rest.md`, 8 to 10).
//!
//! Whoever calls has shown that the session is theirs, so there are no roles here. A session in
//! which nobody is has no connections and no streams; that it exists at all is known elsewhere.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Hub;
use super::archive::Archive;
use super::effect::SessionKey;
use super::session::{Connection, Delivery, Session, Source, Stream, Subscriber};
use crate::model::id::{ConnectionId, SessionId, StreamId};
use crate::sfu::{PublicationId, SubscriptionId};
use crate::signaling::channel::{ChannelKind, VideoSource};
use crate::signaling::client::{Mute, SessionMute, Signal, SignalBody, StreamMute};

/// One thing to find out or to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Who is there.
    ListConnections,
    /// What is published.
    ListStreams,
    /// What is published and who subscribes to it, and what the SFU calls that.
    ListMedia,
    /// One stream.
    FindStream(StreamId),
    /// Replace the layout classes of one stream.
    SetClasses(StreamId, Vec<String>),
    /// Replace those of several: of all, or of none if one does not exist.
    SetClassesOfMany(Vec<(StreamId, Vec<String>)>),
    /// Send a signal to one client, or else to everybody.
    Signal {
        /// To whom.
        to: Option<ConnectionId>,
        /// What. Its limits have been checked.
        body: SignalBody,
    },
    /// Put a client out.
    Disconnect(ConnectionId),
    /// Mute one publisher.
    MuteStream(StreamId),
    /// Mute everybody, or let newcomers speak again.
    MuteSession {
        /// Mute; else only newcomers are concerned.
        active: bool,
        /// Streams that go on.
        excluded: Vec<StreamId>,
    },
    /// Tell everybody how far a recording is.
    SetArchive(Archive),
}

/// What a call comes back with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing but that it was done.
    Done,
    /// In the order in which they joined.
    Connections(Vec<ConnectionSummary>),
    /// Those asked for, or those changed.
    Streams(Vec<StreamSummary>),
    /// In the order in which they were published.
    Media(Vec<StreamMedia>),
}

/// A connection, as back ends see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSummary {
    /// Its id.
    pub id: ConnectionId,
    /// When it joined, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Whether its client is lost just now, and may come back.
    pub away: bool,
}

/// A stream, as back ends see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// Its id.
    pub id: StreamId,
    /// Where its pictures come from; `None` if it has none.
    pub video: Option<VideoSource>,
    /// The name its publisher gave it; may be empty.
    pub name: String,
    /// How it is laid out in recordings and broadcasts.
    pub layout_classes: Vec<String>,
    /// How many subscribers it has.
    pub subscribers: usize,
}

/// How a stream gets from its publisher to its subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMedia {
    /// The stream.
    pub id: StreamId,
    /// The name its publisher gave it; may be empty.
    pub name: String,
    /// Who publishes it.
    pub owner: ConnectionId,
    /// What it is in the SFU; `None` if it goes from browser to browser.
    pub publication: Option<PublicationId>,
    /// Who subscribes, and what that is in the SFU: nothing before the publisher's leg is up, and
    /// while the stream goes to this one from browser to browser.
    pub subscribers: Vec<(ConnectionId, Option<SubscriptionId>)>,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is nobody to hear it.
    #[error("nobody is connected to the session")]
    NobodyConnected,
    /// The connection is not in the session.
    #[error("no such connection")]
    NoSuchConnection,
    /// The stream is not in the session.
    #[error("no such stream")]
    NoSuchStream,
    /// One of several streams is not in the session.
    #[error("stream {0} is not in the session")]
    NoSuchItem(StreamId),
}

impl Answer {
    /// The connections it tells of.
    pub fn into_connections(self) -> Vec<ConnectionSummary> {
        match self {
            Self::Connections(connections) => connections,
            Self::Done | Self::Streams(_) | Self::Media(_) => Vec::new(),
        }
    }

    /// The streams it tells of.
    pub fn into_streams(self) -> Vec<StreamSummary> {
        match self {
            Self::Streams(streams) => streams,
            Self::Done | Self::Connections(_) | Self::Media(_) => Vec::new(),
        }
    }

    /// The ways of media that it tells of.
    pub fn into_media(self) -> Vec<StreamMedia> {
        match self {
            Self::Media(media) => media,
            Self::Done | Self::Connections(_) | Self::Streams(_) => Vec::new(),
        }
    }
}

impl Hub {
    /// Answers a back end. The session must exist; it need not be live.
    pub fn handle_call(
        &mut self,
        session: &SessionId,
        call: Call,
        now: Instant,
    ) -> Result<Answer, CallError> {
        let answer = match self.live.get(session) {
            Some(&key) => self.answer(key, call, now),
            None => self.answer_unattended(session, call),
        };
        self.settle(now);
        answer
    }

    fn answer(&mut self, key: SessionKey, call: Call, now: Instant) -> Result<Answer, CallError> {
        match call {
            Call::ListConnections => Ok(Answer::Connections(self.connection_summaries(key))),
            Call::ListStreams => Ok(Answer::Streams(self.session(key).stream_summaries())),
            Call::ListMedia => Ok(Answer::Media(self.session(key).media())),
            Call::FindStream(id) => {
                let stream = self.session(key).announced(id);
                let stream = stream.ok_or(CallError::NoSuchStream)?;
                Ok(Answer::Streams(vec![stream.summary(id)]))
            }
            Call::SetClasses(id, classes) => {
                let session = self.session_mut(key);
                let set = session.set_layout_classes(vec![(id, classes)]);
                set.map_err(|_| CallError::NoSuchStream)
            }
            Call::SetClassesOfMany(items) => self.session_mut(key).set_layout_classes(items),
            Call::Signal { to, body } => {
                self.expect_connection(key, to)?;
                let id = self.entropy.uuid();
                self.pass_signal(key, None, &Signal { to, id, body });
                Ok(Answer::Done)
            }
            Call::Disconnect(id) => {
                self.expect_connection(key, Some(id))?;
                self.put_out(key, id, now);
                Ok(Answer::Done)
            }
            Call::MuteStream(stream) => {
                let owner = self.session(key).announced(stream).map(|s| s.owner);
                let owner = owner.ok_or(CallError::NoSuchStream)?;
                let mute = audio(true);
                self.mute_stream(key, owner, &StreamMute { stream, mute });
                Ok(Answer::Done)
            }
            Call::MuteSession { active, excluded } => {
                let mute = audio(active);
                self.mute_session(key, &SessionMute { mute, excluded });
                Ok(Answer::Done)
            }
            Call::SetArchive(archive) => {
                self.set_archive(key, archive);
                Ok(Answer::Done)
            }
        }
    }

    /// The same for a session in which nobody is.
    fn answer_unattended(&mut self, session: &SessionId, call: Call) -> Result<Answer, CallError> {
        match call {
            Call::ListConnections => Ok(Answer::Connections(Vec::new())),
            Call::ListStreams => Ok(Answer::Streams(Vec::new())),
            Call::ListMedia => Ok(Answer::Media(Vec::new())),
            Call::SetClassesOfMany(items) => match items.first() {
                Some((id, _)) => Err(CallError::NoSuchItem(*id)),
                None => Ok(Answer::Streams(Vec::new())),
            },
            Call::Signal { to: None, .. } | Call::SetArchive(_) => Err(CallError::NobodyConnected),
            Call::Signal { to: Some(_), .. } | Call::Disconnect(_) => {
                Err(CallError::NoSuchConnection)
            }
            Call::FindStream(_) | Call::MuteStream(_) | Call::SetClasses(..) => {
                Err(CallError::NoSuchStream)
            }
            Call::MuteSession { active, .. } => {
                self.set_premuted(session, active);
                Ok(Answer::Done)
            }
        }
    }

    fn expect_connection(
        &self,
        key: SessionKey,
        id: Option<ConnectionId>,
    ) -> Result<(), CallError> {
        let connections = &self.session(key).connections;
        match id {
            Some(id) if !connections.contains_key(&id) => Err(CallError::NoSuchConnection),
            _ => Ok(()),
        }
    }

    fn connection_summaries(&self, key: SessionKey) -> Vec<ConnectionSummary> {
        let mut connections: Vec<_> = self.session(key).connections.values().collect();
        connections.sort_by_key(|connection| connection.number);
        let summary = |connection: &Connection| ConnectionSummary {
            id: connection.object.id,
            created_at_ms: connection.object.created_at_ms,
            away: self.links.is_away(connection.link),
        };
        connections.into_iter().map(summary).collect()
    }

    /// Remembers whether whoever comes first starts muted. Overflow rule: the session that was
    /// muted first is forgotten.
    fn set_premuted(&mut self, session: &SessionId, active: bool) {
        self.premuted.retain(|known| known != session);
        if active {
            if self.premuted.len() >= self.config.premuted_sessions {
                self.premuted.pop_front();
            }
            self.premuted.push_back(session.clone());
        }
    }

    /// Whether a session was muted before anybody came; asked once, when it becomes live.
    pub(super) fn take_premuted(&mut self, session: &SessionId) -> bool {
        let before = self.premuted.len();
        self.premuted.retain(|known| known != session);
        self.premuted.len() < before
    }
}

impl Session {
    /// The streams that others know of, in the order in which they were published.
    fn in_order(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        let mut streams: Vec<_> = self.streams.iter().filter(|(_, s)| s.announced).collect();
        streams.sort_by_key(|(_, stream)| stream.created_at_ms);
        streams.into_iter().map(|(id, stream)| (*id, stream))
    }

    fn stream_summaries(&self) -> Vec<StreamSummary> {
        let streams = self.in_order();
        streams.map(|(id, stream)| stream.summary(id)).collect()
    }

    fn media(&self) -> Vec<StreamMedia> {
        let streams = self.in_order();
        streams.map(|(id, stream)| stream.media(id)).collect()
    }

    fn set_layout_classes(
        &mut self,
        items: Vec<(StreamId, Vec<String>)>,
    ) -> Result<Answer, CallError> {
        let unknown = items.iter().find(|(id, _)| self.announced(*id).is_none());
        if let Some((id, _)) = unknown {
            return Err(CallError::NoSuchItem(*id));
        }
        let mut ids: Vec<_> = items.iter().map(|(id, _)| *id).collect();
        for (id, classes) in items {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.layout_classes = classes;
            }
        }
        let mut seen = BTreeSet::new();
        ids.retain(|id| seen.insert(*id));
        let summary = |id| Some(self.streams.get(&id)?.summary(id));
        Ok(Answer::Streams(
            ids.into_iter().filter_map(summary).collect(),
        ))
    }
}

impl Stream {
    fn summary(&self, id: StreamId) -> StreamSummary {
        StreamSummary {
            id,
            video: self.video(),
            name: self.description.name.clone(),
            layout_classes: self.layout_classes.clone(),
            subscribers: self.subscribers.len(),
        }
    }

    fn media(&self, id: StreamId) -> StreamMedia {
        let subscription = |subscriber: &Subscriber| match subscriber.media {
            Delivery::Routed(subscription) => Some(subscription),
            Delivery::Held | Delivery::Relayed(_) => None,
        };
        let subscribers = self.subscribers.values();
        StreamMedia {
            id,
            name: self.description.name.clone(),
            owner: self.owner,
            publication: match self.source {
                Source::Routed { publication, .. } => Some(publication),
                Source::Relayed => None,
            },
            subscribers: subscribers.map(|s| (s.owner, subscription(s))).collect(),
        }
    }
}

/// What REST can mute: sound, and without taking the publisher's way back.
fn audio(active: bool) -> Mute {
    Mute {
        channels: vec![ChannelKind::Audio],
        active,
        locked: false,
    }
}
