//! Who may join: looks the session and its project up and verifies the client's token.

use tracing::{Instrument, debug, trace_span, warn};

use crate::clock::Clock;
use crate::db::{Db, DbError};
use crate::hub::effect::{Admission, Denial};
use crate::model::id::SessionId;
use crate::model::project::ProjectStatus;
use crate::model::token;

/// Decides for both places where a client shows its token: session info and connection create.
#[derive(Debug, Clone)]
pub struct Admissions {
    db: Db,
    clock: Clock,
}

impl Admissions {
    /// Decides by what is stored in `db`.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Whether the bearer of `token` may join, and as what.
    pub async fn admit(&self, session: &SessionId, token: &str) -> Result<Admission, Denial> {
        let span = trace_span!("join", session.id = %session);
        self.decide(session, token).instrument(span).await
    }

    async fn decide(&self, session: &SessionId, token: &str) -> Result<Admission, Denial> {
        let session = found(self.db.sessions().find_any(session).await)?;
        let project = found(self.db.projects().find(session.project).await)?;
        let now_unix_s = self.clock.unix_ms() / 1000;
        if project.status == ProjectStatus::Suspended {
            debug!(session.id = %session.id, project.id = %project.id, "The project is suspended");
            return Err(Denial::InvalidToken);
        }
        let grant = token::verify(token, &project, &session.id, now_unix_s).map_err(|error| {
            debug!(session.id = %session.id, %error, "Token refused");
            Denial::InvalidToken
        })?;
        Ok(Admission {
            max_connections: session.connection_limit(&project),
            video_codecs: session.video_codecs(&project).cloned(),
            session,
            role: grant.role,
            data: grant.data,
            layout_classes: grant.layout_classes,
        })
    }
}

/// Turns what the store says into what the hub understands.
fn found<T>(row: Result<Option<T>, DbError>) -> Result<T, Denial> {
    match row {
        Ok(Some(row)) => Ok(row),
        Ok(None) => Err(Denial::NoSuchSession),
        Err(error) => {
            warn!(%error, "Cannot look a session up");
            Err(Denial::Unavailable)
        }
    }
}
