//! What starts something that takes part in a session's media: archives, broadcasts, calls,
//! renders, audio connectors, captions.

use axum::extract::{FromRequest, FromRequestParts, Request};

use super::body::{Asked, Body};
use super::error::ApiError;
use super::openapi::operation::{Operation, Takes};
use super::target::{Caller, ENCRYPTED, RELAYED, WRONG_ROLE};
use super::values::invalid;
use crate::model::id::SessionId;
use crate::model::role::Role;
use crate::model::session::Session;
use crate::model::token::Grant;

/// What such a request says.
pub trait Starts: Asked {
    /// In which session.
    fn session_id(&self) -> &SessionId;
}

/// A good request of this kind. Extracting it fails with 400 for what is not, with 404 if the
/// caller has no such session, and with 409 for a session whose media this server cannot take part
/// in.
#[derive(Debug)]
pub struct Start<T> {
    /// Who calls.
    pub caller: Caller,
    /// Where to start it.
    pub session: Session,
    /// How.
    pub asked: T,
}

impl<T> Start<T> {
    /// Somebody must be there (400).
    pub async fn somebody(&self) -> Result<(), ApiError> {
        match self.caller.connections(&self.session.id).await?.is_empty() {
            true => Err(invalid("No clients are connected to the session")),
            false => Ok(()),
        }
    }

    /// The client token that comes along, which must be good for the session (400) and for one of
    /// these roles (403).
    pub fn check_token(&self, token: &str, roles: &[Role]) -> Result<Grant, ApiError> {
        self.caller.check_token(token, &self.session.id, roles)
    }
}

impl<T: Starts> Takes for Start<T> {
    fn takes(operation: &mut Operation<'_>) {
        Caller::takes(operation);
        Body::<T>::takes(operation);
        for reason in [ApiError::Missing("session"), RELAYED, ENCRYPTED, WRONG_ROLE] {
            operation.refuses(&reason);
        }
    }
}

impl<T, S> FromRequest<S> for Start<T>
where
    T: Starts,
    Caller: FromRequestParts<S, Rejection = ApiError>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, state).await?;
        let request = Request::from_parts(parts, body);
        let Body(asked) = Body::<T>::from_request(request, state).await?;
        let session = caller.media_session(asked.session_id()).await?;
        Ok(Self {
            caller,
            session,
            asked,
        })
    }
}
