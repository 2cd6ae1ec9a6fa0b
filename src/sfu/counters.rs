//! What the engine counts, for the operator.

/// Totals since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams received.
    pub received: u64,
    /// RTP packets sent to subscribers, resends excluded.
    pub forwarded: u64,
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
