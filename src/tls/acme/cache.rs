//! What must survive a restart: the account with the authority, and the last certificate. Only the
//! server's user can read it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use instant_acme::AccountCredentials;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::keys::certified;
use crate::config::AcmeConfig;
use crate::files;
use crate::tls::validity;

/// A certificate, and what was ordered.
#[derive(Clone, Serialize, Deserialize)]
pub struct Issued {
    /// Whom it was ordered from.
    pub(super) directory: String,
    /// What it is for.
    pub(super) domains: Vec<String>,
    /// The chain in PEM, our own first.
    pub(super) chain: String,
    /// Its private key in PEM.
    pub(super) key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Issued");
        out.field("domains", &self.domains).finish_non_exhaustive()
    }
}

impl Issued {
    /// Whether it is what these settings ask for.
    pub fn is_for(&self, config: &AcmeConfig) -> bool {
        self.directory == config.directory && self.domains == config.domains
    }

    /// From when until when it is good, in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Fails if it is no certificate.
    pub fn validity(&self) -> Result<(i64, i64)> {
        let own = CertificateDer::from_pem_slice(self.chain.as_bytes())?;
        validity(&own).context("the certificate has no dates")
    }

    /// What a handshake needs, and from when until when it is good.
    pub(super) fn certified(&self) -> Result<(Arc<CertifiedKey>, (i64, i64))> {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let certified = certified(chain, &key)?;
        certified.keys_match().context("the key is another's")?;
        Ok((certified, self.validity()?))
    }
}

/// The account, and with whom.
#[derive(Serialize, Deserialize)]
pub(super) struct Registered {
    pub(super) directory: String,
    pub(super) credentials: AccountCredentials,
}

/// The place on the disk.
#[derive(Debug)]
pub(super) struct Cache(PathBuf);

impl Cache {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir);
        made.with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self(dir.to_owned()))
    }

    pub(super) fn certificate(&self) -> Result<Option<Issued>> {
        stored(&self.0)
    }

    pub(super) fn store_certificate(&self, issued: &Issued) -> Result<()> {
        write(&certificate_file(&self.0), issued)
    }

    /// The account with this authority, if there is one.
    pub(super) fn account(&self, directory: &str) -> Result<Option<AccountCredentials>> {
        let found: Option<Registered> = read(&self.account_file())?;
        let found = found.filter(|found| found.directory == directory);
        Ok(found.map(|found| found.credentials))
    }

    pub(super) fn store_account(&self, account: &Registered) -> Result<()> {
        write(&self.account_file(), account)
    }

    fn account_file(&self) -> PathBuf {
        self.0.join("account.json")
    }
}

/// The certificate that was last stored in a place.
///
/// # Errors
///
/// Fails if there is one that cannot be read.
pub fn stored(dir: &Path) -> Result<Option<Issued>> {
    read(&certificate_file(dir))
}

fn certificate_file(dir: &Path) -> PathBuf {
    dir.join("certificate.json")
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => {
            let parsed = serde_json::from_slice(&bytes);
            parsed.map(Some).with_context(|| path.display().to_string())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value)?;
    let written = files::write_private(path, &text);
    written.with_context(|| format!("cannot write {}", path.display()))
}
