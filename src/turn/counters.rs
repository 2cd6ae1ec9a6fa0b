//! What the server counts.

/// Why a request was refused, or data not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No answer, since a stranger would have got more bytes than came from there: the first
    /// request of most clients over UDP, which come again at once.
    Silenced,
    /// A credential that is none, or has expired, or was revoked.
    Unauthorized,
    /// A nonce that is too old; clients come again with the new one at once.
    StaleNonce,
    /// An address that is not one of ours.
    Forbidden,
    /// One connection has all that it may have.
    Quota,
    /// There is no more.
    Capacity,
    /// Something else is wrong with a request.
    BadRequest,
    /// Data: more than an allocation may relay.
    Rate,
    /// Data: no permission, no channel, no allocation.
    NoPermission,
}

/// How many [`Refused`] there are.
const REASONS: usize = Refused::NoPermission as usize + 1;

impl Refused {
    /// All of them, with their names in metrics.
    pub const ALL: [(Self, &'static str); REASONS] = [
        (Self::Silenced, "silenced"),
        (Self::Unauthorized, "unauthorized"),
        (Self::StaleNonce, "stale_nonce"),
        (Self::Forbidden, "forbidden"),
        (Self::Quota, "quota"),
        (Self::Capacity, "capacity"),
        (Self::BadRequest, "bad_request"),
        (Self::Rate, "rate"),
        (Self::NoPermission, "no_permission"),
    ];
}

/// Totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Allocations made.
    pub allocated: u64,
    /// Bytes of data from clients that were relayed.
    pub bytes_from_clients: u64,
    /// Bytes of data for clients that were relayed.
    pub bytes_to_clients: u64,
    refused: [u64; REASONS],
}

/// How much is going on, and the totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Allocations there are.
    pub allocations: usize,
    /// Streams there are.
    pub streams: usize,
    /// The totals.
    pub counters: Counters,
}

impl Counters {
    /// How often something was refused for this reason.
    pub fn refused(&self, why: Refused) -> u64 {
        self.refused[why as usize]
    }

    pub(super) fn refuse(&mut self, why: Refused) {
        self.refused[why as usize] += 1;
    }
}
