//! The thread that tells the kernel which worker's socket a client's datagrams are for: the
//! workers only notice that some come to the wrong one.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{error, info};

use crate::net::udp::Steering;
use crate::sfu::worker::WorkerId;

/// Addresses that may wait. When full, further ones are dropped: their datagrams go on being
/// handed from worker to worker.
const QUEUE_LEN: usize = 1024;

/// How long one program waits for others that join at the same time.
const PAUSE: Duration = Duration::from_millis(100);

/// A worker's end. When all are dropped, the thread ends.
#[derive(Debug, Clone)]
pub(super) struct SteeringHandle(SyncSender<(SocketAddr, WorkerId)>);

/// The thread; joined on the way down.
#[derive(Debug)]
pub(super) struct SteeringThread(JoinHandle<()>);

impl SteeringHandle {
    /// Has what comes from `remote` given to `owner`, soon. Never waits.
    pub(super) fn steer(&self, remote: SocketAddr, owner: WorkerId) {
        // If there is no room, or no such thread any more, workers help each other.
        let _ = self.0.try_send((remote, owner));
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

fn run(mut steering: Steering, news: &Receiver<(SocketAddr, WorkerId)>) {
    while let Ok((remote, owner)) = news.recv() {
        steering.steer(remote, owner.index());
        std::thread::sleep(PAUSE);
        for (remote, owner) in news.try_iter() {
            steering.steer(remote, owner.index());
        }
        if let Err(error) = steering.apply() {
            info!(%error, "The kernel lets nobody choose who receives: media workers hand datagrams on");
            return;
        }
    }
}
