//! What operators do to PostgreSQL, with the real tools; on SQLite there is nothing to do.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sqlx::any::AnyConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

use super::process::{Process, is_installed, parlor};
use super::whole::database;

const GUIDE: &str = include_str!("../../docs/OPERATING.md");

/// Runs the command of the guide that begins like this, as it stands there.
fn as_the_guide_says(begin: &str, url: &str, dir: &Path) {
    let command = GUIDE.lines().find(|line| line.starts_with(begin));
    let mut shell = Command::new("sh");
    shell.args(["-c", command.unwrap()]).env("URL", url);
    let done = shell.current_dir(dir).output().unwrap();
    let says = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {says}");
}

#[tokio::test]
async fn a_dump_that_is_restored_brings_back_what_was_when_it_was_made() {
    let Some(url) = database::postgres_database().await else {
        return;
    };
    if !is_installed("pg_dump") {
        return;
    }
    let environment = [("PARLOR_DATABASE_URL", url.as_str())];
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start_with(&environment);
    let before = process.ready["api_key"].clone();
    parlor(&process, &["project", "create", "Before"]);
    as_the_guide_says("pg_dump", &url, dir.path());
    parlor(&process, &["project", "create", "After"]);
    process.signal("TERM");
    let (ended, data) = process.ended();
    assert!(ended.success());

    as_the_guide_says("pg_restore", &url, dir.path());
    let process = Process::start_in(data, &environment);
    assert_eq!(process.ready["api_key"], before);
    let listed = parlor(&process, &["project", "list"]);
    assert!(listed.contains("Before"), "{listed}");
    assert!(!listed.contains("After"), "{listed}");
}

/// What the doctor says of a database: level and words.
fn findings(url: &str, data: &Path) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_parlor"))
        .args(["doctor", "--dev", "--json", "--no-call", "--data"])
        .arg(data)
        .env("PARLOR_DATABASE_URL", url)
        .output();
    let report: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let of_the_database = findings.filter(|found| {
        ["database", "projects"].contains(&found["check"].as_str().unwrap())
            || found["what"].as_str().unwrap().contains("database")
    });
    let text = |found: &Value, member: &str| found[member].as_str().unwrap().to_owned();
    let told = of_the_database.map(|found| (text(found, "level"), text(found, "what")));
    told.collect()
}

#[tokio::test]
async fn the_doctor_knows_a_database_that_is_empty_old_new_or_not_for_writing() {
    let Some(url) = database::postgres_database().await else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let expect = |url: &str, level: &str, says: &str| {
        let found = findings(url, data.path());
        let is_said = |(of, what): &(String, String)| of == level && what.contains(says);
        assert!(
            found.iter().any(is_said),
            "no {level} says {says:?}: {found:#?}"
        );
    };
    let options: AnyConnectOptions = url.parse().unwrap();
    let mut store = options.connect().await.unwrap();
    expect(&url, "ok", "is empty");

    let role = url.rsplit_once("postgres:///").unwrap().1;
    let role = role.split_once('?').unwrap().0;
    let execute = async |store: &mut sqlx::AnyConnection, sql: String| {
        store.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    };
    execute(&mut store, format!("CREATE ROLE {role} LOGIN")).await;
    let reader = url.replace("user=parlor", &format!("user={role}"));
    expect(&reader, "failure", "tables may not be made");

    let process = Process::start_with(&[("PARLOR_DATABASE_URL", &url)]);
    expect(&url, "ok", "answers and has schema");
    drop(process);
    let change = "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1";
    execute(&mut store, change.into()).await;
    expect(&url, "failure", "has schema 9999, of a newer Parlor");
    let change = "DELETE FROM _sqlx_migrations WHERE version > 2";
    execute(&mut store, change.into()).await;
    expect(&url, "warning", "brings it to");
    execute(&mut store, format!("DROP ROLE {role}")).await;
    store.close().await.unwrap();
}
