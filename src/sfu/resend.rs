//! Sending again: what a subscriber misses, and what finds out how much its network carries.

use std::time::Duration;

use super::MediaKind;
use super::command::Codec;
use super::frame::numbering;
use super::inbound::InboundTrack;
use super::moment::Moment;
use super::nack::ResendLimit;
use super::outbound::{OutboundTrack, Sent, Way, renumbered};
use super::pack::Sound;
use super::packet::Extensions;
use super::rewrite::Original;
use crate::rtp::header::Header;

/// Most bytes of padding in a packet; the last one says how many they are (RFC 3550, 5.1).
const MAX_PADDING_LEN: u8 = 255;

/// Packets of audio that can be sent again: two and a half seconds of 20 ms each.
const STAMPED: usize = 128;

/// Marks of our own that are remembered; one for each picture.
const MARKED: usize = 64;

/// What to send again, and within which limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resend {
    /// The packet.
    pub(super) original: Original,
    /// A packet leaves once per round trip.
    pub(super) rtt: Duration,
    /// Whether a packet may leave under its old number, though its header is another.
    pub(super) may_reseal: bool,
    /// What its payload is.
    pub(super) codec: Option<Codec>,
}

/// What a packet's header said of its sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamps {
    pub(super) transport_cc: u16,
    pub(super) abs_send_time: [u8; 3],
}

/// How a packet of audio left: it must leave again just so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) stamps: Stamps,
    /// The payload type that it has alone.
    pub(super) payload_type: u8,
    /// How many earlier packets were in it.
    pub(super) earlier: u8,
}

/// What is remembered of sent packets for the case that they are to be sent again.
#[derive(Debug)]
pub(super) struct Resends {
    pub(super) limit: ResendLimit,
    /// By number. Audio has no stream for retransmissions: the same packet leaves once more, byte
    /// for byte. A key that met its number with another payload would give both away (RFC 3711, 9.1),
    /// and with another header the key of the tags (RFC 7714, 8.1).
    forms: Vec<(u64, Form)>,
    /// By number, the packets whose mark is ours.
    marked: Vec<u64>,
}

impl Resends {
    pub(super) fn new() -> Self {
        Self {
            limit: ResendLimit::new(),
            forms: Vec::new(),
            marked: Vec::new(),
        }
    }

    /// Takes note of a packet that leaves for the first time.
    pub(super) fn remember(&mut self, number: u64, kind: MediaKind, form: Form, marked: bool) {
        if kind == MediaKind::Audio {
            if self.forms.is_empty() {
                self.forms = vec![(u64::MAX, form); STAMPED];
            }
            self.forms[number as usize % STAMPED] = (number, form);
        }
        if marked {
            if self.marked.is_empty() {
                self.marked = vec![u64::MAX; MARKED];
            }
            self.marked.rotate_right(1);
            self.marked[0] = number;
        }
    }

    fn form(&self, number: u64) -> Option<Form> {
        let (of, form) = self.forms.get(number as usize % STAMPED)?;
        (*of == number).then_some(*form)
    }

    fn was_marked(&self, number: u64) -> bool {
        self.marked.contains(&number)
    }
}

impl OutboundTrack {
    /// Sends a packet again from the publisher's copy. Returns whether it was sent.
    pub(super) fn resend(
        &mut self,
        resend: &Resend,
        bytes: &[u8],
        inbound: &InboundTrack,
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
        let limit = &mut self.resends.limit;
        if !limit.allow(original.number, bytes.len(), resend.rtt, at.now) {
            return false;
        }
        let mut sent = Sent {
            number: original.number,
            timestamp: header.timestamp.wrapping_add(original.timestamp_offset),
            payload_type: pt.outbound,
            ssrc: self.config.ssrc,
            marker: header.marker || self.resends.was_marked(original.number),
            frame_shift: original.picture.frame,
            ..Sent::default()
        };
        let extensions = Extensions::read(&header, bytes, &inbound.config.extensions);
        let payload = &bytes[header.payload.clone()];
        let numbers = resend.codec.and_then(|codec| numbering(codec, payload));
        let mut changed = std::mem::take(way.scratch);
        let numbers = numbers.unwrap_or_default();
        let mut payload = renumbered(&numbers, original.picture, payload, &mut changed);
        let mut may_leave = true;
        if let (Some(ssrc), Some(payload_type)) = (self.config.rtx_ssrc, pt.outbound_rtx) {
            self.rtx_sequence += 1;
            scratch.clear();
            scratch.extend_from_slice(&(original.number as u16).to_be_bytes());
            scratch.extend_from_slice(payload);
            (sent.number, sent.ssrc) = (self.rtx_sequence, ssrc);
            sent.payload_type = payload_type;
            payload = scratch;
        } else if self.config.kind == MediaKind::Video {
            may_leave = resend.may_reseal;
        } else {
            let sound = Sound {
                number: sent.number,
                timestamp: sent.timestamp,
                payload_type: sent.payload_type,
                payload,
            };
            let form = self.resends.form(original.number);
            let again = form.and_then(|form| self.pack_again(sound, form, inbound, scratch));
            may_leave = again.is_some();
            sent.stamps = form.map(|form| form.stamps);
            if let Some(red) = again.flatten() {
                sent.payload_type = red;
                payload = scratch;
            }
        }
        let has_left = may_leave
            && self
                .write(&sent, &extensions, bytes, payload, at, way)
                .is_some();
        self.tally.retransmitted_packets_sent += u64::from(has_left);
        *way.scratch = changed;
        has_left
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
            ..Sent::default()
        };
        self.write(&sent, &Extensions::default(), bytes, scratch, at, way)
            .is_some()
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
            payload_type,
            ssrc,
            ..Sent::default()
        };
        way.outlet.pads = true;
        self.write(&sent, &Extensions::default(), &[], scratch, at, way);
        way.outlet.pads = false;
        scratch.len()
    }
}
