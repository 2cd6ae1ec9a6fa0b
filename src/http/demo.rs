//! The demo page's back end, which a playground has and a real server has not: whoever names a
//! session may join it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::body::{Asked, Body};
use super::error::ApiError;
use super::forwarded::Client;
use crate::model::id::SessionId;
use crate::model::project::Project;
use crate::model::session::{Session, SessionOptions};
use crate::model::token;

/// Named sessions that are remembered; a further one makes the oldest name free again.
const MAX_NAMES: usize = 256;

/// Longest name of a session or a person, in bytes.
const MAX_NAME_LEN: usize = 250;

/// The project of the playground and the sessions that have a name.
#[derive(Debug, Clone)]
pub struct Demo {
    project: Arc<Project>,
    names: Arc<Mutex<VecDeque<(String, SessionId)>>>,
}

impl Demo {
    /// A demo without sessions.
    pub fn new(project: Project) -> Self {
        Self {
            project: Arc::new(project),
            names: Arc::default(),
        }
    }

    fn find(&self, name: &str) -> Option<SessionId> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, session)| session.clone())
    }

    /// Gives a session a name; if somebody was faster, theirs is kept and returned.
    fn name(&self, name: String, session: SessionId) -> SessionId {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, theirs)) = names.iter().find(|(known, _)| *known == name) {
            return theirs.clone();
        }
        if names.len() == MAX_NAMES {
            names.pop_front();
        }
        names.push_back((name, session.clone()));
        session
    }
}

/// What the page sends.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "DemoJoin")]
pub struct Join {
    /// Who joins; becomes the connection's data.
    name: String,
    /// What the session is called.
    session: String,
}

impl Asked for Join {
    fn check(&self) -> Result<(), ApiError> {
        let lengths = [self.name.trim().len(), self.session.trim().len()];
        match lengths.iter().all(|len| (1..=MAX_NAME_LEN).contains(len)) {
            true => Ok(()),
            false => Err(ApiError::Invalid("a name is empty or too long".into())),
        }
    }
}

/// What the page connects with.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DemoJoined")]
pub struct Joined {
    api_key: String,
    session_id: String,
    /// A client token.
    token: String,
    /// Of this server, for `OT.setProxyUrl`.
    url: String,
}

/// Lets whoever asks join the session of that name, which is created if need be.
pub async fn join(
    State(state): State<AppState>,
    Extension(client): Extension<Client>,
    Body(join): Body<Join>,
) -> Result<axum::Json<Joined>, ApiError> {
    let demo = state.demo.as_ref().ok_or(ApiError::NotFound)?;
    if state.draining.is_cancelled() {
        return Err(ApiError::Draining);
    }
    let session = match demo.find(join.session.trim()) {
        Some(session) => session,
        None => {
            let session = create_session(&state, demo).await?;
            demo.name(join.session.trim().into(), session)
        }
    };
    let now_unix_s = state.clock.unix_ms() / 1000;
    let token = token::issue(
        &demo.project,
        &session,
        "publisher",
        join.name.trim(),
        now_unix_s,
        None,
    );
    Ok(axum::Json(Joined {
        api_key: demo.project.id.to_string(),
        session_id: session.to_string(),
        token,
        url: state.base_url(&client),
    }))
}

async fn create_session(state: &AppState, demo: &Demo) -> Result<SessionId, ApiError> {
    let session = Session::create(
        demo.project.id,
        SessionOptions::default(),
        state.clock.unix_ms(),
        &mut state.entropy.lock(),
    );
    state.db.sessions().insert(&session).await?;
    Ok(session.id)
}
