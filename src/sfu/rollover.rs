//! Packet indices after a change of keys.
//!
//! A receiver takes the first number that it sees under new keys for one without rollovers
//! (RFC 3711, 3.3.1), however many there were before: so they are counted anew.

/// Where the indices of one SSRC begin under the keys that there are.
#[derive(Debug, Default)]
pub(super) struct Rollovers {
    era: u32,
    /// The number that has index 0; `None` before the first.
    zero: Option<u64>,
}

impl Rollovers {
    /// The index under which extended `number` is sealed with the keys of `era`; `None` for one from
    /// before a rollover that came before those keys: it has none.
    pub(super) fn index(&mut self, number: u64, era: u32) -> Option<u64> {
        if self.era != era {
            *self = Self { era, zero: None };
        }
        let zero = *self.zero.get_or_insert(number & !0xffff);
        number.checked_sub(zero)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollovers_are_counted_anew_with_each_change_of_keys() {
        let mut rollovers = Rollovers::default();
        let mut check = |number, era, expected| {
            assert_eq!(
                rollovers.index(number, era),
                expected,
                "{number:x} in {era}"
            );
        };
        check(0x7fff, 0, Some(0x7fff));
        check(0x3_0001, 0, Some(0x3_0001));
        check(0x3_fffe, 1, Some(0xfffe));
        check(0x4_0001, 1, Some(0x1_0001));
        check(0x3_ffff, 1, Some(0xffff));
        check(0x4_0002, 2, Some(2));
        check(0x3_ffff, 2, None);
        check(0x4_0003, 2, Some(3));
    }
}
