//! Where the certificate is from.

use std::path::{Path, PathBuf};

use super::acme::AcmeConfig;
use super::values::Reader;

/// Where the certificate is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsConfig {
    /// From files that somebody else keeps up to date.
    Files(CertificateFiles),
    /// From an authority, by ourselves.
    Acme(AcmeConfig),
}

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

impl TlsConfig {
    /// Files, an authority, or nothing.
    pub(super) fn read(reader: &mut Reader, data_dir: &Path) -> Option<Option<Self>> {
        let files = read_certificate_files(reader);
        let acme = AcmeConfig::read(reader, data_dir);
        match (files?, acme?) {
            (Some(_), Some(_)) => {
                let what = "is set, and so is tls.certificate_file: the certificate is from one or \
                            from the other";
                reader.problem("acme.domains", what, Some("[]"));
                None
            }
            (Some(files), None) => Some(Some(Self::Files(files))),
            (None, Some(acme)) => Some(Some(Self::Acme(acme))),
            (None, None) => Some(None),
        }
    }
}

/// Both files or none.
fn read_certificate_files(reader: &mut Reader) -> Option<Option<CertificateFiles>> {
    let [certificate, key] = ["certificate_file", "key_file"].map(|name| {
        let key = format!("tls.{name}");
        (reader.text(&key), key)
    });
    match [certificate, key] {
        [(certificate, _), (key, _)] if certificate.is_empty() == key.is_empty() => {
            let (certificate, key) = (certificate.into(), key.into());
            let files = CertificateFiles { certificate, key };
            Some((!files.key.as_os_str().is_empty()).then_some(files))
        }
        both => {
            for (_, key) in both.iter().filter(|(text, _)| text.is_empty()) {
                let example = Some("\"/etc/parlor/tls/privkey.pem\"");
                reader.problem(key, "is missing, and its twin is set", example);
            }
            None
        }
    }
}
