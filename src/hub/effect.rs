//! Everything the hub may ask the outside to do.

use bytes::Bytes;
use uuid::Uuid;

use crate::model::codec::VideoCodecs;
use crate::model::id::{ProjectId, SessionId, StreamId};
use crate::model::role::Role;
use crate::model::session::Session;
use crate::sfu;
use crate::signaling::channel::VideoSource;
use crate::signaling::object::ConnectionObject;

/// One physical websocket, numbered by whoever accepted it; never reused in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey(pub u64);

/// One live session, numbered by the hub; groups what must run on one media worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u64);

/// Names one [`Effect::Authenticate`], so that its result finds its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a websocket's URL said when it was opened (`protocol/signaling.md`, 4.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketOpen {
    /// `socketId`: names the logical socket that survives resumes.
    pub socket_id: Option<Uuid>,
    /// `reconnect=true`: this websocket replaces a lost one.
    pub reconnect: bool,
}

/// One thing to do outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Put one encoded Rumor frame into a websocket's outbox. The same bytes may go to many.
    Send {
        /// To which.
        socket: SocketKey,
        /// One binary websocket message.
        frame: Bytes,
    },
    /// Close a websocket after what was sent before has left. The hub has forgotten it already.
    Close {
        /// Which.
        socket: SocketKey,
        /// Close code (RFC 6455, 7.4).
        code: u16,
    },
    /// Look a session up and verify a token for it; answer with `Hub::handle_authenticated`.
    Authenticate {
        /// Comes back with the result.
        ticket: Ticket,
        /// The session of the URI.
        session: SessionId,
        /// The token as the client sent it. A secret: never logged.
        token: String,
    },
    /// Pass this to the SFU.
    Media {
        /// The session it belongs to; all of a session's media lives on one worker.
        session: SessionKey,
        /// What is asked.
        request: sfu::Request,
    },
    /// Something an operator, a webhook or a counter wants to know.
    Notice(Notice),
}

/// The outcome of [`Effect::Authenticate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The session as stored.
    pub session: Session,
    /// What the token lets its bearer be.
    pub role: Role,
    /// Connection data from the token; empty if it has none.
    pub data: String,
    /// `initial_layout_class_list` of the token.
    pub layout_classes: Vec<String>,
    /// Most connections in this session, if its project or itself sets a limit; the smaller of
    /// both.
    pub max_connections: Option<u32>,
    /// Which video codecs this session may use, if its project or itself says so.
    pub video_codecs: Option<VideoCodecs>,
}

/// Why a token was not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// Unknown session.
    NoSuchSession,
    /// Bad signature, wrong session, expired, malformed.
    InvalidToken,
    /// The store cannot be asked right now.
    Unavailable,
}

/// A fact worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The project.
    pub project: ProjectId,
    /// The session.
    pub session: SessionId,
    /// What happened there.
    pub event: NoticeEvent,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeEvent {
    /// The first client joined; the session is live.
    SessionStarted,
    /// A client joined.
    ConnectionCreated {
        /// Who.
        connection: ConnectionObject,
    },
    /// A client left.
    ConnectionDestroyed {
        /// Who.
        connection: ConnectionObject,
        /// The documented reason word.
        reason: &'static str,
    },
    /// A stream was announced.
    StreamCreated {
        /// Which.
        stream: StreamFacts,
    },
    /// An announced stream ended.
    StreamDestroyed {
        /// Which.
        stream: StreamFacts,
        /// The documented reason word.
        reason: &'static str,
    },
    /// The last client left; the live session is forgotten.
    SessionEnded,
}

/// A stream, as far as back ends are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    /// Its id.
    pub id: StreamId,
    /// Whose it is.
    pub owner: ConnectionObject,
    /// When it was published, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// The name its publisher gave it; may be empty.
    pub name: String,
    /// Where its pictures come from; `None` if it has none.
    pub video: Option<VideoSource>,
}
