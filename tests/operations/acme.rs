//! Certificates that the server orders itself, from Pebble, the test server of Let's Encrypt's
//! makers (Debian's package `pebble`). It looks at the server's port as any authority does.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use http_body_util::Full;
use hyper::Request;
use parlor::net::dial::Dialer;
use parlor::net::trust;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::get;
use super::process::{Process, eventually, free_port, is_installed};

const DOMAIN: &str = "video.parlor.test";

/// Pebble, a name server that knows every name as this machine, and where Pebble looks.
struct Authority {
    dir: tempfile::TempDir,
    url: String,
    management: u16,
    /// Where Pebble's looks are led to, once it is known.
    target: watch::Sender<Option<SocketAddr>>,
    children: Vec<Child>,
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Authority {
    /// Issues certificates that are good for so many seconds.
    async fn start(valid_s: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let host = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(at("ca.pem"), host.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(at("ca.key"), key.serialize_pem()).unwrap();

        // Pebble must know the port before the server has one, so it is led there.
        let front = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front_port = front.local_addr().unwrap().port();
        let (target, led) = watch::channel(None);
        tokio::spawn(lead(front, led));

        let [acme, management, names] = [free_port(), free_port(), free_port()];
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": at("ca.pem"), "privateKey": at("ca.key"),
            "httpPort": 1, "tlsPort": front_port, "ocspResponderURL": "",
            "externalAccountBindingRequired": false, "certificateValidityPeriod": valid_s,
        }});
        std::fs::write(at("config.json"), config.to_string()).unwrap();
        let log = std::fs::File::create(at("log")).unwrap();
        let pebble = Command::new("pebble")
            .arg("-config")
            .arg(at("config.json"))
            .args(["-dnsserver", &format!("127.0.0.1:{names}")])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let names = Command::new("pebble-challtestsrv")
            .args(["-dns01", &format!("127.0.0.1:{names}")])
            .args(["-management", &format!("127.0.0.1:{}", free_port())])
            .args([
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let this = Self {
            url: format!("https://localhost:{acme}/dir"),
            management,
            target,
            children: vec![pebble.unwrap(), names.unwrap()],
            dir,
        };
        eventually("Pebble listens", || {
            std::net::TcpStream::connect(("127.0.0.1", acme)).ok()
        });
        this
    }

    /// A server that orders its certificate here.
    fn serve(&self, data: tempfile::TempDir) -> Process {
        let ca = self.dir.path().join("ca.pem");
        let process = Process::start_in(
            data,
            &[
                ("PARLOR_ACME_DOMAINS", DOMAIN),
                ("PARLOR_ACME_ACCEPT_TERMS", "true"),
                ("PARLOR_ACME_CONTACT", "mailto:ops@parlor.test"),
                ("PARLOR_ACME_DIRECTORY", &self.url),
                ("PARLOR_ACME_DIRECTORY_CA_FILE", ca.to_str().unwrap()),
                ("PARLOR_METRICS_LISTEN", "127.0.0.1:0"),
            ],
        );
        self.target.send_replace(Some(process.addr));
        process
    }

    /// Whom to trust to trust what was issued here.
    async fn root(&self) -> CertificateDer<'static> {
        let dialer = Dialer::new(trust::file(&self.dir.path().join("ca.pem")).unwrap());
        let url = format!("https://localhost:{}/roots/0", self.management);
        let request = Request::get(url).body(Full::default()).unwrap();
        let pem = dialer.request(request).await.unwrap().into_body();
        CertificateDer::from_pem_slice(&pem).unwrap()
    }
}

/// Leads connections to where they are meant to go, as soon as that is known.
async fn lead(front: tokio::net::TcpListener, mut led: watch::Receiver<Option<SocketAddr>>) {
    while let Ok((mut from, _)) = front.accept().await {
        let Ok(Some(target)) = led.wait_for(Option::is_some).await.map(|target| *target) else {
            return;
        };
        tokio::spawn(async move {
            let mut to = TcpStream::connect(target).await?;
            copy_bidirectional(&mut from, &mut to).await
        });
    }
}

/// The certificate that a browser gets who trusts only `root`.
async fn certificate(
    root: CertificateDer<'static>,
    process: &Process,
) -> std::io::Result<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(process.addr).await?;
    let name = ServerName::try_from(DOMAIN).unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let stream = connector.connect(name, stream).await?;
    let (_, connection) = stream.get_ref();
    Ok(connection.peer_certificates().unwrap()[0]
        .clone()
        .into_owned())
}

fn count(process: &Process, line: &str) -> usize {
    process.log().matches(line).count()
}

const TAKEN_UP: &str = "A new certificate is in use";

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_ordered_kept_and_not_ordered_again() {
    if !is_installed("pebble") {
        return;
    }
    let authority = Authority::start(90 * 24 * 3600).await;
    let process = authority.serve(tempfile::tempdir().unwrap());
    eventually("there is a certificate", || {
        (count(&process, TAKEN_UP) == 1).then_some(())
    });
    let root = authority.root().await;
    let first = certificate(root.clone(), &process).await.unwrap();
    let metrics = process.ready["metrics"].as_str().unwrap();
    let (_, metrics) = get(&format!("http://{metrics}/metrics")).await;
    for line in [
        "parlor_tls_certificates_total{result=\"renewed\"} 1",
        "parlor_tls_certificates_total{result=\"failed\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }

    let acme = process.data().join("acme");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&acme), 0o700);
    for name in ["account.json", "certificate.json"] {
        assert_eq!(mode(&acme.join(name)), 0o600, "{name}");
    }

    process.signal("TERM");
    let (status, data) = process.ended();
    assert!(status.success());
    let again = authority.serve(data);
    let second = certificate(root, &again).await.unwrap();
    assert_eq!(first, second, "it is kept");
    assert_eq!(count(&again, "Ordering a certificate"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_before_it_expires_with_the_same_account() {
    if !is_installed("pebble") {
        return;
    }
    let authority = Authority::start(12).await;
    let process = authority.serve(tempfile::tempdir().unwrap());
    eventually("there is a certificate", || {
        (count(&process, TAKEN_UP) == 1).then_some(())
    });
    let root = authority.root().await;
    let first = certificate(root.clone(), &process).await.unwrap();
    let account = process.data().join("acme/account.json");
    let made = std::fs::read_to_string(&account).unwrap();
    eventually("it is renewed", || {
        (count(&process, TAKEN_UP) >= 2).then_some(())
    });
    let second = certificate(root, &process).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(std::fs::read_to_string(&account).unwrap(), made);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_cannot_see_us_is_said_to_and_the_server_runs() {
    if !is_installed("pebble") {
        return;
    }
    let authority = Authority::start(3600).await;
    // It looks at somebody else, who has a certificate of their own.
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = other.local_addr().unwrap();
    let acceptor = {
        let chain = CertificateDer::from_pem_file(authority.dir.path().join("ca.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(authority.dir.path().join("ca.key")).unwrap();
        let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(
            ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = other.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    authority.target.send_replace(Some(elsewhere));
    let data = tempfile::tempdir().unwrap();
    let ca = authority.dir.path().join("ca.pem");
    let process = Process::start_in(
        data,
        &[
            ("PARLOR_ACME_DOMAINS", DOMAIN),
            ("PARLOR_ACME_ACCEPT_TERMS", "true"),
            ("PARLOR_ACME_DIRECTORY", &authority.url),
            ("PARLOR_ACME_DIRECTORY_CA_FILE", ca.to_str().unwrap()),
        ],
    );
    eventually("it says so", || {
        let says = format!("the authority could not see that {DOMAIN} is here");
        process.log().contains(&says).then_some(())
    });
    // Nobody is let in with the proof, nor without a certificate.
    let root = authority.root().await;
    assert!(certificate(root, &process).await.is_err());
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let url = format!("http://{}/healthz", process.addr);
    let answer = plain.build().unwrap().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 308, "the server lives");

    let doctor = Command::new(env!("CARGO_BIN_EXE_parlor"))
        .args(["doctor", "--dev", "--no-call", "--data"])
        .arg(process.data())
        .env("PARLOR_ACME_DOMAINS", DOMAIN)
        .env("PARLOR_ACME_ACCEPT_TERMS", "true")
        .env("PARLOR_ACME_DIRECTORY", &authority.url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&doctor.stdout);
    assert!(text.contains("there is none yet in"), "{text}");
}
