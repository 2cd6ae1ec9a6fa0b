//! `parlor session`: what was created is in the store; what goes on is asked of the running server
//! over REST, with the secret of the session's project.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{print, time_text};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::model::jwt;
use crate::model::project::Project;
use crate::model::session::Session;

/// How long the server may take to see our requests, in seconds.
const CALL_LIFETIME_S: i64 = 60;

#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Where the server is; http.listen if not given.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    server: Option<String>,
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
    /// Show a session and who is in it.
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
        let listen = config.http.listen;
        let server = self.server.unwrap_or_else(|| match listen.ip() {
            ip if ip.is_unspecified() => format!("localhost:{}", listen.port()),
            _ => listen.to_string(),
        });
        match self.command {
            SessionCommand::List { project, limit } => {
                let key = project.parse().context("this is no API key")?;
                let sessions = db.sessions().of(key).newest(limit).await?;
                print_sessions(&sessions, self.json);
            }
            SessionCommand::Show { id } => {
                let live = LiveSession::find(&db, &id, server).await?;
                let connections = live.items("connection").await?;
                let streams = live.items("stream").await?;
                live.print(&connections, &streams, self.json);
            }
            SessionCommand::End { id } => {
                let live = LiveSession::find(&db, &id, server).await?;
                let connections = live.items("connection").await?;
                for connection in &connections {
                    let id = connection["connectionId"].as_str().unwrap_or_default();
                    // 404: it has left in the meantime.
                    live.call(Method::DELETE, &format!("connection/{id}"), &[204, 404])
                        .await?;
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
    server: String,
}

impl LiveSession {
    async fn find(db: &Db, id: &str, server: String) -> Result<Self> {
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
        let body = self.call(Method::GET, list, &[200]).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }

    async fn call(&self, method: Method, path: &str, good: &[u16]) -> Result<Bytes> {
        let now = Clock::system().unix_ms() / 1000;
        let claims = json!({
            "iss": self.project.id.to_string(), "ist": "project",
            "iat": now, "exp": now + CALL_LIFETIME_S,
        });
        let (key, session) = (self.project.id, self.session.id.as_str());
        let request = Request::builder()
            .method(method)
            .uri(format!("/v2/project/{key}/session/{session}/{path}"))
            .header("host", &self.server)
            .header("x-opentok-auth", jwt::sign(&claims, &self.project.secret))
            .body(Full::new(Bytes::new()))?;
        let stream = TcpStream::connect(&self.server)
            .await
            .with_context(|| format!("no server at {}; name it with --server", self.server))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            let text = || String::from_utf8_lossy(&body).into_owned();
            ensure!(
                good.contains(&status.as_u16()),
                "the server says {status}: {}",
                text()
            );
            Ok(body)
        };
        tokio::select! {
            answer = exchange => answer,
            ended = connection => bail!("the server closed the connection: {ended:?}"),
        }
    }

    fn print(&self, connections: &[Value], streams: &[Value], json: bool) {
        if json {
            let mut all = describe(&self.session);
            all["connections"] = connections.into();
            all["streams"] = streams.into();
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
