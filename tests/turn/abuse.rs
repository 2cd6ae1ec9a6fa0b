//! What strangers can make of the server: nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{server, server_with};

/// What every STUN message has from its fifth byte on.
const COOKIE_AND_TRANSACTION: &[u8] = b"\x21\x12\xa4\x42transaction.";

/// How long anything may take that is expected to happen: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(10);

fn message(kind: u16, attributes: &[u8]) -> Vec<u8> {
    let mut message = kind.to_be_bytes().to_vec();
    message.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
    message.extend_from_slice(COOKIE_AND_TRANSACTION);
    message.extend_from_slice(attributes);
    message
}

/// What browsers begin with: 28 bytes.
fn allocate() -> Vec<u8> {
    message(3, b"\x00\x19\x00\x04\x11\x00\x00\x00")
}

async fn socket(address: &str, server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).await.unwrap();
    socket.connect(server).await.unwrap();
    socket
}

/// Bytes that come until one answer to the last question is there: it is as long as its question,
/// so that it always gets one and changes nothing of what others get.
async fn bytes_until_answered(socket: &UdpSocket) -> usize {
    let mut last = message(1, b"\x80\x22\x00\x08software");
    last[8..20].copy_from_slice(b"the last one");
    socket.send(&last).await.unwrap();
    let mut buffer = [0; 2048];
    let mut bytes = 0;
    loop {
        let len = timeout(PATIENCE, socket.recv(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        if buffer[8..20] == *b"the last one" {
            assert_eq!(len, last.len());
            return bytes;
        }
        bytes += len;
    }
}

#[tokio::test]
async fn an_answer_leaves_from_the_address_that_was_asked() {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let server = server_with(|config| config.turn.listen = Some(any)).await;
    for asked in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]] {
        // It hears nobody else.
        let asked = SocketAddr::from((asked, server.turn_addr().port()));
        let client = socket("127.0.0.1:0", asked).await;
        client.send(&allocate()).await.unwrap();
        client.send(&allocate()).await.unwrap();
        assert_eq!(bytes_until_answered(&client).await, 48);
    }
}

#[tokio::test]
async fn strangers_are_answered_with_no_more_than_they_sent_and_that_is_enough() {
    let server = server().await;
    let stranger = socket("127.0.0.1:0", server.turn_addr()).await;
    assert_eq!(allocate().len(), 28);
    let mut answered = 0;
    for times in 1..=1000 {
        stranger.send(&allocate()).await.unwrap();
        answered += bytes_until_answered(&stranger).await;
        // As soon as it is paid for.
        assert_eq!(answered, 28 * times / 48 * 48);
    }
}

#[tokio::test]
async fn whatever_a_stranger_says_it_is_answered_with_no_more_than_that() {
    let server = server().await;
    let stranger = socket("127.0.0.1:0", server.turn_addr()).await;
    let transport = b"\x00\x19\x00\x04\x11\x00\x00\x00";
    let channel = b"\x00\x0c\x00\x04\x40\x00\x00\x00";
    let user = b"\x00\x06\x00\x04name\x00\x14\x00\x04turn\x00\x15\x00\x08oldnonce";
    let integrity = [&b"\x00\x08\x00\x14"[..], &[7; 20]].concat();
    let mut credit = 0;
    for kind in [1, 3, 4, 6, 8, 9, 0x16, 0x17, 0x101, 0x103, 0x113] {
        for attributes in [
            vec![],
            transport.to_vec(),
            channel.to_vec(),
            user.to_vec(),
            [&user[..], &integrity].concat(),
            integrity.clone(),
        ] {
            let question = message(kind, &attributes);
            stranger.send(&question).await.unwrap();
            credit += question.len();
            let bytes = bytes_until_answered(&stranger).await;
            let left = credit.checked_sub(bytes);
            credit = left.unwrap_or_else(|| panic!("{kind:#x}: {bytes} for {credit}"));
        }
    }
    for noise in [
        &b"\x40\x00\x00\x04data"[..],
        b"",
        b"\x16\x03\x01\x00\x00",
        &[0x80; 100],
    ] {
        stranger.send(noise).await.unwrap();
        assert_eq!(bytes_until_answered(&stranger).await, 0);
    }
}

#[tokio::test]
async fn the_flood_of_a_stranger_stops_nobody_else() {
    let server = server().await;
    let flood = socket("127.66.0.1:0", server.turn_addr()).await;
    let noise = tokio::spawn(async move {
        for _ in 0..50_000 {
            // A full buffer is what is wanted here.
            let _ = flood.try_send(&allocate());
            tokio::task::yield_now().await;
        }
    });
    let mut served = 0;
    while !noise.is_finished() {
        // As Chromium does: again after a quarter of a second without an answer.
        let client = socket("127.0.0.1:0", server.turn_addr()).await;
        let mut buffer = [0; 100];
        let answer = async {
            loop {
                client.send(&allocate()).await.unwrap();
                let answer = client.recv(&mut buffer);
                if let Ok(len) = timeout(Duration::from_millis(250), answer).await {
                    return len.unwrap();
                }
            }
        };
        assert_eq!(timeout(PATIENCE, answer).await.unwrap(), 48);
        served += 1;
    }
    noise.await.unwrap();
    assert!(served > 0);
}
