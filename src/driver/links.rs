//! The ways by which media workers hand datagrams and packets to each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use mio::Waker;
use tracing::error;

use super::steering::SteeringHandle;
use crate::sfu::own_paths::PathChange;
use crate::sfu::parcel::{MAX_UNDER_WAY, Parcel};
use crate::sfu::worker::WorkerId;

/// What arrives from another worker.
#[derive(Debug)]
pub(super) enum Delivery {
    /// To be read and given back.
    Parcel(Box<Parcel>),
    /// One of our own, read by this worker.
    Returned(WorkerId, Box<Parcel>),
}

/// One worker's ways to the others. None of them fills up: a worker has [`MAX_UNDER_WAY`] parcels
/// for each of the others, and each is in one queue at a time.
#[derive(Debug)]
pub(super) struct Links {
    me: WorkerId,
    inbox: Receiver<Delivery>,
    bells: Arc<[Bell]>,
    outboxes: Vec<SyncSender<Delivery>>,
    steering: Option<SteeringHandle>,
}

/// Wakes a worker that may be asleep.
#[derive(Debug)]
struct Bell {
    /// Whether it was rung since the worker last looked into its inbox.
    rung: AtomicBool,
    /// Whether it is also to be rung for a parcel that comes back.
    expects: AtomicBool,
    waker: Arc<Waker>,
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            error!(%error, "Cannot wake a media worker");
        }
    }
}

/// Connects workers, each known by its waker, with each other.
pub(super) fn link(wakers: Vec<Arc<Waker>>, steering: Option<&SteeringHandle>) -> Vec<Links> {
    let capacity = 2 * MAX_UNDER_WAY * wakers.len();
    let (outboxes, inboxes): (Vec<_>, Vec<_>) =
        wakers.iter().map(|_| sync_channel(capacity)).unzip();
    let bells: Arc<[Bell]> = wakers
        .into_iter()
        .map(|waker| Bell {
            rung: AtomicBool::new(false),
            expects: AtomicBool::new(false),
            waker,
        })
        .collect();
    WorkerId::first(inboxes.len())
        .zip(inboxes)
        .map(|(me, inbox)| Links {
            me,
            inbox,
            bells: Arc::clone(&bells),
            outboxes: outboxes.clone(),
            steering: steering.cloned(),
        })
        .collect()
}

impl Links {
    /// Whose these are.
    pub(super) fn me(&self) -> WorkerId {
        self.me
    }

    /// Begins to look into the inbox: what is sent from now on rings.
    pub(super) fn begin(&self) {
        self.bells[self.me.index()]
            .rung
            .store(false, Ordering::SeqCst);
    }

    /// The next delivery, if there is one.
    pub(super) fn receive(&self) -> Option<Delivery> {
        self.inbox.try_recv().ok()
    }

    /// Sends a parcel and wakes its receiver.
    pub(super) fn send(&self, to: WorkerId, parcel: Box<Parcel>) {
        self.deliver(to, Delivery::Parcel(parcel));
        self.bells[to.index()].ring();
    }

    /// Has this worker woken up when a parcel comes back. Returns whether it is to look into its
    /// inbox once more first, since one may have come back already.
    pub(super) fn expect(&self) -> bool {
        let bell = &self.bells[self.me.index()];
        !bell.expects.swap(true, Ordering::SeqCst)
    }

    /// Gives a parcel back. Its sender wakes up for that only if it waits for it.
    pub(super) fn give_back(&self, parcel: Box<Parcel>) {
        let to = parcel.sender();
        self.deliver(to, Delivery::Returned(self.me, parcel));
        let bell = &self.bells[to.index()];
        if bell.expects.load(Ordering::SeqCst) && bell.expects.swap(false, Ordering::SeqCst) {
            bell.ring();
        }
    }

    /// Has the kernel told of a path of this worker's; gives it back if there is no room now.
    pub(super) fn steer(&self, change: PathChange) -> Result<(), PathChange> {
        match &self.steering {
            Some(steering) => steering.send(self.me, change),
            None => Ok(()),
        }
    }

    /// A worker that has ended takes nothing; then all are about to end.
    fn deliver(&self, to: WorkerId, delivery: Delivery) {
        let _ = self.outboxes[to.index()].try_send(delivery);
    }
}
