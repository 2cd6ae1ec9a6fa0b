//! Sender and receiver reports, and the source description (RFC 3550, 6.4 and 6.5).

use super::{RECEIVER_REPORT, SENDER_REPORT, SOURCE_DESCRIPTION, push, u32_at};
use crate::rtp::ntp::Ntp;

const BLOCK_LEN: usize = 24;

/// The sender part of an SR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// When the report was written, on the sender's wall clock.
    pub ntp: Ntp,
    /// The same moment on the media clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

impl SenderInfo {
    /// Reads SSRC and sender part from the body of an SR.
    pub(super) fn parse(body: &[u8]) -> Option<(u32, Self)> {
        let ntp = u64::from(u32_at(body, 4)?) << 32 | u64::from(u32_at(body, 8)?);
        let info = Self {
            ntp: Ntp(ntp),
            rtp_timestamp: u32_at(body, 12)?,
            packets: u32_at(body, 16)?,
            octets: u32_at(body, 20)?,
        };
        Some((u32_at(body, 0)?, info))
    }
}

/// What one receiver says about one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: u32,
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost so far; 24 bits, negative if there were duplicates.
    pub lost: i32,
    /// Highest sequence number, with its cycles in the upper half.
    pub highest: u32,
    /// Interarrival jitter in ticks of the media clock.
    pub jitter: u32,
    /// Middle bits of the last SR's NTP time; 0 if there was none.
    pub last_sr: u32,
    /// Time since that SR in 2⁻¹⁶ seconds.
    pub since_last_sr: u32,
}

/// The report blocks of an SR or RR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks<'a> {
    left: u8,
    rest: &'a [u8],
}

impl<'a> Blocks<'a> {
    pub(super) fn new(count: u8, rest: &'a [u8]) -> Self {
        Self { left: count, rest }
    }
}

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        self.left = self.left.checked_sub(1)?;
        let (block, rest) = self.rest.split_at_checked(BLOCK_LEN)?;
        self.rest = rest;
        let loss = u32_at(block, 4)?;
        Some(ReportBlock {
            ssrc: u32_at(block, 0)?,
            fraction_lost: (loss >> 24) as u8,
            // Extends the sign of the lower 24 bits.
            lost: (loss << 8).cast_signed() >> 8,
            highest: u32_at(block, 8)?,
            jitter: u32_at(block, 12)?,
            last_sr: u32_at(block, 16)?,
            since_last_sr: u32_at(block, 20)?,
        })
    }
}

/// Appends an SR without report blocks.
pub fn push_sender_report(out: &mut Vec<u8>, ssrc: u32, info: &SenderInfo) {
    push(out, 0, SENDER_REPORT, |out| {
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(&info.ntp.0.to_be_bytes());
        for word in [info.rtp_timestamp, info.packets, info.octets] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    });
}

/// Appends an RR; at most 31 blocks fit, further ones are left out.
pub fn push_receiver_report(out: &mut Vec<u8>, ssrc: u32, blocks: &[ReportBlock]) {
    let blocks = &blocks[..blocks.len().min(31)];
    push(out, blocks.len() as u8, RECEIVER_REPORT, |out| {
        out.extend_from_slice(&ssrc.to_be_bytes());
        for block in blocks {
            let lost = block.lost.clamp(-0x0080_0000, 0x007f_ffff).cast_unsigned() & 0x00ff_ffff;
            let loss = u32::from(block.fraction_lost) << 24 | lost;
            for word in [
                block.ssrc,
                loss,
                block.highest,
                block.jitter,
                block.last_sr,
                block.since_last_sr,
            ] {
                out.extend_from_slice(&word.to_be_bytes());
            }
        }
    });
}

/// Appends an SDES with a CNAME of at most 255 bytes for each of `ssrcs` (RFC 3550, 6.5.1).
pub fn push_cname(out: &mut Vec<u8>, ssrcs: &[u32], cname: &str) {
    let ssrcs = &ssrcs[..ssrcs.len().min(31)];
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    push(out, ssrcs.len() as u8, SOURCE_DESCRIPTION, |out| {
        for ssrc in ssrcs {
            out.extend_from_slice(&ssrc.to_be_bytes());
            out.extend_from_slice(&[1, cname.len() as u8]);
            out.extend_from_slice(cname);
            // A chunk ends with one to four zeros, on a word boundary.
            out.resize((out.len() / 4 + 1) * 4, 0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Rtcp};
    use super::*;

    #[test]
    fn a_sender_report_survives_a_round_trip() {
        let info = SenderInfo {
            ntp: Ntp(0x0102_0304_0506_0708),
            rtp_timestamp: 9,
            packets: 10,
            octets: 11,
        };
        let mut out = Vec::new();
        push_sender_report(&mut out, 5, &info);
        push_cname(&mut out, &[5, 6], "abc");
        let mut read = Compound::new(&out);
        let Some(Rtcp::SenderReport {
            ssrc: 5,
            info: back,
            mut blocks,
        }) = read.next()
        else {
            panic!("not a sender report: {out:?}");
        };
        assert_eq!(back, info);
        assert_eq!(blocks.next(), None);
        assert_eq!(read.next(), None);
    }

    #[test]
    fn report_blocks_survive_a_round_trip_with_negative_loss() {
        let block = ReportBlock {
            ssrc: 1,
            fraction_lost: 200,
            lost: -3,
            highest: 0x0001_0002,
            jitter: 4,
            last_sr: 5,
            since_last_sr: 6,
        };
        let mut out = Vec::new();
        push_receiver_report(&mut out, 9, &[block, ReportBlock { lost: 7, ..block }]);
        let Some(Rtcp::ReceiverReport { blocks }) = Compound::new(&out).next() else {
            panic!("not a receiver report: {out:?}");
        };
        let lost: Vec<_> = blocks.map(|block| block.lost).collect();
        assert_eq!(lost, [-3, 7]);
    }

    #[test]
    fn a_cname_chunk_ends_with_a_zero_on_a_word_boundary() {
        for cname in ["ab", "abc", "abcde"] {
            let mut out = Vec::new();
            push_cname(&mut out, &[1], cname);
            assert_eq!(out.len() % 4, 0);
            assert_eq!(out.last(), Some(&0));
            assert_eq!(usize::from(out[3]) * 4 + 4, out.len());
        }
    }

    #[test]
    fn a_block_count_beyond_the_packet_yields_what_is_there() {
        let mut out = Vec::new();
        push_receiver_report(&mut out, 9, &[ReportBlock::default()]);
        out[0] |= 0x1f;
        let Some(Rtcp::ReceiverReport { blocks }) = Compound::new(&out).next() else {
            panic!("not a receiver report");
        };
        assert_eq!(blocks.count(), 1);
    }
}
