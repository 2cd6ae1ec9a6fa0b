//! The real binary on ports that the kernel picks.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; ends with the test.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    child: Child,
    _data: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let ready = data.path().join("ready.json");
        let mut child = Command::new(env!("CARGO_BIN_EXE_parlor"))
            .args([
                "serve",
                "--dev",
                "--http",
                "127.0.0.1:0",
                "--media",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(data.path())
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..600 {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
                let url = ready["url"].as_str().unwrap();
                let addr = url
                    .trim_start_matches("http://")
                    .trim_end_matches('/')
                    .parse();
                return Self {
                    addr: addr.unwrap(),
                    child,
                    _data: data,
                };
            }
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "the server ended before it was ready"
            );
            // The file is the event; it cannot be waited for in another way.
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server is not ready after 30 s");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is our own child; that it has ended already is fine too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
