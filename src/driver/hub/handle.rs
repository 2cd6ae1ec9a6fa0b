//! How the rest of the process speaks to the hub's task.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};
use tracing::trace_span;

use crate::config::limits::OutboxLimits;
use crate::driver::outbox::{Outbox, OutboxReader, outbox};
use crate::hub::call::{Answer, Call, CallError};
use crate::hub::effect::{SocketKey, SocketOpen};
use crate::hub::snapshot::Snapshot;
use crate::model::id::{ProjectId, SessionId};
use crate::signaling::frame::Frame;

/// Whoever waits for the hub to be empty or gone, on the way down.
pub(super) type Stopped = oneshot::Sender<()>;

/// What the task is told.
#[derive(Debug)]
pub(super) enum Input {
    Opened {
        socket: SocketKey,
        open: SocketOpen,
        outbox: Outbox,
    },
    Frame {
        socket: SocketKey,
        frame: Frame,
    },
    Malformed {
        socket: SocketKey,
    },
    Lost {
        socket: SocketKey,
    },
    Call {
        session: SessionId,
        call: Call,
        reply: oneshot::Sender<Result<Answer, CallError>>,
    },
    EndSessions {
        projects: BTreeSet<ProjectId>,
    },
    Snapshot {
        reply: oneshot::Sender<Snapshot>,
    },
    Drain {
        done: Stopped,
    },
    Shutdown {
        done: Stopped,
    },
}

/// A handle to the hub's task, for whoever accepts websockets or calls for a back end.
#[derive(Debug, Clone)]
pub struct HubHandle {
    mailbox: mpsc::Sender<Input>,
    next_socket: Arc<AtomicU64>,
    limits: OutboxLimits,
}

/// One websocket's handle to the hub. Tell it when the socket is lost: see [`Self::lost`].
#[derive(Debug)]
pub struct SocketHandle {
    key: SocketKey,
    mailbox: mpsc::Sender<Input>,
}

/// The hub is gone: the process is on its way down.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the hub has stopped")]
pub struct HubStopped;

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum CallFailure {
    /// The hub says no.
    #[error(transparent)]
    Refused(#[from] CallError),
    /// There is no hub any more.
    #[error(transparent)]
    Stopped(#[from] HubStopped),
}

impl HubHandle {
    pub(super) fn new(mailbox: mpsc::Sender<Input>, limits: OutboxLimits) -> Self {
        Self {
            mailbox,
            next_socket: Arc::default(),
            limits,
        }
    }

    /// Asks for something in a session, which must exist; waits while the hub's mailbox is full.
    /// When this returns, the clients concerned have not necessarily been told yet.
    pub async fn call(&self, session: &SessionId, call: Call) -> Result<Answer, CallFailure> {
        let _traced = trace_span!("hub", session.id = %session);
        let (reply, answer) = oneshot::channel();
        let session = session.clone();
        let input = Input::Call {
            session,
            call,
            reply,
        };
        self.mailbox.send(input).await.map_err(|_| HubStopped)?;
        Ok(answer.await.map_err(|_| HubStopped)??)
    }

    /// Puts everybody out of all sessions of these projects.
    pub async fn end_sessions(&self, projects: BTreeSet<ProjectId>) -> Result<(), HubStopped> {
        let input = Input::EndSessions { projects };
        self.mailbox.send(input).await.map_err(|_| HubStopped)
    }

    /// Registers a new websocket; frames for it come out of the returned reader.
    pub async fn open(&self, open: SocketOpen) -> Result<(SocketHandle, OutboxReader), HubStopped> {
        let key = SocketKey(self.next_socket.fetch_add(1, Ordering::Relaxed));
        let (outbox, reader) = outbox(self.limits);
        let socket = SocketHandle {
            key,
            mailbox: self.mailbox.clone(),
        };
        socket
            .tell(Input::Opened {
                socket: key,
                open,
                outbox,
            })
            .await?;
        Ok((socket, reader))
    }

    /// How much is going on.
    pub async fn snapshot(&self) -> Result<Snapshot, HubStopped> {
        let (reply, snapshot) = oneshot::channel();
        let input = Input::Snapshot { reply };
        self.mailbox.send(input).await.map_err(|_| HubStopped)?;
        snapshot.await.map_err(|_| HubStopped)
    }

    /// Lets nobody join any more, and waits until everybody has left.
    pub async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        if self.mailbox.send(Input::Drain { done }).await.is_ok() {
            // An error means that the task has ended, and nobody is left that way either.
            let _ = drained.await;
        }
    }

    /// Closes every websocket in such a way that clients do not hang, and stops the hub.
    pub async fn shutdown(&self) {
        let (done, stopped) = oneshot::channel();
        if self.mailbox.send(Input::Shutdown { done }).await.is_ok() {
            // An error means the same: the task has ended.
            let _ = stopped.await;
        }
    }
}

impl SocketHandle {
    /// Passes a frame on; waits while the hub's mailbox is full.
    pub async fn frame(&self, frame: Frame) -> Result<(), HubStopped> {
        self.tell(Input::Frame {
            socket: self.key,
            frame,
        })
        .await
    }

    /// Something came in that is no Rumor frame.
    pub async fn malformed(&self) -> Result<(), HubStopped> {
        self.tell(Input::Malformed { socket: self.key }).await
    }

    /// The websocket is gone, whether or not the client said good-bye before.
    pub async fn lost(self) {
        // Without a hub there is nobody left to tell.
        let _ = self.tell(Input::Lost { socket: self.key }).await;
    }

    /// The socket's number, for logs.
    pub fn key(&self) -> SocketKey {
        self.key
    }

    async fn tell(&self, input: Input) -> Result<(), HubStopped> {
        self.mailbox.send(input).await.map_err(|_| HubStopped)
    }
}
