//! Leaves frames of a stream out in such a way that what remains can be decoded.

use std::time::{Duration, Instant};

use super::frame::Links;
use super::layer::{Choice, MAX_TEMPORAL};
use super::packet::Packet;
use crate::rtp::codec::dependency::Role;

/// Decides frame by frame which layers of one stream a subscriber gets.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// What passes now: all of these layers, and what they need. The spatial layer is without
    /// meaning for a stream that has only one.
    current: Choice,
    /// The picture that is decided about, and the last one that was left out.
    timestamp: Option<u32>,
    left_out: Option<u32>,
    /// The picture whose end was marked before it had ended.
    ended: Option<u32>,
    /// The key frame that is let through when only those are.
    key: Option<(u32, Instant)>,
    history: History,
    /// The frame with which `current` changed.
    changed_with: Option<u16>,
}

/// What the filter says about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is for the subscriber.
    Pass {
        /// Whether its picture ends with it, as what follows is left out.
        ends_picture: bool,
        /// Whether it must say which decode targets are left.
        announces: bool,
    },
    /// It is not.
    LeaveOut {
        /// It is the first packet of its picture to be left out.
        new_picture: bool,
        /// What is wanted cannot be had without a key frame.
        needs_keyframe: bool,
    },
}

/// What became of one frame.
enum Fate {
    Passes,
    LeftOut { needs_keyframe: bool },
}

impl Filter {
    /// Begins anew with a frame that everything passes of.
    pub(super) fn begin(&mut self, packet: &Packet, wanted: Choice, now: Instant) {
        self.current = wanted;
        self.timestamp = Some(packet.timestamp);
        self.key = Some((packet.timestamp, now));
        self.history = History::default();
        self.changed_with = packet.frame.links.map(|links| links.number);
    }

    /// The layers that pass now.
    pub(super) fn current(&self) -> Choice {
        self.current
    }

    /// Only key frames are wanted from here on.
    pub(super) fn begin_thin(&mut self, now: Instant) {
        if let Some((_, at)) = &mut self.key {
            *at = now;
        }
    }

    /// Decides about a packet: `wanted` is what the subscriber is to get, `thin` is the time
    /// between two key frames if that is all.
    pub(super) fn judge(
        &mut self,
        packet: &Packet,
        wanted: Choice,
        thin: Option<Duration>,
        now: Instant,
    ) -> Verdict {
        let fate = match (thin, packet.frame.links) {
            (Some(apart), _) => self.thin(packet, apart, now),
            (None, Some(links)) => self.by_links(packet, &links, wanted),
            (None, None) => self.by_layers(packet, wanted),
        };
        match fate {
            Fate::Passes => self.pass(packet),
            Fate::LeftOut { needs_keyframe } => Verdict::LeaveOut {
                new_picture: self.left_out.replace(packet.timestamp) != Some(packet.timestamp),
                needs_keyframe,
            },
        }
    }

    fn pass(&mut self, packet: &Packet) -> Verdict {
        let frame = &packet.frame;
        let is_highest = packet.is_scalable && packet.layer == self.current.layer;
        let ends_picture = frame.ends && is_highest;
        if ends_picture {
            self.ended = Some(packet.timestamp);
        }
        let changed = |number| frame.keyframe == Some(true) || self.changed_with == Some(number);
        Verdict::Pass {
            ends_picture,
            announces: frame.links.is_some_and(|links| changed(links.number)),
        }
    }

    /// Whether a picture may still grow.
    fn is_open(&self, packet: &Packet) -> bool {
        self.ended != Some(packet.timestamp)
    }

    /// Lets key frames through that are this far apart.
    fn thin(&mut self, packet: &Packet, apart: Duration, now: Instant) -> Fate {
        let keyframe = packet.frame.keyframe;
        let (current, at) = self.key.unwrap_or((packet.timestamp, now));
        let due = now.saturating_duration_since(at) >= apart;
        let begins = due && keyframe == Some(true);
        if begins {
            self.key = Some((packet.timestamp, now));
            self.current = Choice::default();
            self.changed_with = packet.frame.links.map(|links| links.number);
        }
        // What cannot be read cannot be told from a key frame.
        let unreadable = keyframe.is_none() && packet.frame.temporal == 0;
        let is_lowest = !packet.is_scalable || packet.layer == 0;
        if (current == packet.timestamp || begins || unreadable) && is_lowest {
            return Fate::Passes;
        }
        Fate::LeftOut {
            needs_keyframe: due && keyframe == Some(false) && is_lowest,
        }
    }

    /// By what frames say of each other. Late packets share the fate of their frame.
    fn by_links(&mut self, packet: &Packet, links: &Links, wanted: Choice) -> Fate {
        if packet.frame.keyframe == Some(true) {
            self.history = History::default();
            self.turn_to(wanted, links);
        }
        if let Some(passes) = self.history.fate(links.number) {
            return match passes {
                true => Fate::Passes,
                false => Fate::LeftOut {
                    needs_keyframe: false,
                },
            };
        }
        let decodable = self.history.has_all(links.number, links.references);
        let role = |choice: Choice| links.roles.of(choice.layer, choice.temporal.into());
        if decodable && wanted != self.current && self.is_open(packet) {
            self.step(wanted, role, links);
        }
        let mine = role(self.current);
        let passes = decodable && mine != Role::NotPresent;
        self.history.remember(links.number, passes);
        if passes {
            return Fate::Passes;
        }
        let waits = packet.is_scalable
            && wanted.layer != self.current.layer
            && packet.frame.temporal == 0
            && role(wanted) != Role::NotPresent;
        let stuck = !decodable && matches!(mine, Role::Switch | Role::Required);
        Fate::LeftOut {
            needs_keyframe: waits || stuck,
        }
    }

    /// Changes what passes, with a frame that can be decoded: to less with any frame that is part
    /// of it, to more with one that says so.
    fn step(&mut self, wanted: Choice, role: impl Fn(Choice) -> Role, links: &Links) {
        let current = self.current;
        let less = Choice {
            layer: wanted.layer.min(current.layer),
            temporal: wanted.temporal.min(current.temporal),
        };
        if role(wanted) == Role::Switch {
            self.turn_to(wanted, links);
        } else if less != current && role(less) != Role::NotPresent {
            self.turn_to(less, links);
        }
    }

    fn turn_to(&mut self, choice: Choice, links: &Links) {
        if self.current != choice {
            self.current = choice;
            self.changed_with = Some(links.number);
        }
    }

    /// By the layers that packets name. Changes between pictures: down at any; up by one temporal
    /// layer with a picture of the base layer, which everything later depends on and nothing that
    /// was left out; up by one spatial layer with a frame that needs only the one below.
    fn by_layers(&mut self, packet: &Packet, wanted: Choice) -> Fate {
        let frame = &packet.frame;
        let key = frame.keyframe == Some(true);
        if self.timestamp.replace(packet.timestamp) != Some(packet.timestamp) {
            if key || self.current.temporal > wanted.temporal {
                self.current.temporal = wanted.temporal;
            } else if frame.temporal == 0 && self.current.temporal < wanted.temporal {
                self.current.temporal += 1;
            }
            if key || self.current.layer > wanted.layer {
                self.current.layer = wanted.layer;
            }
        }
        let next = self.current.layer + 1;
        if frame.joins && packet.layer == next && next <= wanted.layer && self.is_open(packet) {
            self.current.layer = next;
        }
        let is_in_layer = !packet.is_scalable || packet.layers >> self.current.layer & 1 != 0;
        if is_in_layer && frame.temporal <= self.current.temporal {
            return Fate::Passes;
        }
        Fate::LeftOut {
            needs_keyframe: packet.is_scalable && self.current.layer < wanted.layer,
        }
    }
}

/// Which of the last frames were left out.
#[derive(Debug, Default)]
struct History {
    newest: Option<u16>,
    /// Bit 0 is the newest frame, bit 1 the one before it.
    known: u64,
    left_out: u64,
}

impl History {
    /// Frames before the newest one.
    fn age(&self, number: u16) -> Option<i16> {
        Some(self.newest?.wrapping_sub(number).cast_signed())
    }

    /// Whether a frame that was decided about passed.
    fn fate(&self, number: u16) -> Option<bool> {
        let age = u32::try_from(self.age(number)?).ok()?;
        let known = self.known.checked_shr(age)? & 1 != 0;
        known.then(|| self.left_out >> age & 1 == 0)
    }

    /// Whether none of the frames that frame `number` refers to was left out. What was lost on the
    /// way here may still come.
    fn has_all(&self, number: u16, references: u64) -> bool {
        let Some(age) = self.age(number) else {
            return true;
        };
        // The frames before `number`, in the order of its references.
        let left_out = match age {
            0.. => {
                self.left_out
                    .checked_shr(age.unsigned_abs().into())
                    .unwrap_or(0)
                    >> 1
            }
            // The newest frame is the one `-age` before it.
            _ => {
                let distance = u32::from(age.unsigned_abs()) - 1;
                self.left_out.checked_shl(distance).unwrap_or(0)
            }
        };
        left_out & references == 0
    }

    fn remember(&mut self, number: u16, passes: bool) {
        let age = self.age(number).unwrap_or(-1);
        let bit = if age < 0 {
            let by = u32::from(age.unsigned_abs());
            self.known = self.known.checked_shl(by).unwrap_or(0);
            self.left_out = self.left_out.checked_shl(by).unwrap_or(0);
            self.newest = Some(number);
            1
        } else {
            1u64.checked_shl(age.unsigned_abs().into()).unwrap_or(0)
        };
        self.known |= bit;
        if !passes {
            self.left_out |= bit;
        }
    }
}

/// Temporal layers are counted alike everywhere.
const _: () = assert!(MAX_TEMPORAL == crate::rtp::codec::dependency::LAYERS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_shares_its_fate_with_its_late_packets_and_with_what_refers_to_it() {
        let mut history = History::default();
        assert!(history.has_all(5, u64::MAX));
        for (number, passes) in [(65_534, true), (65_535, false), (1, true)] {
            history.remember(number, passes);
        }
        let fates = [65_534, 65_535, 0, 1, 2].map(|number| history.fate(number));
        assert_eq!(fates, [Some(true), Some(false), None, Some(true), None]);
        // Frame 0 was lost; it refers to the one before it, which was left out.
        assert!(!history.has_all(0, 0b1));
        assert!(history.has_all(0, 0b10));
        // Frame 2: one back is 1, three back is the one left out.
        assert!(history.has_all(2, 0b1011));
        assert!(!history.has_all(2, 0b100));
        history.remember(0, false);
        assert_eq!(history.fate(0), Some(false));
        assert!(!history.has_all(2, 0b10));
        history.remember(200, true);
        assert_eq!(history.fate(1), None);
        assert!(history.has_all(201, u64::MAX));
    }
}
