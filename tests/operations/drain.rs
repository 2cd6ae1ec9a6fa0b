//! What SIGTERM does: running calls go on, nobody joins, and nothing acknowledged is lost.

use serde_json::json;

use super::process::{Process, eventually};
use super::support::{Site, TestClient};
use super::{get, joined, site};

/// Long signals that are more than the buffers of two sockets hold.
const COUNT: usize = 900;

/// Sends SIGTERM and waits until new calls are unwelcome.
async fn drain(process: &Process) {
    process.signal("TERM");
    let url = format!("http://{}/readyz", process.addr);
    while get(&url).await.0 != 503 {
        tokio::task::yield_now().await;
    }
}

/// Status of a session create that is not even signed.
async fn create(site: &Site) -> u16 {
    let request = reqwest::Client::new().post(format!("{}/session/create", site.url));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn running_calls_go_on_until_the_last_has_left_and_nobody_joins() {
    let process = Process::start_with(&[("PARLOR_LIMITS_DRAIN", "10min")]);
    let site = site(&process);
    let (mut ana, mut ben) = (joined(&site, "room").await, joined(&site, "room").await);
    let (session, token) = site.join("room").await;
    let mut late = TestClient::open(&site, &session, &token).await;
    assert_eq!(create(&site).await, 403);

    drain(&process).await;
    assert_eq!(create(&site).await, 503);
    let info = site.session_info("", &session, &token).await;
    let refused = json!({"code": 500, "errorMessage": {"message": "The server is shutting down"}});
    assert_eq!(info[0]["error"], refused);
    assert_eq!(late.join(&token).await.0, "500");
    assert_eq!(late.closed().await, Some(1011));

    assert_eq!(ana.signal("chat", "still here").await, "200");
    ben.event("signal", "/signal/").await;
    ben.lose();
    assert_eq!(ana.signal("chat", "you there?").await, "200");
    ben.resume().await;
    ben.event("signal", "/signal/").await;

    ana.leave().await;
    ben.leave().await;
    assert!(
        tokio::task::spawn_blocking(|| process.ended().0)
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn what_still_runs_at_the_deadline_is_closed_so_that_clients_do_not_hang() {
    let process = Process::start_with(&[("PARLOR_LIMITS_DRAIN", "100ms")]);
    let mut ana = joined(&site(&process), "room").await;
    process.signal("TERM");
    assert_eq!(ana.closed().await, Some(1011));
    assert!(
        tokio::task::spawn_blocking(|| process.ended().0)
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_sessions_outlive_it() {
    let process = Process::start_with(&[("PARLOR_LIMITS_DRAIN", "10min")]);
    let site_before = site(&process);
    let ana = joined(&site_before, "room").await;
    let (session, token) = site_before.join("room").await;
    drain(&process).await;
    process.signal("TERM");
    let (status, data) = tokio::task::spawn_blocking(|| process.ended())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(1), "killed is not ended");
    drop(ana);

    let again = Process::start_in(data, &[]);
    let info = site(&again).session_info("", &session, &token).await;
    assert_eq!(info[0]["session_id"], session);
}

#[tokio::test]
async fn signals_that_were_acknowledged_arrive_before_the_end() {
    let process = Process::start();
    let site = site(&process);
    let (mut ana, mut ben) = (joined(&site, "room").await, joined(&site, "room").await);
    for number in 0..50 {
        assert_eq!(ana.signal("chat", &number.to_string()).await, "200");
    }
    process.signal("TERM");
    for number in 0..50 {
        let (_, event) = ben.event("signal", "/signal/").await;
        assert_eq!(event["content"]["data"], number.to_string());
    }
    assert_eq!(ben.closed().await, Some(1011));
    eventually("the log says so", || {
        process.log().contains("Everything is closed").then_some(())
    });
}

#[tokio::test]
async fn what_was_queued_arrives_though_its_reader_speaks_after_the_hub_has_ended() {
    let process = Process::start_with(&[
        ("PARLOR_LIMITS_SIGNALS_PER_SECOND", "10000"),
        ("PARLOR_LIMITS_SHUTDOWN", "1min"),
    ]);
    let site = site(&process);
    let (mut ana, mut ben) = (joined(&site, "room").await, joined(&site, "room").await);
    // More than the kernel takes while nobody reads, so that the rest waits in the server.
    let long = "x".repeat(8_000);
    for _ in 0..COUNT {
        assert_eq!(ana.signal("chat", &long).await, "200");
        ben.ping().await;
    }
    process.signal("TERM");
    assert_eq!(ana.closed().await, Some(1011));
    for _ in 0..COUNT {
        // Answers it, which nobody is there to hear any more.
        ben.event("signal", "/signal/").await;
    }
    assert_eq!(ben.closed().await, Some(1011));
}
