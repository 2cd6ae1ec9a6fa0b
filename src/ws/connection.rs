//! One websocket: its read loop and its write loop.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tracing::{Instrument, debug, debug_span, trace};

use crate::driver::hub::{HubHandle, HubStopped, SocketHandle};
use crate::driver::outbox::{OutboxReader, Outgoing};
use crate::hub::effect::SocketOpen;
use crate::signaling::frame::Frame;

/// How long a client may take to accept one message before its websocket is dropped. The outbox
/// is full long before that if anything is sent at all.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the other side may take to finish the close handshake (RFC 6455, 7.1.1 asks for no
/// particular time).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

type Sink = SplitSink<WebSocket, Message>;
type Source = SplitStream<WebSocket>;

/// Carries one websocket's messages to the hub and back, until either side ends it.
pub(super) async fn serve(hub: HubHandle, open: SocketOpen, socket: WebSocket) {
    let Ok((handle, outbox)) = hub.open(open).await else {
        debug!("Websocket during shutdown");
        return;
    };
    let span = debug_span!(
        "websocket",
        socket = handle.key().0,
        resumes = open.reconnect
    );
    async move {
        let (mut sink, mut source) = socket.split();
        // Whichever loop ends first ends the other.
        let end = tokio::select! {
            end = read(&handle, &mut source) => end,
            end = write(outbox, &mut sink) => end,
        };
        handle.lost().await;
        let closing = async {
            match end {
                End::Gone => return,
                End::Violation(code) if sink.send(close(code)).await.is_err() => return,
                End::Violation(_) | End::Closing => {}
            }
            // Unread bytes would turn our close into a reset, and its code would be lost.
            while let Some(Ok(_)) = source.next().await {}
        };
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }
    .instrument(span)
    .await;
}

/// How a websocket came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is nobody left to speak to.
    Gone,
    /// We have sent a close.
    Closing,
    /// The other side broke the rules; it is to be told with this code.
    Violation(u16),
}

/// Passes frames to the hub until the websocket or the hub ends.
async fn read(hub: &SocketHandle, source: &mut Source) -> End {
    while let Some(message) = source.next().await {
        let told = match message {
            Ok(Message::Binary(bytes)) => pass_on(hub, &bytes).await,
            Ok(Message::Text(_)) => hub.malformed().await,
            Ok(Message::Ping(_) | Message::Pong(_)) => Ok(()),
            Ok(Message::Close(frame)) => {
                debug!(code = frame.map(|f| f.code), "Closed by the client");
                // Our half of the close handshake is written by the next read.
                let _ = timeout(CLOSE_TIMEOUT, source.next()).await;
                return End::Gone;
            }
            Err(error) => {
                debug!(%error, "Websocket failed");
                return violation(error).map_or(End::Gone, End::Violation);
            }
        };
        if told.is_err() {
            return End::Gone;
        }
    }
    End::Gone
}

/// The close code for what the other side did wrong (RFC 6455, 7.4.1), if it was its fault.
fn violation(error: axum::Error) -> Option<u16> {
    match *error.into_inner().downcast().ok()? {
        Error::Capacity(_) => Some(close_code::SIZE),
        Error::Utf8(_) => Some(close_code::INVALID),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(close_code::PROTOCOL),
        _ => None,
    }
}

async fn pass_on(hub: &SocketHandle, bytes: &[u8]) -> Result<(), HubStopped> {
    match Frame::decode(bytes) {
        Ok(frame) => hub.frame(frame).await,
        Err(error) => {
            debug!(%error, "Malformed frame");
            hub.malformed().await
        }
    }
}

/// Sends what the hub queues until it lets go of the websocket.
async fn write(mut outbox: OutboxReader, sink: &mut Sink) -> End {
    while let Some(outgoing) = outbox.next().await {
        let (message, last) = match outgoing {
            Outgoing::Frame(frame) => (Message::Binary(frame), false),
            Outgoing::Close(code) => (close(code), true),
        };
        // What waits already leaves together with it.
        let sent = async {
            sink.feed(message).await?;
            if last || outbox.is_empty() {
                sink.flush().await?;
            }
            Ok::<_, axum::Error>(())
        };
        match timeout(WRITE_TIMEOUT, sent).await {
            Ok(Ok(())) if last => return End::Closing,
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                trace!(%error, "Websocket failed while writing");
                return End::Gone;
            }
            Err(_) => {
                debug!("Client does not read; websocket dropped");
                return End::Gone;
            }
        }
    }
    End::Gone
}

fn close(code: u16) -> Message {
    let reason = "".into();
    Message::Close(Some(CloseFrame { code, reason }))
}
