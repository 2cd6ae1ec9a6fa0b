//! All media workers: one port, a socket, a thread and a control thread for each, and the ways by
//! which they hand datagrams and packets to each other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use mio::Waker;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::dtls::{self, DtlsThread};
use super::media::{EVENTS_LEN, MediaHandle, MediaThread, MediaWorker, Snapshot, WorkerStopped};
use super::steering::{self, SteeringHandle, SteeringThread};
use super::streams::Arrival;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::net::udp::{BatchSocket, Steering};
use crate::sfu::Leg;
use crate::sfu::command::{Command, EngineEvent};
use crate::sfu::dtls::{Certificate, DtlsError, Handshakes};
use crate::sfu::engine::Engine;
use crate::sfu::own_paths::PathChange;
use crate::sfu::parcel::{MAX_UNDER_WAY, Parcel};
use crate::sfu::path::RelayNames;
use crate::sfu::stats::LegStats;
use crate::sfu::worker::{MAX_WORKERS, WorkerId};

/// Statistics that a worker tells at a time: as long as a few dozen packets take.
const STATS_AT_A_TIME: usize = 128;

/// Workers that are bound but do not run yet.
#[derive(Debug)]
pub struct BoundWorkers {
    workers: Vec<MediaWorker>,
    /// Where there are several.
    steering: Option<Steering>,
    relays: RelayNames,
}

/// A handle to all workers. The last thing to do with it is [`Self::stop`].
#[derive(Debug, Clone)]
pub struct WorkersHandle(Arc<[MediaHandle]>);

/// The threads; joined on the way down.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<(MediaThread, DtlsThread)>,
    steering: Option<SteeringThread>,
    /// Where media arrives, port included.
    pub local_addr: SocketAddr,
}

/// Why workers do not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system has no thread or no descriptor to give.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The certificates are of no use.
    #[error(transparent)]
    Dtls(#[from] DtlsError),
}

impl BoundWorkers {
    /// Binds the media port for `count` workers, from 1 to [`MAX_WORKERS`], and asks the kernel to
    /// buffer so many bytes for each of them, each way.
    pub fn bind(address: SocketAddr, count: usize, buffer: usize) -> io::Result<Self> {
        let sockets = BatchSocket::bind_group(address, count.clamp(1, MAX_WORKERS))?;
        let mut shortest = [usize::MAX; 2];
        for socket in &sockets {
            let granted = socket.buffer(buffer)?;
            shortest = [0, 1].map(|way| shortest[way].min(granted[way]));
        }
        let [receive, send] = shortest;
        if receive < buffer || send < buffer {
            warn!(
                wanted = buffer,
                receive,
                send,
                "Short socket buffers: raise net.core.rmem_max and wmem_max, or set media.socket_buffer"
            );
        }
        let steering = (sockets.len() > 1).then(|| Steering::of(&sockets));
        let workers: io::Result<_> = sockets.into_iter().map(MediaWorker::new).collect();
        Ok(Self {
            workers: workers?,
            steering: steering.transpose()?,
            relays: RelayNames::default(),
        })
    }

    /// Where they are bound, port included.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.workers[0].local_addr()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// Has relays on this machine called by these names.
    pub fn relaying(self, relays: RelayNames) -> Self {
        Self { relays, ..self }
    }

    /// Starts the threads. The events of all come out of one receiver.
    pub fn start(
        self,
        certificates: &[Certificate; 2],
        entropy: &mut Entropy,
        clock: Clock,
    ) -> Result<(WorkersHandle, Workers, mpsc::Receiver<EngineEvent>), StartError> {
        let local_addr = self.local_addr()?;
        let count = self.count();
        let handles = self.workers.iter().map(MediaWorker::handle).collect();
        let (sender, events) = mpsc::channel(EVENTS_LEN);
        let (steering, steering_thread) = self.steering.map(steering::start).transpose()?.unzip();
        let wakers = self.workers.iter().map(MediaWorker::waker).collect();
        let links = link(wakers, steering.as_ref());
        let mut threads = Vec::with_capacity(count);
        for (worker, links) in self.workers.into_iter().zip(links) {
            let media = worker.handle();
            let deliver = move |output| media.handshake(output);
            let handshakes = Handshakes::new(certificates.clone())?;
            let (dtls, dtls_thread) = dtls::start(handshakes, deliver, clock)?;
            let engine = Engine::new(entropy.fork(), clock.epoch())
                .among(links.me(), count)
                .relaying(self.relays.clone());
            let thread = worker.start(engine, dtls, sender.clone(), links, clock)?;
            threads.push((thread, dtls_thread));
        }
        info!(address = %local_addr, workers = count, "Media port open");
        let workers = Workers {
            threads,
            steering: steering_thread,
            local_addr,
        };
        Ok((WorkersHandle(handles), workers, events))
    }
}

impl WorkersHandle {
    /// How many workers there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Changes something in one worker's engine.
    pub async fn command(&self, worker: WorkerId, command: Command) {
        if let Some(handle) = self.0.get(worker.index()) {
            handle.command(command).await;
        }
    }

    /// Gives one worker a connection to speak on.
    pub(super) async fn adopt(&self, worker: WorkerId, arrival: Arrival) {
        if let Some(handle) = self.0.get(worker.index()) {
            handle.adopt(arrival).await;
        }
    }

    /// What all of them have done so far, in sum.
    pub async fn snapshot(&self) -> Result<Snapshot, WorkerStopped> {
        let mut sum = Snapshot::default();
        for handle in &*self.0 {
            let one = handle.snapshot().await?;
            sum.engine += one.engine;
            sum.socket += one.socket;
            sum.streams += one.streams;
            sum.forwarding += one.forwarding;
            sum.turns += one.turns;
            sum.busy += one.busy;
        }
        Ok(sum)
    }

    /// The statistics of these publications and subscriptions, in no order; those that are gone are
    /// left out. No worker is kept from forwarding for longer than [`STATS_AT_A_TIME`] take.
    pub async fn stats(&self, legs: &[Leg]) -> Result<Vec<LegStats>, WorkerStopped> {
        let mut all = Vec::with_capacity(legs.len());
        for some in legs.chunks(STATS_AT_A_TIME) {
            let some: Arc<[Leg]> = some.into();
            for handle in &*self.0 {
                all.extend(handle.stats(Arc::clone(&some)).await?);
            }
        }
        Ok(all)
    }

    /// One worker.
    pub fn worker(&self, worker: WorkerId) -> Option<&MediaHandle> {
        self.0.get(worker.index())
    }

    /// Ends all workers; nothing they were told before is lost, nothing after is heard.
    pub async fn stop(&self) {
        for handle in &*self.0 {
            handle.stop().await;
        }
    }
}

impl Workers {
    /// Waits for the threads to end after [`WorkersHandle::stop`].
    pub fn join(self) {
        for (media, dtls) in self.threads {
            media.join();
            dtls.join();
        }
        if let Some(steering) = self.steering {
            steering.join();
        }
    }
}

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
fn link(wakers: Vec<Arc<Waker>>, steering: Option<&SteeringHandle>) -> Vec<Links> {
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
