//! How one input becomes several messages.

/// The parts of an input: each has two bytes of length in front, big-endian; the last one ends
/// with the input.
pub fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes(*head)).min(tail.len());
        let (part, behind) = tail.split_at(len);
        rest = behind;
        Some(part)
    })
}
