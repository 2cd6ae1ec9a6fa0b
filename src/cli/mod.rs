//! The command line. Commands about projects, tokens and accounts work on the store itself, whether
//! a server runs or not.

mod account;
mod project;
mod reload;
mod server;
mod session;
mod statistics;
mod token;
mod webhook;

use std::path::PathBuf;

use account::AccountCommand;
use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use project::ProjectArgs;
use session::SessionArgs;
use token::TokenCommand;
use webhook::WebhookArgs;

use crate::app::App;
use crate::clock::Clock;
use crate::config::layers::TEXT_VARIABLE;
use crate::config::{Config, Sources};
use crate::db::backup::{backup, backup_file};
use crate::doctor::{Level, Questions};
use crate::entropy::Entropy;
use crate::load::media::{self, MediaLoad};
use crate::load::signaling::{self, SignalingLoad};
use crate::{doctor, ports, probe, telemetry};

/// A self-hosted video session server that speaks OpenTok.
#[derive(Debug, Parser)]
#[command(name = "parlor", version)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(Serve),
    /// Show the settings that come out of all sources, or everything that is wrong with them.
    CheckConfig {
        /// Check them for a playground.
        #[arg(long)]
        dev: bool,
    },
    /// Look at everything that the server needs, and say what is wrong and what to do about it.
    /// Changes nothing; fails if something does not work.
    Doctor(DoctorArgs),
    /// Copy the SQLite database into a new file, whether a server runs or not.
    Backup {
        /// Where to; the file must not exist.
        file: PathBuf,
    },
    /// Ask the server on this machine whether it lives; fails if it does not.
    Health,
    /// Show which ports must be open, as a table and as lines for firewalls.
    Ports,
    /// Manage projects: an API key and a secret each.
    Project(ProjectArgs),
    /// See what goes on in sessions, and end it.
    Session(SessionArgs),
    /// See what back ends have yet to be told, and have it told again.
    Webhook(WebhookArgs),
    /// Make client tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Manage accounts, which manage projects over REST.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Put a server under load and print what it did, one line of JSON for each run.
    #[command(subcommand)]
    Load(LoadCommand),
}

#[derive(Debug, Args)]
struct Serve {
    /// Be a playground: needs no settings, listens on this machine only, creates a project and
    /// offers a demo page.
    #[arg(long)]
    dev: bool,
    /// Write the server's URL and more to this file, as JSON, as soon as calls can be made.
    /// With --dev that includes the secret of the first project.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// Look at a playground.
    #[arg(long)]
    dev: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    questions: Questions,
}

#[derive(Debug, Subcommand)]
enum LoadCommand {
    /// Many connections in many sessions, and signals among them.
    Signaling(SignalingLoad),
    /// Publishers and subscribers with real ICE, DTLS and SRTP.
    ///
    /// Publishers come first, each gets one subscription, and nobody else subscribes for three
    /// seconds. Memory per subscription (kB/sub) is what the server's resident memory grows by from
    /// there, until all subscribers have received for as long as is counted, divided by the further
    /// subscriptions; kB/more counts only those of the last step of a ramp. Memory per publication
    /// (kB/pub) is what it had grown by before: with packets that are kept to be sent again, and
    /// what a first call takes once and for all. MB grown is the growth of the whole process since
    /// it was idle, MB idle what it had then.
    Media(MediaLoad),
}

/// Settings that have a flag; see `config/default.toml` for all of them.
#[derive(Debug, Args)]
struct Settings {
    /// Read settings from this file too; may be given several times.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PARLOR_CONFIG",
        value_delimiter = ','
    )]
    config: Vec<PathBuf>,
    /// Address and port of REST, signaling and pages [http.listen].
    #[arg(long, global = true, value_name = "ADDRESS")]
    http: Option<String>,
    /// How clients reach this server [http.public_url].
    #[arg(long, global = true, value_name = "URL")]
    public_url: Option<String>,
    /// Address and port of all media [media.listen].
    #[arg(long, global = true, value_name = "ADDRESS")]
    media: Option<String>,
    /// Addresses clients are told to send media to, with commas, or "auto" [media.announce].
    #[arg(long, global = true, value_name = "ADDRESSES")]
    announce: Option<String>,
    /// Where data is kept [data.dir].
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// What is logged [log.level].
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
}

impl Cli {
    /// Does what was asked; comes back when it is done.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(serve) => {
                let config = self.settings.load(serve.dev)?;
                let runtime = runtime()?;
                let (log, traces) = {
                    let _entered = runtime.enter();
                    telemetry::init(&config.log, config.traces.as_ref())?
                };
                let ended = runtime.block_on(async {
                    let app = App::start(config.clone(), log.clone()).await?;
                    tokio::select! {
                        ended = app.serve(serve.ready_file.as_deref()) => ended,
                        failed = reload::follow(&self.settings, config, &log) => failed,
                    }
                });
                if let Some(traces) = traces {
                    traces.finish();
                }
                ended
            }
            Command::CheckConfig { dev } => {
                print(&Config::show(&self.settings.sources(dev))?);
                Ok(())
            }
            Command::Backup { file } => {
                let config = self.settings.load_for_store()?;
                Ok(runtime()?.block_on(async {
                    match &config.database.url {
                        Some(url) => backup(url.expose(), &file).await,
                        None => backup_file(&config.database_file(), &file).await,
                    }
                })?)
            }
            Command::Doctor(args) => self.settings.examine(&args),
            // What the server needs to be reachable does not matter to itself.
            Command::Health => probe::alive(self.settings.load(true)?.http.listen),
            Command::Ports => {
                print(&ports::describe(&self.settings.load(false)?));
                Ok(())
            }
            Command::Project(args) => {
                let config = self.settings.load_for_store()?;
                runtime()?.block_on(args.run(&config))
            }
            Command::Session(args) => {
                let config = self.settings.load_for_store()?;
                runtime()?.block_on(args.run(&config))
            }
            Command::Webhook(args) => {
                let config = self.settings.load_for_store()?;
                runtime()?.block_on(args.run(&config))
            }
            Command::Token(command) => {
                let config = self.settings.load_for_store()?;
                runtime()?.block_on(command.run(&config))
            }
            Command::Account(command) => {
                let config = self.settings.load_for_store()?;
                runtime()?.block_on(command.run(&config))
            }
            Command::Load(LoadCommand::Media(load)) => {
                let run = media::run(load, Clock::system(), Entropy::from_system(), print);
                runtime()?.block_on(run)
            }
            Command::Load(LoadCommand::Signaling(load)) => {
                let run = signaling::run(load, Clock::system(), Entropy::from_system());
                print(&runtime()?.block_on(run)?);
                Ok(())
            }
        }
    }
}

impl Settings {
    fn load(&self, dev: bool) -> anyhow::Result<Config> {
        Ok(Config::load(&self.sources(dev))?)
    }

    /// For commands that only need the store: what makes a server reachable does not matter.
    fn load_for_store(&self) -> anyhow::Result<Config> {
        self.load(true)
    }

    fn examine(&self, args: &DoctorArgs) -> anyhow::Result<()> {
        let config = Config::load(&self.sources(args.dev));
        let report = runtime()?.block_on(doctor::examine(
            config,
            &self.config,
            &args.questions,
            Clock::system(),
            Entropy::from_system(),
        ));
        match args.json {
            true => print(&report.to_json()),
            false => print(&report.to_string()),
        }
        let failures = report.count(Level::Failure);
        ensure!(failures == 0, "{failures} check(s) failed");
        Ok(())
    }

    /// All sources; the environment is read here and nowhere else.
    fn sources(&self, dev: bool) -> Sources {
        let flags = [
            ("http.listen", &self.http),
            ("http.public_url", &self.public_url),
            ("media.listen", &self.media),
            ("media.announce", &self.announce),
            ("data.dir", &self.data),
            ("log.level", &self.log),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)));
        let text = std::env::var(TEXT_VARIABLE).ok();
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Sources {
            dev,
            files: self.config.clone(),
            text: text.filter(|text| !text.is_empty()),
            environment: environment.collect(),
            flags: flags.collect(),
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")
}

/// A time for people, in UTC.
fn time_text(unix_ms: i64) -> String {
    let at = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// What a command answers goes to standard output, so that it can be piped.
#[expect(clippy::print_stdout, reason = "this is a command's answer")]
fn print(text: &str) {
    println!("{text}");
}
