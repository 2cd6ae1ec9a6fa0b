//! What one media worker hands to another: datagrams that the kernel gave to the wrong one, packets
//! of publications whose subscribers are spread over several, and what goes back.
//!
//! Everything of one turn travels together, in a [`Parcel`] from a pool that the sender owns; the
//! receiver reads it where it lies and gives it back empty.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::PublicationId;
use super::datagram::ReceiveSlab;
use super::layer::Layers;
use super::packet::Packet;
use super::path::{Path, Via};
use super::pipe::Demand;
use super::routes::Routes;
use super::worker::WorkerId;
use crate::rtp::rtcp::report::SenderInfo;

/// Datagrams and packets per parcel.
const SLOTS: usize = 64;

/// Parcels under way to one worker. When all are, what is for it is dropped and counted; media of
/// publications by the rule of [`Post::packet`].
pub const MAX_UNDER_WAY: usize = 16;

/// Parcels under way to a worker that has fallen behind: what follows stays here until it fills a
/// parcel or one comes back, so that there is room for a thousand datagrams and not for sixteen
/// turns of one.
const BEHIND: usize = MAX_UNDER_WAY / 2;

/// Parcels that video leaves to audio.
const RESERVED: usize = 4;

/// Parcels that come back until those are given up that none of them was needed for: those of a
/// burst are as large as it was.
const LOOK: usize = 64;

/// Notes per parcel that need no slot.
const MAX_NOTES: usize = 256;

/// A batch from one worker to another.
#[derive(Debug)]
pub struct Parcel {
    from: WorkerId,
    pub(super) slab: ReceiveSlab,
    pub(super) items: VecDeque<Item>,
}

/// One thing in a parcel.
#[derive(Debug)]
pub(super) enum Item {
    /// A datagram for one of the receiver's legs; its slot.
    Datagram(usize),
    /// A decrypted packet of a publication that the receiver mirrors; its bytes fill a slot.
    Packet {
        publication: PublicationId,
        track: usize,
        slot: usize,
        packet: Packet,
    },
    /// A sender report about a stream of a publication that the receiver mirrors.
    Report {
        publication: PublicationId,
        source: u32,
        info: SenderInfo,
    },
    /// Subscribers of a mirror need key frames of these layers.
    Keyframes {
        publication: PublicationId,
        layers: u8,
    },
    /// What is known of the layers of a publication that the receiver mirrors.
    Layers {
        publication: PublicationId,
        layers: Layers,
    },
    /// What the subscribers of a mirror are in need of.
    Demand {
        publication: PublicationId,
        demand: Demand,
    },
    /// Datagrams on this path are for the worker that sent this.
    Route(Path),
}

impl Parcel {
    fn new(from: WorkerId) -> Self {
        Self {
            from,
            slab: ReceiveSlab::packed(SLOTS),
            items: VecDeque::new(),
        }
    }

    /// The worker that filled it, and that it goes back to.
    pub fn sender(&self) -> WorkerId {
        self.from
    }

    fn has_slot(&self) -> bool {
        self.slab.len() < SLOTS
    }
}

/// One worker's outgoing parcels, and what it knows of the others' peers.
#[derive(Debug, Default)]
pub(super) struct Post {
    me: WorkerId,
    /// One for each worker, also for this one.
    ways: Vec<Way>,
    #[expect(clippy::vec_box, reason = "they travel in these boxes")]
    free: Vec<Box<Parcel>>,
    /// How few were free at any time since they were last looked at, and how many have come back.
    unneeded: usize,
    came_back: usize,
    ready: VecDeque<(WorkerId, Box<Parcel>)>,
    pub(super) routes: Routes,
}

/// The way to one worker.
#[derive(Debug, Default)]
struct Way {
    open: Option<Box<Parcel>>,
    /// Parcels that were handed out and have not come back, the open one included.
    under_way: usize,
}

impl Post {
    /// The post of `me` among `count` workers.
    pub(super) fn new(me: WorkerId, count: usize) -> Self {
        Self {
            me,
            ways: (0..count).map(|_| Way::default()).collect(),
            ..Self::default()
        }
    }

    /// Hands on an ICE check for a leg that is not here; whether it was.
    pub(super) fn check(&mut self, ufrag: &str, bytes: &[u8], from: Path) -> bool {
        let owner = WorkerId::of_ufrag(ufrag);
        let to = owner.filter(|owner| self.datagram(*owner, bytes, from));
        if let Some(owner) = to {
            self.routes.expect(from, owner);
        }
        to.is_some()
    }

    /// Hands on anything else on a path that is no leg's here; whether it was.
    pub(super) fn stray(&mut self, bytes: &[u8], from: Path) -> bool {
        let owner = self.routes.owner(&from);
        owner.is_some_and(|owner| self.datagram(owner, bytes, from))
    }

    /// Copies a datagram; nothing if the way is full.
    fn datagram(&mut self, owner: WorkerId, bytes: &[u8], from: Path) -> bool {
        let Some(parcel) = self.parcel(owner, 0, Parcel::has_slot) else {
            return false;
        };
        let slot = parcel.slab.len();
        parcel.slab.push(bytes, from);
        parcel.items.push_back(Item::Datagram(slot));
        true
    }

    /// Copies a packet for a mirror; whether there was room. The last of it is kept for audio, so
    /// that a worker that falls behind loses pictures first.
    pub(super) fn packet(
        &mut self,
        to: WorkerId,
        publication: PublicationId,
        track: usize,
        packet: &Packet,
        bytes: &[u8],
    ) -> bool {
        let reserved = match packet.kind {
            super::MediaKind::Audio => 0,
            super::MediaKind::Video => RESERVED,
        };
        let Some(parcel) = self.parcel(to, reserved, Parcel::has_slot) else {
            return false;
        };
        let slot = parcel.slab.len();
        // Where it came from is the publication's business.
        parcel.slab.push(bytes, NOWHERE);
        parcel.items.push_back(Item::Packet {
            publication,
            track,
            slot,
            packet: packet.clone(),
        });
        true
    }

    /// Sends something that needs no slot; lost if the way is full: all of these are said again.
    pub(super) fn note(&mut self, to: WorkerId, item: Item) {
        if let Some(parcel) = self.parcel(to, 0, |parcel| parcel.items.len() < MAX_NOTES) {
            parcel.items.push_back(item);
        }
    }

    /// The open parcel to a worker, or a new one if it does not fit; `None` if fewer than
    /// `reserved` would be left.
    fn parcel(
        &mut self,
        to: WorkerId,
        reserved: usize,
        fits: impl Fn(&Parcel) -> bool,
    ) -> Option<&mut Parcel> {
        if to == self.me {
            return None;
        }
        let way = self.ways.get_mut(to.index())?;
        if !way.open.as_deref().is_some_and(fits) {
            if way.under_way + reserved >= MAX_UNDER_WAY {
                return None;
            }
            way.under_way += 1;
            let me = self.me;
            let fresh = self.free.pop().unwrap_or_else(|| Box::new(Parcel::new(me)));
            self.unneeded = self.unneeded.min(self.free.len());
            let full = way.open.replace(fresh);
            self.ready.extend(full.map(|parcel| (to, parcel)));
        }
        way.open.as_deref_mut()
    }

    /// The next parcel to bring to its worker.
    pub(super) fn poll(&mut self) -> Option<(WorkerId, Box<Parcel>)> {
        if let Some(next) = self.ready.pop_front() {
            return Some(next);
        }
        let mut ways = WorkerId::first(self.ways.len()).zip(&mut self.ways);
        ways.find_map(|(to, way)| {
            let open = way.open.take_if(|_| way.under_way <= BEHIND);
            Some((to, open?))
        })
    }

    /// Whether something stays here until a parcel comes back.
    pub(super) fn holds(&self) -> bool {
        self.ways.iter().any(|way| way.open.is_some())
    }

    /// Takes a parcel back that `by` has read.
    pub(super) fn take_back(&mut self, by: WorkerId, mut parcel: Box<Parcel>) {
        if let Some(way) = self.ways.get_mut(by.index()) {
            way.under_way = way.under_way.saturating_sub(1);
        }
        parcel.slab.clear();
        parcel.items.clear();
        self.free.push(parcel);
        self.came_back += 1;
        if self.came_back == LOOK {
            self.came_back = 0;
            // What came back last is taken first, so these have waited all the time.
            self.free.drain(..self.unneeded);
            self.unneeded = self.free.len();
        }
    }
}

/// The sender of what has none.
pub(super) const NOWHERE: Path = Path {
    remote: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
    via: Via::Udp(None),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn workers() -> (WorkerId, WorkerId) {
        let mut all = WorkerId::first(2);
        (all.next().unwrap(), all.next().unwrap())
    }

    fn path(port: u16) -> Path {
        SocketAddr::from(([192, 0, 2, 1], port)).into()
    }

    #[test]
    fn a_check_goes_to_the_worker_that_its_ufrag_names() {
        let (me, other) = workers();
        let mut post = Post::new(me, 2);
        assert!(post.check("1abc", b"check", path(1)));
        assert!(!post.check("0abc", b"check", path(1)), "that is me");
        assert!(!post.check("2abc", b"check", path(1)), "there is none");
        let (to, parcel) = post.poll().unwrap();
        assert_eq!((to, parcel.sender()), (other, me));
        assert_eq!(parcel.slab.datagram(0), b"check");
        assert!(post.poll().is_none());
    }

    #[test]
    fn a_way_is_bounded_and_opens_again_when_parcels_come_back() {
        let (me, other) = workers();
        let mut post = Post::new(me, 2);
        post.routes
            .learn(path(1), other, Clock::system().epoch().instant);
        let taken = (0..10_000).filter(|_| post.stray(b"x", path(1))).count();
        assert_eq!(taken, MAX_UNDER_WAY * SLOTS);
        let mut parcels: Vec<_> = std::iter::from_fn(|| post.poll()).collect();
        assert_eq!(parcels.len(), MAX_UNDER_WAY - 1);
        assert!(!post.stray(b"x", path(1)));
        let (_, parcel) = parcels.pop().unwrap();
        post.take_back(other, parcel);
        assert!(post.stray(b"x", path(1)));
        assert_eq!(post.free.len(), 0);
    }

    #[test]
    fn a_worker_that_does_not_read_for_a_while_loses_nothing() {
        let (me, other) = workers();
        let mut post = Post::new(me, 2);
        post.routes
            .learn(path(1), other, Clock::system().epoch().instant);
        let mut unread = VecDeque::new();
        for turn in 0..400 {
            assert!(post.stray(b"x", path(1)), "turn {turn}");
            unread.extend(post.poll());
        }
        assert!(post.holds());
        let mut read = 0;
        while let Some((_, parcel)) = unread.pop_front() {
            read += parcel.items.len();
            post.take_back(other, parcel);
            unread.extend(post.poll());
        }
        assert_eq!(read, 400);
        assert!(!post.holds());
    }

    #[test]
    fn what_only_a_burst_was_in_need_of_is_given_up() {
        let (me, other) = workers();
        let mut post = Post::new(me, 2);
        post.routes
            .learn(path(1), other, Clock::system().epoch().instant);
        let mut turn = |datagrams: usize| {
            (0..datagrams).for_each(|_| assert!(post.stray(b"x", path(1))));
            while post.holds() {
                let parcels: Vec<_> = std::iter::from_fn(|| post.poll()).collect();
                for (_, parcel) in parcels {
                    post.take_back(other, parcel);
                }
            }
            post.free.len()
        };
        assert_eq!(turn(MAX_UNDER_WAY * SLOTS), MAX_UNDER_WAY);
        for _ in 0..2 * LOOK {
            turn(SLOTS + 1);
        }
        assert_eq!(turn(1), 2);
    }
}
