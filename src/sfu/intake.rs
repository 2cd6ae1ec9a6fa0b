//! What becomes of a publisher's packet until it waits to be forwarded.

use std::time::Instant;

use super::MediaKind;
use super::command::Codec;
use super::frame::Frame;
use super::inbound::{InboundTrack, Route};
use super::layer::MAX_LAYERS;
use super::moment::Moment;
use super::nack::Arrival;
use super::packet::{Extensions, Packet, text_element};
use super::publication::{Publication, Refused};
use super::unpack::{Restored, strip};
use super::waiting::{Pending, Waiting};
use crate::rtp::header::{FIXED_LEN, Header};
use crate::rtp::red::Red;

/// A packet in its original form within a datagram.
struct Original {
    header: Header,
    start: usize,
    extensions: Extensions,
    rtx: bool,
}

/// Where a packet goes.
struct Intake<'a> {
    track: &'a mut InboundTrack,
    /// Which of the publication's tracks that is.
    number: usize,
    /// Which of the track's streams.
    index: usize,
    /// Whether anybody is there to forward to.
    forwarded: bool,
    at: &'a Moment,
    waiting: &'a mut Waiting,
    /// Counts what came inside later packets.
    restored: &'a mut u64,
}

impl Publication {
    /// Decrypts a datagram of RTP in place and keeps it until it is forwarded. Returns how many
    /// packets it brought.
    pub(super) fn receive_rtp(
        &mut self,
        datagram: &mut [u8],
        at: &Moment,
    ) -> Result<usize, Refused> {
        let opened = self.transport.open_rtp(datagram, at.now);
        let len = opened.ok_or(Refused::Media)?;
        let bytes = datagram.get_mut(..len).ok_or(Refused::Malformed)?;
        let header = Header::parse(bytes).ok_or(Refused::Malformed)?;
        let Some((number, route)) = self.route(&header, bytes, at.now) else {
            return self.receive_stray(&header, bytes, at);
        };
        let forwarded = self.is_watched();
        let track = &mut self.tracks[number];
        let extensions = Extensions::read(&header, bytes, &track.config.extensions);
        if let Some(number) = extensions.transport_cc {
            self.arrivals.record(number, at.now);
        }
        let (index, original) = match route {
            Route::Media(index) => (
                index,
                Original {
                    header,
                    start: 0,
                    extensions,
                    rtx: false,
                },
            ),
            Route::Rtx(index) => match unwrap_rtx(track, index, &header, bytes) {
                Some(original) => (index, original),
                // Probing with nothing but padding.
                None => return Ok(0),
            },
        };
        let waited = self.waiting.fresh().len();
        let intake = Intake {
            track,
            number,
            index,
            forwarded,
            at,
            waiting: &mut self.waiting,
            restored: &mut self.restored,
        };
        intake.receive(original, bytes)?;
        Ok(self.waiting.fresh().len() - waited)
    }

    /// Takes note of a packet of an unknown stream, as browsers probe with before a layer begins:
    /// it has come, which is what they want to know. In a bundle all sections number their
    /// extensions alike (RFC 8843, 9.2).
    fn receive_stray(
        &mut self,
        header: &Header,
        packet: &[u8],
        at: &Moment,
    ) -> Result<usize, Refused> {
        let known = |track: &&InboundTrack| track.has_payload_type(header.payload_type);
        let track = self.tracks.iter().find(known).ok_or(Refused::Malformed)?;
        let extensions = Extensions::read(header, packet, &track.config.extensions);
        let number = extensions.transport_cc.ok_or(Refused::Malformed)?;
        self.arrivals.record(number, at.now);
        Ok(0)
    }

    /// The track and stream of a packet: by SSRC, else mid, else a payload type that only one
    /// track has (RFC 8843, 9.2).
    fn route(&mut self, header: &Header, packet: &[u8], now: Instant) -> Option<(usize, Route)> {
        let known =
            |(index, track): (usize, &InboundTrack)| Some((index, track.route(header.ssrc)?));
        if let Some(found) = self.tracks.iter().enumerate().find_map(known) {
            return Some(found);
        }
        let declared = self
            .tracks
            .iter()
            .position(|track| track.declares(header.ssrc));
        let index = declared.or_else(|| {
            self.tracks.iter().position(|track| {
                let mid = text_element(header, packet, track.config.extensions.mid);
                mid == Some(track.config.mid.as_str())
            })
        });
        let index = index.or_else(|| {
            let fits = |track: &InboundTrack| track.has_payload_type(header.payload_type);
            let index = self.tracks.iter().position(fits)?;
            (!self.tracks[index + 1..].iter().any(fits)).then_some(index)
        })?;
        let source = self.next_source;
        self.next_source = self.next_source.wrapping_add(1);
        Some((
            index,
            self.tracks[index].learn(header, packet, source, now)?,
        ))
    }
}

impl Intake<'_> {
    /// Takes note of a packet. If it is to be forwarded, it is copied to the cache and waits; and so
    /// does what it has of packets that did not come, in front of it.
    fn receive(mut self, original: Original, bytes: &mut [u8]) -> Result<(), Refused> {
        let Original {
            mut header,
            mut start,
            extensions,
            rtx,
        } = original;
        let now = self.at.now;
        let payload = &bytes[start..][header.payload.clone()];
        let red = match self.track.is_red(header.payload_type) {
            true => Some(Red::parse(payload).ok_or(Refused::Malformed)?),
            false => None,
        };
        let payload_type = red.map_or(header.payload_type, |red| red.payload_type);
        let codec = self.track.codec(payload_type).ok_or(Refused::Malformed)?;
        if red.is_some() && codec.codec != Codec::Opus {
            return Err(Refused::Malformed);
        }
        let (clock_rate, codec) = (codec.clock_rate, codec.codec);
        let selected = self.track.select(self.index, now);
        let ticks = self.at.ticks(clock_rate);
        let stream = &mut self.track.streams[self.index];
        (stream.clock_rate, stream.codec) = (clock_rate, Some(codec));
        let sequence = stream.receive(&header, rtx, ticks, now);
        if let Some(red) = red {
            if selected && self.forwarded {
                self.restore((sequence, header.timestamp), &red);
            }
            let len = red.primary.len();
            start += strip(&mut bytes[start..], &mut header, payload_type, len);
        }
        let stream = &mut self.track.streams[self.index];
        let arrival = stream.place(sequence, rtx, now);
        let bytes = &mut bytes[start..];
        let payload = &bytes[header.payload.clone()];
        let descriptor = extensions.descriptor.clone();
        let descriptor = descriptor.map(|range| &bytes[range]);
        let encrypted = self.track.config.encrypted;
        let kind = self.track.config.kind;
        let mut frame = stream.frames.read(codec, payload, descriptor, encrypted);
        if payload.is_empty() {
            frame.keyframe = Some(kind == MediaKind::Audio);
        }
        if arrival == Arrival::Stale {
            stream.tally.packets_discarded += 1;
            return Ok(());
        }
        let is_key = kind == MediaKind::Video && frame.keyframe == Some(true);
        let tally = &mut stream.tally;
        tally.receive(payload.len(), header.timestamp, is_key);
        if !selected {
            return Ok(());
        }
        let packet = Packet {
            kind,
            source: stream.source,
            layer: 0,
            layers: 0,
            is_scalable: false,
            frame,
            sequence,
            timestamp: header.timestamp,
            clock_rate,
            marker: header.marker,
            payload_type,
            payload: header.payload.clone(),
            extensions,
        };
        let packet = sort(self.track, self.index, packet);
        self.track.measure(self.index, &packet, now);
        if !self.forwarded {
            return Ok(());
        }
        if kind == MediaKind::Video {
            self.follow_keyframes(codec, &packet, arrival, payload);
        }
        // Padding is cut off, so the copy must not claim any.
        bytes[0] &= !0x20;
        let stream = &mut self.track.streams[self.index];
        let whole = &bytes[..header.payload.end];
        let pending = Pending::keep(self.number, packet, whole, &mut stream.cache, now);
        self.waiting.push(pending);
        Ok(())
    }

    /// Asks for key frames where they are needed, and takes note of one that has come.
    fn follow_keyframes(
        &mut self,
        codec: Codec,
        packet: &Packet,
        arrival: Arrival,
        payload: &[u8],
    ) {
        let encrypted = self.track.config.encrypted;
        let stream = &mut self.track.streams[self.index];
        if arrival == Arrival::AfterGap {
            stream.keyframes.want();
        }
        match packet.frame.keyframe {
            Some(true) => {
                stream.keyframes.arrived();
                let sizes = stream.frames.sizes(codec, payload, encrypted);
                self.track.resize(self.index, packet, sizes);
            }
            None => stream.keyframes.presume_arrived(self.at.now),
            Some(false) => {}
        }
    }

    /// Has what a packet of RED has of packets that did not come wait to be forwarded.
    fn restore(&mut self, place: (u64, u32), red: &Red<'_>) {
        let stream = &mut self.track.streams[self.index];
        let (source, clock_rate) = (stream.source, stream.clock_rate);
        let (track, waiting, count) = (self.number, &mut *self.waiting, &mut *self.restored);
        stream.restore(place, red, self.at.now, |restored| {
            let packet = again(restored, source, clock_rate, red.payload_type);
            waiting.push(Pending::cached(track, packet));
            *count += 1;
        });
    }
}

/// A packet of Opus that did not come, as it waits in the cache.
fn again(restored: Restored, source: u32, clock_rate: u32, payload_type: u8) -> Packet {
    Packet {
        kind: MediaKind::Audio,
        source,
        layer: 0,
        layers: 1,
        is_scalable: false,
        frame: Frame {
            keyframe: Some(true),
            ..Frame::default()
        },
        sequence: restored.sequence,
        timestamp: restored.timestamp,
        clock_rate,
        marker: false,
        payload_type,
        payload: FIXED_LEN..FIXED_LEN + restored.len,
        extensions: Extensions::default(),
    }
}

/// Finds a packet's place among the layers of its track: that of its stream, or that of its frame
/// in a stream of several spatial layers.
fn sort(track: &InboundTrack, index: usize, mut packet: Packet) -> Packet {
    packet.is_scalable = track.is_scalable(index);
    packet.layer = track.streams[index].layer;
    packet.layers = 1 << packet.layer;
    if packet.is_scalable {
        packet.layer = usize::from(packet.frame.spatial).min(MAX_LAYERS - 1);
        packet.layers = packet.frame.needed_by;
    }
    packet
}

/// Turns a retransmission into what was lost, in place (RFC 4588, 4): the original sequence
/// number gives its two bytes to a header that moves up.
fn unwrap_rtx(
    track: &InboundTrack,
    index: usize,
    header: &Header,
    bytes: &mut [u8],
) -> Option<Original> {
    let pt = track.repaired_payload_type(header.payload_type)?;
    let head = header.payload.start;
    let original: [u8; 2] = *bytes.get(header.payload.clone())?.first_chunk()?;
    bytes.copy_within(..head, 2);
    let packet = &mut bytes[2..];
    packet[1] = u8::from(header.marker) << 7 | pt;
    packet[2..4].copy_from_slice(&original);
    packet[8..12].copy_from_slice(&track.streams[index].ssrc.to_be_bytes());
    let header = Header::parse(packet)?;
    let extensions = Extensions::read(&header, packet, &track.config.extensions);
    Some(Original {
        header,
        start: 2,
        extensions,
        rtx: true,
    })
}
