//! The store: projects and sessions, in SQLite or PostgreSQL. One file per noun.
//!
//! Each statement exists once, in the dialect that both engines share: `$1` for a value, times and
//! other numbers as `BIGINT`, `TEXT`, keys made here and not by the database. A `BOOLEAN` is read
//! as `CAST(… AS INTEGER)`, because sqlx cannot read SQLite's through its common driver.

/// A row of a result, whose columns are found by their names.
macro_rules! row {
    (struct $name:ident { $($column:ident: $type:ty,)* }) => {
        struct $name { $($column: $type,)* }

        impl sqlx::FromRow<'_, sqlx::any::AnyRow> for $name {
            fn from_row(row: &sqlx::any::AnyRow) -> sqlx::Result<Self> {
                Ok(Self { $($column: sqlx::Row::try_get(row, stringify!($column))?,)* })
            }
        }
    };
}

pub mod accounts;
pub mod backup;
pub mod callbacks;
mod connect;
pub mod error;
pub mod inspect;
mod migrations;
mod pool;
pub mod projects;
pub mod sessions;
pub mod webhooks;

use std::path::Path;

use uuid::Uuid;

use crate::clock::Clock;
use crate::model::codec::VideoCodecs;
use crate::telemetry::histogram::Histogram;
use crate::webhook::target::TargetUrl;
use connect::Place;
use pool::{Pool, Times};

pub use accounts::Accounts;
pub use callbacks::Callbacks;
pub use connect::Options;
pub use error::DbError;
pub use projects::Projects;
pub use sessions::Sessions;
pub use webhooks::Webhooks;

/// An open store. Cheap to clone; all clones share its connections.
#[derive(Debug, Clone)]
pub struct Db {
    /// For statements that change nothing.
    reader: Pool,
    /// For all others. One connection with SQLite: whoever holds it keeps all other writers
    /// waiting, so a transaction waits for nothing but the database.
    writer: Pool,
    writer_is_apart: bool,
    times: Times,
}

/// Connections to the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that work at a statement.
    pub in_use: usize,
    /// Those that are open and wait for one.
    pub idle: usize,
}

impl Db {
    /// Opens `postgres://…`, `sqlite:PATH` or a path, and brings the schema up to date. A file is
    /// created if there is none.
    pub async fn open(url: &str, options: &Options) -> Result<Self, DbError> {
        Self::connect(Place::parse(url)?, options).await
    }

    /// Opens a file, whatever characters its path has; otherwise as [`Db::open`].
    pub async fn open_file(path: &Path, options: &Options) -> Result<Self, DbError> {
        Self::connect(Place::file(path)?, options).await
    }

    async fn connect(place: Place, options: &Options) -> Result<Self, DbError> {
        place.prepare(options).await?;
        let writer_is_apart = matches!(place, Place::Sqlite(_));
        let (reader, writer) = place.pools(options);
        let times = Times::new(Clock::system());
        Ok(Self {
            reader: Pool::new(reader, times.clone()),
            writer: Pool::new(writer, times.clone()),
            writer_is_apart,
            times,
        })
    }

    /// All projects.
    pub fn projects(&self) -> Projects<'_> {
        Projects { db: self }
    }

    /// Who manages projects.
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts { db: self }
    }

    /// All sessions; what REST may see of them is behind [`Sessions::of`].
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { db: self }
    }

    /// Whether the store answers, and has the schema that this program expects or a later one.
    pub async fn check(&self) -> Result<(), DbError> {
        let newest: Option<i64> =
            sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.reader)
                .await?;
        if newest < Some(migrations::newest()) {
            return Err(DbError::Outdated);
        }
        Ok(())
    }

    /// How long statements took so far, waiting for a connection included.
    pub fn query_times(&self) -> Histogram {
        self.times.observed()
    }

    /// What its connections do just now.
    pub fn connections(&self) -> Connections {
        let open = |pool: &Pool| {
            let pool = pool.connections();
            (pool.size() as usize, pool.num_idle())
        };
        let (mut all, mut idle) = open(&self.reader);
        // With PostgreSQL both are the same.
        if self.writer_is_apart {
            let (more, idle_more) = open(&self.writer);
            (all, idle) = (all + more, idle + idle_more);
        }
        Connections {
            in_use: all.saturating_sub(idle),
            idle,
        }
    }

    /// Whom projects want to be told of what.
    pub fn callbacks(&self) -> Callbacks<'_> {
        Callbacks { db: self }
    }

    /// What they have yet to be told.
    pub fn webhooks(&self) -> Webhooks<'_> {
        Webhooks { db: self }
    }

    /// Lets running statements finish and closes the store. All clones are closed, too.
    pub async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
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

fn uuid(stored: &str) -> Result<Uuid, DbError> {
    stored.parse().map_err(|_| DbError::Corrupt("id"))
}

fn target(stored: &str) -> Result<TargetUrl, DbError> {
    stored.parse().map_err(|_| DbError::Corrupt("URL"))
}
