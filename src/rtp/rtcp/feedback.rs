//! Feedback messages: NACK, PLI (RFC 4585), FIR (RFC 5104), REMB
//! (draft-alvestrand-rmcat-remb-03).

use super::{
    FORMAT_APPLICATION, FORMAT_NACK, FORMAT_PLI, PAYLOAD_FEEDBACK, TRANSPORT_FEEDBACK, push, u32_at,
};

/// A generic NACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack<'a> {
    /// The stream that misses packets.
    pub media_ssrc: u32,
    pairs: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        Some(Self {
            media_ssrc: u32_at(body, 4)?,
            pairs: body.get(8..)?,
        })
    }

    /// The missing sequence numbers.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + 'a {
        self.pairs.chunks_exact(4).flat_map(|pair| {
            let first = u16::from_be_bytes([pair[0], pair[1]]);
            let following = u16::from_be_bytes([pair[2], pair[3]]);
            let rest = (0..16u16)
                .filter(move |bit| following & 1 << bit != 0)
                .map(move |bit| first.wrapping_add(bit + 1));
            std::iter::once(first).chain(rest)
        })
    }
}

/// A full intra request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fir<'a> {
    entries: &'a [u8],
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        Some(Self {
            entries: body.get(8..)?,
        })
    }
}

impl Iterator for Fir<'_> {
    type Item = u32;

    /// The next stream that shall send a key frame.
    fn next(&mut self) -> Option<u32> {
        let (entry, rest) = self.entries.split_at_checked(8)?;
        self.entries = rest;
        u32_at(entry, 0)
    }
}

/// Reads the bitrate of a REMB in bits per second.
pub(super) fn parse_remb(body: &[u8]) -> Option<u64> {
    if body.get(8..12)? != b"REMB" {
        return None;
    }
    let value = u32_at(body, 12)?;
    let (exponent, mantissa) = (value >> 18 & 0x3f, u64::from(value & 0x3_ffff));
    mantissa
        .checked_shl(exponent)
        .filter(|rate| rate >> exponent == mantissa)
}

/// Appends a generic NACK for `missing`, which is in ascending order (wrapping).
pub fn push_nack(out: &mut Vec<u8>, sender_ssrc: u32, media_ssrc: u32, missing: &[u16]) {
    push(out, FORMAT_NACK, TRANSPORT_FEEDBACK, |out| {
        out.extend_from_slice(&sender_ssrc.to_be_bytes());
        out.extend_from_slice(&media_ssrc.to_be_bytes());
        let mut rest = missing;
        while let Some((&first, tail)) = rest.split_first() {
            let mut following = 0u16;
            rest = tail;
            while let Some((&next, tail)) = rest.split_first() {
                let distance = next.wrapping_sub(first);
                if !(1..=16).contains(&distance) {
                    break;
                }
                following |= 1 << (distance - 1);
                rest = tail;
            }
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&following.to_be_bytes());
        }
    });
}

/// Appends a PLI.
pub fn push_pli(out: &mut Vec<u8>, sender_ssrc: u32, media_ssrc: u32) {
    push(out, FORMAT_PLI, PAYLOAD_FEEDBACK, |out| {
        out.extend_from_slice(&sender_ssrc.to_be_bytes());
        out.extend_from_slice(&media_ssrc.to_be_bytes());
    });
}

/// Appends a REMB of `bitrate` bits per second for `ssrcs`, of which 255 fit.
pub fn push_remb(out: &mut Vec<u8>, sender_ssrc: u32, bitrate: u64, ssrcs: &[u32]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(255)];
    push(out, FORMAT_APPLICATION, PAYLOAD_FEEDBACK, |out| {
        let exponent = (64 - bitrate.leading_zeros()).saturating_sub(18);
        let value = exponent << 18 | (bitrate >> exponent) as u32;
        out.extend_from_slice(&sender_ssrc.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(b"REMB");
        out.extend_from_slice(&((ssrcs.len() as u32) << 24 | value).to_be_bytes());
        for ssrc in ssrcs {
            out.extend_from_slice(&ssrc.to_be_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, FORMAT_FIR, Rtcp};
    use super::*;

    #[test]
    fn a_nack_names_the_same_numbers_after_a_round_trip() {
        let missing = [65_530, 65_535, 0, 1, 20, 400];
        let mut out = Vec::new();
        push_nack(&mut out, 1, 2, &missing);
        let Some(Rtcp::Nack(nack)) = Compound::new(&out).next() else {
            panic!("not a NACK: {out:?}");
        };
        assert_eq!(nack.media_ssrc, 2);
        assert_eq!(nack.sequences().collect::<Vec<_>>(), missing);
    }

    #[test]
    fn a_remb_keeps_its_rate_to_18_bits() {
        for rate in [0, 1, 262_143, 262_144, 8_000_000] {
            let mut out = Vec::new();
            push_remb(&mut out, 1, rate, &[2, 3]);
            let Some(Rtcp::Remb { bitrate }) = Compound::new(&out).next() else {
                panic!("not a REMB: {out:?}");
            };
            assert!(
                bitrate <= rate && rate - bitrate <= rate >> 17,
                "{rate}: {bitrate}"
            );
        }
    }

    #[test]
    fn a_remb_beyond_64_bits_is_refused() {
        let mut out = Vec::new();
        push_remb(&mut out, 1, 5, &[]);
        out[17..20].copy_from_slice(&[0xff, 0xff, 0xff]);
        assert_eq!(Compound::new(&out).next(), None);
    }

    #[test]
    fn a_full_intra_request_names_its_streams() {
        let mut out = Vec::new();
        push(&mut out, FORMAT_FIR, PAYLOAD_FEEDBACK, |out| {
            out.extend_from_slice(&[0; 8]);
            out.extend_from_slice(&[0, 0, 0, 7, 1, 0, 0, 0]);
            out.extend_from_slice(&[0, 0, 0, 8, 1, 0, 0, 0]);
        });
        let Some(Rtcp::Fir(fir)) = Compound::new(&out).next() else {
            panic!("not a FIR: {out:?}");
        };
        assert_eq!(fir.collect::<Vec<_>>(), [7, 8]);
    }
}
