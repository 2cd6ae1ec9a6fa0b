//! Whether the certificate is one that browsers accept: readable, with its key, for the right
//! name, now and for some time, from somebody the system trusts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{self, CertificateError};

use super::Report;
use super::ports::host;
use crate::clock::Clock;
use crate::config::{AcmeConfig, CertificateFiles, Config, TlsConfig};
use crate::net::trust;
use crate::tls::acme::stored;
use crate::tls::files::Certificates;
use crate::tls::validity;

const CHECK: &str = "certificate";

/// Less than this left is worth a word: whoever renews does so earlier.
const SOON_S: i64 = 14 * 24 * 3600;

/// What to do about one that is old.
const FOLLOWED: &str = "Renew it; the server takes the new file up by itself.";
const RENEWED: &str = "It should have been renewed: the server's log says what is in the way.";

pub(super) fn check(config: &Config, clock: Clock, report: &mut Report) {
    match &config.tls {
        Some(TlsConfig::Files(files)) => check_files(config, files, clock, report),
        Some(TlsConfig::Acme(acme)) => check_acme(config, acme, clock, report),
        None => {}
    }
}

/// What the server has ordered so far.
fn check_acme(config: &Config, acme: &AcmeConfig, clock: Clock, report: &mut Report) {
    if let Some(url) = &config.http.public_url {
        let host = host(url.as_str());
        if !acme.domains.iter().any(|domain| domain == host) {
            let advice = format!("Add {host:?} to acme.domains, or correct http.public_url.");
            report.fail(
                CHECK,
                format!("acme.domains lacks {host}, which clients are told"),
                advice,
            );
        }
    }
    if config.http.listen.port() != 443 {
        let what = format!(
            "certificates are ordered, and http.listen is port {}",
            config.http.listen.port()
        );
        let advice = "The authority looks at port 443 (TLS-ALPN-01): listen there, or see that it \
                      is forwarded to this port.";
        report.warn(CHECK, what, advice);
    }
    let shown = acme.dir.display();
    let issued = match stored(&acme.dir) {
        Ok(Some(issued)) if issued.is_for(acme) => issued.validity(),
        Ok(_) => {
            let advice = "The server orders it when it starts; if it runs, its log says what is \
                          in the way (\"No certificate could be had\").";
            report.warn(CHECK, format!("there is none yet in {shown}"), advice);
            return;
        }
        Err(error) => Err(error),
    };
    match issued {
        Ok((_, until_s)) => judge_age("the ordered one", until_s, RENEWED, clock, report),
        Err(error) => {
            let advice = format!("Remove it from {shown}, and the server orders another.");
            report.fail(
                CHECK,
                format!("the stored one cannot be read: {error:#}"),
                advice,
            );
        }
    }
}

fn check_files(config: &Config, files: &CertificateFiles, clock: Clock, report: &mut Report) {
    let name = files.certificate.display().to_string();
    if let Err(error) = Certificates::new(files.clone()).load() {
        let advice = "tls.certificate_file needs the chain and tls.key_file its key, both in PEM, \
                      and the server's user must be able to read them.";
        report.fail(CHECK, error.to_string(), advice);
        return;
    }
    check_key_file(&files.key, report);
    let chain = CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect);
    let chain: Vec<CertificateDer<'_>> = chain.unwrap_or_default();
    let Some((own, others)) = chain.split_first() else {
        return;
    };
    if let Some((_, until_s)) = validity(own) {
        judge_age(&name, until_s, FOLLOWED, clock, report);
    }
    let Some(url) = &config.http.public_url else {
        return;
    };
    check_trust(&name, (own, others), host(url.as_str()), clock, report);
}

/// Whether it is good, and for how long.
fn judge_age(name: &str, until_s: i64, advice: &str, clock: Clock, report: &mut Report) {
    let left_s = until_s - clock.unix_ms() / 1000;
    let days = left_s / (24 * 3600);
    match left_s {
        ..0 => report.fail(CHECK, format!("{name} expired {} days ago", -days), advice),
        0..SOON_S => report.warn(CHECK, format!("{name} expires in {days} days"), advice),
        _ => report.ok(CHECK, format!("{name} is good for {days} days more")),
    }
}

fn check_key_file(key: &Path, report: &mut Report) {
    let mode = std::fs::metadata(key).map_or(0, |found| found.permissions().mode());
    if mode & 0o004 != 0 {
        let key = key.display();
        let advice =
            format!("`chmod o-r {key}`: whoever has the key can pretend to be this server.");
        report.warn(
            CHECK,
            format!("everybody on this machine can read {key}"),
            advice,
        );
    }
}

/// What a browser would say.
fn check_trust(
    file: &str,
    (own, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    host: &str,
    clock: Clock,
    report: &mut Report,
) {
    let Ok(name) = ServerName::try_from(host) else {
        return;
    };
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(trust::system());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    let Ok(verifier) = verifier else {
        let advice = "Install ca-certificates.";
        report.warn(CHECK, "this system trusts no certificate authority", advice);
        return;
    };
    let now = Duration::from_millis(u64::try_from(clock.unix_ms()).unwrap_or_default());
    let now = UnixTime::since_unix_epoch(now);
    match verifier.verify_server_cert(own, others, &name, &[], now) {
        Ok(_) => report.ok(CHECK, format!("{file} is trusted, and good for {host}")),
        Err(error) => explain(file, host, &error, report),
    }
}

fn explain(file: &str, host: &str, error: &rustls::Error, report: &mut Report) {
    use CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
    match error {
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            let advice = "Get one with that name, or correct http.public_url.";
            report.fail(CHECK, format!("{file} is not for {host}"), advice);
        }
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            let advice = "If browsers are to trust it, the file must hold the intermediate \
                          certificates too (certbot: fullchain.pem). With an authority of your \
                          own, install its certificate on the clients and on this machine.";
            report.warn(
                CHECK,
                format!("{file} is not from an authority that this system trusts"),
                advice,
            );
        }
        other => {
            let advice = "Browsers will refuse it: get another one.";
            report.fail(CHECK, format!("{file}: {other}"), advice);
        }
    }
}
