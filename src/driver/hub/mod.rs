//! The task around the [`Hub`] and the control half of the SFU.
//!
//! Everything that happens to live sessions passes through here, one input at a time: the hub
//! decides, its effects are carried out, and only then comes the next input.

mod handle;
mod log;

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

pub use self::handle::{CallFailure, HubHandle, HubStopped, SocketHandle};
use self::handle::{Input, Stopped};
use super::admission::Admissions;
use super::outbox::{Outbox, OutboxError};
use super::turn::TurnHandle;
use super::webhook::WebhookHandle;
use super::workers::WorkersHandle;
use crate::clock::Clock;
use crate::config::limits::OutboxLimits;
use crate::hub::Hub;
use crate::hub::effect::{Admission, Denial, Effect, Notice, NoticeEvent, SocketKey, Ticket};
use crate::hub::reason;
use crate::hub::snapshot::Snapshot;
use crate::sfu::Event;
use crate::sfu::command::EngineEvent;
use crate::sfu::negotiator::Negotiator;
use crate::sfu::shards::Shards;

/// Inputs that may wait for the hub. When full, the websocket or REST call that wants to add one
/// waits, and with it that client's TCP connection; nobody else.
const MAILBOX_LEN: usize = 1024;

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
        (driver, HubHandle::new(sender, limits))
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
                    log::notice(&notice);
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
            log::peer(&event);
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
