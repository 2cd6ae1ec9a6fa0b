//! One websocket: its read loop and its write loop.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{self, CloseFrame};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::{Instrument, debug, debug_span, trace};

use super::WRITE_BUFFER_LEN;
use super::upgrade::{Sink, Source};
use crate::driver::hub::{HubHandle, HubStopped, SocketHandle};
use crate::driver::outbox::{OutboxReader, Outgoing};
use crate::hub::effect::SocketOpen;
use crate::signaling::frame::Frame;
use crate::telemetry::traces::Cause;

/// How long a client may take to accept one message before its websocket is dropped. The outbox
/// is full long before that if anything is sent at all.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the other side may take to finish the close handshake (RFC 6455, 7.1.1 asks for no
/// particular time).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Carries one websocket's messages to the hub and back, until either side ends it.
pub(super) async fn serve(
    hub: HubHandle,
    open: SocketOpen,
    (mut sink, mut source): (Sink, Source),
    cause: Cause,
) {
    let Ok((handle, outbox)) = hub.open(open).await else {
        debug!("Websocket during shutdown");
        return;
    };
    let span = debug_span!(
        "websocket",
        socket = handle.key().0,
        resumes = open.reconnect
    );
    cause.lead_to(&span);
    async move {
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
    Violation(CloseCode),
}

/// Passes frames to the hub until the websocket ends.
async fn read(hub: &SocketHandle, source: &mut Source) -> End {
    while let Some(message) = source.next().await {
        let told = match message {
            Ok(Message::Binary(bytes)) => pass_on(hub, &bytes).await,
            Ok(Message::Text(_)) => hub.malformed().await,
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(()),
            Ok(Message::Close(frame)) => {
                debug!(
                    code = frame.map(|f| u16::from(f.code)),
                    "Closed by the client"
                );
                // Our half of the close handshake is written by the next read.
                let _ = timeout(CLOSE_TIMEOUT, source.next()).await;
                return End::Gone;
            }
            Err(error) => {
                debug!(%error, "Websocket failed");
                return violation(&error).map_or(End::Gone, End::Violation);
            }
        };
        if told.is_err() {
            // Nobody hears it any more, but what the hub queued before its end is still being
            // written, and its close comes last: that loop ends this one.
            trace!("Message after the hub's end");
        }
    }
    End::Gone
}

/// The close code for what the other side did wrong (RFC 6455, 7.4.1), if it was its fault.
fn violation(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(_) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
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
        let last = matches!(outgoing, Outgoing::Close(_));
        let sent = async {
            match outgoing {
                Outgoing::Frame(message) => feed(sink, message).await?,
                Outgoing::Close(code) => sink.feed(close(code.into())).await?,
            }
            // What waits already leaves together with it.
            if last || outbox.is_empty() {
                sink.flush().await?;
            }
            Ok::<_, Error>(())
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

/// Puts a message in front of the websocket, a long one in parts (RFC 6455, 5.4).
async fn feed(sink: &mut Sink, message: Bytes) -> Result<(), Error> {
    for part in parts(message) {
        sink.feed(part).await?;
    }
    Ok(())
}

/// The frames of one binary message.
fn parts(message: Bytes) -> impl Iterator<Item = Message> {
    let mut rest = Some((Data::Binary, message));
    std::iter::from_fn(move || {
        let (opcode, mut bytes) = rest.take()?;
        let later = bytes.split_off(bytes.len().min(WRITE_BUFFER_LEN));
        let is_last = later.is_empty();
        if !is_last {
            rest = Some((Data::Continue, later));
        }
        let part = frame::Frame::message(bytes, OpCode::Data(opcode), is_last);
        Some(Message::Frame(part))
    })
}

fn close(code: CloseCode) -> Message {
    let reason = "".into();
    Message::Close(Some(CloseFrame { code, reason }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the lengths of a message's parts, and that they are that message.
    fn check(len: usize, lens: &[usize]) {
        let message: Bytes = (0..len).map(|i| i as u8).collect();
        let parts: Vec<_> = parts(message.clone())
            .map(|part| match part {
                Message::Frame(frame) => frame,
                other => panic!("no frame: {other}"),
            })
            .collect();
        assert_eq!(
            parts.iter().map(|p| p.payload().len()).collect::<Vec<_>>(),
            lens
        );
        let payloads = parts.iter().flat_map(|p| p.payload().iter().copied());
        assert_eq!(payloads.collect::<Bytes>(), message);
        for (index, part) in parts.iter().enumerate() {
            let opcode = if index == 0 {
                Data::Binary
            } else {
                Data::Continue
            };
            assert_eq!(part.header().opcode, OpCode::Data(opcode));
            assert_eq!(part.header().is_final, index + 1 == lens.len());
        }
    }

    #[test]
    fn a_long_message_leaves_in_parts_and_a_short_one_as_it_is() {
        check(0, &[0]);
        check(9, &[9]);
        check(1024, &[1024]);
        check(1025, &[1024, 1]);
        check(3072, &[1024; 3]);
    }
}
