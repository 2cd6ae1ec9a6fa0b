//! How much is going on, for the operator.

use super::Hub;
use super::session::Delivery;
use crate::sfu::Rotations;
use crate::telemetry::histogram::Histogram;

/// What there is at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Live sessions.
    pub sessions: usize,
    /// Connections in them.
    pub connections: usize,
    /// Of these, connections whose client is lost just now and may come back.
    pub away: usize,
    /// Streams that the others know of.
    pub streams: usize,
    /// Subscriptions served by the SFU.
    pub routed_subscriptions: usize,
    /// Subscriptions served by the publisher's browser.
    pub relayed_subscriptions: usize,
    /// How long joins took, from the opening of the websocket.
    pub join: Histogram,
    /// What went wrong so far.
    pub counters: super::Counters,
    /// What became of changes of keys; known outside of the hub only.
    pub rotations: Rotations,
}

impl Hub {
    /// Counts everything: one step for each connection, stream and subscription.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            sessions: self.sessions.len(),
            join: self.join_times,
            counters: self.counters,
            ..Snapshot::default()
        };
        for session in self.sessions.values() {
            snapshot.connections += session.connections.len();
            let links = session
                .connections
                .values()
                .map(|connection| connection.link);
            snapshot.away += links.filter(|link| self.links.is_away(*link)).count();
            for stream in session.streams.values() {
                snapshot.streams += usize::from(stream.announced);
                for subscriber in stream.subscribers.values() {
                    match subscriber.media {
                        Delivery::Held => {}
                        Delivery::Routed(_) => snapshot.routed_subscriptions += 1,
                        Delivery::Relayed(_) => snapshot.relayed_subscriptions += 1,
                    }
                }
            }
        }
        snapshot
    }
}
