//! Callbacks: whom a project wants to be told of what.

use uuid::Uuid;

use super::{Db, DbError};
use crate::model::id::ProjectId;
use crate::webhook::event::Topic;
use crate::webhook::target::TargetUrl;

/// The table of callbacks.
#[derive(Debug, Clone, Copy)]
pub struct Callbacks<'a> {
    pub(super) db: &'a Db,
}

/// One project's callbacks.
#[derive(Debug, Clone, Copy)]
pub struct CallbacksOf<'a> {
    db: &'a Db,
    project: ProjectId,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Its id.
    pub id: Uuid,
    /// Of what.
    pub topic: Topic,
    /// Whom.
    pub url: TargetUrl,
    /// When it was registered, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

impl<'a> Callbacks<'a> {
    /// Those of one project.
    pub fn of(self, project: ProjectId) -> CallbacksOf<'a> {
        CallbacksOf {
            db: self.db,
            project,
        }
    }
}

impl CallbacksOf<'_> {
    /// All of them, oldest first.
    pub async fn list(&self) -> Result<Vec<Callback>, DbError> {
        let sql = "SELECT id, event_group, event, url, created_at
            FROM callbacks WHERE project_id = $1 ORDER BY created_at, id";
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(self.project.get())
            .fetch_all(&self.db.reader)
            .await?;
        rows.into_iter().map(Callback::try_from).collect()
    }

    /// Adds one; `Conflict` if the project has one for the same topic and URL.
    pub async fn insert(&self, callback: &Callback) -> Result<(), DbError> {
        let sql = "INSERT INTO callbacks (id, project_id, event_group, event, url, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)";
        let (group, event) = callback.topic.words();
        sqlx::query(sql)
            .bind(callback.id.to_string())
            .bind(self.project.get())
            .bind(group)
            .bind(event)
            .bind(callback.url.as_str())
            .bind(callback.created_at_ms)
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// Removes one, and with it what it has yet to be told; whether there was one.
    pub async fn remove(&self, id: Uuid) -> Result<bool, DbError> {
        let sql = "DELETE FROM callbacks WHERE project_id = $1 AND id = $2";
        let done = sqlx::query(sql)
            .bind(self.project.get())
            .bind(id.to_string())
            .execute(&self.db.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

row! {
    struct Row {
        id: String,
        event_group: String,
        event: String,
        url: String,
        created_at: i64,
    }
}

impl TryFrom<Row> for Callback {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let topic = Topic::from_words(&row.event_group, &row.event);
        Ok(Self {
            id: super::uuid(&row.id)?,
            topic: topic.ok_or(DbError::Corrupt("topic"))?,
            url: super::target(&row.url)?,
            created_at_ms: row.created_at,
        })
    }
}
