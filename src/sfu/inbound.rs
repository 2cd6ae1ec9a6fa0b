//! A publisher's tracks: which packet belongs to which stream, and what is known of each stream.

use std::time::{Duration, Instant};

use super::MediaKind;
use super::command::{InboundCodec, InboundTrackConfig, Simulcast};
use super::frame::MAX_SPATIAL;
use super::layer::{Layers, MAX_LAYERS, Meter};
use super::packet::{Packet, text_element};
use super::stream::Stream;
use crate::rtp::codec::Size;
use crate::rtp::header::Header;

/// Streams (SSRCs) per track: three simulcast layers, and one that replaces another.
const MAX_STREAMS: usize = 4;

/// Silence after which a stream gives its place to another of the same track.
const SILENT: Duration = Duration::from_secs(2);

/// One `m=` section of a publisher.
#[derive(Debug)]
pub(super) struct InboundTrack {
    pub(super) config: InboundTrackConfig,
    pub(super) streams: Vec<Stream>,
    /// The stream that carries each layer now.
    selected: [Option<u32>; MAX_LAYERS],
    /// What subscribers choose from.
    pub(super) layers: Layers,
    /// What each layer costs.
    meters: Option<[Meter; MAX_LAYERS]>,
    refresh_at: Option<Instant>,
}

/// Where a packet belongs within its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// Media of this stream.
    Media(usize),
    /// A retransmission for this stream.
    Rtx(usize),
}

impl InboundTrack {
    pub(super) fn new(config: InboundTrackConfig) -> Self {
        Self {
            config,
            streams: Vec::new(),
            selected: [None; MAX_LAYERS],
            layers: Layers::default(),
            meters: None,
            refresh_at: None,
        }
    }

    /// Takes over a later offer; streams that are still declared go on.
    pub(super) fn update(&mut self, config: InboundTrackConfig) {
        if !config.ssrcs.is_empty() {
            self.streams
                .retain(|stream| config.ssrcs.contains(&stream.ssrc));
        }
        for stream in &mut self.streams {
            if let Some((_, rtx)) = config.rtx_ssrcs.iter().find(|(m, _)| *m == stream.ssrc) {
                stream.rtx_ssrc = Some(*rtx);
            }
        }
        self.config = config;
        let config = &self.config;
        self.streams.retain_mut(|stream| {
            let layer = layer_of(&config.simulcast, stream.ssrc, stream.rid.as_deref());
            stream.layer = layer.unwrap_or_default();
            layer.is_some()
        });
        self.selected = [None; MAX_LAYERS];
        self.layers.forget();
        self.refresh_at = None;
    }

    /// Finds the stream of a known SSRC.
    pub(super) fn route(&self, ssrc: u32) -> Option<Route> {
        self.streams.iter().enumerate().find_map(|(index, stream)| {
            if stream.ssrc == ssrc {
                Some(Route::Media(index))
            } else if stream.rtx_ssrc == Some(ssrc) {
                Some(Route::Rtx(index))
            } else {
                None
            }
        })
    }

    /// Whether the offer declared this SSRC for this track.
    pub(super) fn declares(&self, ssrc: u32) -> bool {
        self.config.ssrcs.contains(&ssrc)
            || self
                .config
                .rtx_ssrcs
                .iter()
                .any(|(media, rtx)| ssrc == *media || ssrc == *rtx)
    }

    /// Whether a payload type is one of this track's.
    pub(super) fn has_payload_type(&self, pt: u8) -> bool {
        self.config
            .codecs
            .iter()
            .any(|codec| codec.pt == pt || codec.rtx_pt == Some(pt))
    }

    /// Gives a new SSRC its place. `source` names the stream if one is made.
    pub(super) fn learn(
        &mut self,
        header: &Header,
        packet: &[u8],
        source: u32,
        now: Instant,
    ) -> Option<Route> {
        let pair = self
            .config
            .rtx_ssrcs
            .iter()
            .find(|(_, rtx)| *rtx == header.ssrc);
        if let Some((media, _)) = pair.copied() {
            // Browsers probe with retransmissions before the first media.
            let known = self.streams.iter().position(|stream| stream.ssrc == media);
            let index = match known {
                Some(index) => index,
                None => self.add_stream(media, None, source, now)?,
            };
            return Some(Route::Rtx(index));
        }
        let is_rtx = |codec: &InboundCodec| codec.rtx_pt == Some(header.payload_type);
        if self.config.codecs.iter().any(is_rtx) {
            return self.learn_rtx(header, packet);
        }
        let rid = text_element(header, packet, self.config.extensions.rid);
        let index = self.add_stream(header.ssrc, rid, source, now)?;
        Some(Route::Media(index))
    }

    /// Makes a stream; `None` if simulcast was agreed and this is none of its layers.
    fn add_stream(
        &mut self,
        ssrc: u32,
        rid: Option<&str>,
        source: u32,
        now: Instant,
    ) -> Option<usize> {
        let layer = layer_of(&self.config.simulcast, ssrc, rid)?;
        Some(self.place_stream(ssrc, rid, layer, source, now))
    }

    /// The stream of a packet that was sorted by the worker its publication lives at.
    pub(super) fn adopt(&mut self, packet: &Packet, ssrc: u32, now: Instant) -> usize {
        let known = self.streams.iter().position(|s| s.source == packet.source);
        let index = known
            .unwrap_or_else(|| self.place_stream(ssrc, None, packet.layer, packet.source, now));
        let stream = &mut self.streams[index];
        stream.clock_rate = packet.clock_rate;
        stream.last_at = now;
        index
    }

    fn place_stream(
        &mut self,
        ssrc: u32,
        rid: Option<&str>,
        layer: usize,
        source: u32,
        now: Instant,
    ) -> usize {
        let rtx = self
            .config
            .rtx_ssrcs
            .iter()
            .find(|(media, _)| *media == ssrc);
        let names = (source, ssrc, rtx.map(|(_, rtx)| *rtx));
        let stream = Stream::new(self.config.kind, names, rid, layer, now);
        self.make_room();
        self.streams.push(stream);
        self.streams.len() - 1
    }

    /// Retransmissions of an undeclared SSRC: by repaired rid, else of the only stream.
    fn learn_rtx(&mut self, header: &Header, packet: &[u8]) -> Option<Route> {
        let rid = text_element(header, packet, self.config.extensions.repaired_rid);
        let index = match (rid, self.streams.len()) {
            (Some(rid), _) => self
                .streams
                .iter()
                .position(|s| s.rid.as_deref() == Some(rid))?,
            (None, 1) => 0,
            _ => return None,
        };
        self.streams[index].rtx_ssrc = Some(header.ssrc);
        Some(Route::Rtx(index))
    }

    fn make_room(&mut self) {
        if self.streams.len() < MAX_STREAMS {
            return;
        }
        let oldest = self
            .streams
            .iter()
            .enumerate()
            .min_by_key(|(_, stream)| stream.last_at);
        if let Some((index, _)) = oldest {
            self.streams.remove(index);
        }
    }

    /// The codec of a payload type of media.
    pub(super) fn codec(&self, pt: u8) -> Option<&InboundCodec> {
        self.config.codecs.iter().find(|codec| codec.pt == pt)
    }

    /// The payload type that retransmissions of payload type `rtx_pt` carry.
    pub(super) fn repaired_payload_type(&self, rtx_pt: u8) -> Option<u8> {
        let repairs = |codec: &&InboundCodec| codec.rtx_pt == Some(rtx_pt);
        self.config
            .codecs
            .iter()
            .find(repairs)
            .map(|codec| codec.pt)
    }

    /// Whether stream `index` carries its layer: the newest one does that is not silent. Browsers
    /// number anew without saying that the old stream has ended.
    pub(super) fn select(&mut self, index: usize, now: Instant) -> bool {
        let (source, layer) = (self.streams[index].source, self.streams[index].layer);
        if self.selected[layer] == Some(source) {
            return true;
        }
        let current = self.selected[layer].and_then(|source| self.stream(source));
        let silent = |s: &Stream| now.saturating_duration_since(s.last_at) >= SILENT;
        if current.is_none_or(|stream| silent(stream) || stream.source < source) {
            self.selected[layer] = Some(source);
            return true;
        }
        false
    }

    /// The stream called `source`.
    pub(super) fn stream(&self, source: u32) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.source == source)
    }

    /// Whether the spatial layers of stream `index` are the layers of the track: it has several, and
    /// no other stream carries any.
    pub(super) fn is_scalable(&self, index: usize) -> bool {
        let stream = &self.streams[index];
        let alone = self.selected.iter().flatten().all(|s| *s == stream.source);
        stream.layer == 0 && alone && stream.frames.is_spatial()
    }

    /// Takes note of what a packet costs.
    pub(super) fn measure(&mut self, index: usize, packet: &Packet, now: Instant) {
        let len = packet.payload.len();
        if self.config.kind != MediaKind::Video || len == 0 {
            return;
        }
        if !self.layers.is_active(packet.layer) {
            let size = self.streams[index].size(packet);
            self.layers.begin(packet.layer, size);
        }
        let meters = self
            .meters
            .get_or_insert_with(|| std::array::from_fn(|_| Meter::new(now)));
        for (layer, meter) in meters.iter_mut().enumerate() {
            if packet.layers >> layer & 1 != 0 {
                let own = layer == packet.layer;
                meter.add(len, packet.timestamp, packet.frame.temporal, own);
            }
        }
        if self.refresh_at.is_none_or(|at| at <= now) {
            self.refresh_at = Some(now + Meter::WINDOW);
            for (layer, meter) in meters.iter_mut().enumerate() {
                self.layers.update(layer, meter.finish(now));
            }
        }
    }

    /// A key frame says how large the pictures of stream `index` are.
    pub(super) fn resize(
        &mut self,
        index: usize,
        packet: &Packet,
        sizes: [Option<Size>; MAX_SPATIAL],
    ) {
        let stream = &mut self.streams[index];
        if sizes == [None; MAX_SPATIAL] || stream.sizes == sizes {
            return;
        }
        stream.sizes = sizes;
        if !packet.is_scalable {
            let size = stream.size(packet);
            return self.layers.begin(packet.layer, size);
        }
        for (layer, size) in sizes.into_iter().enumerate() {
            // Also what has not come yet: with this key frame it is chosen or not.
            if size.is_some() {
                self.layers.begin(layer, size);
            }
        }
    }

    /// Asks for key frames of the layers whose bit is set in `layers`.
    pub(super) fn want_keyframes(&mut self, layers: u8) {
        if self.config.kind != MediaKind::Video {
            return;
        }
        for index in 0..self.streams.len() {
            let carries = match self.is_scalable(index) {
                true => u8::MAX,
                false => 1 << self.streams[index].layer,
            };
            let stream = &mut self.streams[index];
            if layers & carries != 0 && self.selected[stream.layer] == Some(stream.source) {
                stream.keyframes.want();
            }
        }
    }
}

/// Which layer an SSRC is; `None` if it is none of those agreed.
fn layer_of(simulcast: &Simulcast, ssrc: u32, rid: Option<&str>) -> Option<usize> {
    let layer = match simulcast {
        Simulcast::Off => 0,
        Simulcast::Ssrcs(ssrcs) => ssrcs.iter().position(|known| *known == ssrc)?,
        Simulcast::Rids(rids) => rids.iter().position(|known| Some(known.as_str()) == rid)?,
    };
    (layer < MAX_LAYERS).then_some(layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::rtp::header::{MAX_LEN, Outgoing};
    use crate::sfu::command::{Codec, ExtensionMap};

    fn track(ssrcs: &[u32], rtx_ssrcs: &[(u32, u32)]) -> InboundTrack {
        InboundTrack::new(InboundTrackConfig {
            kind: MediaKind::Video,
            mid: "1".into(),
            ssrcs: ssrcs.to_vec(),
            rtx_ssrcs: rtx_ssrcs.to_vec(),
            simulcast: Simulcast::Off,
            codecs: vec![InboundCodec {
                pt: 96,
                rtx_pt: Some(97),
                codec: Codec::Vp8,
                clock_rate: 90_000,
            }],
            extensions: ExtensionMap {
                rid: Some(2),
                repaired_rid: Some(3),
                ..Default::default()
            },
            encrypted: false,
        })
    }

    fn learn(
        track: &mut InboundTrack,
        ssrc: u32,
        payload_type: u8,
        element: Option<(u8, &[u8])>,
        now: Instant,
    ) -> Option<Route> {
        let mut packet = vec![0; MAX_LEN];
        let elements: Vec<_> = element.into_iter().collect();
        let len = Outgoing {
            marker: false,
            payload_type,
            sequence: 0,
            timestamp: 0,
            ssrc,
            elements: &elements,
        }
        .write(&mut packet);
        let header = Header::parse(&packet[..len]).expect("valid");
        track.learn(&header, &packet, ssrc, now)
    }

    #[test]
    fn a_declared_pair_is_one_stream_whichever_comes_first() {
        let now = Clock::system().epoch().instant;
        let mut track = track(&[10], &[(10, 20)]);
        assert_eq!(learn(&mut track, 20, 97, None, now), Some(Route::Rtx(0)));
        assert_eq!(track.route(10), Some(Route::Media(0)));
        assert_eq!(track.route(20), Some(Route::Rtx(0)));
    }

    #[test]
    fn undeclared_retransmissions_find_their_stream_by_rid_or_by_being_alone() {
        let now = Clock::system().epoch().instant;
        let mut alone = track(&[], &[]);
        learn(&mut alone, 10, 96, None, now);
        assert_eq!(learn(&mut alone, 20, 97, None, now), Some(Route::Rtx(0)));
        let mut layers = track(&[], &[]);
        learn(&mut layers, 10, 96, Some((2, b"f")), now);
        learn(&mut layers, 11, 96, Some((2, b"h")), now);
        assert_eq!(
            learn(&mut layers, 21, 97, Some((3, b"h")), now),
            Some(Route::Rtx(1))
        );
        assert_eq!(learn(&mut layers, 22, 97, None, now), None);
    }

    #[test]
    fn streams_are_bounded_and_the_one_silent_for_longest_makes_room() {
        let now = Clock::system().epoch().instant;
        let mut track = track(&[], &[]);
        for ssrc in 0..20u32 {
            learn(
                &mut track,
                ssrc,
                96,
                None,
                now + Duration::from_secs(ssrc.into()),
            );
        }
        let ssrcs: Vec<_> = track.streams.iter().map(|stream| stream.ssrc).collect();
        assert_eq!(ssrcs, [16, 17, 18, 19]);
    }

    #[test]
    fn the_newest_stream_that_is_not_silent_is_forwarded() {
        let now = Clock::system().epoch().instant;
        let mut track = track(&[], &[]);
        learn(&mut track, 1, 96, None, now);
        assert!(track.select(0, now));
        learn(&mut track, 2, 96, None, now);
        assert!(track.select(1, now));
        assert!(!track.select(0, now + Duration::from_secs(1)));
        assert!(track.select(0, now + SILENT));
    }

    #[test]
    fn a_later_offer_keeps_the_streams_it_still_declares() {
        let now = Clock::system().epoch().instant;
        let mut this = track(&[1, 2], &[]);
        learn(&mut this, 1, 96, None, now);
        learn(&mut this, 2, 96, None, now);
        this.update(track(&[2, 3], &[(2, 22)]).config);
        assert_eq!(this.route(1), None);
        assert_eq!(this.route(2), Some(Route::Media(0)));
        assert_eq!(this.route(22), Some(Route::Rtx(0)));
    }

    #[test]
    fn rids_that_were_agreed_are_layers_and_others_are_nothing() {
        let now = Clock::system().epoch().instant;
        let mut track = track(&[], &[]);
        track.config.simulcast = Simulcast::Rids(["q", "h", "f"].map(str::to_owned).to_vec());
        learn(&mut track, 12, 96, Some((2, b"f")), now);
        learn(&mut track, 10, 96, Some((2, b"q")), now);
        assert_eq!(learn(&mut track, 13, 96, Some((2, b"x")), now), None);
        assert_eq!(learn(&mut track, 13, 96, None, now), None);
        let layers: Vec<_> = track.streams.iter().map(|s| (s.ssrc, s.layer)).collect();
        assert_eq!(layers, [(12, 2), (10, 0)]);
        assert!(track.select(0, now) && track.select(1, now));
    }
}
