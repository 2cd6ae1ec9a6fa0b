//! Projects. A deleted one keeps its row, so that its key is never handed out again, but is not
//! found any more.

use std::collections::BTreeSet;

use super::{Db, DbError};
use crate::model::id::ProjectId;
use crate::model::project::{OldSecret, Project, ProjectStatus};

/// The table of projects.
#[derive(Debug, Clone, Copy)]
pub struct Projects<'a> {
    pub(super) db: &'a Db,
}

/// The query for the projects that `$condition` names.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, name, secret, old_secret, old_secret_until, status, max_connections,
                video_codecs, created_at
            FROM projects ",
            $condition
        )
    };
}

impl Projects<'_> {
    /// Adds a project; `Conflict` if its key is taken.
    pub async fn insert(&self, project: &Project) -> Result<(), DbError> {
        let sql = "INSERT INTO projects (id, name, secret, status, max_connections, video_codecs,
                created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(sql)
            .bind(project.id.get())
            .bind(&project.name)
            .bind(project.secret.reveal())
            .bind(project.status.word())
            .bind(project.max_connections.map(i64::from))
            .bind(project.video_codecs.as_ref().map(ToString::to_string))
            .bind(project.created_at_ms)
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// The project with this key.
    pub async fn find(&self, id: ProjectId) -> Result<Option<Project>, DbError> {
        let sql = select!("WHERE id = $1 AND status <> 'DELETED'");
        let row: Option<Row> = sqlx::query_as(sql)
            .bind(id.get())
            .fetch_optional(&self.db.reader)
            .await?;
        row.map(Project::try_from).transpose()
    }

    /// All projects, oldest first.
    pub async fn list(&self) -> Result<Vec<Project>, DbError> {
        let sql = select!("WHERE status <> 'DELETED' ORDER BY created_at, id");
        let rows: Vec<Row> = sqlx::query_as(sql).fetch_all(&self.db.reader).await?;
        rows.into_iter().map(Project::try_from).collect()
    }

    /// Those that may not be used: suspended or deleted.
    pub async fn closed(&self) -> Result<BTreeSet<ProjectId>, DbError> {
        let sql = "SELECT id FROM projects WHERE status <> 'ACTIVE'";
        let keys: Vec<i32> = sqlx::query_scalar(sql).fetch_all(&self.db.reader).await?;
        let key = |key| ProjectId::new(key).ok_or(DbError::Corrupt("API key"));
        keys.into_iter().map(key).collect()
    }

    /// Suspends or resumes a project. Whether there is one.
    pub async fn set_status(&self, id: ProjectId, status: ProjectStatus) -> Result<bool, DbError> {
        let sql = "UPDATE projects SET status = $2 WHERE id = $1 AND status <> 'DELETED'";
        let done = sqlx::query(sql)
            .bind(id.get())
            .bind(status.word())
            .execute(&self.db.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Stores a new secret, and the one before. `false` if the project is not there, or somebody
    /// else was faster.
    pub async fn set_secret(&self, project: &Project, replaced: &str) -> Result<bool, DbError> {
        let sql = "UPDATE projects SET secret = $2, old_secret = $3, old_secret_until = $4
            WHERE id = $1 AND secret = $5 AND status <> 'DELETED'";
        let old = project.old_secret.as_ref();
        let done = sqlx::query(sql)
            .bind(project.id.get())
            .bind(project.secret.reveal())
            .bind(old.map(|old| old.secret.reveal()))
            .bind(old.map(|old| old.until_ms))
            .bind(replaced)
            .execute(&self.db.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes a project for good; its sessions are nobody's. Whether there was one.
    pub async fn delete(&self, id: ProjectId) -> Result<bool, DbError> {
        let sql = "UPDATE projects SET status = 'DELETED', secret = '', old_secret = NULL
            WHERE id = $1 AND status <> 'DELETED'";
        let done = sqlx::query(sql)
            .bind(id.get())
            .execute(&self.db.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

row! {
    struct Row {
        id: i32,
        name: String,
        secret: String,
        old_secret: Option<String>,
        old_secret_until: Option<i64>,
        status: String,
        max_connections: Option<i64>,
        video_codecs: Option<String>,
        created_at: i64,
    }
}

impl TryFrom<Row> for Project {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let corrupt = DbError::Corrupt;
        let secret = |text: String| text.parse().map_err(|_| corrupt("API secret"));
        let old_secret = match row.old_secret.zip(row.old_secret_until) {
            Some((text, until_ms)) => Some(OldSecret {
                secret: secret(text)?,
                until_ms,
            }),
            None => None,
        };
        Ok(Self {
            id: ProjectId::new(row.id).ok_or(corrupt("API key"))?,
            name: row.name,
            secret: secret(row.secret)?,
            old_secret,
            status: ProjectStatus::from_word(&row.status).ok_or(corrupt("status"))?,
            max_connections: super::limit(row.max_connections)?,
            video_codecs: super::codecs(row.video_codecs.as_deref())?,
            created_at_ms: row.created_at,
        })
    }
}
