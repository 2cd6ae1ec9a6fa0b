//! `parlor load media`: publishers and subscribers with real ICE, DTLS and SRTP.
//!
//! All of it goes through one thread that batches, counts by headers and decrypts only a sample,
//! so that it is the server that is measured.

pub mod call;
mod dtls;
mod leg;
mod member;
mod memory;
mod report;
mod sdp;
mod shape;
mod thread;
mod totals;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::member::{Member, Part};
use self::memory::Memory;
use self::report::{Report, heading};
use self::shape::Shape;
use self::thread::MediaThread;
use super::client::{Client, Ticket};
use super::histogram::Histogram;
use super::progress::Progress;
use super::target::{Target, TargetArgs};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::sfu::dtls::Certificate;
use crate::srtp::Profile;

/// Files the process needs beside two for each leg.
const OTHER_FILES: u64 = 128;

/// How long all legs of one step may take to be up.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);

/// A ramp has reached the knee when more than this share is lost, or half of all packets take
/// longer than this.
const KNEE_LOSS: f64 = 0.005;
const KNEE_DELAY_MS: f64 = 20.0;

/// Time from the last join until counting begins, for key frames and estimates to settle.
const SETTLE: Duration = Duration::from_secs(1);

/// Time from when each publication is watched until memory is looked at: from then on a server
/// keeps packets of some seconds, and those are no subscriber's.
const PUBLISH: Duration = Duration::from_secs(3);

/// Time between two members' subscribing: about as long as joining takes, so that handshakes do not
/// come all at once.
const ADMIT_INTERVAL: Duration = Duration::from_millis(10);

/// How packets are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Srtp {
    /// `AEAD_AES_128_GCM`, which browsers and servers agree on
    AesGcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`
    AesCm,
}

/// What kind of load.
#[derive(Debug, Clone, clap::Args)]
pub struct MediaLoad {
    #[command(flatten)]
    target: TargetArgs,
    /// Who sees whom
    #[arg(long, value_enum, default_value_t = Shape::Webinar)]
    shape: Shape,
    /// Subscribers of the webinar, members of the meeting, or pairs
    #[arg(long, default_value_t = 50)]
    size: u32,
    /// Publishers of the webinar
    #[arg(long, default_value_t = 1)]
    publishers: u32,
    /// Video of each publisher in kbit/s
    #[arg(long, default_value_t = 1500)]
    bitrate: u32,
    /// Frames per second
    #[arg(long, default_value_t = 30)]
    frame_rate: u32,
    /// Bytes of each packet
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u16).range(200..=1400))]
    packet_len: u16,
    /// Protection of packets
    #[arg(long, value_enum, default_value_t = Srtp::AesGcm)]
    srtp: Srtp,
    /// Seconds of media that are counted, at each size
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Begin with `size` and grow by so many, until packets are lost or late: one line for each
    #[arg(long, value_name = "STEP")]
    ramp: Option<u32>,
    /// Sizes that a ramp tries at most
    #[arg(long, default_value_t = 100)]
    steps: u32,
    /// Print a table and not JSON
    #[arg(long)]
    table: bool,
}

/// A run: the server, the members and the thread that carries their media.
struct Run {
    load: MediaLoad,
    target: Target,
    thread: MediaThread,
    certificate: Certificate,
    members: JoinSet<Result<()>>,
    sessions: Vec<String>,
    /// Members so far.
    seated: usize,
    /// How many of them may subscribe.
    admitted: watch::Sender<usize>,
    /// Publications, and the first subscription to each.
    first: usize,
    memory: Memory,
    progress: Progress,
    clock: Clock,
    entropy: Entropy,
}

/// Runs the load; `tell` gets each line as soon as there is one.
pub async fn run(
    load: MediaLoad,
    clock: Clock,
    entropy: Entropy,
    tell: impl Fn(&str),
) -> Result<()> {
    ensure!(load.size > 0 && load.publishers > 0, "nothing to do");
    ensure!(load.bitrate > 0 && load.frame_rate > 0, "no frames");
    let mut run = Run::start(load, clock, entropy).await?;
    if run.load.table {
        run.progress.aside(|| tell(&heading()));
    }
    for step in 1.. {
        let report = run.step().await?;
        let line = if run.load.table {
            report.row()
        } else {
            serde_json::to_string(&report)?
        };
        run.progress.aside(|| tell(&line));
        let knee = report.loss > KNEE_LOSS || report.delay_ms.p50 > KNEE_DELAY_MS;
        match run.load.ramp {
            Some(growth) if !knee && step < run.load.steps => run.load.size += growth.max(1),
            _ => break,
        }
    }
    Ok(())
}

impl Run {
    async fn start(load: MediaLoad, clock: Clock, entropy: Entropy) -> Result<Self> {
        let target = Target::find(load.target.clone(), clock).await?;
        let profile = match load.srtp {
            Srtp::AesGcm => Profile::AeadAes128Gcm,
            Srtp::AesCm => Profile::Aes128CmHmacSha1_80,
        };
        let certificate = Certificate::generate()?;
        let thread = MediaThread::start(certificate.clone(), profile, load.video(), clock)?;
        Ok(Self {
            memory: Memory::new(target.memory()),
            admitted: watch::Sender::new(0),
            first: 0,
            load,
            target,
            thread,
            certificate,
            members: JoinSet::new(),
            sessions: Vec::new(),
            seated: 0,
            progress: Progress::new(),
            clock,
            entropy,
        })
    }

    /// Seats who is missing, then counts for a while.
    async fn step(&mut self) -> Result<Report> {
        let (publishers, subscriptions) = self.load.legs();
        let mut joined = self.publish().await?;
        self.memory.published(self.target.memory());
        joined.merge(&self.subscribe(publishers + subscriptions).await?);
        let (cpu_before, begun) = (self.target.cpu_time(), self.clock.now());
        self.progress.pass(self.load.seconds).await;
        let totals = self.thread.handle().take().await?;
        let cpu = self.target.cpu_time().zip(cpu_before);
        let took = self.clock.now().saturating_duration_since(begun);
        let seconds = took.as_secs_f64();
        self.check().await?;
        let further = subscriptions - self.load.first().2;
        self.memory.subscribed(self.target.memory(), further);
        if let Some(failure) = totals.failure {
            bail!("a leg failed: {failure}");
        }
        let cpu = cpu.map(|(now, then)| now.saturating_sub(then).as_secs_f64());
        let round = |value: f64, digits: f64| (value * digits).round() / digits;
        Ok(Report {
            shape: self.load.shape,
            size: self.load.size,
            publishers,
            subscriptions,
            srtp: self.load.srtp,
            bitrate_kbps: self.load.bitrate,
            packets_per_frame: self.load.video().packets,
            join_ms: (&joined).into(),
            sent: totals.sent,
            received: totals.received,
            forwarded_per_second: (totals.received as f64 / seconds) as u64,
            loss: round(totals.loss(), 1e6),
            damaged: totals.damaged,
            delay_ms: (&totals.delay).into(),
            cpu_us_per_packet: cpu.map(|s| round(s * 1e6 / totals.received.max(1) as f64, 100.0)),
            cpu_load: cpu.map(|s| round(s / seconds, 100.0)),
            memory: self.memory.taken(publishers),
        })
    }

    /// Seats the publishers who are missing, lets one subscribe to each of them, and nobody else
    /// until they have published for a while; how long joining took.
    async fn publish(&mut self) -> Result<Histogram> {
        self.raise_file_limit()?;
        let (seated, admitted, subscriptions) = self.load.first();
        let (publishers, _) = self.load.legs();
        let first = publishers + subscriptions;
        let missing = first.saturating_sub(self.first);
        if missing == 0 {
            return Ok(Histogram::new());
        }
        self.first = first;
        let media = self.thread.handle();
        let up = media.progress().await?.up;
        self.admitted.send_replace(admitted);
        let seats = self.load.seats();
        self.fill(&seats[..seated]).await?;
        self.wait_for(up + missing).await?;
        sleep(PUBLISH).await;
        Ok(media.take().await?.joined)
    }

    /// Seats everybody else, lets all of them subscribe, and waits until all `legs` are up and have
    /// settled; how long joining took.
    async fn subscribe(&mut self, legs: usize) -> Result<Histogram> {
        let admitted = *self.admitted.borrow();
        for admitted in admitted..self.seated {
            self.admitted.send_replace(admitted + 1);
            sleep(ADMIT_INTERVAL).await;
        }
        let seats = self.load.seats();
        self.admitted.send_replace(seats.len());
        self.fill(&seats).await?;
        self.wait_for(legs).await?;
        sleep(SETTLE).await;
        Ok(self.thread.handle().take().await?.joined)
    }

    fn raise_file_limit(&self) -> Result<()> {
        let (publishers, subscriptions) = self.load.legs();
        let files = 2 * (publishers + subscriptions) as u64 + OTHER_FILES;
        let limit = rlimit::increase_nofile_limit(files).context("cannot raise the file limit")?;
        ensure!(
            limit >= files,
            "{files} open files are needed, the system allows {limit}"
        );
        Ok(())
    }

    /// Seats who is missing of these.
    async fn fill(&mut self, seats: &[(usize, Part)]) -> Result<()> {
        self.progress.begin("Members joined", seats.len());
        while self.seated < seats.len() {
            let (session, part) = seats[self.seated];
            self.seat(session, part).await?;
            self.seated += 1;
            self.progress.at(self.seated);
        }
        Ok(())
    }

    /// Waits until so many legs are up.
    async fn wait_for(&mut self, legs: usize) -> Result<()> {
        let media = self.thread.handle();
        let deadline = self.clock.now() + JOIN_PATIENCE;
        self.progress.begin("Peer connections up", legs);
        loop {
            let up = media.progress().await?.up;
            self.progress.at(up);
            if up >= legs {
                return Ok(());
            }
            self.check().await?;
            ensure!(
                self.clock.now() < deadline,
                "only {up} of {legs} legs are up"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets one more member join.
    async fn seat(&mut self, session: usize, part: Part) -> Result<()> {
        while self.sessions.len() <= session {
            self.sessions.push(self.target.create_session().await?);
        }
        let ticket = Ticket::issue(
            &self.target,
            &self.sessions[session],
            self.clock,
            &mut self.entropy,
        )?;
        let client = Client::join(ticket, self.clock).await?;
        let member = Member::new(
            client,
            part,
            (self.seated, self.admitted.subscribe()),
            (self.thread.handle(), self.certificate.fingerprint()),
            self.clock,
            self.entropy.fork(),
        );
        self.members.spawn(member.run());
        Ok(())
    }

    /// Fails if a member has.
    async fn check(&mut self) -> Result<()> {
        match self.members.try_join_next() {
            Some(ended) => ended?.context("a member ended early"),
            None => Ok(()),
        }
    }
}
