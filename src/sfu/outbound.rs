//! A subscriber's track: what of the publisher's packets leaves, and under which numbers.

use std::time::Duration;

use super::MediaKind;
use super::command::{OutboundTrackConfig, PayloadTypeMap};
use super::downlink::Downlink;
use super::inbound::InboundTrack;
use super::moment::Moment;
use super::outlet::Outlet;
use super::pack::Sound;
use super::packet::{Extensions, Packet};
use super::path::Path;
use super::resend::{Form, Resends, Stamps};
use super::rollover::Rollovers;
use super::selector::{Selection, Selector};
use super::stats::{OutboundRtp, OutboundTally, RemoteInboundRtp};
use crate::rtp::codec::dependency::{self, Active};
use crate::rtp::codec::{Numbering, Picture};
use crate::rtp::extension::Element;
use crate::rtp::header::Outgoing;
use crate::rtp::rtcp::report::ReportBlock;
use crate::srtp::Sealer;

/// One `m=` section towards a subscriber.
#[derive(Debug)]
pub(super) struct OutboundTrack {
    pub(super) config: OutboundTrackConfig,
    pub(super) selector: Selector,
    /// Extended number of the last retransmission.
    pub(super) rtx_sequence: u64,
    pub(super) resends: Resends,
    /// How many copies of earlier packets leave with each one, if that was agreed.
    pub(super) copies: u8,
    /// Bytes of these, ever.
    pub(super) copied_bytes: u64,
    /// Of media and of retransmissions.
    rollovers: [Rollovers; 2],
    pub(super) tally: OutboundTally,
    /// What the subscriber reported last.
    pub(super) remote: Option<RemoteInboundRtp>,
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
    /// How many keys there were before those of `sealer`.
    pub(super) era: u32,
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
            selector: Selector::new(start),
            rtx_sequence: rtx_start,
            resends: Resends::new(),
            copies: 0,
            copied_bytes: 0,
            rollovers: Default::default(),
            tally: OutboundTally::default(),
            remote: None,
        }
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
        let Some(pt) = self.payload_type(packet.payload_type) else {
            self.selector.skip(packet);
            return Forwarded::Dropped;
        };
        let selected = match self.selector.select(packet, inbound, at.now) {
            Selection::Passes(selected) => selected,
            Selection::Dropped => return Forwarded::Dropped,
            Selection::NeedsKeyframe => return Forwarded::NeedsKeyframe,
        };
        let place = selected.place;
        let payload = &bytes[packet.payload.clone()];
        let mut header = Sent {
            number: place.number,
            timestamp: place.timestamp,
            payload_type: pt.outbound,
            ssrc: self.config.ssrc,
            marker: packet.marker || selected.ends_picture,
            frame_shift: place.picture.frame,
            active: selected.active,
            stamps: None,
        };
        let mut changed = std::mem::take(way.scratch);
        let sound = Sound {
            number: place.number,
            timestamp: place.timestamp,
            payload_type: pt.outbound,
            payload,
        };
        let earlier = self.pack(sound, self.copies, inbound, &mut changed);
        let alone = payload.len();
        let payload = match self.config.redundancy.filter(|_| earlier > 0) {
            Some(red) => {
                header.payload_type = red.outbound;
                &changed[..]
            }
            None => renumbered(
                &packet.frame.numbering,
                place.picture,
                payload,
                &mut changed,
            ),
        };
        if let Some(stamps) = self.write(&header, &packet.extensions, bytes, payload, at, way) {
            let form = Form {
                stamps,
                payload_type: pt.outbound,
                earlier,
            };
            self.resends
                .remember(place.number, self.config.kind, form, selected.ends_picture);
            self.tally.packets_sent += 1;
            self.tally.bytes_sent += payload.len() as u64;
            self.tally.frames_sent += u64::from(header.marker);
            self.copied_bytes += payload.len().saturating_sub(alone) as u64;
            way.outlet.traffic.redundant += u64::from(earlier > 0);
        }
        *way.scratch = changed;
        Forwarded::Sent
    }

    /// Its statistics.
    pub(super) fn describe(&self) -> OutboundRtp {
        let current = self.selector.current();
        OutboundRtp {
            kind: self.config.kind,
            ssrc: self.config.ssrc,
            layers: current.map(|choice| (choice.layer, choice.temporal)),
            tally: self.tally,
            remote: self.remote,
        }
    }

    /// Takes note of a subscriber's report about this track.
    pub(super) fn reported(&mut self, block: &ReportBlock, rtt: Option<Duration>) {
        let known = self.remote.and_then(|remote| remote.round_trip_time);
        // Audio is of 48 kHz, all video of 90 kHz.
        let rate = match self.config.kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        };
        self.remote = Some(RemoteInboundRtp {
            packets_lost: block.lost,
            fraction_lost: f32::from(block.fraction_lost) / 256.0,
            jitter: Duration::from_secs(block.jitter.into()) / rate,
            round_trip_time: rtt.or(known),
        });
    }

    pub(super) fn payload_type(&self, inbound: u8) -> Option<PayloadTypeMap> {
        let mut all = self.config.payload_types.iter();
        all.find(|map| map.inbound == inbound).copied()
    }

    /// Writes a packet and gives it away; returns what of its header cannot be derived later.
    /// `None`: its number is of no use with the keys that there are now.
    pub(super) fn write(
        &mut self,
        sent: &Sent,
        extensions: &Extensions,
        bytes: &[u8],
        payload: &[u8],
        at: &Moment,
        way: &mut Way<'_, '_>,
    ) -> Option<Stamps> {
        let rollovers = &mut self.rollovers[usize::from(sent.ssrc != self.config.ssrc)];
        let index = rollovers.index(sent.number, way.era)?;
        let map = &self.config.extensions;
        let stamps = sent.stamps.unwrap_or(Stamps {
            transport_cc: way.downlink.number(),
            abs_send_time: at.abs_send_time,
        });
        let transport_cc = stamps.transport_cc.to_be_bytes();
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
            (map.abs_send_time, Some(&stamps.abs_send_time[..])),
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
        let len = way.outlet.rtp(&header, payload, index, way.sealer, to);
        let is_new = sent.stamps.is_none() && map.transport_cc.is_some();
        way.downlink.sent(len, is_new, at.now);
        Some(stamps)
    }
}

/// The payload with its numbers shifted, in `room` if there is something to shift.
pub(super) fn renumbered<'a>(
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
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) number: u64,
    pub(super) timestamp: u32,
    pub(super) payload_type: u8,
    pub(super) ssrc: u32,
    pub(super) marker: bool,
    /// What is added to the frame number of its dependency descriptor.
    pub(super) frame_shift: u16,
    /// The decode targets that the descriptor is to say are left.
    pub(super) active: Option<Active>,
    /// What it said of its sending when it was sent first.
    pub(super) stamps: Option<Stamps>,
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
