//! The real binary on ports that the kernel picks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take that is expected to happen: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; ends with the test.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    /// What it wrote into its ready file.
    pub(crate) ready: Value,
    environment: Vec<(String, String)>,
    child: Child,
    data: tempfile::TempDir,
}

#[allow(dead_code, reason = "not every test needs all of it")]
impl Process {
    /// A playground.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A playground with these variables in its environment.
    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), environment)
    }

    /// A playground with the data of another.
    pub(crate) fn start_in(data: tempfile::TempDir, environment: &[(&str, &str)]) -> Self {
        let ready = data.path().join("ready.json");
        // One that was here before may have left it.
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::File::create(data.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_parlor"))
            .args(["serve", "--dev", "--http", "127.0.0.1:0"])
            .args(["--media", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .arg("--ready-file")
            .arg(&ready)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut this = Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            ready: Value::Null,
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            child,
            data,
        };
        let text = eventually("the server is ready", || {
            let ended = this.child.try_wait().unwrap();
            assert_eq!(ended, None, "it ended: {}", this.log());
            std::fs::read_to_string(&ready).ok()
        });
        this.ready = serde_json::from_str(&text).unwrap();
        let url = this.ready["url"].as_str().unwrap();
        this.addr = url.split("//").nth(1).unwrap().parse().unwrap();
        this
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log")).unwrap()
    }

    /// Sends it a signal: `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Waits for its end; gives back how it was, and its data.
    pub(crate) fn ended(mut self) -> (ExitStatus, tempfile::TempDir) {
        let status = eventually("the server ends", || self.child.try_wait().unwrap());
        let other = tempfile::tempdir().unwrap();
        (status, std::mem::replace(&mut self.data, other))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is our own child; that it has ended already is fine too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command of the same binary says about a server and its data; panics if it fails.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn parlor(server: &Process, words: &[&str]) -> String {
    let said = try_parlor(server, words);
    said.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// Likewise; an error is what it complains about.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn try_parlor(server: &Process, words: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_parlor"))
        .args(words)
        .args(["--http", &server.addr.to_string(), "--data"])
        .arg(server.data())
        .envs(server.environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// Whether a program is there; a test that needs it is skipped if not, and says so.
#[allow(dead_code, reason = "not every test needs it")]
#[expect(clippy::print_stderr, reason = "whoever runs the tests should see it")]
pub(crate) fn is_installed(program: &str) -> bool {
    let found = find(program).is_some();
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// Where a program is, if it is anywhere.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has servers where only root looks, and `tests/run` what Debian does not have.
    let others = ["/usr/sbin", "target/tools/bin"].map(PathBuf::from);
    let mut files = std::env::split_paths(&path)
        .chain(others)
        .map(|place| place.join(program));
    files.find(|file| file.is_file())
}

/// A port that was free a moment ago, for programs that do not tell which one they were given.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks again and again, since files and processes tell nobody; panics if it takes too long.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let pause = Duration::from_millis(20);
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        if let Some(found) = probe() {
            return found;
        }
        std::thread::sleep(pause);
    }
    panic!("{what}: not within {PATIENCE:?}");
}
