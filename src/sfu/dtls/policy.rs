//! What we ask of a handshake, and what we take from it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rtc::dtls::cipher_suite::CipherSuiteId;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc::dtls::endpoint::Endpoint;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::shared::error::Error;

use super::DtlsError;
use super::certificate::{Certificate, is_promised};
use crate::sfu::command::{Fingerprint, FingerprintAlgorithm};
use crate::sfu::handshake::SrtpKeys;
use crate::srtp::{MasterKey, Profile};

/// For DTLS-SRTP key export (RFC 5764, 4.2).
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";

/// How often the library sends a flight again by itself. It gives up after seven times, which
/// must not be before our own patience ends; what needs to be quicker is up to the association.
const LIBRARY_RESEND_INTERVAL: Duration = Duration::from_secs(4);

/// Lengths of SRTP keys and salts in bytes (RFC 5764, 4.1.2; RFC 7714, 12).
const KEY_LEN: usize = 16;
const SALT_LEN: usize = 14;
const GCM_SALT_LEN: usize = 12;

/// Whether the library would take this certificate.
pub(super) fn check(certificate: &Certificate) -> Result<(), DtlsError> {
    let nobody = Fingerprint {
        algorithm: FingerprintAlgorithm::Sha256,
        digest: Vec::new(),
    };
    config(certificate, Arc::new(nobody), Profile::AeadAes128Gcm)
        .map(|_| ())
        .map_err(DtlsError)
}

/// The server's side of one handshake.
pub(super) fn config(
    certificate: &Certificate,
    promised: Arc<Fingerprint>,
    profile: Profile,
) -> Result<HandshakeConfig, Error> {
    let profile = match profile {
        Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        Profile::Aes128CmHmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    };
    ConfigBuilder::default()
        .with_crypto_provider(certificate.provider.clone())
        .with_certificates(vec![certificate.inner.clone()])
        .with_cipher_suites(vec![
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
        ])
        .with_srtp_protection_profiles(vec![profile])
        .with_flight_interval(LIBRARY_RESEND_INTERVAL)
        .with_extended_master_secret(ExtendedMasterSecretType::Require)
        // Trust comes from the hash in SDP, not from a chain (RFC 8827, 6.5).
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true)
        .with_verify_peer_certificate(Some(Arc::new(move |chain, _| {
            match is_promised(chain, &promised) {
                true => Ok(()),
                false => Err(Error::Other("not the promised certificate".to_owned())),
            }
        })))
        .build(false, None)
}

/// What SRTP needs, from a complete handshake with `peer`.
pub(super) fn keys(
    endpoint: &Endpoint,
    peer: SocketAddr,
    promised: &Fingerprint,
) -> Result<SrtpKeys, Error> {
    let state = endpoint
        .get_connection_state(peer)
        .ok_or(Error::HandshakeInProgress)?;
    // The callback has seen it already; too much depends on it to trust that alone.
    if !is_promised(&state.peer_certificates, promised) {
        return Err(Error::Other("not the promised certificate".to_owned()));
    }
    let (profile, salt_len) = match state.srtp_protection_profile() {
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => (Profile::AeadAes128Gcm, GCM_SALT_LEN),
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => {
            (Profile::Aes128CmHmacSha1_80, SALT_LEN)
        }
        _ => return Err(Error::Other("no common SRTP profile".to_owned())),
    };
    let material = state.export_keying_material(EXPORTER, &[], 2 * (KEY_LEN + salt_len))?;
    let (keys, salts) = material.as_ref().split_at(2 * KEY_LEN);
    let master = |key: &[u8], salt: &[u8]| {
        let mut master = MasterKey {
            key: [0; KEY_LEN],
            salt: [0; SALT_LEN],
        };
        master.key.copy_from_slice(key);
        master.salt[..salt_len].copy_from_slice(salt);
        master
    };
    // The client's half comes first, and we are the server.
    Ok(SrtpKeys {
        profile,
        inbound: master(&keys[..KEY_LEN], &salts[..salt_len]),
        outbound: master(&keys[KEY_LEN..], &salts[salt_len..]),
    })
}
