//! One leg's way to its receiver: what left, what of it arrived and when, and what follows from
//! that about the network.

mod arrived;
mod left;
mod queue;

use std::time::{Duration, Instant};

use self::arrived::{Arrived, Packet, Recent};
use self::left::Left;
use self::queue::Gauge;
pub(super) use self::queue::Queue;
use super::history::{History, Sent};
use crate::rtp::rtcp::report::ReportBlock;
use crate::rtp::rtcp::transport_cc::TransportFeedback;

/// Round trip assumed before the first report.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Shortest round trip believed: a packet needs some time to be missed.
const MIN_RTT: Duration = Duration::from_millis(10);

/// One report of a queue is enough where what comes out of it is at most this share of what left.
const SUDDEN: f64 = 0.75;

/// A queue that takes less than this is no reason to send less if it can be seen to go away by
/// itself, as that of a large key frame does.
const MAX_BURST_US: i64 = 400_000;

/// A leg that has reported nothing for this long receives nothing.
const SILENCE: Duration = Duration::from_secs(1);

/// Latest news of one leg.
#[derive(Debug)]
pub(super) struct Downlink {
    zero: Instant,
    rtt: Option<Duration>,
    /// The next transport-wide number.
    number: u16,
    /// What was not told of yet; times are microseconds since `zero`.
    sent: History,
    /// Bytes that left under a number, ever.
    numbered: u64,
    left: Left,
    gauge: Gauge,
    arrived: Arrived,
    recent: Recent,
    /// When the last packet that was told of had left, in microseconds since `zero`.
    told_us: u64,
    /// When it last told of an arrival, and the rate that was told of then, in bits per second.
    told: Option<(Instant, u64)>,
    /// The receiver's own estimate, in bits per second.
    remb: Option<u64>,
    /// Bytes sent since the last receiver report, and bits per second before it.
    bytes: u64,
    since: Instant,
    rate: f64,
}

/// What one message of transport-wide feedback shows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Seen {
    /// Packets that arrived.
    pub(super) arrived: u32,
    /// Packets that did not, so far.
    pub(super) missing: u32,
    /// How long packets wait in the network; `None` if none arrived.
    pub(super) queue: Option<Queue>,
    /// When the last of the packets that arrived had been sent.
    pub(super) sent_at: Option<Instant>,
    /// Bits per second that arrived in the last whole window, and what was seen before that.
    pub(super) rate: u64,
    pub(super) rate_before: u64,
    /// The rate of the window that is open, if that is long enough to tell that it is lower.
    pub(super) latest: Option<f64>,
    /// Whether a window has ended since the report before.
    pub(super) is_news: bool,
    /// Whether the queue is one of much at once, and goes away by itself.
    pub(super) is_burst: bool,
    /// Whether it is seen from one report, by how evenly packets come out of it.
    pub(super) is_sudden: bool,
    /// When a queue was called full that was none: what had left by then was not held up.
    pub(super) stalled: Option<Instant>,
}

impl Downlink {
    /// `number` is random.
    pub(super) fn new(number: u16, now: Instant) -> Self {
        Self {
            zero: now,
            rtt: None,
            number,
            sent: History::default(),
            numbered: 0,
            left: Left::default(),
            gauge: Gauge::default(),
            arrived: Arrived::default(),
            recent: Recent::default(),
            told_us: 0,
            told: None,
            remb: None,
            bytes: 0,
            since: now,
            rate: 0.0,
        }
    }

    /// The transport-wide number of the packet that leaves next.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// A packet of `len` bytes leaves; `numbered`: it carries [`Self::number`].
    pub(super) fn sent(&mut self, len: usize, numbered: bool, now: Instant) {
        self.bytes += len as u64;
        if !numbered {
            return;
        }
        let sent = Sent {
            at_us: self.micros(now),
            len: len as u16,
        };
        self.sent.push(self.number, sent);
        self.numbered += len as u64;
        self.number = self.number.wrapping_add(1);
    }

    /// Forgets what is under way: nobody can open it any more, which says nothing of the network.
    pub(super) fn abandon(&mut self) {
        self.sent.clear();
    }

    /// Bytes that left under a number, ever.
    pub(super) fn numbered(&self) -> u64 {
        self.numbered
    }

    /// Takes transport-wide feedback.
    pub(super) fn feedback(&mut self, feedback: &TransportFeedback<'_>, now: Instant) -> Seen {
        let mut seen = Seen::default();
        let mut shortest: Option<i64> = None;
        let mut sent_us = 0;
        self.left.sample(self.micros(now), self.numbered);
        for arrival in feedback.arrivals() {
            // Audio leaves again under its number: what is told of it then, after it was missing,
            // tells nothing of the delay.
            let Some(sent) = self.sent.take(arrival.sequence) else {
                continue;
            };
            let Some(at_us) = arrival.at_us else {
                seen.missing += 1;
                continue;
            };
            let delay = at_us - sent.at_us.cast_signed();
            shortest = Some(shortest.map_or(delay, |shortest| shortest.min(delay)));
            self.arrived.add(at_us, sent.len.into());
            self.recent.add(Packet {
                at_us,
                delay,
                len: sent.len.into(),
            });
            seen.arrived += 1;
            sent_us = sent_us.max(sent.at_us);
            self.gauge.note(sent.at_us, delay);
        }
        let mut sudden = None;
        if let Some(delay) = shortest {
            self.told_us = self.told_us.max(sent_us);
            let was_filling = self.gauge.is_filling;
            let mut queue = self.gauge.observe(delay, now);
            if self.gauge.is_filling && !was_filling {
                // From here on what arrives is what the network carries.
                self.arrived.restart();
                self.arrived.is_fresh = false;
            }
            let empty = delay - self.gauge.queue_us;
            seen.is_burst = queue == Queue::Full && self.is_burst(now);
            sudden = self.sudden(empty, now);
            if sudden.is_some() {
                (queue, seen.is_burst, seen.is_sudden) = (Queue::Full, false, true);
            }
            seen.queue = Some(queue);
            seen.sent_at = Some(self.zero + Duration::from_micros(sent_us));
            let stalled = self.gauge.stalled(empty, sent_us);
            seen.stalled = stalled.filter(|_| queue != Queue::Full);
            if queue == Queue::Full {
                let lasts = |carried: f64| (self.under_way() as f64 * 8e6 / carried) as u64;
                let lasts_us = sudden.map_or(0, lasts);
                self.gauge.fill(sent_us, self.micros(now), lasts_us, now);
            }
        }
        seen.is_news = std::mem::take(&mut self.arrived.is_news);
        seen.rate = self.arrived.rate.unwrap_or_default() as u64;
        seen.rate_before = self.told.map_or(0, |(_, rate)| rate);
        seen.latest = sudden.or(self.arrived.latest());
        self.told = Some((now, seen.rate));
        seen
    }

    /// What comes out of a queue that needs no second report, in bits per second: much more leaves
    /// than that. `empty` is the delay without a queue.
    fn sudden(&mut self, empty: i64, now: Instant) -> Option<f64> {
        let (delay, carried) = self.recent.steady()?;
        let left = self.left.rate(self.micros(now), self.numbered)?;
        if carried > left * SUDDEN || !self.gauge.is_sudden(delay, empty) {
            return None;
        }
        self.arrived.restart();
        Some(carried)
    }

    /// Bytes that have left since the last packet that was told of.
    pub(super) fn under_way(&self) -> u64 {
        match self.told {
            Some(_) => self.sent.after(self.told_us),
            None => 0,
        }
    }

    /// Whether the queue is one of much at once: all in all no more leaves than arrives.
    fn is_burst(&self, now: Instant) -> bool {
        let left = self.left.rate(self.micros(now), self.numbered);
        let fits = |(left, carried): (f64, f64)| left <= carried;
        self.gauge.queue_us < MAX_BURST_US && left.zip(self.arrived.carried()).is_some_and(fits)
    }

    fn micros(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.zero).as_micros() as u64
    }

    /// The rate of a leg that reports no longer, once; then it has none.
    pub(super) fn fall_silent(&mut self, now: Instant) -> u64 {
        let silent = |at: Instant| now.saturating_duration_since(at) >= SILENCE;
        match self.told {
            Some((at, _)) if silent(at) => self.told.take().map_or(0, |(_, rate)| rate),
            _ => 0,
        }
    }

    /// Bits per second that arrived when it last told.
    pub(super) fn arriving(&self) -> u64 {
        self.told.map_or(0, |(_, rate)| rate)
    }

    /// A report block about one of our streams, and the round trip it shows; returns the share
    /// that was lost.
    pub(super) fn report(
        &mut self,
        block: &ReportBlock,
        rtt: Option<Duration>,
        now: Instant,
    ) -> f64 {
        if let Some(rtt) = rtt {
            self.rtt = Some(self.rtt.map_or(rtt, |smoothed| (smoothed * 7 + rtt) / 8));
        }
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        if passed >= 0.5 {
            self.rate = self.bytes as f64 * 8.0 / passed;
            (self.bytes, self.since) = (0, now);
        }
        f64::from(block.fraction_lost) / 256.0
    }

    /// Bits per second that left before the last receiver report.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes the receiver's own estimate, in bits per second.
    pub(super) fn set_remb(&mut self, bitrate: u64) {
        self.remb = Some(bitrate);
    }

    /// The receiver's own estimate, in bits per second.
    pub(super) fn remb(&self) -> Option<u64> {
        self.remb
    }

    /// Smoothed round trip.
    pub(super) fn rtt(&self) -> Duration {
        self.rtt.unwrap_or(INITIAL_RTT).max(MIN_RTT)
    }
}
