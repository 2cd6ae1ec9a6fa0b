//! One websocket: its upgrade, its read loop and its write loop.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tracing::{Instrument, debug, debug_span, trace};
use uuid::Uuid;

use crate::driver::hub::{HubHandle, SocketHandle};
use crate::driver::outbox::{OutboxReader, Outgoing};
use crate::hub::effect::SocketOpen;
use crate::signaling::frame::{Frame, MAX_FRAME_LEN};

/// How long a client may take to accept one message, or to answer a close, before its websocket
/// is dropped. The outbox is full long before that if anything is sent at all.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

type Sink = futures_util::stream::SplitSink<WebSocket, Message>;
type Source = futures_util::stream::SplitStream<WebSocket>;

/// Accepts a websocket. The URL says whether it is new or replaces a lost one.
pub async fn upgrade(
    State(hub): State<HubHandle>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let open = parse_open(query.as_deref().unwrap_or_default());
    upgrade
        .max_message_size(MAX_FRAME_LEN)
        .max_frame_size(MAX_FRAME_LEN)
        .on_failed_upgrade(|error| debug!(%error, "Websocket upgrade failed"))
        .on_upgrade(move |socket| serve(hub, open, socket))
}

/// Reads `socketId` and `reconnect` (`protocol/signaling.md`, section 3); `attempt` only serves
/// to tell log lines apart.
fn parse_open(query: &str) -> SocketOpen {
    let mut open = SocketOpen::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "socketId" => open.socket_id = Uuid::try_parse(&value).ok(),
            "reconnect" => open.reconnect = value == "true",
            _ => {}
        }
    }
    open
}

async fn serve(hub: HubHandle, open: SocketOpen, socket: WebSocket) {
    let Ok((handle, outbox)) = hub.open(open).await else { return };
    let span = debug_span!("websocket", socket = handle.key().0);
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
            let _ = timeout(WRITE_TIMEOUT, async { while source.next().await.is_some() {} }).await;
        }
    }
    .instrument(span)
    .await;
}

/// Passes frames to the hub until the websocket or the hub ends.
async fn read(hub: &SocketHandle, source: &mut Source) {
    while let Some(message) = source.next().await {
        let told = match message {
            Ok(Message::Binary(bytes)) => match Frame::decode(&bytes) {
                Ok(frame) => hub.frame(frame).await,
                Err(error) => {
                    debug!(%error, "Malformed frame");
                    hub.malformed().await
                }
            },
            Ok(Message::Text(_)) => hub.malformed().await,
            Ok(Message::Ping(_) | Message::Pong(_)) => Ok(()),
            Ok(Message::Close(frame)) => {
                debug!(code = frame.map(|f| f.code), "Closed by the client");
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

/// Sends what the hub queues until it lets go of the websocket. Returns whether a close was sent.
async fn write(mut outbox: OutboxReader, mut sink: Sink) -> bool {
    while let Some(outgoing) = outbox.next().await {
        let (message, last) = match outgoing {
            Outgoing::Frame(frame) => (Message::Binary(frame), false),
            Outgoing::Close(code) => {
                (Message::Close(Some(CloseFrame { code, reason: "".into() })), true)
            }
        };
        match timeout(WRITE_TIMEOUT, sink.send(message)).await {
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
        if last {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_resume_is_understood_wherever_its_parameters_stand() {
        let id = "fc764b1c-fd2f-4ae1-a18e-4b25b9f6d171";
        let open = parse_open(&format!("x=1&attempt=a&reconnect=true&socketId={id}"));
        assert_eq!(open.socket_id, Uuid::try_parse(id).ok());
        assert!(open.reconnect);
        assert_eq!(parse_open(""), SocketOpen::default());
        assert_eq!(parse_open("socketId=nonsense&reconnect=1"), SocketOpen::default());
    }
}
