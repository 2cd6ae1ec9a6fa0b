//! What is logged can be changed while the server runs.

use super::get;
use super::process::{Process, eventually};

fn logged(process: &Process, what: &str) -> usize {
    process.log().matches(what).count()
}

/// Has the server do what it logs at `debug` only.
async fn ask(process: &Process) {
    get(&format!("http://{}/healthz", process.addr)).await;
}

const AT_DEBUG: &str = "finished processing request";

#[tokio::test]
async fn the_operators_address_shows_and_changes_it() {
    let process = Process::start_with(&[
        ("PARLOR_METRICS_LISTEN", "127.0.0.1:0"),
        ("PARLOR_LOG_LEVEL", "info"),
    ]);
    let url = format!(
        "http://{}/log-level",
        process.ready["metrics"].as_str().unwrap()
    );
    assert_eq!(get(&url).await, (200, "info\n".into()));
    ask(&process).await;
    assert_eq!(logged(&process, AT_DEBUG), 0);

    let put = async |level: &'static str| {
        let answer = reqwest::Client::new()
            .put(&url)
            .body(level)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, text) = put("info,tower_http=debug").await;
    assert_eq!(status, 200, "{text}");
    ask(&process).await;
    eventually("it is logged", || {
        (logged(&process, AT_DEBUG) > 0).then_some(())
    });
    let (status, text) = put("info,tower_http=loud").await;
    assert_eq!(status, 400, "{text}");
    assert!(get(&url).await.1.contains("tower_http=debug"), "it stays");
    // Not where everybody is.
    let public = format!("http://{}/log-level", process.addr);
    assert_eq!(get(&public).await.0, 404);
}

#[tokio::test]
async fn a_hangup_reads_the_settings_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("parlor.toml");
    std::fs::write(&file, "[log]\nlevel = 'info'").unwrap();
    let process = Process::start_with(&[("PARLOR_CONFIG", file.to_str().unwrap())]);
    let hang_up = |text: &str, says: &str| {
        let before = logged(&process, says);
        std::fs::write(&file, text).unwrap();
        process.signal("HUP");
        eventually(says, || (logged(&process, says) > before).then_some(()));
    };
    hang_up(
        "[log]\nlevel = 'info,tower_http=debug'",
        "the settings were read again",
    );
    ask(&process).await;
    eventually("it is logged", || {
        (logged(&process, AT_DEBUG) > 0).then_some(())
    });
    hang_up(
        "[log]\nlevel = 'noise'\ncolour = 1",
        "the settings stay as they were",
    );
    hang_up(
        "[log]\nlevel = 'info'\n[limits]\ndrain = '7s'",
        "Settings other than log.level have changed",
    );
    assert_eq!(
        get(&format!("http://{}/healthz", process.addr)).await.0,
        200
    );
}
