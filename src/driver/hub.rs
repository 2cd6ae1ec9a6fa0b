//! The task around the [`Hub`] and the control half of the SFU.
//!
//! Everything that happens to live sessions passes through here, one input at a time: the hub
//! decides, its effects are carried out, and only then comes the next input.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, info, trace_span, warn};

use super::admission::Admissions;
use super::outbox::{Outbox, OutboxError, OutboxReader, outbox};
use super::turn::TurnHandle;
use super::webhook::WebhookHandle;
use super::workers::WorkersHandle;
use crate::clock::Clock;
use crate::config::limits::OutboxLimits;
use crate::hub::Hub;
use crate::hub::call::{Answer, Call, CallError};
use crate::hub::effect::{
    Admission, Denial, Effect, Notice, NoticeEvent, SocketKey, SocketOpen, Ticket,
};
use crate::hub::reason;
use crate::hub::snapshot::Snapshot;
use crate::model::id::{ConnectionId, ProjectId, SessionId};
use crate::sfu::command::EngineEvent;
use crate::sfu::negotiator::Negotiator;
use crate::sfu::shards::Shards;
use crate::sfu::{Event, Leg};
use crate::signaling::frame::Frame;
use crate::telemetry;

/// Inputs that may wait for the hub. When full, the websocket or REST call that wants to add one
/// waits, and with it that client's TCP connection; nobody else.
const MAILBOX_LEN: usize = 1024;

/// Whoever waits for the hub to be empty or gone, on the way down.
type Stopped = oneshot::Sender<()>;

#[derive(Debug)]
enum Input {
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

/// The task's own side.
#[derive(Debug)]
pub struct HubDriver {
    hub: Hub,
    negotiator: Negotiator,
    media: WorkersHandle,
    shards: Shards,
    media_events: mpsc::Receiver<EngineEvent>,
    admissions: Admissions,
    webhooks: WebhookHandle,
    turn: Option<TurnHandle>,
    clock: Clock,
    mailbox: mpsc::Receiver<Input>,
    outboxes: HashMap<SocketKey, Outbox>,
    /// Who wants to know when everybody has left.
    drained: Option<Stopped>,
    /// Look-ups under way; at most one per websocket. Aborted when the driver ends.
    lookups: JoinSet<(Ticket, Result<Admission, Denial>)>,
}

impl HubDriver {
    /// Puts the driver together; it does nothing before [`Self::run`].
    pub fn new(
        hub: Hub,
        negotiator: Negotiator,
        media: (WorkersHandle, mpsc::Receiver<EngineEvent>),
        admissions: Admissions,
        webhooks: WebhookHandle,
        clock: Clock,
        limits: OutboxLimits,
    ) -> (Self, HubHandle) {
        let (sender, mailbox) = mpsc::channel(MAILBOX_LEN);
        let handle = HubHandle {
            mailbox: sender,
            next_socket: Arc::default(),
            limits,
        };
        let driver = Self {
            hub,
            negotiator,
            shards: Shards::new(media.0.count()),
            media: media.0,
            media_events: media.1,
            admissions,
            webhooks,
            turn: None,
            clock,
            mailbox,
            outboxes: HashMap::new(),
            drained: None,
            lookups: JoinSet::new(),
        };
        (driver, handle)
    }

    /// Has the TURN server forget whom a moderator has put out.
    pub fn revoking(self, turn: Option<TurnHandle>) -> Self {
        Self { turn, ..self }
    }

    /// Runs until [`HubHandle::shutdown`], or until nobody holds a handle any more.
    pub async fn run(mut self) {
        loop {
            self.perform().await;
            if self.drained.is_some() && self.hub.is_idle() {
                // Nobody may be waiting any more; then nobody needs to know.
                let _ = self.drained.take().map(|done| done.send(()));
            }
            let (deadline, rotation) = (self.hub.poll_timeout(), self.negotiator.poll_timeout());
            // In no fixed order: whatever keeps one of these busy must not keep the others waiting.
            tokio::select! {
                Some(event) = self.media_events.recv() => {
                    self.negotiator.handle_engine_event(event, self.clock.now());
                    self.pump_negotiator().await;
                }
                Some(Ok((ticket, outcome))) = self.lookups.join_next() => {
                    self.hub.handle_authenticated(ticket, outcome, self.clock.now());
                }
                () = sleep_until(deadline) => self.hub.handle_timeout(self.clock.now()),
                () = sleep_until(rotation) => {
                    self.negotiator.handle_timeout(self.clock.now());
                    self.pump_negotiator().await;
                }
                input = self.mailbox.recv() => {
                    let Some(input) = input else { return };
                    if let Some(done) = self.handle_input(input) {
                        self.perform().await;
                        // Nobody may be waiting any more; then nobody needs to know.
                        let _ = done.send(());
                        return;
                    }
                }
            }
        }
    }

    fn handle_input(&mut self, input: Input) -> Option<Stopped> {
        let now = self.clock.now();
        match input {
            Input::Opened {
                socket,
                open,
                outbox,
            } => {
                self.outboxes.insert(socket, outbox);
                self.hub.handle_socket_opened(socket, open, now);
            }
            Input::Frame { socket, frame } => self.hub.handle_frame(socket, frame, now),
            Input::Malformed { socket } => self.hub.handle_malformed(socket, now),
            Input::Lost { socket } => {
                self.outboxes.remove(&socket);
                self.hub.handle_socket_closed(socket, now);
            }
            Input::Call {
                session,
                call,
                reply,
            } => {
                let answer = self.hub.handle_call(&session, call, now);
                // Whoever asked may have gone; what was asked is done all the same.
                let _ = reply.send(answer);
            }
            Input::EndSessions { projects } => self.hub.end_sessions(&projects, now),
            Input::Snapshot { reply } => {
                let rotations = self.negotiator.rotations();
                let snapshot = self.hub.snapshot();
                // Whoever asked may have given up.
                let _ = reply.send(Snapshot {
                    rotations,
                    ..snapshot
                });
            }
            Input::Drain { done } => {
                self.hub.drain();
                self.drained = Some(done);
            }
            Input::Shutdown { done } => {
                self.hub.shutdown(now);
                return Some(done);
            }
        }
        None
    }

    /// Carries out the hub's effects until it has none left.
    async fn perform(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send { socket, frame } => self.send(socket, frame),
                Effect::Close { socket, code } => {
                    if let Some(outbox) = self.outboxes.remove(&socket) {
                        outbox.close(code);
                    }
                }
                Effect::Authenticate {
                    ticket,
                    session,
                    token,
                } => {
                    let admissions = self.admissions.clone();
                    self.lookups
                        .spawn(async move { (ticket, admissions.admit(&session, &token).await) });
                }
                Effect::Media { session, request } => {
                    let worker = self.shards.place(session.0, &request);
                    self.negotiator.at(worker).handle_request(request);
                    self.pump_negotiator().await;
                }
                Effect::Notice(notice) => {
                    log(&notice);
                    self.revoke(&notice).await;
                    self.webhooks.offer(notice, self.clock.unix_ms());
                }
            }
        }
    }

    /// Takes the relayed ways of a connection away that was put out; it waits for at most one turn
    /// of the TURN server.
    async fn revoke(&self, notice: &Notice) {
        if let Some(turn) = &self.turn
            && let NoticeEvent::ConnectionDestroyed { connection, reason } = &notice.event
            && *reason == reason::FORCED
        {
            turn.revoke(connection.id.to_string()).await;
        }
    }

    fn send(&mut self, socket: SocketKey, frame: bytes::Bytes) {
        let Some(outbox) = self.outboxes.get(&socket) else {
            return;
        };
        match outbox.push(frame) {
            Ok(()) => {}
            Err(OutboxError::Gone) => {
                debug!(socket = socket.0, "Frame for a websocket that is gone")
            }
            Err(OutboxError::Full) => {
                warn!(socket = socket.0, "Websocket does not keep up; closing it");
                if let Some(outbox) = self.outboxes.remove(&socket) {
                    outbox.give_up();
                }
                self.hub.handle_socket_overflow(socket, self.clock.now());
            }
        }
    }

    /// Carries what the negotiator decided to the engines and to the hub.
    async fn pump_negotiator(&mut self) {
        while let Some(command) = self.negotiator.poll_command() {
            self.shards.handle_command(command);
        }
        while let Some(event) = self.negotiator.poll_event() {
            log_peer(&event);
            if let Event::Closed { leg, .. } = event {
                self.shards.forget(leg);
            }
            self.hub.handle_media(event, self.clock.now());
        }
        while let Some((worker, command)) = self.shards.poll_command() {
            self.media.command(worker, command).await;
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// One line for each thing an operator would tell a colleague.
fn log(notice: &Notice) {
    let _session = telemetry::session_span(notice.project, &notice.session).entered();
    let of = |connection: &ConnectionId| telemetry::connection_span(*connection);
    match &notice.event {
        NoticeEvent::SessionStarted => info!("Session started"),
        NoticeEvent::ConnectionCreated { connection } => {
            of(&connection.id).in_scope(|| info!("Joined"));
        }
        NoticeEvent::ConnectionDestroyed { connection, reason } => {
            of(&connection.id).in_scope(|| info!(reason, "Left"));
        }
        NoticeEvent::StreamCreated { stream } => {
            of(&stream.owner.id).in_scope(|| info!(stream.id = %stream.id, "Published"));
        }
        NoticeEvent::StreamDestroyed { stream, reason } => {
            of(&stream.owner.id).in_scope(|| info!(stream.id = %stream.id, reason, "Unpublished"))
        }
        NoticeEvent::SessionEnded => info!("Session ended"),
    }
}

/// What became of a peer connection.
fn log_peer(event: &Event) {
    match event {
        Event::Connected { leg } => {
            telemetry::peer_span(*leg).in_scope(|| debug!("Media connected"));
        }
        Event::Closed { leg, reason } => {
            telemetry::peer_span(*leg).in_scope(|| info!(%reason, "Media connection given up"));
        }
        Event::Fallback {
            subscription,
            state,
        } => {
            let span = telemetry::peer_span(Leg::Subscriber(*subscription));
            span.in_scope(|| debug!(?state, "Network quality changed"));
        }
        Event::Speaker { group, publication } => {
            let who = publication.map(|id| Leg::Publisher(id).to_string());
            debug!(session = group.0, who, "Somebody else speaks");
        }
        Event::Offer { .. } | Event::Answer { .. } | Event::Renegotiate { .. } => {}
    }
}
