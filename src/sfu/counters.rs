//! What the engine counts, for the operator.

/// Totals since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams received.
    pub received: u64,
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
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.forwarded += other.forwarded;
        self.handed_on += other.handed_on;
        self.piped += other.piped;
        self.pipe_dropped += other.pipe_dropped;
        self.resent += other.resent;
        self.unknown_source += other.unknown_source;
        self.rejected_checks += other.rejected_checks;
        self.rejected_media += other.rejected_media;
        self.malformed += other.malformed;
        self.dropped_handshakes += other.dropped_handshakes;
    }
}
