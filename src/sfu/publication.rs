//! A publisher's leg: packets in, feedback out.

use std::time::{Duration, Instant};

use super::command::{
    InboundTrackConfig, MirrorConfig, PublicationConfig, Simulcast, TransportConfig,
};
use super::counters::Traffic;
use super::inbound::InboundTrack;
use super::moment::Moment;
use super::outlet::Outlet;
use super::pause::Pauses;
use super::pipe::{Demand, Pipe};
use super::report::PublisherClock;
use super::stats::LegStats;
use super::stream::Stream;
use super::transport::Transport;
use super::twcc::ArrivalRecorder;
use super::waiting::Waiting;
use super::worker::WorkerId;
use super::{GroupId, Leg, MediaKind, PublicationId, SubscriptionId};
use crate::rtp::rtcp::report::SenderInfo;
use crate::rtp::rtcp::{Compound, Rtcp, feedback, report};

/// Time between receiver reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What a publisher without transport-cc may send, in bits per second: enough for every simulcast
/// layer. Its own loss-based control does the rest.
const REMB: u64 = 8_000_000;

/// One published stream and everything it needs.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) id: PublicationId,
    pub(super) group: GroupId,
    pub(super) transport: Transport,
    pub(super) tracks: Vec<InboundTrack>,
    pub(super) subscribers: Vec<SubscriptionId>,
    /// Whether it is the one of its group that is listened to.
    pub(super) speaks: bool,
    /// The version of its layers that its subscribers' choices rest on.
    chosen_from: Option<u32>,
    pub(super) waiting: Waiting,
    /// Packets that came inside later ones, and nobody has counted yet.
    pub(super) restored: u64,
    pub(super) clock: PublisherClock,
    /// Where the publication lives, if this is a mirror of it.
    pub(super) origin: Option<WorkerId>,
    pub(super) pipes: Vec<Pipe>,
    /// How many taps copy from it.
    pub(super) taps: usize,
    pub(super) pauses: Pauses,
    /// What the origin of this mirror was told, and when.
    pub(super) demand: Option<(Demand, Instant)>,
    /// Sender reports that mirrors have not been told of.
    pub(super) reports: Vec<(u32, SenderInfo)>,
    pub(super) arrivals: ArrivalRecorder,
    /// The SSRC of our feedback.
    local_ssrc: u32,
    pub(super) next_source: u32,
    report_at: Instant,
}

/// Why a datagram went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It did not come through SRTP.
    Media,
    /// It makes no sense.
    Malformed,
}

impl Publication {
    pub(super) fn new(config: PublicationConfig, local_ssrc: u32, now: Instant) -> Self {
        Self {
            id: config.id,
            group: config.group,
            transport: Transport::new(config.transport, now),
            tracks: config.tracks.into_iter().map(InboundTrack::new).collect(),
            subscribers: Vec::new(),
            speaks: false,
            chosen_from: None,
            waiting: Waiting::default(),
            restored: 0,
            clock: PublisherClock::default(),
            origin: None,
            pipes: Vec::new(),
            taps: 0,
            pauses: Pauses::default(),
            demand: None,
            reports: Vec::new(),
            arrivals: ArrivalRecorder::new(now),
            local_ssrc,
            next_source: 0,
            report_at: now + REPORT_INTERVAL,
        }
    }

    /// The mirror of a publication that lives elsewhere: its transport is never reached.
    pub(super) fn mirror(config: MirrorConfig, now: Instant) -> Self {
        let detached = PublicationConfig {
            id: config.id,
            group: config.group,
            transport: TransportConfig::detached(),
            tracks: config.tracks,
        };
        Self {
            origin: Some(config.origin),
            ..Self::new(detached, 0, now)
        }
    }

    /// Takes over the tracks of a later offer.
    pub(super) fn update(&mut self, tracks: Vec<InboundTrackConfig>) {
        let mut old = std::mem::take(&mut self.tracks);
        for config in tracks {
            let known = old.iter().position(|t| t.config.kind == config.kind);
            self.tracks.push(match known {
                Some(index) => {
                    let mut track = old.swap_remove(index);
                    track.update(config);
                    track
                }
                None => InboundTrack::new(config),
            });
        }
    }

    /// Takes a datagram of RTCP.
    pub(super) fn receive_rtcp(&mut self, datagram: &mut [u8], at: &Moment) -> Result<(), Refused> {
        let opened = self.transport.open_rtcp(datagram, at.now);
        let len = opened.ok_or(Refused::Media)?;
        for packet in Compound::new(&datagram[..len]) {
            let Rtcp::SenderReport { ssrc, info, .. } = packet else {
                continue;
            };
            let streams = self.tracks.iter_mut().flat_map(|track| &mut track.streams);
            if let Some(stream) = streams.into_iter().find(|stream| stream.ssrc == ssrc) {
                stream.stats.sender_report(&info, at.now);
                stream.last_sr = Some(info);
                self.clock.observe(&info, at.epoch, at.now);
                if !self.pipes.is_empty() {
                    self.reports.push((stream.source, info));
                }
            }
        }
        Ok(())
    }

    /// Takes a subscriber off the list.
    pub(super) fn unsubscribe(&mut self, id: SubscriptionId) {
        if let Some(place) = self.subscribers.iter().position(|other| *other == id) {
            self.subscribers.remove(place);
            self.waiting.leave(place);
        }
    }

    /// Whether anybody receives it: here, at other workers, or a tap.
    pub(super) fn is_watched(&self) -> bool {
        !self.subscribers.is_empty() || !self.pipes.is_empty() || self.taps > 0
    }

    /// How many layers the publisher is to send, if that is news; `demand` is that of the subscribers
    /// here.
    pub(super) fn pause(&mut self, demand: Demand, now: Instant) -> Option<usize> {
        // What has no name cannot be paused.
        let Simulcast::Rids(rids) = &self.track(MediaKind::Video)?.config.simulcast else {
            return None;
        };
        let all = rids.len();
        let mirrors = self.pipes.iter().map(|pipe| pipe.demand.of_use);
        let taps = if self.taps > 0 { all } else { 0 };
        let wanted = mirrors.fold(demand.of_use.max(taps), usize::max);
        self.pauses.update(wanted, all, now)
    }

    /// Its statistics; those of a mirror are told where it lives.
    pub(super) fn stats(&self) -> Option<LegStats> {
        if self.origin.is_some() {
            return None;
        }
        let streams = |track: &InboundTrack| {
            let kind = track.config.kind;
            let described = track.streams.iter().map(|stream| stream.describe(kind));
            described.collect::<Vec<_>>()
        };
        Some(LegStats {
            leg: Leg::Publisher(self.id),
            inbound: self.tracks.iter().flat_map(streams).collect(),
            outbound: Vec::new(),
            available_outgoing_bitrate: None,
        })
    }

    /// Notes that a subscriber cannot go on without a key frame of the layers whose bit is set.
    pub(super) fn want_keyframes(&mut self, layers: u8) {
        for track in &mut self.tracks {
            track.want_keyframes(layers);
        }
    }

    /// The level of the packet that was received last, if that is audio and says so (RFC 6464).
    pub(super) fn level(&self) -> Option<u8> {
        let packet = &self.waiting.fresh().last()?.packet;
        let level = packet.extensions.audio_level;
        level.filter(|_| packet.kind == MediaKind::Audio)
    }

    /// Whether its layers have changed since this was asked last.
    pub(super) fn take_layers_changed(&mut self) -> bool {
        let version = self.track(MediaKind::Video).map(|t| t.layers.version);
        std::mem::replace(&mut self.chosen_from, version) != version
    }

    /// The track of a kind.
    pub(super) fn track(&self, kind: MediaKind) -> Option<&InboundTrack> {
        self.tracks.iter().find(|track| track.config.kind == kind)
    }

    /// Sends all feedback that is due, built in `out`.
    pub(super) fn drive(&mut self, at: &Moment, out: &mut Vec<u8>, outlet: &mut Outlet<'_>) {
        let watched = self.is_watched();
        let Some((to, sealer, _)) = self.transport.outgoing() else {
            return;
        };
        out.clear();
        let now = at.now;
        if self.report_at <= now {
            self.report_at = now + REPORT_INTERVAL;
            let from = (self.local_ssrc, self.id);
            push_reports(&mut self.tracks, from, now, out, outlet.traffic);
        }
        let streams = || self.tracks.iter().flat_map(|track| &track.streams);
        let media = streams().next().map_or(0, |stream| stream.ssrc);
        self.arrivals.poll(now, self.local_ssrc, media, out);
        if watched {
            for track in &mut self.tracks {
                push_requests(track, self.local_ssrc, now, out, outlet.traffic);
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
        let mut next = consent.min(self.report_at);
        next = self.arrivals.poll_timeout().map_or(next, |at| next.min(at));
        if !self.is_watched() {
            return next;
        }
        for stream in self.tracks.iter().flat_map(|track| &track.streams) {
            let due = [stream.gaps.poll_timeout(), stream.keyframes.poll_timeout()];
            next = due.into_iter().flatten().fold(next, Instant::min);
        }
        next
    }
}

/// Receiver report, CNAME and, where the publisher has nothing better, REMB.
fn push_reports(
    tracks: &mut [InboundTrack],
    (local_ssrc, id): (u32, PublicationId),
    now: Instant,
    out: &mut Vec<u8>,
    traffic: &mut Traffic,
) {
    let streams = tracks.iter_mut().flat_map(|track| &mut track.streams);
    let block = |stream: &mut Stream| {
        let lost_before = stream.stats.lost;
        let block = stream.stats.block(stream.ssrc, now)?;
        traffic.publisher_lost += stream.stats.lost - lost_before;
        let jitter = f64::from(block.jitter) / f64::from(stream.clock_rate.max(1));
        traffic.jitter.observe(Duration::from_secs_f64(jitter));
        Some(block)
    };
    let blocks: Vec<_> = streams.filter_map(block).collect();
    report::push_receiver_report(out, local_ssrc, &blocks);
    report::push_cname(out, &[local_ssrc], &Leg::Publisher(id).to_string());
    let video = tracks
        .iter()
        .find(|track| track.config.kind == MediaKind::Video);
    if let Some(track) = video.filter(|track| track.config.extensions.transport_cc.is_none()) {
        let ssrcs: Vec<_> = track.streams.iter().map(|stream| stream.ssrc).collect();
        feedback::push_remb(out, local_ssrc, REMB, &ssrcs);
    }
}

/// NACKs and PLIs. Browsers send audio again too, though they do not offer it (RFC 4585, 4.2); who
/// does not, ignores the request.
fn push_requests(
    track: &mut InboundTrack,
    local_ssrc: u32,
    now: Instant,
    out: &mut Vec<u8>,
    traffic: &mut Traffic,
) {
    let mut missing = Vec::new();
    for stream in &mut track.streams {
        missing.clear();
        stream.gaps.poll(now, &mut missing);
        if !missing.is_empty() {
            traffic.nacks_sent += 1;
            stream.tally.nack_count += 1;
            feedback::push_nack(out, local_ssrc, stream.ssrc, &missing);
        }
        if stream.keyframes.poll(now) {
            traffic.plis_sent += 1;
            stream.tally.pli_count += 1;
            feedback::push_pli(out, local_ssrc, stream.ssrc);
        }
    }
}
