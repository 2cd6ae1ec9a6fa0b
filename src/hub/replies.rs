//! Replies that one client was given.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::unacked::Place;

/// Longest reply, in bytes, that is kept also once it is known to have arrived: nearly all are
/// shorter, and the state of a session, which a join is answered with, is not.
const SHORT: usize = 512;

/// Replies given, so that a request that comes again is not executed again.
///
/// Clients do not acknowledge replies; a request only comes again after a resume, within the
/// grace time, and only if its reply was lost (`protocol/signaling.md`, 4.2). A websocket keeps
/// the order of what is sent, so the acknowledgement of a message shows that the replies before it
/// have arrived. Overflow rule: the oldest reply goes, and its request would be executed again.
#[derive(Debug, Default)]
pub(super) struct Replies {
    given: BTreeMap<Uuid, Reply>,
    order: VecDeque<(Instant, Uuid)>,
    /// Long ones on their way by the present websocket, with the place of the message behind them.
    long: VecDeque<(Place, Uuid)>,
}

/// A reply that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// To be sent again.
    Kept(Bytes),
    /// Known to have arrived, and too long to keep. No client asks for it again.
    Arrived,
}

impl Replies {
    /// The reply given to this request, if it is one that came before.
    pub(super) fn find(&self, transaction: Uuid) -> Option<&Reply> {
        self.given.get(&transaction)
    }

    /// Keeps a reply, and lets go of old ones. If there is a websocket to send it by, it leaves in
    /// front of the message that will stand at `next`.
    pub(super) fn insert(
        &mut self,
        transaction: Uuid,
        frame: Bytes,
        next: Option<Place>,
        now: Instant,
        (max, age): (usize, Duration),
    ) {
        if let Some(next) = next
            && frame.len() > SHORT
        {
            self.long.push_back((next, transaction));
        }
        self.given.insert(transaction, Reply::Kept(frame));
        self.order.push_back((now, transaction));
        self.expire(now, (max, age));
    }

    /// Lets go of those that are too many or too old.
    pub(super) fn expire(&mut self, now: Instant, (max, age): (usize, Duration)) {
        while let Some((at, oldest)) = self.order.front()
            && (self.order.len() > max || now.saturating_duration_since(*at) > age)
        {
            self.given.remove(oldest);
            if self.long.front().is_some_and(|(_, long)| long == oldest) {
                self.long.pop_front();
            }
            self.order.pop_front();
        }
    }

    /// The message at this place has arrived, by the present websocket.
    pub(super) fn arrived(&mut self, place: Place) {
        while let Some((behind, transaction)) = self.long.front()
            && *behind <= place
        {
            if let Some(reply) = self.given.get_mut(transaction) {
                *reply = Reply::Arrived;
            }
            self.long.pop_front();
        }
    }

    /// The websocket is gone, and with it whatever was under way.
    pub(super) fn lost(&mut self) {
        self.long.clear();
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "any moment will do as the start of invented time"
)]
mod tests {
    use super::*;

    const LIMITS: (usize, Duration) = (2, Duration::from_secs(45));

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn replies_are_bounded_in_number_and_age() {
        let start = Instant::now();
        let mut replies = Replies::default();
        let insert = |replies: &mut Replies, n, now| {
            replies.insert(id(n), Bytes::new(), None, now, LIMITS);
        };
        (1..=3).for_each(|n| insert(&mut replies, n, start));
        assert_eq!(replies.find(id(1)), None);
        assert!(replies.find(id(2)).is_some());
        insert(&mut replies, 4, start + Duration::from_secs(46));
        assert_eq!(replies.find(id(3)), None);
        assert!(replies.find(id(4)).is_some());
        replies.expire(start + Duration::from_secs(92), LIMITS);
        assert_eq!(replies.find(id(4)), None);
    }

    #[test]
    fn bounds_hold_for_long_ones_too() {
        let (start, mut replies) = (Instant::now(), Replies::default());
        for n in 1..=100 {
            let long = vec![0; SHORT + 1].into();
            replies.insert(id(n), long, Some(Place::default()), start, LIMITS);
        }
        assert_eq!((replies.given.len(), replies.long.len()), (2, 2));
    }
}
