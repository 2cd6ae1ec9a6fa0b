//! `parlor doctor`: what is wrong is found, named and explained, and the exit code says so.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use sqlx::sqlite::SqlitePool;

use super::process::Process;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

/// Where nothing is wrong by itself.
static NOWHERE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// What the doctor found.
pub(crate) struct Diagnosis {
    success: bool,
    findings: Vec<Value>,
}

impl Diagnosis {
    /// The finding of this check and level that says this; shows all if there is none.
    pub(crate) fn expect(&self, check: &str, level: &str, says: &str) -> &Value {
        let found = self.findings.iter().find(|found| {
            let what = found["what"].as_str().unwrap();
            found["check"] == check && found["level"] == level && what.contains(says)
        });
        found.unwrap_or_else(|| panic!("no {level} of {check} says {says:?}: {:#?}", self.findings))
    }

    /// Expects a failure that comes with advice.
    pub(crate) fn expect_failure(&self, check: &str, says: &str) {
        let found = self.expect(check, "failure", says);
        assert!(
            found["advice"]
                .as_str()
                .is_some_and(|advice| !advice.is_empty())
        );
        assert!(!self.success, "a failure shows in the exit code");
    }
}

pub(crate) fn doctor_command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor"));
    command.args(["doctor", "--json"]).args(arguments);
    let quiet = [
        ("PARLOR_HTTP_LISTEN", "127.0.0.1:0"),
        ("PARLOR_MEDIA_LISTEN", "127.0.0.1:0"),
        ("PARLOR_DATA_DIR", NOWHERE.path().to_str().unwrap()),
        ("PARLOR_HTTP_PUBLIC_URL", "https://localhost:1"),
    ];
    command.envs(quiet).envs(environment.iter().copied());
    command
}

pub(crate) fn diagnosis(command: &mut Command) -> Diagnosis {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{complaint}"));
    Diagnosis {
        success: output.status.success(),
        findings: report["findings"].as_array().unwrap().clone(),
    }
}

/// Looks at everything but makes no call.
fn doctor(environment: &[(&str, &str)]) -> Diagnosis {
    diagnosis(&mut doctor_command(&["--no-call"], environment))
}

#[test]
fn all_is_well_with_a_playground_and_a_call_through_it() {
    let data = tempfile::tempdir().unwrap();
    let found = diagnosis(&mut doctor_command(
        &["--dev", "--data", data.path().to_str().unwrap()],
        &[("PARLOR_METRICS_LISTEN", "127.0.0.1:0")],
    ));
    assert!(found.success, "{:#?}", found.findings);
    found.expect("settings", "ok", "usable");
    found.expect("ports", "ok", "127.0.0.1:0/tcp is free");
    found.expect("database", "ok", "is empty");
    found.expect("storage", "ok", "can be written");
    found.expect("call", "ok", "works through a server started for it");
    let left: Vec<_> = std::fs::read_dir(data.path()).unwrap().collect();
    assert!(left.is_empty(), "nothing is left behind: {left:?}");
}

#[test]
fn every_mistake_in_the_settings_is_a_failure() {
    let found = doctor(&[
        ("PARLOR_HTTP_COLOUR", "red"),
        ("PARLOR_LIMITS_GRACE", "soon"),
    ]);
    found.expect_failure("settings", "http.colour: no such setting");
    found.expect_failure("settings", "limits.grace");
}

#[test]
fn a_port_of_somebody_else_is_a_failure() {
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let media = UdpSocket::bind("127.0.0.1:0").unwrap();
    let [at, media_at] = [http.local_addr(), media.local_addr()].map(|at| at.unwrap().to_string());
    // It answers, but is none of ours.
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = http.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        // Somebody listens for as long as the doctor looks.
        http
    });
    let found = doctor(&[
        ("PARLOR_HTTP_LISTEN", &at),
        ("PARLOR_MEDIA_LISTEN", &media_at),
        ("PARLOR_METRICS_LISTEN", &at),
    ]);
    found.expect_failure("ports", &format!("{at}/tcp cannot be opened"));
    found.expect_failure("ports", &format!("{media_at}/udp cannot be opened"));
    found.expect_failure("ports", &format!("{at}/tcp is used twice"));
    drop(answering.join().unwrap());
}

#[test]
fn an_address_that_no_interface_has_is_a_failure() {
    // Of the network for documentation (RFC 5737): nobody has it.
    let found = doctor(&[("PARLOR_HTTP_LISTEN", "192.0.2.1:8080")]);
    found.expect_failure("ports", "192.0.2.1:8080/tcp cannot be opened");
}

#[test]
fn the_ports_of_a_server_that_runs_are_fine_and_calls_go_through_it() {
    let process = Process::start();
    let media = format!("127.0.0.1:{}", process.ready["media_port"]);
    let (address, url) = (process.addr.to_string(), format!("http://{}", process.addr));
    let environment = [
        ("PARLOR_HTTP_LISTEN", address.as_str()),
        ("PARLOR_MEDIA_LISTEN", &media),
        ("PARLOR_DATA_DIR", process.data().to_str().unwrap()),
    ];
    let found = diagnosis(&mut doctor_command(&["--dev", "--url", &url], &environment));
    found.expect("ports", "ok", "in use by the server that runs here: REST");
    found.expect("ports", "ok", "in use by the server that runs here: media");
    found.expect("database", "ok", "answers and has schema");
    found.expect("call", "ok", &format!("works through {url}"));
    assert!(found.success, "{:#?}", found.findings);
}

#[test]
fn addresses_that_clients_cannot_use_are_failures() {
    let announced = |addresses: &str| {
        doctor(&[
            ("PARLOR_HTTP_PUBLIC_URL", "https://video.example.com"),
            ("PARLOR_MEDIA_ANNOUNCE", addresses),
        ])
    };
    announced("127.0.0.1").expect_failure("addresses", "no client on another machine");
    announced("0.0.0.0").expect_failure("addresses", "no address to send to");
    announced("2a00:1450::1").expect_failure("addresses", "media.listen is IPv4 only");
    let inside = announced("10.1.2.3");
    inside.expect("addresses", "warning", "no public address is announced");
    let public = announced("9.9.9.9,10.1.2.3");
    public.expect("addresses", "ok", "9.9.9.9 is announced");
}

#[test]
fn a_certificate_that_browsers_refuse_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let with = |certificate: &Path, key: &Path, trusted: &Path| {
        doctor(&[
            ("PARLOR_TLS_CERTIFICATE_FILE", certificate.to_str().unwrap()),
            ("PARLOR_TLS_KEY_FILE", key.to_str().unwrap()),
            ("SSL_CERT_FILE", trusted.to_str().unwrap()),
        ])
    };
    let fixture = |name: &str| Path::new(FIXTURES).join(name);
    let (first, second) = (fixture("first.pem"), fixture("second.key"));
    with(Path::new("/nowhere.pem"), &second, &first).expect_failure("certificate", "/nowhere.pem");
    with(&first, &second, &first).expect_failure("certificate", "does not work with its key");

    let made = |name: &str, host: &str, from_days: i64, days: i64| {
        let at = |suffix: &str| dir.path().join(format!("{name}.{suffix}"));
        let day = |n: i64| {
            let now = std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .unwrap()
                .as_secs() as i64;
            rcgen::date_time_ymd(1970, 1, 1)
                + std::time::Duration::from_secs((now + n * 86_400) as u64)
        };
        let mut parameters = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) = (day(from_days), day(days));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        std::fs::write(at("pem"), certificate.pem()).unwrap();
        std::fs::write(at("key"), key.serialize_pem()).unwrap();
        (at("pem"), at("key"))
    };
    let (good, key) = made("good", "localhost", -1, 90);
    let found = with(&good, &key, &good);
    found.expect("certificate", "ok", "is trusted, and good for localhost");
    found.expect("certificate", "ok", "is good for");
    found.expect(
        "certificate",
        "warning",
        "everybody on this machine can read",
    );
    with(&good, &key, &first).expect("certificate", "warning", "not from an authority");
    let (old, key) = made("old", "localhost", -90, -3);
    with(&old, &key, &old).expect_failure("certificate", "expired 3 days ago");
    let (soon, key) = made("soon", "localhost", -90, 5);
    with(&soon, &key, &soon).expect("certificate", "warning", "expires in");
    let (other, key) = made("other", "example.com", -1, 90);
    with(&other, &key, &other).expect_failure("certificate", "is not for localhost");
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("parlor.sqlite");
    let url = file.to_str().unwrap();
    let look = || doctor(&[("PARLOR_DATABASE_URL", url)]);
    look().expect("database", "ok", "is empty");
    assert!(!file.exists(), "the doctor makes none");

    let created = Command::new(env!("CARGO_BIN_EXE_parlor"))
        .args(["account", "create"])
        .env("PARLOR_DATABASE_URL", url)
        .env("PARLOR_DATA_DIR", dir.path())
        .output();
    assert!(created.unwrap().status.success());
    look().expect("projects", "warning", "there is no project yet");

    let store = SqlitePool::connect(url).await.unwrap();
    let run = async |sql: &'static str| {
        sqlx::query(sql).execute(&store).await.unwrap();
    };
    run("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1").await;
    look().expect_failure("database", "has schema 9999, of a newer Parlor");
    run("DELETE FROM _sqlx_migrations WHERE version > 2").await;
    look().expect("database", "warning", "brings it to");
    store.close().await;

    std::fs::write(
        &file,
        "no database at all, but long enough to have a header of one",
    )
    .unwrap();
    look().expect_failure("database", "parlor.sqlite");
    let nobody = [(
        "PARLOR_DATABASE_URL",
        "postgres://u:s3cret@127.0.0.1:1/parlor",
    )];
    let found = doctor(&nobody);
    found.expect_failure("database", "postgres://[redacted]@127.0.0.1:1/parlor");
    assert!(!format!("{:?}", found.findings).contains("s3cret"));
}

#[test]
fn a_place_that_cannot_be_written_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let place = file.join("data");
    let found = doctor(&[("PARLOR_DATA_DIR", place.to_str().unwrap())]);
    found.expect_failure("storage", "cannot be written");
}

/// Looks at data in a disk of its own, so many MiB large, that was mounted with these options; `None`
/// where the kernel does not allow that.
fn on_a_disk(mebibytes: u32, options: &str) -> Option<Diagnosis> {
    let dir = tempfile::tempdir().unwrap();
    let with_the_disk = |what: &str| {
        let mount =
            format!("mount -t tmpfs -o size={mebibytes}m,{options} tmpfs \"$PARLOR_DATA_DIR\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user"]);
        command.args(["sh", "-c", &format!("{mount} && {what}")]);
        command.env("PARLOR_DATA_DIR", dir.path());
        command
    };
    let allowed = with_the_disk("true").output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        #[expect(clippy::print_stderr, reason = "whoever runs the tests should see it")]
        {
            eprintln!("SKIPPED: no disk of its own to be had");
        }
        return None;
    }
    let mut command = with_the_disk("exec \"$0\" \"$@\"");
    command.arg(env!("CARGO_BIN_EXE_parlor"));
    command.args(["doctor", "--dev", "--json", "--no-call"]);
    Some(diagnosis(&mut command))
}

#[test]
fn a_disk_that_is_full_or_read_only_is_a_failure() {
    let Some(full) = on_a_disk(32, "mode=700") else {
        return;
    };
    full.expect_failure("storage", "32 MiB are free");
    let nearly = on_a_disk(200, "mode=700").unwrap();
    nearly.expect("storage", "warning", "200 MiB are free");
    let read_only = on_a_disk(200, "ro").unwrap();
    read_only.expect_failure("storage", "cannot be written: Read-only file system");
}

#[test]
fn data_that_everybody_can_read_are_worth_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let found = doctor(&[("PARLOR_DATA_DIR", dir.path().to_str().unwrap())]);
    found.expect("storage", "warning", "is open to everybody on this machine");
}

#[test]
fn socket_buffers_that_the_kernel_does_not_grant_are_worth_a_warning() {
    let found = doctor(&[("PARLOR_MEDIA_SOCKET_BUFFER", "1GiB")]);
    for name in ["rmem_max", "wmem_max"] {
        let granted = Path::new("/proc/sys/net/core").join(name);
        // Some containers hide it, and then there is nothing to say.
        if granted.exists() {
            let found = found.expect("buffers", "warning", name);
            assert!(found["advice"].as_str().unwrap().contains("1073741824"));
        }
    }
}

#[test]
fn a_clock_that_is_far_off_is_a_failure() {
    let site = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", site.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = site.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        let answer =
            "HTTP/1.1 200 OK\r\nDate: Fri, 01 Jan 2100 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let found = doctor(&[("PARLOR_HTTP_PUBLIC_URL", &url)]);
    found.expect_failure("clock", &format!("behind that of {url}"));
    answering.join().unwrap();
}

#[test]
fn few_files_are_worth_a_warning() {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 1000 && exec \"$0\" \"$@\""]);
    limited.arg(env!("CARGO_BIN_EXE_parlor"));
    limited.args(["doctor", "--dev", "--json", "--no-call", "--data"]);
    limited.arg(NOWHERE.path());
    let found = diagnosis(&mut limited);
    found.expect("files", "warning", "only 1000 may be open");
}

#[test]
fn a_call_that_fails_says_where() {
    let key = [
        "--api-key",
        "123456",
        "--api-secret",
        "0123456789012345678901234567890123456789",
    ];
    let through = |url: &str, project: [&str; 4]| {
        let mut arguments = vec!["--url", url];
        arguments.extend(project);
        diagnosis(&mut doctor_command(&arguments, &[]))
    };
    let found = through("http://127.0.0.1:1", key);
    found.expect_failure("call", "REST does not work: no answer");

    // Nobody is at the address that this server announces.
    let process = Process::start_with(&[("PARLOR_MEDIA_ANNOUNCE", "127.0.0.99")]);
    let url = format!("http://{}", process.addr);
    let text = |field: &str| process.ready[field].as_str().unwrap();
    let found = through(
        &url,
        [
            "--api-key",
            text("api_key"),
            "--api-secret",
            text("api_secret"),
        ],
    );
    let media = format!("with media to 127.0.0.99:{}", process.ready["media_port"]);
    found.expect_failure("call", &format!("{media}: ICE does not work"));
    let found = through(&url, key);
    found.expect_failure("call", "REST does not work: the server answered 403");
}
