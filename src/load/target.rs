//! The server under load: one that runs already, or one of our own for the time of the run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::model::jwt;
use crate::model::project::{Project, ProjectStatus, Secret};

/// How long a server of our own may take to start.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Seconds for which our REST calls are signed.
const CALL_LIFETIME_S: i64 = 180;

/// Which server, if not one of our own.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TargetArgs {
    /// A server that runs already, such as http://127.0.0.1:8080; without it, one is started
    #[arg(long, requires_all = ["api_key", "api_secret"])]
    url: Option<String>,
    /// The project's API key on that server
    #[arg(long)]
    api_key: Option<String>,
    /// The project's secret on that server
    #[arg(long, env = "PARLOR_LOAD_API_SECRET", hide_env_values = true)]
    api_secret: Option<String>,
    /// The server's process, if it runs on this machine: its memory is reported
    #[arg(long)]
    pid: Option<u32>,
}

/// The server under load.
#[derive(Debug)]
pub(super) struct Target {
    /// `host:port`.
    pub(super) authority: String,
    pub(super) project: Project,
    pid: Option<u32>,
    clock: Clock,
    _own: Option<OwnServer>,
}

/// What a server says once calls can be made.
#[derive(Debug, Deserialize)]
struct Ready {
    url: String,
    api_key: String,
    api_secret: String,
}

impl Target {
    pub(super) async fn find(args: TargetArgs, clock: Clock) -> Result<Self> {
        let (own, url, key, secret, pid) = match (args.url, args.api_key, args.api_secret) {
            (Some(url), Some(key), Some(secret)) => (None, url, key, secret, args.pid),
            _ => {
                let mut own = OwnServer::start()?;
                let ready = own.ready(clock).await?;
                let pid = Some(own.child.id());
                (Some(own), ready.url, ready.api_key, ready.api_secret, pid)
            }
        };
        let authority = url
            .strip_prefix("http://")
            .context("the URL must begin with http://")?;
        let id = key.parse().context("the API key is not one")?;
        let secret: Secret = secret.parse().context("the secret is not one")?;
        let project = Project {
            id,
            name: String::new(),
            secret,
            old_secret: None,
            status: ProjectStatus::Active,
            max_connections: None,
            video_codecs: None,
            created_at_ms: 0,
        };
        Ok(Self {
            authority: authority.trim_end_matches('/').to_owned(),
            project,
            pid,
            clock,
            _own: own,
        })
    }

    /// Creates a routed session over REST.
    pub(super) async fn create_session(&self) -> Result<String> {
        #[derive(Deserialize)]
        struct Created {
            session_id: String,
        }
        let now = self.clock.unix_ms() / 1000;
        let claims = serde_json::json!({
            "iss": self.project.id.to_string(), "ist": "project",
            "iat": now, "exp": now + CALL_LIFETIME_S,
        });
        let request = hyper::Request::post("/session/create")
            .header("host", &self.authority)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-opentok-auth", jwt::sign(&claims, &self.project.secret))
            .body(Full::new(Bytes::from_static(b"p2p.preference=disabled")))?;
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            ensure!(status.is_success(), "session create: {status}");
            let [created]: [Created; 1] = serde_json::from_slice(&body)?;
            Ok(created.session_id)
        };
        tokio::select! {
            answer = exchange => answer,
            ended = connection => bail!("the server closed the connection: {ended:?}"),
        }
    }

    /// Resident memory of the server in bytes, where it can be seen (Linux).
    pub(super) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }

    /// Processor time that the server has used so far, where it can be seen (Linux).
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        /// Kernel clock ticks a second (`USER_HZ`), the same on every Linux machine.
        const HZ: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid?)).ok()?;
        // Field 2 is the command in parentheses; utime and stime are fields 14 and 15 (proc(5)).
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_millis((user + system) * 1000 / HZ))
    }
}

/// A server in a process of its own, with its data in a temporary folder.
#[derive(Debug)]
struct OwnServer {
    child: Child,
    dir: PathBuf,
}

impl OwnServer {
    fn start() -> Result<Self> {
        let name = format!("parlor-load-{}", Entropy::from_system().hex(12));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).context("cannot make a temporary folder")?;
        let child = Command::new(std::env::current_exe()?)
            .args([
                "serve",
                "--dev",
                "--http",
                "127.0.0.1:0",
                "--media",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(&dir)
            .arg("--ready-file")
            .arg(ready_file(&dir))
            .env("PARLOR_LOG_LEVEL", "warn")
            // Every connection of the load sends from one process and may take what it can.
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start a server")?;
        Ok(Self { child, dir })
    }

    async fn ready(&mut self, clock: Clock) -> Result<Ready> {
        let deadline = clock.now() + START_PATIENCE;
        while clock.now() < deadline {
            if let Ok(text) = std::fs::read_to_string(ready_file(&self.dir)) {
                return serde_json::from_str(&text).context("unreadable ready file");
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended before it was ready: {status}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the server is not ready after {START_PATIENCE:?}")
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It is our own child, and its data are worth nothing: ending it hard loses nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn ready_file(dir: &Path) -> PathBuf {
    dir.join("ready.json")
}
