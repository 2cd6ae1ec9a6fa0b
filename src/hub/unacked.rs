//! What one client has been sent, or will be once it is back, and has not acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

/// One encoded event. Clones share the bytes, so it can wait for many clients at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The transaction id the client acknowledges.
    pub(super) transaction: Uuid,
    /// The whole frame.
    pub(super) frame: Bytes,
}

/// More is waiting for a client than is kept for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow;

/// Messages in the order of sending. Overflow rule: nothing is dropped, the connection ends.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Unacked {
    /// Keeps a message until [`Self::acknowledge`].
    pub(super) fn push(
        &mut self,
        message: Message,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<(), Overflow> {
        let bytes = self.bytes + message.frame.len();
        if self.messages.len() >= max_messages || bytes > max_bytes {
            return Err(Overflow);
        }
        self.bytes = bytes;
        self.messages.push_back(message);
        Ok(())
    }

    /// Forgets a message. Clients acknowledge in order, so the search is short; an id that was
    /// never sent costs one walk through a bounded queue.
    pub(super) fn acknowledge(&mut self, transaction: Uuid) -> bool {
        let Some(at) = self
            .messages
            .iter()
            .position(|m| m.transaction == transaction)
        else {
            return false;
        };
        if let Some(message) = self.messages.remove(at) {
            self.bytes -= message.frame.len();
        }
        true
    }

    /// The frames to replay, oldest first.
    pub(super) fn frames(&self) -> impl Iterator<Item = Bytes> {
        self.messages.iter().map(|m| m.frame.clone())
    }
}

/// Replies given, so that a request that comes again is not executed again.
///
/// Clients do not acknowledge replies; a request only comes again after a resume, within the
/// grace time. Overflow rule: the oldest reply goes, and its request would be executed again.
#[derive(Debug, Default)]
pub(super) struct Replies {
    frames: BTreeMap<Uuid, Bytes>,
    order: VecDeque<(Instant, Uuid)>,
}

impl Replies {
    /// The reply given to this request, if it is one that came before.
    pub(super) fn find(&self, transaction: Uuid) -> Option<Bytes> {
        self.frames.get(&transaction).cloned()
    }

    /// Keeps a reply, and lets go of old ones.
    pub(super) fn insert(
        &mut self,
        transaction: Uuid,
        frame: Bytes,
        now: Instant,
        (max, age): (usize, Duration),
    ) {
        self.frames.insert(transaction, frame);
        self.order.push_back((now, transaction));
        while let Some((at, oldest)) = self.order.front()
            && (self.order.len() > max || now.saturating_duration_since(*at) > age)
        {
            self.frames.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "any moment will do as the start of invented time"
)]
mod tests {
    use super::*;

    fn message(number: u128, len: usize) -> Message {
        Message {
            transaction: Uuid::from_u128(number),
            frame: vec![0; len].into(),
        }
    }

    #[test]
    fn messages_are_replayed_in_order_without_those_acknowledged() {
        let mut unacked = Unacked::default();
        for n in 1..=4 {
            unacked.push(message(n, n as usize), 10, 100).unwrap();
        }
        assert!(unacked.acknowledge(Uuid::from_u128(2)));
        assert!(!unacked.acknowledge(Uuid::from_u128(2)), "only once");
        let lens: Vec<_> = unacked.frames().map(|f| f.len()).collect();
        assert_eq!(lens, [1, 3, 4]);
    }

    #[test]
    fn messages_and_bytes_are_both_bounded() {
        let mut unacked = Unacked::default();
        unacked.push(message(1, 60), 2, 100).unwrap();
        assert_eq!(unacked.push(message(2, 60), 2, 100), Err(Overflow));
        unacked.push(message(3, 1), 2, 100).unwrap();
        assert_eq!(unacked.push(message(4, 1), 2, 100), Err(Overflow));
        unacked.acknowledge(Uuid::from_u128(1));
        unacked.push(message(5, 99), 2, 100).unwrap();
    }

    #[test]
    fn replies_are_bounded_in_number_and_age() {
        let (start, limits) = (Instant::now(), (2, Duration::from_secs(45)));
        let id = Uuid::from_u128;
        let mut replies = Replies::default();
        for n in 1..=3 {
            replies.insert(id(n), Bytes::new(), start, limits);
        }
        assert_eq!(replies.find(id(1)), None);
        assert!(replies.find(id(2)).is_some());
        replies.insert(id(4), Bytes::new(), start + Duration::from_secs(46), limits);
        assert_eq!(replies.find(id(3)), None);
        assert!(replies.find(id(4)).is_some());
    }
}
