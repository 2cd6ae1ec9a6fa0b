//! Redundant audio (RFC 2198): earlier payloads beside the one that is sent.

/// Most bytes of an earlier payload: its length has ten bits.
pub const MAX_BLOCK_LEN: usize = (1 << 10) - 1;

/// Most ticks that an earlier payload may be older: its offset has 14 bits.
pub const MAX_OFFSET: u32 = (1 << 14) - 1;

/// Bytes of a block's header, and of the last one, which has no offset and no length.
const HEADER_LEN: (usize, usize) = (4, 1);

/// Says that another block follows.
const FOLLOWS: u8 = 0x80;

/// A payload of RED that was found to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Red<'a> {
    headers: &'a [u8],
    blocks: &'a [u8],
    /// The payload type of the payload that is sent.
    pub payload_type: u8,
    /// That payload; never empty.
    pub primary: &'a [u8],
}

/// An earlier payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its payload type.
    pub payload_type: u8,
    /// How many ticks it is older than the packet.
    pub offset: u32,
    /// The payload; may be empty.
    pub payload: &'a [u8],
}

impl<'a> Red<'a> {
    /// Reads a payload of RED. `None` if its lengths contradict each other, or leave nothing for
    /// what is sent.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let (mut count, mut len) = (0, 0);
        let mut rest = payload;
        while *rest.first()? & FOLLOWS != 0 {
            let header: &[u8; HEADER_LEN.0] = rest.first_chunk()?;
            len += read(header).1;
            count += 1;
            rest = &rest[HEADER_LEN.0..];
        }
        let headers = &payload[..count * HEADER_LEN.0];
        let payload_type = rest[0];
        let (blocks, primary) = rest[HEADER_LEN.1..].split_at_checked(len)?;
        (!primary.is_empty()).then_some(Self {
            headers,
            blocks,
            payload_type,
            primary,
        })
    }

    /// How many earlier payloads there are.
    pub fn count(&self) -> usize {
        self.headers.len() / HEADER_LEN.0
    }

    /// The earlier payloads as they lie there: by custom, oldest first.
    pub fn earlier(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let mut blocks = self.blocks;
        let (headers, _) = self.headers.as_chunks::<{ HEADER_LEN.0 }>();
        headers.iter().map(move |header| {
            let (offset, len) = read(header);
            let (payload, rest) = blocks.split_at(len);
            blocks = rest;
            Block {
                payload_type: header[0] & !FOLLOWS,
                offset,
                payload,
            }
        })
    }
}

/// The offset and the length that a block's header says.
fn read(header: &[u8; HEADER_LEN.0]) -> (u32, usize) {
    let [_, a, b, c] = *header;
    let offset = u32::from(a) << 6 | u32::from(b) >> 2;
    let len = usize::from(b & 3) << 8 | usize::from(c);
    (offset, len)
}

/// Bytes that a payload of RED has beyond the payloads in it.
pub fn overhead(earlier: usize) -> usize {
    earlier * HEADER_LEN.0 + HEADER_LEN.1
}

/// Appends a payload of RED. Of each earlier payload `earlier` has the offset, at most
/// [`MAX_OFFSET`], and the bytes, at most [`MAX_BLOCK_LEN`]; all are of one payload type.
pub fn push(out: &mut Vec<u8>, payload_type: u8, earlier: &[(u32, &[u8])], primary: &[u8]) {
    for (offset, payload) in earlier {
        debug_assert!(*offset <= MAX_OFFSET && payload.len() <= MAX_BLOCK_LEN);
        let word = offset << 10 | payload.len() as u32;
        let [_, a, b, c] = word.to_be_bytes();
        out.extend_from_slice(&[FOLLOWS | payload_type, a, b, c]);
    }
    out.push(payload_type);
    for (_, payload) in earlier {
        out.extend_from_slice(payload);
    }
    out.extend_from_slice(primary);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 2198, 4: a block of 20 ms of 8 kHz in front of another, as the figure there has it.
    const TWO: [u8; 12] = [
        0x80 | 5,
        // 160 ticks in 14 bits, 3 bytes in 10.
        0x02,
        0x80,
        0x03,
        111,
        b'o',
        b'l',
        b'd',
        b'n',
        b'e',
        b'w',
        b'!',
    ];

    #[test]
    fn blocks_are_told_apart() {
        let red = Red::parse(&TWO).expect("whole");
        assert_eq!((red.payload_type, red.primary), (111, &b"new!"[..]));
        let earlier: Vec<_> = red.earlier().collect();
        let expected = Block {
            payload_type: 5,
            offset: 160,
            payload: b"old",
        };
        assert_eq!((red.count(), earlier), (1, vec![expected]));
    }

    #[test]
    fn what_is_sent_may_be_alone() {
        let red = Red::parse(&[111, 1, 2]).expect("whole");
        assert_eq!((red.primary, red.count()), (&[1, 2][..], 0));
    }

    #[test]
    fn lengths_beyond_the_payload_are_refused() {
        // With one byte of the primary payload it is whole.
        for len in 0..9 {
            assert_eq!(Red::parse(&TWO[..len]), None, "{len} bytes");
        }
        assert!(Red::parse(&TWO[..9]).is_some());
        assert_eq!(Red::parse(&[0xff; 40]), None);
    }

    #[test]
    fn the_extremes_are_written_and_read_back() {
        let long = [7; MAX_BLOCK_LEN];
        let earlier = [(MAX_OFFSET, &long[..]), (1, &[][..])];
        let mut out = Vec::new();
        push(&mut out, 127, &earlier, b"x");
        assert_eq!(out.len(), overhead(2) + MAX_BLOCK_LEN + 1);
        let red = Red::parse(&out).expect("whole");
        let read: Vec<_> = red.earlier().map(|b| (b.offset, b.payload)).collect();
        assert_eq!(read, earlier);
        assert!(red.earlier().all(|block| block.payload_type == 127));
    }

    proptest! {
        #[test]
        fn random_bytes_give_blocks_inside_the_payload(bytes: Vec<u8>) {
            if let Some(red) = Red::parse(&bytes) {
                let inside: usize = red.earlier().map(|block| block.payload.len()).sum();
                let all = overhead(red.count()) + inside + red.primary.len();
                prop_assert_eq!(all, bytes.len());
            }
        }
    }
}
