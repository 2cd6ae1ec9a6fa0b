//! What can go wrong with the store, as far as it makes a difference.

use std::io;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// There is such a row already.
    #[error("it exists already")]
    Conflict(#[source] sqlx::Error),
    /// The row belongs to something that does not exist.
    #[error("what it belongs to does not exist")]
    NotFound(#[source] sqlx::Error),
    /// Busy, full, or gone: the same may work later.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error("the database schema cannot be brought up to date")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// Somebody has put an older schema there.
    #[error("the database schema is older than this program")]
    Outdated,
    /// A row that this program would not have written.
    #[error("unreadable {0} in the database")]
    Corrupt(&'static str),
    /// A mistake in this program or in how it was set up.
    #[error("the database cannot do that")]
    Other(#[source] sqlx::Error),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, WorkerCrashed};
        use sqlx::error::ErrorKind::{ForeignKeyViolation, UniqueViolation};
        match &error {
            Database(cause) => match cause.kind() {
                UniqueViolation => Self::Conflict(error),
                ForeignKeyViolation => Self::NotFound(error),
                _ if is_transient(cause.code().as_deref()) => Self::Unavailable(error),
                _ => Self::Other(error),
            },
            Io(cause) if cause.kind() == io::ErrorKind::InvalidInput => Self::Other(error),
            Io(_) | PoolTimedOut | PoolClosed | WorkerCrashed => Self::Unavailable(error),
            _ => Self::Other(error),
        }
    }
}

/// Whether SQLite's result code (the low byte of the extended one) may go away by itself:
/// BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN.
fn is_transient(code: Option<&str>) -> bool {
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 8 | 10 | 13 | 14))
}
