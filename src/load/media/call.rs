//! One call between two members, part by part: how `parlor doctor` finds out whether calls work.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::leg::Video;
use super::member::{Member, Part as Role};
use super::thread::{MediaThread, Progress};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::load::client::{Client, Ticket};
use crate::load::target::Target;
use crate::model::project::Project;
use crate::sfu::dtls::Certificate;
use crate::srtp::Profile;

/// Legs of two members who see each other.
const LEGS: usize = 4;

/// How long each part may take, far more than it needs.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long media flows.
const TALK: Duration = Duration::from_secs(2);

/// A small video: 30 frames a second, a packet each.
const VIDEO: Video = Video {
    interval: Duration::from_millis(33),
    packets: 1,
    packet_len: 1000,
};

/// What a call goes through, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A server to call.
    Server,
    /// A session is created.
    Rest,
    /// Both join it.
    Websocket,
    /// Both publish and subscribe, and are offered and answered.
    Signaling,
    /// Checks are answered on the media port.
    Ice,
    /// Keys are agreed.
    Dtls,
    /// Packets come through and can be read.
    Srtp,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Rest => "REST",
            Self::Websocket => "websocket",
            Self::Signaling => "signaling",
            Self::Ice => "ICE",
            Self::Dtls => "DTLS",
            Self::Srtp => "SRTP",
        })
    }
}

/// A call that worked.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Where media went.
    pub media: SocketAddr,
    /// Packets received of those sent.
    pub received: u64,
    /// The share lost, from 0 to 1.
    pub loss: f64,
    /// From one member to the other, the median in milliseconds.
    pub delay_ms: f64,
}

/// A call that did not.
#[derive(Debug)]
pub struct Broken {
    /// The first part that failed.
    pub part: Part,
    /// How.
    pub error: Error,
    /// Where media was sent to, as far as it came to that.
    pub media: Option<SocketAddr>,
}

/// Makes a call: through a server of its own for the time of the call, or through the one at a
/// URL on behalf of one of its projects, in which a session is created.
pub async fn call(
    running: Option<(&str, Project)>,
    clock: Clock,
    mut entropy: Entropy,
) -> Result<Call, Broken> {
    let broken = |part| {
        move |error| Broken {
            part,
            error,
            media: None,
        }
    };
    let target = match running {
        Some((url, project)) => Target::at(url, project, clock),
        None => Target::start(clock).await,
    };
    let target = target.map_err(broken(Part::Server))?;
    let session = tokio::time::timeout(PATIENCE, target.create_session()).await;
    let session = session.context("no answer in time").flatten();
    let session = session.map_err(broken(Part::Rest))?;

    let certificate = Certificate::generate().context("no certificate");
    let certificate = certificate.map_err(broken(Part::Dtls))?;
    let profile = Profile::AeadAes128Gcm;
    let thread = MediaThread::start(certificate.clone(), profile, VIDEO, clock);
    let thread = thread.map_err(broken(Part::Srtp))?;

    let mut members = JoinSet::new();
    for phase in [Duration::ZERO, VIDEO.interval / 2] {
        let joined = async {
            let ticket = Ticket::issue(&target, &session, clock, &mut entropy)?;
            Client::join(ticket, clock).await
        };
        let client = tokio::time::timeout(PATIENCE, joined).await;
        let client = client.context("no answer in time").flatten();
        let role = Role {
            publishes: true,
            subscribes: true,
            phase,
        };
        let member = Member::new(
            client.map_err(broken(Part::Websocket))?,
            role,
            (0, watch::channel(1).1),
            (thread.handle(), certificate.fingerprint()),
            clock,
            entropy.fork(),
        );
        members.spawn(member.run());
    }
    talk(&thread, &mut members, clock).await
}

/// Waits until all legs are up and lets media flow.
async fn talk(
    thread: &MediaThread,
    members: &mut JoinSet<Result<()>>,
    clock: Clock,
) -> Result<Call, Broken> {
    let media = thread.handle();
    let gone = |error| Broken {
        part: Part::Srtp,
        error,
        media: None,
    };
    let mut progress = media.progress().await.map_err(gone)?;
    let mut stage = Part::Signaling;
    let mut deadline = clock.now() + PATIENCE;
    while progress.up < LEGS {
        let part = stage_of(progress);
        if part != stage {
            (stage, deadline) = (part, clock.now() + PATIENCE);
        }
        let broken = |error| Broken {
            part,
            error,
            media: progress.server,
        };
        if let Some(ended) = members.try_join_next() {
            let ended = ended.context("a client failed").flatten();
            return Err(broken(
                ended.err().unwrap_or_else(|| Error::msg("a client left")),
            ));
        }
        if clock.now() > deadline {
            return Err(broken(Error::msg(format!("only {}", describe(progress)))));
        }
        sleep(Duration::from_millis(20)).await;
        progress = media.progress().await.map_err(gone)?;
    }
    sleep(TALK).await;
    let totals = media.take().await.map_err(gone)?;
    let heard = || {
        ensure!(
            totals.failure.is_none(),
            "{}",
            totals.failure.clone().unwrap_or_default()
        );
        ensure!(
            totals.received > 0,
            "{} packets were sent, none arrived",
            totals.sent
        );
        ensure!(totals.damaged == 0, "packets could not be decrypted");
        progress.server.context("no leg")
    };
    match heard() {
        Ok(server) => Ok(Call {
            media: server,
            received: totals.received,
            loss: totals.loss(),
            delay_ms: totals.delay.quantile_ms(0.5),
        }),
        Err(error) => Err(Broken {
            part: Part::Srtp,
            error,
            media: progress.server,
        }),
    }
}

/// What is waited for. Who is to receive is offered something only when there is something, so
/// legs that are there tell more than those that are missing.
fn stage_of(progress: Progress) -> Part {
    match progress {
        Progress { legs, answered, .. } if answered < legs => Part::Ice,
        Progress { legs, up, .. } if up < legs => Part::Dtls,
        _ => Part::Signaling,
    }
}

fn describe(progress: Progress) -> String {
    let Progress {
        legs, answered, up, ..
    } = progress;
    format!("{legs} of {LEGS} legs negotiated, {answered} answered by the media port, {up} secured")
}
