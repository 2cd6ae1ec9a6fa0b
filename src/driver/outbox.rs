//! The bounded queue between the hub and one websocket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::config::limits::OutboxLimits;

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// The client does not read fast enough. Overflow rule: the frame is not queued, and whoever
    /// pushed must give the websocket up, since a gap would break the order of messages.
    #[error("outbox full")]
    Full,
    /// The websocket is gone already.
    #[error("websocket gone")]
    Gone,
}

/// What a websocket's write loop is told to do.
#[derive(Debug)]
pub enum Outgoing {
    /// Send one binary message.
    Frame(Bytes),
    /// Close with this code; nothing comes after it.
    Close(u16),
}

/// The hub's end.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    shared: Arc<Shared>,
    max_bytes: usize,
}

/// The write loop's end. Dropping it makes the outbox report [`OutboxError::Gone`].
#[derive(Debug)]
pub struct OutboxReader {
    queue: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
}

/// What both ends look at.
#[derive(Debug, Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    given_up: AtomicBool,
}

/// Makes the two ends.
pub fn outbox(limits: OutboxLimits) -> (Outbox, OutboxReader) {
    // One place more than frames may wait, so that a close always fits behind them.
    let (sender, receiver) = mpsc::channel(limits.frames + 1);
    let shared = Arc::<Shared>::default();
    let reader = OutboxReader {
        queue: receiver,
        shared: Arc::clone(&shared),
    };
    let outbox = Outbox {
        queue: sender,
        shared,
        max_bytes: limits.bytes,
    };
    (outbox, reader)
}

impl Outbox {
    /// Queues one frame.
    pub fn push(&self, frame: Bytes) -> Result<(), OutboxError> {
        let len = frame.len();
        if self.queue.is_closed() {
            return Err(OutboxError::Gone);
        }
        if self.queue.capacity() <= 1 || self.queued_bytes() + len > self.max_bytes {
            return Err(OutboxError::Full);
        }
        // Counted before it can be taken out again, so that the count never falls below zero.
        self.shared.queued_bytes.fetch_add(len, Ordering::Relaxed);
        self.queue
            .try_send(Outgoing::Frame(frame))
            .map_err(|_| OutboxError::Gone)
    }

    /// Queues the closing of the websocket behind what is queued already.
    pub fn close(&self, code: u16) {
        // A full queue here means that a close is queued already.
        let _ = self.queue.try_send(Outgoing::Close(code));
    }

    /// Gives the websocket up: what is queued is not sent any more, and nothing else either.
    pub fn give_up(self) {
        self.shared.given_up.store(true, Ordering::Release);
    }

    fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }
}

impl OutboxReader {
    /// The next thing to do; `None` once the hub has let go of the websocket.
    pub async fn next(&mut self) -> Option<Outgoing> {
        let next = self.queue.recv().await;
        if self.shared.given_up.load(Ordering::Acquire) {
            return None;
        }
        if let Some(Outgoing::Frame(frame)) = &next {
            let len = frame.len();
            self.shared.queued_bytes.fetch_sub(len, Ordering::Relaxed);
        }
        next
    }

    /// Whether nothing is waiting right now, so that it is worth flushing.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_outbox_refuses_frames_but_still_takes_the_close() {
        let (outbox, mut reader) = outbox(OutboxLimits {
            frames: 2,
            bytes: 100,
        });
        assert_eq!(outbox.push(Bytes::from_static(b"one")), Ok(()));
        assert_eq!(outbox.push(Bytes::from_static(b"two")), Ok(()));
        assert_eq!(
            outbox.push(Bytes::from_static(b"three")),
            Err(OutboxError::Full)
        );
        outbox.close(1011);
        assert!(matches!(reader.next().await, Some(Outgoing::Frame(f)) if f == "one"));
        assert!(matches!(reader.next().await, Some(Outgoing::Frame(f)) if f == "two"));
        assert!(matches!(reader.next().await, Some(Outgoing::Close(1011))));
    }

    #[tokio::test]
    async fn bytes_count_until_they_are_taken_out() {
        let (outbox, mut reader) = outbox(OutboxLimits {
            frames: 10,
            bytes: 5,
        });
        assert_eq!(outbox.push(Bytes::from_static(b"four")), Ok(()));
        assert_eq!(
            outbox.push(Bytes::from_static(b"xx")),
            Err(OutboxError::Full)
        );
        reader.next().await;
        assert_eq!(outbox.push(Bytes::from_static(b"xx")), Ok(()));
    }

    #[tokio::test]
    async fn what_waits_for_a_websocket_that_was_given_up_is_not_sent() {
        let (outbox, mut reader) = outbox(OutboxLimits {
            frames: 2,
            bytes: 100,
        });
        assert_eq!(outbox.push(Bytes::from_static(b"one")), Ok(()));
        outbox.give_up();
        assert!(reader.next().await.is_none());
    }

    #[test]
    fn an_outbox_without_a_reader_is_gone() {
        let (outbox, reader) = outbox(OutboxLimits {
            frames: 2,
            bytes: 100,
        });
        drop(reader);
        assert_eq!(outbox.push(Bytes::new()), Err(OutboxError::Gone));
    }
}
