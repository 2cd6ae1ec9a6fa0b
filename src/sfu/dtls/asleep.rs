//! What is kept of an association once its handshake is over.
//!
//! The library keeps all that was said in the handshake, in eleven kilobytes for each leg, and all
//! that can follow is one alert from either side. So its part is taken apart after the handshake,
//! and made again for that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rtc::dtls::config::ConfigBuilder;
use rtc::dtls::endpoint::Endpoint;
use rtc::dtls::state::State;
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error;

use super::certificate::Certificate;

/// What the library needs to go on, in its own words: half a kilobyte, secrets among it.
pub(super) struct Asleep(Box<[u8]>);

impl Asleep {
    /// Writes down where the association of `endpoint` with `peer` is.
    ///
    /// # Errors
    ///
    /// Fails if the handshake is not complete.
    pub(super) fn new(endpoint: &Endpoint, peer: SocketAddr) -> Result<Self, Error> {
        let state = endpoint.get_connection_state(peer);
        let state = state.ok_or(Error::HandshakeInProgress)?.marshal_binary()?;
        Ok(Self(state.into()))
    }

    /// An endpoint that goes on from there. It may be made only once: another one would send
    /// records under the numbers that the first one has used.
    ///
    /// # Errors
    ///
    /// Fails if the library does not understand what it wrote.
    pub(super) fn wake(
        self,
        peer: SocketAddr,
        certificate: &Certificate,
        now: Instant,
    ) -> Result<Endpoint, Error> {
        let mut state = State::new(certificate.provider.clone(), false);
        state.unmarshal_binary(&self.0)?;
        let config = ConfigBuilder::default()
            .with_crypto_provider(certificate.provider.clone())
            .with_certificates(vec![certificate.inner.clone()])
            .with_insecure_skip_verify(true)
            .build(true, None)?;
        let mut endpoint = Endpoint::new(peer, TransportProtocol::UDP, None);
        // The one way in for a state. Who connects is of no account after the handshake: which
        // keys are ours is in the state.
        endpoint.connect(now, peer, Arc::new(config), Some(state))?;
        Ok(endpoint)
    }
}
