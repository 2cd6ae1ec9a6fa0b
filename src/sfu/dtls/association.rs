//! One leg's association.

use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error;
use tracing::{debug, error, trace};

use super::asleep::Asleep;
use super::certificate::Certificate;
use super::hello::{self, HelloReader};
use super::{Out, policy};
use crate::sfu::CloseReason;
use crate::sfu::command::{Fingerprint, Generation};
use crate::srtp::Profile;

/// How long a handshake may take. As long as browsers wait for one.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes a peer may send before its handshake is complete; further datagrams are dropped.
///
/// The library keeps out-of-order fragments and early records without a useful limit, and looks
/// through all of them each time. A whole handshake has about 3 kB, so this leaves room for every
/// retransmission.
const MAX_HANDSHAKE_LEN: usize = 32 * 1024;

/// Most datagrams with handshake records that are answered after the handshake, when the only
/// honest ones are repeats of the client's last flight (RFC 6347, 4.2.4).
const MAX_LATE_HANDSHAKES: u32 = 16;

/// When a flight is sent again that brought nothing on (RFC 6347, 4.2.4.1).
const RESEND_INTERVAL: Duration = Duration::from_secs(1);

/// How old a flight must be for a peer's repetition to mean that it was lost. A peer's own flight
/// of several datagrams is no repetition; it arrives within milliseconds.
const REPEAT_INTERVAL: Duration = Duration::from_millis(150);

/// The library tells associations apart by address. Here each has an endpoint of its own, so
/// that the association outlives every change of path.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Why an association is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// The engine said so; it need not be told.
    Stopped,
    /// Something else happened.
    Closed(CloseReason),
}

pub(super) struct Association {
    /// The timer that is set with [`super::Handshakes`].
    pub(super) timer: Option<Instant>,
    pub(super) generation: Generation,
    /// Whether its peer may begin the next one: that it says good-bye then means no more than that.
    pub(super) is_superseded: bool,
    fingerprint: Arc<Fingerprint>,
    /// The library's part; missing until the ClientHello is complete, and while it sleeps.
    endpoint: Option<Endpoint>,
    stage: Stage,
}

enum Stage {
    /// The handshake is under way.
    Shaking {
        hello: HelloReader,
        /// Datagrams that wait for the ClientHello to be complete.
        held: Vec<Vec<u8>>,
        /// Bytes the peer may still send.
        budget: usize,
        give_up_at: Instant,
        flight: Flight,
    },
    /// The engine has the keys.
    Established {
        /// Datagrams with handshake records that will still be answered, with our last flight.
        late_handshakes: u32,
        flight: Flight,
        /// What the library's part is made from again when there is an alert to read or to write.
        asleep: Option<Asleep>,
    },
}

/// What we said last, while a handshake lasts.
///
/// The library stops its timer as soon as any handshake record arrives, also one that brings
/// nothing on, like a repeated ClientHello after our answer to it was lost. It would then be
/// silent for good. A record that was lost may be sent again as it is: the peer has not seen its
/// number.
#[derive(Default)]
struct Flight {
    datagrams: Vec<Vec<u8>>,
    sent_at: Option<Instant>,
}

impl Flight {
    fn resend(&mut self, now: Instant, out: &mut Out<'_>) {
        self.sent_at = Some(now);
        for datagram in &self.datagrams {
            out.datagram(datagram.clone());
        }
    }

    fn is_older_than(&self, age: Duration, now: Instant) -> bool {
        self.sent_at.is_some_and(|at| at + age <= now)
    }
}

impl Association {
    /// An association whose first datagram is about to come.
    pub(super) fn new(fingerprint: Arc<Fingerprint>, generation: Generation, now: Instant) -> Self {
        Self {
            timer: None,
            generation,
            is_superseded: false,
            fingerprint,
            endpoint: None,
            stage: Stage::Shaking {
                hello: HelloReader::default(),
                held: Vec::new(),
                budget: MAX_HANDSHAKE_LEN,
                give_up_at: now + HANDSHAKE_TIMEOUT,
                flight: Flight::default(),
            },
        }
    }

    /// Takes a datagram; what is no DTLS is dropped.
    pub(super) fn handle_datagram(
        &mut self,
        bytes: Vec<u8>,
        certificate: &Certificate,
        now: Instant,
        out: &mut Out<'_>,
    ) -> Result<(), Ended> {
        if !self.admits(&bytes) {
            trace!(leg = %out.leg, "Handshake datagram dropped");
            return Ok(());
        }
        if let Stage::Established { flight, .. } = &mut self.stage
            && hello::has(&bytes, hello::HANDSHAKE)
        {
            flight.resend(now, out);
            return Ok(());
        }
        self.wake(certificate, now, out);
        if self.endpoint.is_some() {
            return self.read(&bytes, now, out);
        }
        let Stage::Shaking { hello, held, .. } = &mut self.stage else {
            return Ok(());
        };
        let complete = hello.push(&bytes);
        held.push(bytes);
        let Some(gcm) = complete else {
            return Ok(());
        };
        let held = std::mem::take(held);
        let profile = match gcm {
            true => Profile::AeadAes128Gcm,
            false => Profile::Aes128CmHmacSha1_80,
        };
        let config = policy::config(certificate, self.fingerprint.clone(), profile)
            .map_err(|error| failed(out, &error))?;
        let config = Some(Arc::new(config));
        self.endpoint = Some(Endpoint::new(PEER, TransportProtocol::UDP, config));
        held.iter().try_for_each(|held| self.read(held, now, out))
    }

    /// Sends a flight again if its time has come, and gives up at the end of all patience.
    pub(super) fn handle_timeout(
        &mut self,
        certificate: &Certificate,
        now: Instant,
        out: &mut Out<'_>,
    ) -> Result<(), Ended> {
        if let Stage::Shaking { give_up_at, .. } = self.stage
            && give_up_at <= now
        {
            debug!(leg = %out.leg, "DTLS handshake took too long");
            self.stop(certificate, now, out);
            return Err(Ended::Closed(CloseReason::DtlsFailed));
        }
        let Some(endpoint) = &mut self.endpoint else {
            return Ok(());
        };
        let result = guarded(|| endpoint.handle_timeout(PEER, now));
        self.transmit(now, out);
        result.map_err(|error| failed(out, &error))?;
        self.resend_if_older_than(RESEND_INTERVAL, now, out);
        Ok(())
    }

    /// Says good-bye, if there is anybody to say it to.
    pub(super) fn stop(&mut self, certificate: &Certificate, now: Instant, out: &mut Out<'_>) {
        self.wake(certificate, now, out);
        if let Some(endpoint) = &mut self.endpoint {
            let stopped = guarded(|| {
                endpoint.stop(now, PEER);
                Ok(())
            });
            if stopped.is_ok() {
                self.transmit(now, out);
            }
        }
    }

    /// Whether its end leaves the leg with other keys: those from before an association that does
    /// not come about, or those that are about to be agreed.
    pub(super) fn may_fail(&self) -> bool {
        let renews = self.generation > Generation::default();
        let is_established = matches!(self.stage, Stage::Established { .. });
        self.is_superseded || renews && !is_established
    }

    /// Whether nothing of the library's is kept.
    #[cfg(test)]
    pub(super) fn is_asleep(&self) -> bool {
        let asleep = matches!(
            self.stage,
            Stage::Established {
                asleep: Some(_),
                ..
            }
        );
        asleep && self.endpoint.is_none()
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let Stage::Shaking {
            give_up_at, flight, ..
        } = &self.stage
        else {
            // Nothing is waited for once the handshake is complete.
            return None;
        };
        let library = self.endpoint.as_ref().and_then(|e| e.poll_timeout(&PEER));
        let ours = flight.sent_at.map(|at| at + RESEND_INTERVAL);
        [library, ours, Some(*give_up_at)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether a datagram is DTLS, and its sender has not used up its welcome.
    fn admits(&mut self, bytes: &[u8]) -> bool {
        let Some(records) = hello::records(bytes) else {
            return false;
        };
        let has = |content_type| records.iter().any(|r| r.content_type == content_type);
        match &mut self.stage {
            Stage::Shaking { budget, .. } => {
                let left = budget.checked_sub(bytes.len());
                *budget = left.unwrap_or(*budget);
                left.is_some()
            }
            Stage::Established {
                late_handshakes, ..
            } if has(hello::HANDSHAKE) => {
                let left = late_handshakes.checked_sub(1);
                *late_handshakes = left.unwrap_or(0);
                left.is_some()
            }
            // What is not encrypted is not the peer's.
            Stage::Established { .. } => records
                .iter()
                .any(|r| r.content_type == hello::ALERT && r.epoch > 0),
        }
    }

    /// Has the library's part there again, if there was one.
    fn wake(&mut self, certificate: &Certificate, now: Instant, out: &Out<'_>) {
        let Stage::Established { asleep, .. } = &mut self.stage else {
            return;
        };
        if let Some(asleep) = asleep.take() {
            match guarded(|| asleep.wake(PEER, certificate, now)) {
                Ok(endpoint) => self.endpoint = Some(endpoint),
                Err(error) => debug!(leg = %out.leg, %error, "DTLS association lost"),
            }
        }
    }

    fn read(&mut self, bytes: &[u8], now: Instant, out: &mut Out<'_>) -> Result<(), Ended> {
        let established = matches!(self.stage, Stage::Established { .. });
        let Some(endpoint) = &mut self.endpoint else {
            return Ok(());
        };
        let result = guarded(|| endpoint.read(now, PEER, None, bytes.into()));
        // Also after an error: an alert for the peer may be among it.
        if !self.transmit(now, out) && result.is_ok() {
            self.resend_if_older_than(REPEAT_INTERVAL, now, out);
        }
        let events = match result {
            Ok(events) => events,
            Err(Error::ErrAlertFatalOrClose) if established => {
                return Err(Ended::Closed(CloseReason::PeerClosed));
            }
            Err(error) if established => {
                // A warning, or a record that is none of this association's.
                trace!(leg = %out.leg, %error, "DTLS record ignored");
                return Ok(());
            }
            Err(error) => return Err(failed(out, &error)),
        };
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => self.establish(out)?,
                EndpointEvent::PeerClosed => {
                    return Err(Ended::Closed(CloseReason::PeerClosed));
                }
                // We agreed on no protocol to carry.
                _ => {}
            }
        }
        Ok(())
    }

    /// Passes on what the library wants sent; whether there was anything.
    fn transmit(&mut self, now: Instant, out: &mut Out<'_>) -> bool {
        let Some(endpoint) = &mut self.endpoint else {
            return false;
        };
        let next = || endpoint.poll_transmit().map(|t| t.message.to_vec());
        let datagrams: Vec<_> = std::iter::from_fn(next).collect();
        let any = !datagrams.is_empty();
        for datagram in &datagrams {
            out.datagram(datagram.clone());
        }
        if any && let Stage::Shaking { flight, .. } = &mut self.stage {
            *flight = Flight {
                datagrams,
                sent_at: Some(now),
            };
        }
        any
    }

    fn resend_if_older_than(&mut self, age: Duration, now: Instant, out: &mut Out<'_>) {
        if let Stage::Shaking { flight, .. } = &mut self.stage
            && flight.is_older_than(age, now)
        {
            flight.resend(now, out);
        }
    }

    fn establish(&mut self, out: &mut Out<'_>) -> Result<(), Ended> {
        let Some(endpoint) = &self.endpoint else {
            return Ok(());
        };
        let keys =
            policy::keys(endpoint, PEER, &self.fingerprint).map_err(|error| failed(out, &error))?;
        let asleep = Asleep::new(endpoint, PEER).map_err(|error| failed(out, &error))?;
        let flight = match &mut self.stage {
            Stage::Shaking { flight, .. } => std::mem::take(flight),
            Stage::Established { .. } => return Ok(()),
        };
        self.stage = Stage::Established {
            late_handshakes: MAX_LATE_HANDSHAKES,
            flight,
            asleep: Some(asleep),
        };
        self.endpoint = None;
        debug!(leg = %out.leg, profile = ?keys.profile, "DTLS handshake complete");
        out.keys(keys);
        Ok(())
    }
}

fn failed(out: &Out<'_>, error: &Error) -> Ended {
    debug!(leg = %out.leg, %error, "DTLS handshake failed");
    Ended::Closed(CloseReason::DtlsFailed)
}

/// Calls into the library. It is young and reads what strangers write: should it panic, that
/// costs one leg, and not the thread that all handshakes run on.
fn guarded<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        error!("The DTLS library panicked; the association is given up");
        Err(Error::ErrAlertFatalOrClose)
    })
}
