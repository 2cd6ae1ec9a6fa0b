//! What waits for the control thread, and where its last words go.

use std::collections::VecDeque;

use super::Leg;
use super::handshake::HandshakeInput;
use super::path::Path;
use super::transport::Transport;

/// Datagrams that may wait in all. When full, further ones are dropped: DTLS sends them again.
const MAX_DATAGRAMS: usize = 256;

/// Datagrams of one leg that may wait: more than a flight, so that nobody fills the queue alone.
const MAX_PER_LEG: u8 = 16;

/// Legs whose good-bye can still be sent; the oldest is forgotten first.
const MAX_FAREWELLS: usize = 64;

/// The queue to the control thread.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    queue: VecDeque<HandshakeInput>,
    datagrams: usize,
    farewells: VecDeque<(Leg, Path)>,
}

impl Handoff {
    /// Passes a datagram on; returns whether there was room.
    pub(super) fn datagram(&mut self, leg: Leg, transport: &mut Transport, bytes: &[u8]) -> bool {
        if self.datagrams >= MAX_DATAGRAMS || transport.queued >= MAX_PER_LEG {
            return false;
        }
        self.datagrams += 1;
        transport.queued += 1;
        transport.handshaking = true;
        self.queue.push_back(HandshakeInput::Datagram {
            leg,
            fingerprint: transport.fingerprint.clone(),
            generation: transport.generation,
            bytes: bytes.to_vec(),
        });
        true
    }

    /// Ends a leg's association, if the control thread can have one; the good-bye goes to the
    /// path that the leg had.
    pub(super) fn stop(&mut self, leg: Leg, transport: &Transport) {
        if !transport.handshaking {
            return;
        }
        self.queue.push_back(HandshakeInput::Stop { leg });
        if let Some(path) = transport.path() {
            if self.farewells.len() == MAX_FAREWELLS {
                self.farewells.pop_front();
            }
            self.farewells.push_back((leg, path));
        }
    }

    /// Where the good-bye of a forgotten leg goes; once.
    pub(super) fn farewell(&mut self, leg: Leg) -> Option<Path> {
        let index = self.farewells.iter().position(|(gone, _)| *gone == leg)?;
        self.farewells.remove(index).map(|(_, path)| path)
    }

    /// The next thing to hand over; the caller gives a leg's `queued` back.
    pub(super) fn poll(&mut self) -> Option<HandshakeInput> {
        let input = self.queue.pop_front()?;
        if let HandshakeInput::Datagram { .. } = input {
            self.datagrams -= 1;
        }
        Some(input)
    }
}

#[cfg(test)]
mod tests {
    use super::super::transport::tests::config;
    use super::*;
    use crate::clock::Clock;
    use crate::sfu::PublicationId;

    #[test]
    fn datagrams_are_bounded_in_all_and_per_leg_but_a_stop_is_kept() {
        let now = Clock::system().epoch().instant;
        let mut handoff = Handoff::default();
        let mut accepted = 0;
        for id in 0..40 {
            let (leg, mut transport) = (
                Leg::Publisher(PublicationId(id)),
                Transport::new(config("one"), now),
            );
            let taken = (0..40)
                .filter(|_| handoff.datagram(leg, &mut transport, b"x"))
                .count();
            assert!(taken <= usize::from(MAX_PER_LEG));
            accepted += taken;
            handoff.stop(leg, &transport);
        }
        assert_eq!(accepted, MAX_DATAGRAMS);
        let mut stops = 0;
        while let Some(input) = handoff.poll() {
            stops += usize::from(matches!(input, HandshakeInput::Stop { .. }));
        }
        // The legs whose datagrams were all dropped are unknown to the control thread.
        assert_eq!(stops, MAX_DATAGRAMS / usize::from(MAX_PER_LEG));
    }
}
