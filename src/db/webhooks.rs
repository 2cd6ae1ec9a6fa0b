//! Webhooks: what projects have yet to be told, and what could not be told.
//!
//! Several servers may work on the same ones. Whoever sends one has claimed it first, for a while:
//! `next_at` moves to the end of that while, before which nobody else tries. Should the server not
//! live to see what became of it, another tries again then.

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
    /// Its place among those of its session: see [`next_position`].
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

/// What there is to send in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This one, and nobody else sends it until the claim is over.
    Due(DueWebhook),
    /// Nothing before this time: it is put off, or somebody else sends it.
    NotBefore(i64),
    /// Nothing.
    Empty,
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
    /// Until when it is claimed, milliseconds since the Unix epoch.
    pub claimed_until_ms: i64,
}

/// Which of those that are stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Of this project only.
    pub project: Option<ProjectId>,
    /// Those that were given up only.
    pub failed: bool,
}

/// One as its project sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWebhook {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub project: ProjectId,
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

/// What all projects have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// To be sent.
    pub pending: i64,
    /// Given up.
    pub failed: i64,
    /// When the oldest of those to be sent happened, milliseconds since the Unix epoch.
    pub oldest_at_ms: Option<i64>,
}

/// How many a project has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// To be sent.
    pub pending: i64,
    /// Given up.
    pub failed: i64,
}

/// The query for the stored webhooks that `$condition` names.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, project_id, session_id, event, url, created_at, attempts, next_at,
                last_error, failed_at
            FROM webhooks ",
            $condition
        )
    };
}

/// The place of what happens at `now_ms`, after `last`: by time, so that what several servers
/// store one after the other is in order.
pub fn next_position(last: i64, now_ms: i64) -> i64 {
    const PER_MS: i64 = 1000;
    (last + 1).max(now_ms * PER_MS)
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
        let sql = "SELECT l.project_id, l.url, l.session_id,
                (SELECT w.next_at FROM webhooks w WHERE w.session_id = l.session_id
                    AND w.url = l.url AND w.project_id = l.project_id AND w.failed_at IS NULL
                    ORDER BY w.position, w.id LIMIT 1) AS next_at
            FROM (SELECT DISTINCT project_id, url, session_id FROM webhooks
                WHERE failed_at IS NULL) l";
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

    /// Claims the first of a lane, if it is due at `now`.
    pub async fn claim(&self, lane: &Lane, now: i64, until: i64) -> Result<Claim, DbError> {
        let find = "SELECT w.id, w.body, p.secret, w.created_at, w.attempts, w.next_at
            FROM webhooks w JOIN projects p ON p.id = w.project_id
            WHERE w.session_id = $1 AND w.url = $2 AND w.project_id = $3 AND w.failed_at IS NULL
            ORDER BY w.position, w.id LIMIT 1";
        let claim = "UPDATE webhooks SET next_at = $1
            WHERE id = $2 AND next_at = $3 AND failed_at IS NULL";
        // Again only if somebody else was faster, and that becomes visible.
        loop {
            let first: Option<DueRow> = sqlx::query_as(find)
                .bind(lane.session.as_str())
                .bind(lane.url.as_str())
                .bind(lane.project.get())
                .fetch_optional(&self.db.reader)
                .await?;
            let Some(first) = first else {
                return Ok(Claim::Empty);
            };
            if first.next_at > now {
                return Ok(Claim::NotBefore(first.next_at));
            }
            let claimed = sqlx::query(claim)
                .bind(until)
                .bind(&first.id)
                .bind(first.next_at)
                .execute(&self.db.writer)
                .await?;
            if claimed.rows_affected() > 0 {
                return Ok(Claim::Due(first.claimed(until)?));
            }
        }
    }

    /// It has arrived.
    pub async fn remove(&self, id: Uuid) -> Result<(), DbError> {
        sqlx::query("DELETE FROM webhooks WHERE id = $1")
            .bind(id.to_string())
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// It has not arrived, and is tried again. Without effect when the claim is over.
    pub async fn put_off(
        &self,
        due: &DueWebhook,
        next_at: i64,
        error: &str,
    ) -> Result<(), DbError> {
        let sql = "UPDATE webhooks SET attempts = $1, next_at = $2, last_error = $3
            WHERE id = $4 AND next_at = $5";
        sqlx::query(sql)
            .bind(due.attempts + 1)
            .bind(next_at)
            .bind(error)
            .bind(due.id.to_string())
            .bind(due.claimed_until_ms)
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// It has not arrived, and is not tried again. Without effect when the claim is over.
    pub async fn give_up(&self, due: &DueWebhook, now: i64, error: &str) -> Result<(), DbError> {
        let sql = "UPDATE webhooks SET attempts = $1, failed_at = $2, last_error = $3
            WHERE id = $4 AND next_at = $5";
        sqlx::query(sql)
            .bind(due.attempts + 1)
            .bind(now)
            .bind(error)
            .bind(due.id.to_string())
            .bind(due.claimed_until_ms)
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

    /// What all projects have together.
    pub async fn backlog(&self) -> Result<Backlog, DbError> {
        let sql = "SELECT COUNT(*) - COUNT(failed_at), COUNT(failed_at),
                MIN(CASE WHEN failed_at IS NULL THEN created_at END) FROM webhooks";
        let row: (i64, i64, Option<i64>) = sqlx::query_as(sql).fetch_one(&self.db.reader).await?;
        let (pending, failed, oldest_at_ms) = row;
        Ok(Backlog {
            pending,
            failed,
            oldest_at_ms,
        })
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

    /// Some of those that are stored, oldest first.
    pub async fn page(
        &self,
        filter: Filter,
        offset: i64,
        count: i64,
    ) -> Result<Vec<StoredWebhook>, DbError> {
        let sql = select!(
            "WHERE (CAST($1 AS INTEGER) IS NULL OR project_id = $1)
                AND ($2 = 0 OR failed_at IS NOT NULL)
            ORDER BY position, id LIMIT $3 OFFSET $4"
        );
        let rows: Vec<StoredRow> = sqlx::query_as(sql)
            .bind(filter.project.map(ProjectId::get))
            .bind(i32::from(filter.failed))
            .bind(count)
            .bind(offset)
            .fetch_all(&self.db.reader)
            .await?;
        rows.into_iter().map(StoredWebhook::try_from).collect()
    }

    /// The one with this id, and what is sent.
    pub async fn find(&self, id: Uuid) -> Result<Option<(StoredWebhook, String)>, DbError> {
        let row: Option<StoredRow> = sqlx::query_as(select!("WHERE id = $1"))
            .bind(id.to_string())
            .fetch_optional(&self.db.reader)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM webhooks WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.db.reader)
            .await?;
        let webhook = StoredWebhook::try_from(row)?;
        Ok(body.map(|body| (webhook, body)))
    }

    /// Has one tried again as soon as possible, whether it was given up or is put off; whether
    /// there is one.
    pub async fn retry(&self, id: Uuid) -> Result<bool, DbError> {
        let sql = "UPDATE webhooks SET failed_at = NULL, next_at = created_at WHERE id = $1";
        let done = sqlx::query(sql)
            .bind(id.to_string())
            .execute(&self.db.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Has all that were given up tried again as soon as possible, of one project or of all; how
    /// many there were.
    pub async fn retry_failed(&self, project: Option<ProjectId>) -> Result<u64, DbError> {
        let sql = "UPDATE webhooks SET failed_at = NULL, next_at = created_at
            WHERE failed_at IS NOT NULL AND (CAST($1 AS INTEGER) IS NULL OR project_id = $1)";
        let done = sqlx::query(sql)
            .bind(project.map(ProjectId::get))
            .execute(&self.db.writer)
            .await?;
        Ok(done.rows_affected())
    }
}

row! {
    struct DueRow {
        id: String,
        body: String,
        secret: String,
        created_at: i64,
        attempts: i64,
        next_at: i64,
    }
}

impl DueRow {
    fn claimed(self, until_ms: i64) -> Result<DueWebhook, DbError> {
        let secret = self.secret.parse();
        Ok(DueWebhook {
            id: super::uuid(&self.id)?,
            body: self.body,
            secret: secret.map_err(|_| DbError::Corrupt("API secret"))?,
            created_at_ms: self.created_at,
            attempts: self.attempts,
            claimed_until_ms: until_ms,
        })
    }
}

row! {
    struct StoredRow {
        id: String,
        project_id: i32,
        session_id: String,
        event: String,
        url: String,
        created_at: i64,
        attempts: i64,
        next_at: i64,
        last_error: Option<String>,
        failed_at: Option<i64>,
    }
}

impl TryFrom<StoredRow> for StoredWebhook {
    type Error = DbError;

    fn try_from(row: StoredRow) -> Result<Self, DbError> {
        let session = row.session_id.parse();
        Ok(Self {
            id: super::uuid(&row.id)?,
            project: ProjectId::new(row.project_id).ok_or(DbError::Corrupt("API key"))?,
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
