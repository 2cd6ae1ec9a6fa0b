//! `/healthz` and `/readyz`.

use serde_json::{Value, json};
use sqlx::sqlite::SqlitePool;

use super::get;
use super::process::Process;

async fn ready(url: &str) -> (u16, Value) {
    let (status, body) = get(&format!("{url}/readyz")).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn a_running_server_is_alive_and_ready() {
    let process = Process::start();
    let url = format!("http://{}", process.addr);
    assert_eq!(get(&format!("{url}/healthz")).await, (200, "ok\n".into()));
    let fine = json!({
        "ready": true, "draining": false, "database": "ok", "hub": "ok", "media": "ok",
    });
    assert_eq!(ready(&url).await, (200, fine));
}

#[tokio::test]
async fn a_server_whose_database_is_not_what_it_was_is_alive_but_not_ready() {
    let process = Process::start();
    let url = format!("http://{}", process.addr);
    let file = process.data().join("parlor.sqlite");
    let other = SqlitePool::connect(file.to_str().unwrap()).await.unwrap();
    sqlx::query("DELETE FROM _sqlx_migrations")
        .execute(&other)
        .await
        .unwrap();
    let (status, body) = ready(&url).await;
    assert_eq!(status, 503);
    assert_eq!(
        body["database"],
        "the database schema is older than this program"
    );
    assert_eq!(
        (&body["ready"], &body["hub"]),
        (&json!(false), &json!("ok"))
    );
    assert_eq!(get(&format!("{url}/healthz")).await.0, 200);
}
