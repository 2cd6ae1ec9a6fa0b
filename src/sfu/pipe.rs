//! The pipe: a publication's packets on their way from the worker it lives at to another one that
//! mirrors it. The origin decrypts, repairs, sorts and measures them; a mirror keeps its own copies
//! for retransmission, asks the origin for key frames, and says which layers it is in need of: no
//! others are passed.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::inbound::InboundTrack;
use super::layer::{Layers, MAX_LAYERS};
use super::moment::Moment;
use super::packet::Packet;
use super::parcel::{Item, Post};
use super::publication::Publication;
use super::subscription::Subscription;
use super::waiting::Pending;
use super::worker::WorkerId;
use super::{MediaKind, SubscriptionId};
use crate::rtp::rtcp::report::SenderInfo;

/// How often both sides repeat what they have said: notes may get lost.
const REPEAT: Duration = Duration::from_millis(500);

/// What a mirror's subscribers are in need of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// The layers, as bits, that are sent to somebody or are to be.
    pub(super) passes: u8,
    /// How many layers, the lowest first, are of use.
    pub(super) of_use: usize,
}

impl Demand {
    /// Of a mirror that has not said anything yet.
    const EVERYTHING: Self = Self {
        passes: u8::MAX,
        of_use: MAX_LAYERS,
    };

    /// Of the subscribers at this worker; `None` if there is no video.
    pub(super) fn of(
        subscriptions: &FxHashMap<SubscriptionId, Box<Subscription>>,
        publication: &Publication,
    ) -> Option<Self> {
        let track = publication.track(MediaKind::Video)?;
        let subscribers = publication.subscribers.iter();
        let subscribers = subscribers.filter_map(|id| subscriptions.get(id));
        let none = Self {
            passes: 0,
            of_use: 0,
        };
        Some(subscribers.fold(none, |all, subscription| Self {
            passes: all.passes | subscription.layers(),
            of_use: all.of_use.max(subscription.layers_of_use(track)),
        }))
    }
}

/// One mirror, as its publication knows it.
#[derive(Debug)]
pub(super) struct Pipe {
    to: WorkerId,
    pub(super) demand: Demand,
    /// The version of the layers that the mirror was told of, and when.
    told: Option<(u32, Instant)>,
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
            self.pipes.push(Pipe {
                to,
                demand: Demand::EVERYTHING,
                told: None,
                broken: 0,
            });
        }
    }

    /// Passes packets on no longer.
    pub(super) fn remove_pipe(&mut self, to: WorkerId) {
        self.pipes.retain(|pipe| pipe.to != to);
    }

    /// A mirror says what it is in need of.
    pub(super) fn set_demand(&mut self, from: WorkerId, demand: Demand) {
        if let Some(pipe) = self.pipes.iter_mut().find(|pipe| pipe.to == from) {
            pipe.demand = demand;
        }
    }

    /// A mirror tells its origin what it is in need of, if that is news, and now and then again.
    pub(super) fn tell_demand(&mut self, demand: Demand, post: &mut Post, now: Instant) {
        let is_told = |(told, at): &(Demand, Instant)| {
            *told == demand && now.saturating_duration_since(*at) < REPEAT
        };
        let Some(origin) = self.origin else { return };
        if self.demand.as_ref().is_some_and(is_told) {
            return;
        }
        self.demand = Some((demand, now));
        let publication = self.id;
        let item = Item::Demand {
            publication,
            demand,
        };
        post.note(origin, item);
    }

    /// Tells the mirrors which layers there are: they do not receive all of them.
    fn pass_layers(&mut self, post: &mut Post, now: Instant) {
        let id = self.id;
        let video = |track: &&InboundTrack| track.config.kind == MediaKind::Video;
        let Some(track) = self.tracks.iter().find(video) else {
            return;
        };
        for pipe in &mut self.pipes {
            let is_told = |(version, at): &(u32, Instant)| {
                *version == track.layers.version && now.saturating_duration_since(*at) < REPEAT
            };
            if pipe.told.as_ref().is_some_and(is_told) {
                continue;
            }
            pipe.told = Some((track.layers.version, now));
            let layers = track.layers.clone();
            let publication = id;
            let item = Item::Layers {
                publication,
                layers,
            };
            post.note(pipe.to, item);
        }
    }

    /// Passes what is fresh on to the mirrors.
    pub(super) fn pass_packets(&mut self, post: &mut Post, now: Instant) -> Piped {
        let mut piped = Piped::default();
        self.pass_layers(post, now);
        for pipe in &mut self.pipes {
            for pending in self.waiting.fresh() {
                let packet = &pending.packet;
                let Some(bytes) = pending.bytes(&self.tracks) else {
                    continue;
                };
                let bytes = &bytes[..packet.payload.end];
                let bit = match packet.kind {
                    MediaKind::Audio => 0,
                    MediaKind::Video => 1 << packet.layer,
                };
                if bit != 0 && packet.layers & pipe.demand.passes == 0 {
                    continue;
                }
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

    /// A mirror takes a packet; whether it is to be forwarded.
    pub(super) fn receive_piped(
        &mut self,
        number: usize,
        packet: Packet,
        bytes: &[u8],
        at: &Moment,
    ) -> bool {
        // What the origin has removed meanwhile, or not yet added, is of no use.
        let Some(track) = self.tracks.get_mut(number) else {
            return false;
        };
        let ssrc = bytes.get(8..12).and_then(|ssrc| ssrc.first_chunk());
        let (Some(ssrc), Some(_)) = (ssrc, bytes.get(packet.payload.clone())) else {
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
        let cache = &mut track.streams[index].cache;
        let pending = Pending::keep(number, packet, bytes, cache, at.now);
        self.waiting.push(pending);
        true
    }

    /// A mirror takes what the origin knows of the layers.
    pub(super) fn receive_layers(&mut self, layers: &Layers) {
        let video = |track: &&mut InboundTrack| track.config.kind == MediaKind::Video;
        if let Some(track) = self.tracks.iter_mut().find(video) {
            track.layers.adopt(layers);
        }
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
