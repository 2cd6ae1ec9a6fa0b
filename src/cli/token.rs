//! `parlor token`: client tokens without a back end, to try something out.

use anyhow::Context;
use clap::{Subcommand, value_parser};

use super::print;
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::model::token;

/// Longest lifetime, in seconds: the 30 days of the documents.
const MAX_LIFETIME_S: i64 = 30 * 24 * 60 * 60;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Create a token for a session and print it.
    Create {
        /// The session's id.
        session: String,
        /// What its bearer may do: subscriber, publisher, publisheronly or moderator.
        #[arg(long, default_value = "publisher")]
        role: String,
        /// How long it is good for, in seconds; a day if not given.
        #[arg(long, value_name = "SECONDS", value_parser = value_parser!(i64).range(1..=MAX_LIFETIME_S))]
        lifetime: Option<i64>,
        /// What other clients are told about its bearer.
        #[arg(long, value_name = "TEXT", default_value = "")]
        connection_data: String,
    },
}

impl TokenCommand {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let Self::Create {
            session,
            role,
            lifetime,
            connection_data,
        } = self;
        let db = app::open_database(config).await?;
        let id = session.parse().context("this is no session id")?;
        let session = db.sessions().find_any(&id).await?;
        let session = session.context("there is no such session")?;
        let project = db.projects().find(session.project).await?;
        let project = project.context("the session's project was deleted")?;
        db.close().await;
        let now_unix_s = Clock::system().unix_ms() / 1000;
        let token = token::issue(&project, &id, &role, &connection_data, now_unix_s, lifetime);
        // Whatever is wrong with what was asked for, the server would find.
        token::verify(&token, &project, &id, now_unix_s)?;
        print(&token);
        Ok(())
    }
}
