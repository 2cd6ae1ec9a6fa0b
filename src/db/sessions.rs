//! Sessions, as they were created. What goes on in them is the hub's.

use super::{Db, DbError};
use crate::model::id::{ProjectId, SessionId};
use crate::model::resolution::Resolution;
use crate::model::session::{ArchiveMode, MediaMode, Session};

/// The table of sessions.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    pub(super) db: &'a Db,
}

/// One project's sessions: all that REST gets to see.
#[derive(Debug, Clone, Copy)]
pub struct SessionsOf<'a> {
    db: &'a Db,
    project: ProjectId,
}

/// The query for the sessions that `$condition` names.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, project_id, media_mode, archive_mode, archive_name, archive_resolution,
                location, CAST(e2ee AS INTEGER) AS e2ee, max_connections, video_codecs, created_at
            FROM sessions ",
            $condition
        )
    };
}

impl<'a> Sessions<'a> {
    /// Those of one project.
    pub fn of(self, project: ProjectId) -> SessionsOf<'a> {
        SessionsOf {
            db: self.db,
            project,
        }
    }

    /// Adds a session; `NotFound` if its project does not exist.
    pub async fn insert(&self, session: &Session) -> Result<(), DbError> {
        let sql = "INSERT INTO sessions (id, project_id, media_mode, archive_mode, archive_name,
                archive_resolution, location, e2ee, max_connections, video_codecs, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        sqlx::query(sql)
            .bind(session.id.as_str())
            .bind(session.project.get())
            .bind(session.media_mode.word())
            .bind(session.archive_mode.word())
            .bind(&session.archive_name)
            .bind(session.archive_resolution.map(Resolution::word))
            .bind(&session.location)
            .bind(session.e2ee)
            .bind(session.max_connections.map(i64::from))
            .bind(session.video_codecs.as_ref().map(ToString::to_string))
            .bind(session.created_at_ms)
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// The session with this id, whoever's it is: for clients, who name a session before it is
    /// known whose token they will show.
    pub async fn find_any(&self, id: &SessionId) -> Result<Option<Session>, DbError> {
        let sql = select!("WHERE id = $1");
        let row: Option<Row> = sqlx::query_as(sql)
            .bind(id.as_str())
            .fetch_optional(&self.db.reader)
            .await?;
        row.map(Session::try_from).transpose()
    }
}

impl SessionsOf<'_> {
    /// This project's session with this id; another project's does not exist.
    pub async fn find(&self, id: &SessionId) -> Result<Option<Session>, DbError> {
        let sql = select!("WHERE project_id = $1 AND id = $2");
        let row: Option<Row> = sqlx::query_as(sql)
            .bind(self.project.get())
            .bind(id.as_str())
            .fetch_optional(&self.db.reader)
            .await?;
        row.map(Session::try_from).transpose()
    }

    /// Forgets this project's session with this id, if there is one.
    pub async fn delete(&self, id: &SessionId) -> Result<(), DbError> {
        let sql = "DELETE FROM sessions WHERE project_id = $1 AND id = $2";
        sqlx::query(sql)
            .bind(self.project.get())
            .bind(id.as_str())
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// This project's newest sessions, newest first.
    pub async fn newest(&self, limit: u32) -> Result<Vec<Session>, DbError> {
        let sql = select!("WHERE project_id = $1 ORDER BY created_at DESC, id LIMIT $2");
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(self.project.get())
            .bind(i64::from(limit))
            .fetch_all(&self.db.reader)
            .await?;
        rows.into_iter().map(Session::try_from).collect()
    }
}

row! {
    struct Row {
        id: String,
        project_id: i32,
        media_mode: String,
        archive_mode: String,
        archive_name: Option<String>,
        archive_resolution: Option<String>,
        location: Option<String>,
        e2ee: i32,
        max_connections: Option<i64>,
        video_codecs: Option<String>,
        created_at: i64,
    }
}

impl TryFrom<Row> for Session {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let corrupt = DbError::Corrupt;
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt("session id"))?,
            project: ProjectId::new(row.project_id).ok_or(corrupt("API key"))?,
            media_mode: MediaMode::from_word(&row.media_mode).ok_or(corrupt("media mode"))?,
            archive_mode: ArchiveMode::from_word(&row.archive_mode)
                .ok_or(corrupt("archive mode"))?,
            archive_name: row.archive_name,
            archive_resolution: resolution(row.archive_resolution.as_deref())?,
            location: row.location,
            e2ee: row.e2ee != 0,
            max_connections: super::limit(row.max_connections)?,
            video_codecs: super::codecs(row.video_codecs.as_deref())?,
            created_at_ms: row.created_at,
        })
    }
}

fn resolution(stored: Option<&str>) -> Result<Option<Resolution>, DbError> {
    let known = |word| Resolution::from_word(word).ok_or(DbError::Corrupt("resolution"));
    stored.map(known).transpose()
}
