//! What a call has brought leaves: for other workers first, then for the subscribers here.

use super::{Core, RUN, STEP};
use crate::sfu::Leg;
use crate::sfu::datagram::ReceiveSlab;
use crate::sfu::moment::Moment;
use crate::sfu::outlet::Outlet;
use crate::sfu::parcel::Item;
use crate::sfu::pipe::Demand;

impl Core {
    /// Whether a call that has taken so many datagrams is to leave the rest.
    pub(super) fn has_enough(&self, taken: usize, outlet: &Outlet<'_>) -> bool {
        taken >= RUN && self.owed + outlet.sent >= STEP
    }

    /// Hands what this call brought to the workers that have subscribers of it, too.
    pub(super) fn share(&mut self, received: &ReceiveSlab, at: &Moment, outlet: &mut Outlet<'_>) {
        for id in &self.touched {
            let Some(publication) = self.legs.publications.get_mut(id) else {
                continue;
            };
            let piped = publication.pass_packets(received, &mut self.post, at.now);
            self.counters.piped += piped.packets;
            self.counters.pipe_dropped += piped.dropped;
            if piped.keyframes != 0 {
                publication.want_keyframes(piped.keyframes);
                publication.drive(at, &mut self.scratch[0], outlet);
            }
        }
    }

    /// Forwards what this call brought: subscribers outside, packets inside, so that each
    /// subscriber's packets lie side by side and leave as one message.
    pub(super) fn forward(&mut self, received: &ReceiveSlab, at: &Moment, outlet: &mut Outlet<'_>) {
        for id in &self.touched {
            self.legs.note_layers(*id);
        }
        self.settle(at.now);
        self.owed = 0;
        let Self {
            legs,
            touched,
            timers,
            scratch,
            counters,
            post,
            taps,
            ..
        } = self;
        for id in touched.drain(..) {
            let Some(publication) = legs.publications.get_mut(&id) else {
                continue;
            };
            let mut keyframes = 0;
            for subscriber in &publication.subscribers {
                let Some(subscription) = legs.subscriptions.get_mut(subscriber) else {
                    continue;
                };
                let receiver = match subscription.own {
                    Some(_) => None,
                    None => legs.receivers.get_mut(&subscription.client),
                };
                let shared = receiver.and_then(|receiver| receiver.shared.as_mut());
                let shared = shared.map(|shared| &mut shared.leg);
                let changed = &mut scratch[1];
                let outcome =
                    subscription.forward(publication, shared, received, changed, at, outlet);
                counters.forwarded += outcome.packets;
                keyframes |= outcome.keyframes;
            }
            if publication.taps > 0 {
                keyframes |= taps.forward(publication, received, at.now);
            }
            publication.pending.clear();
            if let Some(origin) = publication.origin {
                if let Some(demand) = Demand::of(&legs.subscriptions, publication) {
                    publication.tell_demand(demand, post, at.now);
                }
                if keyframes != 0 {
                    let item = Item::Keyframes {
                        publication: id,
                        layers: keyframes,
                    };
                    post.note(origin, item);
                }
                continue;
            }
            if keyframes != 0 {
                publication.want_keyframes(keyframes);
                publication.drive(at, &mut scratch[0], outlet);
            }
            let due = publication.poll_timeout();
            timers.arm(Leg::Publisher(id), &mut publication.transport.armed, due);
        }
    }
}
