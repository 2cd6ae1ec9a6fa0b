//! A websocket client that sends exactly the bytes it is told to (RFC 6455, 5).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One frame, right or wrong.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) reserved: u8,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    /// What the length field says when it is not the truth.
    pub(crate) declared_len: Option<u64>,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// A whole, correct frame.
    pub(crate) fn new(opcode: u8, payload: &[u8]) -> Self {
        Self {
            fin: true,
            reserved: 0,
            opcode,
            masked: true,
            declared_len: None,
            payload: payload.to_vec(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mask = if self.masked { 0x80 } else { 0 };
        let mut bytes = vec![u8::from(self.fin) << 7 | self.reserved | self.opcode];
        match self.declared_len.unwrap_or(self.payload.len() as u64) {
            len @ ..126 => bytes.push(mask | len as u8),
            len @ ..0x1_0000 => {
                bytes.push(mask | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(mask | 127);
                bytes.extend(len.to_be_bytes());
            }
        }
        let key = [1, 2, 3, 4];
        if self.masked {
            bytes.extend(key);
        }
        let masked = |(i, byte): (usize, &u8)| {
            if self.masked {
                byte ^ key[i % 4]
            } else {
                *byte
            }
        };
        bytes.extend(self.payload.iter().enumerate().map(masked));
        bytes
    }
}

/// One frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Reply {
    /// The code, if this is a close.
    pub(crate) fn close_code(&self) -> Option<u16> {
        let code = self
            .payload
            .first_chunk()
            .filter(|_| self.opcode == CLOSE)?;
        Some(u16::from_be_bytes(*code))
    }
}

pub(crate) struct Socket(TcpStream);

impl Socket {
    /// Upgrades, and sends the Rumor CONNECT with which every client begins.
    pub(crate) fn open(server: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let upgrade = format!(
            "GET /msg/rumorwebsocketsv2 HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        // RFC 6455, 1.3: the accept value that belongs to this key.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        let mut socket = Self(stream);
        socket.send(&Frame::new(BINARY, &rumor_connect()));
        socket
    }

    /// Whether the frame could be written: the server may have closed before.
    pub(crate) fn send(&mut self, frame: &Frame) -> bool {
        self.0.write_all(&frame.encode()).is_ok()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// What the server says, up to its first binary message or its close.
    pub(crate) fn replies(&mut self, until_binary: bool) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Ok(reply) = self.reply() {
            let last = reply.opcode == CLOSE || until_binary && reply.opcode == BINARY;
            replies.push(reply);
            if last {
                break;
            }
        }
        replies
    }

    fn reply(&mut self) -> std::io::Result<Reply> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len)?;
                usize::from(u16::from_be_bytes(len))
            }
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload)?;
        Ok(Reply {
            opcode: head[0] & 0x0f,
            payload,
        })
    }
}

/// A CONNECT frame with one header, the client's connection id.
fn rumor_connect() -> Vec<u8> {
    let (name, value) = ("uniqueId", "80f8d87d-48b5-41ca-95ad-8e29b25de8ee");
    let mut rest = vec![0, 0, 3, 0, 1];
    for text in [name, value] {
        rest.extend((text.len() as u16).to_be_bytes());
        rest.extend(text.as_bytes());
    }
    let mut frame = (rest.len() as u32).to_be_bytes().to_vec();
    frame.extend(rest);
    frame
}
