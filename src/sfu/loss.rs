//! What of a leg's packets is lost, by transport-wide feedback. A packet that is only late, or reported
//! late, is not.

use crate::rtp::rtcp::transport_cc::TransportFeedback;

/// Packets that may be missing at a time without being given up; more look like an interruption,
/// against which nothing helps that is sent beside them.
const MAX_MISSING: usize = 64;

/// What was sent on one leg and has not come.
#[derive(Debug, Default)]
pub(super) struct LossWatch {
    /// The highest transport-wide number reported.
    highest: Option<u16>,
    /// What the last message called missing.
    missing: Vec<u16>,
}

/// What a message shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fate {
    /// Packets that have arrived.
    pub(super) arrived: u32,
    /// Packets that a message before this one called missing, and that have not come since.
    pub(super) lost: u32,
}

impl Fate {
    /// What a receiver that gives no such feedback says in its report, as if of a hundred packets;
    /// `share` is in 1/256 (RFC 3550, 6.4.1).
    pub(super) fn of_share(share: u8) -> Self {
        let lost = u32::from(share) * 100 / 256;
        Self {
            arrived: 100 - lost,
            lost,
        }
    }
}

impl LossWatch {
    /// Takes a message.
    pub(super) fn feedback(&mut self, feedback: &TransportFeedback<'_>) -> Fate {
        let mut fate = Fate::default();
        let before = self.missing.len();
        let mut late = 0;
        for arrival in feedback.arrivals() {
            let number = arrival.sequence;
            let came = arrival.at_us.is_some();
            // What no message speaks of was in one that did not come: nothing is known of it.
            let is_new = |highest: u16| number.wrapping_sub(highest).cast_signed() > 0;
            if self.highest.is_none_or(is_new) {
                self.highest = Some(number);
                fate.arrived += u32::from(came);
                if !came && self.missing.len() < 2 * MAX_MISSING {
                    self.missing.push(number);
                }
            } else if came {
                let known = &self.missing[..before - late];
                if let Some(index) = known.iter().position(|missing| *missing == number) {
                    self.missing.remove(index);
                    (late, fate.arrived) = (late + 1, fate.arrived + 1);
                }
            }
        }
        let lost = before - late;
        self.missing.drain(..lost);
        self.missing.truncate(MAX_MISSING);
        fate.lost = lost as u32;
        fate
    }

    /// Whether a message came ever.
    pub(super) fn is_told(&self) -> bool {
        self.highest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::rtcp::transport_cc::push_transport_feedback;
    use crate::rtp::rtcp::{Compound, Rtcp};

    /// Reports that these packets came, and none in between.
    fn report(watch: &mut LossWatch, numbers: &[u64]) -> (u32, u32) {
        let arrivals: Vec<_> = numbers.iter().map(|n| (*n, 1_000_000)).collect();
        let mut out = Vec::new();
        push_transport_feedback(&mut out, 1, 2, &mut 0, &arrivals);
        let mut all = Fate::default();
        for packet in Compound::new(&out) {
            let Rtcp::TransportFeedback(feedback) = packet else {
                panic!("feedback");
            };
            let fate = watch.feedback(&feedback);
            all.arrived += fate.arrived;
            all.lost += fate.lost;
        }
        (all.arrived, all.lost)
    }

    #[test]
    fn a_packet_is_lost_if_the_next_message_does_not_have_it_either() {
        let mut watch = LossWatch::default();
        assert_eq!(report(&mut watch, &[65_533, 65_535]), (2, 0));
        assert_eq!(report(&mut watch, &[65_536, 65_538]), (2, 1));
        // Only late; and what was reported once does not count again.
        assert_eq!(report(&mut watch, &[65_537, 65_538, 65_539]), (2, 0));
        assert_eq!(report(&mut watch, &[65_540]), (1, 0));
    }

    #[test]
    fn nothing_is_known_of_what_no_message_speaks_of() {
        let mut watch = LossWatch::default();
        report(&mut watch, &[10, 11]);
        assert_eq!(report(&mut watch, &[14, 15]), (2, 0));
        assert_eq!(report(&mut watch, &[16]), (1, 0));
    }

    #[test]
    fn hostile_numbers_leave_memory_bounded() {
        let mut watch = LossWatch::default();
        for step in 0..1_000u64 {
            report(&mut watch, &[step * 30_000, step * 30_000 + 20_000]);
            assert!(watch.missing.len() <= MAX_MISSING);
        }
        assert!(watch.missing.capacity() <= 4 * MAX_MISSING);
    }
}
