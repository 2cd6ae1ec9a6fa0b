//! What the engine counts, for the operator.

use crate::telemetry::histogram::Histogram;

/// Totals since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams received.
    pub received: u64,
    /// Bytes of these.
    pub received_bytes: u64,
    /// RTP packets sent to subscribers, resends excluded.
    pub forwarded: u64,
    /// Datagrams handed on to the worker that they are for.
    pub handed_on: u64,
    /// RTP packets passed to mirrors at other workers.
    pub piped: u64,
    /// RTP packets not passed because the other worker is behind.
    pub pipe_dropped: u64,
    /// RTP packets sent again.
    pub resent: u64,
    /// Packets of audio that did not come, and were made of the copies in later ones.
    pub restored: u64,
    /// Datagrams from addresses that never answered an ICE check.
    pub unknown_source: u64,
    /// ICE checks that name no leg or do not authenticate.
    pub rejected_checks: u64,
    /// SRTP and SRTCP packets that do not verify, were replayed, or came before the keys.
    pub rejected_media: u64,
    /// Packets that verify but make no sense, or belong to no track.
    pub malformed: u64,
    /// Handshake datagrams dropped because the control thread is behind.
    pub dropped_handshakes: u64,
    /// What was counted where it left or was reported.
    pub traffic: Traffic,
}

/// What is counted on the way out, and from the reports of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes of datagrams sent.
    pub sent_bytes: u64,
    /// Packets of audio that left with copies of earlier ones.
    pub redundant: u64,
    /// NACKs from subscribers.
    pub nacks_received: u64,
    /// NACKs to publishers.
    pub nacks_sent: u64,
    /// PLIs and FIRs from subscribers.
    pub plis_received: u64,
    /// PLIs to publishers.
    pub plis_sent: u64,
    /// Packets of publishers that were missing when it was reported to them.
    pub publisher_lost: u64,
    /// Report blocks of subscribers.
    pub reports: u64,
    /// The share of lost packets in these reports, in 1/256, added up.
    pub reported_loss: u64,
    /// Jitter of publishers' streams, once for each report to them.
    pub jitter: Histogram,
    /// Round trips to subscribers, once for each of their reports.
    pub round_trip: Histogram,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.received_bytes += other.received_bytes;
        self.forwarded += other.forwarded;
        self.handed_on += other.handed_on;
        self.piped += other.piped;
        self.pipe_dropped += other.pipe_dropped;
        self.resent += other.resent;
        self.restored += other.restored;
        self.unknown_source += other.unknown_source;
        self.rejected_checks += other.rejected_checks;
        self.rejected_media += other.rejected_media;
        self.malformed += other.malformed;
        self.dropped_handshakes += other.dropped_handshakes;
        self.traffic += other.traffic;
    }
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.sent_bytes += other.sent_bytes;
        self.redundant += other.redundant;
        self.nacks_received += other.nacks_received;
        self.nacks_sent += other.nacks_sent;
        self.plis_received += other.plis_received;
        self.plis_sent += other.plis_sent;
        self.publisher_lost += other.publisher_lost;
        self.reports += other.reports;
        self.reported_loss += other.reported_loss;
        self.jitter += other.jitter;
        self.round_trip += other.round_trip;
    }
}
