//! The thread that tells the kernel which worker's socket a client's datagrams are for.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{error, info};

use crate::net::udp::Steering;
use crate::sfu::own_paths::PathChange;
use crate::sfu::worker::WorkerId;

/// Changes that may wait. When full, further ones stay with their workers.
const QUEUE_LEN: usize = 1024;

/// Least time between two programs: those who join at the same time share one, and a single client
/// is known before its handshake begins, long before its media.
const PAUSE: Duration = Duration::from_millis(20);

/// The workers' end. When all are dropped, the thread ends.
#[derive(Debug, Clone)]
pub(super) struct SteeringHandle(SyncSender<(WorkerId, PathChange)>);

/// The thread; joined on the way down.
#[derive(Debug)]
pub(super) struct SteeringThread(JoinHandle<()>);

impl SteeringHandle {
    /// Tells of a path of this worker's. Never waits.
    ///
    /// # Errors
    ///
    /// Gives the change back if there is no room now: offer it again before any other.
    pub(super) fn send(&self, worker: WorkerId, change: PathChange) -> Result<(), PathChange> {
        match self.0.try_send((worker, change)) {
            Err(TrySendError::Full((_, change))) => Err(change),
            // Without the thread, workers help each other.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

impl SteeringThread {
    /// Waits for the thread to end.
    pub(super) fn join(self) {
        if self.0.join().is_err() {
            error!("The steering thread panicked");
        }
    }
}

/// Starts the thread. The index of a socket in its group is the number of its worker.
///
/// # Errors
///
/// Fails if the system has no thread to give.
pub(super) fn start(steering: Steering) -> io::Result<(SteeringHandle, SteeringThread)> {
    let (queue, news) = sync_channel(QUEUE_LEN);
    let thread = std::thread::Builder::new()
        .name("steering".into())
        .spawn(move || run(steering, &news))?;
    Ok((SteeringHandle(queue), SteeringThread(thread)))
}

/// The kernel's own choice is replaced before anybody comes: whoever has got used to it would lose
/// what is under way.
fn run(mut steering: Steering, news: &Receiver<(WorkerId, PathChange)>) {
    while apply(&mut steering) {
        std::thread::sleep(PAUSE);
        let Ok(first) = news.recv() else {
            return;
        };
        for (worker, change) in std::iter::once(first).chain(news.try_iter()) {
            match change.is_ours {
                true => steering.claim(change.remote, worker.index()),
                false => steering.release(change.remote, worker.index()),
            }
        }
    }
}

/// Whether it is of any use to go on.
fn apply(steering: &mut Steering) -> bool {
    let result = steering.apply().inspect_err(|error| {
        info!(%error, "The kernel lets nobody choose who receives: media workers hand datagrams on");
    });
    result.is_ok()
}
