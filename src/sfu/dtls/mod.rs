//! DTLS handshakes (RFC 6347, RFC 5764) of every leg; we are always the server.
//!
//! The protocol itself is `rtc`'s. What is ours is around it: which certificate a peer must show,
//! which SRTP profile is taken, how long a handshake may last, and how much a peer may send
//! while it lasts.
//!
//! The library draws its own random numbers; it is the one exception to the rule that the pure
//! half rolls no dice.

mod asleep;
mod association;
mod certificate;
mod hello;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::time::Instant;

use self::association::{Association, Ended};
pub use self::certificate::Certificate;
use super::Leg;
use super::handshake::{HandshakeInput, HandshakeOutput};

/// Why DTLS cannot be spoken at all.
#[derive(Debug, thiserror::Error)]
#[error("DTLS is not available")]
pub struct DtlsError(#[source] rtc::shared::error::Error);

/// The associations of all legs.
///
/// How many there may be is for the engine to decide, which lets only those peers through that
/// have answered an ICE check.
pub struct Handshakes {
    /// What we show, by turns (see [`Generation`]).
    certificates: [Certificate; 2],
    associations: HashMap<Leg, Association>,
    /// When each leg wants [`Self::handle_timeout`]; at most one entry per leg.
    timers: BTreeSet<(Instant, Leg)>,
    outputs: VecDeque<HandshakeOutput>,
}

impl Handshakes {
    /// No associations yet; each will show one of `certificates`, as its generation says.
    ///
    /// # Errors
    ///
    /// Fails if the library cannot serve with these certificates.
    pub fn new(certificates: [Certificate; 2]) -> Result<Self, DtlsError> {
        certificates.iter().try_for_each(policy::check)?;
        Ok(Self {
            certificates,
            associations: HashMap::new(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
        })
    }

    /// Takes a datagram, or ends an association.
    pub fn handle_input(&mut self, input: HandshakeInput, now: Instant) {
        match input {
            HandshakeInput::Datagram {
                leg,
                fingerprint,
                generation,
                bytes,
            } => {
                let known = self.associations.get(&leg);
                let is_due = known.is_none_or(|known| known.generation < generation);
                // Anything else belongs to an association that is gone, or about to go.
                if is_due && hello::begins(&bytes) {
                    self.forget(leg);
                    let association = Association::new(fingerprint, generation, now);
                    self.associations.insert(leg, association);
                }
                self.drive(leg, |association, certificates, out| {
                    association.is_superseded = association.generation < generation;
                    let certificate = association.generation.choose(certificates);
                    association.handle_datagram(bytes, certificate, now, out)
                });
            }
            HandshakeInput::Stop { leg } => self.drive(leg, |association, certificates, out| {
                let certificate = association.generation.choose(certificates);
                association.stop(certificate, now, out);
                Err(Ended::Stopped)
            }),
        }
    }

    /// Sends again what was lost, and gives up what takes too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<Leg> = self
            .timers
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, leg)| *leg)
            .collect();
        for leg in due {
            self.drive(leg, |association, certificates, out| {
                let certificate = association.generation.choose(certificates);
                association.handle_timeout(certificate, now, out)
            });
        }
    }

    /// When [`Self::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What to tell the engine next.
    pub fn poll_output(&mut self) -> Option<HandshakeOutput> {
        self.outputs.pop_front()
    }

    /// Lets one association, if there is one, do something; then sees to its outputs, its timer
    /// and its end.
    fn drive(
        &mut self,
        leg: Leg,
        act: impl FnOnce(&mut Association, &[Certificate; 2], &mut Out) -> Result<(), Ended>,
    ) {
        let Some(association) = self.associations.get_mut(&leg) else {
            return;
        };
        if let Some(at) = association.timer.take() {
            self.timers.remove(&(at, leg));
        }
        let mut out = Out {
            leg,
            outputs: &mut self.outputs,
        };
        match act(association, &self.certificates, &mut out) {
            Ok(()) => {
                association.timer = association.poll_timeout();
                self.timers.extend(association.timer.map(|at| (at, leg)));
            }
            Err(ended) => {
                let is_missed = !association.may_fail();
                self.associations.remove(&leg);
                if let Ended::Closed(reason) = ended
                    && is_missed
                {
                    self.outputs
                        .push_back(HandshakeOutput::Closed { leg, reason });
                }
            }
        }
    }
}

impl Handshakes {
    /// Forgets an association without a word to anybody.
    fn forget(&mut self, leg: Leg) {
        let known = self.associations.remove(&leg);
        if let Some(at) = known.and_then(|association| association.timer) {
            self.timers.remove(&(at, leg));
        }
    }
}

impl fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshakes")
            .field("associations", &self.associations.len())
            .finish_non_exhaustive()
    }
}

/// Where an association puts what it has to say.
struct Out<'a> {
    leg: Leg,
    outputs: &'a mut VecDeque<HandshakeOutput>,
}

impl Out<'_> {
    fn datagram(&mut self, bytes: Vec<u8>) {
        let leg = self.leg;
        self.outputs
            .push_back(HandshakeOutput::Datagram { leg, bytes });
    }

    fn keys(&mut self, keys: super::handshake::SrtpKeys) {
        self.outputs.push_back(HandshakeOutput::Keys {
            leg: self.leg,
            keys: Box::new(keys),
        });
    }
}
