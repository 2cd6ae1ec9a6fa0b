//! Selects the packets of one track for somebody: from where on, which layers, and under which
//! numbers.

use std::time::{Duration, Instant};

use super::filter::{Filter, Verdict};
use super::inbound::InboundTrack;
use super::layer::Choice;
use super::packet::Packet;
use super::rewrite::{Incoming, Place, Rewriter};
use crate::rtp::codec::dependency::Active;

/// How long a subscriber waits for a key frame that can be recognised, before it gets what there
/// is: its decoder may know better, as with payloads encrypted end to end.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(2);

/// How long a subscriber that has nothing yet waits for its own layer, before it begins with the
/// key frame of any other.
const LAYER_PATIENCE: Duration = Duration::from_millis(400);

/// What one receiver of a track gets of it.
#[derive(Debug)]
pub(super) struct Selector {
    pub(super) rewriter: Rewriter,
    flow: Flow,
    /// The layers to send; the simulcast layer changes with its next key frame.
    choice: Choice,
    /// The simulcast or highest spatial layer that is being sent.
    layer: usize,
    /// Whether it is a spatial layer, of a stream that has all of them.
    is_scalable: bool,
    /// The timestamp of the last packet of the layer that is to be sent instead.
    upcoming: Option<u32>,
    filter: Filter,
    manner: Manner,
}

/// How frames are left out beyond the choice of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Manner {
    /// Only key frames are wanted, this far apart.
    pub(super) thin: Option<Duration>,
    /// The network is full: a layer that is to be left is left at once.
    pub(super) hurry: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Not wanted.
    Off,
    /// To begin at the next packet where that is possible. Holds the first packet's time and
    /// the timestamp of the last one of the layer that is wanted, once there was one.
    Joining(Option<(Instant, Option<u32>)>),
    /// Packets leave.
    On,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// It leaves.
    Passes(Selected),
    /// It is of no use to this receiver.
    Dropped,
    /// The receiver waits for a key frame of the packet's layer.
    NeedsKeyframe,
}

/// How a packet leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Selected {
    /// Its numbers.
    pub(super) place: Place,
    /// Whether its picture ends with it, as what follows is left out.
    pub(super) ends_picture: bool,
    /// The decode targets that it is to say are left.
    pub(super) active: Option<Active>,
}

impl Selector {
    /// `start` is random and below 2¹⁵ (see [`Rewriter::new`]).
    pub(super) fn new(start: u64) -> Self {
        Self {
            rewriter: Rewriter::new(start),
            flow: Flow::Off,
            choice: Choice::default(),
            layer: 0,
            is_scalable: false,
            upcoming: None,
            filter: Filter::default(),
            manner: Manner::default(),
        }
    }

    /// Begins or ends sending.
    pub(super) fn want(&mut self, wanted: bool) {
        match (wanted, self.flow) {
            (false, _) => self.flow = Flow::Off,
            (true, Flow::Off) => self.flow = Flow::Joining(None),
            (true, _) => {}
        }
    }

    /// Changes which frames leave.
    pub(super) fn choose(&mut self, choice: Choice, manner: Manner, now: Instant) {
        let before = std::mem::replace(&mut self.manner, manner);
        self.choice = choice;
        if before.thin.is_none() && manner.thin.is_some() {
            self.filter.begin_thin(now);
        }
        // What came in between is missing; or the network is full, and what it carries is better
        // used for sound than for the rest of a layer that is being left.
        let unthinned = before.thin.is_some() && manner.thin.is_none();
        let leaves = manner.hurry && self.layer > choice.layer && !self.is_scalable;
        if unthinned || leaves {
            self.rejoin();
        }
    }

    /// The layer, as a bit, that a key frame is awaited of. A lower spatial layer can mostly be had
    /// without.
    pub(super) fn awaited(&self) -> u8 {
        match self.flow {
            Flow::Off => 0,
            Flow::On if self.layer == self.choice.layer => 0,
            Flow::On if self.is_scalable && self.layer > self.choice.layer => 0,
            _ => 1 << self.choice.layer,
        }
    }

    /// The layers, as bits, whose key frames are of use now: the one that is sent, and
    /// the one that is to be.
    pub(super) fn layers(&self) -> u8 {
        match self.flow {
            Flow::Off => 0,
            Flow::Joining(_) => 1 << self.choice.layer,
            Flow::On => 1 << self.layer | 1 << self.choice.layer,
        }
    }

    /// Whether packets leave.
    pub(super) fn is_on(&self) -> bool {
        self.flow == Flow::On
    }

    /// Begins anew, with a key frame.
    pub(super) fn rejoin(&mut self) {
        if self.flow == Flow::On {
            self.flow = Flow::Joining(None);
        }
    }

    /// Leaves a packet out that nobody could read.
    pub(super) fn skip(&mut self, packet: &Packet) {
        if self.flow != Flow::Off {
            self.rewriter.skip(incoming(packet), false, false);
        }
    }

    /// The layers that are sent now.
    pub(super) fn current(&self) -> Option<Choice> {
        let current = Choice {
            layer: self.layer,
            ..self.filter.current()
        };
        self.is_on().then_some(current)
    }

    /// Decides about a packet of `inbound`.
    pub(super) fn select(
        &mut self,
        packet: &Packet,
        inbound: &InboundTrack,
        now: Instant,
    ) -> Selection {
        if self.flow == Flow::Off {
            return Selection::Dropped;
        }
        let incoming = incoming(packet);
        match self.admit(packet, now) {
            Admission::Continues => {}
            Admission::Begins => self.begin(packet, inbound, now),
            Admission::Refused(selection) => return selection,
        }
        let verdict = self
            .filter
            .judge(packet, self.choice, self.manner.thin, now);
        let (ends_picture, announces) = match verdict {
            Verdict::Pass {
                ends_picture,
                announces,
            } => (ends_picture, announces),
            Verdict::LeaveOut {
                new_picture,
                needs_keyframe,
            } => {
                let closes = new_picture && packet.frame.counted;
                let base = packet.frame.temporal == 0;
                self.rewriter.skip(incoming, closes, base);
                return match needs_keyframe {
                    true => Selection::NeedsKeyframe,
                    false => Selection::Dropped,
                };
            }
        };
        if packet.is_scalable {
            self.layer = self.filter.current().layer;
        }
        match self.rewriter.rewrite(incoming, now) {
            Some(place) => Selection::Passes(Selected {
                place,
                ends_picture,
                active: announces.then(|| self.active(packet, inbound)).flatten(),
            }),
            None => Selection::Dropped,
        }
    }

    /// The decode targets that are left of a packet's stream; `None` if it needs no word: a new
    /// structure means all of its targets.
    fn active(&self, packet: &Packet, inbound: &InboundTrack) -> Option<Active> {
        let structure = &inbound.stream(packet.source)?.frames.structure;
        let current = self.filter.current();
        let active = structure.active(current.layer, current.temporal.into());
        let implied = packet.frame.keyframe == Some(true) && active.is_all();
        (!implied).then_some(active)
    }

    /// Whether a packet belongs to what is sent, or begins it, or changes the layer.
    fn admit(&mut self, packet: &Packet, now: Instant) -> Admission {
        let wanted = self.is_wanted(packet);
        if self.flow == Flow::On {
            if self.rewriter.source() == Some(packet.source) {
                return Admission::Continues;
            }
            if packet.layer == self.layer && wanted {
                // Another stream carries the layer.
                self.flow = Flow::Joining(None);
            } else if !wanted {
                return Admission::Refused(Selection::Dropped);
            }
        }
        let begins = match self.flow {
            Flow::Joining(seen) => self.may_join(packet, seen, now),
            _ => self.may_switch(packet),
        };
        match (begins, wanted) {
            (true, _) => Admission::Begins,
            (false, true) => Admission::Refused(Selection::NeedsKeyframe),
            (false, false) => Admission::Refused(Selection::Dropped),
        }
    }

    /// Whether a packet is part of the layer that is to be sent.
    fn is_wanted(&self, packet: &Packet) -> bool {
        packet.layers >> self.choice.layer & 1 != 0
    }

    /// Whether the layer can change with this packet of the one that is wanted: with a key frame,
    /// or with any frame if it cannot be read.
    fn may_switch(&mut self, packet: &Packet) -> bool {
        let before = self.upcoming.replace(packet.timestamp);
        match packet.frame.keyframe {
            Some(key) => key,
            None => before.is_some_and(|before| before != packet.timestamp),
        }
    }

    fn begin(&mut self, packet: &Packet, inbound: &InboundTrack, now: Instant) {
        let aligned = self.aligned(packet, inbound);
        self.rewriter
            .begin(incoming(packet), packet.clock_rate, aligned, now);
        self.flow = Flow::On;
        self.upcoming = None;
        self.is_scalable = packet.is_scalable;
        self.layer = match packet.is_scalable && self.is_wanted(packet) {
            true => self.choice.layer,
            false => packet.layer,
        };
        let choice = Choice {
            layer: self.layer,
            ..self.choice
        };
        self.filter.begin(packet, choice, now);
    }

    /// How far the timestamps of a packet's stream are to be shifted to go on with those of the
    /// current one, by the sender reports about both.
    fn aligned(&self, packet: &Packet, inbound: &InboundTrack) -> Option<u32> {
        let source = self.rewriter.source()?;
        let current = inbound.stream(source)?.last_sr?;
        let next = inbound.stream(packet.source)?.last_sr?;
        let ticks = next.ntp.ticks_since(current.ntp, packet.clock_rate);
        let same_moment = current.rtp_timestamp.wrapping_add(ticks as u32);
        let offset = self.rewriter.timestamp_offset(source)?;
        Some(offset.wrapping_add(same_moment.wrapping_sub(next.rtp_timestamp)))
    }

    /// Whether a subscriber that has nothing yet can begin with this packet.
    fn may_join(
        &mut self,
        packet: &Packet,
        seen: Option<(Instant, Option<u32>)>,
        now: Instant,
    ) -> bool {
        let (since, before) = seen.unwrap_or((now, None));
        let waited = now.saturating_duration_since(since);
        if !self.is_wanted(packet) {
            self.flow = Flow::Joining(Some((since, before)));
            return packet.frame.keyframe == Some(true) && waited >= LAYER_PATIENCE;
        }
        self.flow = Flow::Joining(Some((since, Some(packet.timestamp))));
        let new_frame = before != Some(packet.timestamp);
        let tired = waited >= KEYFRAME_PATIENCE;
        match packet.frame.keyframe {
            Some(true) => true,
            None => new_frame,
            Some(false) => new_frame && tired && !packet.payload.is_empty(),
        }
    }
}

/// What to do with a packet before the frames are looked at.
enum Admission {
    /// It belongs to the stream that is sent.
    Continues,
    /// Its stream is sent from here on.
    Begins,
    /// It is not sent.
    Refused(Selection),
}

fn incoming(packet: &Packet) -> Incoming {
    Incoming {
        source: packet.source,
        sequence: packet.sequence,
        timestamp: packet.timestamp,
        picture: packet.frame.picture(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::sfu::MediaKind;
    use crate::sfu::frame::Frame;
    use crate::sfu::packet::Extensions;

    fn packet(timestamp: u32, keyframe: Option<bool>) -> Packet {
        Packet {
            kind: MediaKind::Video,
            source: 0,
            layer: 0,
            layers: 1,
            is_scalable: false,
            frame: Frame {
                keyframe,
                ..Frame::default()
            },
            sequence: 70_000,
            timestamp,
            clock_rate: 90_000,
            marker: false,
            payload_type: 96,
            payload: 12..20,
            extensions: Extensions::default(),
        }
    }

    fn joins(selector: &mut Selector, packet: &Packet, now: Instant) -> bool {
        let Flow::Joining(seen) = selector.flow else {
            panic!("not joining: {:?}", selector.flow);
        };
        selector.may_join(packet, seen, now)
    }

    #[test]
    fn video_begins_at_a_key_frame_or_after_patience_at_any_frame() {
        let (mut selector, now) = (Selector::new(0), Clock::system().epoch().instant);
        selector.want(true);
        assert!(!joins(&mut selector, &packet(1, Some(false)), now));
        assert!(joins(&mut selector, &packet(2, Some(true)), now));
        let late = now + KEYFRAME_PATIENCE;
        assert!(!joins(
            &mut selector,
            &packet(3, Some(false)),
            late - Duration::from_millis(1)
        ));
        assert!(!joins(&mut selector, &packet(3, Some(false)), late));
        assert!(joins(&mut selector, &packet(4, Some(false)), late));
    }

    #[test]
    fn unreadable_video_begins_at_the_next_frame() {
        let (mut selector, now) = (Selector::new(0), Clock::system().epoch().instant);
        selector.want(true);
        assert!(joins(&mut selector, &packet(1, None), now));
        assert!(!joins(&mut selector, &packet(1, None), now));
        assert!(joins(&mut selector, &packet(2, None), now));
    }
}
