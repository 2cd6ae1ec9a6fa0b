//! RTCP: the packets we read and write (RFC 3550, RFC 4585, RFC 5104, transport-cc, REMB).

pub mod feedback;
pub mod report;
pub mod transport_cc;

use feedback::{Fir, Nack};
use report::{Blocks, SenderInfo};
use transport_cc::TransportFeedback;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

const FORMAT_NACK: u8 = 1;
const FORMAT_TRANSPORT_CC: u8 = 15;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
const FORMAT_APPLICATION: u8 = 15;

/// One packet of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rtcp<'a> {
    /// SR (RFC 3550, 6.4.1).
    SenderReport {
        /// Whose.
        ssrc: u32,
        /// What was sent.
        info: SenderInfo,
        /// What was received.
        blocks: Blocks<'a>,
    },
    /// RR (RFC 3550, 6.4.2).
    ReceiverReport {
        /// What was received.
        blocks: Blocks<'a>,
    },
    /// Generic NACK (RFC 4585, 6.2.1).
    Nack(Nack<'a>),
    /// Transport-wide congestion control feedback.
    TransportFeedback(TransportFeedback<'a>),
    /// Picture loss indication (RFC 4585, 6.3.1).
    Pli {
        /// The stream that shall send a key frame.
        media_ssrc: u32,
    },
    /// Full intra request (RFC 5104, 4.3.1).
    Fir(Fir<'a>),
    /// Receiver estimated maximum bitrate.
    Remb {
        /// Bits per second.
        bitrate: u64,
    },
}

/// The known packets of a compound or reduced-size datagram. Unknown ones are skipped; the first
/// one whose length contradicts the datagram ends it.
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Reads a whole, decrypted datagram.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Rtcp<'a>;

    fn next(&mut self) -> Option<Rtcp<'a>> {
        loop {
            let head: &[u8; 4] = self.rest.first_chunk()?;
            let len = 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            let Some((packet, rest)) = self.rest.split_at_checked(len) else {
                self.rest = &[];
                return None;
            };
            self.rest = rest;
            if head[0] >> 6 != 2 {
                self.rest = &[];
                return None;
            }
            if let Some(known) = parse(head[0] & 0x1f, head[1], unpadded(packet)?) {
                return Some(known);
            }
        }
    }
}

/// The packet behind its common header, without padding.
fn unpadded(packet: &[u8]) -> Option<&[u8]> {
    let padding = match packet[0] & 0x20 {
        0 => 0,
        _ => usize::from(*packet.last()?),
    };
    packet.get(4..packet.len().checked_sub(padding)?)
}

fn parse(count: u8, kind: u8, body: &[u8]) -> Option<Rtcp<'_>> {
    match (kind, count) {
        (SENDER_REPORT, _) => {
            let (ssrc, info) = SenderInfo::parse(body)?;
            let blocks = Blocks::new(count, body.get(24..)?);
            Some(Rtcp::SenderReport { ssrc, info, blocks })
        }
        (RECEIVER_REPORT, _) => Some(Rtcp::ReceiverReport {
            blocks: Blocks::new(count, body.get(4..)?),
        }),
        (TRANSPORT_FEEDBACK, FORMAT_NACK) => Nack::parse(body).map(Rtcp::Nack),
        (TRANSPORT_FEEDBACK, FORMAT_TRANSPORT_CC) => {
            TransportFeedback::parse(body).map(Rtcp::TransportFeedback)
        }
        (PAYLOAD_FEEDBACK, FORMAT_PLI) => Some(Rtcp::Pli {
            media_ssrc: u32_at(body, 4)?,
        }),
        (PAYLOAD_FEEDBACK, FORMAT_FIR) => Fir::parse(body).map(Rtcp::Fir),
        (PAYLOAD_FEEDBACK, FORMAT_APPLICATION) => {
            feedback::parse_remb(body).map(|bitrate| Rtcp::Remb { bitrate })
        }
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_be_bytes)
}

/// Appends one packet to `out`: its common header, then what `body` writes, padded to words.
fn push(out: &mut Vec<u8>, count: u8, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count, kind, 0, 0]);
    body(out);
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unknown_packets_are_skipped_and_a_cut_one_ends_the_compound() {
        let mut datagram = vec![0x80, 204, 0, 1, 1, 2, 3, 4];
        feedback::push_pli(&mut datagram, 1, 7);
        datagram.extend_from_slice(&[0x81, 206, 0, 2, 0]);
        let read: Vec<_> = Compound::new(&datagram).collect();
        assert_eq!(read, [Rtcp::Pli { media_ssrc: 7 }]);
    }

    #[test]
    fn padding_longer_than_the_packet_ends_the_compound() {
        let datagram = [0xa1, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 200];
        assert_eq!(Compound::new(&datagram).count(), 0);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(
            kind in 200u8..=207, count in 0u8..32, body: Vec<u8>, rest: Vec<u8>,
        ) {
            let mut datagram = Vec::new();
            push(&mut datagram, count, kind, |out| out.extend_from_slice(&body));
            datagram.extend_from_slice(&rest);
            for packet in Compound::new(&datagram) {
                match packet {
                    Rtcp::SenderReport { blocks, .. } | Rtcp::ReceiverReport { blocks } => {
                        prop_assert!(blocks.count() <= 31);
                    }
                    Rtcp::Nack(nack) => prop_assert!(nack.sequences().count() <= 17 * body.len()),
                    Rtcp::Fir(fir) => prop_assert!(fir.count() <= body.len()),
                    Rtcp::TransportFeedback(feedback) => {
                        prop_assert!(feedback.arrivals().count() <= usize::from(u16::MAX));
                    }
                    Rtcp::Pli { .. } | Rtcp::Remb { .. } => {}
                }
            }
        }
    }
}
