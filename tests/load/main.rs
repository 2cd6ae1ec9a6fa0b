//! The load generators against the real binary: what they report is true, as far as it can be
//! known without looking at the clock.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/process.rs"]
mod process;

use std::process::Command;

use process::Process;
use serde_json::Value;

/// Runs a load against `server` and returns the lines of its report.
fn load(server: &Process, args: &[&str]) -> Vec<Value> {
    let text = |field: &str| server.ready[field].as_str().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_parlor"))
        .arg("load")
        .args(args)
        .args(["--url", text("url"), "--api-key", text("api_key")])
        .env("PARLOR_LOAD_API_SECRET", text("api_secret"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn check(report: &Value, publishers: u64, subscriptions: u64) {
    let number = |field: &str| report[field].as_u64().unwrap();
    assert_eq!(number("publishers"), publishers);
    assert_eq!(number("subscriptions"), subscriptions);
    assert_eq!(report["loss"], 0.0, "{report}");
    assert_eq!(number("damaged"), 0, "{report}");
    // Two seconds at ten frames of a packet each, of which the first and the last may not count.
    let (sent, received) = (number("sent"), number("received"));
    assert!(sent >= publishers * 10, "{report}");
    let each = subscriptions / publishers;
    assert!(
        received.abs_diff(sent * each) <= 4 * subscriptions,
        "{report}"
    );
    for field in ["join_ms", "delay_ms"] {
        let quantile = |name: &str| report[field][name].as_f64().unwrap();
        assert!(quantile("p50") > 0.0, "{report}");
        assert!(quantile("p50") <= quantile("p99"), "{report}");
    }
}

const SLOWLY: [&str; 6] = ["--bitrate", "96", "--frame-rate", "10", "--seconds", "2"];

#[test]
fn every_packet_of_a_webinar_reaches_every_subscriber() {
    let server = Process::start();
    let shape = ["media", "--publishers", "2", "--size", "3"];
    let reports = load(
        &server,
        &[&shape[..], &SLOWLY, &["--srtp", "aes-cm"]].concat(),
    );
    let [report] = &reports[..] else {
        panic!("{reports:?}");
    };
    check(report, 2, 6);
}

#[test]
fn a_ramp_reports_each_size_until_the_knee() {
    let server = Process::start();
    let shape = [
        "media", "--shape", "meeting", "--size", "2", "--ramp", "1", "--steps", "2",
    ];
    let reports = load(&server, &[&shape[..], &SLOWLY].concat());
    let [first, second] = &reports[..] else {
        panic!("{reports:?}");
    };
    check(first, 2, 2);
    check(second, 3, 6);
}
