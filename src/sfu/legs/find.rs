//! What belongs to a leg, whichever kind it is.

use std::time::Instant;

use super::Legs;
use crate::sfu::publication::Publication;
use crate::sfu::receiver::Receiver;
use crate::sfu::send_leg::SendLeg;
use crate::sfu::subscription::Subscription;
use crate::sfu::timers::Armed;
use crate::sfu::transport::Transport;
use crate::sfu::{ClientId, Leg, SubscriptionId};

impl Legs {
    /// A leg's transport.
    pub(in crate::sfu) fn transport(&self, leg: Leg) -> Option<&Transport> {
        match leg {
            Leg::Publisher(id) => self.publications.get(&id).map(|p| &p.transport),
            leg => self.send_leg(leg).map(|leg| &leg.transport),
        }
    }

    /// A leg's transport.
    pub(in crate::sfu) fn transport_mut(&mut self, leg: Leg) -> Option<&mut Transport> {
        match leg {
            Leg::Publisher(id) => self.publications.get_mut(&id).map(|p| &mut p.transport),
            leg => self.send_leg_mut(leg).map(|leg| &mut leg.transport),
        }
    }

    pub(super) fn send_leg(&self, leg: Leg) -> Option<&SendLeg> {
        match leg {
            Leg::Publisher(_) => None,
            Leg::Subscriber(id) => self.subscriptions.get(&id)?.own.as_ref(),
            Leg::Shared(client) => {
                let shared = self.receivers.get(&client)?.shared.as_ref();
                shared.map(|shared| &shared.leg)
            }
        }
    }

    /// A leg on which media goes out.
    pub(in crate::sfu) fn send_leg_mut(&mut self, leg: Leg) -> Option<&mut SendLeg> {
        match leg {
            Leg::Publisher(_) => None,
            Leg::Subscriber(id) => self.subscriptions.get_mut(&id)?.own.as_mut(),
            Leg::Shared(client) => {
                let shared = self.receivers.get_mut(&client)?.shared.as_mut();
                shared.map(|shared| &mut shared.leg)
            }
        }
    }

    /// All legs of a client on which media goes out.
    pub(in crate::sfu) fn send_legs(&self, client: ClientId) -> impl Iterator<Item = &SendLeg> {
        let receiver = self.receivers.get(&client);
        let ids = receiver.into_iter().flat_map(|r| &r.subscriptions);
        let own = ids.map(|id| Leg::Subscriber(*id));
        let legs = own.chain([Leg::Shared(client)]);
        legs.filter_map(|leg| self.send_leg(leg))
    }

    /// Whether media can go out on a leg.
    pub(in crate::sfu) fn is_open(&self, leg: Leg) -> bool {
        let transport = self.transport(leg);
        transport.is_some_and(|transport| transport.announced)
    }

    /// Whose leg it is, if media goes out on it.
    pub(in crate::sfu) fn client(&self, leg: Leg) -> Option<ClientId> {
        match leg {
            Leg::Publisher(_) => None,
            Leg::Subscriber(id) => self.subscriptions.get(&id).map(|s| s.client),
            Leg::Shared(client) => Some(client),
        }
    }

    /// Whoever receives over a leg.
    pub(in crate::sfu) fn receiver_mut(&mut self, leg: Leg) -> Option<&mut Receiver> {
        let client = self.client(leg)?;
        self.receivers
            .get_mut(&client)
            .map(|receiver| &mut **receiver)
    }

    /// A subscription, what it receives, and the leg it goes over if that is not its own.
    pub(in crate::sfu) fn way_of(
        &mut self,
        id: SubscriptionId,
    ) -> Option<(&mut Subscription, &Publication, Option<&mut SendLeg>)> {
        let subscription = self.subscriptions.get_mut(&id)?;
        let publication = self.publications.get(&subscription.publication)?;
        let receiver = match subscription.own {
            Some(_) => None,
            None => self.receivers.get_mut(&subscription.client),
        };
        let shared = receiver.and_then(|receiver| receiver.shared.as_mut());
        let shared = shared.map(|shared| &mut shared.leg);
        Some((subscription, publication, shared))
    }

    /// What remembers a leg's deadline. That of a shared leg is its client's, whether or not the
    /// client has such a leg.
    pub(in crate::sfu) fn armed_mut(&mut self, leg: Leg) -> Option<&mut Armed> {
        match leg {
            Leg::Shared(client) => self.receivers.get_mut(&client).map(|r| &mut r.armed),
            leg => self
                .transport_mut(leg)
                .map(|transport| &mut transport.armed),
        }
    }

    /// When a leg wants to be driven.
    pub(in crate::sfu) fn poll_timeout(&self, leg: Leg) -> Option<Instant> {
        let transport = self.transport(leg);
        let silent = transport.and_then(|transport| transport.silence.poll_timeout());
        silent.into_iter().chain(self.next_work(leg)).min()
    }

    fn next_work(&self, leg: Leg) -> Option<Instant> {
        match leg {
            Leg::Publisher(id) => {
                let publication = self.publications.get(&id)?;
                // A mirror has no leg: it lives and ends with commands.
                let is_here = publication.origin.is_none();
                is_here.then(|| publication.poll_timeout())
            }
            Leg::Subscriber(_) => self.send_leg(leg).map(SendLeg::poll_timeout),
            Leg::Shared(client) => {
                let probing = self.receivers.get(&client)?.estimator.poll_timeout();
                let reports = self.send_leg(leg).map(SendLeg::poll_timeout);
                probing.into_iter().chain(reports).min()
            }
        }
    }
}
