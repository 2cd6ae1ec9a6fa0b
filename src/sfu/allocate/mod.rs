//! Which layers each of a client's streams gets within what its network carries: the audio of all
//! of them first, then the least video of each, then more of it for screens, for whoever speaks,
//! and for the others by turns, as far as it was asked for.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use super::SubscriptionId;
use super::fallback::Fit;
use super::layer::{Active, Choice, Layers, MAX_LAYERS, MAX_TEMPORAL};

/// What there must be to spare before more is sent, so that it does not have to be taken back.
const MARGIN: f64 = 1.15;

/// What is probed for beyond that, as the cost of a layer is not the same every second.
const PROBED: f64 = 1.1;

/// How long less stays less: going up costs a key frame.
const HOLD: Duration = Duration::from_secs(3);

/// The longest such time, which doubles with every step down that soon follows one up.
const HOLD_MAX: Duration = Duration::from_secs(24);

/// A step down this long after one up is a new story.
const FORGET: Duration = Duration::from_secs(10);

/// Bits per pixel and second assumed of a layer that was not measured yet.
const ASSUMED_DENSITY: f64 = 1.5;

/// The longest time between two pictures of a stream that is not to stop.
const SPARSEST: f64 = 15.0;

/// Choices that one stream can have: frames of the smallest picture, then larger pictures.
const MAX_STEPS: usize = MAX_TEMPORAL + MAX_LAYERS - 1;

/// Which streams are served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// Text must be legible.
    Screen,
    /// Who is looked at.
    Speaker,
    /// Who listens.
    Other,
}

/// Remembers what a stream was given, so that it does not oscillate.
#[derive(Debug)]
pub(super) struct Given {
    choice: Option<Choice>,
    raised_at: Option<Instant>,
    lowered_at: Option<Instant>,
    hold: Duration,
    /// Whether it was sent a picture now and then, as more did not fit.
    is_sparse: bool,
}

/// One stream that wants its share.
#[derive(Debug)]
pub(super) struct Demand {
    pub(super) subscription: SubscriptionId,
    priority: Priority,
    /// Whether nothing may be sent of it, if the least does not fit.
    may_stop: bool,
    wanted: Choice,
    steps: [(Choice, f64); MAX_STEPS],
    /// How many steps there are; how many of them it had, and has got now.
    len: usize,
    had: usize,
    taken: usize,
    /// Whether it went down so lately that it may not go up.
    holds: bool,
    /// Whether its next step did not fit.
    blocked: bool,
    /// Whether the least fits; `None` if nothing is sent that could.
    pub(super) fit: Option<Fit>,
    /// Whether it had only a picture now and then; the time between two, if that is all it gets.
    was_sparse: bool,
    pub(super) sparse: Option<Duration>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            choice: None,
            raised_at: None,
            lowered_at: None,
            hold: HOLD,
            is_sparse: false,
        }
    }
}

impl Given {
    /// Whether it went down so lately that it may not go up.
    fn holds(&self, now: Instant) -> bool {
        within(self.lowered_at, self.hold, now)
    }

    /// Takes note of what a stream gets from now on.
    pub(super) fn settle(&mut self, demand: &Demand, now: Instant) {
        self.is_sparse = demand.sparse.is_some();
        let before = self.choice.replace(demand.choice());
        if before.is_none() {
            return;
        }
        match demand.taken.max(1).cmp(&demand.had) {
            Ordering::Less => {
                let early = within(self.raised_at, FORGET, now);
                self.hold = match early {
                    true => (self.hold * 2).min(HOLD_MAX),
                    false => HOLD,
                };
                self.lowered_at = Some(now);
            }
            Ordering::Equal => {}
            Ordering::Greater => self.raised_at = Some(now),
        }
    }
}

fn within(at: Option<Instant>, time: Duration, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < time)
}

impl Demand {
    /// At most `wanted` of `layers` is asked for.
    pub(super) fn new(
        (subscription, priority): (SubscriptionId, Priority),
        layers: &Layers,
        wanted: Choice,
        may_stop: bool,
        given: &Given,
        now: Instant,
    ) -> Self {
        let mut steps = [(wanted, 0.0); MAX_STEPS];
        let mut len = 0;
        for (slot, step) in steps.iter_mut().zip(all_steps(layers, wanted)) {
            *slot = step;
            len += 1;
        }
        let place = |choice| steps[..len].iter().position(|(known, _)| *known == choice);
        // What is no longer there, or no longer wanted, was not less than what is.
        let had = given.choice.and_then(place).map_or(len, |place| place + 1);
        Self {
            subscription,
            priority,
            may_stop,
            wanted,
            steps,
            len,
            had,
            taken: 0,
            holds: given.holds(now),
            blocked: false,
            fit: None,
            was_sparse: given.is_sparse,
            sparse: None,
        }
    }

    /// What it gets.
    pub(super) fn choice(&self) -> Choice {
        match self.len {
            0 => self.wanted,
            _ => self.steps[self.taken.max(1) - 1].0,
        }
    }

    /// Whether it would get more if there were more.
    pub(super) fn is_short(&self) -> bool {
        self.taken < self.len
    }

    fn cost(&self) -> f64 {
        self.taken.checked_sub(1).map_or(0.0, |i| self.steps[i].1)
    }

    /// Gives it the least, or, if it may not stop and that is `proven` not to fit into `room`, a
    /// picture as often as that can be: one takes about as much as a second of video. Returns what
    /// it costs.
    fn begin(&mut self, fit: Fit, room: f64, proven: bool) -> f64 {
        let least = self.steps[0].1;
        if fit == Fit::Short && self.may_stop {
            return 0.0;
        }
        self.taken = 1;
        let is_sparse = match fit {
            Fit::Short => proven,
            Fit::Tight => self.was_sparse && !self.may_stop,
            Fit::Ample => false,
        };
        if !is_sparse {
            return least;
        }
        let seconds = (least / room.max(1.0)).clamp(1.0, SPARSEST);
        self.sparse = Some(Duration::from_secs_f64(seconds));
        least.min(room.max(0.0))
    }

    /// Goes one step up if there is room for it; returns the room that this would take if not.
    fn raise(&mut self, spent: &mut f64, room: f64) -> Option<f64> {
        if self.blocked || self.taken == 0 || self.taken == self.len {
            self.blocked = true;
            return None;
        }
        let total = *spent + self.steps[self.taken].1 - self.cost();
        // Everything up to what it had needs no margin, and no patience. A track without temporal
        // layers costs the same with and without them.
        let fits = match self.taken < self.had {
            true => total <= room,
            false => !self.holds && total * MARGIN <= room,
        };
        if fits || total <= *spent {
            self.taken += 1;
            *spent = total;
            return None;
        }
        self.blocked = true;
        Some(total)
    }
}

/// Gives everybody all there is.
pub(super) fn serve_all(demands: &mut [Demand]) {
    for demand in demands {
        demand.taken = demand.len;
        demand.fit = (demand.len > 0).then_some(Fit::Ample);
    }
}

/// Shares `room` bits per second among streams; `proven`: the network has shown that it carries no
/// more. Returns how much would be of use beyond that.
pub(super) fn share(demands: &mut [Demand], room: f64, proven: bool) -> Option<u64> {
    demands.sort_unstable_by_key(|demand| (demand.priority, demand.subscription));
    let with_margin = |total: f64| (total * MARGIN * PROBED) as u64;
    let mut spent = 0.0;
    // What is needed before more than the least is of any use.
    let mut needed = None;
    for demand in demands.iter_mut().filter(|demand| demand.len > 0) {
        let total = spent + demand.steps[0].1;
        let fit = match (total <= room, total * MARGIN <= room) {
            (false, _) => Fit::Short,
            (true, false) => Fit::Tight,
            (true, true) => Fit::Ample,
        };
        demand.fit = Some(fit);
        spent += demand.begin(fit, room - spent, proven);
        if fit != Fit::Ample && needed.is_none() {
            needed = Some(with_margin(total));
        }
    }
    let mut missing = None;
    let others = demands.partition_point(|demand| demand.priority < Priority::Other);
    let (first, others) = demands.split_at_mut(others);
    for demand in first {
        while !demand.blocked {
            missing = missing.or(demand.raise(&mut spent, room));
        }
    }
    while others.iter().any(|demand| !demand.blocked) {
        for demand in others.iter_mut() {
            missing = missing.or(demand.raise(&mut spent, room));
        }
    }
    needed.or(missing.map(with_margin))
}

/// The choices up to `wanted` and what they cost, the least first: frames of the smallest picture,
/// then larger pictures. A large picture that moves badly is no gain.
fn all_steps(layers: &Layers, wanted: Choice) -> impl Iterator<Item = (Choice, f64)> {
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
