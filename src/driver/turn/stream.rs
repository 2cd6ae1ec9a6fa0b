//! TURN on streams, TCP or TLS: each has a task that cuts what comes in into messages, and writes
//! those that go out.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::{debug, trace};

use super::{Input, TurnHandle};
use crate::net::connection::Connection;
use crate::turn::{Client, Framing, MAX_LEN, frame};

/// Messages that may wait for one stream: a second of a good picture. What comes on top is lost.
const OUTBOX_LEN: usize = 512;

/// How long a client may take nothing at all before it is given up, also when the server wants to
/// see the stream closed.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// Messages written before a flush.
const WRITE_BATCH_LEN: usize = 32;

/// Connections that may wait to be served; behind them, they wait at the port.
const ACCEPT_LEN: usize = 64;

/// Serves every connection that comes out of `connections`, until nobody sends any more; then
/// those that there are end with the server.
async fn serve(turn: TurnHandle, mut connections: mpsc::Receiver<Connection>) {
    let mut streams = JoinSet::new();
    while let Some(connection) = connections.recv().await {
        while streams.try_join_next().is_some() {}
        let client = Client::stream(canonical(connection.peer), turn.number());
        streams.spawn(serve_one(turn.clone(), client, connection));
    }
    while streams.join_next().await.is_some() {}
}

/// Takes connections for the server; the task that does so ends when the sender is dropped and all
/// streams have ended.
pub fn accept(turn: TurnHandle) -> (mpsc::Sender<Connection>, JoinHandle<()>) {
    let (sender, connections) = mpsc::channel(ACCEPT_LEN);
    (sender, tokio::spawn(serve(turn, connections)))
}

async fn serve_one(
    turn: TurnHandle,
    client: Client,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let (outbox, waiting) = mpsc::channel(OUTBOX_LEN);
    if turn.tell(Input::Opened { client, outbox }).await.is_err() {
        return;
    }
    let (reader, writer) = tokio::io::split(stream);
    // The server lets go of the outbox to end a stream; whichever half ends first ends both.
    let ended = tokio::select! {
        ended = read(&turn, client, reader) => ended,
        ended = write(writer, waiting) => ended,
    };
    match ended {
        Ok(()) => trace!(?client.stream, "Stream closed"),
        Err(error) => debug!(%error, "Stream given up"),
    }
    // An error means that the server is gone, and has forgotten all.
    let _ = turn.tell(Input::Closed { client }).await;
}

async fn read(
    turn: &TurnHandle,
    client: Client,
    mut reader: impl AsyncRead + Unpin,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4 * MAX_LEN);
    while reader.read_buf(&mut buffer).await? > 0 {
        let mut at = 0;
        loop {
            match frame(&buffer[at..]) {
                Framing::Message { len, total } => {
                    let bytes = buffer[at..at + len].to_vec();
                    at += total;
                    if turn.tell(Input::Message { client, bytes }).await.is_err() {
                        return Ok(());
                    }
                }
                Framing::Incomplete => break,
                Framing::Invalid => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "is no TURN"));
                }
            }
        }
        // Less than one message is left.
        buffer.drain(..at);
    }
    Ok(())
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(WRITE_BATCH_LEN);
    while waiting.recv_many(&mut batch, WRITE_BATCH_LEN).await > 0 {
        for message in batch.drain(..) {
            // One by one: coturn's client takes a TLS record for a message, and loses a second one.
            timeout(WRITE_PATIENCE, writer.write_all(&message)).await??;
        }
        timeout(WRITE_PATIENCE, writer.flush()).await??;
    }
    timeout(WRITE_PATIENCE, writer.shutdown()).await?
}

/// The address as IPv4 where a dual-stack listener saw it mapped.
fn canonical(mut address: SocketAddr) -> SocketAddr {
    address.set_ip(address.ip().to_canonical());
    address
}
