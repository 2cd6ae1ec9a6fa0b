//! What the engine has to tell, until the control half fetches it.

use std::collections::VecDeque;
use std::mem::discriminant;

use super::command::EngineEvent;

/// News in order. Of what may be said again and again only the last word about each leg or group is kept, so
/// that the queue stays bounded.
#[derive(Debug, Default)]
pub(super) struct Events(VecDeque<EngineEvent>);

impl Events {
    /// Adds news, in place of older news of the same kind about the same leg or group.
    pub(super) fn push(&mut self, event: EngineEvent) {
        let is_older = |known: &&mut EngineEvent| {
            discriminant(*known) == discriminant(&event) && known.subject() == event.subject()
        };
        match self.0.iter_mut().find(is_older) {
            Some(known) => *known = event,
            None => self.0.push_back(event),
        }
    }

    /// The oldest.
    pub(super) fn pop(&mut self) -> Option<EngineEvent> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sfu::{Fallback, Leg, PublicationId, SubscriptionId};

    #[test]
    fn the_last_word_of_a_kind_about_a_leg_replaces_those_before() {
        let mut events = Events::default();
        let (one, two) = (SubscriptionId(1), SubscriptionId(2));
        events.push(EngineEvent::Connected(Leg::Subscriber(one)));
        for state in [Fallback::Warned, Fallback::AudioOnly] {
            events.push(EngineEvent::Fallback(one, state));
            events.push(EngineEvent::Fallback(two, Fallback::Warned));
            events.push(EngineEvent::Layers(PublicationId(1), 2));
        }
        let all: Vec<_> = std::iter::from_fn(|| events.pop()).collect();
        let expected = [
            EngineEvent::Connected(Leg::Subscriber(one)),
            EngineEvent::Fallback(one, Fallback::AudioOnly),
            EngineEvent::Fallback(two, Fallback::Warned),
            EngineEvent::Layers(PublicationId(1), 2),
        ];
        assert_eq!(all, expected);
    }
}
