//! What a collector of OpenTelemetry gets, in a build with the feature `otel`.
//!
//! A process has one log and one place for traces, so each of these tests needs one of its own:
//! `cargo nextest run --features otel --test otel`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod collector;
#[allow(dead_code, reason = "clients here neither get lost nor resume")]
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use parlor::config::{Config, ConfigError, LogConfig, LogFormat, Sources, TracesConfig};
use parlor::telemetry;
use parlor::telemetry::traces::Traces;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::collector::{Collector, Sent};
use self::support::{Site, TestClient, TestServer};

/// How long anything may take that is expected to happen: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a caller may name its trace and its span, and whether it keeps them.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn sources(text: &str) -> Sources {
    Sources {
        dev: true,
        text: Some(format!("[telemetry]\n{text}")),
        ..Sources::default()
    }
}

fn settings(text: &str) -> Result<TracesConfig, ConfigError> {
    Config::load(&sources(text)).map(|config| config.traces.unwrap())
}

/// Sends traces to a collector from now on.
fn traced(text: &str) -> Traces {
    let log = LogConfig {
        format: LogFormat::Text,
        level: "warn".into(),
    };
    let (_, traces) = telemetry::init(&log, Some(&settings(text).unwrap())).unwrap();
    traces.unwrap()
}

/// Sends what is left; it takes no longer than it may.
async fn finish(traces: Traces) {
    let finished = spawn_blocking(move || traces.finish());
    timeout(PATIENCE, finished).await.unwrap().unwrap();
}

/// A call of a back end, as a part of this trace.
async fn call(server: &Site, path: &str, traceparent: &str) -> u16 {
    let (url, key, secret) = (&server.url, &server.key, &server.secret);
    let request = match path {
        "/session/create" => reqwest::Client::new().post(format!("{url}{path}")),
        _ => reqwest::Client::new().get(format!("{url}/v2/project/{key}{path}")),
    };
    let request = request
        .header("X-TB-PARTNER-AUTH", format!("{key}:{secret}"))
        .header("traceparent", traceparent)
        .header("tracestate", "other=1");
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_call_is_a_part_of_its_callers_trace() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let traces = traced(&format!(
        "otlp_endpoint='{endpoint}'\notlp_headers='x-key=hush'\nservice_name='here'"
    ));
    let server = TestServer::start().await;
    let (session, _) = server.join("room").await;
    let sampled = format!("00-{TRACE}-{CALLER}-01");
    assert_eq!(call(&server, "/session/create", &sampled).await, 200);
    let path = format!("/session/{session}/stream");
    assert_eq!(call(&server, &path, &sampled).await, 200);
    assert_eq!(call(&server, "/archive", &sampled).await, 501);
    let not_sampled = format!("00-{}-{CALLER}-00", TRACE.replace('4', "5"));
    assert_eq!(call(&server, "/session/create", &not_sampled).await, 200);
    let key = server.key.clone();
    server.shutdown().await;
    finish(traces).await;

    let sent = collector.sent();
    assert!(
        sent.iter()
            .all(|span| span.resource["service.name"] == "here")
    );
    assert!(
        collector
            .headers()
            .iter()
            .all(|headers| headers["x-key"] == "hush")
    );
    let theirs: Vec<_> = sent.iter().filter(|span| span.parent == CALLER).collect();
    let names: Vec<_> = theirs.iter().map(|span| &*span.name).collect();
    let of_project = "GET /v2/project/{api_key}";
    let expected = [
        "POST /session/create".to_owned(),
        format!("{of_project}/session/{{session}}/stream"),
        format!("{of_project}/archive"),
    ];
    assert_eq!(names, expected);
    for (span, status) in theirs.iter().zip(["200", "200", "501"]) {
        assert_eq!(span.trace, TRACE);
        assert_eq!(span.kind, Sent::SERVER);
        assert_eq!(span.attributes["http.response.status_code"], status);
        assert_eq!(span.attributes["project.id"], key);
        assert_eq!(span.failed, status == "501");
    }
    let below = |parent: &Sent, name: &str| {
        let all = sent.iter().filter(|span| span.parent == parent.id);
        all.filter(|span| span.name == name && span.trace == TRACE)
            .count()
    };
    assert!(below(theirs[0], "database") >= 1);
    assert_eq!(below(theirs[1], "hub"), 1);
    assert!(!sent.iter().any(|span| not_sampled.contains(&span.trace)));
}

#[tokio::test]
async fn a_websocket_and_its_join_are_traced_and_a_trace_of_nobody_is_one_of_ours() {
    let collector = Collector::start().await;
    let traces = traced(&format!("otlp_endpoint='{}'", collector.endpoint()));
    let server = TestServer::start().await;
    let (session, token) = server.join("room").await;
    let mut ana = TestClient::open(&server, &session, &token).await;
    assert_eq!(ana.join(&token).await.0, "200");
    assert_eq!(ana.signal("chat", "hush").await, "200");
    ana.leave().await;
    server.shutdown().await;
    finish(traces).await;

    let sent = collector.sent();
    let named = |name: &str| -> Vec<_> { sent.iter().filter(|span| span.name == name).collect() };
    let [websocket] = named("websocket")[..] else {
        panic!("{sent:?}");
    };
    let upgrade = sent.iter().find(|span| span.id == websocket.parent);
    let upgrade = upgrade.unwrap();
    assert_eq!(upgrade.attributes["http.response.status_code"], "101");
    assert_eq!((&upgrade.trace, &*upgrade.parent), (&websocket.trace, ""));
    // When session info was asked for, and when the client joined.
    let joins = named("join");
    assert_eq!(joins.len(), 2);
    assert!(
        joins
            .iter()
            .all(|join| join.attributes["session.id"] == session)
    );
    assert!(!format!("{sent:?}").contains("hush"));
    assert!(!format!("{sent:?}").contains(&token));
}

#[tokio::test]
async fn only_so_many_traces_are_sent_and_those_that_a_caller_wants() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let traces = traced(&format!(
        "otlp_endpoint='{endpoint}'\notlp_sample_ratio=0.0"
    ));
    let server = TestServer::start().await;
    server.join("room").await;
    for traceparent in [&format!("00-{TRACE}-{CALLER}-01"), "00-nonsense", ""] {
        assert_eq!(call(&server, "/session/create", traceparent).await, 200);
    }
    server.shutdown().await;
    finish(traces).await;
    let sent = collector.sent();
    assert!(
        !sent.is_empty() && sent.iter().all(|span| span.trace == TRACE),
        "{sent:?}"
    );
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_nobody_up() {
    // It accepts, as the kernel does, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = silent.local_addr().unwrap();
    let traces = traced(&format!("otlp_endpoint='http://{endpoint}'"));
    let server = TestServer::start().await;
    let (url, client) = (format!("{}/healthz", server.url), reqwest::Client::new());
    // More than may wait, and than are under way.
    let all = async {
        for _ in 0..3000 {
            let answer = client.get(&url).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    };
    timeout(3 * PATIENCE, all).await.unwrap();
    timeout(PATIENCE, server.shutdown()).await.unwrap();
    finish(traces).await;
}

#[test]
fn a_collector_is_told_of_by_its_url_and_its_headers_do_not_print() {
    let text = "otlp_endpoint='https://collector:4318/in/'\n\
        otlp_headers='authorization=Bearer hush=, x-team = video'";
    let traces = settings(text).unwrap();
    let endpoint = "https://collector:4318/in/v1/traces";
    assert_eq!(traces.endpoint.as_str(), endpoint);
    let headers = traces.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (&**name, value.expose()))
        .collect();
    let expected = [("authorization", "Bearer hush="), ("x-team", "video")];
    assert_eq!(headers, expected);
    assert!(!format!("{traces:?}").contains("hush"));
    let shown = Config::show(&sources(text)).unwrap();
    assert!(!shown.contains("hush") && shown.contains("otlp_headers = \"[redacted]\""));
    for bad in ["ftp://collector", "http://user:hush@collector"] {
        let error = settings(&format!("otlp_endpoint='{bad}'")).unwrap_err();
        assert_eq!(error.0[0].key, "telemetry.otlp_endpoint");
        assert!(!error.to_string().contains("hush"));
    }
}
