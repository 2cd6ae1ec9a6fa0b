//! What the page `/test` asks for: a session of its own, for a short while. Anybody may ask, so
//! there are few at a time, few clients in each, and whoever is still there at the end is put out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::warn;

use super::AppState;
use super::error::ApiError;
use super::forwarded::Client;
use crate::db::{Db, DbError};
use crate::driver::hub::HubHandle;
use crate::hub::call::Call;
use crate::model::project::Project;
use crate::model::session::{MediaMode, Session, SessionRequest};
use crate::model::token;

/// What the project is called that tests happen in. Whoever suspends it ends tests for good.
const PROJECT: &str = "Network test";

/// How long a test may take: five ways, each given up after some ten seconds.
const DURATION: Duration = Duration::from_secs(120);

/// Who sends and who receives, while those of the way before may still be on their way out.
const CLIENTS: u32 = 4;

/// The tests under way; all clones share them. Those left at the end of the server end with it.
#[derive(Debug, Clone)]
pub struct NetworkTests {
    /// How many more there may be.
    free: Arc<Semaphore>,
    project: Arc<OnceCell<Project>>,
    /// One for each test under way, which ends it in time.
    ends: Arc<Mutex<JoinSet<()>>>,
}

impl NetworkTests {
    /// So many may be under way at a time.
    pub fn new(at_a_time: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(at_a_time)),
            project: Arc::default(),
            ends: Arc::default(),
        }
    }

    /// Ends the test in time.
    fn end_later(&self, session: Session, permit: OwnedSemaphorePermit, hub: HubHandle, db: Db) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        while ends.try_join_next().is_some() {}
        ends.spawn(async move {
            sleep(DURATION).await;
            end(&session, &hub, &db).await;
            drop(permit);
        });
    }
}

/// `POST /test/session`: a session for one test, and a token for its clients.
pub async fn begin(
    State(state): State<AppState>,
    Extension(client): Extension<Client>,
) -> Result<Json<Value>, ApiError> {
    if state.draining.is_cancelled() {
        return Err(ApiError::Draining);
    }
    let tests = &state.network_tests;
    let permit = Arc::clone(&tests.free).try_acquire_owned();
    let permit = permit.map_err(|_| ApiError::TooManyRequests)?;
    let project = tests
        .project
        .get_or_try_init(|| find_project(&state))
        .await?;
    let options = SessionRequest {
        media_mode: MediaMode::Routed,
        max_connections: Some(CLIENTS),
        ..SessionRequest::default()
    };
    let options = options.try_into()?;
    let now_ms = state.clock.unix_ms();
    let session = Session::create(project.id, options, now_ms, &mut state.entropy.lock());
    state.db.sessions().insert(&session).await?;
    let lifetime_s = DURATION.as_secs() as i64;
    let now_s = now_ms / 1000;
    let token = token::issue(
        project,
        &session.id,
        "publisher",
        "",
        now_s,
        Some(lifetime_s),
    );
    let answer = json!({
        "apiKey": project.id.to_string(),
        "sessionId": session.id.as_str(),
        "token": token,
        "url": state.base_url(&client),
    });
    tests.end_later(session, permit, state.hub.clone(), state.db.clone());
    Ok(Json(answer))
}

/// The project for tests, made at the first one.
async fn find_project(state: &AppState) -> Result<Project, DbError> {
    let projects = state.db.projects().list().await?;
    if let Some(found) = projects.into_iter().find(|project| project.name == PROJECT) {
        return Ok(found);
    }
    loop {
        let now_ms = state.clock.unix_ms();
        let project = Project::generate(PROJECT, now_ms, &mut state.entropy.lock());
        match state.db.projects().insert(&project).await {
            Ok(()) => return Ok(project),
            // Its key is taken.
            Err(DbError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Puts everybody out and forgets the session.
async fn end(session: &Session, hub: &HubHandle, db: &Db) {
    if let Err(error) = db.sessions().of(session.project).delete(&session.id).await {
        warn!(%error, "The session of a network test stays in the database");
    }
    // Errors mean that nobody is there, or that the server is on its way down.
    let there = hub.call(&session.id, Call::ListConnections).await;
    for connection in there
        .map(|there| there.into_connections())
        .unwrap_or_default()
    {
        let _ = hub.call(&session.id, Call::Disconnect(connection.id)).await;
    }
}
