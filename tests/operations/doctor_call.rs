//! `parlor doctor` makes its call over networks that let some things through and others not, and
//! says what does not get through.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::doctor::{Diagnosis, diagnosis, doctor_command};
use super::process::Process;

/// First bytes of datagrams (RFC 7983, 7).
const DTLS: RangeInclusive<u8> = 20..=63;
const RTP: RangeInclusive<u8> = 128..=191;

/// Longest datagram.
const LONGEST: usize = 2048;

/// A call through a running server at a URL.
async fn call(process: &Process, url: String) -> Diagnosis {
    let text = |field: &str| process.ready[field].as_str().unwrap().to_owned();
    let (key, secret) = (text("api_key"), text("api_secret"));
    let asked = move || {
        let arguments = ["--url", &url, "--api-key", &key, "--api-secret", &secret];
        diagnosis(&mut doctor_command(&arguments, &[]))
    };
    tokio::task::spawn_blocking(asked).await.unwrap()
}

/// Passes connections on to a server, but no websockets, like a proxy that was told nothing of them.
async fn without_websockets(server: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let passing = tokio::spawn(async move {
        loop {
            let (client, _) = proxy.accept().await.unwrap();
            let server = TcpStream::connect(server).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(len @ 1..) = from_client.read(&mut bytes).await {
                    let text = String::from_utf8_lossy(&bytes[..len]);
                    let text = text.replace("websocket", "no-socket");
                    if to_server.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
            tokio::spawn(async move {
                // Whoever hangs up first ends it.
                let _ = copy(&mut from_server, &mut to_client).await;
            });
        }
    });
    (address, passing)
}

/// Passes datagrams on between clients and a media port, but for those that begin like `dropped`.
async fn without(dropped: RangeInclusive<u8>, outside: UdpSocket, server: SocketAddr) {
    let outside = Arc::new(outside);
    let mut insides: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut bytes = [0; LONGEST];
    loop {
        let (len, client) = outside.recv_from(&mut bytes).await.unwrap();
        let inside = match insides.get(&client) {
            Some(inside) => Arc::clone(inside),
            None => {
                let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                inside.connect(server).await.unwrap();
                let inside = Arc::new(inside);
                insides.insert(client, Arc::clone(&inside));
                let (back, outside) = (Arc::clone(&inside), Arc::clone(&outside));
                tokio::spawn(async move {
                    let mut bytes = [0; LONGEST];
                    while let Ok(len) = back.recv(&mut bytes).await {
                        // A client that is gone misses nothing.
                        let _ = outside.send_to(&bytes[..len], client).await;
                    }
                });
                inside
            }
        };
        if !dropped.contains(&bytes[0]) {
            inside.send(&bytes[..len]).await.unwrap();
        }
    }
}

/// What the doctor finds where datagrams that begin like `dropped` do not reach the server.
async fn found_without(dropped: RangeInclusive<u8>) -> (Diagnosis, String) {
    let process = Process::start_with(&[("PARLOR_MEDIA_ANNOUNCE", "127.0.0.2")]);
    let port = process.ready["media_port"].as_u64().unwrap() as u16;
    let outside = UdpSocket::bind(("127.0.0.2", port)).await.unwrap();
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let passing = tokio::spawn(without(dropped, outside, server));
    let found = call(&process, format!("http://{}", process.addr)).await;
    passing.abort();
    (found, format!("with media to 127.0.0.2:{port}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_passes_no_websockets_on_is_found() {
    let process = Process::start();
    let (address, passing) = without_websockets(process.addr).await;
    let found = call(&process, format!("http://{address}")).await;
    found.expect_failure("call", "websocket does not work");
    passing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_lets_no_handshake_through_is_found() {
    let (found, media) = found_without(DTLS).await;
    found.expect_failure("call", &format!("{media}: DTLS does not work"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_lets_no_media_through_is_found() {
    let (found, media) = found_without(RTP).await;
    found.expect_failure("call", &format!("{media}: SRTP does not work"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_lets_everything_through_is_fine() {
    #[expect(clippy::reversed_empty_ranges, reason = "nothing is dropped")]
    let (found, _) = found_without(1..=0).await;
    found.expect("call", "ok", "works through");
}
