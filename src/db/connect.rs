//! How the store is reached: which database a URL means, its schema, its connections.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Executor};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::DbError;
use super::migrations::{self, MIGRATIONS};

/// How long a statement waits for a connection, before the store counts as unavailable. REST
/// clients give up after 2 s at the earliest. SQLite waits as long for another process to finish
/// writing, which is what sqlx tells it.
const PATIENCE: Duration = Duration::from_secs(5);

/// SQLite's code for a file that somebody else has locked (`SQLITE_BUSY`).
const BUSY: &str = "5";

/// Pauses between attempts to reach a server that is not there yet: doubled from the first to the
/// last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// A connection that was used this recently is taken to work without asking.
const TRUSTED: Duration = Duration::from_secs(1);

/// What operators may want to have differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Most connections at a time. SQLite has one more, which is the only one that writes.
    pub max_connections: u32,
    /// Longest time PostgreSQL works at one statement. SQLite has no such limit, and only
    /// statements that follow an index.
    pub statement_timeout: Duration,
    /// How long to wait at the start for a PostgreSQL that is not there yet.
    pub startup_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 8,
            statement_timeout: Duration::from_secs(5),
            startup_wait: Duration::from_secs(60),
        }
    }
}

/// Where the store is.
#[derive(Clone)]
pub(super) enum Place {
    /// A file, and nobody else's business.
    Sqlite(AnyConnectOptions),
    /// A server.
    Postgres(AnyConnectOptions),
}

impl Place {
    /// Reads `postgres://…`, `sqlite:PATH` or just a path.
    pub(super) fn parse(url: &str) -> Result<Self, DbError> {
        install_default_drivers();
        match url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(quiet(url)?)),
            Some(("sqlite", rest)) => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                // Each connection would have a database of its own.
                if path.is_empty() || path.contains(":memory:") || path.contains("mode=memory") {
                    return Err(DbError::Url);
                }
                let separator = if path.contains('?') { '&' } else { '?' };
                let create = if path.contains("mode=") {
                    ""
                } else {
                    "mode=rwc"
                };
                Ok(Self::Sqlite(quiet(&format!(
                    "sqlite:{path}{separator}{create}"
                ))?))
            }
            _ if url.is_empty() || url.contains("://") => Err(DbError::Url),
            _ => Self::file(Path::new(url)),
        }
    }

    /// A file, whatever characters its path has.
    pub(super) fn file(path: &Path) -> Result<Self, DbError> {
        install_default_drivers();
        let path = percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC);
        Ok(Self::Sqlite(quiet(&format!("sqlite:{path}?mode=rwc"))?))
    }

    /// Waits until the store is there, and brings its schema up to date.
    pub(super) async fn prepare(&self, options: &Options) -> Result<(), DbError> {
        let mut first = match self {
            Self::Sqlite(place) => {
                let mut first = place.connect().await?;
                keep_log(&mut first).await?;
                first
            }
            Self::Postgres(place) => connect_patiently(place, options.startup_wait).await?,
        };
        self.migrate(&mut first).await?;
        Ok(first.close().await?)
    }

    /// All migrations or none; another process that starts at the same time waits.
    async fn migrate(&self, connection: &mut AnyConnection) -> Result<(), DbError> {
        let begin = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        let mut transaction = connection.begin_with(begin).await?;
        if let Self::Postgres(_) = self {
            // Until the commit: sqlx's own lock is free before others can see what was made.
            let sql = "SELECT 1 FROM pg_advisory_xact_lock(5743920165)";
            transaction.execute(sql).await?;
        }
        MIGRATIONS
            .run(&mut *transaction)
            .await
            .map_err(|error| DbError::migration(error, migrations::newest()))?;
        Ok(transaction.commit().await?)
    }

    /// Connections for statements that only read, and for all others. With SQLite the latter is
    /// one, so that writers queue up here in order instead of polling for the file's lock; with
    /// PostgreSQL both are the same.
    pub(super) fn pools(self, options: &Options) -> (AnyPool, AnyPool) {
        let pool = AnyPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        match self {
            Self::Sqlite(place) => {
                let pool = pool.idle_timeout(None).max_lifetime(None);
                let writer = pool.clone().max_connections(1);
                let reader = pool.connect_lazy_with(place.clone());
                (reader, writer.connect_lazy_with(place))
            }
            Self::Postgres(place) => {
                let limit_ms = options.statement_timeout.as_millis().to_string();
                let pool = pool.after_connect(move |connection, _| {
                    let limit_ms = limit_ms.clone();
                    Box::pin(async move {
                        let sql = "SELECT set_config('statement_timeout', $1, false)";
                        let set = sqlx::query(sql).bind(limit_ms).execute(connection);
                        set.await.map(drop)
                    })
                });
                let pool = pool.connect_lazy_with(place);
                (pool.clone(), pool)
            }
        }
    }
}

/// A URL's meaning, without a log line for each statement.
fn quiet(url: &str) -> Result<AnyConnectOptions, DbError> {
    let options = AnyConnectOptions::from_str(url).map_err(|_| DbError::Url)?;
    Ok(options.disable_statement_logging())
}

/// Has a file keep a log, so that readers do not wait for the writer; the file remembers it.
/// SQLite itself does not wait for another process that is doing the same.
async fn keep_log(connection: &mut AnyConnection) -> Result<(), DbError> {
    let kept = timeout(PATIENCE, async {
        loop {
            match connection.execute("PRAGMA journal_mode = WAL").await {
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(BUSY) => {
                    sleep(FIRST_PAUSE).await;
                }
                other => return other,
            }
        }
    });
    kept.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    Ok(())
}

/// Connects as soon as the server lets us. What does not go away by waiting, like a wrong
/// password, is an error at once.
async fn connect_patiently(
    place: &AnyConnectOptions,
    wait: Duration,
) -> Result<AnyConnection, DbError> {
    let mut failure = None;
    let connected = timeout(wait, async {
        let mut pause = FIRST_PAUSE;
        loop {
            match place.connect().await.map_err(DbError::from) {
                Err(DbError::Unavailable(cause)) => {
                    warn!(error = %cause, "The database is not available yet");
                    failure = Some(cause);
                }
                other => return other,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    });
    match connected.await {
        Ok(connected) => connected,
        Err(_) => Err(DbError::Unavailable(
            failure.unwrap_or(sqlx::Error::PoolTimedOut),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_which_database_it_is() {
        let check = |url: &str, expected: Option<&str>| {
            let engine = Place::parse(url).ok().map(|place| match place {
                Place::Sqlite(_) => "sqlite",
                Place::Postgres(_) => "postgres",
            });
            assert_eq!(engine, expected, "{url}");
        };
        check(
            "postgres://parlor:secret@db.example.com/parlor",
            Some("postgres"),
        );
        check(
            "postgresql:///parlor?host=/run/postgresql",
            Some("postgres"),
        );
        check("sqlite:data/parlor.sqlite", Some("sqlite"));
        check(
            "sqlite:///var/lib/parlor/parlor.sqlite?mode=rw",
            Some("sqlite"),
        );
        check("/var/lib/parlor/parlor.sqlite", Some("sqlite"));
        check("parlor.sqlite", Some("sqlite"));
        check("sqlite::memory:", None);
        check("sqlite:", None);
        check("mysql://db/parlor", None);
        check("postgres://[", None);
        check("", None);
    }
}
