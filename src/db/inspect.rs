//! A look at a store that changes nothing there, not even its schema.

use std::path::Path;
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection, Executor};

use super::DbError;
use super::connect::Place;
use super::migrations;
use crate::clock::Clock;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The last step of its schema; `None` if it is empty.
    pub schema: Option<i64>,
    /// The last step that this program knows.
    pub known: i64,
    /// Whether tables may be made.
    pub writable: bool,
    /// What is wrong with the file, if anything.
    pub damage: Option<String>,
    /// How many projects it has, if its schema is the one that this program knows.
    pub projects: Option<i64>,
    /// How far its clock is ahead of ours, in milliseconds, if it has one of its own.
    pub clock_offset_ms: Option<i64>,
    /// How long it took to answer one question.
    pub answer: Duration,
}

/// Looks at the store behind a URL or path.
///
/// # Errors
///
/// Fails where opening it would. A file that does not exist is an empty store.
pub async fn inspect(url: &str, clock: Clock) -> Result<Found, DbError> {
    match Place::parse(url)? {
        Place::Sqlite(place) => sqlite(&place, clock).await,
        Place::Postgres(place) => postgres(&place, clock).await,
    }
}

/// Like [`inspect`], for a file, whatever characters its path has.
///
/// # Errors
///
/// Like [`inspect`].
pub async fn inspect_file(path: &Path, clock: Clock) -> Result<Found, DbError> {
    match Place::file(path)? {
        Place::Sqlite(place) | Place::Postgres(place) => sqlite(&place, clock).await,
    }
}

async fn sqlite(place: &AnyConnectOptions, clock: Clock) -> Result<Found, DbError> {
    let mut place = place.clone();
    let path = place.database_url.path();
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    if !Path::new(&*path).exists() {
        return Ok(empty());
    }
    // Neither made nor changed, but it must be possible to write.
    place.database_url.set_query(Some("mode=rw"));
    let mut connection = place.connect().await?;
    let damage: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&mut connection)
        .await?;
    let began = clock.now();
    connection.execute("BEGIN IMMEDIATE").await?;
    connection.execute("ROLLBACK").await?;
    let answer = clock.now() - began;
    let tables = "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
    let schema = schema(&mut connection, tables).await?;
    let found = Found {
        schema,
        damage: (damage != "ok").then_some(damage),
        projects: projects(&mut connection, schema).await?,
        answer,
        ..empty()
    };
    connection.close().await?;
    Ok(found)
}

async fn postgres(place: &AnyConnectOptions, clock: Clock) -> Result<Found, DbError> {
    let mut connection = place.connect().await?;
    let began = clock.now();
    let now = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
    let theirs_ms: i64 = sqlx::query_scalar(now).fetch_one(&mut connection).await?;
    let answer = clock.now() - began;
    let ours_ms = clock.unix_ms();
    let may_create = "SELECT CAST(has_schema_privilege(current_schema(), 'CREATE') AS INTEGER)";
    let may_create: i32 = sqlx::query_scalar(may_create)
        .fetch_one(&mut connection)
        .await?;
    let tables = "SELECT COUNT(*) FROM information_schema.tables \
                  WHERE table_name = '_sqlx_migrations' AND table_schema = current_schema()";
    let schema = schema(&mut connection, tables).await?;
    let found = Found {
        schema,
        writable: may_create == 1,
        projects: projects(&mut connection, schema).await?,
        // The answer was on its way for half of the time.
        clock_offset_ms: Some(theirs_ms - ours_ms + answer.as_millis() as i64 / 2),
        answer,
        ..empty()
    };
    connection.close().await?;
    Ok(found)
}

fn empty() -> Found {
    Found {
        schema: None,
        known: migrations::newest(),
        writable: true,
        damage: None,
        projects: None,
        clock_offset_ms: None,
        answer: Duration::ZERO,
    }
}

/// The last step of the schema; `tables` counts tables that say so.
async fn schema(
    connection: &mut AnyConnection,
    tables: &'static str,
) -> Result<Option<i64>, DbError> {
    let tables: i64 = sqlx::query_scalar(tables)
        .fetch_one(&mut *connection)
        .await?;
    if tables == 0 {
        return Ok(None);
    }
    let newest = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
    Ok(sqlx::query_scalar(newest).fetch_one(connection).await?)
}

async fn projects(
    connection: &mut AnyConnection,
    schema: Option<i64>,
) -> Result<Option<i64>, DbError> {
    if schema != Some(migrations::newest()) {
        return Ok(None);
    }
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM projects");
    Ok(Some(count.fetch_one(connection).await?))
}
