//! What one client has been sent, or will be once it is back, and has not acknowledged.

use std::collections::VecDeque;

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

/// Where a message stands among all that one client was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// Messages in the order of sending. Overflow rule: nothing is dropped, the connection ends.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    messages: VecDeque<(Place, Message)>,
    bytes: usize,
    next: Place,
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
        self.messages.push_back((self.next, message));
        self.next.0 += 1;
        Ok(())
    }

    /// Forgets a message, and tells where it stood. Clients acknowledge in order, so the search is
    /// short; an id that was never sent costs one walk through a bounded queue.
    pub(super) fn acknowledge(&mut self, transaction: Uuid) -> Option<Place> {
        let at = self
            .messages
            .iter()
            .position(|(_, m)| m.transaction == transaction)?;
        let (place, message) = self.messages.remove(at)?;
        self.bytes -= message.frame.len();
        Some(place)
    }

    /// The frames to replay, oldest first.
    pub(super) fn frames(&self) -> impl Iterator<Item = Bytes> {
        self.messages.iter().map(|(_, m)| m.frame.clone())
    }

    /// Where the next message will stand.
    pub(super) fn next(&self) -> Place {
        self.next
    }
}

#[cfg(test)]
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
        assert_eq!(unacked.acknowledge(Uuid::from_u128(2)), Some(Place(1)));
        assert_eq!(unacked.acknowledge(Uuid::from_u128(2)), None, "only once");
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
}
