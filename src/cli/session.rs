//! `parlor session`: what was created is in the store; what goes on is asked of the running server
//! over REST, with the secret of the session's project.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::server::{Server, ServerArgs};
use super::{print, statistics, time_text};
use crate::app;
use crate::config::Config;
use crate::db::Db;
use crate::model::project::Project;
use crate::model::session::Session;

/// How long it is looked at what media does.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// List the newest sessions of a project.
    List {
        /// The project's API key.
        project: String,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show a session, who is in it, and how well media gets through.
    Show {
        /// Its id.
        id: String,
    },
    /// Put everybody out of a session.
    End {
        /// Its id.
        id: String,
    },
}

impl SessionArgs {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = app::open_database(config).await?;
        match self.command {
            SessionCommand::List { project, limit } => {
                let key = project.parse().context("this is no API key")?;
                let sessions = db.sessions().of(key).newest(limit).await?;
                print_sessions(&sessions, self.json);
            }
            SessionCommand::Show { id } => {
                let live = LiveSession::find(&db, &id, self.server.resolve(config)?).await?;
                let connections = live.items("connection").await?;
                let streams = live.items("stream").await?;
                let statistics = live.statistics().await?;
                live.print(&connections, &streams, statistics, self.json);
            }
            SessionCommand::End { id } => {
                let live = LiveSession::find(&db, &id, self.server.resolve(config)?).await?;
                let connections = live.items("connection").await?;
                for connection in &connections {
                    let id = connection["connectionId"].as_str().unwrap_or_default();
                    live.disconnect(id).await?;
                }
                let count = connections.len();
                print(&match self.json {
                    true => json!({ "disconnected": count }).to_string(),
                    false => format!("Put out {count}"),
                });
            }
        }
        db.close().await;
        Ok(())
    }
}

/// A session on a running server.
struct LiveSession {
    session: Session,
    project: Project,
    server: Server,
}

impl LiveSession {
    async fn find(db: &Db, id: &str, server: Server) -> Result<Self> {
        let id = id.parse().context("this is no session id")?;
        let session = db.sessions().find_any(&id).await?;
        let session = session.context("there is no such session")?;
        let project = db.projects().find(session.project).await?;
        Ok(Self {
            session,
            project: project.context("the session's project was deleted")?,
            server,
        })
    }

    /// The items of one of its lists.
    async fn items(&self, list: &str) -> Result<Vec<Value>> {
        let answer = self.server.get(&self.project, &self.path(list)).await?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }

    /// How well its media gets through, seen for a while if there is any.
    async fn statistics(&self) -> Result<Value> {
        let path = self.path("statistics");
        let look = || self.server.get(&self.project, &path);
        let earlier = look().await?;
        if earlier["count"] == 0 {
            return Ok(json!([]));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
        Ok(statistics::with_bitrates(&earlier, look().await?))
    }

    /// Puts a client out, unless it has left in the meantime.
    async fn disconnect(&self, connection: &str) -> Result<()> {
        let path = self.path(&format!("connection/{connection}"));
        let call = (Method::DELETE, path.as_str());
        self.server.call(&self.project, call, &[204, 404]).await?;
        Ok(())
    }

    fn path(&self, below: &str) -> String {
        format!("session/{}/{below}", self.session.id)
    }

    fn print(&self, connections: &[Value], streams: &[Value], statistics: Value, json: bool) {
        if json {
            let mut all = describe(&self.session);
            all["connections"] = connections.into();
            all["streams"] = streams.into();
            all["statistics"] = statistics;
            return print(&all.to_string());
        }
        print(&format!("Session  {}", self.session.id));
        print(&format!(
            "Project  {} {}",
            self.project.id, self.project.name
        ));
        print(&format!("Media    {}", self.session.media_mode.word()));
        print(&format!(
            "Created  {}",
            time_text(self.session.created_at_ms)
        ));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for connection in connections {
            let since = time_text(connection["createdAt"].as_i64().unwrap_or_default());
            let id = text(&connection["connectionId"]);
            print(&format!("Connection  {id}  since {since}"));
        }
        for stream in streams {
            let watching = stream["subscriberCount"].as_u64().unwrap_or_default();
            let (id, name) = (text(&stream["id"]), text(&stream["name"]));
            print(&format!("Stream      {id}  {watching} subscribers  {name}"));
            let ways = statistics.as_array().into_iter().flatten();
            for way in ways.filter(|way| way["id"] == stream["id"]) {
                print(statistics::describe(way).trim_end_matches('\n'));
            }
        }
    }
}

fn describe(session: &Session) -> Value {
    json!({
        "session_id": session.id.as_str(),
        "api_key": session.project.to_string(),
        "media_mode": session.media_mode.word(),
        "max_connections": session.max_connections,
        "created_at": session.created_at_ms,
    })
}

fn print_sessions(sessions: &[Session], json: bool) {
    if json {
        let all: Value = sessions.iter().map(describe).collect();
        return print(&all.to_string());
    }
    print(&format!("{:<21}{:<10}SESSION", "CREATED", "MEDIA"));
    for session in sessions {
        let created = time_text(session.created_at_ms);
        let media = session.media_mode.word();
        print(&format!("{created:<21}{media:<10}{}", session.id));
    }
}
