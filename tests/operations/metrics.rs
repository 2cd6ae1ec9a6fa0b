//! `/metrics`, and the board and alert rules made for it.

use std::collections::BTreeSet;

use super::process::Process;
use super::{get, joined, site};

async fn scrape(process: &Process) -> String {
    let address = process.ready["metrics"].as_str().unwrap();
    let (status, text) = get(&format!("http://{address}/metrics")).await;
    assert_eq!(status, 200);
    text
}

fn value(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
        .parse()
        .unwrap()
}

fn with_metrics() -> Process {
    Process::start_with(&[("PARLOR_METRICS_LISTEN", "127.0.0.1:0")])
}

#[tokio::test]
async fn what_goes_on_is_counted() {
    let process = with_metrics();
    let site = site(&process);
    let _ana = joined(&site, "room").await;
    assert_eq!(
        get(&format!("{}/no/such/path/anywhere", site.url)).await.0,
        404
    );
    let text = scrape(&process).await;
    for (name, expected) in [
        ("parlor_up{part=\"database\"}", 1.0),
        ("parlor_up{part=\"hub\"}", 1.0),
        ("parlor_up{part=\"media\"}", 1.0),
        ("parlor_sessions", 1.0),
        ("parlor_connections", 1.0),
        ("parlor_streams", 0.0),
        ("parlor_join_seconds_count", 1.0),
        (
            "parlor_http_requests_total{method=\"POST\",route=\"/demo/join\",status=\"200\"}",
            1.0,
        ),
        (
            "parlor_http_requests_total{method=\"GET\",route=\"websocket\",status=\"101\"}",
            1.0,
        ),
        (
            "parlor_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"}",
            1.0,
        ),
        ("parlor_http_cut_off_total{reason=\"too_many\"}", 0.0),
        ("parlor_http_cut_off_total{reason=\"slow_head\"}", 0.0),
    ] {
        assert_eq!(value(&text, name), expected, "{name}");
    }
    for name in [
        "parlor_database_connections{state=\"idle\"}",
        "parlor_database_query_seconds_bucket{le=\"0.00005\"}",
        "process_cpu_seconds_total",
        "parlor_webhooks{state=\"pending\"}",
        "parlor_webhooks_oldest_age_seconds",
        "parlor_webhooks_total{event=\"delivered\"}",
    ] {
        assert!(value(&text, name) >= 0.0, "{name}");
    }
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    // The project was looked up, the session was stored and found.
    assert!(value(&text, "parlor_database_query_seconds_count") >= 3.0);
}

#[tokio::test]
async fn metrics_are_not_for_the_public() {
    let process = with_metrics();
    assert_eq!(
        get(&format!("http://{}/metrics", process.addr)).await.0,
        404
    );
}

#[tokio::test]
async fn the_board_and_the_alerts_name_only_what_there_is() {
    // With TLS, so that there is everything.
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/first");
    let process = Process::start_with(&[
        ("PARLOR_METRICS_LISTEN", "127.0.0.1:0"),
        ("PARLOR_TLS_CERTIFICATE_FILE", &format!("{tls}.pem")),
        ("PARLOR_TLS_KEY_FILE", &format!("{tls}.key")),
    ]);
    let text = scrape(&process).await;
    assert!(value(&text, "parlor_tls_certificate_expiry_timestamp_seconds") > 1.7e9);
    let mut known = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        match kind {
            "counter" | "gauge" => known.insert(name.to_owned()),
            _ => {
                known.insert(format!("{name}_bucket"));
                known.extend(["_sum", "_count"].map(|part| format!("{name}{part}")));
                true
            }
        };
    }
    let board: serde_json::Value =
        serde_json::from_str(include_str!("../../deploy/grafana.json")).unwrap();
    let targets = board["panels"].as_array().unwrap().iter();
    let targets = targets.flat_map(|panel| panel["targets"].as_array().unwrap());
    let board: Vec<_> = targets
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    let alerts = include_str!("../../deploy/alerts.yml");
    let alerts = alerts
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let mut named = 0;
    for text in board.into_iter().chain(alerts) {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|w| w.starts_with("parlor_") || w.starts_with("process_")) {
            named += 1;
            assert!(known.contains(word), "{word} in {text}");
        }
    }
    assert!(named > 30, "they name {named}");
}
