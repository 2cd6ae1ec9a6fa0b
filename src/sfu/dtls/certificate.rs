//! Certificates: ours, and whether a peer's is the promised one.

use std::fmt;
use std::sync::Arc;

use ring::digest::{self, SHA256, SHA384, SHA512};
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::RingProvider;
use rtc::shared::error::Error;

use super::DtlsError;
use crate::sfu::command::{Fingerprint, FingerprintAlgorithm};

/// A self-signed ECDSA P-256 certificate with its key; two per process.
///
/// Peers trust it by its hash in SDP, so it names nobody and lasts as long as the process.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) provider: Arc<dyn RTCCryptoProvider>,
    pub(crate) inner: rtc::dtls::crypto::Certificate,
}

impl Certificate {
    /// A new certificate.
    ///
    /// # Errors
    ///
    /// Fails if there is no randomness to be had.
    pub fn generate() -> Result<Self, DtlsError> {
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(RingProvider::new());
        let names = Vec::<String>::new();
        let inner = rtc::dtls::crypto::Certificate::generate_self_signed(names, provider.crypto())
            .map_err(DtlsError)?;
        if inner.certificate.is_empty() {
            return Err(DtlsError(Error::ErrNoCertificates));
        }
        Ok(Self { provider, inner })
    }

    /// Two new certificates, which legs show by turns.
    ///
    /// # Errors
    ///
    /// Fails if there is no randomness to be had.
    pub fn generate_pair() -> Result<[Self; 2], DtlsError> {
        Ok([Self::generate()?, Self::generate()?])
    }

    /// Its SHA-256 hash, for SDP.
    pub fn fingerprint(&self) -> Fingerprint {
        let algorithm = FingerprintAlgorithm::Sha256;
        let der = &self.inner.certificate[0];
        Fingerprint {
            algorithm,
            digest: hash(algorithm, der),
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

/// Whether the first certificate of a chain is the promised one.
///
/// Both hashes are public, so there is nothing to hide in how long the comparison takes.
pub(super) fn is_promised(chain: &[Vec<u8>], promised: &Fingerprint) -> bool {
    chain
        .first()
        .is_some_and(|der| hash(promised.algorithm, der) == promised.digest)
}

fn hash(algorithm: FingerprintAlgorithm, der: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        FingerprintAlgorithm::Sha256 => &SHA256,
        FingerprintAlgorithm::Sha384 => &SHA384,
        FingerprintAlgorithm::Sha512 => &SHA512,
    };
    digest::digest(algorithm, der).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_known_by_any_of_the_three_hashes_and_no_other() {
        let certificate = Certificate::generate().unwrap();
        let der = certificate.inner.certificate[0].to_vec();
        for algorithm in [
            FingerprintAlgorithm::Sha256,
            FingerprintAlgorithm::Sha384,
            FingerprintAlgorithm::Sha512,
        ] {
            let mut promised = Fingerprint {
                algorithm,
                digest: hash(algorithm, &der),
            };
            assert!(is_promised(&[der.clone(), vec![1]], &promised));
            assert!(!is_promised(&[vec![1], der.clone()], &promised));
            assert!(!is_promised(&[], &promised));
            promised.digest.pop();
            assert!(!is_promised(std::slice::from_ref(&der), &promised));
        }
    }
}
