//! coturn's own client tools against our server (Debian's package `coturn`; `tests/run` brings
//! them). Without them these tests say so and pass.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use parlor::config::{Announce, Config, TlsConfig};
use parlor::turn::credential::Issuer;

use super::support::TestClient;
use super::{SECRET, certificate, force_disconnect, server, server_with};

/// Where `tests/run` puts the tools where they are not installed.
const OWN: &str = "target/tools/coturn/usr/bin";

/// One of the tools, if there is one.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    places.push(OWN.into());
    let found = places
        .iter()
        .map(|place| place.join(name))
        .find(|file| file.exists());
    if found.is_none() {
        println!("skipped: there is no {name}; tests/run brings it");
    }
    found
}

/// A run of `turnutils_uclient`.
struct Client {
    arguments: Vec<String>,
    username: String,
    password: String,
}

impl Client {
    /// With a credential that is good for an hour.
    fn new(connection: &str) -> Self {
        Self::expiring(connection, 3600)
    }

    /// With a credential that expires so many seconds from now.
    fn expiring(connection: &str, seconds: i64) -> Self {
        let now_s = parlor::clock::Clock::system().unix_ms() / 1000;
        let at = u64::try_from(now_s + seconds).unwrap();
        let credential = Issuer::new(SECRET.as_bytes()).issue(at, connection);
        Self {
            arguments: Vec::new(),
            username: credential.username,
            password: credential.password,
        }
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Runs it against a server; `None` if there is no such tool. It ends by itself.
    async fn run(self, server: SocketAddr) -> Option<Report> {
        let tool = tool("turnutils_uclient")?;
        let run = move || -> Output {
            Command::new("timeout")
                .arg("60")
                .arg(tool)
                .args(["-v", "-u", &self.username, "-w", &self.password])
                .args(["-p", &server.port().to_string()])
                .args(&self.arguments)
                .arg(server.ip().to_string())
                .output()
                .unwrap()
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        Some(Report(String::from_utf8_lossy(&text).into_owned()))
    }
}

/// What it printed.
struct Report(String);

impl Report {
    /// The last number behind a name: it prints a total at the end.
    fn number(&self, name: &str) -> u64 {
        let behind = self
            .0
            .rsplit_once(name)
            .unwrap_or_else(|| panic!("no {name} in {}", self.0))
            .1;
        let digits = behind.trim_start_matches([' ', '=', ':']);
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse()
            .unwrap_or_else(|_| panic!("no number behind {name} in {}", self.0))
    }

    /// It takes every 401 for a question and tries again, until it has had enough.
    fn cannot_allocate(&self) {
        assert!(self.0.contains("Cannot complete Allocation"), "{}", self.0);
    }

    fn refused_with(&self, code: u16) {
        assert!(
            self.0.contains(&format!("error {code}")),
            "no error {code} in {}",
            self.0
        );
        assert!(!self.0.contains("tot_recv_msgs=") || self.number("tot_recv_msgs") == 0);
    }
}

/// Two clients send to each other through their relayed addresses; all of it arrives.
async fn passes(server: SocketAddr, arguments: &[&str]) {
    let client = Client::new("ana").with(&["-y", "-c", "-m", "2", "-n", "20", "-l", "500"]);
    let Some(report) = client.with(arguments).run(server).await else {
        return;
    };
    assert_eq!(report.number("tot_send_msgs"), 40, "{}", report.0);
    assert_eq!(report.number("tot_recv_msgs"), 40, "{}", report.0);
}

#[tokio::test]
async fn its_clients_reach_each_other_over_udp() {
    let server = server().await;
    passes(server.turn_addr(), &[]).await;
    passes(server.turn_addr(), &["-s"]).await;
}

#[tokio::test]
async fn its_clients_reach_each_other_over_ipv6_and_by_addresses_of_both_families() {
    let server = server_with(|config| {
        config.turn.listen = Some("[::1]:0".parse().unwrap());
        let both = ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse().unwrap());
        config.media.announce = Announce::Addresses(both.to_vec());
    })
    .await;
    for family in ["-x", "-X", "-Z"] {
        passes(server.turn_addr(), &[family]).await;
    }
}

#[tokio::test]
async fn its_clients_may_ask_for_more_than_they_need_and_break_off() {
    let server = server().await;
    // Further permissions and channels; no fragments; padded channels.
    for more in ["-G", "-g", "-D"] {
        passes(server.turn_addr(), &[more]).await;
    }
    // What should be refused, broken requests, and clients that go without a word.
    for bad in ["-N", "-R", "-B"] {
        let client = Client::new("ben").with(&["-y", "-c", "-n", "3", bad]);
        client.run(server.turn_addr()).await;
    }
    passes(server.turn_addr(), &[]).await;
}

#[tokio::test]
async fn its_clients_reach_each_other_over_tcp() {
    let server = server().await;
    passes(server.http_addr(), &["-t"]).await;
    passes(server.http_addr(), &["-t", "-s"]).await;
}

#[tokio::test]
async fn its_clients_reach_each_other_over_tls() {
    let server = server_with(|config| config.tls = Some(TlsConfig::Files(certificate()))).await;
    passes(server.http_addr(), &["-t", "-S"]).await;
}

#[tokio::test]
async fn it_is_relayed_to_no_other_address() {
    let server = server().await;
    for peer in [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "203.0.113.1",
    ] {
        for arguments in [&["-e", peer][..], &["-e", peer, "-s"]] {
            let client = Client::new("ana").with(&["-c", "-n", "3"]).with(arguments);
            let Some(report) = client.run(server.turn_addr()).await else {
                return;
            };
            report.refused_with(403);
        }
    }
}

#[tokio::test]
async fn the_address_of_media_does_not_open_its_other_ports() {
    let Some(tool) = tool("turnutils_peer") else {
        return;
    };
    // Here media is announced where somebody else listens too.
    let announced = |config: &mut Config| config.media.announce = Announce::Auto;
    let server = server_with(announced).await;
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    drop(taken);
    let mut peer = Command::new(tool)
        .args(["-L", "127.0.0.1", "-p", &port])
        .spawn()
        .unwrap();
    let client = Client::new("ana").with(&["-c", "-s", "-n", "3", "-e", "127.0.0.1", "-r", &port]);
    let report = client.run(server.turn_addr()).await.unwrap();
    // It is our own child.
    peer.kill().unwrap();
    peer.wait().unwrap();
    assert_eq!(report.number("tot_recv_msgs"), 0, "{}", report.0);
}

#[tokio::test]
async fn a_connection_gets_no_more_than_its_quota() {
    let server = server_with(|config| config.turn.limits.allocations_per_connection = 2).await;
    let client = Client::new("ana").with(&["-y", "-c", "-m", "4"]);
    if let Some(report) = client.run(server.turn_addr()).await {
        report.refused_with(486);
    }
}

#[tokio::test]
async fn expired_and_wrong_credentials_are_refused() {
    let server = server().await;
    passes(server.turn_addr(), &[]).await;
    let mut wrong = Client::new("ana");
    wrong.password = "wrong".into();
    for client in [Client::expiring("ana", -1), wrong] {
        let Some(report) = client.with(&["-y", "-c"]).run(server.turn_addr()).await else {
            return;
        };
        report.cannot_allocate();
    }
}

#[tokio::test]
async fn whoever_a_moderator_puts_out_is_cut_off() {
    let server = server().await;
    let (session, token) = server.join("room").await;
    let mut ana = TestClient::open(&server, &session, &token).await;
    assert_eq!(ana.join(&token).await.0, "200");
    let id = ana.id.to_string();
    let Some(before) = Client::new(&id)
        .with(&["-y", "-c"])
        .run(server.turn_addr())
        .await
    else {
        return;
    };
    assert!(before.number("tot_recv_msgs") > 0, "{}", before.0);
    force_disconnect(&server, &session, &id).await;
    ana.closed().await;
    let after = Client::new(&id)
        .with(&["-y", "-c"])
        .run(server.turn_addr())
        .await;
    after.unwrap().cannot_allocate();
}
