//! One connection to a server, on which a test writes as slowly as it likes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a request ends with whose connection is to be kept.
pub(crate) const PROBE: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self(TcpStream::connect(to).await.unwrap())
    }

    /// Connects from another address of this machine: 127.0.0.0/8 is all of it.
    pub(crate) async fn connect_from(address: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.into(), 0)).unwrap();
        Self(socket.connect(to).await.unwrap())
    }

    /// Writes; false if the other side does not want to hear it any more.
    pub(crate) async fn write(&mut self, text: &str) -> bool {
        let written = timeout(PATIENCE, self.0.write_all(text.as_bytes())).await;
        written.expect("it is taken or refused").is_ok()
    }

    /// The next answer's head and body.
    pub(crate) async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            let read = timeout(PATIENCE, self.0.read_buf(&mut answer)).await;
            let read = read.expect("an answer comes").unwrap();
            assert!(read > 0, "closed after {:?}", String::from_utf8(answer));
        }
        String::from_utf8(answer).unwrap()
    }

    /// Asks and reads the answer.
    pub(crate) async fn ask(&mut self, request: &str) -> String {
        assert!(self.write(request).await);
        self.answer().await
    }

    /// Whether nothing has come yet.
    pub(crate) fn is_silent(&self) -> bool {
        let read = self.0.try_read(&mut [0; 1]);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Waits until the other side closes; what it says before is the answer.
    pub(crate) async fn closed(&mut self) -> String {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await;
        // A reset is an end, too.
        let _ = read.expect("it is closed");
        String::from_utf8(rest).unwrap()
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let line = line.to_ascii_lowercase();
        line.strip_prefix("content-length: ")?.parse().ok()
    });
    body.len() >= length.unwrap_or(0)
}
