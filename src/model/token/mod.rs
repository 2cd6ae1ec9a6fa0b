//! Client tokens: what lets a browser into a session, made by the application, verified here.
//!
//! Both kinds that the SDKs make are accepted (`protocol/rest.md`, section 5): JWT, and the
//! older T1, an HMAC over a query string.

mod claims;
mod jwt;
mod t1;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::claims::{Claims, DEFAULT_LIFETIME_S, SCOPE};
use super::id::{InvalidId, SessionId};
use super::jwt::{self as signed, JwtError};
use super::project::Project;
use super::role::Role;

/// Longest token in bytes: the longest connection data and class list, every byte of them
/// percent-encoded, then base64.
const MAX_LEN: usize = 24 * 1024;

/// What a T1 token begins with.
const T1: &str = "T1==";

/// What a good token lets its bearer do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// As what to join.
    pub role: Role,
    /// Connection data; empty if the token has none.
    pub data: String,
    /// Layout classes of streams that the bearer publishes.
    pub layout_classes: Vec<String>,
    /// When the token expires, in seconds since the Unix epoch. It need not be valid any longer
    /// than it takes to join.
    pub expires_at_s: i64,
}

/// Why a token was not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Neither a JWT nor a T1 token, or one with parts that are not what they should be.
    #[error("malformed token")]
    Malformed,
    /// More than any application has a use for.
    #[error("token too long")]
    TooLong,
    /// A JWT with any other algorithm than HS256.
    #[error("unacceptable token algorithm")]
    Algorithm,
    /// Not signed with the project's secret.
    #[error("wrong token signature")]
    Signature,
    /// Another project's, or not a project's.
    #[error("token of another project")]
    Project,
    /// A token, but not one to connect with.
    #[error("wrong token scope")]
    Scope,
    /// For another session.
    #[error("token for another session")]
    Session,
    /// Too late.
    #[error("token expired")]
    Expired,
    /// Good for more than 30 days.
    #[error("token lifetime too long")]
    Lifetime,
    /// No such role.
    #[error("unknown role in token")]
    Role,
    /// More than 1024 characters.
    #[error("connection data too long")]
    Data,
    /// More than 1024 characters.
    #[error("layout class list too long")]
    LayoutClasses,
}

/// Whether `token` is one of this project's for this session, and what it grants.
pub fn verify(
    token: &str,
    project: &Project,
    session: &SessionId,
    now_unix_s: i64,
) -> Result<Grant, TokenError> {
    if token.len() > MAX_LEN {
        return Err(TokenError::TooLong);
    }
    for secret in project.secrets(now_unix_s * 1000) {
        let read = match token.strip_prefix(T1) {
            Some(body) => Claims::from_t1(body, project.id, secret),
            None => Claims::from_jwt(token, project.id, secret),
        };
        match read {
            Err(TokenError::Signature) => {}
            read => return read?.grant(session, now_unix_s),
        }
    }
    Err(TokenError::Signature)
}

/// Makes a JWT as the SDKs do, for pages of our own and the command line. Good for a day, or else
/// for `lifetime_s` seconds.
pub fn issue(
    project: &Project,
    session: &SessionId,
    role: &str,
    data: &str,
    now_unix_s: i64,
    lifetime_s: Option<i64>,
) -> String {
    #[derive(Serialize)]
    struct Issued<'a> {
        iss: String,
        ist: &'a str,
        scope: &'a str,
        session_id: &'a str,
        role: &'a str,
        connection_data: &'a str,
        iat: i64,
        exp: i64,
    }
    let claims = Issued {
        iss: project.id.to_string(),
        ist: "project",
        scope: SCOPE,
        session_id: session.as_str(),
        role,
        connection_data: data,
        iat: now_unix_s,
        exp: now_unix_s + lifetime_s.unwrap_or(DEFAULT_LIFETIME_S),
    };
    signed::sign(&claims, &project.secret)
}

impl From<JwtError> for TokenError {
    fn from(error: JwtError) -> Self {
        match error {
            JwtError::Malformed => Self::Malformed,
            JwtError::Algorithm => Self::Algorithm,
            JwtError::Signature => Self::Signature,
        }
    }
}

impl From<InvalidId> for TokenError {
    fn from(_: InvalidId) -> Self {
        Self::Malformed
    }
}
