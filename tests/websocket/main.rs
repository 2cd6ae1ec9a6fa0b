//! The websocket as RFC 6455 wants it, asked of the running server with hand-made bytes: what may
//! be fragmented, what may not, and with which code the server closes on what it cannot accept.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/process.rs"]
mod process;
mod wire;

use process::Process;
use wire::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, Reply, Socket, TEXT};

/// A Rumor PING and the PONG that answers it (`protocol/signaling.md`, 3).
const RUMOR_PING: [u8; 9] = [0, 0, 0, 5, 0, 0, 7, 0, 0];
const RUMOR_PONG: [u8; 9] = [0, 0, 0, 5, 0, 0, 8, 0, 0];

/// Longer than any message the server accepts.
const TOO_LONG: usize = 8 << 20;

/// What the server must do after a case's bytes.
enum Expect {
    /// Answer the Rumor PING, after these control frames.
    Pong(Vec<Reply>),
    /// Close with this code.
    Close(u16),
}

fn rumor_ping() -> Frame {
    Frame::new(BINARY, &RUMOR_PING)
}

/// Each case: what it shows, the frames, what must follow.
fn cases() -> Vec<(&'static str, Vec<Frame>, Expect)> {
    use Expect::{Close, Pong};
    let part = |opcode, bytes: &[u8], fin| Frame {
        fin,
        ..Frame::new(opcode, bytes)
    };
    let pong = |payload: &[u8]| Reply {
        opcode: PONG,
        payload: payload.to_vec(),
    };
    vec![
        ("one whole message", vec![rumor_ping()], Pong(vec![])),
        (
            "a message in three fragments",
            vec![
                part(BINARY, &RUMOR_PING[..3], false),
                part(CONTINUATION, &RUMOR_PING[3..4], false),
                part(CONTINUATION, &RUMOR_PING[4..], true),
            ],
            Pong(vec![]),
        ),
        (
            "empty fragments around a message",
            vec![
                part(BINARY, &[], false),
                part(CONTINUATION, &RUMOR_PING, false),
                part(CONTINUATION, &[], true),
            ],
            Pong(vec![]),
        ),
        (
            "a ping between fragments is answered first",
            vec![
                part(BINARY, &RUMOR_PING[..5], false),
                Frame::new(PING, b"now"),
                part(CONTINUATION, &RUMOR_PING[5..], true),
            ],
            Pong(vec![pong(b"now")]),
        ),
        (
            "a ping of the greatest length",
            vec![Frame::new(PING, &[7; 125]), rumor_ping()],
            Pong(vec![pong(&[7; 125])]),
        ),
        (
            "an unasked pong",
            vec![Frame::new(PONG, b"?"), rumor_ping()],
            Pong(vec![]),
        ),
        (
            "a ping that is too long",
            vec![Frame::new(PING, &[7; 126])],
            Close(1002),
        ),
        (
            "a ping in fragments",
            vec![part(PING, b"x", false)],
            Close(1002),
        ),
        (
            "a reserved bit",
            vec![Frame {
                reserved: 0x40,
                ..rumor_ping()
            }],
            Close(1002),
        ),
        (
            "a reserved data opcode",
            vec![Frame::new(3, b"")],
            Close(1002),
        ),
        (
            "a reserved control opcode",
            vec![Frame::new(11, b"")],
            Close(1002),
        ),
        (
            "a frame without a mask",
            vec![Frame {
                masked: false,
                ..rumor_ping()
            }],
            Close(1002),
        ),
        (
            "a continuation of nothing",
            vec![Frame::new(CONTINUATION, b"x")],
            Close(1002),
        ),
        (
            "a message inside a message",
            vec![part(BINARY, b"x", false), rumor_ping()],
            Close(1002),
        ),
        (
            "text that is not UTF-8",
            vec![Frame::new(TEXT, &[0xc3, 0x28])],
            Close(1007),
        ),
        ("text", vec![Frame::new(TEXT, b"hello")], Close(1003)),
        (
            "a message that is no Rumor frame",
            vec![Frame::new(BINARY, b"hello")],
            Close(1003),
        ),
        (
            "an empty message",
            vec![Frame::new(BINARY, b"")],
            Close(1003),
        ),
        (
            "a message that is too long",
            vec![Frame {
                declared_len: Some(TOO_LONG as u64),
                ..Frame::new(BINARY, b"")
            }],
            Close(1009),
        ),
        (
            "a length that no machine has",
            vec![Frame {
                declared_len: Some(u64::MAX >> 1),
                ..Frame::new(BINARY, b"")
            }],
            Close(1009),
        ),
        (
            "fragments that are too long together",
            std::iter::once(part(BINARY, &[0; 60_000], false))
                .chain((0..60).map(|_| part(CONTINUATION, &[0; 60_000], false)))
                .collect(),
            Close(1009),
        ),
        (
            "a close",
            vec![Frame::new(CLOSE, &1000u16.to_be_bytes())],
            Close(1000),
        ),
        (
            "a close of one byte",
            vec![Frame::new(CLOSE, &[3])],
            Close(1002),
        ),
        (
            "a close with a code for nobody",
            vec![Frame::new(CLOSE, &1005u16.to_be_bytes())],
            Close(1002),
        ),
        (
            "a close with a reason that is not UTF-8",
            vec![Frame::new(CLOSE, &[0x03, 0xe8, 0xc3, 0x28])],
            Close(1007),
        ),
    ]
}

#[test]
fn the_server_follows_rfc_6455_in_every_case() {
    let server = Process::start();
    let mut wrong = Vec::new();
    for (what, frames, expect) in cases() {
        let mut socket = Socket::open(server.addr);
        for frame in &frames {
            if !socket.send(frame) {
                break; // closed already; what it said is still to be read
            }
        }
        let replies = socket.replies(matches!(expect, Expect::Pong(_)));
        let right = match &expect {
            Expect::Pong(before) => replies.split_last().is_some_and(|(last, rest)| {
                last.opcode == BINARY && last.payload == RUMOR_PONG && rest == before
            }),
            Expect::Close(code) => replies.last().and_then(Reply::close_code) == Some(*code),
        };
        if !right {
            wrong.push(format!("{what}: {replies:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_message_may_arrive_byte_by_byte() {
    let server = Process::start();
    let mut socket = Socket::open(server.addr);
    for byte in rumor_ping().encode() {
        socket.write(&[byte]);
    }
    let replies = socket.replies(true);
    assert_eq!(
        replies.last().map(|r| &r.payload[..]),
        Some(&RUMOR_PONG[..])
    );
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_a_frame_harms_nobody() {
    let server = Process::start();
    let bytes = rumor_ping().encode();
    for cut in 1..bytes.len() {
        let mut socket = Socket::open(server.addr);
        socket.write(&bytes[..cut]);
    }
    let mut socket = Socket::open(server.addr);
    socket.send(&rumor_ping());
    assert!(!socket.replies(true).is_empty());
}
