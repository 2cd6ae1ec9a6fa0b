//! Slow clients are cut off, each for what it is slow at, and nobody else.

use std::time::Duration;

use parlor::config::Config;
use parlor::config::http::Pace;
use serde_json::Value;

use super::live::Live;
use super::raw::{PROBE, Raw};

const SHORT: Duration = Duration::from_millis(200);

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// A server that is patient with everything but this.
async fn impatient(with: impl FnOnce(&mut Pace)) -> Live {
    Live::start_with(|config: &mut Config| {
        let pace = &mut config.http.pace;
        (pace.head, pace.body) = (LONG, LONG);
        (pace.write, pace.idle) = (LONG, LONG);
        with(pace);
    })
    .await
}

/// The head of a create that announces so long a body.
fn create(live: &Live, length: usize) -> String {
    format!(
        "POST /session/create HTTP/1.1\r\nHost: x\r\nX-OPENTOK-AUTH: {}\r\n\
         Accept: application/json\r\nContent-Length: {length}\r\n\r\n",
        live.auth()
    )
}

/// Begins a request, and waits until the server has waited long enough.
async fn stuck(live: &Live) {
    let mut stuck = Raw::connect(live.addr()).await;
    assert!(stuck.write("GET /").await);
    assert_eq!(stuck.closed().await, "");
}

/// Writes bit by bit until the other side has enough.
async fn drip(raw: &mut Raw, text: &str) {
    while raw.write(text).await {
        tokio::time::sleep(SHORT / 20).await;
    }
}

#[tokio::test]
async fn a_head_must_come_in_time_however_busy_its_client_is() {
    let live = impatient(|pace| pace.head = SHORT).await;
    stuck(&live).await;
    let mut dripping = Raw::connect(live.addr()).await;
    assert!(dripping.write("GET /healthz HTTP/1.1\r\nX: ").await);
    drip(&mut dripping, "x").await;
    // The second request of a connection, too, from its first byte on.
    let mut second = Raw::connect(live.addr()).await;
    second.ask(PROBE).await;
    assert!(second.write("GET /healthz HT").await);
    assert_eq!(second.closed().await, "");
    live.shutdown().await;
}

#[tokio::test]
async fn a_connection_without_requests_is_kept_as_long_as_the_settings_say() {
    let live = impatient(|pace| pace.head = SHORT).await;
    let mut kept = Raw::connect(live.addr()).await;
    kept.ask(PROBE).await;
    // Time passes, as others notice.
    stuck(&live).await;
    assert!(kept.ask(PROBE).await.starts_with("HTTP/1.1 200 "));
    live.shutdown().await;

    let live = impatient(|pace| pace.idle = SHORT).await;
    let mut idle = Raw::connect(live.addr()).await;
    idle.ask(PROBE).await;
    assert_eq!(idle.closed().await, "");
    live.shutdown().await;
}

#[tokio::test]
async fn a_body_must_come_in_time_however_busy_its_client_is() {
    let live = impatient(|pace| pace.body = SHORT).await;
    let mut stuck = Raw::connect(live.addr()).await;
    assert!(stuck.write(&create(&live, 1000)).await);
    let answer = stuck.closed().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["message"], "Request timeout. The body took too long.");

    let mut dripping = Raw::connect(live.addr()).await;
    assert!(dripping.write(&create(&live, 100_000)).await);
    drip(&mut dripping, "x").await;

    let mut fine = Raw::connect(live.addr()).await;
    let answer = fine.ask(&(create(&live, 2) + "{}")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    live.shutdown().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_cut_off() {
    let live = impatient(|pace| pace.write = SHORT).await;
    let mut raw = Raw::connect(live.addr()).await;
    // Until nothing is read any more because nothing can be written any more.
    while raw
        .write(&"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100))
        .await
    {}
    live.shutdown().await;
}

#[tokio::test]
async fn websockets_have_none_of_these_limits() {
    let live = impatient(|pace| {
        let Pace {
            head,
            body,
            write,
            idle,
        } = pace;
        for limit in [head, body, write, idle] {
            *limit = SHORT;
        }
    })
    .await;
    let mut ana = live.join().await;
    for _ in 0..3 {
        stuck(&live).await;
    }
    assert_eq!(ana.signal("chat", "still here").await, "200");
    ana.event("signal", "/signal/").await;
    ana.leave().await;
    live.shutdown().await;
}
