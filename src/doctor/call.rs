//! A call of our own: REST, websocket, ICE, DTLS and SRTP, as a client goes through them.

use anyhow::{Context, Result};

use super::Report;
use crate::app::open_database;
use crate::clock::Clock;
use crate::config::Config;
use crate::entropy::Entropy;
use crate::load::media::call::{self, Broken, Call, Part};
use crate::load::target;
use crate::model::project::{Project, ProjectStatus};

const CHECK: &str = "call";

/// More is lost on this way than on any good one.
const LOSS: f64 = 0.02;

/// Whom to call.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Callee {
    /// Call through the server at this URL, such as https://video.example.com, and not through one
    /// that is started for it on this machine.
    #[arg(long)]
    url: Option<String>,
    /// On behalf of this project; without it, of the oldest active one in the database. A session
    /// is created in it.
    #[arg(long, requires_all = ["url", "api_secret"])]
    api_key: Option<String>,
    /// The project's secret.
    #[arg(
        long,
        requires = "api_key",
        env = "PARLOR_DOCTOR_API_SECRET",
        hide_env_values = true
    )]
    api_secret: Option<String>,
    /// Make no call.
    #[arg(long, conflicts_with = "url")]
    no_call: bool,
}

pub(super) async fn check(
    config: &Config,
    callee: &Callee,
    (clock, entropy): (Clock, Entropy),
    report: &mut Report,
) {
    if callee.no_call {
        return;
    }
    let running = match &callee.url {
        None => None,
        Some(url) => match project(config, callee).await {
            Ok(project) => Some((url.as_str(), project)),
            Err(error) => {
                let advice = "`parlor project create NAME` makes a project; or name one with \
                              --api-key and --api-secret.";
                report.fail(
                    CHECK,
                    format!("there is nobody to call for: {error:#}"),
                    advice,
                );
                return;
            }
        },
    };
    let through = callee.url.clone();
    let through = through.unwrap_or_else(|| "a server started for it on this machine".into());
    match call::call(running, clock, entropy).await {
        Ok(call) => judge(&through, &call, report),
        Err(broken) => {
            let what = match broken.media {
                Some(media) => format!("through {through}, with media to {media}"),
                None => format!("through {through}"),
            };
            let what = format!("{what}: {} does not work: {:#}", broken.part, broken.error);
            report.fail(CHECK, what, advice(&broken, callee.url.is_some()));
        }
    }
}

/// For whom to call.
async fn project(config: &Config, callee: &Callee) -> Result<Project> {
    if let (Some(key), Some(secret)) = (&callee.api_key, &callee.api_secret) {
        return target::project(key, secret);
    }
    let db = open_database(config).await?;
    let projects = db.projects().list().await;
    db.close().await;
    let active = |project: &Project| project.status == ProjectStatus::Active;
    projects?
        .into_iter()
        .find(active)
        .context("no active project")
}

fn judge(through: &str, call: &Call, report: &mut Report) {
    let Call {
        media,
        received,
        loss,
        delay_ms,
    } = call;
    let what = format!(
        "works through {through}: {received} packets by {media}, {:.1} % lost, {delay_ms:.1} ms on \
         the way",
        loss * 100.0
    );
    match *loss < LOSS {
        true => report.ok(CHECK, what),
        false => {
            let advice = "The network between here and there loses packets, or the server has \
                          no processor time left: see parlor_media_dropped_total.";
            report.warn(CHECK, what, advice);
        }
    }
}

fn advice(broken: &Broken, running: bool) -> &'static str {
    match broken.part {
        Part::Server if running => "Is the URL right?",
        Part::Server => {
            "A server must be able to start here on loopback, with its data in the temporary folder."
        }
        Part::Rest if running => {
            "Does the server run, do name and port lead to it, and does it know the project? A \
             certificate that this system does not trust can be named in SSL_CERT_FILE."
        }
        Part::Websocket if running => {
            "A proxy in front must pass websockets on (Upgrade) and leave them open; see \
             OPERATING.md."
        }
        Part::Ice if running => {
            "Nothing answers there: open the media port for UDP in all firewalls on the way and \
             forward it, and see that media.announce is right. From inside, a router may not lead \
             back to its own public address (hairpin); then ask from outside."
        }
        Part::Dtls | Part::Srtp if running => {
            "Small packets pass and others do not: look for a firewall or a tunnel on the way \
             that drops large datagrams (MTU)."
        }
        Part::Ice => "A firewall on this machine drops UDP on loopback: let it pass.",
        _ => "This should not happen: please report it, with the server's log (log.level debug).",
    }
}
