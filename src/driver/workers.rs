//! All media workers: one port, a socket, a thread and a control thread for each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::dtls::{self, DtlsThread};
use super::links::link;
use super::media::{EVENTS_LEN, MediaHandle, MediaThread, MediaWorker, Snapshot, WorkerStopped};
use super::steering::{self, SteeringThread};
use super::streams::Arrival;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::net::udp::{BatchSocket, Steering};
use crate::sfu::Leg;
use crate::sfu::command::{Command, EngineEvent};
use crate::sfu::dtls::{Certificate, DtlsError, Handshakes};
use crate::sfu::engine::Engine;
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
