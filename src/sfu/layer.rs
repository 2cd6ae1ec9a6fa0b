//! Simulcast, spatial and temporal layers: what a track has of them, and which a subscriber gets.
//!
//! The spatial layers of one stream count as layers of the track, like the streams of simulcast:
//! each is a size that can be had, and costs what it needs of the ones below.

use std::time::{Duration, Instant};

use super::Wanted;
use crate::rtp::codec::Size;

/// Simulcast or spatial layers of a track; clients send two or three (`protocol/signaling.md`, 13.5).
pub(super) const MAX_LAYERS: usize = 3;

/// Temporal layers told apart; `L1T3` is what clients send.
pub(super) const MAX_TEMPORAL: usize = 3;

/// The size assumed for the highest layer while no key frame has told any.
const ASSUMED: Size = Size {
    width: 1280,
    height: 720,
};

/// What a layer costs, measured.
#[derive(Debug)]
pub(super) struct Meter {
    since: Instant,
    /// Whether anything of the layer itself came, not only of what it needs.
    is_sent: bool,
    /// By temporal layer.
    bytes: [u32; MAX_TEMPORAL],
    frames: [u32; MAX_TEMPORAL],
    timestamp: Option<u32>,
    rates: Rates,
}

/// Bits and frames a second, by the highest temporal layer that is included.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rates {
    pub(super) bits: [u32; MAX_TEMPORAL],
    pub(super) frames: [f32; MAX_TEMPORAL],
}

impl Meter {
    /// How long is measured before the result counts.
    pub(super) const WINDOW: Duration = Duration::from_millis(500);

    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            is_sent: false,
            bytes: [0; MAX_TEMPORAL],
            frames: [0; MAX_TEMPORAL],
            timestamp: None,
            rates: Rates::default(),
        }
    }

    /// Adds a packet that the layer needs; `own`: it is one of the layer itself.
    pub(super) fn add(&mut self, len: usize, timestamp: u32, temporal: u8, own: bool) {
        self.is_sent |= own;
        let temporal = usize::from(temporal).min(MAX_TEMPORAL - 1);
        self.bytes[temporal] = self.bytes[temporal].saturating_add(len as u32);
        if self.timestamp.replace(timestamp) != Some(timestamp) {
            self.frames[temporal] = self.frames[temporal].saturating_add(1);
        }
    }

    /// Ends a window and tells the smoothed rates; `None` if nothing of the layer came in it.
    pub(super) fn finish(&mut self, now: Instant) -> Option<Rates> {
        let passed = now.saturating_duration_since(self.since).as_secs_f32();
        if passed < Self::WINDOW.as_secs_f32() / 2.0 {
            return Some(self.rates);
        }
        let first = self.rates.bits[MAX_TEMPORAL - 1] == 0;
        let smooth = |old: f32, new: f32| if first { new } else { (old + new) / 2.0 };
        let (mut bytes, mut frames) = (0u32, 0u32);
        for temporal in 0..MAX_TEMPORAL {
            bytes = self.bytes[temporal].saturating_add(bytes);
            frames = self.frames[temporal].saturating_add(frames);
            let bits = &mut self.rates.bits[temporal];
            *bits = smooth(*bits as f32, bytes as f32 * 8.0 / passed) as u32;
            let rate = &mut self.rates.frames[temporal];
            *rate = smooth(*rate, frames as f32 / passed);
        }
        self.since = now;
        self.bytes = [0; MAX_TEMPORAL];
        self.frames = [0; MAX_TEMPORAL];
        if !std::mem::take(&mut self.is_sent) {
            self.rates = Rates::default();
            return None;
        }
        Some(self.rates)
    }
}

/// The layers of one track.
#[derive(Debug, Default, Clone)]
pub(super) struct Layers {
    layers: [Option<Layer>; MAX_LAYERS],
    /// Windows in a row without a packet.
    silent: [u8; MAX_LAYERS],
    /// Grows with every change that may change a choice.
    pub(super) version: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Layer {
    size: Option<Size>,
    rates: Rates,
}

/// A layer that is being sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Active {
    /// Which.
    pub(super) layer: usize,
    /// Its size as far as known.
    pub(super) size: Size,
    /// What it costs; zero until measured.
    pub(super) rates: Rates,
}

impl Layers {
    /// Windows without a packet before a layer counts as no longer sent.
    const PATIENCE: u8 = 3;

    pub(super) fn is_active(&self, layer: usize) -> bool {
        self.layers[layer].is_some()
    }

    /// A layer begins, or changes its size.
    pub(super) fn begin(&mut self, layer: usize, size: Option<Size>) {
        let rates = self.layers[layer].map(|layer| layer.rates);
        self.layers[layer] = Some(Layer {
            size,
            rates: rates.unwrap_or_default(),
        });
        self.silent[layer] = 0;
        self.version = self.version.wrapping_add(1);
    }

    /// Takes what was measured; a layer without packets ends after a while.
    pub(super) fn update(&mut self, layer: usize, rates: Option<Rates>) {
        let (Some(known), silent) = (&mut self.layers[layer], &mut self.silent[layer]) else {
            return;
        };
        if let Some(rates) = rates {
            *silent = 0;
            known.rates = rates;
            return;
        }
        *silent += 1;
        if *silent >= Self::PATIENCE {
            self.layers[layer] = None;
            self.version = self.version.wrapping_add(1);
        }
    }

    /// Takes over what is known elsewhere.
    pub(super) fn adopt(&mut self, known: &Self) {
        let sizes = |layers: &Self| layers.layers.map(|layer| layer.map(|layer| layer.size));
        if sizes(self) != sizes(known) {
            self.version = self.version.wrapping_add(1);
        }
        self.layers = known.layers;
    }

    /// All layers begin anew.
    pub(super) fn forget(&mut self) {
        self.layers = [None; MAX_LAYERS];
        self.silent = [0; MAX_LAYERS];
        self.version = self.version.wrapping_add(1);
    }

    /// The layers that are sent, the smallest picture first.
    pub(super) fn active(&self) -> impl Iterator<Item = Active> {
        let mut order = [0, 1, 2];
        order.sort_unstable_by_key(|index| (self.size(*index).area(), *index));
        order.into_iter().filter_map(|layer| {
            Some(Active {
                layer,
                size: self.size(layer),
                rates: self.layers[layer]?.rates,
            })
        })
    }

    /// A layer's size: what its key frame said, else what another's says about it, as each layer
    /// has twice the width of the one below.
    fn size(&self, layer: usize) -> Size {
        let known = |index: usize| self.layers[index].and_then(|layer| layer.size);
        if let Some(size) = known(layer) {
            return size;
        }
        let other = (0..MAX_LAYERS).find_map(|index| Some((index, known(index)?)));
        let (other, size) = other.unwrap_or((MAX_LAYERS - 1, ASSUMED));
        let scale = |side: u16| match layer.checked_sub(other) {
            Some(up) => side.saturating_mul(1 << up),
            None => side >> (other - layer),
        };
        Size {
            width: scale(size.width),
            height: scale(size.height),
        }
    }

    /// How many layers, the lowest first, are of use to somebody who wants this, of `all` that can be
    /// had, whether they are sent now or not.
    pub(super) fn of_use(&self, wanted: &Wanted, all: usize) -> usize {
        if wanted.restrict_frame_rate {
            return 1;
        }
        let Some((width, height)) = wanted.resolution else {
            return all;
        };
        let covers = |layer: &usize| covers(self.size(*layer), width, height);
        (0..all.min(MAX_LAYERS))
            .find(covers)
            .map_or(all, |layer| layer + 1)
    }

    /// The highest layers of use to somebody who wants this; `None` if nothing is sent.
    pub(super) fn choose(&self, wanted: &Wanted) -> Option<Choice> {
        if wanted.restrict_frame_rate {
            let layer = self.active().next()?.layer;
            return Some(Choice { layer, temporal: 0 });
        }
        let covers = |active: &Active| match wanted.resolution {
            None => false,
            Some((width, height)) => covers(active.size, width, height),
        };
        let best = self.active().find(covers).or(self.active().last())?;
        let temporal = match wanted.frame_rate {
            None => MAX_TEMPORAL - 1,
            // What is measured is never exact.
            Some(rate) => (0..MAX_TEMPORAL)
                .find(|temporal| best.rates.frames[*temporal] >= rate as f32 * 0.8)
                .unwrap_or(MAX_TEMPORAL - 1),
        };
        Some(Choice {
            layer: best.layer,
            temporal: temporal as u8,
        })
    }
}

/// Whether pictures of this size fill a place of `width` by `height`, which may be turned.
fn covers(size: Size, width: u32, height: u32) -> bool {
    let (long, short) = (size.width.max(size.height), size.width.min(size.height));
    u32::from(long) >= width.max(height) && u32::from(short) >= width.min(height)
}

/// What a subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    /// The simulcast layer, or the highest spatial one.
    pub(super) layer: usize,
    /// The highest temporal layer.
    pub(super) temporal: u8,
}

impl Default for Choice {
    /// The lowest layer, at its full frame rate.
    fn default() -> Self {
        Self {
            layer: 0,
            temporal: MAX_TEMPORAL as u8 - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn sizes(sizes: [Option<(u16, u16)>; MAX_LAYERS]) -> Layers {
        let mut layers = Layers::default();
        for (layer, size) in sizes.into_iter().enumerate() {
            let size = size.map(|(width, height)| Size { width, height });
            layers.begin(layer, size);
        }
        layers
    }

    fn chosen(layers: &Layers, width: u32, height: u32) -> Option<usize> {
        let wanted = Wanted {
            resolution: Some((width, height)),
            ..Wanted::default()
        };
        layers.choose(&wanted).map(|choice| choice.layer)
    }

    #[test]
    fn sizes_that_are_not_known_follow_from_one_that_is_or_from_the_order() {
        let unknown = sizes([None; 3]);
        assert_eq!(chosen(&unknown, 320, 180), Some(0));
        assert_eq!(chosen(&unknown, 640, 360), Some(1));
        assert_eq!(chosen(&unknown, 641, 360), Some(2));
        let one = sizes([None, Some((320, 240)), None]);
        assert_eq!(chosen(&one, 160, 120), Some(0));
        assert_eq!(chosen(&one, 320, 240), Some(1));
        assert_eq!(chosen(&one, 640, 480), Some(2));
    }

    #[test]
    fn sizes_count_more_than_the_order() {
        let layers = sizes([Some((1280, 720)), Some((640, 360)), Some((320, 180))]);
        assert_eq!(chosen(&layers, 100, 100), Some(2));
        assert_eq!(chosen(&layers, 5_000, 5_000), Some(0));
    }

    #[test]
    fn a_layer_that_is_silent_for_three_windows_is_gone_until_it_begins_again() {
        let mut layers = sizes([None; 3]);
        let rates = Some(Rates::default());
        for _ in 0..10 {
            layers.update(2, None);
            layers.update(2, None);
            layers.update(2, rates);
        }
        assert!(layers.is_active(2));
        let version = layers.version;
        (0..3).for_each(|_| layers.update(2, None));
        assert!(!layers.is_active(2));
        assert_ne!(layers.version, version);
        assert_eq!(chosen(&layers, 1280, 720), Some(1));
        layers.begin(2, None);
        assert_eq!(chosen(&layers, 1280, 720), Some(2));
        assert_eq!(Layers::default().choose(&Wanted::default()), None);
    }

    #[test]
    fn rates_add_up_over_temporal_layers() {
        let start = Clock::system().epoch().instant;
        let mut meter = Meter::new(start);
        for frame in 0..20u32 {
            let temporal = [0, 2, 1, 2][frame as usize % 4];
            meter.add(500, frame * 3_000, temporal, true);
            meter.add(500, frame * 3_000, temporal, true);
        }
        let rates = meter.finish(start + Duration::from_secs(1));
        let rates = rates.expect("packets came");
        assert_eq!(rates.bits, [40_000, 80_000, 160_000]);
        assert_eq!(rates.frames, [5.0, 10.0, 20.0]);
        assert_eq!(meter.finish(start + Duration::from_secs(2)), None);
    }
}
