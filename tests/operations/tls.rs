//! HTTPS in the server itself.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::process::{Process, eventually, try_parlor};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

/// Puts one of the certificates where the server looks for it.
fn install(name: &str, into: &Path) {
    std::fs::copy(format!("{FIXTURES}/{name}.key"), into.join("key.pem")).unwrap();
    std::fs::copy(format!("{FIXTURES}/{name}.pem"), into.join("cert.pem")).unwrap();
}

fn with_tls(files: &Path) -> Process {
    let at = |name: &str| files.join(name).to_str().unwrap().to_owned();
    Process::start_with(&[
        ("PARLOR_TLS_CERTIFICATE_FILE", &at("cert.pem")),
        ("PARLOR_TLS_KEY_FILE", &at("key.pem")),
    ])
}

/// The answer to a GET over TLS, by somebody who trusts only this certificate.
async fn get_trusting(name: &str, process: &Process, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    ask_trusting(name, process, &request).await
}

async fn ask_trusting(name: &str, process: &Process, request: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(format!("{FIXTURES}/{name}.pem")).unwrap();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let stream = TcpStream::connect(process.addr).await?;
    let host = ServerName::try_from("localhost").unwrap();
    talk(connector.connect(host, stream).await?, request).await
}

async fn talk<S>(mut stream: S, request: &str) -> std::io::Result<String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn https_is_served_and_http_on_the_same_port_is_sent_there() {
    let files = tempfile::tempdir().unwrap();
    install("first", files.path());
    let process = with_tls(files.path());
    assert!(
        process.ready["url"]
            .as_str()
            .unwrap()
            .starts_with("https://")
    );
    let answer = get_trusting("first", &process, "/healthz").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    let plain = TcpStream::connect(process.addr).await.unwrap();
    let request = "GET /a/b?c=d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = talk(plain, request).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(
        answer
            .to_lowercase()
            .contains("\r\nlocation: https://localhost/a/b?c=d\r\n"),
        "{answer}"
    );

    let health = Command::new(env!("CARGO_BIN_EXE_parlor"))
        .args(["health", "--http", &process.addr.to_string()])
        .status();
    assert!(health.unwrap().success());
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() {
    let files = tempfile::tempdir().unwrap();
    install("first", files.path());
    let process = with_tls(files.path());
    std::fs::write(files.path().join("cert.pem"), "nonsense").unwrap();
    eventually("it says so", || {
        process.log().contains("keeping the old").then_some(())
    });
    get_trusting("first", &process, "/healthz").await.unwrap();

    install("second", files.path());
    eventually("it says so", || {
        process
            .log()
            .contains("A new certificate is in use")
            .then_some(())
    });
    get_trusting("second", &process, "/healthz").await.unwrap();
    assert!(get_trusting("first", &process, "/healthz").await.is_err());
}

#[tokio::test]
async fn the_command_line_asks_a_server_over_tls_and_believes_only_what_it_is_told_to() {
    let files = tempfile::tempdir().unwrap();
    install("first", files.path());
    let process = with_tls(files.path());
    let body = r#"{"name":"Ana","session":"room"}"#;
    let request = format!(
        "POST /demo/join HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let joined = ask_trusting("first", &process, &request).await.unwrap();
    let (_, answer) = joined.split_once("\r\n\r\n").unwrap();
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let session = answer["sessionId"].as_str().unwrap();

    let [first, second] = ["first", "second"].map(|name| format!("{FIXTURES}/{name}.pem"));
    let port = process.addr.port();
    let [url, bare] = ["https://localhost", "localhost"].map(|host| format!("{host}:{port}"));
    let end = |more: &[&str]| try_parlor(&process, &[&["session", "end", session], more].concat());
    for more in [
        &["--ca-file", &first][..],
        &["--ca-file", &first, "--server", &url],
        &["--ca-file", &first, "--server", &bare],
    ] {
        assert_eq!(end(more).as_deref(), Ok("Put out 0\n"), "{more:?}");
    }
    for more in [&[][..], &["--ca-file", &second], &["--server", &url]] {
        let complaint = end(more).unwrap_err();
        assert!(complaint.contains("no answer from https://"), "{complaint}");
        assert!(complaint.contains("certificate"), "{complaint}");
    }
    let nothing = files.path().join("key.pem");
    let complaint = end(&["--ca-file", nothing.to_str().unwrap()]).unwrap_err();
    assert!(complaint.contains("has no authorities"), "{complaint}");
}

#[test]
fn health_fails_where_nobody_listens() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let health = Command::new(env!("CARGO_BIN_EXE_parlor"))
        .args(["health", "--http", &free.to_string()])
        .output();
    assert!(!health.unwrap().status.success());
}
