//! RTP header extensions in their one-byte and two-byte forms (RFC 8285).

/// An element's id and content.
pub type Element<'a> = (u8, &'a [u8]);

/// Most bytes of elements that [`write()`] puts into one block; further elements are left out.
pub const MAX_BLOCK_LEN: usize = 512;

/// "Defined by profile" of a block with one-byte element headers.
const ONE_BYTE: u16 = 0xbede;

/// "Defined by profile" of a block with two-byte element headers; the low four bits are free.
const TWO_BYTE: u16 = 0x1000;

/// Longest content and highest id of the one-byte form.
const ONE_BYTE_MAX: (u8, usize) = (14, 16);

/// The elements of a block. Ends early where lengths contradict the block.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    form: Form,
    rest: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
enum Form {
    OneByte,
    TwoByte,
}

impl<'a> Elements<'a> {
    /// The elements of `block`; none if `profile` names neither form.
    pub fn new(profile: u16, block: &'a [u8]) -> Self {
        match profile {
            ONE_BYTE => Self {
                form: Form::OneByte,
                rest: block,
            },
            _ if profile & 0xfff0 == TWO_BYTE => Self {
                form: Form::TwoByte,
                rest: block,
            },
            _ => Self {
                form: Form::OneByte,
                rest: &[],
            },
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        // A zero byte is padding, in both forms.
        while let Some((0, rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        let (id, len, rest) = match (self.form, self.rest) {
            // Id 15 is reserved: stop (RFC 8285, 4.2).
            (Form::OneByte, [head, ..]) if head >> 4 == 15 => return None,
            (Form::OneByte, [head, rest @ ..]) => (head >> 4, usize::from(head & 0x0f) + 1, rest),
            (Form::TwoByte, [id, len, rest @ ..]) => (*id, usize::from(*len), rest),
            _ => return None,
        };
        let Some((data, rest)) = rest.split_at_checked(len) else {
            self.rest = &[];
            return None;
        };
        self.rest = rest;
        if id == 0 {
            // The one-byte form with a length but no id: forbidden, so the rest is not trusted.
            self.rest = &[];
            return None;
        }
        Some((id, data))
    }
}

/// Writes an extension block with its header, padded to words, in the shorter form that can hold
/// all elements, and returns its length: 0 if there are no elements.
pub fn write(elements: &[Element<'_>], out: &mut [u8]) -> usize {
    if elements.is_empty() {
        return 0;
    }
    let one_byte = elements
        .iter()
        .all(|(id, data)| *id <= ONE_BYTE_MAX.0 && (1..=ONE_BYTE_MAX.1).contains(&data.len()));
    let mut at = 4;
    for (id, data) in elements {
        if at + 2 + data.len() > MAX_BLOCK_LEN {
            break;
        }
        if one_byte {
            out[at] = id << 4 | (data.len() - 1) as u8;
            at += 1;
        } else {
            out[at] = *id;
            out[at + 1] = data.len() as u8;
            at += 2;
        }
        out[at..at + data.len()].copy_from_slice(data);
        at += data.len();
    }
    while at % 4 != 0 {
        out[at] = 0;
        at += 1;
    }
    let profile = if one_byte { ONE_BYTE } else { TWO_BYTE };
    out[..2].copy_from_slice(&profile.to_be_bytes());
    out[2..4].copy_from_slice(&((at / 4 - 1) as u16).to_be_bytes());
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(elements: &[Element<'_>]) -> (u16, Vec<(u8, Vec<u8>)>) {
        let mut out = [0xaa; MAX_BLOCK_LEN + 4];
        let len = write(elements, &mut out);
        assert_eq!(len % 4, 0);
        let profile = u16::from_be_bytes([out[0], out[1]]);
        assert_eq!(
            usize::from(u16::from_be_bytes([out[2], out[3]])) * 4 + 4,
            len
        );
        let read = Elements::new(profile, &out[4..len]);
        (
            profile,
            read.map(|(id, data)| (id, data.to_vec())).collect(),
        )
    }

    #[test]
    fn short_elements_take_the_one_byte_form() {
        let (profile, read) = round_trip(&[(1, b"x"), (14, &[7; 16])]);
        assert_eq!(profile, ONE_BYTE);
        assert_eq!(read, [(1, b"x".to_vec()), (14, vec![7; 16])]);
    }

    #[test]
    fn a_long_or_empty_element_or_a_high_id_takes_the_two_byte_form() {
        for element in [(1, &[7; 17][..]), (1, &[][..]), (15, b"x")] {
            let (profile, read) = round_trip(&[(2, b"y"), element]);
            assert_eq!(profile, TWO_BYTE);
            assert_eq!(read, [(2, b"y".to_vec()), (element.0, element.1.to_vec())]);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let long = [1; 255];
        let (_, read) = round_trip(&[(1, &long), (2, &long), (3, &long)]);
        assert_eq!(read.len(), 1);
    }

    #[test]
    fn padding_between_elements_is_skipped() {
        let block = [0, 0x10, 9, 0, 0, 0x20, 8, 0];
        let read: Vec<_> = Elements::new(ONE_BYTE, &block).collect();
        assert_eq!(read, [(1, &[9][..]), (2, &[8][..])]);
    }

    #[test]
    fn hostile_lengths_end_the_block() {
        assert_eq!(Elements::new(ONE_BYTE, &[0x1f, 1, 2]).count(), 0);
        assert_eq!(Elements::new(TWO_BYTE, &[1, 200, 2]).count(), 0);
        assert_eq!(Elements::new(TWO_BYTE, &[1]).count(), 0);
        assert_eq!(Elements::new(ONE_BYTE, &[0xf0, 1, 0x10, 1]).count(), 0);
        assert_eq!(
            Elements::new(ONE_BYTE, &[0x03, 1, 2, 3, 4, 0x10, 1]).count(),
            0
        );
        assert_eq!(Elements::new(0x1234, &[0x10, 1]).count(), 0);
    }
}
