//! What a call is about: a session of the caller's, and perhaps a stream or connection in it.

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::auth::{AuthPolicy, AuthProject};
use super::error::ApiError;
use crate::clock::Clock;
use crate::db::Db;
use crate::driver::hub::HubHandle;
use crate::hub::call::{Answer, Call};
use crate::model::id::{ConnectionId, SessionId, StreamId};
use crate::model::project::Project;

/// The session in the path, and the project that calls. Extracting it fails with 403 for whoever
/// may not call, and with 400 for what cannot be a session; whether there is one, [`Self::call`]
/// finds out.
#[derive(Debug, Clone)]
pub struct Target {
    /// Who calls.
    pub project: Project,
    /// About which session.
    pub session: SessionId,
    db: Db,
    hub: HubHandle,
}

impl Target {
    /// Finds something out or does something in the session.
    pub async fn call(&self, call: Call) -> Result<Answer, ApiError> {
        let sessions = self.db.sessions().of(self.project.id);
        let found = sessions.find(&self.session).await?;
        found.ok_or(ApiError::Missing("session"))?;
        Ok(self.hub.call(&self.session, call).await?)
    }
}

impl<S> FromRequestParts<S> for Target
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
        let session = segment(parts, "session").await;
        let session = session
            .and_then(|text| text.parse().ok())
            .filter(|session: &SessionId| session.project().is_some());
        Ok(Self {
            project,
            session: session.ok_or(ApiError::Invalid("Invalid session ID".to_owned()))?,
            db: Db::from_ref(state),
            hub: HubHandle::from_ref(state),
        })
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

/// The part of the path that the route has this name for.
async fn segment(parts: &mut Parts, name: &str) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let mut params = params.iter();
    params
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
}
