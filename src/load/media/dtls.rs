//! The client's side of a handshake (RFC 5764).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rtc::dtls::config::{ConfigBuilder, ExtendedMasterSecretType};
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile as Offered;
use rtc::shared::TransportProtocol;

use crate::sfu::dtls::Certificate;
use crate::srtp::{MasterKey, Opener, Profile, Sealer};

/// The library tells associations apart by address; each has an endpoint of its own here.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

const KEY_LEN: usize = 16;

/// A handshake under way.
pub(super) struct Handshake(Endpoint);

impl Handshake {
    /// Begins one that offers `profile` alone.
    pub(super) fn begin(certificate: &Certificate, profile: Profile, now: Instant) -> Result<Self> {
        let offered = match profile {
            Profile::AeadAes128Gcm => Offered::Srtp_Aead_Aes_128_Gcm,
            Profile::Aes128CmHmacSha1_80 => Offered::Srtp_Aes128_Cm_Hmac_Sha1_80,
        };
        // Whom we talk to does not matter: nothing we say is a secret.
        let config = ConfigBuilder::default()
            .with_crypto_provider(certificate.provider.clone())
            .with_certificates(vec![certificate.inner.clone()])
            .with_srtp_protection_profiles(vec![offered])
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_insecure_skip_verify(true)
            .build(true, None)?;
        let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
        endpoint.connect(now, PEER, Arc::new(config), None)?;
        Ok(Self(endpoint))
    }

    /// Takes a datagram; the keys once the handshake is complete.
    pub(super) fn handle_datagram(
        &mut self,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Option<(Opener, Sealer)>> {
        for event in self.0.read(now, PEER, None, bytes.into())? {
            match event {
                EndpointEvent::HandshakeComplete => return self.keys().map(Some),
                EndpointEvent::PeerClosed => bail!("the server closed the handshake"),
                _ => {}
            }
        }
        Ok(None)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        if self.0.poll_timeout(&PEER).is_some_and(|at| at <= now) {
            self.0.handle_timeout(PEER, now)?;
        }
        Ok(())
    }

    /// The next datagram to send.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.0.poll_transmit().map(|out| out.message.to_vec())
    }

    fn keys(&self) -> Result<(Opener, Sealer)> {
        let state = self
            .0
            .get_connection_state(PEER)
            .context("no association")?;
        let (profile, salt_len) = match state.srtp_protection_profile() {
            Offered::Srtp_Aead_Aes_128_Gcm => (Profile::AeadAes128Gcm, 12),
            Offered::Srtp_Aes128_Cm_Hmac_Sha1_80 => (Profile::Aes128CmHmacSha1_80, 14),
            other => bail!("the server chose {other:?}"),
        };
        let len = 2 * (KEY_LEN + salt_len);
        let material = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], len)?;
        let (keys, salts) = material.as_ref().split_at(2 * KEY_LEN);
        let master = |key: &[u8], salt: &[u8]| {
            let mut master = MasterKey {
                key: [0; KEY_LEN],
                salt: [0; 14],
            };
            master.key.copy_from_slice(key);
            master.salt[..salt_len].copy_from_slice(salt);
            master
        };
        // The client's half comes first (RFC 5764, 4.2), and it is ours.
        let ours = master(&keys[..KEY_LEN], &salts[..salt_len]);
        let theirs = master(&keys[KEY_LEN..], &salts[salt_len..]);
        Ok((Opener::new(profile, &theirs), Sealer::new(profile, &ours)))
    }
}
