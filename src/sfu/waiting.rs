//! What of a publication waits to be forwarded.
//!
//! It leaves in runs: what has come by the time that a run begins goes to one subscriber after the
//! other, so that each one's packets lie side by side and leave as one message. Between two
//! subscribers a run may pause; what comes meanwhile is for the next one.

use std::time::Instant;

use super::cache::Cache;
use super::inbound::InboundTrack;
use super::packet::Packet;

/// A packet that waits.
#[derive(Debug)]
pub(super) struct Pending {
    /// Which of the publication's tracks it is of.
    pub(super) track: usize,
    pub(super) packet: Packet,
    /// What it is, if that is more than a cache keeps of one.
    long: Option<Box<[u8]>>,
}

impl Pending {
    /// One whose bytes are in the cache of its stream.
    pub(super) fn cached(track: usize, packet: Packet) -> Self {
        Self {
            track,
            packet,
            long: None,
        }
    }

    /// Has `cache`, that of its stream, keep its bytes.
    pub(super) fn keep(
        track: usize,
        packet: Packet,
        bytes: &[u8],
        cache: &mut Cache,
        now: Instant,
    ) -> Self {
        let is_kept = cache.insert(packet.sequence, bytes, now);
        Self {
            track,
            packet,
            long: (!is_kept).then(|| bytes.into()),
        }
    }

    /// The packet; `None` if the cache has lost it already.
    pub(super) fn bytes<'a>(&'a self, tracks: &'a [InboundTrack]) -> Option<&'a [u8]> {
        if let Some(long) = &self.long {
            return Some(long);
        }
        let stream = tracks.get(self.track)?.stream(self.packet.source)?;
        stream.cache.get(self.packet.sequence)
    }
}

/// The packets of one publication, oldest first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    packets: Vec<Pending>,
    /// How many of them were passed on to those who keep their own: other workers and taps.
    passed: usize,
    /// How many of them are in the run that has begun.
    run: usize,
    /// How many subscribers have that.
    served: usize,
}

impl Waiting {
    /// Adds the newest.
    pub(super) fn push(&mut self, packet: Pending) {
        self.packets.push(packet);
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// What has come since [`Self::pass`].
    pub(super) fn fresh(&self) -> &[Pending] {
        &self.packets[self.passed..]
    }

    /// What is fresh was passed on. Returns whether nothing waited before.
    pub(super) fn pass(&mut self) -> bool {
        std::mem::replace(&mut self.passed, self.packets.len()) == 0
    }

    /// The run that has begun; else one with all there is.
    pub(super) fn begin(&mut self) -> usize {
        if self.run == 0 {
            self.run = self.passed;
        }
        self.run
    }

    /// The packets of the run.
    pub(super) fn run(&self) -> &[Pending] {
        &self.packets[..self.run]
    }

    /// The place, among the subscribers, of the next one to get the run, who counts as served.
    pub(super) fn serve(&mut self) -> usize {
        self.served += 1;
        self.served - 1
    }

    /// All subscribers have the run.
    pub(super) fn end(&mut self) {
        self.packets.drain(..self.run);
        self.passed -= self.run;
        (self.run, self.served) = (0, 0);
    }

    /// The subscriber at this place is no more.
    pub(super) fn leave(&mut self, place: usize) {
        if place < self.served {
            self.served -= 1;
        }
    }
}
