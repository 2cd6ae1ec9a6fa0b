//! Packet bytes: RTP, RTCP and payload descriptors.

use parlor::rtp::codec::vp8::{Descriptor, Picture};
use parlor::rtp::codec::{av1, h264, vp8, vp9};
use parlor::rtp::header::{Header, MAX_LEN, Outgoing};
use parlor::rtp::rtcp::report::{ReportBlock, push_sender_report};
use parlor::rtp::rtcp::{Compound, Rtcp, feedback};

use super::split::parts;

/// An RTP packet: what is read of it lies inside it, and survives being written and read again.
pub fn rtp(data: &[u8]) {
    let Some(header) = Header::parse(data) else {
        return;
    };
    assert!(header.extension.end <= header.payload.start);
    assert!(header.payload.end <= data.len());
    let elements: Vec<_> = header.elements(data).collect();
    let outgoing = Outgoing {
        marker: header.marker,
        payload_type: header.payload_type,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
        elements: &elements,
    };
    let mut written = [0xaa; MAX_LEN];
    let len = outgoing.write(&mut written);
    let again = Header::parse(&written[..len]).expect("what is written can be read");
    assert_eq!(again.payload, len..len, "no bytes are left over");
    assert_eq!(
        (again.marker, again.payload_type, again.sequence),
        (header.marker, header.payload_type, header.sequence)
    );
    assert_eq!(
        (again.timestamp, again.ssrc),
        (header.timestamp, header.ssrc)
    );
    // Elements without room are left out at the end.
    let kept: Vec<_> = again.elements(&written[..len]).collect();
    assert!(elements.starts_with(&kept));
}

/// An RTCP datagram: bounded work, and numbers that survive being written again.
pub fn rtcp(data: &[u8]) {
    for packet in Compound::new(data) {
        match packet {
            Rtcp::SenderReport { ssrc, info, blocks } => {
                check_blocks(blocks);
                let mut out = Vec::new();
                push_sender_report(&mut out, ssrc, &info);
                let again = Compound::new(&out).next();
                assert!(matches!(
                    again,
                    Some(Rtcp::SenderReport { ssrc: s, info: i, .. }) if (s, i) == (ssrc, info)
                ));
            }
            Rtcp::ReceiverReport { blocks } => check_blocks(blocks),
            Rtcp::Nack(nack) => {
                assert!(nack.sequences().count() <= 17 * data.len() / 4);
            }
            Rtcp::Fir(fir) => assert!(fir.count() <= data.len() / 8),
            Rtcp::TransportFeedback(feedback) => {
                assert!(feedback.arrivals().count() <= usize::from(u16::MAX));
            }
            Rtcp::Pli { media_ssrc } => {
                let mut out = Vec::new();
                feedback::push_pli(&mut out, 0, media_ssrc);
                assert_eq!(Compound::new(&out).next(), Some(Rtcp::Pli { media_ssrc }));
            }
            Rtcp::Remb { bitrate } => {
                let mut out = Vec::new();
                feedback::push_remb(&mut out, 0, bitrate, &[]);
                assert_eq!(Compound::new(&out).next(), Some(Rtcp::Remb { bitrate }));
            }
        }
    }
}

fn check_blocks(blocks: impl Iterator<Item = ReportBlock>) {
    let mut count = 0;
    for block in blocks {
        count += 1;
        assert!((-0x80_0000..0x80_0000).contains(&block.lost), "24 bits");
    }
    assert!(count <= 31);
}

/// Several payloads, and dependency descriptors, of one stream.
pub fn codec(data: &[u8]) {
    let mut templates = av1::Templates::default();
    for part in parts(data) {
        let _ = vp8::starts_keyframe(part);
        let _ = vp8::size(part);
        let _ = vp9::starts_keyframe(part);
        let _ = vp9::size(part);
        assert!(vp9::temporal(part).is_none_or(|layer| layer < 8));
        let _ = h264::starts_keyframe(part);
        let _ = av1::starts_keyframe(part);
        let _ = av1::descriptor_starts_keyframe(part);
        assert!(templates.temporal(part).is_none_or(|layer| layer < 64));
        vp8_numbers(part);
    }
}

/// Shifted picture numbers are read back shifted, and nothing else has changed.
fn vp8_numbers(payload: &[u8]) {
    let Some(before) = Descriptor::parse(payload) else {
        return;
    };
    let shift = Picture { id: 5, tl0: 3 };
    let mut shifted = payload.to_vec();
    before.write(shift, &mut shifted);
    let after = Descriptor::parse(&shifted).expect("still a descriptor");
    assert_eq!(after.temporal, before.temporal);
    let mut back = shifted;
    let undo = Picture::default().since(shift);
    after.write(undo, &mut back);
    assert_eq!(back, payload);
}
