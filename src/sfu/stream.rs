//! One stream of a publisher's track: what is known of it, and its recent packets.

use std::time::{Duration, Instant};

use super::MediaKind;
use super::cache::Cache;
use super::command::Codec;
use super::frame::{FrameReader, MAX_SPATIAL};
use super::keyframe::KeyframeRequests;
use super::nack::{AUDIO_AGE, Arrival, Gaps, VIDEO_AGE};
use super::packet::Packet;
use super::report::ReceiveStats;
use super::stats::{InboundRtp, InboundTally};
use crate::rtp::codec::Size;
use crate::rtp::header::Header;
use crate::rtp::rtcp::report::SenderInfo;
use crate::rtp::seq::Extender;

/// Packets kept for retransmission: at 4 Mbit/s about two and a half seconds of video.
const VIDEO_CACHE: (usize, usize) = (1024, 1500);

/// The same for audio: two and a half seconds of packets of 20 ms.
const AUDIO_CACHE: (usize, usize) = (128, 640);

/// One SSRC of media, with its retransmissions.
#[derive(Debug)]
pub(super) struct Stream {
    /// Names the stream inside its publication; never reused.
    pub(super) source: u32,
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: Option<u32>,
    pub(super) rid: Option<String>,
    /// Its simulcast layer, 0 the lowest.
    pub(super) layer: usize,
    /// The sizes of its spatial layers, as its last key frame told them.
    pub(super) sizes: [Option<Size>; MAX_SPATIAL],
    pub(super) frames: FrameReader,
    numbers: Extender,
    pub(super) gaps: Gaps,
    pub(super) stats: ReceiveStats,
    pub(super) tally: InboundTally,
    pub(super) cache: Cache,
    pub(super) keyframes: KeyframeRequests,
    pub(super) last_sr: Option<SenderInfo>,
    pub(super) clock_rate: u32,
    /// The codec of its last packet.
    pub(super) codec: Option<Codec>,
    pub(super) last_at: Instant,
}

impl Stream {
    /// A stream without packets. `names`: its own, its SSRC, and that of its retransmissions.
    pub(super) fn new(
        kind: MediaKind,
        names: (u32, u32, Option<u32>),
        rid: Option<&str>,
        layer: usize,
        now: Instant,
    ) -> Self {
        let ((slots, slot_len), max_age) = match kind {
            MediaKind::Audio => (AUDIO_CACHE, AUDIO_AGE),
            MediaKind::Video => (VIDEO_CACHE, VIDEO_AGE),
        };
        let (source, ssrc, rtx_ssrc) = names;
        Self {
            source,
            ssrc,
            rtx_ssrc,
            rid: rid.map(str::to_owned),
            layer,
            sizes: [None; MAX_SPATIAL],
            frames: FrameReader::default(),
            numbers: Extender::default(),
            gaps: Gaps::new(max_age),
            stats: ReceiveStats::default(),
            tally: InboundTally::default(),
            cache: Cache::new(slots, slot_len),
            keyframes: KeyframeRequests::default(),
            last_sr: None,
            clock_rate: 0,
            codec: None,
            last_at: now,
        }
    }

    /// Takes note that a packet has come, in its original form; returns its extended number.
    /// `arrival` is in ticks of the media clock. What is inside has no part in what is reported to
    /// the publisher, which is about the network.
    pub(super) fn receive(
        &mut self,
        header: &Header,
        rtx: bool,
        arrival: u64,
        now: Instant,
    ) -> u64 {
        self.last_at = now;
        if rtx {
            return self.numbers.peek(header.sequence);
        }
        let sequence = self.numbers.extend(header.sequence);
        self.stats.receive(sequence, header.timestamp, arrival);
        sequence
    }

    /// What the number of a packet that has come says.
    pub(super) fn place(&mut self, sequence: u64, rtx: bool, now: Instant) -> Arrival {
        if !rtx {
            return self.gaps.receive(sequence, now);
        }
        let arrival = self.gaps.recover(sequence, now);
        self.tally.retransmitted_packets_received += u64::from(arrival == Arrival::Recovered);
        arrival
    }

    /// Its statistics.
    pub(super) fn describe(&self, kind: MediaKind) -> InboundRtp {
        let (packets_received, packets_lost, jitter) = self.stats.totals();
        let jitter = f64::from(jitter) / f64::from(self.clock_rate.max(1));
        InboundRtp {
            kind,
            ssrc: self.ssrc,
            codec: self.codec,
            layer: self.layer,
            packets_received,
            packets_lost,
            jitter: Duration::from_secs_f64(jitter),
            tally: self.tally,
            size: self.largest(),
        }
    }

    fn largest(&self) -> Option<Size> {
        self.sizes.iter().rev().copied().flatten().next()
    }

    /// How large the pictures of a packet's layer are; of a stream that is one layer of several, its
    /// largest ones.
    pub(super) fn size(&self, packet: &Packet) -> Option<Size> {
        match packet.is_scalable {
            true => *self.sizes.get(packet.layer)?,
            false => self.largest(),
        }
    }
}
