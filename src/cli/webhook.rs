//! `parlor webhook`: what back ends have yet to be told, and what they could not be told. Works on
//! the store; running servers see a change within seconds.

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{print, time_text};
use crate::app;
use crate::config::Config;
use crate::db::webhooks::{Filter, StoredWebhook};
use crate::model::id::ProjectId;

#[derive(Debug, Args)]
pub(super) struct WebhookArgs {
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: WebhookCommand,
}

#[derive(Debug, Subcommand)]
enum WebhookCommand {
    /// List webhooks, oldest first: those to be sent, and those that were given up.
    List {
        /// Those of one project only.
        #[arg(long, value_name = "API KEY")]
        project: Option<String>,
        /// Those that were given up only.
        #[arg(long)]
        failed: bool,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show a webhook, and what is sent.
    Show {
        /// Its id.
        id: Uuid,
    },
    /// Send webhooks again as soon as possible: one that waits for its next attempt, or that was
    /// given up. One that fails a day after its event is given up at once.
    Retry {
        /// Its id.
        #[arg(required_unless_present = "failed")]
        id: Option<Uuid>,
        /// All that were given up, instead of one.
        #[arg(long, conflicts_with = "id")]
        failed: bool,
        /// With --failed: those of one project only.
        #[arg(long, value_name = "API KEY", requires = "failed")]
        project: Option<String>,
    },
}

impl WebhookArgs {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = app::open_database(config).await?;
        match self.command {
            WebhookCommand::List {
                project,
                failed,
                limit,
            } => {
                let project = parse(project)?;
                let filter = Filter { project, failed };
                let webhooks = db.webhooks().page(filter, 0, limit.into()).await?;
                print_list(&webhooks, self.json);
            }
            WebhookCommand::Show { id } => {
                let found = db.webhooks().find(id).await?;
                let (webhook, body) = found.context(MISSING)?;
                print_one(&webhook, &body, self.json);
            }
            WebhookCommand::Retry { id, project, .. } => {
                let count = match id {
                    Some(id) => u64::from(db.webhooks().retry(id).await?),
                    None => db.webhooks().retry_failed(parse(project)?).await?,
                };
                ensure!(count > 0 || id.is_none(), MISSING);
                print(&match self.json {
                    true => json!({ "retried": count }).to_string(),
                    false => format!("To be sent again: {count}"),
                });
            }
        }
        db.close().await;
        Ok(())
    }
}

const MISSING: &str = "there is no such webhook; one that has arrived is forgotten";

fn parse(project: Option<String>) -> Result<Option<ProjectId>> {
    let key = project.map(|key| key.parse()).transpose();
    key.context("this is no API key")
}

fn status(webhook: &StoredWebhook) -> &'static str {
    match webhook.failed_at_ms {
        Some(_) => "failed",
        None => "pending",
    }
}

fn describe(webhook: &StoredWebhook) -> Value {
    json!({
        "id": webhook.id,
        "status": status(webhook),
        "api_key": webhook.project.to_string(),
        "session_id": webhook.session.as_str(),
        "event": webhook.event,
        "url": webhook.url.as_str(),
        "created_at": webhook.created_at_ms,
        "attempts": webhook.attempts,
        "next_attempt_at": webhook.failed_at_ms.is_none().then_some(webhook.next_at_ms),
        "failed_at": webhook.failed_at_ms,
        "last_error": webhook.last_error,
    })
}

fn print_list(webhooks: &[StoredWebhook], json: bool) {
    if json {
        let all: Value = webhooks.iter().map(describe).collect();
        return print(&all.to_string());
    }
    print(&format!(
        "{:<38}{:<9}{:<21}{:<22}{:<9}LAST ERROR",
        "ID", "STATUS", "CREATED", "EVENT", "ATTEMPTS"
    ));
    for webhook in webhooks {
        let (id, created) = (webhook.id.to_string(), time_text(webhook.created_at_ms));
        let (status, error) = (status(webhook), webhook.last_error.as_deref());
        print(&format!(
            "{id:<38}{status:<9}{created:<21}{:<22}{:<9}{}",
            webhook.event,
            webhook.attempts,
            error.unwrap_or_default()
        ));
    }
}

fn print_one(webhook: &StoredWebhook, body: &str, json: bool) {
    if json {
        let mut all = describe(webhook);
        all["body"] = body.into();
        return print(&all.to_string());
    }
    print(&format!("Webhook     {}", webhook.id));
    print(&format!("Status      {}", status(webhook)));
    print(&format!("Project     {}", webhook.project));
    print(&format!("Session     {}", webhook.session));
    print(&format!("URL         {}", webhook.url));
    print(&format!("Created     {}", time_text(webhook.created_at_ms)));
    print(&format!("Attempts    {}", webhook.attempts));
    match webhook.failed_at_ms {
        Some(at) => print(&format!("Given up    {}", time_text(at))),
        None => print(&format!("Next        {}", time_text(webhook.next_at_ms))),
    }
    if let Some(error) = &webhook.last_error {
        print(&format!("Last error  {error}"));
    }
    print(&format!("Body        {body}"));
}
