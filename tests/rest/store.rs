//! What is stored, and that it is still there after a restart.

use std::time::Duration;

use parlor::db::webhooks::Claim;
use parlor::db::{Db, DbError, Options};
use parlor::entropy::Entropy;
use parlor::model::id::ProjectId;
use parlor::model::project::Project;
use parlor::model::session::{ArchiveMode, MediaMode, Session, SessionOptions, SessionRequest};

use crate::receiver::due;
use crate::support::TestStore;

fn projects() -> [Project; 2] {
    let mut entropy = Entropy::from_seed(1);
    ["first", "second"].map(|name| Project::generate(name, 1_739_538_894_959, &mut entropy))
}

fn session(project: ProjectId, request: SessionRequest) -> Session {
    let options = SessionOptions::try_from(request).unwrap();
    Session::create(
        project,
        options,
        1_739_538_894_959,
        &mut Entropy::from_seed(2),
    )
}

#[tokio::test]
async fn everything_is_still_there_after_a_restart() {
    let store = TestStore::new().await;
    let [mut project, _] = projects();
    project.max_connections = Some(50);
    project.video_codecs = "vp9,vp8".parse().ok();
    let plain = session(project.id, SessionRequest::default());
    let mut archived = session(
        project.id,
        SessionRequest {
            archive_mode: ArchiveMode::Always,
            archive_name: Some("lesson 1; DROP TABLE sessions".to_owned()),
            location: Some([12, 34, 56, 78].into()),
            ..SessionRequest::default()
        },
    );
    archived.id = "2_archived".parse().unwrap();
    let mut relayed = session(
        project.id,
        SessionRequest {
            media_mode: MediaMode::Adaptive,
            max_connections: Some(2),
            video_codecs: "av1".parse().ok(),
            ..SessionRequest::default()
        },
    );
    relayed.id = "2_adaptive".parse().unwrap();

    let db = store.open().await.unwrap();
    db.projects().insert(&project).await.unwrap();
    for session in [&plain, &archived, &relayed] {
        db.sessions().insert(session).await.unwrap();
    }
    db.close().await;

    let db = store.open().await.unwrap();
    let found = db.projects().find(project.id).await.unwrap().unwrap();
    assert_eq!(found, project);
    assert_eq!(db.projects().list().await.unwrap(), [project]);
    for session in [plain, archived, relayed] {
        let found = db.sessions().find_any(&session.id).await.unwrap();
        assert_eq!(found, Some(session));
    }
}

#[tokio::test]
async fn a_project_does_not_see_another_projects_sessions() {
    let store = TestStore::new().await;
    let db = store.open().await.unwrap();
    let [first, second] = projects();
    db.projects().insert(&first).await.unwrap();
    db.projects().insert(&second).await.unwrap();
    let session = session(first.id, SessionRequest::default());
    db.sessions().insert(&session).await.unwrap();
    assert_eq!(
        db.sessions().of(second.id).find(&session.id).await.unwrap(),
        None
    );
    assert_eq!(
        db.sessions().of(first.id).find(&session.id).await.unwrap(),
        Some(session)
    );
}

#[tokio::test]
async fn what_clashes_says_how() {
    let store = TestStore::new().await;
    let db = store.open().await.unwrap();
    let [project, stranger] = projects();
    db.projects().insert(&project).await.unwrap();
    let again = db.projects().insert(&project).await.unwrap_err();
    assert!(matches!(again, DbError::Conflict(_)), "{again:?}");

    let session_of = |project| session(project, SessionRequest::default());
    let orphan = db
        .sessions()
        .insert(&session_of(stranger.id))
        .await
        .unwrap_err();
    assert!(matches!(orphan, DbError::NotFound(_)), "{orphan:?}");
    db.sessions().insert(&session_of(project.id)).await.unwrap();
    let again = db
        .sessions()
        .insert(&session_of(project.id))
        .await
        .unwrap_err();
    assert!(matches!(again, DbError::Conflict(_)), "{again:?}");
}

#[tokio::test]
async fn a_file_may_have_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("50% of what? it's :memory: #1.db");
    let [project, _] = projects();
    let options = Options::default();
    let db = Db::open_file(&file, &options).await.unwrap();
    db.projects().insert(&project).await.unwrap();
    db.close().await;
    assert!(file.exists());
    let db = Db::open(file.to_str().unwrap(), &options).await.unwrap();
    assert_eq!(db.projects().list().await.unwrap(), [project]);
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        startup_wait: Duration::from_millis(300),
        ..Options::default()
    };
    let missing = dir.path().join("missing/parlor.db");
    let opened = Db::open_file(&missing, &options).await;
    assert!(matches!(opened, Err(DbError::Unavailable(_))), "{opened:?}");

    let garbage = dir.path().join("garbage.db");
    std::fs::write(&garbage, "not a database, ".repeat(100)).unwrap();
    assert!(Db::open_file(&garbage, &options).await.is_err());

    let nobody = format!("postgres:///x?host={}", dir.path().display());
    let opened = Db::open(&nobody, &options).await;
    assert!(matches!(opened, Err(DbError::Unavailable(_))), "{opened:?}");
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone() {
    let store = TestStore::new().await;
    store.open().await.unwrap().close().await;
    store
        .execute(
            "INSERT INTO _sqlx_migrations
                (version, description, success, checksum, execution_time)
            SELECT 9999, 'from the future', success, checksum, 1
            FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
    let error = store.open().await.unwrap_err();
    assert!(
        matches!(error, DbError::TooNew { found: 9999, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("newer Parlor"), "{error}");
}

#[tokio::test]
async fn a_migration_that_was_changed_is_refused() {
    let store = TestStore::new().await;
    store.open().await.unwrap().close().await;
    store
        .execute(
            "UPDATE _sqlx_migrations SET checksum =
                (SELECT checksum FROM _sqlx_migrations WHERE version = 1)
            WHERE version = 2",
        )
        .await;
    let error = store.open().await.unwrap_err();
    assert!(matches!(error, DbError::Migration(_)), "{error:?}");
}

#[tokio::test]
async fn servers_that_start_at_once_make_one_schema() {
    // Often enough for SQLite's switch to its log to meet itself.
    for _ in 0..20 {
        let store = TestStore::new().await;
        let opened = futures_util::future::join_all((0..8).map(|_| store.open())).await;
        for db in opened {
            db.unwrap().close().await;
        }
    }
}

#[tokio::test]
async fn two_processes_may_write_to_one_store() {
    let store = TestStore::new().await;
    let (server, command) = (store.open().await.unwrap(), store.open().await.unwrap());
    let mut entropy = Entropy::from_seed(3);
    let mut writing = tokio::task::JoinSet::new();
    for n in 0..40 {
        let project = Project::generate("p", n, &mut entropy);
        let db = if n % 2 == 0 {
            server.clone()
        } else {
            command.clone()
        };
        writing.spawn(async move { db.projects().insert(&project).await });
    }
    for written in writing.join_all().await {
        written.unwrap();
    }
    assert_eq!(server.projects().list().await.unwrap().len(), 40);
}

#[tokio::test]
async fn a_webhook_is_claimed_by_one_for_a_while_and_the_next_waits_for_it() {
    let store = TestStore::new().await;
    let (db, other) = (store.open().await.unwrap(), store.open().await.unwrap());
    let [project, _] = projects();
    db.projects().insert(&project).await.unwrap();
    let all = due(project.id, "https://example.com/", 1, 2);
    db.webhooks().insert(&all).await.unwrap();
    let lane = &all[0].lane;
    let now = all[1].created_at_ms;
    let claims = (0..8).map(|n| {
        let db = if n % 2 == 0 { &db } else { &other };
        async move { db.webhooks().claim(lane, now, now + 100).await.unwrap() }
    });
    let mut claims = futures_util::future::join_all(claims).await;
    claims.sort_by_key(|claim| !matches!(claim, Claim::Due(_)));
    let Claim::Due(first) = claims.remove(0) else {
        panic!("nobody has it: {claims:?}");
    };
    assert_eq!(first.id, all[0].id);
    assert_eq!(claims, vec![Claim::NotBefore(now + 100); 7]);

    // It was never heard of again; what it says after that is too late.
    let again = other.webhooks().claim(lane, now + 100, now + 200).await;
    let Ok(Claim::Due(again)) = again else {
        panic!("{again:?}");
    };
    assert_eq!(again.id, first.id);
    db.webhooks().put_off(&first, now, "late").await.unwrap();
    db.webhooks().give_up(&first, now, "late").await.unwrap();
    let taken = db.webhooks().claim(lane, now + 150, now + 300).await;
    assert_eq!(taken.unwrap(), Claim::NotBefore(now + 200));

    db.webhooks().remove(again.id).await.unwrap();
    let next = db.webhooks().claim(lane, now + 150, now + 300).await;
    assert!(matches!(next, Ok(Claim::Due(next)) if next.id == all[1].id));
    db.webhooks().remove(all[1].id).await.unwrap();
    let none = db.webhooks().claim(lane, now + 150, now + 300).await;
    assert_eq!(none.unwrap(), Claim::Empty);
}
