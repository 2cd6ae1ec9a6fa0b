//! The recording tap: one publication's packets, decrypted, for somebody in this process. It never
//! slows a call: packets are copied into batches from a pool of fixed size, and what finds no room
//! is dropped and counted.
//!
//! A full batch leaves with `Engine::poll_tap` and comes back, read, with `Engine::return_tap`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::command::{Codec, TapConfig, TapId};
use super::datagram::ReceiveSlab;
use super::inbound::InboundTrack;
use super::parcel::NOWHERE;
use super::publication::Publication;
use super::selector::{Manner, Selection, Selector};
use super::waiting::Pending;
use super::{MediaKind, PublicationId};
use crate::rtp::rtcp::report::SenderInfo;

/// Packets per batch.
const PACKETS: usize = 64;

/// Batches of one tap that may be under way: three seconds of good video.
pub const MAX_BATCHES: usize = 16;

/// A batch that is not full leaves with the first packet after this time, if there is none that
/// the reader has not read.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// Packets of one tap, in the order in which they came.
#[derive(Debug)]
pub struct TapBatch {
    /// Whose.
    pub tap: TapId,
    /// What they are.
    pub packets: Vec<TapPacket>,
    /// Packets of the publication that found no room before the first one here.
    pub dropped: u64,
    /// Whether it is the last one: the tap or its publication is gone.
    pub last: bool,
    payloads: ReceiveSlab,
    begun_at: Instant,
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapPacket {
    /// Audio or video.
    pub kind: MediaKind,
    /// What its payload is.
    pub codec: Codec,
    /// Its number; what is left out because of its layer leaves no hole.
    pub number: u64,
    /// Its timestamp, which goes on when the layer changes.
    pub timestamp: u32,
    /// Ticks of that per second.
    pub clock_rate: u32,
    /// Whether its frame ends with it.
    pub marker: bool,
    /// Whether a decoder can begin with it; `None` if that cannot be read.
    pub keyframe: Option<bool>,
    /// The publisher's last report of which moment belongs to which of these timestamps.
    pub report: Option<SenderInfo>,
}

impl TapBatch {
    fn new(tap: TapId, now: Instant) -> Self {
        Self {
            tap,
            packets: Vec::with_capacity(PACKETS),
            dropped: 0,
            last: false,
            payloads: ReceiveSlab::new(PACKETS),
            begun_at: now,
        }
    }

    /// The payload of packet `index`.
    pub fn payload(&self, index: usize) -> &[u8] {
        self.payloads.datagram(index)
    }

    fn is_full(&self) -> bool {
        self.packets.len() == PACKETS
    }
}

/// One tap.
#[derive(Debug)]
struct Tap {
    config: TapConfig,
    audio: Selector,
    video: Selector,
    /// The version of the publisher's layers that was chosen from.
    chosen_from: Option<u32>,
    open: Option<Box<TapBatch>>,
    #[expect(clippy::vec_box, reason = "they travel in these boxes")]
    free: Vec<Box<TapBatch>>,
    /// Batches that exist, wherever they are.
    made: usize,
    dropped: u64,
    /// Whether video was dropped, so that it begins anew with a key frame.
    is_torn: bool,
    has_ended: bool,
}

/// All taps of a worker.
#[derive(Debug, Default)]
pub(super) struct Taps {
    taps: Vec<Tap>,
    ready: VecDeque<Box<TapBatch>>,
}

impl Taps {
    /// Begins a tap.
    pub(super) fn add(&mut self, config: TapConfig) {
        let mut tap = Tap {
            config,
            audio: Selector::new(0),
            video: Selector::new(0),
            chosen_from: None,
            open: None,
            free: Vec::new(),
            made: 0,
            dropped: 0,
            is_torn: false,
            has_ended: false,
        };
        tap.audio.want(config.wanted.audio);
        tap.video.want(config.wanted.video);
        self.taps.push(tap);
    }

    /// How many taps a publication has.
    pub(super) fn count(&self, publication: PublicationId) -> usize {
        let live = self.taps.iter().filter(|tap| !tap.has_ended);
        live.filter(|tap| tap.config.publication == publication)
            .count()
    }

    /// Ends the taps for which `ends` says so; a last batch follows.
    pub(super) fn end(&mut self, now: Instant, ends: impl Fn(&TapConfig) -> bool) {
        for tap in self.taps.iter_mut().filter(|tap| ends(&tap.config)) {
            tap.has_ended = true;
        }
        self.flush_ended(now);
    }

    /// Hands out what ended taps still have; those without room for it wait.
    fn flush_ended(&mut self, now: Instant) {
        let ready = &mut self.ready;
        self.taps.retain_mut(|tap| {
            if !tap.has_ended {
                return true;
            }
            let Some(mut last) = tap.batch(now) else {
                return true;
            };
            last.last = true;
            ready.push_back(last);
            false
        });
    }

    /// Copies what is fresh of a publication; returns the layers, as bits, that a key frame is
    /// needed of.
    pub(super) fn forward(&mut self, publication: &Publication, now: Instant) -> u8 {
        let id = publication.id;
        let live = |tap: &&mut Tap| tap.config.publication == id && !tap.has_ended;
        let mut keyframes = 0;
        for tap in self.taps.iter_mut().filter(live) {
            tap.choose(publication, now);
            for pending in publication.waiting.fresh() {
                let track = &publication.tracks[pending.track];
                let Some(bytes) = pending.bytes(&publication.tracks) else {
                    continue;
                };
                keyframes |= tap.take(pending, track, bytes, now, &mut self.ready);
            }
        }
        keyframes
    }

    /// The next batch that is ready.
    pub(super) fn poll(&mut self) -> Option<Box<TapBatch>> {
        self.ready.pop_front()
    }

    /// Takes a batch back.
    pub(super) fn take_back(&mut self, mut batch: Box<TapBatch>, now: Instant) {
        batch.packets.clear();
        batch.payloads.clear();
        if let Some(tap) = self.taps.iter_mut().find(|tap| tap.config.id == batch.tap) {
            tap.free.push(batch);
        }
        self.flush_ended(now);
    }
}

impl Tap {
    /// Chooses layers, if what there is has changed.
    fn choose(&mut self, publication: &Publication, now: Instant) {
        let Some(track) = publication.track(MediaKind::Video) else {
            return;
        };
        if self.chosen_from.replace(track.layers.version) == Some(track.layers.version) {
            return;
        }
        let choice = track.layers.choose(&self.config.wanted).unwrap_or_default();
        self.video.choose(choice, Manner::default(), now);
    }

    /// Copies a packet, if it is one of those wanted and there is room.
    fn take(
        &mut self,
        pending: &Pending,
        track: &InboundTrack,
        bytes: &[u8],
        now: Instant,
        ready: &mut VecDeque<Box<TapBatch>>,
    ) -> u8 {
        let packet = &pending.packet;
        let Some(codec) = track.codec(packet.payload_type) else {
            return 0;
        };
        let waits = self.free.len() + 1 == self.made;
        ready.extend(self.open.take_if(|open| {
            let age = now.saturating_duration_since(open.begun_at);
            open.is_full() || waits && age >= MAX_WAIT
        }));
        let is_video = packet.kind == MediaKind::Video;
        let Some(mut batch) = self.batch(now) else {
            self.dropped += 1;
            self.is_torn |= is_video;
            return 0;
        };
        let selector = match packet.kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        };
        if is_video && std::mem::take(&mut self.is_torn) {
            selector.rejoin();
        }
        let selection = selector.select(packet, track, now);
        if let Selection::Passes(selected) = selection {
            let report = track
                .stream(packet.source)
                .and_then(|stream| stream.last_sr);
            let offset = selected.place.timestamp.wrapping_sub(packet.timestamp);
            batch.payloads.push(&bytes[packet.payload.clone()], NOWHERE);
            batch.packets.push(TapPacket {
                kind: packet.kind,
                codec: codec.codec,
                number: selected.place.number,
                timestamp: selected.place.timestamp,
                clock_rate: packet.clock_rate,
                marker: packet.marker || selected.ends_picture,
                keyframe: packet.frame.keyframe,
                report: report.map(|report| SenderInfo {
                    rtp_timestamp: report.rtp_timestamp.wrapping_add(offset),
                    ..report
                }),
            });
        }
        self.open = Some(batch);
        match selection {
            Selection::NeedsKeyframe => 1 << packet.layer,
            _ => 0,
        }
    }

    /// The open batch, or a fresh one; `None` if all are under way.
    fn batch(&mut self, now: Instant) -> Option<Box<TapBatch>> {
        if let Some(open) = self.open.take() {
            return Some(open);
        }
        let mut fresh = match self.free.pop() {
            Some(free) => free,
            None if self.made < MAX_BATCHES => {
                self.made += 1;
                Box::new(TapBatch::new(self.config.id, now))
            }
            None => return None,
        };
        fresh.begun_at = now;
        fresh.dropped = std::mem::take(&mut self.dropped);
        Some(fresh)
    }
}
