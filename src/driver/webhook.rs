//! The task that stores what back ends are to be told, and tells them.
//!
//! An event that has been stored is sent at least once, whatever happens to the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{debug, trace_span, warn};
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::WebhookConfig;
use crate::db::webhooks::{Claim, DueWebhook, NewWebhook, next_position};
use crate::db::{Db, DbError};
use crate::entropy::Entropy;
use crate::hub::effect::Notice;
use crate::model::id::ProjectId;
use crate::net::outbound::Outbound;
use crate::webhook::event::Event;
use crate::webhook::schedule::{Attempt, Lane, Outcome, Schedule, next_attempt};
use crate::webhook::signature;
use crate::webhook::target::TargetUrl;

/// Events that may wait to be stored. When full, further ones are dropped and counted: the hub
/// waits for nobody.
const QUEUE_LEN: usize = 8192;

/// How many are stored with one transaction.
const BATCH: usize = 256;

/// How long to wait when the store does not take them, and how often to try before they are
/// dropped and counted.
const STORE_PAUSE: Duration = Duration::from_secs(1);
const STORE_ATTEMPTS: u32 = 60;

/// How long requests under way may take when the server is to end; they are made again later.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// How long it is remembered what could not be told, in milliseconds.
const FAILED_RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How long a webhook stays claimed beyond the time that its request may take: the store has to be
/// told what became of it, and the clocks of several servers are not the same.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);

/// How often to look for what others have left in the store: a server that has ended, the command
/// line. What has been due for less than that is still theirs.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Names the webhook: the same however often it is sent.
const ID: HeaderName = HeaderName::from_static("webhook-id");

/// Totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Webhooks stored, one for each event and URL.
    pub stored: u64,
    /// Webhooks that arrived.
    pub delivered: u64,
    /// Requests that did not succeed.
    pub failed_attempts: u64,
    /// Webhooks given up after a day.
    pub given_up: u64,
    /// Events or webhooks for which there was no room.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Totals {
    stored: AtomicU64,
    delivered: AtomicU64,
    failed_attempts: AtomicU64,
    given_up: AtomicU64,
    dropped: AtomicU64,
}

/// A handle to the task, for the hub.
#[derive(Debug, Clone)]
pub struct WebhookHandle {
    queue: mpsc::Sender<(Notice, i64)>,
    totals: Arc<Totals>,
    stop: CancellationToken,
}

impl WebhookHandle {
    /// Takes note of what happened at `at_ms`; never waits.
    pub fn offer(&self, notice: Notice, at_ms: i64) {
        if self.queue.try_send((notice, at_ms)).is_err() {
            count(&self.totals.dropped, 1);
            warn!("An event was dropped: the store of webhooks is behind");
        }
    }

    /// Lets the task store what it was told so far, and then end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        Counters {
            stored: read(&self.totals.stored),
            delivered: read(&self.totals.delivered),
            failed_attempts: read(&self.totals.failed_attempts),
            given_up: read(&self.totals.given_up),
            dropped: read(&self.totals.dropped),
        }
    }
}

/// The task's own side.
#[derive(Debug)]
pub struct WebhookDriver {
    sender: Sender,
    config: WebhookConfig,
    entropy: Entropy,
    schedule: Schedule,
    queue: mpsc::Receiver<(Notice, i64)>,
    stop: CancellationToken,
    last_position: i64,
    /// Requests under way. Aborted when the driver ends.
    attempts: JoinSet<(Lane, Outcome)>,
}

/// What one request needs.
#[derive(Debug, Clone)]
struct Sender {
    db: Db,
    outbound: Outbound,
    /// How long a webhook is claimed, in milliseconds.
    claim_ms: i64,
    clock: Clock,
    totals: Arc<Totals>,
}

impl WebhookDriver {
    /// Forgets what is too old; sends nothing before [`Self::run`].
    pub async fn new(
        db: Db,
        (config, clock): (WebhookConfig, Clock),
        entropy: &mut Entropy,
    ) -> Result<(Self, WebhookHandle), DbError> {
        let expired = clock.unix_ms() - FAILED_RETENTION_MS;
        db.webhooks().forget_failed(expired).await?;
        let last_position = db.webhooks().last_position().await?;
        let (queue, receiver) = mpsc::channel(QUEUE_LEN);
        let handle = WebhookHandle {
            queue,
            totals: Arc::default(),
            stop: CancellationToken::new(),
        };
        let driver = Self {
            sender: Sender {
                db,
                outbound: Outbound::new(config.addresses.clone(), config.patience),
                claim_ms: millis(config.patience.total + CLAIM_MARGIN),
                clock,
                totals: Arc::clone(&handle.totals),
            },
            config,
            entropy: entropy.fork(),
            schedule: Schedule::new(entropy.fork()),
            queue: receiver,
            stop: handle.stop.clone(),
            last_position,
            attempts: JoinSet::new(),
        };
        Ok((driver, handle))
    }

    /// Runs until [`WebhookHandle::stop`].
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        // What was left by an earlier run.
        self.look(Duration::ZERO).await;
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_attempts();
            let now = self.sender.clock.unix_ms();
            let pause = self.schedule.poll_timeout().map(|at| at - now);
            tokio::select! {
                _ = self.queue.recv_many(&mut batch, BATCH) => self.store(&mut batch).await,
                Some(ended) = self.attempts.join_next() => self.end_attempt(ended),
                _ = looks.tick() => self.look(LOOK_INTERVAL).await,
                () = sleep_ms(pause) => {}
                () = self.stop.clone().cancelled_owned() => break,
            }
        }
        while let Ok(event) = self.queue.try_recv() {
            batch.push(event);
        }
        self.store(&mut batch).await;
        let attempts = async { while self.attempts.join_next().await.is_some() {} };
        // Those that are left behind are made again after the next start.
        let _ = timeout(LAST_PATIENCE, attempts).await;
    }

    /// Takes up what has been due for so long, whoever put it into the store.
    async fn look(&mut self, for_so_long: Duration) {
        let before = self.sender.clock.unix_ms() - millis(for_so_long);
        match self.sender.db.webhooks().lanes().await {
            Ok(lanes) => {
                for (lane, due) in lanes.into_iter().filter(|(_, due)| *due <= before) {
                    self.schedule.handle_found(lane, due);
                }
            }
            Err(error) => warn!(%error, "Cannot see which webhooks are due"),
        }
    }

    fn start_attempts(&mut self) {
        let now = self.sender.clock.unix_ms();
        while let Some(attempt) = self.schedule.poll_attempt(now) {
            let sender = self.sender.clone();
            self.attempts.spawn(async move {
                let outcome = sender.attempt(&attempt).await;
                (attempt.lane, outcome)
            });
        }
    }

    fn end_attempt(&mut self, ended: Result<(Lane, Outcome), tokio::task::JoinError>) {
        match ended {
            Ok((lane, outcome)) => {
                let now = self.sender.clock.unix_ms();
                self.schedule.handle_outcome(&lane, outcome, now);
            }
            Err(error) => {
                warn!(%error, "A webhook's task panicked; its session waits for a restart")
            }
        }
    }

    /// Stores events; those the store does not take for long are dropped.
    async fn store(&mut self, batch: &mut Vec<(Notice, i64)>) {
        for attempt in 1..=STORE_ATTEMPTS {
            match self.try_store(batch).await {
                Ok(()) => break,
                Err(error) if attempt < STORE_ATTEMPTS && !self.stop.is_cancelled() => {
                    warn!(%error, "Cannot store events; trying again");
                    sleep(STORE_PAUSE).await;
                }
                Err(error) => {
                    warn!(%error, events = batch.len(), "Events were dropped: cannot store them");
                    count(&self.sender.totals.dropped, batch.len());
                }
            }
        }
        batch.clear();
    }

    async fn try_store(&mut self, batch: &[(Notice, i64)]) -> Result<(), DbError> {
        let webhooks = self.addressed(batch).await?;
        let webhooks = self.with_room(webhooks).await?;
        if webhooks.is_empty() {
            return Ok(());
        }
        self.sender.db.webhooks().insert(&webhooks).await?;
        count(&self.sender.totals.stored, webhooks.len());
        for webhook in webhooks {
            self.schedule
                .handle_queued(webhook.lane, webhook.created_at_ms);
        }
        Ok(())
    }

    /// One webhook for each event and everybody who wants to know.
    async fn addressed(&mut self, batch: &[(Notice, i64)]) -> Result<Vec<NewWebhook>, DbError> {
        let projects: BTreeSet<ProjectId> =
            batch.iter().map(|(notice, _)| notice.project).collect();
        let mut callbacks = BTreeMap::new();
        for project in projects {
            let list = self.sender.db.callbacks().of(project).list().await?;
            callbacks.insert(project, list);
        }
        let mut webhooks = Vec::new();
        let now = self.sender.clock.unix_ms();
        for (notice, at_ms) in batch {
            let event = Event::of(notice, *at_ms);
            let mut targets: BTreeMap<&TargetUrl, Option<Uuid>> = BTreeMap::new();
            targets.extend(self.config.url.iter().map(|url| (url, None)));
            let wanted = callbacks.get(&notice.project).into_iter().flatten();
            for callback in wanted.filter(|callback| callback.topic == event.topic) {
                targets.entry(&callback.url).or_insert(Some(callback.id));
            }
            for (url, callback) in targets {
                self.last_position = next_position(self.last_position, now);
                webhooks.push(NewWebhook {
                    id: self.entropy.uuid(),
                    position: self.last_position,
                    lane: Lane {
                        project: notice.project,
                        url: url.clone(),
                        session: notice.session.clone(),
                    },
                    callback,
                    event: event.name,
                    body: event.body.clone(),
                    created_at_ms: *at_ms,
                });
            }
        }
        Ok(webhooks)
    }

    /// Leaves out those for which their project has no room any more.
    async fn with_room(&self, webhooks: Vec<NewWebhook>) -> Result<Vec<NewWebhook>, DbError> {
        let mut needed: BTreeMap<ProjectId, i64> = BTreeMap::new();
        for webhook in &webhooks {
            *needed.entry(webhook.lane.project).or_default() += 1;
        }
        let store = self.sender.db.webhooks();
        for (project, count) in &mut needed {
            let tally = store.tally(*project).await?;
            let excess = tally.pending + tally.failed + *count - self.config.queue;
            if excess > 0 && tally.failed > 0 {
                store.make_room(*project, excess).await?;
            }
            // From here on it is what there is room for.
            *count = (self.config.queue - tally.pending).max(0);
        }
        let before = webhooks.len();
        let mut fitting = webhooks;
        fitting.retain(|webhook| {
            let room = needed.get_mut(&webhook.lane.project);
            room.is_some_and(|room| {
                *room -= 1;
                *room >= 0
            })
        });
        if fitting.len() < before {
            let dropped = before - fitting.len();
            warn!(
                dropped,
                "Webhooks were dropped: their project has too many to be sent"
            );
            count(&self.sender.totals.dropped, dropped);
        }
        Ok(fitting)
    }
}

impl Sender {
    /// Sends the first webhook of a lane and stores what became of it.
    async fn attempt(&self, attempt: &Attempt) -> Outcome {
        let store = self.db.webhooks();
        let now = self.clock.unix_ms();
        let claim = store.claim(&attempt.lane, now, now + self.claim_ms);
        let due = match claim.await {
            Ok(Claim::Due(due)) => due,
            Ok(Claim::NotBefore(at)) => return Outcome::NotBefore(at),
            Ok(Claim::Empty) => return Outcome::Empty,
            Err(error) => return postponed(&error),
        };
        let traced = trace_span!(
            "webhook",
            otel.kind = "client",
            otel.status_code = Empty,
            webhook.id = %due.id,
            project.id = %attempt.lane.project,
        );
        let sent = self.send(&attempt.lane, &due).await;
        if sent.is_err() {
            traced.record("otel.status_code", "ERROR");
        }
        drop(traced);
        let now = self.clock.unix_ms();
        let (stored, outcome) = match sent {
            Ok(()) => {
                debug!(webhook.id = %due.id, "Webhook delivered");
                count(&self.totals.delivered, 1);
                (store.remove(due.id).await, Outcome::Delivered)
            }
            Err(reason) => {
                debug!(webhook.id = %due.id, reason, "Webhook not delivered");
                count(&self.totals.failed_attempts, 1);
                match next_attempt(due.created_at_ms, due.attempts + 1, now, attempt.dice) {
                    Some(at) => (store.put_off(&due, at, &reason).await, Outcome::Failed(at)),
                    None => {
                        warn!(webhook.id = %due.id, reason, "Webhook given up");
                        count(&self.totals.given_up, 1);
                        (self.give_up(&due, now, &reason).await, Outcome::GivenUp)
                    }
                }
            }
        };
        match stored {
            Ok(()) => outcome,
            Err(error) => postponed(&error),
        }
    }

    async fn give_up(&self, due: &DueWebhook, now: i64, reason: &str) -> Result<(), DbError> {
        let store = self.db.webhooks();
        store.give_up(due, now, reason).await?;
        store.forget_failed(now - FAILED_RETENTION_MS).await
    }

    /// Makes the request; the error is for the project's eyes.
    async fn send(&self, lane: &Lane, due: &DueWebhook) -> Result<(), String> {
        let now_s = self.clock.unix_ms() / 1000;
        let jwt = signature::sign(lane.project, &due.secret, due.id, &due.body, now_s);
        let value = |text: String| HeaderValue::try_from(text).map_err(|error| error.to_string());
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (AUTHORIZATION, value(format!("Bearer {jwt}"))?),
            (ID, value(due.id.to_string())?),
        ];
        let posted = self
            .outbound
            .post(&lane.url, &headers, due.body.clone().into());
        match posted.await {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) => Err(format!("answered {}", status.as_u16())),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn postponed(error: &DbError) -> Outcome {
    warn!(%error, "Cannot keep the book of webhooks");
    Outcome::Postponed
}

fn count(total: &AtomicU64, more: usize) {
    total.fetch_add(more as u64, Ordering::Relaxed);
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

async fn sleep_ms(pause: Option<i64>) {
    match pause {
        Some(ms) => sleep(Duration::from_millis(u64::try_from(ms).unwrap_or_default())).await,
        None => std::future::pending().await,
    }
}
