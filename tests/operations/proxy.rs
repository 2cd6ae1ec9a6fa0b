//! A call through the reverse proxies of `docs/OPERATING.md`, configured as written there but
//! without TLS.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::process::{Process, eventually, find, free_port, is_installed};
use super::support::Site;
use super::{get, joined};

const GUIDE: &str = include_str!("../../docs/OPERATING.md");

/// How long it may take until a proxy passes anything on: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running proxy; ends with the test.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The example of a proxy in the guide: the code below this line.
fn example(title: &str) -> &'static str {
    let (_, rest) = GUIDE.split_once(title).unwrap();
    let (_, code) = rest.split_once("```").unwrap();
    let (_, code) = code.split_once('\n').unwrap();
    code.split_once("```").unwrap().0
}

/// Without the lines that name a certificate.
fn without_tls(code: &str) -> String {
    let lines = code
        .lines()
        .filter(|line| !line.contains("ssl_certificate"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Starts a proxy whose settings `write` makes of its own port and the server's address, and makes
/// a call through it.
async fn check(
    program: &str,
    write: impl Fn(&Path, u16, &str) -> String,
    arguments: impl Fn(&Path, u16) -> Vec<String>,
) {
    let process = Process::start();
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let settings = write(dir.path(), port, &process.addr.to_string());
    let file = dir.path().join("settings");
    std::fs::write(&file, settings).unwrap();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let child = Command::new(find(program).unwrap())
        .args(arguments(&file, port))
        .env("HOME", dir.path())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let mut proxy = Proxy(child.unwrap());
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
    eventually("the proxy listens", || {
        assert_eq!(proxy.0.try_wait().unwrap(), None, "it ended: {}", log());
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let url = format!("http://127.0.0.1:{port}");
    let answer = async {
        loop {
            let answer = get(&format!("{url}/healthz")).await;
            // Traefik listens before it has read its file.
            if answer.0 != 404 {
                return answer;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let answer = timeout(PATIENCE, answer).await;
    assert_eq!(answer.unwrap(), (200, "ok\n".into()), "{}", log());
    let text = |field: &str| process.ready[field].as_str().unwrap();
    let site = Site::new(&url, text("api_key"), text("api_secret"));
    let _ana = joined(&site, "room").await;
}

#[tokio::test]
async fn nginx_passes_everything_on() {
    if !is_installed("nginx") {
        return;
    }
    let write = |dir: &Path, port: u16, server: &str| {
        let code = without_tls(example("nginx, in `http { … }`:"))
            .replace("listen 443 ssl", &format!("listen 127.0.0.1:{port}"))
            .replace("127.0.0.1:8080", server);
        let at = |name: &str| format!("{}/{name}", dir.display());
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary
            .map(|name| format!("{name}_temp_path {};", at(name)))
            .concat();
        format!(
            "daemon off; pid {}; error_log stderr; events {{}} http {{ access_log off; {temporary} {code} }}",
            at("pid")
        )
    };
    check("nginx", write, |file, _| {
        vec!["-c".into(), file.display().to_string()]
    })
    .await;
}

#[tokio::test]
async fn caddy_passes_everything_on() {
    if !is_installed("caddy") {
        return;
    }
    let write = |_: &Path, port: u16, server: &str| {
        let code = example("Caddy:");
        let code = code.replace("video.example.com", &format!("http://127.0.0.1:{port}"));
        format!(
            "{{\n  admin off\n}}\n{}",
            code.replace("127.0.0.1:8080", server)
        )
    };
    let arguments = |file: &Path, _| {
        let file = file.display().to_string();
        ["run", "--adapter", "caddyfile", "--config", &file]
            .map(String::from)
            .to_vec()
    };
    check("caddy", write, arguments).await;
}

#[tokio::test]
async fn haproxy_passes_everything_on() {
    if !is_installed("haproxy") {
        return;
    }
    let write = |_: &Path, port: u16, server: &str| {
        let bind = "bind :443 ssl crt /etc/haproxy/video.example.com.pem";
        let code = example("HAProxy:");
        assert!(code.contains(bind));
        let code = code.replace(bind, &format!("bind 127.0.0.1:{port}"));
        let code = code.replace("X-Forwarded-Proto https", "X-Forwarded-Proto http");
        code.replace("127.0.0.1:8080", server)
    };
    check("haproxy", write, |file, _| {
        vec!["-db".into(), "-f".into(), file.display().to_string()]
    })
    .await;
}

#[tokio::test]
async fn traefik_passes_everything_on() {
    if !is_installed("traefik") {
        return;
    }
    let write = |dir: &Path, _: u16, server: &str| {
        let tls = "      tls:\n        certResolver: letsencrypt\n";
        let code = example("Traefik, in a file");
        assert!(code.contains(tls));
        let code = code.replace(tls, "");
        let code = code.replace("video.example.com", "127.0.0.1");
        // It tells the form of a file by its name.
        std::fs::write(
            dir.join("parlor.yml"),
            code.replace("127.0.0.1:8080", server),
        )
        .unwrap();
        String::new()
    };
    check("traefik", write, |file, port| {
        let file = file.with_file_name("parlor.yml");
        vec![
            format!("--providers.file.filename={}", file.display()),
            format!("--entryPoints.https.address=127.0.0.1:{port}"),
        ]
    })
    .await;
}
