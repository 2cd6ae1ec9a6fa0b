//! The composition root: puts everything together, runs it, and takes it down again in order.

mod reach;
mod turn;

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use self::reach::{Listeners, Ports};
use self::turn::{TurnParts, TurnService};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::driver::admission::Admissions;
use crate::driver::closing;
use crate::driver::hub::{HubDriver, HubHandle};
use crate::driver::turn::MediaPlace;
use crate::driver::webhook::{WebhookDriver, WebhookHandle};
use crate::driver::workers::{BoundWorkers, Workers, WorkersHandle};
use crate::entropy::Entropy;
use crate::http::demo::Demo;
use crate::http::network_test::NetworkTests;
use crate::http::rate::Rates;
use crate::http::requests::Requests;
use crate::http::serve::Connections;
use crate::http::statistics::Asking;
use crate::http::{AppState, SharedEntropy, metrics, router};
use crate::hub::Hub;
use crate::model::project::{Account, Project};
use crate::sfu::command::LocalEndpoint;
use crate::sfu::dtls::Certificate;
use crate::sfu::negotiator::Negotiator;
use crate::sfu::path::RelayNames;
use crate::sfu::worker::WorkerId;
use crate::telemetry::LogHandle;
use crate::{files, tls, ws};

/// What the project of a playground is called.
const PLAYGROUND: &str = "Playground";

/// A running server. Take it down with [`Self::shutdown`]; just dropping it leaves threads behind.
#[derive(Debug)]
pub struct App {
    config: Arc<Config>,
    db: Db,
    playground: Option<Project>,
    account: Option<Account>,
    ports: Ports,
    http: JoinHandle<()>,
    metrics: Option<Metrics>,
    draining: CancellationToken,
    stop_accepting: CancellationToken,
    websockets: ws::Endpoint,
    hub: (HubHandle, JoinHandle<()>),
    webhooks: (WebhookHandle, JoinHandle<()>),
    closing: AbortOnDropHandle<()>,
    media: (WorkersHandle, Workers),
    turn: Option<TurnService>,
}

impl App {
    /// Starts everything; when it comes back, calls can be made.
    pub async fn start(config: Config, log: LogHandle) -> Result<Self> {
        let config = Arc::new(config);
        raise_file_limit();
        let clock = Clock::system();
        let mut entropy = Entropy::from_system();

        let db = open_database(&config).await?;
        let playground = if config.dev {
            Some(find_playground(&db, &mut entropy, clock).await?)
        } else {
            None
        };
        let account = match config.dev {
            true => Some(find_account(&db, &mut entropy, clock).await?),
            false => None,
        };
        let admissions = Admissions::new(db.clone(), clock);

        let certificates = Certificate::generate_pair().context("cannot make DTLS certificates")?;
        let at = config.media.listen;
        let workers = BoundWorkers::bind(at, config.media.workers, config.media.socket_buffer)
            .with_context(|| format!("cannot open the media port {at}"))?;
        let listeners = Listeners::bind(&config).await?;
        let media_place = MediaPlace {
            announced: reach::announced(&config, workers.local_addr()?)?,
            local: workers.local_addr()?,
        };
        let local = LocalEndpoint {
            candidates: listeners.candidates(&config, &media_place.announced)?,
            fingerprints: certificates.each_ref().map(Certificate::fingerprint),
            worker: WorkerId::default(),
        };
        let (media, media_threads, media_events) = workers
            .relaying(RelayNames::new(&media_place.announced))
            .start(&certificates, &mut entropy, clock)?;
        let turn = TurnParts::start(&config, &media_place, entropy.fork(), clock)?;

        let settings = (config.webhooks.clone(), clock);
        let (driver, webhooks) = WebhookDriver::new(db.clone(), settings, &mut entropy)
            .await
            .context("cannot read the webhooks that are due")?;
        let webhook_task = tokio::spawn(driver.run());

        let (driver, hub) = HubDriver::new(
            Hub::new(config.limits.hub.clone(), clock.epoch(), entropy.fork()),
            Negotiator::new(local, entropy.fork())
                .rotating(config.media.key_rotation)
                .repeating(config.media.audio_redundancy),
            (media.clone(), media_events),
            admissions.clone(),
            webhooks.clone(),
            clock,
            config.limits.outbox,
        );
        let hub_task = tokio::spawn(driver.revoking(turn.handle()).run());

        let closing = tokio::spawn(closing::follow(db.clone(), hub.clone()));
        let closing = AbortOnDropHandle::new(closing);

        let tls = config.tls.as_ref().map(|tls| tls::start(tls, clock));
        let (tls, certificate) = tls.transpose()?.unzip();
        let websockets = ws::Endpoint::new(hub.clone(), config.limits.frame);
        let draining = CancellationToken::new();
        let connections = Connections::new(&config.http);
        let state = AppState {
            config: Arc::clone(&config),
            db: db.clone(),
            admissions,
            hub: hub.clone(),
            media: media.clone(),
            statistics: Asking::new(media.clone()),
            certificate,
            draining: draining.clone(),
            webhooks: webhooks.clone(),
            log,
            websockets: websockets.clone(),
            connections: connections.clone(),
            requests: Requests::new(clock),
            rates: Rates::new(config.limits.rest_calls_per_second),
            clock,
            entropy: SharedEntropy::new(entropy),
            network_tests: NetworkTests::new(config.limits.network_tests),
            demo: playground.clone().map(Demo::new),
            turn: turn.handle(),
            ice: Arc::clone(&turn.ice),
        };
        let metrics = match config.metrics {
            Some(address) => Some(serve_metrics(address, state.clone()).await?),
            None => None,
        };
        let (ports, listener) = listeners.open(tls, &config, &media, turn.connections)?;
        let stop_accepting = CancellationToken::new();
        let serving = connections.serve(listener, router::service(state), stop_accepting.clone());
        let http = tokio::spawn(serving);

        Ok(Self {
            config,
            db,
            playground,
            account,
            ports,
            http,
            metrics,
            draining,
            stop_accepting,
            websockets,
            hub: (hub, hub_task),
            webhooks: (webhooks, webhook_task),
            closing,
            media: (media, media_threads),
            turn: turn.service,
        })
    }

    /// Announces that calls can be made, then runs until the process is told to end: once, and
    /// running calls go on for a while; twice, and it is gone at once.
    pub async fn serve(self, ready_file: Option<&Path>) -> Result<()> {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        if let Some(path) = ready_file {
            self.write_ready_file(path)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(project) = &self.playground {
            announce_playground(project, &self.url());
        }
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: shutting down"),
            _ = interrupt.recv() => info!("SIGINT: shutting down"),
        }
        let end = async {
            self.drain().await;
            self.shutdown().await;
        };
        tokio::select! {
            () = end => Ok(()),
            _ = terminate.recv() => anyhow::bail!("second signal: gone at once"),
            _ = interrupt.recv() => anyhow::bail!("second signal: gone at once"),
        }
    }

    /// Lets nobody come any more, and waits until everybody has left, for `limits.drain` at most.
    pub async fn drain(&self) {
        self.draining.cancel();
        let (limit, hub) = (self.config.limits.drain, &self.hub.0);
        if limit.is_zero() {
            return;
        }
        if let Ok(Ok(left)) = tokio::time::timeout(limit, hub.snapshot()).await
            && left.connections > 0
        {
            info!(
                connections = left.connections,
                ?limit,
                "Waiting for running calls"
            );
        }
        match tokio::time::timeout(limit, hub.drain()).await {
            Ok(()) => info!("Nobody is left"),
            Err(_) => info!("Closing the calls that are still running"),
        }
    }

    /// Takes everything down, each part after those that use it. What takes longer than
    /// `limits.shutdown` in all is left behind.
    pub async fn shutdown(self) {
        let limit = self.config.limits.shutdown;
        if tokio::time::timeout(limit, self.take_down()).await.is_err() {
            warn!("Shutdown took too long; leaving the rest behind");
        }
    }

    /// Where REST and signaling are served, as seen from this machine.
    pub fn url(&self) -> String {
        match &self.config.http.public_url {
            Some(url) => url.to_string(),
            None => format!("{}://{}", self.config.scheme(), self.ports.http()),
        }
    }

    /// Where HTTP is served.
    pub fn http_addr(&self) -> SocketAddr {
        self.ports.http()
    }

    /// Where media arrives.
    pub fn media_addr(&self) -> SocketAddr {
        self.media.1.local_addr
    }

    /// Where TURN takes datagrams, if it does.
    pub fn turn_addr(&self) -> Option<SocketAddr> {
        self.turn.as_ref()?.local_addr()
    }

    /// The first project of a playground.
    pub fn playground(&self) -> Option<&Project> {
        self.playground.as_ref()
    }

    /// The account that manages the projects of a playground.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    async fn take_down(self) {
        self.stop_accepting.cancel();
        drop(self.ports);
        drop(self.closing);
        let (hub, hub_task) = self.hub;
        hub.shutdown().await;
        report(hub_task.await, "The hub");
        let (webhooks, webhook_task) = self.webhooks;
        webhooks.stop();
        let half = self.config.limits.shutdown / 2;
        let mut http = self.http;
        let served = async {
            self.websockets.finished().await;
            (&mut http).await
        };
        match tokio::time::timeout(half, served).await {
            Ok(served) => report(served, "The HTTP server"),
            Err(_) => {
                warn!("Leaving clients behind that do not finish");
                http.abort();
            }
        }
        report(webhook_task.await, "The sender of webhooks");
        if let Some(metrics) = self.metrics {
            metrics.task.abort();
        }
        if let Some(turn) = self.turn {
            turn.shutdown().await;
        }
        let (media, media_threads) = self.media;
        media.stop().await;
        let joined = tokio::task::spawn_blocking(move || media_threads.join());
        report(joined.await, "Waiting for threads");
        self.db.close().await;
        info!("Everything is closed");
    }

    /// Writes the file next to its place first, so that nobody reads half of it.
    fn write_ready_file(&self, path: &Path) -> Result<()> {
        let (project, account) = (self.playground.as_ref(), self.account.as_ref());
        let ready = serde_json::json!({
            "url": self.url(),
            "api_key": project.map(|project| project.id.to_string()),
            "api_secret": project.map(|project| project.secret.reveal()),
            "account_key": account.map(|account| account.id.to_string()),
            "account_secret": account.map(|account| account.secret.reveal()),
            "media_port": self.media_addr().port(),
            "turn": self.turn_addr(),
            "metrics": self.metrics.as_ref().map(|metrics| metrics.address),
            "pid": std::process::id(),
        });
        files::write_private(path, &ready.to_string())?;
        Ok(())
    }
}

/// Opens the store that the settings name.
pub async fn open_database(config: &Config) -> Result<Db> {
    // For its owner only: it holds every project's secret.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .with_context(|| format!("cannot create {}", config.data_dir.display()))?;
    let options = &config.database.options;
    let opened = match &config.database.url {
        Some(url) => Db::open(url.expose(), options).await,
        None => Db::open_file(&config.database_file(), options).await,
    };
    opened.context("cannot open the database")
}

/// The project of a playground: made at its first start, the same one from then on.
async fn find_playground(db: &Db, entropy: &mut Entropy, clock: Clock) -> Result<Project> {
    let projects = db.projects().list().await?;
    match projects
        .into_iter()
        .find(|project| project.name == PLAYGROUND)
    {
        Some(project) => Ok(project),
        None => create_project(db, PLAYGROUND, |project| project, entropy, clock).await,
    }
}

/// The account of a playground: made at its first start, the same one from then on.
async fn find_account(db: &Db, entropy: &mut Entropy, clock: Clock) -> Result<Account> {
    let first = db.accounts().list().await?.into_iter().next();
    match first {
        Some(account) => Ok(account),
        None => create_account(db, entropy, clock).await,
    }
}

/// Makes a project with a key of its own; `configure` adds what else it is to have.
pub async fn create_project(
    db: &Db,
    name: &str,
    configure: impl Fn(Project) -> Project,
    entropy: &mut Entropy,
    clock: Clock,
) -> Result<Project> {
    loop {
        let project = configure(Project::generate(name, clock.unix_ms(), entropy));
        match db.projects().insert(&project).await {
            Ok(()) => return Ok(project),
            // One in ninety million for each project there is.
            Err(DbError::Conflict(_)) => {}
            Err(error) => return Err(error).context("cannot store the project"),
        }
    }
}

/// Makes an account with a key of its own.
pub async fn create_account(db: &Db, entropy: &mut Entropy, clock: Clock) -> Result<Account> {
    loop {
        let account = Account::generate(clock.unix_ms(), entropy);
        match db.accounts().insert(&account).await {
            Ok(()) => return Ok(account),
            Err(DbError::Conflict(_)) => {}
            Err(error) => return Err(error).context("cannot store the account"),
        }
    }
}

/// What serves metrics; ended when nothing is left to measure.
#[derive(Debug)]
struct Metrics {
    address: SocketAddr,
    task: JoinHandle<()>,
}

async fn serve_metrics(address: SocketAddr, state: AppState) -> Result<Metrics> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for metrics"))?;
    let address = listener.local_addr()?;
    info!(%address, "Serving metrics");
    let connections = Connections::new(&state.config.http);
    let service = metrics::routes(state);
    let task = tokio::spawn(connections.serve(listener, service, CancellationToken::new()));
    Ok(Metrics { address, task })
}

fn report(joined: Result<(), tokio::task::JoinError>, what: &str) {
    if let Err(error) = joined {
        warn!(%error, "{what} panicked");
    }
}

/// Tells whoever started a playground how to use it.
#[expect(
    clippy::print_stdout,
    reason = "for the person at the terminal; the log is on stderr"
)]
fn announce_playground(project: &Project, url: &str) {
    println!("\n  demo page   {url}/");
    println!("  API key     {}", project.id);
    println!("  API secret  {}\n", project.secret.reveal());
}

/// Takes as many open files as the system allows: each client holds one.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => debug!(limit, "Open files"),
        Err(error) => warn!(%error, "Cannot raise the limit of open files"),
    }
}
