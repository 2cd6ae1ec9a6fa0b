//! What is due because time passes, or because something has changed for many at once: a share of
//! it at a time, however many there are.

use std::time::Instant;

use super::{Core, STEP};
use crate::sfu::command::EngineEvent;
use crate::sfu::moment::Moment;
use crate::sfu::outlet::Outlet;
use crate::sfu::transport::Transport;
use crate::sfu::{CloseReason, Leg};

/// Datagrams that looking at a leg counts as: its reports leave each on their own.
const LEG: usize = 2;

/// Streams whose share of a client's network is decided by one call, those of the last client
/// aside: some 0.1 ms.
const SETTLED: usize = 512;

impl Core {
    pub(super) fn timeout(&mut self, at: &Moment, outlet: &mut Outlet<'_>) {
        let mut looked_at = 0;
        while looked_at + outlet.sent < STEP
            && let Some((leg, due)) = self.timers.pop(at.now)
        {
            looked_at += LEG;
            self.wake(leg, due, at, outlet);
        }
        self.settle(at.now);
    }

    /// Does what a leg's deadline is for, if that is still its own.
    fn wake(&mut self, leg: Leg, due: Instant, at: &Moment, outlet: &mut Outlet<'_>) {
        let Some(armed) = self.legs.armed_mut(leg) else {
            return;
        };
        if !armed.disarm(due) {
            return;
        }
        let consent = self.legs.transport(leg).map(Transport::consent_until);
        if consent.is_some_and(|until| until <= at.now) {
            self.close(leg, CloseReason::ConsentExpired, at.now);
            return;
        }
        let transport = self.legs.transport_mut(leg);
        if transport.is_some_and(|transport| transport.silence.take(at.now)) {
            self.events.push(EngineEvent::Silent(leg));
        }
        self.drive(leg, at, outlet);
        self.arm(leg);
    }

    fn drive(&mut self, leg: Leg, at: &Moment, outlet: &mut Outlet<'_>) {
        match leg {
            Leg::Publisher(id) => {
                if let Some(publication) = self.legs.publications.get_mut(&id) {
                    publication.drive(at, &mut self.scratch[0], outlet);
                    self.review(id, at.now);
                }
                return;
            }
            Leg::Subscriber(_) => {}
            Leg::Shared(client) => self.legs.probe(client, &mut self.scratch, at, outlet),
        }
        let out = &mut self.scratch[0];
        self.legs.send_reports(leg, out, at, outlet);
    }

    pub(super) fn arm(&mut self, leg: Leg) {
        let due = self.legs.poll_timeout(leg);
        if let (Some(due), Some(armed)) = (due, self.legs.armed_mut(leg)) {
            self.timers.arm(leg, armed, due);
        }
    }

    /// Decides anew what those clients get for whom something has changed; the last of many have
    /// their turn with [`Core::timeout`].
    pub(super) fn settle(&mut self, now: Instant) {
        let mut settled = 0;
        self.behind = loop {
            if settled >= SETTLED && !self.legs.unsettled.is_empty() {
                break Some(now);
            }
            let events = &mut self.events;
            let news = |id, state| events.push(EngineEvent::Fallback(id, state));
            let Some(client) = self.legs.settle(&mut self.demands, now, news) else {
                break None;
            };
            settled += self.demands.len();
            self.arm(Leg::Shared(client));
        };
    }
}
