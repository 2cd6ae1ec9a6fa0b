//! NTP timestamps (RFC 5905, 6): 32 bits of seconds since 1900, 32 bits of fraction.

use std::time::Duration;

/// Seconds from 1900 to 1970 (RFC 5905, figure 4).
const UNIX_OFFSET_S: u64 = 2_208_988_800;

/// A moment in 2⁻³² seconds since 1900; wraps in 2036, so it is only good for differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ntp(pub u64);

impl Ntp {
    /// The same moment from wall-clock time.
    pub fn from_unix(since_unix: Duration) -> Self {
        let seconds = since_unix.as_secs().wrapping_add(UNIX_OFFSET_S);
        let fraction = (u64::from(since_unix.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The middle 32 bits, in 2⁻¹⁶ seconds, as in LSR and DLSR (RFC 3550, 6.4.1).
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// Bits for the 24-bit abs-send-time extension: 6 of seconds, 18 of fraction.
    pub fn abs_send_time(self) -> [u8; 3] {
        let [_, bytes @ ..] = ((self.0 >> 14) as u32 & 0x00ff_ffff).to_be_bytes();
        bytes
    }

    /// How much later this is than `earlier` in ticks of `rate` Hz; negative if it is not later.
    pub fn ticks_since(self, earlier: Self, rate: u32) -> i64 {
        let difference = self.0.wrapping_sub(earlier.0) as i64;
        ((i128::from(difference) * i128::from(rate)) >> 32) as i64
    }
}

/// A duration in 2⁻¹⁶ seconds, as in DLSR; saturates at 18 hours.
pub fn to_short(duration: Duration) -> u32 {
    u32::try_from((duration.as_micros() << 16) / 1_000_000).unwrap_or(u32::MAX)
}

/// The reverse of [`to_short`].
pub fn from_short(short: u32) -> Duration {
    Duration::from_micros((u64::from(short) * 1_000_000) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_counted_across_fractions_and_backwards() {
        let a = Ntp::from_unix(Duration::from_millis(1_700_000_000_250));
        let b = Ntp::from_unix(Duration::from_millis(1_700_000_001_000));
        assert!((b.ticks_since(a, 90_000) - 67_500).abs() <= 1);
        assert!((a.ticks_since(b, 90_000) + 67_500).abs() <= 1);
    }

    #[test]
    fn abs_send_time_counts_seconds_modulo_64() {
        let at = Ntp::from_unix(Duration::from_millis(500));
        let [a, b, c] = at.abs_send_time();
        let value = u32::from_be_bytes([0, a, b, c]);
        assert_eq!(value >> 18, (UNIX_OFFSET_S % 64) as u32);
        assert_eq!(value & 0x3ffff, 1 << 17);
    }

    #[test]
    fn short_durations_survive_a_round_trip() {
        let back = from_short(to_short(Duration::from_millis(1500)));
        assert_eq!(back, Duration::from_millis(1500));
        assert_eq!(to_short(Duration::from_secs(1 << 20)), u32::MAX);
    }
}
