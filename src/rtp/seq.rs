//! Wrapping 16-bit numbers, extended to 64 bits so that the rest of the code can just compare.

/// Extends the sequence numbers of one stream (RFC 3550, appendix A.1).
#[derive(Debug, Clone, Copy, Default)]
pub struct Extender {
    highest: Option<u64>,
}

impl Extender {
    /// The extended form of `number`: the one nearest to the highest so far. Remembers it if it
    /// is a new highest. The first cycle is counted as 1, so that earlier packets than the first
    /// one have numbers too.
    pub fn extend(&mut self, number: u16) -> u64 {
        let extended = self.peek(number);
        if self.highest.is_none_or(|highest| extended > highest) {
            self.highest = Some(extended);
        }
        extended
    }

    /// The extended form of `number`, without remembering it.
    pub fn peek(&self, number: u16) -> u64 {
        let Some(highest) = self.highest else {
            return 1 << 16 | u64::from(number);
        };
        nearest(highest, number)
    }

    /// The highest number so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// The number nearest to `reference` whose low 16 bits are `number`.
pub fn nearest(reference: u64, number: u16) -> u64 {
    let distance = number.wrapping_sub(reference as u16) as i16;
    reference.saturating_add_signed(i64::from(distance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_past_the_wrap() {
        let mut extender = Extender::default();
        let first = extender.extend(65_534);
        assert_eq!(extender.extend(65_535), first + 1);
        assert_eq!(extender.extend(0), first + 2);
        assert_eq!(extender.extend(1), first + 3);
    }

    #[test]
    fn a_late_number_does_not_move_the_highest() {
        let mut extender = Extender::default();
        let first = extender.extend(2);
        assert_eq!(extender.extend(65_535), first - 3);
        assert_eq!(extender.highest(), Some(first));
    }

    #[test]
    fn the_nearest_number_never_goes_below_zero() {
        assert_eq!(nearest(0, 65_535), 0);
        assert_eq!(nearest(0, 3), 3);
    }
}
