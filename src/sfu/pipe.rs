//! The pipe: a publication's packets on their way from the worker it lives at to another one that
//! mirrors it. The origin decrypts, repairs and sorts them; a mirror keeps its own copies for
//! retransmission and asks the origin for key frames.

use super::MediaKind;
use super::datagram::ReceiveSlab;
use super::moment::Moment;
use super::packet::Packet;
use super::parcel::{Item, Post};
use super::publication::{Pending, Publication};
use super::worker::WorkerId;
use crate::rtp::rtcp::report::SenderInfo;

/// One mirror, as its publication knows it.
#[derive(Debug)]
pub(super) struct Pipe {
    to: WorkerId,
    /// Simulcast layers, as bits, of which a packet was dropped: nothing of them passes before
    /// their next key frame, for nothing could be decoded.
    broken: u8,
}

/// What one turn passed on.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Piped {
    pub(super) packets: u64,
    pub(super) dropped: u64,
    /// Layers, as bits, that a mirror cannot go on with before a key frame.
    pub(super) keyframes: u8,
}

impl Publication {
    /// Begins to pass packets on.
    pub(super) fn add_pipe(&mut self, to: WorkerId) {
        if self.pipes.iter().all(|pipe| pipe.to != to) {
            self.pipes.push(Pipe { to, broken: 0 });
        }
    }

    /// Passes packets on no longer.
    pub(super) fn remove_pipe(&mut self, to: WorkerId) {
        self.pipes.retain(|pipe| pipe.to != to);
    }

    /// Passes this turn's packets on to the mirrors.
    pub(super) fn pass_packets(&mut self, received: &ReceiveSlab, post: &mut Post) -> Piped {
        let mut piped = Piped::default();
        for pipe in &mut self.pipes {
            for pending in &self.pending {
                let packet = &pending.packet;
                let bytes = &received.datagram(pending.slot)[pending.start..];
                let bytes = &bytes[..packet.payload.end];
                let bit = match packet.kind {
                    MediaKind::Audio => 0,
                    MediaKind::Video => 1 << packet.layer,
                };
                if pipe.broken & bit != 0 && packet.frame.keyframe == Some(false) {
                    piped.dropped += 1;
                    piped.keyframes |= bit;
                } else if post.packet(pipe.to, self.id, pending.track, packet, bytes) {
                    pipe.broken &= !bit;
                    piped.packets += 1;
                } else {
                    pipe.broken |= bit;
                    piped.dropped += 1;
                }
            }
        }
        piped
    }

    /// Tells the mirrors what the publisher reported.
    pub(super) fn pass_reports(&mut self, post: &mut Post) {
        for (source, info) in self.reports.drain(..) {
            for pipe in &self.pipes {
                let publication = self.id;
                let report = Item::Report {
                    publication,
                    source,
                    info,
                };
                post.note(pipe.to, report);
            }
        }
    }

    /// A mirror takes a packet, to be forwarded at the end of the turn; whether there is anything
    /// to do then.
    pub(super) fn receive_piped(
        &mut self,
        number: usize,
        packet: Packet,
        bytes: &[u8],
        slot: usize,
        at: &Moment,
    ) -> bool {
        // What the origin has removed meanwhile, or not yet added, is of no use.
        let Some(track) = self.tracks.get_mut(number) else {
            return false;
        };
        let ssrc = bytes.get(8..12).and_then(|ssrc| ssrc.first_chunk());
        let (Some(ssrc), Some(payload)) = (ssrc, bytes.get(packet.payload.clone())) else {
            return false;
        };
        if self.origin.is_none() || track.config.kind != packet.kind {
            return false;
        }
        let index = track.adopt(&packet, u32::from_be_bytes(*ssrc), at.now);
        if !track.select(index, at.now) {
            return false;
        }
        if let Some(descriptor) = packet.extensions.descriptor.clone()
            && let Some(descriptor) = bytes.get(descriptor)
        {
            track.streams[index].frames.learn(descriptor);
        }
        track.measure(index, &packet, at.now);
        if packet.frame.keyframe == Some(true)
            && packet.kind == MediaKind::Video
            && let Some(codec) = track.codec(packet.payload_type)
        {
            let frames = &track.streams[index].frames;
            let sizes = frames.sizes(codec.codec, payload, track.config.encrypted);
            track.resize(index, &packet, sizes);
        }
        track.streams[index].cache.insert(packet.sequence, bytes);
        self.pending.push(Pending {
            slot,
            start: 0,
            track: number,
            packet,
        });
        true
    }

    /// A mirror takes what the publisher reported.
    pub(super) fn receive_report(&mut self, source: u32, info: &SenderInfo, at: &Moment) {
        let streams = self.tracks.iter_mut().flat_map(|track| &mut track.streams);
        if let Some(stream) = streams.into_iter().find(|stream| stream.source == source) {
            stream.last_sr = Some(*info);
            self.clock.observe(info, at.epoch, at.now);
        }
    }
}
