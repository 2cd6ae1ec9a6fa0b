//! What a client is told when the answer is no (`protocol/signaling.md`, 4.5 and section 14).

/// Why a request is refused. The client turns status and reason into its own error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum Refusal {
    /// The request cannot be understood, or breaks a rule of its own.
    Malformed,
    /// The token is not good for this session.
    InvalidToken,
    /// The connection's role does not allow it.
    Forbidden,
    /// No such session.
    SessionNotFound,
    /// No such connection in the session.
    ConnectionNotFound,
    /// No such stream in the session.
    StreamNotFound,
    /// No such subscriber, archive or anything else.
    NotFound,
    /// One side encrypts end to end and the other does not.
    IncompatibleEncryption,
    /// The id is in use, or the request does not fit the state.
    Conflict,
    /// The session is full.
    ConnectionLimitExceeded,
    /// The session or the connection has too many streams or subscribers.
    StreamLimitExceeded,
    /// The signal is longer than signals may be.
    TooLarge,
    /// Too many requests in a short time.
    TooManyRequests,
    /// Not the client's fault; later it may work.
    Unavailable,
}

impl Refusal {
    /// The code in the STATUS header.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::InvalidToken | Self::Forbidden => 403,
            Self::SessionNotFound
            | Self::ConnectionNotFound
            | Self::StreamNotFound
            | Self::NotFound => 404,
            Self::IncompatibleEncryption => 405,
            Self::Conflict | Self::ConnectionLimitExceeded | Self::StreamLimitExceeded => 409,
            Self::TooLarge => 413,
            Self::TooManyRequests => 429,
            Self::Unavailable => 500,
        }
    }

    /// The word in the payload; the client recognises three of them and shows the others.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "badRequest",
            Self::InvalidToken => "invalidToken",
            Self::Forbidden => "forbidden",
            Self::SessionNotFound => "sessionNotFound",
            Self::ConnectionNotFound => "connectionNotFound",
            Self::StreamNotFound => "streamNotFound",
            Self::NotFound => "notFound",
            Self::IncompatibleEncryption => "IncompatibleEncryptionSettings",
            Self::Conflict => "conflict",
            Self::ConnectionLimitExceeded => "connectionLimitExceeded",
            Self::StreamLimitExceeded => "streamLimitExceeded",
            Self::TooLarge => "payloadTooLarge",
            Self::TooManyRequests => "tooManyRequests",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Websocket close codes, by what the client does when it sees them.
pub mod close {
    /// Everything was said: after a final DISCONNECT, or on a socket that a resume has replaced.
    /// On a live socket it would make the client resume.
    pub const DONE: u16 = 1000;
    /// The client starts a resume at once (RFC 6455 registry: service restart).
    pub const RESUME: u16 = 1012;
    /// The client does not resume: its session ends with `networkDisconnected`. For a resume of
    /// something unknown, and after a refused connection create.
    pub const GONE: u16 = 1011;
    /// As [`GONE`], for data no client of this protocol sends.
    pub const UNACCEPTABLE: u16 = 1003;
}
