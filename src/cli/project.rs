//! `parlor project`: works on the store, whether a server runs or not.

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, value_parser};
use serde_json::{Value, json};

use super::{print, time_text};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::entropy::Entropy;
use crate::model::codec::VideoCodecs;
use crate::model::id::ProjectId;
use crate::model::project::{Project, ProjectStatus};
use crate::model::session::MAX_CONNECTIONS;

#[derive(Debug, Args)]
pub(super) struct ProjectArgs {
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: ProjectCommand,
}

#[derive(Debug, Subcommand)]
enum ProjectCommand {
    /// Create a project and print its API key and secret.
    Create {
        /// What to call it.
        name: String,
        /// Let each of its sessions have at most this many connections at a time.
        #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(MAX_CONNECTIONS)))]
        max_connections: Option<u32>,
        /// Let its sessions use these video codecs only, the preferred one first: some of vp8,
        /// vp9, h264 and av1, with commas.
        #[arg(long, value_name = "CODECS")]
        video_codecs: Option<VideoCodecs>,
    },
    /// List all projects.
    List,
    /// Show a project with its secret.
    Show {
        /// Its API key.
        key: String,
    },
    /// Refuse REST calls and new clients. Running servers put out whoever is connected, within
    /// seconds.
    Suspend {
        /// Its API key.
        key: String,
    },
    /// Let a suspended project be used again.
    Resume {
        /// Its API key.
        key: String,
    },
    /// Delete a project for good, and its sessions with it. Running servers put out whoever is
    /// connected, within seconds.
    Delete {
        /// Its API key.
        key: String,
    },
    /// Make a new secret. The old one stays good for auth.secret_grace.
    RefreshSecret {
        /// Its API key.
        key: String,
        /// Refuse the old secret from now on.
        #[arg(long)]
        at_once: bool,
    },
}

impl ProjectArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let db = app::open_database(config).await?;
        let answer = self.command.answer(&db, config).await?;
        db.close().await;
        match answer {
            Answer::Nothing => {}
            Answer::One(project) if self.json => print(&describe(&project).to_string()),
            Answer::One(project) => print_one(&project),
            Answer::Many(projects) if self.json => {
                let all: Value = projects.iter().map(describe).collect();
                print(&all.to_string());
            }
            Answer::Many(projects) => print_table(&projects),
        }
        Ok(())
    }
}

enum Answer {
    Nothing,
    One(Project),
    Many(Vec<Project>),
}

impl ProjectCommand {
    async fn answer(self, db: &Db, config: &Config) -> anyhow::Result<Answer> {
        let (mut entropy, clock) = (Entropy::from_system(), Clock::system());
        Ok(match self {
            Self::Create {
                name,
                max_connections,
                video_codecs,
            } => {
                let configure = |project| Project {
                    max_connections,
                    video_codecs: video_codecs.clone(),
                    ..project
                };
                let created = app::create_project(db, &name, configure, &mut entropy, clock).await;
                Answer::One(created?)
            }
            Self::List => Answer::Many(db.projects().list().await?),
            Self::Show { key } => Answer::One(find(db, &key).await?),
            Self::Suspend { key } => set_status(db, &key, ProjectStatus::Suspended).await?,
            Self::Resume { key } => set_status(db, &key, ProjectStatus::Active).await?,
            Self::Delete { key } => {
                ensure!(db.projects().delete(parse(&key)?).await?, "{MISSING}");
                Answer::Nothing
            }
            Self::RefreshSecret { key, at_once } => {
                let mut project = find(db, &key).await?;
                let replaced = project.secret.clone();
                let grace = config.auth.secret_grace.as_millis();
                let grace_ms = match at_once {
                    true => 0,
                    false => i64::try_from(grace).unwrap_or(i64::MAX),
                };
                project.refresh_secret(clock.unix_ms(), grace_ms, &mut entropy);
                let set = db
                    .projects()
                    .set_secret(&project, replaced.reveal())
                    .await?;
                ensure!(set, "somebody else has just changed this project");
                Answer::One(project)
            }
        })
    }
}

const MISSING: &str = "there is no such project";

fn parse(key: &str) -> anyhow::Result<ProjectId> {
    key.parse().context("this is no API key")
}

async fn find(db: &Db, key: &str) -> anyhow::Result<Project> {
    let found = db.projects().find(parse(key)?).await?;
    found.context(MISSING)
}

async fn set_status(db: &Db, key: &str, status: ProjectStatus) -> anyhow::Result<Answer> {
    let set = db.projects().set_status(parse(key)?, status).await?;
    ensure!(set, "{MISSING}");
    Ok(Answer::One(find(db, key).await?))
}

fn describe(project: &Project) -> Value {
    json!({
        "api_key": project.id.to_string(),
        "api_secret": project.secret.reveal(),
        "name": project.name,
        "status": project.status.word(),
        "max_connections": project.max_connections,
        "video_codecs": project.video_codecs.as_ref().map(ToString::to_string),
        "created_at": project.created_at_ms,
    })
}

fn print_one(project: &Project) {
    print(&format!("API key     {}", project.id));
    print(&format!("API secret  {}", project.secret.reveal()));
    print(&format!("Name        {}", project.name));
    print(&format!("Status      {}", project.status.word()));
}

fn print_table(projects: &[Project]) {
    print(&format!(
        "{:<12}{:<11}{:<21}NAME",
        "API KEY", "STATUS", "CREATED"
    ));
    for project in projects {
        let created = time_text(project.created_at_ms);
        let (key, status) = (project.id.to_string(), project.status.word());
        print(&format!(
            "{key:<12}{status:<11}{created:<21}{}",
            project.name
        ));
    }
}
