//! What a call is about: a session of the caller's, and perhaps a stream or connection in it.

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

use super::auth::{AuthPolicy, AuthProject, PATH_KEY};
use super::error::ApiError;
use super::openapi::operation::{Operation, Takes};
use crate::clock::Clock;
use crate::db::Db;
use crate::driver::hub::HubHandle;
use crate::hub::call::{Answer, Call, ConnectionSummary};
use crate::model::id::{ConnectionId, ProjectId, SessionId, StreamId};
use crate::model::project::Project;
use crate::model::role::Role;
use crate::model::session::{MediaMode, Session};
use crate::model::token::{self, Grant};

/// Its media does not pass through here.
pub(super) const RELAYED: ApiError = ApiError::Conflict("The session is relayed, not routed");
/// Its media cannot be understood here.
pub(super) const ENCRYPTED: ApiError = ApiError::Conflict("The session is encrypted end to end");
/// Who has the token may join, and not that.
pub(super) const WRONG_ROLE: ApiError = ApiError::Forbidden("The token's role does not allow this");

/// The project that calls, and what it may reach. Extracting it fails with 403 for whoever may not
/// call.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who calls.
    pub project: Project,
    db: Db,
    hub: HubHandle,
    clock: Clock,
}

impl Caller {
    /// A session of the caller's; 404 if there is none.
    pub async fn session(&self, id: &SessionId) -> Result<Session, ApiError> {
        let found = self.db.sessions().of(self.project.id).find(id).await?;
        found.ok_or(ApiError::Missing("session"))
    }

    /// Finds something out or does something in a session of the caller's.
    pub async fn call(&self, id: &SessionId, call: Call) -> Result<Answer, ApiError> {
        self.session(id).await?;
        Ok(self.hub.call(id, call).await?)
    }

    /// A session whose media this server can take part in: it passes through here, and it is not
    /// encrypted end to end (`protocol/rest.md`, 7.2). Otherwise 409.
    pub async fn media_session(&self, id: &SessionId) -> Result<Session, ApiError> {
        let session = self.session(id).await?;
        if session.media_mode == MediaMode::Relayed {
            return Err(RELAYED);
        }
        if session.e2ee {
            return Err(ENCRYPTED);
        }
        Ok(session)
    }

    /// The connections of a session.
    pub async fn connections(&self, id: &SessionId) -> Result<Vec<ConnectionSummary>, ApiError> {
        let answer = self.call(id, Call::ListConnections).await?;
        Ok(answer.into_connections())
    }

    /// The client token that a call gives along, which must be good for the session (400) and for
    /// one of these roles (403).
    pub fn check_token(
        &self,
        token: &str,
        session: &SessionId,
        roles: &[Role],
    ) -> Result<Grant, ApiError> {
        let now_unix_s = self.clock.unix_ms() / 1000;
        let grant = token::verify(token, &self.project, session, now_unix_s)
            .map_err(|error| ApiError::Invalid(format!("token is not usable: {error}")))?;
        if roles.contains(&grant.role) {
            Ok(grant)
        } else {
            Err(WRONG_ROLE)
        }
    }
}

impl<S> FromRequestParts<S> for Caller
where
    Db: FromRef<S>,
    Clock: FromRef<S>,
    AuthPolicy: FromRef<S>,
    HubHandle: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let AuthProject(project) = AuthProject::from_request_parts(parts, state).await?;
        Ok(Self {
            project,
            db: Db::from_ref(state),
            hub: HubHandle::from_ref(state),
            clock: Clock::from_ref(state),
        })
    }
}

/// The session in the path, and the project that calls. Extracting it fails with 403 for whoever
/// may not call, and with 400 for what cannot be a session; whether there is one, [`Self::call`]
/// finds out.
#[derive(Debug, Clone)]
pub struct Target {
    /// Who calls.
    pub caller: Caller,
    /// About which session.
    pub session: SessionId,
}

impl Target {
    /// Finds something out or does something in the session.
    pub async fn call(&self, call: Call) -> Result<Answer, ApiError> {
        self.caller.call(&self.session, call).await
    }
}

impl<S> FromRequestParts<S> for Target
where
    Caller: FromRequestParts<S, Rejection = ApiError>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let session = segment(parts, "session").await;
        let session = session
            .and_then(|text| text.parse().ok())
            .filter(|session: &SessionId| session.project().is_some());
        Ok(Self {
            caller,
            session: session.ok_or(ApiError::Invalid("Invalid session ID".to_owned()))?,
        })
    }
}

/// The id of an archive, a broadcast, … in the path. Extracting it fails with 400 for what cannot
/// be one.
#[derive(Debug, Clone, Copy)]
pub struct PathId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let id = segment(parts, "id").await;
        id.and_then(|text| Uuid::try_parse(&text).ok())
            .map(Self)
            .ok_or(ApiError::Invalid("Invalid ID".to_owned()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ProjectId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let key = segment(parts, PATH_KEY).await;
        key.and_then(|text| text.parse().ok())
            .ok_or(ApiError::Missing("project"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for StreamId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let id = segment(parts, "stream").await;
        id.and_then(|text| text.parse().ok())
            .ok_or(ApiError::InvalidStreamId)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ConnectionId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let id = segment(parts, "connection").await;
        id.and_then(|text| text.parse().ok())
            .ok_or(ApiError::Invalid("Invalid connection ID".to_owned()))
    }
}

impl Takes for Caller {
    fn takes(operation: &mut Operation<'_>) {
        AuthProject::takes(operation);
    }
}

impl Takes for Target {
    fn takes(operation: &mut Operation<'_>) {
        Caller::takes(operation);
        operation.segment::<SessionId>("session", "The session.");
        operation.refuses(&ApiError::Invalid("Invalid session ID".to_owned()));
        operation.refuses(&ApiError::Missing("session"));
    }
}

impl Takes for PathId {
    fn takes(operation: &mut Operation<'_>) {
        operation.segment::<Uuid>("id", "Which one.");
        operation.refuses(&ApiError::Invalid("Invalid ID".to_owned()));
        operation.refuses(&ApiError::NotFound);
    }
}

impl Takes for ProjectId {
    fn takes(operation: &mut Operation<'_>) {
        operation.segment::<Self>(PATH_KEY, "The project's key.");
        operation.refuses(&ApiError::Missing("project"));
    }
}

impl Takes for StreamId {
    fn takes(operation: &mut Operation<'_>) {
        operation.segment::<Self>("stream", "The stream.");
        operation.refuses(&ApiError::InvalidStreamId);
        operation.refuses(&ApiError::Missing("stream"));
    }
}

impl Takes for ConnectionId {
    fn takes(operation: &mut Operation<'_>) {
        operation.segment::<Self>("connection", "The connection.");
        operation.refuses(&ApiError::Invalid("Invalid connection ID".to_owned()));
        operation.refuses(&ApiError::Missing("connection"));
    }
}

/// The part of the path that the route has this name for.
pub(super) async fn segment(parts: &mut Parts, name: &str) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let mut params = params.iter();
    params
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
}
