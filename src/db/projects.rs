//! Projects.

use super::{Db, DbError};
use crate::model::id::ProjectId;
use crate::model::project::Project;

/// The table of projects.
#[derive(Debug, Clone, Copy)]
pub struct Projects<'a> {
    pub(super) db: &'a Db,
}

impl Projects<'_> {
    /// Adds a project; `Conflict` if its key is taken.
    pub async fn insert(&self, project: &Project) -> Result<(), DbError> {
        let sql =
            "INSERT INTO projects (id, name, secret, max_connections, video_codecs, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(sql)
            .bind(project.id.get())
            .bind(&project.name)
            .bind(project.secret.reveal())
            .bind(project.max_connections.map(i64::from))
            .bind(project.video_codecs.as_ref().map(ToString::to_string))
            .bind(project.created_at_ms)
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// The project with this key.
    pub async fn find(&self, id: ProjectId) -> Result<Option<Project>, DbError> {
        let sql = "SELECT id, name, secret, max_connections, video_codecs, created_at
            FROM projects WHERE id = $1";
        let row: Option<Row> = sqlx::query_as(sql)
            .bind(id.get())
            .fetch_optional(&self.db.reader)
            .await?;
        row.map(Project::try_from).transpose()
    }

    /// All projects, oldest first.
    pub async fn list(&self) -> Result<Vec<Project>, DbError> {
        let sql = "SELECT id, name, secret, max_connections, video_codecs, created_at
            FROM projects ORDER BY created_at, id";
        let rows: Vec<Row> = sqlx::query_as(sql).fetch_all(&self.db.reader).await?;
        rows.into_iter().map(Project::try_from).collect()
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i32,
    name: String,
    secret: String,
    max_connections: Option<i64>,
    video_codecs: Option<String>,
    created_at: i64,
}

impl TryFrom<Row> for Project {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            id: ProjectId::new(row.id).ok_or(DbError::Corrupt("API key"))?,
            name: row.name,
            secret: row
                .secret
                .parse()
                .map_err(|_| DbError::Corrupt("API secret"))?,
            max_connections: super::limit(row.max_connections)?,
            video_codecs: super::codecs(row.video_codecs.as_deref())?,
            created_at_ms: row.created_at,
        })
    }
}
