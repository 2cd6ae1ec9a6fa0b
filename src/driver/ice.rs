//! Brings connections for media to the worker whose leg their first check names.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::debug;

use super::streams::Arrival;
use super::workers::WorkersHandle;
use crate::net::connection::Connection;
use crate::net::framing::FrameReader;
use crate::net::quota::Quota;
use crate::sfu::path::TcpId;
use crate::sfu::stun::BindingRequest;
use crate::sfu::worker::WorkerId;

/// Connections that may wait for this. When full, those behind them wait at the port.
const ARRIVALS_LEN: usize = 64;

/// Takes connections. Dropping it ends it, but not the connections that are with a worker.
#[derive(Debug)]
pub struct IceAcceptor {
    _task: JoinSet<()>,
}

impl IceAcceptor {
    /// Starts to bring connections to `workers`, no more than `quota` permits; what is beyond is
    /// closed. Connections go into the queue.
    pub fn start(workers: WorkersHandle, quota: Quota) -> (mpsc::Sender<Connection>, Self) {
        let (sender, mut connections) = mpsc::channel::<Connection>(ARRIVALS_LEN);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut next = 0;
            while let Some(connection) = connections.recv().await {
                let id = TcpId(next);
                next += 1;
                let peer = connection.peer;
                match arrival(connection, id, &quota) {
                    Ok((worker, arrival)) => workers.adopt(worker, arrival).await,
                    Err(why) => debug!(%peer, why, "A media connection is closed"),
                }
            }
        });
        (sender, Self { _task: task })
    }
}

/// What the worker gets, and which worker; or why none does.
fn arrival(
    connection: Connection,
    id: TcpId,
    quota: &Quota,
) -> Result<(WorkerId, Arrival), &'static str> {
    let peer = connection.peer;
    let (first, stream) = connection.into_plain().ok_or("it is inside TLS")?;
    let worker = {
        let mut frames = FrameReader::new(&first);
        let check = frames.next().ok().flatten();
        let check = check.and_then(BindingRequest::parse);
        let check = check.ok_or("it does not begin with a check")?;
        WorkerId::of_ufrag(check.local_ufrag()).ok_or("its check is for no leg")?
    };
    let permit = quota.admit(peer.ip()).ok_or("there are too many")?;
    let stream = stream
        .into_std()
        .map_err(|_| "the system does not let go of it")?;
    let arrival = Arrival {
        id,
        remote: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
        stream,
        first,
        permit,
    };
    Ok((worker, arrival))
}
