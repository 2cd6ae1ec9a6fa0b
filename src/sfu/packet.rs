//! A received, decrypted RTP packet, reduced to what forwarding needs.

use std::ops::Range;

use super::MediaKind;
use super::command::ExtensionMap;
use super::frame::Frame;
use crate::rtp::header::Header;

/// A packet to be forwarded. Its bytes are elsewhere: in the cache of its stream.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    /// Audio or video.
    pub(super) kind: MediaKind,
    /// The incoming stream.
    pub(super) source: u32,
    /// Its simulcast or spatial layer, 0 the lowest.
    pub(super) layer: usize,
    /// The layers, as bits, that it is needed by.
    pub(super) layers: u8,
    /// Whether its stream is of several spatial layers, which are the layers of the track.
    pub(super) is_scalable: bool,
    /// What it says about its frame.
    pub(super) frame: Frame,
    /// Extended sequence number.
    pub(super) sequence: u64,
    /// Timestamp in ticks of `clock_rate`.
    pub(super) timestamp: u32,
    /// Ticks per second.
    pub(super) clock_rate: u32,
    /// Marker bit.
    pub(super) marker: bool,
    /// Payload type in the publisher's numbering.
    pub(super) payload_type: u8,
    /// Where the payload is.
    pub(super) payload: Range<usize>,
    /// Header extensions that pass through.
    pub(super) extensions: Extensions,
}

/// The header extensions we read.
#[derive(Debug, Clone, Default)]
pub(super) struct Extensions {
    pub(super) transport_cc: Option<u16>,
    pub(super) audio_level: Option<u8>,
    pub(super) video_orientation: Option<u8>,
    pub(super) playout_delay: Option<[u8; 3]>,
    /// Where the dependency descriptor is.
    pub(super) descriptor: Option<Range<usize>>,
}

impl Extensions {
    /// Reads the extensions of `packet`, numbered as in `map`.
    pub(super) fn read(header: &Header, packet: &[u8], map: &ExtensionMap) -> Self {
        let mut read = Self::default();
        for (id, data) in header.elements(packet) {
            let id = Some(id);
            if id == map.transport_cc {
                read.transport_cc = data.first_chunk().copied().map(u16::from_be_bytes);
            } else if id == map.audio_level {
                read.audio_level = data.first().copied();
            } else if id == map.video_orientation {
                read.video_orientation = data.first().copied();
            } else if id == map.playout_delay {
                read.playout_delay = data.first_chunk().copied();
            } else if id == map.dependency_descriptor {
                // Both slices belong to one packet, so this is the distance between them.
                let start = data.as_ptr().addr() - packet.as_ptr().addr();
                read.descriptor = Some(start..start + data.len());
            }
        }
        read
    }
}

/// The value of element `id`, as text; for mid and rid.
pub(super) fn text_element<'a>(
    header: &Header,
    packet: &'a [u8],
    id: Option<u8>,
) -> Option<&'a str> {
    let id = id?;
    let (_, data) = header.elements(packet).find(|(found, _)| *found == id)?;
    std::str::from_utf8(data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::header::{MAX_LEN, Outgoing};

    #[test]
    fn extensions_are_read_by_the_numbers_agreed() {
        let mut packet = vec![0; MAX_LEN];
        let long = [9; 20];
        let len = Outgoing {
            marker: false,
            payload_type: 96,
            sequence: 1,
            timestamp: 2,
            ssrc: 3,
            elements: &[(1, b"0"), (2, &[1, 2]), (3, &[0x85]), (4, &long), (9, b"?")],
        }
        .write(&mut packet);
        packet.truncate(len);
        let map = ExtensionMap {
            mid: Some(1),
            transport_cc: Some(2),
            audio_level: Some(3),
            dependency_descriptor: Some(4),
            ..ExtensionMap::default()
        };
        let header = Header::parse(&packet).expect("valid");
        let read = Extensions::read(&header, &packet, &map);
        assert_eq!(read.transport_cc, Some(0x0102));
        assert_eq!(read.audio_level, Some(0x85));
        assert_eq!(read.video_orientation, None);
        assert_eq!(&packet[read.descriptor.expect("present")], &long);
        assert_eq!(text_element(&header, &packet, map.mid), Some("0"));
        assert_eq!(text_element(&header, &packet, map.rid), None);
    }
}
