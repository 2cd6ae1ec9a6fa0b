//! One websocket: its read loop and its write loop.

use std::error::Error;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
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
        let (sink, mut source) = socket.split();
        // Whichever loop ends first ends the other.
        let closing = tokio::select! {
            () = read(&handle, &mut source) => false,
            closing = write(outbox, sink) => closing,
        };
        handle.lost().await;
        if closing {
            // Unread bytes would turn our close into a reset, and its code would be lost.
            let rest = async { while let Some(Ok(_)) = source.next().await {} };
            let _ = timeout(CLOSE_TIMEOUT, rest).await;
        }
    }
    .instrument(span)
    .await;
}

/// Passes frames to the hub until the websocket or the hub ends.
async fn read(hub: &SocketHandle, source: &mut Source) {
    while let Some(message) = source.next().await {
        let told = match message {
            Ok(Message::Binary(bytes)) => pass_on(hub, &bytes).await,
            Ok(Message::Text(_)) => hub.malformed().await,
            Ok(Message::Ping(_) | Message::Pong(_)) => Ok(()),
            Ok(Message::Close(frame)) => {
                debug!(code = frame.map(|f| f.code), "Closed by the client");
                // Our half of the close handshake is written by the next read.
                let _ = timeout(CLOSE_TIMEOUT, source.next()).await;
                return;
            }
            Err(error) if is_too_long(&error) => {
                debug!(%error, "Message too long");
                // Where the next message begins is not known any more. The hub closes the
                // websocket, so that the client does not come back with the same message.
                if hub.malformed().await.is_ok() {
                    std::future::pending::<()>().await;
                }
                return;
            }
            Err(error) => {
                debug!(%error, "Websocket failed");
                return;
            }
        };
        if told.is_err() {
            return;
        }
    }
}

/// Whether a message was longer than the limit.
fn is_too_long(error: &axum::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(tungstenite::Error::Capacity(_)))
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

/// Sends what the hub queues until it lets go of the websocket. Returns whether a close was sent.
async fn write(mut outbox: OutboxReader, mut sink: Sink) -> bool {
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
            Ok(Ok(())) if last => return true,
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                trace!(%error, "Websocket failed while writing");
                return false;
            }
            Err(_) => {
                debug!("Client does not read; websocket dropped");
                return false;
            }
        }
    }
    false
}

fn close(code: u16) -> Message {
    let reason = "".into();
    Message::Close(Some(CloseFrame { code, reason }))
}
