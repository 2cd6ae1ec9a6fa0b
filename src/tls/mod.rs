//! The server's certificate: read from files that somebody else keeps up to date, or ordered from
//! an authority. Whoever accepts connections follows what handshakes need.

pub mod acme;
pub mod files;

use anyhow::{Context, Result};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::TlsConfig;
use crate::net::port::CurrentTls;
use acme::Acme;
use files::Certificates;

/// What is spoken inside TLS (RFC 7301): HTTP/1.1, and TURN for clients that ask for it by name
/// (RFC 7443).
pub const ALPN: [&[u8]; 2] = [b"http/1.1", b"stun.turn"];

/// How it is with the certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Until when the one in use is good, in seconds since the Unix epoch.
    pub expires_at_s: Option<i64>,
    /// New ones taken up or received since the start.
    pub renewed: u64,
    /// Those that could not be used or had.
    pub failed: u64,
}

/// Begins to serve a certificate; it is kept up to date as long as anybody holds the first
/// receiver.
///
/// # Errors
///
/// Fails if it is from files that cannot be used, or if there is no place for ordered ones.
pub fn start(config: &TlsConfig, clock: Clock) -> Result<(CurrentTls, watch::Receiver<Status>)> {
    let (status, statuses) = watch::channel(Status::default());
    let current = match config {
        TlsConfig::Files(files) => {
            let certificates = Certificates::new(files.clone());
            let first = certificates.load().context("cannot use the certificate")?;
            let (sender, current) = watch::channel(first.use_in(&status));
            tokio::spawn(certificates.follow(sender, status));
            current
        }
        TlsConfig::Acme(config) => {
            let (acme, current) = Acme::new(config.clone(), clock, status)?;
            tokio::spawn(acme.run());
            current
        }
    };
    Ok((current, statuses))
}

/// From when until when a certificate is good, in seconds since the Unix epoch.
pub fn validity(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    let from_to = (&validity.not_before, &validity.not_after);
    Some((from_to.0.timestamp(), from_to.1.timestamp()))
}
