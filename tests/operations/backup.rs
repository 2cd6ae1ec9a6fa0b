//! A copy of the database that is made while the server runs is as good as the database.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::process::{Process, parlor};

fn backup(data: &Path, to: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parlor"))
        .arg("backup")
        .arg(to)
        .arg("--data")
        .arg(data)
        .output()
        .unwrap()
}

#[test]
fn a_copy_made_while_the_server_runs_is_a_server() {
    let process = Process::start();
    let restored = tempfile::tempdir().unwrap();
    let copy = restored.path().join("parlor.sqlite");
    let made = backup(process.data(), &copy);
    assert!(made.status.success(), "{made:?}");
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds secrets");
    let again = backup(process.data(), &copy);
    assert!(!again.status.success(), "nothing is overwritten");

    let key = process.ready["api_key"].clone();
    drop(process);
    let process = Process::start_in(restored, &[]);
    assert_eq!(process.ready["api_key"], key);
}

#[test]
fn a_copy_put_in_place_brings_back_what_was_when_it_was_made() {
    let process = Process::start();
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("copy.sqlite");
    assert!(backup(process.data(), &copy).status.success());
    parlor(&process, &["project", "create", "Later"]);
    process.signal("TERM");
    let (ended, data) = process.ended();
    assert!(ended.success());

    let at = |suffix: &str| data.path().join(format!("parlor.sqlite{suffix}"));
    std::fs::copy(&copy, at("")).unwrap();
    for log in ["-wal", "-shm"] {
        // A server that ended in good order leaves none.
        let _ = std::fs::remove_file(at(log));
    }
    let process = Process::start_in(data, &[]);
    let listed = parlor(&process, &["project", "list"]);
    assert!(listed.contains("Playground"), "{listed}");
    assert!(!listed.contains("Later"), "{listed}");
}

#[test]
fn there_is_no_copy_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.sqlite");
    assert!(!backup(dir.path(), &copy).status.success());
    assert!(!copy.exists());
    let elsewhere = Command::new(env!("CARGO_BIN_EXE_parlor"))
        .arg("backup")
        .arg(&copy)
        .env(
            "PARLOR_DATABASE_URL",
            "postgres://nobody@127.0.0.1:1/parlor",
        )
        .output()
        .unwrap();
    let says = String::from_utf8_lossy(&elsewhere.stderr);
    assert!(says.contains("pg_dump"), "{says}");
}
