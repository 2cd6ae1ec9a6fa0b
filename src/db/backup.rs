//! A copy of an SQLite store, made while a server uses it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::any::AnyConnectOptions;

use super::DbError;
use super::connect::Place;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// PostgreSQL has its own means.
    #[error("this is a PostgreSQL database: pg_dump makes copies of it")]
    Postgres,
    /// There is something already, or it cannot be written.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The store cannot be read.
    #[error("the database cannot be copied")]
    Store(#[source] DbError),
}

/// Copies the store behind a URL or path into a new file that only its owner can read. The copy
/// is of one moment, and has the schema that it has; nothing is changed.
///
/// # Errors
///
/// Fails if the file exists, or the store does not or is none of SQLite's.
pub async fn backup(url: &str, to: &Path) -> Result<(), BackupError> {
    match Place::parse(url).map_err(BackupError::Store)? {
        Place::Sqlite(place) => copy(place, to).await,
        Place::Postgres(_) => Err(BackupError::Postgres),
    }
}

/// Like [`backup`], for a file, whatever characters its path has.
///
/// # Errors
///
/// Like [`backup`].
pub async fn backup_file(from: &Path, to: &Path) -> Result<(), BackupError> {
    match Place::file(from).map_err(BackupError::Store)? {
        Place::Sqlite(place) | Place::Postgres(place) => copy(place, to).await,
    }
}

async fn copy(mut place: AnyConnectOptions, to: &Path) -> Result<(), BackupError> {
    // It must be there: SQLite would make an empty one.
    place.database_url.set_query(Some("mode=rw"));
    let store = |error: sqlx::Error| BackupError::Store(error.into());
    let mut connection = place.connect().await.map_err(store)?;
    let name = to.to_str().ok_or(io::ErrorKind::InvalidFilename);
    let name = name.map_err(io::Error::from)?;
    let mut new = OpenOptions::new();
    new.write(true).create_new(true).mode(0o600).open(to)?;
    let copied = sqlx::query("VACUUM INTO $1")
        .bind(name)
        .execute(&mut connection);
    if let Err(error) = copied.await {
        // Half a copy is of no use to anybody.
        std::fs::remove_file(to)?;
        return Err(store(error));
    }
    connection.close().await.map_err(store)
}
