//! Packet bytes: RTP, RTCP and payload descriptors.

use parlor::rtp::codec::{Numbering, Picture, av1, dependency, h264, vp8, vp9};
use parlor::rtp::header::{Header, MAX_LEN, Outgoing};
use parlor::rtp::red::{self, Red};
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

/// Redundant audio: its blocks lie inside it, one behind the other, and survive being written and read
/// again.
pub fn red(data: &[u8]) {
    let Some(red) = Red::parse(data) else { return };
    let earlier: Vec<_> = red.earlier().collect();
    assert_eq!(earlier.len(), red.count());
    let inside: usize = earlier.iter().map(|block| block.payload.len()).sum();
    let overhead = red::overhead(earlier.len());
    assert_eq!(overhead + inside + red.primary.len(), data.len());
    let payload_type = red.payload_type;
    let blocks: Vec<_> = earlier.iter().map(|b| (b.offset, b.payload)).collect();
    let mut out = Vec::new();
    red::push(&mut out, payload_type, &blocks, red.primary);
    let again = Red::parse(&out).expect("what is written can be read");
    assert_eq!(
        (again.payload_type, again.primary),
        (payload_type, red.primary)
    );
    let kept = earlier.iter().map(|block| red::Block {
        payload_type,
        ..*block
    });
    assert!(again.earlier().eq(kept));
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

/// Several payloads of one stream.
pub fn codec(data: &[u8]) {
    for part in parts(data) {
        let _ = vp8::starts_keyframe(part);
        let _ = vp8::size(part);
        let _ = h264::starts_keyframe(part);
        let _ = h264::size(part);
        let _ = av1::starts_keyframe(part);
        let _ = av1::size(part);
        if let Some(read) = vp8::Descriptor::parse(part) {
            numbers(part, &read.numbering, |payload| {
                vp8::Descriptor::parse(payload).map(|read| read.numbering)
            });
        }
        if let Some(read) = vp9::Descriptor::parse(part) {
            assert!(read.spatial < 8 && read.temporal < 8);
            numbers(part, &read.numbering, |payload| {
                vp9::Descriptor::parse(payload).map(|read| read.numbering)
            });
        }
    }
}

/// The dependency descriptors of one stream: what is rewritten says the same.
pub fn dependency(data: &[u8]) {
    let mut structure = dependency::Structure::default();
    for part in parts(data) {
        let _ = dependency::starts_keyframe(part);
        let mut copy = structure.clone();
        let Some(frame) = structure.read(part) else {
            continue;
        };
        assert!(!frame.key || frame.starts);
        let active = structure.active(1, 1);
        assert!(active.count <= 32);
        let mut out = [0; dependency::MAX_LEN];
        for active in [None, Some(active)] {
            let Some(len) = dependency::rewrite(part, 1, active, &mut out) else {
                continue;
            };
            let number = frame.number.wrapping_add(1);
            let expected = dependency::Frame { number, ..frame };
            assert_eq!(copy.read(&out[..len]), Some(expected), "{active:?}");
        }
    }
}

/// Shifted picture numbers are read back shifted, and nothing else has changed.
fn numbers(payload: &[u8], before: &Numbering, read: impl FnOnce(&[u8]) -> Option<Numbering>) {
    let (id, tl0, frame) = (5, 3, 0);
    let shift = Picture { id, tl0, frame };
    let mut shifted = payload.to_vec();
    before.write(shift, &mut shifted);
    let after = read(&shifted).expect("still a descriptor");
    assert_eq!(before.is_numbered(), after.is_numbered());
    let mut back = shifted;
    let undo = Picture::default().since(shift);
    after.write(undo, &mut back);
    assert_eq!(back, payload);
}
