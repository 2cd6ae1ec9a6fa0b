//! What can go wrong with the store, as far as it makes a difference.

use std::io;

use sqlx::migrate::MigrateError;

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
    /// Not the URL of a database.
    #[error("not a database URL; try postgres://user@host/name, sqlite:path, or a path")]
    Url,
    /// The schema was made by a later version of this program.
    #[error(
        "the database has schema {found}, of a newer Parlor; this one knows up to {known}: \
         run the newer one, or restore a backup from before it"
    )]
    TooNew {
        /// A migration that was applied.
        found: i64,
        /// The last migration in this program.
        known: i64,
    },
    /// The schema cannot be brought up to date.
    #[error("the database schema cannot be brought up to date")]
    Migration(#[source] MigrateError),
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

impl DbError {
    /// What went wrong with the schema, of whose migrations this program knows up to `known`.
    pub(super) fn migration(error: MigrateError, known: i64) -> Self {
        match error {
            MigrateError::VersionMissing(found) if found > known => Self::TooNew { found, known },
            MigrateError::Execute(cause) => Self::from(cause),
            other => Self::Migration(other),
        }
    }
}

/// Whether the same may work later: by the engine's own code.
fn is_transient(code: Option<&str>) -> bool {
    match code {
        // PostgreSQL's SQLSTATE: no connection, standby, conflict of transactions, out of
        // something, lock not available, took too long or told to shut down.
        Some(state) if state.len() == 5 => {
            ["08", "40", "53", "57"].contains(&&state[..2]) || ["25006", "55P03"].contains(&state)
        }
        // SQLite's result code, of which the low byte says: BUSY, LOCKED, NOMEM, READONLY,
        // IOERR, FULL, CANTOPEN.
        Some(code) => code
            .parse::<u32>()
            .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 8 | 10 | 13 | 14)),
        None => false,
    }
}
