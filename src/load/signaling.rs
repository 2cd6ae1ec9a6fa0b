//! `parlor load signaling`: many connections in many sessions, and signals among them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Client, Ticket};
use super::histogram::Histogram;
use super::report::Quantiles;
use super::target::{Target, TargetArgs};
use crate::clock::Clock;
use crate::entropy::Entropy;

/// Files the process needs beside one for each connection.
const OTHER_FILES: u64 = 64;

/// Signals that may wait for a client to send them. A client that is behind skips one.
const SIGNAL_QUEUE: usize = 16;

/// What kind of load.
#[derive(Debug, Clone, clap::Args)]
pub struct SignalingLoad {
    #[command(flatten)]
    target: TargetArgs,
    /// Connections in all
    #[arg(long, default_value_t = 1000)]
    connections: u32,
    /// Sessions that they are spread over
    #[arg(long, default_value_t = 10)]
    sessions: u32,
    /// Connections that join each second
    #[arg(long, default_value_t = 200)]
    joins_per_second: u32,
    /// Signals to everybody that each session sees each second
    #[arg(long, default_value_t = 5)]
    signals_per_second: u32,
    /// Seconds of signals
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

/// One run, as one JSON line.
#[derive(Debug, Serialize)]
struct Report {
    connections: u32,
    sessions: u32,
    joins_per_second: u32,
    join_ms: Quantiles,
    /// Server memory by which an idle connection made the server grow, in bytes.
    memory_per_connection: Option<u64>,
    signals_per_second: u32,
    signals_sent: u64,
    signals_received: u64,
    /// From the sender's websocket to the receiver's.
    fan_out_ms: Quantiles,
    /// Processor time of the server for one signal to one receiver, in microseconds.
    cpu_us_per_delivery: Option<f64>,
}

/// The clients of one run. Aborted when dropped.
#[derive(Debug)]
struct Clients {
    tasks: JoinSet<Result<Histogram>>,
    /// How to make each client signal, by session.
    senders: Vec<Vec<mpsc::Sender<uuid::Uuid>>>,
    joined: Histogram,
}

/// Runs the load and returns its report as one line of JSON.
pub async fn run(load: SignalingLoad, clock: Clock, mut entropy: Entropy) -> Result<String> {
    ensure!(load.connections > 0 && load.sessions > 0, "nothing to do");
    ensure!(load.joins_per_second > 0, "nobody ever joins");
    let files = u64::from(load.connections) + OTHER_FILES;
    let limit = rlimit::increase_nofile_limit(files).context("cannot raise the file limit")?;
    ensure!(
        limit >= files,
        "{files} open files are needed, the system allows {limit}"
    );

    let target = Arc::new(Target::find(load.target.clone(), clock).await?);
    let memory_before = target.memory();
    let mut clients = join_all(&load, &target, clock, &mut entropy).await?;
    let grown = target
        .memory()
        .zip(memory_before)
        .map(|(now, then)| now.saturating_sub(then));

    let cpu_before = target.cpu_time();
    let sent = signal_all(&load, &clients, &mut entropy).await;
    let senders = std::mem::take(&mut clients.senders);
    let received = leave_all(clients.tasks, senders).await?;
    let cpu = target
        .cpu_time()
        .zip(cpu_before)
        .map(|(now, then)| now.saturating_sub(then));
    let deliveries = received.count().max(1) as f64;
    let report = Report {
        connections: load.connections,
        sessions: load.sessions,
        joins_per_second: load.joins_per_second,
        join_ms: (&clients.joined).into(),
        memory_per_connection: grown.map(|bytes| bytes / u64::from(load.connections)),
        signals_per_second: load.signals_per_second,
        signals_sent: sent,
        signals_received: received.count(),
        fan_out_ms: (&received).into(),
        cpu_us_per_delivery: cpu.map(|t| (t.as_secs_f64() * 1e8 / deliveries).round() / 100.0),
    };
    Ok(serde_json::to_string(&report)?)
}

/// Lets everybody join at the wanted rate, each in the next session.
async fn join_all(
    load: &SignalingLoad,
    target: &Arc<Target>,
    clock: Clock,
    entropy: &mut Entropy,
) -> Result<Clients> {
    let mut sessions = Vec::new();
    for _ in 0..load.sessions {
        sessions.push(target.create_session().await?);
    }
    let mut clients = Clients {
        tasks: JoinSet::new(),
        senders: vec![Vec::new(); sessions.len()],
        joined: Histogram::new(),
    };
    let mut joining = JoinSet::new();
    let mut pace = interval(Duration::from_secs(1) / load.joins_per_second);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..load.connections as usize {
        pace.tick().await;
        let index = number % sessions.len();
        let ticket = Ticket::issue(target, &sessions[index], clock, entropy)?;
        let begun = clock.now();
        joining.spawn(async move {
            let client = Client::join(ticket, clock).await;
            (index, clock.now().saturating_duration_since(begun), client)
        });
        while let Some(done) = joining.try_join_next() {
            clients.add(done?)?;
        }
    }
    while let Some(done) = joining.join_next().await {
        clients.add(done?)?;
    }
    Ok(clients)
}

impl Clients {
    fn add(&mut self, (index, took, client): (usize, Duration, Result<Client>)) -> Result<()> {
        let client = client?;
        self.joined.add(took);
        let (sender, signals) = mpsc::channel(SIGNAL_QUEUE);
        self.senders[index].push(sender);
        self.tasks.spawn(client.take_part(signals));
        Ok(())
    }
}

/// Signals at the wanted rate in every session, each time from another client. Returns how many.
async fn signal_all(load: &SignalingLoad, clients: &Clients, entropy: &mut Entropy) -> u64 {
    let rounds = load.signals_per_second * load.seconds;
    if rounds == 0 {
        return 0;
    }
    let mut sent = 0;
    let mut pace = interval(Duration::from_secs(1) / load.signals_per_second);
    for round in 0..rounds as usize {
        pace.tick().await;
        for session in clients.senders.iter().filter(|senders| !senders.is_empty()) {
            let sender = &session[round % session.len()];
            sent += u64::from(sender.try_send(entropy.uuid()).is_ok());
        }
    }
    // The last signals are still on their way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    sent
}

/// Ends everybody and adds up what they saw.
async fn leave_all(
    mut tasks: JoinSet<Result<Histogram>>,
    senders: Vec<Vec<mpsc::Sender<uuid::Uuid>>>,
) -> Result<Histogram> {
    drop(senders);
    let mut all = Histogram::new();
    while let Some(done) = tasks.join_next().await {
        all.merge(&done??);
    }
    Ok(all)
}
