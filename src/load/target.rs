//! The server under load: one that runs already, or one of our own for the time of the run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::Full;
use serde::Deserialize;

use super::connect::Site;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::model::jwt;
use crate::model::project::{Project, ProjectStatus};
use crate::telemetry::process;

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
    pub(super) site: Site,
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
    /// The one that the arguments name, or one of our own.
    pub(super) async fn find(args: TargetArgs, clock: Clock) -> Result<Self> {
        let (Some(url), Some(key), Some(secret)) = (args.url, args.api_key, args.api_secret) else {
            return Self::start(clock).await;
        };
        let target = Self::at(&url, project(&key, &secret)?, clock)?;
        let pid = args.pid;
        Ok(Self { pid, ..target })
    }

    /// A server that runs already, on behalf of one of its projects.
    pub(super) fn at(url: &str, project: Project, clock: Clock) -> Result<Self> {
        Ok(Self {
            site: Site::new(url)?,
            project,
            pid: None,
            clock,
            _own: None,
        })
    }

    /// A server of our own.
    pub(super) async fn start(clock: Clock) -> Result<Self> {
        let mut own = OwnServer::start()?;
        let ready = own.ready(clock).await?;
        let project = project(&ready.api_key, &ready.api_secret)?;
        let target = Self::at(&ready.url, project, clock)?;
        Ok(Self {
            pid: Some(own.child.id()),
            _own: Some(own),
            ..target
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
        let request = hyper::Request::post(self.site.at("/session/create"))
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-opentok-auth", jwt::sign(&claims, &self.project.secret))
            .body(Full::new(Bytes::from_static(b"p2p.preference=disabled")))?;
        let answer = self.site.dialer().request(request).await;
        let answer = answer.context("no answer")?;
        let status = answer.status();
        ensure!(status.is_success(), "the server answered {status}");
        let [created]: [Created; 1] = serde_json::from_slice(answer.body())?;
        Ok(created.session_id)
    }

    /// Resident memory of the server in bytes, where it can be seen (Linux).
    pub(super) fn memory(&self) -> Option<u64> {
        process::resident_bytes(&self.pid?.to_string())
    }

    /// Processor time that the server has used so far, where it can be seen (Linux).
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        process::cpu_time(&self.pid?.to_string())
    }
}

/// What is known of a project that was made elsewhere.
///
/// # Errors
///
/// Fails unless these are a key and a secret.
pub fn project(key: &str, secret: &str) -> Result<Project> {
    Ok(Project {
        id: key.parse().context("the API key is not one")?,
        name: String::new(),
        secret: secret.parse().context("the secret is not one")?,
        old_secret: None,
        status: ProjectStatus::Active,
        max_connections: None,
        video_codecs: None,
        created_at_ms: 0,
    })
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
        let mut command = Command::new(std::env::current_exe()?);
        // Settings of the operator's own server are none of this one's business.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PARLOR_") {
                command.env_remove(name);
            }
        }
        let child = command
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
