//! The numbers that VP8 and VP9 give their pictures, inside the payload and readable also when the
//! frame is encrypted end to end.

/// The numbers of a frame, or how they are shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Picture {
    /// Picture id, modulo 2¹⁵.
    pub id: u16,
    /// Index of the frame of temporal layer 0 this one belongs to.
    pub tl0: u8,
    /// Frame number of the dependency descriptor.
    pub frame: u16,
}

impl Picture {
    /// These numbers, shifted.
    pub fn shifted(self, by: Self) -> Self {
        Self {
            id: self.id.wrapping_add(by.id) & 0x7fff,
            tl0: self.tl0.wrapping_add(by.tl0),
            frame: self.frame.wrapping_add(by.frame),
        }
    }

    /// The shift that makes `from` this.
    pub fn since(self, from: Self) -> Self {
        Self {
            id: self.id.wrapping_sub(from.id) & 0x7fff,
            tl0: self.tl0.wrapping_sub(from.tl0),
            frame: self.frame.wrapping_sub(from.frame),
        }
    }
}

/// Where a payload descriptor has its numbers, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbering {
    /// Where the picture id is, and whether it has 15 bits.
    pub(super) picture_id: Option<(usize, bool)>,
    /// Where TL0PICIDX is.
    pub(super) tl0: Option<usize>,
    /// The picture id and TL0PICIDX as they came; 0 where there is none.
    pub picture: Picture,
}

impl Numbering {
    /// Reads the picture id at `at`; returns where it ends (RFC 7741, 4.2; RFC 9628, 4.2).
    pub(super) fn read_id(&mut self, payload: &[u8], at: usize) -> Option<usize> {
        let first = *payload.get(at)?;
        let long = first & 0x80 != 0;
        self.picture_id = Some((at, long));
        self.picture.id = match long {
            true => u16::from_be_bytes([first & 0x7f, *payload.get(at + 1)?]),
            false => first.into(),
        };
        Some(at + 1 + usize::from(long))
    }

    /// Reads TL0PICIDX at `at`; returns where it ends.
    pub(super) fn read_tl0(&mut self, payload: &[u8], at: usize) -> Option<usize> {
        self.tl0 = Some(at);
        self.picture.tl0 = *payload.get(at)?;
        Some(at + 1)
    }

    /// Whether there is anything in the payload that a shift changes.
    pub fn is_numbered(&self) -> bool {
        self.picture_id.is_some() || self.tl0.is_some()
    }

    /// Whether a shift changes anything in the payload.
    pub fn is_changed_by(&self, shift: Picture) -> bool {
        self.is_numbered() && (shift.id, shift.tl0) != (0, 0)
    }

    /// Shifts the numbers in a copy of the payload that this was read from.
    pub fn write(&self, shift: Picture, payload: &mut [u8]) {
        let shifted = self.picture.shifted(shift);
        if let Some((at, long)) = self.picture_id
            && let Some(bytes) = payload.get_mut(at..at + 1 + usize::from(long))
        {
            match bytes {
                [only] => *only = shifted.id as u8 & 0x7f,
                bytes => bytes.copy_from_slice(&(shifted.id | 0x8000).to_be_bytes()),
            }
        }
        if let Some(byte) = self.tl0.and_then(|at| payload.get_mut(at)) {
            *byte = shifted.tl0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_the_distance_between_two_pictures() {
        let picture = |id, tl0, frame| Picture { id, tl0, frame };
        let (from, to) = (picture(0x7fff, 250, 0xffff), picture(2, 3, 4));
        assert_eq!(from.shifted(to.since(from)), to);
    }
}
