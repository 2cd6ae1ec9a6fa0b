//! What TLS handshakes are answered with: the certificate, or for an authority that looks whether
//! it is us, a certificate that says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::tls::ALPN;

/// The protocol that an authority asks for (RFC 8737, 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// What is there at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    /// For everybody.
    pub(super) certificate: Option<Arc<CertifiedKey>>,
    /// For authorities, by domain, while they look.
    pub(super) challenges: BTreeMap<String, Arc<CertifiedKey>>,
}

impl Keys {
    /// What a handshake needs: TLS 1.2 and 1.3.
    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the ciphers of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = ALPN.map(Vec::from).to_vec();
        if !self.challenges.is_empty() {
            config.alpn_protocols.push(ACME_TLS.to_vec());
        }
        Arc::new(config)
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut asked = hello.alpn().into_iter().flatten();
        // An authority asks for this alone (RFC 8737, 3).
        if asked.next() == Some(ACME_TLS) && asked.next().is_none() {
            return self.challenges.get(hello.server_name()?).cloned();
        }
        self.certificate.clone()
    }
}

/// The certificate that proves to be `domain`: it holds the digest of the key authorization
/// (RFC 8737, 3).
pub(super) fn proof(domain: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>> {
    let mut parameters = CertificateParams::new([domain.to_owned()])?;
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    certified(vec![certificate.der().clone()], &key)
}

/// A chain with its key.
pub(super) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<Arc<CertifiedKey>> {
    let key = ring::sign::any_supported_type(key)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}
