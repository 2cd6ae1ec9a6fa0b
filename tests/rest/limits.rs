//! How many connections and requests there may be at a time.

use std::net::{Ipv4Addr, SocketAddr};

use tokio_tungstenite::connect_async;

use super::live::Live;
use super::raw::{PROBE, Raw};

const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A create under way: the server has its head and waits for its body.
async fn begin_create(live: &Live, more: &str) -> Raw {
    let mut raw = Raw::connect(live.addr()).await;
    let head = format!(
        "POST /session/create HTTP/1.1\r\nHost: x\r\nX-OPENTOK-AUTH: {}\r\n{more}\
         Accept: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        live.auth()
    );
    let answer = raw.ask(&head).await;
    assert!(answer.starts_with("HTTP/1.1 100 "), "{answer}");
    raw
}

/// The answer to a list of streams.
async fn list(live: &Live, more: &str) -> String {
    let path = format!("/v2/project/{}/session/{}/stream", live.key(), live.session);
    let auth = live.auth();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nX-OPENTOK-AUTH: {auth}\r\n{more}Connection: close\r\n\r\n"
    );
    Raw::connect(live.addr()).await.ask(&request).await
}

async fn probe_of_another(to: SocketAddr) -> String {
    Raw::connect_from(ELSEWHERE, to).await.ask(PROBE).await
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let live = Live::start_with(|config| {
        config.http.trusted_proxies.clear();
        config.http.crowd.of_one_address = 3;
    })
    .await;
    let mut mine = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(live.addr()).await;
        raw.ask(PROBE).await;
        mine.push(raw);
    }
    let mut further = Raw::connect(live.addr()).await;
    assert!(further.write(PROBE).await);
    assert_eq!(further.closed().await, "");
    assert!(
        probe_of_another(live.addr())
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    mine.pop();
    // When the server notices that is its own affair.
    let last = PROBE.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    loop {
        let mut raw = Raw::connect(live.addr()).await;
        raw.write(&last).await;
        if raw.closed().await.starts_with("HTTP/1.1 200 ") {
            break;
        }
    }
    live.shutdown().await;
}

#[tokio::test]
async fn a_proxy_has_as_many_connections_as_it_needs_and_each_client_behind_it_so_many_requests() {
    let live = Live::start_with(|config| {
        config.http.crowd.of_one_address = 1;
        config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let mut first = begin_create(&live, &from("9.9.9.9")).await;
    let refused = list(&live, &from("9.9.9.9")).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    let other = list(&live, &from("9.9.9.8")).await;
    assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
    assert!(first.ask("{}").await.starts_with("HTTP/1.1 200 "));
    let again = list(&live, &from("9.9.9.9")).await;
    assert!(again.starts_with("HTTP/1.1 200 "), "{again}");
    live.shutdown().await;
}

#[tokio::test]
async fn when_there_are_too_many_connections_the_next_waits_for_one_to_end() {
    let live = Live::start_with(|config| config.http.crowd.connections = 1).await;
    let mut first = Raw::connect(live.addr()).await;
    first.ask(PROBE).await;
    let mut second = Raw::connect(live.addr()).await;
    assert!(second.write(PROBE).await);
    first.ask(PROBE).await;
    assert!(second.is_silent());
    drop(first);
    assert!(second.answer().await.starts_with("HTTP/1.1 200 "));
    drop(second);
    // Websockets do not count.
    let url = format!("ws://{}/rumor", live.addr());
    let (one, _) = connect_async(&url).await.unwrap();
    let (two, _) = connect_async(&url).await.unwrap();
    drop((one, two));
    live.shutdown().await;
}

#[tokio::test]
async fn when_too_many_requests_are_under_way_further_ones_are_told_to_come_back() {
    let live = Live::start_with(|config| config.http.crowd.requests = 1).await;
    let mut first = begin_create(&live, "").await;
    let refused = list(&live, "").await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(
        refused.contains("\"message\":\"Service unavailable."),
        "{refused}"
    );
    let mut probe = Raw::connect(live.addr()).await;
    assert!(probe.ask(PROBE).await.starts_with("HTTP/1.1 200 "));
    assert!(first.ask("{}").await.starts_with("HTTP/1.1 200 "));
    assert!(list(&live, "").await.starts_with("HTTP/1.1 200 "));
    live.shutdown().await;
}
