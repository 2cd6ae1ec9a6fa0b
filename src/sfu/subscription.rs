//! A subscriber's leg: media out, feedback in.

use std::time::{Duration, Instant};

use super::allocate::Allocator;
use super::command::SubscriptionConfig;
use super::datagram::ReceiveSlab;
use super::downlink::Downlink;
use super::fallback::{AudioFallback, Fit};
use super::inbound::InboundTrack;
use super::moment::Moment;
use super::outbound::{Forwarded, OutboundTrack, Way};
use super::outlet::Outlet;
use super::publication::{Pending, Publication, Refused};
use super::report::round_trip;
use super::resend::Resend;
use super::selector::Manner;
use super::stats::{LegStats, OutboundTally};
use super::transport::Transport;
use super::{Fallback, Leg, MediaKind, PublicationId, Wanted};
use crate::entropy::Entropy;
use crate::rtp::rtcp::feedback::Nack;
use crate::rtp::rtcp::report::{SenderInfo, push_cname, push_sender_report};
use crate::rtp::rtcp::{Compound, Rtcp};

/// Time between sender reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Sequence numbers looked at in one NACK; a receiver that misses more needs a key frame.
const MAX_NACKED: usize = 256;

/// Packets sent again in one batch of probing.
const MAX_PADDING: u64 = 32;

/// One subscriber's copy of a stream.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) publication: PublicationId,
    pub(super) transport: Transport,
    pub(super) tracks: Vec<OutboundTrack>,
    wanted: Wanted,
    /// The version of the publisher's layers that was chosen from; `None`: to be chosen anew.
    chosen_from: Option<u32>,
    allocator: Allocator,
    fallback: AudioFallback,
    /// What is to be told of it.
    news: Option<Fallback>,
    pub(super) downlink: Downlink,
    report_at: Instant,
}

/// What one call did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Outcome {
    /// RTP packets sent.
    pub(super) packets: u64,
    /// The simulcast layers, as bits, of which the publisher is to be asked for a key frame.
    pub(super) keyframes: u8,
    /// How far video is given up, if that has changed.
    pub(super) fallback: Option<Fallback>,
}

impl Subscription {
    pub(super) fn new(config: SubscriptionConfig, entropy: &mut Entropy, now: Instant) -> Self {
        let tracks = config.tracks.into_iter();
        let tracks = tracks.map(|config| new_track(config, entropy)).collect();
        let mut this = Self {
            publication: config.publication,
            transport: Transport::new(config.transport, now),
            tracks,
            wanted: config.wanted,
            chosen_from: None,
            allocator: Allocator::default(),
            fallback: AudioFallback::default(),
            news: None,
            downlink: Downlink::new(entropy.u32() as u16, now),
            report_at: now,
        };
        this.want(config.wanted);
        this
    }

    /// Takes over a later answer; tracks that keep their SSRC go on.
    pub(super) fn update(&mut self, config: SubscriptionConfig, entropy: &mut Entropy) {
        let mut old = std::mem::take(&mut self.tracks);
        for config in config.tracks {
            let known = old
                .iter()
                .position(|track| track.config.ssrc == config.ssrc);
            self.tracks.push(match known {
                Some(index) => {
                    let mut track = old.swap_remove(index);
                    track.config = config;
                    track
                }
                None => new_track(config, entropy),
            });
        }
        self.want(config.wanted);
    }

    /// Changes what is wanted.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.chosen_from = None;
        if !(wanted.video && wanted.audio_fallback) {
            self.news = self.fallback.reset().or(self.news);
        }
        self.apply();
    }

    /// Begins and ends sending as wanted and possible.
    fn apply(&mut self) {
        let video = self.wanted.video && !self.fallback.holds();
        for track in &mut self.tracks {
            track.selector.want(match track.config.kind {
                MediaKind::Audio => self.wanted.audio,
                MediaKind::Video => video,
            });
        }
    }

    /// Whether video is wanted and there is a track for it.
    pub(super) fn wants_video(&self) -> bool {
        let is_video = |track: &OutboundTrack| track.config.kind == MediaKind::Video;
        self.wanted.video && self.tracks.iter().any(is_video)
    }

    /// How many of a publisher's layers, the lowest first, are of use to it.
    pub(super) fn layers_of_use(&self, inbound: &InboundTrack) -> usize {
        match self.wants_video() {
            true => inbound
                .layers
                .of_use(&self.wanted, inbound.config.simulcast.layers()),
            false => 0,
        }
    }

    /// The layers, as bits, that it is sent or is to be.
    pub(super) fn layers(&self) -> u8 {
        let video = |track: &&OutboundTrack| track.config.kind == MediaKind::Video;
        let video = self.tracks.iter().filter(video);
        video.fold(0, |all, track| all | track.selector.layers())
    }

    /// Chooses layers, if what is wanted, what there is, or what the network carries has changed.
    pub(super) fn choose(&mut self, publication: &Publication, now: Instant) {
        let Some(inbound) = publication.track(MediaKind::Video) else {
            return;
        };
        let layers = &inbound.layers;
        if self.chosen_from == Some(layers.version) {
            return;
        }
        self.chosen_from = Some(layers.version);
        let wanted = layers.choose(&self.wanted).unwrap_or_default();
        let limit = self.downlink.estimator.limit();
        let audio = self.wanted.audio;
        let allocation = self.allocator.allocate(layers, wanted, limit, audio, now);
        // Who gets the least video in any case has nothing to find out before it fits.
        let of_use = self.wanted.audio_fallback || allocation.fit != Some(Fit::Short);
        let missing = allocation.missing.filter(|_| self.wanted.video && of_use);
        if self.wanted.video
            && self.wanted.audio_fallback
            && let Some(fit) = allocation.fit
        {
            let held = self.fallback.holds();
            self.news = self.fallback.update(fit, now).or(self.news);
            if self.fallback.holds() != held {
                self.apply();
            }
        }
        self.downlink.estimator.want(missing, now);
        let manner = Manner {
            thin: self.wanted.restrict_frame_rate,
            hurry: allocation.missing.is_some(),
        };
        for track in &mut self.tracks {
            if track.config.kind == MediaKind::Video {
                track.selector.choose(allocation.choice, manner);
            }
        }
    }

    /// The layers, as bits, that a key frame is awaited of.
    pub(super) fn awaited(&self) -> u8 {
        let video = |track: &&OutboundTrack| track.config.kind == MediaKind::Video;
        let mut video = self.tracks.iter().filter(video);
        video.next().map_or(0, |track| track.selector.awaited())
    }

    /// Forwards one turn's packets of the publisher.
    pub(super) fn forward(
        &mut self,
        publication: &Publication,
        received: &ReceiveSlab,
        scratch: &mut Vec<u8>,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        self.choose(publication, at.now);
        outcome.fallback = self.news.take();
        let Some((to, sealer)) = self.transport.outgoing() else {
            return outcome;
        };
        let mut way = Way {
            to,
            sealer,
            downlink: &mut self.downlink,
            scratch,
            outlet,
        };
        for Pending {
            slot,
            start,
            packet,
            track: inbound,
        } in &publication.pending
        {
            let mut tracks = self.tracks.iter_mut();
            let Some(track) = tracks.find(|track| track.config.kind == packet.kind) else {
                continue;
            };
            let bytes = &received.datagram(*slot)[*start..];
            let inbound = &publication.tracks[*inbound];
            match track.forward(packet, inbound, bytes, at, &mut way) {
                Forwarded::Sent => outcome.packets += 1,
                Forwarded::Dropped => {}
                Forwarded::NeedsKeyframe => outcome.keyframes |= 1 << packet.layer,
            }
        }
        outcome
    }

    /// Takes a datagram of RTCP; answers NACKs at once. `packets` in the outcome are resends.
    pub(super) fn receive_rtcp(
        &mut self,
        datagram: &mut [u8],
        publication: Option<&Publication>,
        scratch: &mut [Vec<u8>; 2],
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> Result<Outcome, Refused> {
        let srtp = self.transport.srtp.as_mut().ok_or(Refused::Media)?;
        let len = srtp
            .opener
            .open_rtcp(datagram)
            .map_err(|_| Refused::Media)?;
        let mut outcome = Outcome::default();
        for packet in Compound::new(&datagram[..len]) {
            match packet {
                Rtcp::Pli { media_ssrc } => {
                    outlet.traffic.plis_received += 1;
                    self.tally(media_ssrc, |tally| tally.pli_count += 1);
                    outcome.keyframes |= self.video_layers(media_ssrc);
                }
                Rtcp::Fir(fir) => {
                    outlet.traffic.plis_received += 1;
                    for ssrc in fir {
                        self.tally(ssrc, |tally| tally.fir_count += 1);
                        outcome.keyframes |= self.video_layers(ssrc);
                    }
                }
                Rtcp::Nack(nack) => {
                    outlet.traffic.nacks_received += 1;
                    self.tally(nack.media_ssrc, |tally| tally.nack_count += 1);
                    if let Some(publication) = publication {
                        outcome.packets += self.resend(&nack, publication, scratch, at, outlet);
                    }
                }
                Rtcp::ReceiverReport { blocks } | Rtcp::SenderReport { blocks, .. } => {
                    for block in blocks {
                        let mut tracks = self.tracks.iter_mut();
                        if let Some(track) = tracks.find(|t| t.config.ssrc == block.ssrc) {
                            let rtt = round_trip(&block, at.epoch, at.now);
                            outlet.traffic.reports += 1;
                            outlet.traffic.reported_loss += u64::from(block.fraction_lost);
                            if let Some(rtt) = rtt {
                                outlet.traffic.round_trip.observe(rtt);
                            }
                            track.reported(&block, rtt);
                            self.downlink.report(&block, rtt, at.now);
                            self.chosen_from = None;
                        }
                    }
                }
                Rtcp::TransportFeedback(feedback) => {
                    self.downlink.estimator.feedback(&feedback, at.now);
                    self.chosen_from = None;
                }
                Rtcp::Remb { bitrate } => {
                    self.downlink.estimator.remb(bitrate);
                    self.chosen_from = None;
                }
            }
        }
        Ok(outcome)
    }

    fn tally(&mut self, ssrc: u32, count: impl FnOnce(&mut OutboundTally)) {
        let mut tracks = self.tracks.iter_mut();
        if let Some(track) = tracks.find(|track| track.config.ssrc == ssrc) {
            count(&mut track.tally);
        }
    }

    /// Its statistics.
    pub(super) fn stats(&self, leg: Leg) -> LegStats {
        LegStats {
            leg,
            inbound: Vec::new(),
            outbound: self.tracks.iter().map(OutboundTrack::describe).collect(),
            available_outgoing_bitrate: self.downlink.estimator.limit(),
        }
    }

    /// The layers, as bits, that a video track with this SSRC sends.
    fn video_layers(&self, ssrc: u32) -> u8 {
        let fits = |track: &&OutboundTrack| {
            track.config.kind == MediaKind::Video
                && track.config.ssrc == ssrc
                && track.selector.is_on()
        };
        self.tracks
            .iter()
            .find(fits)
            .map_or(0, |t| t.selector.layers())
    }

    /// Sends what a NACK asks for and is still there; returns how many packets.
    fn resend(
        &mut self,
        nack: &Nack<'_>,
        publication: &Publication,
        [rtx, changed]: &mut [Vec<u8>; 2],
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> u64 {
        let rtt = self.downlink.rtt();
        let (Some(to), Some(srtp)) = (self.transport.path(), self.transport.srtp.as_mut()) else {
            return 0;
        };
        let mut tracks = self.tracks.iter_mut();
        let Some(track) = tracks.find(|track| track.config.ssrc == nack.media_ssrc) else {
            return 0;
        };
        let Some(inbound) = publication.track(track.config.kind) else {
            return 0;
        };
        let (may_reseal, map) = (srtp.may_reseal, &inbound.config.extensions);
        let mut way = Way {
            to,
            sealer: &mut srtp.sealer,
            downlink: &mut self.downlink,
            scratch: changed,
            outlet,
        };
        let sent = nack.sequences().take(MAX_NACKED).filter(|number| {
            let Some(original) = track.selector.rewriter.original(*number) else {
                return false;
            };
            let stream = inbound.stream(original.source);
            let Some(bytes) = stream.and_then(|stream| stream.cache.get(original.sequence)) else {
                return false;
            };
            let codec = inbound.codec(bytes[1] & 0x7f);
            let resend = Resend {
                original,
                rtt,
                may_reseal,
                codec: codec.map(|codec| codec.codec),
            };
            track.resend(&resend, bytes, map, rtx, at, &mut way)
        });
        sent.count() as u64
    }

    /// Sends packets again to find out how much the network carries, if that is due.
    fn probe(
        &mut self,
        publication: Option<&Publication>,
        [rtx, changed]: &mut [Vec<u8>; 2],
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        let mut due = self.downlink.estimator.padding(at.now);
        self.chosen_from = None;
        let (Some(to), Some(srtp)) = (self.transport.path(), self.transport.srtp.as_mut()) else {
            return;
        };
        let mut tracks = self.tracks.iter_mut();
        let Some(track) = tracks.find(|t| t.config.kind == MediaKind::Video) else {
            return;
        };
        let Some(inbound) = publication.and_then(|p| p.track(MediaKind::Video)) else {
            return;
        };
        let mut way = Way {
            to,
            sealer: &mut srtp.sealer,
            downlink: &mut self.downlink,
            scratch: changed,
            outlet,
        };
        for back in 0..MAX_PADDING {
            if due == 0 {
                return;
            }
            let recent = track
                .selector
                .rewriter
                .recent(back)
                .filter(|_| track.selector.is_on());
            let Some(original) = recent else { break };
            let stream = inbound.stream(original.source);
            let bytes = stream.and_then(|stream| stream.cache.get(original.sequence));
            if let Some(bytes) = bytes
                && track.pad(original, bytes, rtx, at, &mut way)
            {
                due = due.saturating_sub(bytes.len());
            }
        }
        for _ in 0..MAX_PADDING {
            if due == 0 {
                return;
            }
            due = due.saturating_sub(track.pad_empty(rtx, at, &mut way));
        }
    }

    /// Does what is due: probing packets, and sender reports, which are built in `scratch`.
    pub(super) fn drive(
        &mut self,
        publication: Option<&Publication>,
        at: &Moment,
        scratch: &mut [Vec<u8>; 2],
        outlet: &mut Outlet<'_>,
    ) {
        let probing = self.downlink.estimator.poll_timeout();
        if probing.is_some_and(|due| due <= at.now) {
            self.probe(publication, scratch, at, outlet);
        }
        let out = &mut scratch[0];
        let Some((to, sealer)) = self.transport.outgoing() else {
            return;
        };
        if self.report_at > at.now {
            return;
        }
        self.report_at = at.now + REPORT_INTERVAL;
        let Some(publication) = publication else {
            return;
        };
        out.clear();
        let cname = Leg::Publisher(self.publication).to_string();
        for track in self.tracks.iter().filter(|track| track.selector.is_on()) {
            if let Some(info) = sender_info(track, publication, at) {
                push_sender_report(out, track.config.ssrc, &info);
                push_cname(out, &[track.config.ssrc], &cname);
            }
        }
        outlet.rtcp(out, sealer, to);
    }

    /// When [`Self::drive`] has something to do, or the leg is to be given up.
    pub(super) fn poll_timeout(&self) -> Instant {
        let consent = self.transport.consent_until();
        if self.transport.path().is_none() || self.transport.srtp.is_none() {
            return consent;
        }
        let next = consent.min(self.report_at);
        let probing = self.downlink.estimator.poll_timeout();
        probing.map_or(next, |at| next.min(at))
    }
}

fn new_track(config: super::command::OutboundTrackConfig, entropy: &mut Entropy) -> OutboundTrack {
    let mut start = || u64::from(entropy.below(1 << 15));
    OutboundTrack::new(config, start(), start())
}

/// What we say about an outgoing track: the publisher's own report, moved to now and to our
/// clocks; `None` while the publisher has not reported.
fn sender_info(
    track: &OutboundTrack,
    publication: &Publication,
    at: &Moment,
) -> Option<SenderInfo> {
    let source = track.selector.rewriter.source()?;
    let stream = publication.track(track.config.kind)?.stream(source)?;
    let last = stream.last_sr?;
    let clock = &publication.clock;
    let (ntp, timestamp) = clock.translate(&last, stream.clock_rate, at.epoch, at.now)?;
    Some(SenderInfo {
        ntp,
        rtp_timestamp: timestamp.wrapping_add(track.selector.rewriter.timestamp_offset(source)?),
        packets: track.tally.packets_sent as u32,
        octets: track.tally.bytes_sent as u32,
    })
}
