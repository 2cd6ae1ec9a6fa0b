//! Two servers on one database.

use parlor::db::{Db, Options};
use parlor::entropy::Entropy;
use parlor::model::project::Project;
use tokio::time::{sleep, timeout};

use super::process::{Process, parlor};
use super::receiver::{Mood, PATIENCE, Receiver, due, told};
use super::whole::{Site, TestClient, database};

/// Where both servers have their data.
struct Shared {
    url: String,
    _dir: tempfile::TempDir,
}

impl Shared {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = format!("sqlite:{}", dir.path().join("shared.sqlite").display());
        let url = database::postgres().await.unwrap_or(file);
        Self { url, _dir: dir }
    }

    async fn open(&self) -> Db {
        Db::open(&self.url, &Options::default()).await.unwrap()
    }

    /// A server on it.
    fn server(&self, more: &[(&str, &str)]) -> Process {
        let database = [("PARLOR_DATABASE_URL", self.url.as_str())];
        Process::start_with(&[&database, more].concat())
    }
}

/// A project in the database, which has this many events to tell of each of some sessions.
async fn store(db: &Db, receiver: &Receiver, sessions: i64, events: i64) -> Project {
    let project = Project::generate("Shop", 0, &mut Entropy::from_system());
    db.projects().insert(&project).await.unwrap();
    let due = due(project.id, &receiver.url(), sessions, events);
    db.webhooks().insert(&due).await.unwrap();
    project
}

#[tokio::test]
async fn each_webhook_is_delivered_by_one_of_them_and_in_order() {
    const SESSIONS: i64 = 6;
    const EVENTS: i64 = 6;
    let (shared, receiver) = (Shared::new().await, Receiver::start(Mood::Fails).await);
    let db = shared.open().await;
    let project = store(&db, &receiver, SESSIONS, EVENTS).await;
    let _servers = [shared.server(&[]), shared.server(&[])];
    // Both are at it.
    receiver.wait(|got| got.len() >= 6).await;
    receiver.get(Mood::Well);
    let emptied = async {
        while db.webhooks().tally(project.id).await.unwrap().pending > 0 {
            sleep(PATIENCE / 1000).await;
        }
    };
    timeout(PATIENCE, emptied).await.expect("all is delivered");
    let told = told(&receiver.got.borrow());
    assert_eq!(told.len(), 6);
    for told in told.values() {
        assert_eq!(
            *told,
            (0..EVENTS).collect::<Vec<_>>(),
            "each once, and in order"
        );
    }
}

#[tokio::test]
async fn what_one_was_about_to_deliver_when_it_was_killed_the_other_delivers() {
    const EVENTS: i64 = 3;
    let (shared, receiver) = (Shared::new().await, Receiver::start(Mood::Stalls).await);
    let db = shared.open().await;
    let project = store(&db, &receiver, 2, EVENTS).await;
    let patience = [("PARLOR_WEBHOOKS_TIMEOUT", "3s")];
    let first = shared.server(&patience);
    receiver.wait(|got| !got.is_empty()).await;
    first.signal("KILL");
    first.ended();
    receiver.catch_up().await;
    let _second = shared.server(&patience);
    receiver.get(Mood::Well);
    let done = receiver.wait(|got| {
        let told = told(got);
        told.len() == 2 && told.values().all(|told| told.len() >= 3)
    });
    for told in told(&done.await).values() {
        assert_eq!(*told, (0..EVENTS).collect::<Vec<_>>());
    }
    let tally = db.webhooks().tally(project.id).await.unwrap();
    assert_eq!(tally.failed, 0);
}

#[tokio::test]
async fn a_project_suspended_or_deleted_anywhere_is_closed_everywhere() {
    let shared = Shared::new().await;
    let (first, second) = (shared.server(&[]), shared.server(&[]));
    let text = |field: &str| second.ready[field].as_str().unwrap();
    let site = Site::new(text("url"), text("api_key"), text("api_secret"));
    for word in ["suspend", "delete"] {
        let (session, token) = site.join(word).await;
        let mut ana = TestClient::open(&site, &session, &token).await;
        assert_eq!(ana.join(&token).await.0, "200");
        parlor(&first, &["project", word, text("api_key")]);
        let path = format!("/connection/{}", ana.id);
        let (_, event) = ana.event("deleted", &path).await;
        assert_eq!(event["reason"], "forceDisconnected");
        let info = site.session_info("", &session, &token).await;
        let expected = if word == "suspend" { 403 } else { 404 };
        assert_eq!(info[0]["error"]["code"], expected, "{info}");
        if word == "suspend" {
            parlor(&first, &["project", "resume", text("api_key")]);
        }
    }
}
