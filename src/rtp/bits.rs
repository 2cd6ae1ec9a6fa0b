//! A reader of bit fields, the most significant bit first.

/// Bytes, read bit by bit. Every read answers `None` once they are used up.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// Begins at the first bit.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bits that are left.
    pub fn left(&self) -> usize {
        (8 * self.bytes.len()).saturating_sub(self.at)
    }

    /// One bit.
    pub fn flag(&mut self) -> Option<bool> {
        Some(self.read(1)? == 1)
    }

    /// The next `count` bits as a number; at most 32.
    pub fn read(&mut self, count: usize) -> Option<u32> {
        let end = self.at + count;
        let mut value = 0u64;
        while self.at < end {
            let byte = *self.bytes.get(self.at / 8)?;
            let free = 8 - self.at % 8;
            let taken = free.min(end - self.at);
            let bits = byte >> (free - taken) & (0xff >> (8 - taken));
            value = value << taken | u64::from(bits);
            self.at += taken;
        }
        Some(value as u32)
    }

    /// Passes over `count` bits.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= 8 * self.bytes.len()).then_some(())
    }

    /// An unsigned exponential Golomb code, `ue(v)` of H.264 (9.1); at most 31 bits of it.
    pub fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 30 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.read(zeros)?)
    }

    /// A number below `limit` in as few bits as that takes, `ns(n)` of AV1 (4.10.7).
    pub fn below(&mut self, limit: u32) -> Option<u32> {
        let width = (u32::BITS - limit.leading_zeros()) as usize;
        let short = (1 << width) - limit;
        let value = self.read(width.checked_sub(1)?)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.read(1)?)
    }
}

/// A writer of bit fields into bytes it was lent.
#[derive(Debug)]
pub struct BitsMut<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> BitsMut<'a> {
    /// Begins at the first bit.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Writes the low `count` bits of a number; `None` if there is no room.
    pub fn write(&mut self, value: u32, count: usize) -> Option<()> {
        for bit in (0..count).rev() {
            let byte = self.bytes.get_mut(self.at / 8)?;
            let mask = 0x80 >> (self.at % 8);
            match value >> bit & 1 {
                0 => *byte &= !mask,
                _ => *byte |= mask,
            }
            self.at += 1;
        }
        Some(())
    }

    /// Writes the next `count` bits of `from`.
    pub fn copy(&mut self, from: &mut Bits<'_>, count: usize) -> Option<()> {
        let mut left = count;
        while left > 0 {
            let some = left.min(32);
            self.write(from.read(some)?, some)?;
            left -= some;
        }
        Some(())
    }

    /// Fills the last byte up with zeros; returns how many bytes were written.
    pub fn finish(mut self) -> usize {
        while !self.at.is_multiple_of(8) {
            // There is room: the byte has been begun.
            let _ = self.write(0, 1);
        }
        self.at / 8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_every_kind_are_read() {
        let mut bits = Bits::new(&[0b1010_0011, 0b0010_0000, 0b1000_0000]);
        assert_eq!(bits.flag(), Some(true));
        assert_eq!(bits.exp_golomb(), Some(1));
        // The code 00110 is 5.
        assert_eq!(bits.exp_golomb(), Some(5));
        assert_eq!(bits.read(7), Some(0b10_0000));
        assert_eq!((bits.position(), bits.left()), (16, 8));
        assert_eq!(bits.read(9), None);
    }

    #[test]
    fn numbers_below_a_limit_take_no_more_bits_than_they_need() {
        // Of 5 values, three take two bits and two take three (AV1, 4.10.7).
        let mut bits = Bits::new(&[0b0001_1011, 0b0111_0000]);
        let read: Vec<_> = (0..5).map(|_| bits.below(5)).collect();
        assert_eq!(read, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(Bits::new(&[0xff]).below(1), Some(0));
        assert_eq!(Bits::new(&[0xff]).below(0), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in prop::collection::vec((any::<u32>(), 1usize..=32), 0..20)) {
            let mut bytes = [0xaa; 80];
            let mut out = BitsMut::new(&mut bytes);
            for (value, count) in &fields {
                out.write(*value, *count).expect("room");
            }
            let len = out.finish();
            let mut copy = [0x55; 80];
            let total = fields.iter().map(|(_, count)| count).sum();
            let mut out = BitsMut::new(&mut copy);
            out.copy(&mut Bits::new(&bytes[..len]), total).expect("room");
            prop_assert_eq!(out.finish(), len);
            let mut bits = Bits::new(&copy[..len]);
            for (value, count) in fields {
                let mask = u32::MAX >> (32 - count);
                prop_assert_eq!(bits.read(count), Some(value & mask));
            }
        }
    }
}
