//! A subscriber's track: what of the publisher's packets leaves, and under which numbers.

use std::time::{Duration, Instant};

use super::MediaKind;
use super::command::{ExtensionMap, OutboundTrackConfig, PayloadTypeMap};
use super::moment::Moment;
use super::nack::ResendLimit;
use super::outlet::Outlet;
use super::packet::{Extensions, Packet};
use super::rewrite::{Original, Rewriter};
use crate::rtp::extension::Element;
use crate::rtp::header::{Header, Outgoing};
use crate::srtp::Sealer;

/// How long a subscriber waits for a key frame that can be recognised, before it gets what there
/// is: its decoder may know better, as with payloads encrypted end to end.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(2);

/// One `m=` section towards a subscriber.
#[derive(Debug)]
pub(super) struct OutboundTrack {
    pub(super) config: OutboundTrackConfig,
    pub(super) rewriter: Rewriter,
    flow: Flow,
    /// Extended number of the last retransmission.
    rtx_sequence: u64,
    pub(super) resends: ResendLimit,
    /// Packets and payload bytes sent, for sender reports.
    pub(super) packets: u32,
    pub(super) octets: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Not wanted.
    Off,
    /// To begin at the next packet where that is possible. Holds the first packet's time and
    /// the timestamp of the last one, once there was one.
    Joining(Option<(Instant, u32)>),
    /// Packets leave.
    On,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwarded {
    /// It was sent.
    Sent,
    /// It is of no use to this subscriber.
    Dropped,
    /// The subscriber waits for a key frame.
    NeedsKeyframe,
}

/// The subscriber's side of everything that is not the track's own.
pub(super) struct Way<'a, 'n> {
    pub(super) to: std::net::SocketAddr,
    pub(super) sealer: &'a mut Sealer,
    /// The next transport-wide number.
    pub(super) transport_cc: &'a mut u16,
    pub(super) outlet: &'a mut Outlet<'n>,
}

impl OutboundTrack {
    /// `start` and `rtx_start` are random and below 2¹⁵ (see [`Rewriter::new`]).
    pub(super) fn new(config: OutboundTrackConfig, start: u64, rtx_start: u64) -> Self {
        Self {
            config,
            rewriter: Rewriter::new(start),
            flow: Flow::Off,
            rtx_sequence: rtx_start,
            resends: ResendLimit::new(),
            packets: 0,
            octets: 0,
        }
    }

    /// Begins or ends sending. Returns whether a key frame would help.
    pub(super) fn want(&mut self, wanted: bool) -> bool {
        match (wanted, self.flow) {
            (false, _) => self.flow = Flow::Off,
            (true, Flow::Off) => self.flow = Flow::Joining(None),
            (true, _) => return false,
        }
        wanted && self.config.kind == MediaKind::Video
    }

    /// Whether packets leave.
    pub(super) fn is_on(&self) -> bool {
        self.flow == Flow::On
    }

    /// Sends a packet, if this is one to send. `bytes` is where its ranges point.
    pub(super) fn forward(
        &mut self,
        packet: &Packet,
        bytes: &[u8],
        at: &Moment,
        way: &mut Way<'_, '_>,
    ) -> Forwarded {
        if self.flow == Flow::Off {
            return Forwarded::Dropped;
        }
        let Some(pt) = self.payload_type(packet.payload_type) else {
            self.rewriter.skip(packet.source, packet.sequence);
            return Forwarded::Dropped;
        };
        if self.flow == Flow::On && self.rewriter.source() != Some(packet.source) {
            self.flow = Flow::Joining(None);
        }
        if let Flow::Joining(seen) = self.flow {
            if !self.may_join(packet, seen, at.now) {
                return Forwarded::NeedsKeyframe;
            }
            let Packet {
                source,
                sequence,
                timestamp,
                clock_rate,
                ..
            } = *packet;
            self.rewriter
                .begin(source, sequence, timestamp, clock_rate, at.now);
            self.flow = Flow::On;
        }
        let place = self
            .rewriter
            .rewrite(packet.source, packet.sequence, packet.timestamp, at.now);
        let Some((number, timestamp)) = place else {
            return Forwarded::Dropped;
        };
        let payload = &bytes[packet.payload.clone()];
        let header = Sent {
            number,
            timestamp,
            payload_type: pt.outbound,
            ssrc: self.config.ssrc,
        };
        self.write(
            &header,
            packet.marker,
            &packet.extensions,
            bytes,
            payload,
            at,
            way,
        );
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        Forwarded::Sent
    }

    /// Whether a subscriber that has nothing yet can begin with this packet.
    fn may_join(&mut self, packet: &Packet, seen: Option<(Instant, u32)>, now: Instant) -> bool {
        let (since, before) = seen.unwrap_or((now, packet.timestamp));
        self.flow = Flow::Joining(Some((since, packet.timestamp)));
        let new_frame = seen.is_none() || before != packet.timestamp;
        let tired = now.saturating_duration_since(since) >= KEYFRAME_PATIENCE;
        match packet.keyframe {
            Some(true) => true,
            None => new_frame,
            Some(false) => new_frame && tired && !packet.payload.is_empty(),
        }
    }

    /// Sends a packet again from the publisher's copy, whose extensions are numbered as in `map`.
    /// Returns whether it was sent.
    pub(super) fn resend(
        &mut self,
        resend: &Resend,
        bytes: &[u8],
        map: &ExtensionMap,
        scratch: &mut Vec<u8>,
        at: &Moment,
        way: &mut Way<'_, '_>,
    ) -> bool {
        let Some(header) = Header::parse(bytes) else {
            return false;
        };
        let Some(pt) = self.payload_type(header.payload_type) else {
            return false;
        };
        let original = &resend.original;
        if !self
            .resends
            .allow(original.number, bytes.len(), resend.rtt, at.now)
        {
            return false;
        }
        let extensions = Extensions::read(&header, bytes, map);
        let payload = &bytes[header.payload.clone()];
        let timestamp = header.timestamp.wrapping_add(original.timestamp_offset);
        if let (Some(ssrc), Some(payload_type)) = (self.config.rtx_ssrc, pt.outbound_rtx) {
            self.rtx_sequence += 1;
            scratch.clear();
            scratch.extend_from_slice(&(original.number as u16).to_be_bytes());
            scratch.extend_from_slice(payload);
            let sent = Sent {
                number: self.rtx_sequence,
                timestamp,
                payload_type,
                ssrc,
            };
            self.write(&sent, header.marker, &extensions, bytes, scratch, at, way);
            return true;
        }
        if resend.may_reseal {
            let (payload_type, ssrc) = (pt.outbound, self.config.ssrc);
            let sent = Sent {
                number: original.number,
                timestamp,
                payload_type,
                ssrc,
            };
            self.write(&sent, header.marker, &extensions, bytes, payload, at, way);
        }
        resend.may_reseal
    }

    fn payload_type(&self, inbound: u8) -> Option<PayloadTypeMap> {
        let mut all = self.config.payload_types.iter();
        all.find(|map| map.inbound == inbound).copied()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one packet's parts, from two callers"
    )]
    fn write(
        &self,
        sent: &Sent,
        marker: bool,
        extensions: &Extensions,
        bytes: &[u8],
        payload: &[u8],
        at: &Moment,
        way: &mut Way<'_, '_>,
    ) {
        let map = &self.config.extensions;
        let transport_cc = way.transport_cc.to_be_bytes();
        if map.transport_cc.is_some() {
            *way.transport_cc = way.transport_cc.wrapping_add(1);
        }
        let level = extensions.audio_level.map(|level| [level]);
        let orientation = extensions
            .video_orientation
            .map(|orientation| [orientation]);
        let descriptor = extensions
            .descriptor
            .clone()
            .and_then(|range| bytes.get(range));

        let candidates = [
            (map.mid, Some(self.config.mid.as_bytes())),
            (map.abs_send_time, Some(&at.abs_send_time[..])),
            (map.transport_cc, Some(&transport_cc[..])),
            (map.audio_level, level.as_ref().map(|level| &level[..])),
            (
                map.video_orientation,
                orientation.as_ref().map(|orientation| &orientation[..]),
            ),
            (
                map.playout_delay,
                extensions.playout_delay.as_ref().map(|delay| &delay[..]),
            ),
            (map.dependency_descriptor, descriptor),
        ];
        let mut elements: [Element<'_>; 7] = [(0, &[]); 7];
        let mut used = 0;
        for (id, data) in candidates {
            if let (Some(id), Some(data)) = (id, data) {
                elements[used] = (id, data);
                used += 1;
            }
        }
        let header = Outgoing {
            marker,
            payload_type: sent.payload_type,
            sequence: sent.number as u16,
            timestamp: sent.timestamp,
            ssrc: sent.ssrc,
            elements: &elements[..used],
        };
        way.outlet
            .rtp(&header, payload, sent.number, way.sealer, way.to);
    }
}

/// What to send again, and within which limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resend {
    /// The packet.
    pub(super) original: Original,
    /// A packet leaves once per round trip.
    pub(super) rtt: Duration,
    /// Whether a packet may leave under its old number.
    pub(super) may_reseal: bool,
}

/// What a packet is called on its way out.
struct Sent {
    number: u64,
    timestamp: u32,
    payload_type: u8,
    ssrc: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn track() -> OutboundTrack {
        let config = OutboundTrackConfig {
            kind: MediaKind::Video,
            mid: "0".into(),
            ssrc: 1,
            rtx_ssrc: None,
            payload_types: Vec::new(),
            extensions: ExtensionMap::default(),
        };
        OutboundTrack::new(config, 0, 0)
    }

    fn packet(timestamp: u32, keyframe: Option<bool>) -> Packet {
        Packet {
            kind: MediaKind::Video,
            source: 0,
            sequence: 70_000,
            timestamp,
            clock_rate: 90_000,
            marker: false,
            payload_type: 96,
            keyframe,
            payload: 12..20,
            extensions: Extensions::default(),
        }
    }

    fn joins(track: &mut OutboundTrack, packet: &Packet, now: Instant) -> bool {
        let Flow::Joining(seen) = track.flow else {
            panic!("not joining: {:?}", track.flow);
        };
        track.may_join(packet, seen, now)
    }

    #[test]
    fn video_begins_at_a_key_frame_or_after_patience_at_any_frame() {
        let (mut track, now) = (track(), Clock::system().epoch().instant);
        assert!(track.want(true));
        assert!(!track.want(true));
        assert!(!joins(&mut track, &packet(1, Some(false)), now));
        assert!(joins(&mut track, &packet(2, Some(true)), now));
        let late = now + KEYFRAME_PATIENCE;
        assert!(!joins(
            &mut track,
            &packet(3, Some(false)),
            late - Duration::from_millis(1)
        ));
        assert!(!joins(&mut track, &packet(3, Some(false)), late));
        assert!(joins(&mut track, &packet(4, Some(false)), late));
    }

    #[test]
    fn unreadable_video_begins_at_the_next_frame() {
        let (mut track, now) = (track(), Clock::system().epoch().instant);
        track.want(true);
        assert!(joins(&mut track, &packet(1, None), now));
        assert!(!joins(&mut track, &packet(1, None), now));
        assert!(joins(&mut track, &packet(2, None), now));
    }
}
