//! What has come in leaves: for other workers and taps first, then for the subscribers here.
//!
//! Publications take turns: a call goes on with the run of one, for as many subscribers as its
//! share allows, and the next call with that of another, so that a small call waits for no large
//! one.

use super::{Core, RUN, SHARE, STEP, TOO_MUCH};
use crate::sfu::moment::Moment;
use crate::sfu::outlet::Outlet;
use crate::sfu::parcel::Item;
use crate::sfu::pipe::Demand;
use crate::sfu::{Leg, PublicationId};

impl Core {
    /// Whether a call that has taken so many datagrams is to leave the rest.
    pub(super) fn has_enough(&self, taken: usize, outlet: &Outlet<'_>) -> bool {
        let owes = self.owed >= TOO_MUCH || taken >= RUN && self.owed >= SHARE;
        owes || outlet.sent >= STEP
    }

    /// Passes what this call has taken on to other workers and to taps; it waits for the
    /// subscribers here.
    pub(super) fn share(&mut self, at: &Moment, outlet: &mut Outlet<'_>) {
        let mut touched = std::mem::take(&mut self.touched);
        for id in &touched {
            self.legs.note_layers(*id);
        }
        self.settle(at.now);
        for id in touched.drain(..) {
            let Some(publication) = self.legs.publications.get_mut(&id) else {
                continue;
            };
            let piped = publication.pass_packets(&mut self.post, at.now);
            self.counters.piped += piped.packets;
            self.counters.pipe_dropped += piped.dropped;
            let mut keyframes = piped.keyframes;
            if publication.taps > 0 {
                keyframes |= self.taps.forward(publication, at.now);
            }
            if publication.waiting.pass() {
                self.queue.push_back(id);
            }
            if keyframes != 0 {
                self.tell_origin(id, keyframes, at, outlet);
            }
        }
        self.touched = touched;
    }

    /// Forwards a share of what waits.
    pub(super) fn forward(&mut self, at: &Moment, outlet: &mut Outlet<'_>) {
        while outlet.sent < STEP
            && let Some(id) = self.queue.pop_front()
        {
            if self.run(id, STEP, at, outlet) {
                self.queue.push_back(id);
            }
        }
        if self.queue.is_empty() {
            self.owed = 0;
        }
    }

    /// Forwards all that waits of a publication, whose tracks are about to change.
    pub(super) fn finish(&mut self, id: PublicationId, at: &Moment, outlet: &mut Outlet<'_>) {
        while self.run(id, usize::MAX, at, outlet) {}
    }

    /// Goes on with a publication's run until so many datagrams have left; subscribers outside,
    /// packets inside. Returns whether something still waits.
    fn run(
        &mut self,
        id: PublicationId,
        limit: usize,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> bool {
        let Self { legs, scratch, .. } = self;
        let Some(publication) = legs.publications.get_mut(&id) else {
            return false;
        };
        let packets = publication.waiting.begin();
        if packets == 0 {
            return false;
        }
        let mut keyframes = 0;
        let is_over = loop {
            if outlet.sent >= limit {
                break false;
            }
            let place = publication.waiting.serve();
            let Some(subscriber) = publication.subscribers.get(place) else {
                break true;
            };
            self.owed = self.owed.saturating_sub(packets);
            let Some(subscription) = legs.subscriptions.get_mut(subscriber) else {
                continue;
            };
            let receiver = match subscription.own {
                Some(_) => None,
                None => legs.receivers.get_mut(&subscription.client),
            };
            let shared = receiver.and_then(|receiver| receiver.shared.as_mut());
            let shared = shared.map(|shared| &mut shared.leg);
            let outcome = subscription.forward(publication, shared, &mut scratch[1], at, outlet);
            self.counters.forwarded += outcome.packets;
            keyframes |= outcome.keyframes;
        };
        if is_over {
            publication.waiting.end();
        }
        let waits = !publication.waiting.is_empty();
        if is_over || keyframes != 0 {
            self.tell_origin(id, keyframes, at, outlet);
        }
        waits
    }

    /// Tells the publisher, or the worker where the publication lives, what those who receive it
    /// are in need of.
    fn tell_origin(
        &mut self,
        id: PublicationId,
        keyframes: u8,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        let Self {
            legs,
            scratch,
            post,
            timers,
            ..
        } = self;
        let Some(publication) = legs.publications.get_mut(&id) else {
            return;
        };
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
            return;
        }
        if keyframes != 0 {
            publication.want_keyframes(keyframes);
            publication.drive(at, &mut scratch[0], outlet);
        }
        let due = publication.poll_timeout();
        timers.arm(Leg::Publisher(id), &mut publication.transport.armed, due);
    }
}
