//! One subscriber's copy of a stream: which of its packets leave, and what the subscriber says of
//! them. The leg they leave on is its own, or one that it shares with other subscriptions.

mod send;

use std::time::{Duration, Instant};

use super::allocate::{Demand, Given, Priority};
use super::command::{OutboundTrackConfig, SubscriptionConfig};
use super::fallback::AudioFallback;
use super::inbound::InboundTrack;
use super::outbound::OutboundTrack;
use super::publication::Publication;
use super::selector::Manner;
use super::send_leg::SendLeg;
use super::stats::OutboundRtp;
use super::{ClientId, Fallback, Leg, MediaKind, PublicationId, SubscriptionId, Wanted};
use crate::entropy::Entropy;

/// Time between two key frames for a subscriber that wants about one frame per second.
const THINNED: Duration = Duration::from_millis(900);

/// What is set aside for the sound of one stream, in bits per second, at least and at most: Opus
/// with its headers. Who is silent now may speak the next moment.
const AUDIO: (f64, f64) = (25_000.0, 60_000.0);

/// What is set aside beyond the sound that was measured.
const AUDIO_MARGIN: f64 = 1.25;

/// Bytes that headers, extensions and tag add to a packet of sound.
const AUDIO_OVERHEAD: u64 = 42;

/// One subscriber's copy of a stream.
#[derive(Debug)]
pub(super) struct Subscription {
    id: SubscriptionId,
    pub(super) publication: PublicationId,
    pub(super) client: ClientId,
    /// `None`: it goes over the leg that its client's subscriptions share.
    pub(super) own: Option<SendLeg>,
    pub(super) tracks: Vec<OutboundTrack>,
    wanted: Wanted,
    screen: bool,
    given: Given,
    fallback: AudioFallback,
    /// Whether video waits until a queue has gone away.
    held: bool,
    /// What is to be told of it.
    pub(super) news: Option<Fallback>,
    sound: Sound,
}

/// What the sound of a subscription costs, without copies of earlier packets.
#[derive(Debug, Default)]
struct Sound {
    since: Option<Instant>,
    /// Packets and payload bytes sent by then, copies excluded.
    sent: (u64, u64),
    /// Bits per second.
    rate: Option<f64>,
}

impl Subscription {
    pub(super) fn new(
        config: SubscriptionConfig,
        own: Option<SendLeg>,
        entropy: &mut Entropy,
    ) -> Self {
        let tracks = config.tracks.into_iter();
        let tracks = tracks.map(|config| new_track(config, entropy)).collect();
        let mut this = Self {
            id: config.id,
            publication: config.publication,
            client: config.client,
            own,
            tracks,
            wanted: config.wanted,
            screen: config.screen,
            given: Given::default(),
            fallback: AudioFallback::default(),
            held: false,
            news: None,
            sound: Sound::default(),
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

    /// Changes what is wanted. What is sent of it is then to be allocated anew.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        if !(wanted.video && wanted.audio_fallback) {
            self.news = self.fallback.reset().or(self.news);
        }
        self.apply();
    }

    /// Begins and ends sending as wanted and possible.
    fn apply(&mut self) {
        let video = self.wanted.video && !self.held && !self.fallback.holds();
        for track in &mut self.tracks {
            track.selector.want(match track.config.kind {
                MediaKind::Audio => self.wanted.audio,
                MediaKind::Video => video,
            });
        }
    }

    /// Holds video back while its client's network is to do nothing but drain, or lets it go on.
    pub(super) fn hold(&mut self, held: bool) {
        if std::mem::replace(&mut self.held, held) != held {
            self.apply();
        }
    }

    /// The leg it goes over.
    pub(super) fn leg(&self) -> Leg {
        match self.own {
            Some(_) => Leg::Subscriber(self.id),
            None => Leg::Shared(self.client),
        }
    }

    /// The layers, as bits, that it is sent or is to be.
    pub(super) fn layers(&self) -> u8 {
        let video = |track: &&OutboundTrack| track.config.kind == MediaKind::Video;
        let video = self.tracks.iter().filter(video);
        video.fold(0, |all, track| all | track.selector.layers())
    }

    /// What it asks for of its client's network; `None` if that is no video.
    pub(super) fn demand(&self, publication: &Publication, now: Instant) -> Option<Demand> {
        let inbound = publication.track(MediaKind::Video)?;
        if !self.wanted.video || self.video().is_none() {
            return None;
        }
        let layers = &inbound.layers;
        let priority = match (self.screen, publication.speaks) {
            (true, _) => Priority::Screen,
            (false, true) => Priority::Speaker,
            (false, false) => Priority::Other,
        };
        let wanted = layers.choose(&self.wanted).unwrap_or_default();
        let may_stop = self.wanted.audio_fallback;
        let key = (self.id, priority);
        Some(Demand::new(key, layers, wanted, may_stop, &self.given, now))
    }

    /// Bits per second to be set aside for its sound.
    pub(super) fn sound(&self) -> f64 {
        let track = self.track(MediaKind::Audio);
        track.map_or(0.0, |track| self.cost(track.copies))
    }

    /// The same if so many copies of earlier packets left with each one.
    pub(super) fn cost(&self, copies: u8) -> f64 {
        let Some(track) = self.track(MediaKind::Audio).filter(|_| self.wanted.audio) else {
            return 0.0;
        };
        let rate = self.sound.rate;
        let once = rate.map_or(AUDIO.1, |rate| {
            (rate * AUDIO_MARGIN).clamp(AUDIO.0, AUDIO.1)
        });
        match track.config.redundancy {
            Some(_) => once * (1.0 + f64::from(copies)),
            None => once,
        }
    }

    /// Has as many copies of earlier packets leave with each one of its sound.
    pub(super) fn repeat(&mut self, copies: u8) {
        let sound = |track: &&mut OutboundTrack| track.config.kind == MediaKind::Audio;
        for track in self.tracks.iter_mut().filter(sound) {
            track.copies = copies;
        }
    }

    /// Takes what it was given.
    pub(super) fn take(&mut self, demand: &Demand, now: Instant) {
        self.given.settle(demand, now);
        if self.wanted.audio_fallback
            && let Some(fit) = demand.fit
        {
            let held = self.fallback.holds();
            self.news = self.fallback.update(fit, now).or(self.news);
            if self.fallback.holds() != held {
                self.apply();
            }
        }
        let restricted = self.wanted.restrict_frame_rate.then_some(THINNED);
        let manner = Manner {
            thin: demand.sparse.max(restricted),
            hurry: demand.is_short(),
        };
        for track in &mut self.tracks {
            if track.config.kind == MediaKind::Video {
                track.selector.choose(demand.choice(), manner, now);
            }
        }
    }

    fn track(&self, kind: MediaKind) -> Option<&OutboundTrack> {
        self.tracks.iter().find(|track| track.config.kind == kind)
    }

    fn video(&self) -> Option<&OutboundTrack> {
        self.track(MediaKind::Video)
    }

    /// Whether video leaves, with retransmissions that can be padding.
    pub(super) fn can_pad(&self) -> bool {
        let fits =
            |video: &OutboundTrack| video.selector.is_on() && video.config.rtx_ssrc.is_some();
        self.video().is_some_and(fits)
    }

    /// The layers, as bits, that a key frame is awaited of.
    pub(super) fn awaited(&self) -> u8 {
        self.video().map_or(0, |track| track.selector.awaited())
    }

    /// The layers, as bits, that a video track with this SSRC sends.
    pub(super) fn video_layers(&self, ssrc: u32) -> u8 {
        let fits = |track: &&OutboundTrack| track.config.ssrc == ssrc && track.selector.is_on();
        let video = self.video().filter(fits);
        video.map_or(0, |track| track.selector.layers())
    }

    /// The track that sends under an SSRC.
    pub(super) fn by_ssrc(&mut self, ssrc: u32) -> Option<&mut OutboundTrack> {
        let mut tracks = self.tracks.iter_mut();
        tracks.find(|track| track.config.ssrc == ssrc)
    }

    pub(super) fn has_ssrc(&self, ssrc: u32) -> bool {
        self.tracks.iter().any(|track| track.config.ssrc == ssrc)
    }

    /// Its statistics.
    pub(super) fn stats(&self) -> impl Iterator<Item = OutboundRtp> {
        self.tracks.iter().map(OutboundTrack::describe)
    }

    /// How many of a publisher's layers, the lowest first, are of use to it.
    pub(super) fn layers_of_use(&self, inbound: &InboundTrack) -> usize {
        if !self.wanted.video || self.video().is_none() {
            return 0;
        }
        let all = inbound.config.simulcast.layers();
        inbound.layers.of_use(&self.wanted, all)
    }
}

impl Sound {
    /// Takes how many packets and payload bytes have left by now.
    fn measure(&mut self, sent: (u64, u64), now: Instant) {
        let before = std::mem::replace(&mut self.sent, sent);
        let Some(since) = self.since.replace(now) else {
            return;
        };
        let passed = now.saturating_duration_since(since).as_secs_f64();
        let packets = sent.0.saturating_sub(before.0);
        let bytes = sent.1.saturating_sub(before.1) + packets * AUDIO_OVERHEAD;
        let rate = bytes as f64 * 8.0 / passed.max(0.1);
        // It is believed to fall more slowly than to rise.
        self.rate = Some(match self.rate {
            Some(known) if known > rate => known * 0.9 + rate * 0.1,
            _ => rate,
        });
    }
}

fn new_track(config: OutboundTrackConfig, entropy: &mut Entropy) -> OutboundTrack {
    let mut start = || u64::from(entropy.below(1 << 15));
    OutboundTrack::new(config, start(), start())
}
