//! A certificate that is read from files, and read again when they change.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio_rustls::rustls::{self, ServerConfig};
use tracing::{info, warn};

use super::{ALPN, Status, validity};
use crate::config::CertificateFiles;

/// How often the files are looked at. Whoever renews certificates does so weeks ahead.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or holds nothing of its kind.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key do not belong together, or are of an unknown kind.
    #[error("the certificate does not work with its key: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A certificate that can be used.
#[derive(Debug)]
pub struct Loaded {
    config: ServerConfig,
    expires_at_s: Option<i64>,
}

impl Loaded {
    /// What handshakes need; `status` tells how long it is good.
    pub(super) fn use_in(self, status: &watch::Sender<Status>) -> Arc<ServerConfig> {
        status.send_modify(|status| status.expires_at_s = self.expires_at_s);
        Arc::new(self.config)
    }
}

/// A certificate that follows its files.
#[derive(Debug)]
pub struct Certificates(CertificateFiles);

impl Certificates {
    /// Those of these files.
    pub fn new(files: CertificateFiles) -> Self {
        Self(files)
    }

    /// Reads both files and makes of them what a TLS handshake needs: TLS 1.2 and 1.3.
    ///
    /// # Errors
    ///
    /// Fails if one cannot be read, or they do not belong together.
    pub fn load(&self) -> Result<Loaded, CertificateError> {
        let unreadable = |path: &PathBuf| {
            let path = path.clone();
            |source| CertificateError::Unreadable { path, source }
        };
        let chain = CertificateDer::pem_file_iter(&self.0.certificate)
            .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
            .map_err(unreadable(&self.0.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&self.0.key).map_err(unreadable(&self.0.key))?;
        let expires_at_s = chain.first().and_then(validity).map(|(_, until_s)| until_s);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = ALPN.map(Vec::from).to_vec();
        Ok(Loaded {
            config,
            expires_at_s,
        })
    }

    /// When either last changed; `None` while one is missing.
    fn changed_at(&self) -> Option<[SystemTime; 2]> {
        let modified =
            |path: &PathBuf| -> io::Result<SystemTime> { std::fs::metadata(path)?.modified() };
        Some([
            modified(&self.0.certificate).ok()?,
            modified(&self.0.key).ok()?,
        ])
    }

    /// Follows the files until nobody listens any more. What cannot be used is reported, and the
    /// certificate before it stays in use.
    pub(super) async fn follow(
        self,
        current: watch::Sender<Arc<ServerConfig>>,
        status: watch::Sender<Status>,
    ) {
        let mut known = self.changed_at();
        let mut failed = false;
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = current.closed() => return,
            }
            let found = self.changed_at();
            if found.is_none() || (found == known && !failed) {
                continue;
            }
            let news = found != known;
            known = found;
            // Tried again, since it may have been read while it was written.
            match self.load() {
                Ok(loaded) => {
                    failed = false;
                    current.send_replace(loaded.use_in(&status));
                    status.send_modify(|status| status.renewed += 1);
                    info!("A new certificate is in use");
                }
                Err(error) => {
                    failed = true;
                    if news {
                        status.send_modify(|status| status.failed += 1);
                        warn!(%error, "The new certificate cannot be used; keeping the old");
                    }
                }
            }
        }
    }
}
