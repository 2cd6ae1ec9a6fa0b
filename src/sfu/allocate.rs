//! Which layers a subscriber gets within what its network carries: audio first, then as much video
//! as was asked for.

use std::time::{Duration, Instant};

use super::fallback::Fit;
use super::layer::{Active, Choice, Layers};

/// What is set aside for sound, in bits per second: Opus with its headers.
const AUDIO: u64 = 60_000;

/// What there must be to spare before more is sent, so that it does not have to be taken back.
const MARGIN: f64 = 1.15;

/// What is probed for beyond that, as the cost of a layer is not the same every second.
const PROBED: f64 = 1.1;

/// How long less stays less: going up costs a key frame.
const HOLD: Duration = Duration::from_secs(3);

/// Bits per pixel and second assumed of a layer that was not measured yet.
const ASSUMED_DENSITY: f64 = 1.5;

/// Remembers what was given, so that it does not oscillate.
#[derive(Debug, Default)]
pub(super) struct Allocator {
    given: Option<Choice>,
    lowered_at: Option<Instant>,
}

/// What a subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allocation {
    pub(super) choice: Choice,
    /// Bits per second that the next better choice takes, if there is one that was asked for.
    pub(super) missing: Option<u64>,
    /// Whether the least choice fits; `None` if nothing is sent that could.
    pub(super) fit: Option<Fit>,
}

impl Allocator {
    /// Gives the best of what is at most `wanted` and fits into `limit` bits per second, but never
    /// less than the least there is.
    pub(super) fn allocate(
        &mut self,
        layers: &Layers,
        wanted: Choice,
        limit: Option<u64>,
        audio: bool,
        now: Instant,
    ) -> Allocation {
        let Some(limit) = limit else {
            self.given = Some(wanted);
            return Allocation {
                choice: wanted,
                missing: None,
                fit: layers.active().next().map(|_| Fit::Ample),
            };
        };
        let reserved = if audio { AUDIO } else { 0 };
        let room = limit.saturating_sub(reserved) as f64;
        let holds = self
            .lowered_at
            .is_some_and(|at| now.saturating_duration_since(at) < HOLD);
        let mut best: Option<Choice> = None;
        let mut spent = 0.0;
        let mut missing = None;
        let mut above = false;
        let least = steps(layers, wanted).next().map(|(_, rate)| rate);
        let fit = least.map(|rate| match (rate <= room, rate * MARGIN <= room) {
            (false, _) => Fit::Short,
            (true, false) => Fit::Tight,
            (true, true) => Fit::Ample,
        });
        for (choice, rate) in steps(layers, wanted) {
            // Everything up to what is given already needs no margin, and no patience.
            let fits = match above {
                false => rate <= room,
                true => !holds && rate * MARGIN <= room,
            };
            above |= Some(choice) == self.given;
            // A track without temporal layers costs the same with and without them.
            if fits || best.is_none() || rate <= spent {
                (best, spent) = (Some(choice), rate);
            } else {
                missing = Some((rate * MARGIN * PROBED) as u64 + reserved);
                break;
            }
        }
        let choice = best.unwrap_or(wanted);
        if missing.is_some() && self.given.is_some_and(|given| lower(layers, choice, given)) {
            self.lowered_at = Some(now);
        }
        self.given = Some(choice);
        if let Some(rate) = least.filter(|_| fit != Some(Fit::Ample)) {
            // More than that is of no use before this.
            missing = Some((rate * MARGIN * PROBED) as u64 + reserved);
        }
        Allocation {
            choice,
            missing,
            fit,
        }
    }
}

/// Whether `choice` comes before `other`.
fn lower(layers: &Layers, choice: Choice, other: Choice) -> bool {
    let rank = |choice: Choice| {
        let place = layers
            .active()
            .position(|active| active.layer == choice.layer);
        (place, choice.temporal)
    };
    rank(choice) < rank(other)
}

/// The choices up to `wanted` and what they cost, the least first: frames of the smallest picture,
/// then larger pictures. A large picture that moves badly is no gain.
fn steps(layers: &Layers, wanted: Choice) -> impl Iterator<Item = (Choice, f64)> {
    let top = layers
        .active()
        .position(|active| active.layer == wanted.layer);
    let layers = layers.active().take(top.map_or(0, |top| top + 1));
    layers.enumerate().flat_map(move |(place, active)| {
        let first = if place == 0 { 0 } else { wanted.temporal };
        (first..=wanted.temporal).map(move |temporal| {
            let choice = Choice {
                layer: active.layer,
                temporal,
            };
            (choice, cost(&active, temporal))
        })
    })
}

/// Bits per second, headers included.
fn cost(layer: &Active, temporal: u8) -> f64 {
    /// Headers and tags add this to a packet's payload.
    const OVERHEAD: f64 = 1.05;
    let measured = f64::from(layer.rates.bits[usize::from(temporal)]);
    let assumed = f64::from(layer.size.area()) * ASSUMED_DENSITY;
    OVERHEAD * if measured > 0.0 { measured } else { assumed }
}

#[cfg(test)]
mod tests {
    use super::super::layer::Rates;
    use super::*;
    use crate::clock::Clock;

    const BEST: Choice = Choice {
        layer: 2,
        temporal: 2,
    };

    fn now() -> Instant {
        Clock::system().epoch().instant
    }

    /// Layers of 0.2, 0.6 and 2 Mbit/s, of which half is temporal layer 0.
    fn layers() -> Layers {
        let mut layers = Layers::default();
        for (layer, bits) in [200_000, 600_000, 2_000_000].into_iter().enumerate() {
            layers.begin(layer, None);
            let rates = Rates {
                bits: [bits / 2, bits / 4 * 3, bits],
                frames: [7.5, 15.0, 30.0],
            };
            layers.update(layer, Some(rates));
        }
        layers
    }

    fn given(allocator: &mut Allocator, limit: u64, now: Instant) -> (usize, u8) {
        let choice = allocator
            .allocate(&layers(), BEST, Some(limit), true, now)
            .choice;
        (choice.layer, choice.temporal)
    }

    #[test]
    fn without_a_limit_everybody_gets_what_was_asked_for() {
        let allocation = Allocator::default().allocate(&layers(), BEST, None, true, now());
        assert_eq!((allocation.choice, allocation.missing), (BEST, None));
    }

    #[test]
    fn the_largest_picture_that_fits_is_given_and_at_least_the_least() {
        for (limit, expected) in [
            (4_000_000, (2, 2)),
            (1_000_000, (1, 2)),
            (500_000, (0, 2)),
            (240_000, (0, 1)),
            (1, (0, 0)),
        ] {
            let mut allocator = Allocator::default();
            assert_eq!(given(&mut allocator, limit, now()), expected, "{limit}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_a_margin() {
        let mut allocator = Allocator::default();
        let allocation = allocator.allocate(&layers(), BEST, Some(1_000_000), true, now());
        let missing = allocation.missing.expect("the highest layer is wanted");
        assert!((2_400_000..3_000_000).contains(&missing), "{missing}");
    }

    #[test]
    fn going_up_takes_a_margin_and_some_time_after_going_down() {
        let (mut allocator, now) = (Allocator::default(), now());
        assert_eq!(given(&mut allocator, 4_000_000, now), (2, 2));
        assert_eq!(given(&mut allocator, 2_200_000, now), (2, 2));
        assert_eq!(given(&mut allocator, 1_000_000, now), (1, 2));
        assert_eq!(given(&mut allocator, 4_000_000, now + HOLD / 2), (1, 2));
        assert_eq!(given(&mut allocator, 2_200_000, now + HOLD), (1, 2));
        assert_eq!(given(&mut allocator, 2_600_000, now + HOLD), (2, 2));
    }

    #[test]
    fn one_layer_without_temporal_layers_is_sent_as_it_is_whether_it_fits_or_not() {
        let mut layers = Layers::default();
        layers.begin(0, None);
        let rates = Rates {
            bits: [1_000_000; 3],
            frames: [30.0; 3],
        };
        layers.update(0, Some(rates));
        let wanted = Choice::default();
        let given = |limit| Allocator::default().allocate(&layers, wanted, limit, true, now());
        let allocation = given(Some(1));
        assert_eq!(
            (allocation.choice, allocation.fit),
            (wanted, Some(Fit::Short))
        );
        let allocation = given(Some(1_200_000));
        assert_eq!(
            (allocation.choice, allocation.fit),
            (wanted, Some(Fit::Tight))
        );
        let allocation = given(Some(1_300_000));
        assert_eq!(
            (allocation.missing, allocation.fit),
            (None, Some(Fit::Ample))
        );
    }

    #[test]
    fn no_more_than_was_asked_for_is_given() {
        let wanted = Choice {
            layer: 1,
            temporal: 1,
        };
        let mut allocator = Allocator::default();
        let allocation = allocator.allocate(&layers(), wanted, Some(9_000_000), true, now());
        assert_eq!((allocation.choice, allocation.missing), (wanted, None));
    }
}
