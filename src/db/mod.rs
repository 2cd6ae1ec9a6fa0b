//! The store: projects and sessions, in SQLite. One file per noun.
//!
//! Statements are written in what SQLite and PostgreSQL have in common.

pub mod error;
pub mod projects;
pub mod sessions;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

use crate::model::codec::VideoCodecs;

pub use error::DbError;
pub use projects::Projects;
pub use sessions::Sessions;

/// How long a statement waits for another process to finish writing, and how long it waits for
/// a connection, before the store counts as unavailable. REST clients give up after 2 s at the
/// earliest.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many statements run at once. SQLite has one writer at a time; the rest is for readers.
const MAX_CONNECTIONS: u32 = 4;

/// The schema, step by step.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// An open store. Cheap to clone; all clones share its connections.
#[derive(Debug, Clone)]
pub struct Db {
    pool: SqlitePool,
}

impl Db {
    /// Opens `sqlite:PATH`, creates it if there is none, and brings its schema up to date.
    pub async fn open(url: &str) -> Result<Self, DbError> {
        Self::connect(SqliteConnectOptions::from_str(url)?).await
    }

    /// Opens a file, whatever characters its path has; otherwise as [`Db::open`].
    pub async fn open_file(path: &Path) -> Result<Self, DbError> {
        Self::connect(SqliteConnectOptions::new().filename(path)).await
    }

    async fn connect(options: SqliteConnectOptions) -> Result<Self, DbError> {
        let options = options
            .create_if_missing(true)
            .foreign_keys(true)
            // Readers do not wait for the writer.
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(PATIENCE)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .connect_with(options)
            .await?;
        MIGRATIONS.run(&pool).await.map_err(DbError::Migration)?;
        Ok(Self { pool })
    }

    /// All projects.
    pub fn projects(&self) -> Projects<'_> {
        Projects { pool: &self.pool }
    }

    /// All sessions; what REST may see of them is behind [`Sessions::of`].
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { pool: &self.pool }
    }

    /// Whether the store answers, and has the schema that this program expects or a later one.
    pub async fn check(&self) -> Result<(), DbError> {
        let newest: Option<i64> =
            sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.pool)
                .await?;
        let expected = MIGRATIONS.iter().map(|migration| migration.version).max();
        if newest < expected {
            return Err(DbError::Outdated);
        }
        Ok(())
    }

    /// Lets running statements finish and closes the files. All clones are closed, too.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A stored list of codecs.
fn codecs(stored: Option<&str>) -> Result<Option<VideoCodecs>, DbError> {
    let codecs = stored.map(str::parse).transpose();
    codecs.map_err(|_| DbError::Corrupt("video codecs"))
}

/// A stored limit.
fn limit(stored: Option<i64>) -> Result<Option<u32>, DbError> {
    let number = stored.map(u32::try_from).transpose();
    number.map_err(|_| DbError::Corrupt("limit"))
}
