//! A subscriber's track: what of the publisher's packets leaves, and under which numbers.

use std::time::{Duration, Instant};

use super::command::{Codec, ExtensionMap, OutboundTrackConfig, PayloadTypeMap};
use super::downlink::Downlink;
use super::filter::{Filter, Verdict};
use super::frame::numbering;
use super::inbound::InboundTrack;
use super::layer::Choice;
use super::moment::Moment;
use super::nack::ResendLimit;
use super::outlet::Outlet;
use super::packet::{Extensions, Packet};
use super::path::Path;
use super::rewrite::{Incoming, Original, Rewriter};
use crate::rtp::codec::dependency::{self, Active};
use crate::rtp::codec::{Numbering, Picture};
use crate::rtp::extension::Element;
use crate::rtp::header::{Header, Outgoing};
use crate::srtp::Sealer;

/// How long a subscriber waits for a key frame that can be recognised, before it gets what there
/// is: its decoder may know better, as with payloads encrypted end to end.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(2);

/// Most bytes of padding in a packet; the last one says how many they are (RFC 3550, 5.1).
const MAX_PADDING_LEN: u8 = 255;

/// How long a subscriber that has nothing yet waits for its own layer, before it begins with the
/// key frame of any other.
const LAYER_PATIENCE: Duration = Duration::from_millis(400);

/// One `m=` section towards a subscriber.
#[derive(Debug)]
pub(super) struct OutboundTrack {
    pub(super) config: OutboundTrackConfig,
    pub(super) rewriter: Rewriter,
    flow: Flow,
    /// The layers to send; the simulcast layer changes with its next key frame.
    choice: Choice,
    /// The simulcast or highest spatial layer that is being sent.
    layer: usize,
    /// Whether it is a spatial layer, of a stream that has all of them.
    is_scalable: bool,
    /// The timestamp of the last packet of the layer that is to be sent instead.
    upcoming: Option<u32>,
    filter: Filter,
    manner: Manner,
    /// Extended number of the last retransmission.
    rtx_sequence: u64,
    pub(super) resends: ResendLimit,
    /// Packets and payload bytes sent, for sender reports.
    pub(super) packets: u32,
    pub(super) octets: u32,
}

/// How frames are left out beyond the choice of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Manner {
    /// About one frame a second is wanted.
    pub(super) thin: bool,
    /// The network is full: a layer that is to be left is left at once.
    pub(super) hurry: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Not wanted.
    Off,
    /// To begin at the next packet where that is possible. Holds the first packet's time and
    /// the timestamp of the last one of the layer that is wanted, once there was one.
    Joining(Option<(Instant, Option<u32>)>),
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
    /// The subscriber waits for a key frame of the packet's layer.
    NeedsKeyframe,
}

/// The subscriber's side of everything that is not the track's own.
pub(super) struct Way<'a, 'n> {
    pub(super) to: Path,
    pub(super) sealer: &'a mut Sealer,
    pub(super) downlink: &'a mut Downlink,
    /// Room to change a payload in.
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) outlet: &'a mut Outlet<'n>,
}

impl OutboundTrack {
    /// `start` and `rtx_start` are random and below 2¹⁵ (see [`Rewriter::new`]).
    pub(super) fn new(config: OutboundTrackConfig, start: u64, rtx_start: u64) -> Self {
        Self {
            config,
            rewriter: Rewriter::new(start),
            flow: Flow::Off,
            choice: Choice::default(),
            layer: 0,
            is_scalable: false,
            upcoming: None,
            filter: Filter::default(),
            manner: Manner::default(),
            rtx_sequence: rtx_start,
            resends: ResendLimit::new(),
            packets: 0,
            octets: 0,
        }
    }

    /// Begins or ends sending.
    pub(super) fn want(&mut self, wanted: bool) {
        match (wanted, self.flow) {
            (false, _) => self.flow = Flow::Off,
            (true, Flow::Off) => self.flow = Flow::Joining(None),
            (true, _) => {}
        }
    }

    /// Changes which frames leave.
    pub(super) fn choose(&mut self, choice: Choice, manner: Manner) {
        let before = std::mem::replace(&mut self.manner, manner);
        self.choice = choice;
        // What came in between is missing; or the network is full, and what it carries is better
        // used for sound than for the rest of a layer that is being left.
        let unthinned = before.thin && !manner.thin;
        let leaves = manner.hurry && self.layer > choice.layer && !self.is_scalable;
        if (unthinned || leaves) && self.flow == Flow::On {
            self.flow = Flow::Joining(None);
        }
    }

    /// The layer, as a bit, that a key frame is awaited of. A lower spatial layer can mostly be had
    /// without.
    pub(super) fn awaited(&self) -> u8 {
        match self.flow {
            Flow::Off => 0,
            Flow::On if self.layer == self.choice.layer => 0,
            Flow::On if self.is_scalable && self.layer > self.choice.layer => 0,
            _ => 1 << self.choice.layer,
        }
    }

    /// The layers, as bits, whose key frames are of use now: the one that is sent, and
    /// the one that is to be.
    pub(super) fn layers(&self) -> u8 {
        match self.flow {
            Flow::Off => 0,
            Flow::Joining(_) => 1 << self.choice.layer,
            Flow::On => 1 << self.layer | 1 << self.choice.layer,
        }
    }

    /// Whether packets leave.
    pub(super) fn is_on(&self) -> bool {
        self.flow == Flow::On
    }

    /// Sends a packet of `inbound`, if this is one to send. `bytes` is where its ranges point.
    pub(super) fn forward(
        &mut self,
        packet: &Packet,
        inbound: &InboundTrack,
        bytes: &[u8],
        at: &Moment,
        way: &mut Way<'_, '_>,
    ) -> Forwarded {
        if self.flow == Flow::Off {
            return Forwarded::Dropped;
        }
        let incoming = incoming(packet);
        let Some(pt) = self.payload_type(packet.payload_type) else {
            self.rewriter.skip(incoming, false, false);
            return Forwarded::Dropped;
        };
        match self.admit(packet, at.now) {
            Admission::Continues => {}
            Admission::Begins => self.begin(packet, inbound, at.now),
            Admission::Refused(forwarded) => return forwarded,
        }
        let verdict = self
            .filter
            .judge(packet, self.choice, self.manner.thin, at.now);
        let (ends_picture, announces) = match verdict {
            Verdict::Pass {
                ends_picture,
                announces,
            } => (ends_picture, announces),
            Verdict::LeaveOut {
                new_picture,
                needs_keyframe,
            } => {
                let closes = new_picture && packet.frame.counted;
                let base = packet.frame.temporal == 0;
                self.rewriter.skip(incoming, closes, base);
                return match needs_keyframe {
                    true => Forwarded::NeedsKeyframe,
                    false => Forwarded::Dropped,
                };
            }
        };
        if packet.is_scalable {
            self.layer = self.filter.current().layer;
        }
        let Some(place) = self.rewriter.rewrite(incoming, at.now) else {
            return Forwarded::Dropped;
        };
        let payload = &bytes[packet.payload.clone()];
        let header = Sent {
            number: place.number,
            timestamp: place.timestamp,
            payload_type: pt.outbound,
            ssrc: self.config.ssrc,
            marker: packet.marker || ends_picture,
            frame_shift: place.picture.frame,
            active: announces.then(|| self.active(packet, inbound)).flatten(),
        };
        let mut changed = std::mem::take(way.scratch);
        let payload = renumbered(
            &packet.frame.numbering,
            place.picture,
            payload,
            &mut changed,
        );
        self.write(&header, &packet.extensions, bytes, payload, at, way);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        *way.scratch = changed;
        Forwarded::Sent
    }

    /// The decode targets that are left of a packet's stream.
    fn active(&self, packet: &Packet, inbound: &InboundTrack) -> Option<Active> {
        let structure = &inbound.stream(packet.source)?.frames.structure;
        let current = self.filter.current();
        Some(structure.active(current.layer, current.temporal.into()))
    }

    /// Whether a packet belongs to what is sent, or begins it, or changes the layer.
    fn admit(&mut self, packet: &Packet, now: Instant) -> Admission {
        let wanted = self.is_wanted(packet);
        if self.flow == Flow::On {
            if self.rewriter.source() == Some(packet.source) {
                return Admission::Continues;
            }
            if packet.layer == self.layer && wanted {
                // Another stream carries the layer.
                self.flow = Flow::Joining(None);
            } else if !wanted {
                return Admission::Refused(Forwarded::Dropped);
            }
        }
        let begins = match self.flow {
            Flow::Joining(seen) => self.may_join(packet, seen, now),
            _ => self.may_switch(packet),
        };
        match (begins, wanted) {
            (true, _) => Admission::Begins,
            (false, true) => Admission::Refused(Forwarded::NeedsKeyframe),
            (false, false) => Admission::Refused(Forwarded::Dropped),
        }
    }

    /// Whether a packet is part of the layer that is to be sent.
    fn is_wanted(&self, packet: &Packet) -> bool {
        packet.layers >> self.choice.layer & 1 != 0
    }

    /// Whether the layer can change with this packet of the one that is wanted: with a key frame,
    /// or with any frame if it cannot be read.
    fn may_switch(&mut self, packet: &Packet) -> bool {
        let before = self.upcoming.replace(packet.timestamp);
        match packet.frame.keyframe {
            Some(key) => key,
            None => before.is_some_and(|before| before != packet.timestamp),
        }
    }

    fn begin(&mut self, packet: &Packet, inbound: &InboundTrack, now: Instant) {
        let aligned = self.aligned(packet, inbound);
        self.rewriter
            .begin(incoming(packet), packet.clock_rate, aligned, now);
        self.flow = Flow::On;
        self.upcoming = None;
        self.is_scalable = packet.is_scalable;
        self.layer = match packet.is_scalable && self.is_wanted(packet) {
            true => self.choice.layer,
            false => packet.layer,
        };
        let choice = Choice {
            layer: self.layer,
            ..self.choice
        };
        self.filter.begin(packet, choice, now);
    }

    /// How far the timestamps of a packet's stream are to be shifted to go on with those of the
    /// current one, by the sender reports about both.
    fn aligned(&self, packet: &Packet, inbound: &InboundTrack) -> Option<u32> {
        let source = self.rewriter.source()?;
        let current = inbound.stream(source)?.last_sr?;
        let next = inbound.stream(packet.source)?.last_sr?;
        let ticks = next.ntp.ticks_since(current.ntp, packet.clock_rate);
        let same_moment = current.rtp_timestamp.wrapping_add(ticks as u32);
        let offset = self.rewriter.timestamp_offset(source)?;
        Some(offset.wrapping_add(same_moment.wrapping_sub(next.rtp_timestamp)))
    }

    /// Whether a subscriber that has nothing yet can begin with this packet.
    fn may_join(
        &mut self,
        packet: &Packet,
        seen: Option<(Instant, Option<u32>)>,
        now: Instant,
    ) -> bool {
        let (since, before) = seen.unwrap_or((now, None));
        let waited = now.saturating_duration_since(since);
        if !self.is_wanted(packet) {
            self.flow = Flow::Joining(Some((since, before)));
            return packet.frame.keyframe == Some(true) && waited >= LAYER_PATIENCE;
        }
        self.flow = Flow::Joining(Some((since, Some(packet.timestamp))));
        let new_frame = before != Some(packet.timestamp);
        let tired = waited >= KEYFRAME_PATIENCE;
        match packet.frame.keyframe {
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
        let numbers = resend.codec.and_then(|codec| numbering(codec, payload));
        let numbers = numbers.unwrap_or_default();
        let mut changed = std::mem::take(way.scratch);
        let payload = renumbered(&numbers, original.picture, payload, &mut changed);
        let timestamp = header.timestamp.wrapping_add(original.timestamp_offset);
        let mut sent_again = true;
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
                marker: header.marker,
                frame_shift: original.picture.frame,
                active: None,
            };
            self.write(&sent, &extensions, bytes, scratch, at, way);
        } else if resend.may_reseal {
            let sent = Sent {
                number: original.number,
                timestamp,
                payload_type: pt.outbound,
                ssrc: self.config.ssrc,
                marker: header.marker,
                frame_shift: original.picture.frame,
                active: None,
            };
            self.write(&sent, &extensions, bytes, payload, at, way);
        } else {
            sent_again = false;
        }
        *way.scratch = changed;
        sent_again
    }

    /// Sends a packet once more for nothing but its length, `bytes` being the publisher's copy:
    /// receivers drop the retransmission of what they have. Returns whether it was sent.
    pub(super) fn pad(
        &mut self,
        original: Original,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        at: &Moment,
        way: &mut Way<'_, '_>,
    ) -> bool {
        let Some(header) = Header::parse(bytes) else {
            return false;
        };
        let rtx = self.payload_type(header.payload_type);
        let (Some(ssrc), Some(payload_type)) =
            (self.config.rtx_ssrc, rtx.and_then(|pt| pt.outbound_rtx))
        else {
            return false;
        };
        self.rtx_sequence += 1;
        scratch.clear();
        scratch.extend_from_slice(&(original.number as u16).to_be_bytes());
        scratch.extend_from_slice(&bytes[header.payload.clone()]);
        let sent = Sent {
            number: self.rtx_sequence,
            timestamp: header.timestamp.wrapping_add(original.timestamp_offset),
            payload_type,
            ssrc,
            marker: header.marker,
            frame_shift: 0,
            active: None,
        };
        self.write(&sent, &Extensions::default(), bytes, scratch, at, way);
        true
    }

    /// Sends a packet of nothing but padding on the retransmission stream, where a receiver has
    /// nothing to miss. Returns its length; 0 if there is no such stream.
    pub(super) fn pad_empty(
        &mut self,
        scratch: &mut Vec<u8>,
        at: &Moment,
        way: &mut Way<'_, '_>,
    ) -> usize {
        let mut types = self.config.payload_types.iter();
        let payload_type = types.find_map(|map| map.outbound_rtx);
        let (Some(ssrc), Some(payload_type)) = (self.config.rtx_ssrc, payload_type) else {
            return 0;
        };
        self.rtx_sequence += 1;
        scratch.clear();
        scratch.resize(MAX_PADDING_LEN.into(), 0);
        scratch[usize::from(MAX_PADDING_LEN) - 1] = MAX_PADDING_LEN;
        let sent = Sent {
            number: self.rtx_sequence,
            timestamp: 0,
            payload_type,
            ssrc,
            marker: false,
            frame_shift: 0,
            active: None,
        };
        way.outlet.pads = true;
        self.write(&sent, &Extensions::default(), &[], scratch, at, way);
        way.outlet.pads = false;
        scratch.len()
    }

    fn payload_type(&self, inbound: u8) -> Option<PayloadTypeMap> {
        let mut all = self.config.payload_types.iter();
        all.find(|map| map.inbound == inbound).copied()
    }

    fn write(
        &self,
        sent: &Sent,
        extensions: &Extensions,
        bytes: &[u8],
        payload: &[u8],
        at: &Moment,
        way: &mut Way<'_, '_>,
    ) {
        let map = &self.config.extensions;
        let transport_cc = way.downlink.number().to_be_bytes();
        let level = extensions.audio_level.map(|level| [level]);
        let orientation = extensions
            .video_orientation
            .map(|orientation| [orientation]);
        let descriptor = extensions
            .descriptor
            .clone()
            .and_then(|range| bytes.get(range))
            .filter(|_| map.dependency_descriptor.is_some());
        let mut changed = [0; dependency::MAX_LEN];
        let descriptor = descriptor.map(|descriptor| sent.describe(descriptor, &mut changed));

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
            marker: sent.marker,
            payload_type: sent.payload_type,
            sequence: sent.number as u16,
            timestamp: sent.timestamp,
            ssrc: sent.ssrc,
            elements: &elements[..used],
        };
        let to = (self.config.kind, way.to);
        let len = way
            .outlet
            .rtp(&header, payload, sent.number, way.sealer, to);
        way.downlink.sent(len, map.transport_cc.is_some(), at.now);
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
    /// What its payload is.
    pub(super) codec: Option<Codec>,
}

/// What to do with a packet before the frames are looked at.
enum Admission {
    /// It belongs to the stream that is sent.
    Continues,
    /// Its stream is sent from here on.
    Begins,
    /// It is not sent.
    Refused(Forwarded),
}

fn incoming(packet: &Packet) -> Incoming {
    Incoming {
        source: packet.source,
        sequence: packet.sequence,
        timestamp: packet.timestamp,
        picture: packet.frame.picture(),
    }
}

/// The payload with its numbers shifted, in `room` if there is something to shift.
fn renumbered<'a>(
    numbers: &Numbering,
    shift: Picture,
    payload: &'a [u8],
    room: &'a mut Vec<u8>,
) -> &'a [u8] {
    if !numbers.is_changed_by(shift) {
        return payload;
    }
    room.clear();
    room.extend_from_slice(payload);
    numbers.write(shift, room);
    room
}

/// What a packet is called on its way out.
struct Sent {
    number: u64,
    timestamp: u32,
    payload_type: u8,
    ssrc: u32,
    marker: bool,
    /// What is added to the frame number of its dependency descriptor.
    frame_shift: u16,
    /// The decode targets that the descriptor is to say are left.
    active: Option<Active>,
}

impl Sent {
    /// The dependency descriptor, in `room` if it changes.
    fn describe<'a>(
        &self,
        descriptor: &'a [u8],
        room: &'a mut [u8; dependency::MAX_LEN],
    ) -> &'a [u8] {
        if (self.frame_shift, self.active) == (0, None) {
            return descriptor;
        }
        let len = dependency::rewrite(descriptor, self.frame_shift, self.active, room);
        len.map_or(descriptor, |len| &room[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::sfu::MediaKind;
    use crate::sfu::frame::Frame;

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
            layer: 0,
            layers: 1,
            is_scalable: false,
            frame: Frame {
                keyframe,
                ..Frame::default()
            },
            sequence: 70_000,
            timestamp,
            clock_rate: 90_000,
            marker: false,
            payload_type: 96,
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
        track.want(true);
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
