//! Webhooks: what projects have yet to be told, and what could not be told.

use uuid::Uuid;

use super::{Db, DbError};
use crate::model::id::{ProjectId, SessionId};
use crate::model::project::Secret;
use crate::webhook::schedule::Lane;
use crate::webhook::target::TargetUrl;

/// The table of webhooks.
#[derive(Debug, Clone, Copy)]
pub struct Webhooks<'a> {
    pub(super) db: &'a Db,
}

/// One event for one URL, to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// Its id, the same however often it is sent.
    pub id: Uuid,
    /// Its place among those of its session.
    pub position: i64,
    /// Which lane it is in.
    pub lane: Lane,
    /// Which callback it is for; `None` for the URL of the settings.
    pub callback: Option<Uuid>,
    /// The event's name.
    pub event: &'static str,
    /// What is sent.
    pub body: String,
    /// When it happened, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

/// What is needed to send one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWebhook {
    /// Its id.
    pub id: Uuid,
    /// What is sent.
    pub body: String,
    /// What it is signed with.
    pub secret: Secret,
    /// When it happened, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// How often it has been tried.
    pub attempts: i64,
}

/// One as its project sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWebhook {
    /// Its id.
    pub id: Uuid,
    /// The session it is about.
    pub session: SessionId,
    /// The event's name.
    pub event: String,
    /// Where it goes.
    pub url: TargetUrl,
    /// When it happened, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// How often it has been tried.
    pub attempts: i64,
    /// When it is tried next, if it is the first of its session; likewise.
    pub next_at_ms: i64,
    /// What went wrong the last time.
    pub last_error: Option<String>,
    /// When it was given up, if it was; likewise.
    pub failed_at_ms: Option<i64>,
}

/// How many a project has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// To be sent.
    pub pending: i64,
    /// Given up.
    pub failed: i64,
}

impl Webhooks<'_> {
    /// Adds all of them, or none. Those of a project or callback that is gone are left out.
    pub async fn insert(&self, webhooks: &[NewWebhook]) -> Result<(), DbError> {
        let sql = "INSERT INTO webhooks (id, position, project_id, callback_id, session_id, event,
                url, body, created_at, attempts, next_at)
            SELECT $1, $2, p.id, $4, $5, $6, $7, $8, $9, 0, $9 FROM projects p
            WHERE p.id = $3 AND (CAST($4 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM callbacks c WHERE c.id = $4))";
        let mut transaction = self.db.writer.begin().await?;
        for webhook in webhooks {
            sqlx::query(sql)
                .bind(webhook.id.to_string())
                .bind(webhook.position)
                .bind(webhook.lane.project.get())
                .bind(webhook.callback.map(|id| id.to_string()))
                .bind(webhook.lane.session.as_str())
                .bind(webhook.event)
                .bind(webhook.lane.url.as_str())
                .bind(&webhook.body)
                .bind(webhook.created_at_ms)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Every lane that has something pending, and when its first one is due.
    pub async fn lanes(&self) -> Result<Vec<(Lane, i64)>, DbError> {
        // Only the first of a lane is ever put off.
        let sql = "SELECT project_id, url, session_id, MAX(next_at) AS next_at FROM webhooks
            WHERE failed_at IS NULL GROUP BY project_id, url, session_id";
        let rows: Vec<(i32, String, String, i64)> =
            sqlx::query_as(sql).fetch_all(&self.db.reader).await?;
        let lane = |(project, url, session, next_at): (i32, String, String, i64)| {
            let lane = Lane {
                project: ProjectId::new(project).ok_or(DbError::Corrupt("API key"))?,
                url: super::target(&url)?,
                session: session
                    .parse()
                    .map_err(|_| DbError::Corrupt("session id"))?,
            };
            Ok((lane, next_at))
        };
        rows.into_iter().map(lane).collect()
    }

    /// The highest position in use, or 0.
    pub async fn last_position(&self) -> Result<i64, DbError> {
        let sql = "SELECT COALESCE(MAX(position), 0) FROM webhooks";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.db.reader).await?)
    }

    /// The first of a lane.
    pub async fn first(&self, lane: &Lane) -> Result<Option<DueWebhook>, DbError> {
        let sql = "SELECT w.id, w.body, p.secret, w.created_at, w.attempts
            FROM webhooks w JOIN projects p ON p.id = w.project_id
            WHERE w.session_id = $1 AND w.url = $2 AND w.project_id = $3 AND w.failed_at IS NULL
            ORDER BY w.position LIMIT 1";
        let row: Option<DueRow> = sqlx::query_as(sql)
            .bind(lane.session.as_str())
            .bind(lane.url.as_str())
            .bind(lane.project.get())
            .fetch_optional(&self.db.reader)
            .await?;
        row.map(DueWebhook::try_from).transpose()
    }

    /// It has arrived.
    pub async fn remove(&self, id: Uuid) -> Result<(), DbError> {
        sqlx::query("DELETE FROM webhooks WHERE id = $1")
            .bind(id.to_string())
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// It has not arrived, and is tried again.
    pub async fn put_off(
        &self,
        due: &DueWebhook,
        next_at: i64,
        error: &str,
    ) -> Result<(), DbError> {
        let sql = "UPDATE webhooks SET attempts = $1, next_at = $2, last_error = $3 WHERE id = $4";
        sqlx::query(sql)
            .bind(due.attempts + 1)
            .bind(next_at)
            .bind(error)
            .bind(due.id.to_string())
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// It has not arrived, and is not tried again.
    pub async fn give_up(&self, due: &DueWebhook, now: i64, error: &str) -> Result<(), DbError> {
        let sql =
            "UPDATE webhooks SET attempts = $1, failed_at = $2, last_error = $3 WHERE id = $4";
        sqlx::query(sql)
            .bind(due.attempts + 1)
            .bind(now)
            .bind(error)
            .bind(due.id.to_string())
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// Forgets what was given up before this time.
    pub async fn forget_failed(&self, before_ms: i64) -> Result<(), DbError> {
        sqlx::query("DELETE FROM webhooks WHERE failed_at < $1")
            .bind(before_ms)
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// Forgets this many of what a project was not told, oldest first.
    pub async fn make_room(&self, project: ProjectId, count: i64) -> Result<(), DbError> {
        let sql = "DELETE FROM webhooks WHERE id IN (SELECT id FROM webhooks
            WHERE project_id = $1 AND failed_at IS NOT NULL ORDER BY position LIMIT $2)";
        sqlx::query(sql)
            .bind(project.get())
            .bind(count)
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// How many a project has.
    pub async fn tally(&self, project: ProjectId) -> Result<Tally, DbError> {
        let sql = "SELECT COUNT(*), COUNT(failed_at) FROM webhooks WHERE project_id = $1";
        let (all, failed): (i64, i64) = sqlx::query_as(sql)
            .bind(project.get())
            .fetch_one(&self.db.reader)
            .await?;
        let pending = all - failed;
        Ok(Tally { pending, failed })
    }

    /// Some of a project's, oldest first.
    pub async fn page(
        &self,
        project: ProjectId,
        offset: i64,
        count: i64,
    ) -> Result<Vec<StoredWebhook>, DbError> {
        let sql = "SELECT id, session_id, event, url, created_at, attempts, next_at, last_error,
                failed_at
            FROM webhooks WHERE project_id = $1 ORDER BY position LIMIT $2 OFFSET $3";
        let rows: Vec<StoredRow> = sqlx::query_as(sql)
            .bind(project.get())
            .bind(count)
            .bind(offset)
            .fetch_all(&self.db.reader)
            .await?;
        rows.into_iter().map(StoredWebhook::try_from).collect()
    }
}

#[derive(sqlx::FromRow)]
struct DueRow {
    id: String,
    body: String,
    secret: String,
    created_at: i64,
    attempts: i64,
}

impl TryFrom<DueRow> for DueWebhook {
    type Error = DbError;

    fn try_from(row: DueRow) -> Result<Self, DbError> {
        let secret = row.secret.parse();
        Ok(Self {
            id: super::uuid(&row.id)?,
            body: row.body,
            secret: secret.map_err(|_| DbError::Corrupt("API secret"))?,
            created_at_ms: row.created_at,
            attempts: row.attempts,
        })
    }
}

#[derive(sqlx::FromRow)]
struct StoredRow {
    id: String,
    session_id: String,
    event: String,
    url: String,
    created_at: i64,
    attempts: i64,
    next_at: i64,
    last_error: Option<String>,
    failed_at: Option<i64>,
}

impl TryFrom<StoredRow> for StoredWebhook {
    type Error = DbError;

    fn try_from(row: StoredRow) -> Result<Self, DbError> {
        let session = row.session_id.parse();
        Ok(Self {
            id: super::uuid(&row.id)?,
            session: session.map_err(|_| DbError::Corrupt("session id"))?,
            event: row.event,
            url: super::target(&row.url)?,
            created_at_ms: row.created_at,
            attempts: row.attempts,
            next_at_ms: row.next_at,
            last_error: row.last_error,
            failed_at_ms: row.failed_at,
        })
    }
}
