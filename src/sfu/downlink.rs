//! One leg's way to its receiver: what left, what of it arrived and when, and what follows from
//! that about the network.

use std::time::{Duration, Instant};

use super::history::{History, Sent};
use crate::rtp::rtcp::report::ReportBlock;
use crate::rtp::rtcp::transport_cc::TransportFeedback;

/// Round trip assumed before the first report.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Shortest round trip believed: a packet needs some time to be missed.
const MIN_RTT: Duration = Duration::from_millis(10);

/// A queue that takes longer than this is being filled by us. Browsers' jitter buffers hide it.
const MAX_QUEUE_US: i64 = 80_000;

/// Reports in a row that must agree on a queue: wireless networks stop and go.
const MIN_REPORTS: u8 = 2;

/// A queue that is longer than the first and has grown by the second in each of as many reports
/// is not waited for.
const STEEP_US: (i64, i64) = (50_000, 20_000);

/// A queue that takes less than this is no reason to send less if it can be seen to go away by
/// itself, as that of a large key frame does.
const MAX_BURST_US: i64 = 400_000;

/// Time over which leaving bytes are counted, at most and at least, in microseconds.
const LEFT_WINDOW_US: (u64, u64) = (1_000_000, 400_000);

/// Looks at what has left in that time.
const LEFT_SAMPLES: usize = 16;

/// Time over which arriving bytes are counted, in microseconds.
const ARRIVED_WINDOW_US: i64 = 200_000;

/// The least such time, where that is all there is to go by.
const ARRIVED_LEAST_US: i64 = 40_000;

/// How long the shortest delay counts as that of an empty queue: routes and clocks change.
const BASELINE: Duration = Duration::from_secs(10);

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
    baseline: Baseline,
    arrived: Arrived,
    /// When it last told of an arrival, and the rate that was told of then, in bits per second.
    told: Option<(Instant, u64)>,
    /// The queue seen by the last report, and how many in a row were too long, or grew.
    queue_us: i64,
    long_queues: u8,
    rises: u8,
    is_filling: bool,
    full: Option<Full>,
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
    /// When a queue was called full that was none: what had left by then was not held up.
    pub(super) stalled: Option<Instant>,
}

/// How full the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Not.
    Short,
    /// Perhaps.
    Long,
    /// It is.
    Full,
}

/// The shortest one-way delay lately; theirs minus ours, so only differences mean something.
#[derive(Debug, Default)]
struct Baseline {
    now: Option<i64>,
    before: Option<i64>,
    since: Option<Instant>,
}

/// A queue that was reported full.
#[derive(Debug, Clone, Copy)]
struct Full {
    at: Instant,
    /// Which packets would be held up by it, whatever is done: those that left after the one that
    /// showed it, and before it could have gone away. Microseconds since `zero`.
    holds_up: (u64, u64),
    /// The least delay of any of them.
    least: Option<i64>,
}

/// How fast bytes leave.
#[derive(Debug, Default)]
struct Left {
    /// Microseconds since `zero`, and the bytes that had left by then, in turn.
    samples: [(u64, u64); LEFT_SAMPLES],
    next: usize,
}

/// How fast bytes arrive, on the receiver's clock.
#[derive(Debug, Default)]
struct Arrived {
    since_us: Option<i64>,
    /// The last packet; those before it in this window.
    last_us: i64,
    last_len: u64,
    bytes: u64,
    /// Bits per second.
    rate: Option<f64>,
    /// Whether a window has ended, and nobody has asked yet.
    is_news: bool,
    /// Whether one has ended since a queue builds up.
    is_fresh: bool,
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
            baseline: Baseline::default(),
            arrived: Arrived::default(),
            told: None,
            queue_us: 0,
            long_queues: 0,
            rises: 0,
            is_filling: false,
            full: None,
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
            seen.arrived += 1;
            sent_us = sent_us.max(sent.at_us);
            if let Some(full) = &mut self.full {
                full.note(sent.at_us, delay);
            }
        }
        if let Some(delay) = shortest {
            let queue = self.queue(delay, now);
            seen.queue = Some(queue);
            seen.sent_at = Some(self.zero + Duration::from_micros(sent_us));
            seen.is_burst = queue == Queue::Full && self.is_burst(now);
            seen.stalled = self.stalled(delay - self.queue_us, sent_us);
            if queue == Queue::Full && self.full.is_none() {
                let until = self.micros(now) + self.queue_us.unsigned_abs() / 2;
                self.full = Some(Full {
                    at: now,
                    holds_up: (sent_us, until),
                    least: None,
                });
            }
        }
        seen.is_news = std::mem::take(&mut self.arrived.is_news);
        seen.rate = self.arrived.rate.unwrap_or_default() as u64;
        seen.rate_before = self.told.map_or(0, |(_, rate)| rate);
        seen.latest = self.arrived.latest();
        self.told = Some((now, seen.rate));
        seen
    }

    /// What the shortest delay of a report says about the queue in front of it.
    fn queue(&mut self, delay: i64, now: Instant) -> Queue {
        let queue_us = delay - self.baseline.observe(delay, now);
        // A queue that gets shorter needs no further cut.
        let grows = queue_us >= self.queue_us - MAX_QUEUE_US / 16;
        let rises = queue_us - self.queue_us >= STEEP_US.1;
        self.rises = if rises { self.rises + 1 } else { 0 };
        let steep = self.rises >= MIN_REPORTS && queue_us > STEEP_US.0;
        self.queue_us = queue_us;
        let long = queue_us > MAX_QUEUE_US;
        if (long || self.rises > 0) && !self.is_filling {
            // From here on what arrives is what the network carries.
            self.arrived.restart();
            self.arrived.is_fresh = false;
        }
        self.is_filling = long || self.rises > 0;
        self.long_queues = if long && grows {
            self.long_queues + 1
        } else {
            0
        };
        if self.long_queues >= MIN_REPORTS || steep {
            (self.long_queues, self.rises) = (0, 0);
            return Queue::Full;
        }
        if long { Queue::Long } else { Queue::Short }
    }

    /// Whether the queue is one of much at once: all in all no more leaves than arrives.
    fn is_burst(&self, now: Instant) -> bool {
        let left = self.left.rate(self.micros(now), self.numbered);
        let fits = |(left, carried): (f64, f64)| left <= carried;
        self.queue_us < MAX_BURST_US && left.zip(self.arrived.carried()).is_some_and(fits)
    }

    /// When a queue was called full, if it was none: what it would have held up came at once, and
    /// the network had only paused. `empty` is the delay without a queue.
    fn stalled(&mut self, empty: i64, sent_us: u64) -> Option<Instant> {
        let full = self.full?;
        let is_none = full.least.is_some_and(|least| least - empty < STEEP_US.0);
        if is_none || sent_us > full.holds_up.1 {
            self.full = None;
        }
        is_none.then_some(full.at)
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

impl Baseline {
    /// The shortest delay, this one included.
    fn observe(&mut self, delay: i64, now: Instant) -> i64 {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= BASELINE {
            self.since = Some(now);
            self.before = self.now.replace(delay);
        }
        let shortest = self.now.map_or(delay, |shortest| shortest.min(delay));
        self.now = Some(shortest);
        self.before.map_or(shortest, |before| before.min(shortest))
    }
}

impl Full {
    /// A packet that left at this time took so long.
    fn note(&mut self, sent_us: u64, delay: i64) {
        let (after, until) = self.holds_up;
        if sent_us > after && sent_us <= until {
            self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
        }
    }
}

impl Left {
    /// Bits per second that left lately, if that is known, `bytes` having left by now.
    fn rate(&self, now_us: u64, bytes: u64) -> Option<f64> {
        let in_window = |(at, _): &&(u64, u64)| now_us - *at <= LEFT_WINDOW_US.0;
        let (at, before) = *self.samples.iter().filter(in_window).min()?;
        let passed = now_us - at;
        (passed >= LEFT_WINDOW_US.1).then(|| (bytes - before) as f64 * 8e6 / passed as f64)
    }

    /// Takes note of the bytes that have left by now.
    fn sample(&mut self, now_us: u64, bytes: u64) {
        let last = (self.next + LEFT_SAMPLES - 1) % LEFT_SAMPLES;
        if now_us - self.samples[last].0 >= LEFT_WINDOW_US.0 / LEFT_SAMPLES as u64 {
            self.samples[self.next] = (now_us, bytes);
            self.next = (self.next + 1) % LEFT_SAMPLES;
        }
    }
}

impl Arrived {
    fn add(&mut self, at_us: i64, len: u64) {
        let before = std::mem::replace(&mut self.last_len, len);
        self.last_us = at_us;
        let Some(since_us) = self.since_us else {
            return self.restart();
        };
        // A packet's bytes arrive in the time until the next one has.
        self.bytes += before;
        let passed = at_us - since_us;
        if passed.abs() >= 2 * ARRIVED_WINDOW_US {
            // A pause, or a clock that jumped.
            self.restart();
        } else if passed >= ARRIVED_WINDOW_US {
            self.rate = Some(self.bytes as f64 * 8e6 / passed as f64);
            (self.is_news, self.is_fresh) = (true, true);
            self.restart();
        }
    }

    /// Begins a window with the last packet.
    fn restart(&mut self) {
        (self.since_us, self.bytes) = (Some(self.last_us), 0);
    }

    /// What arrives since a queue builds up, in bits per second, if that is known already.
    fn carried(&self) -> Option<f64> {
        let passed = self.last_us - self.since_us?;
        let open = self.bytes as f64 * 8e6 / passed.max(1) as f64;
        match self.is_fresh {
            true => self.rate,
            false => (passed >= ARRIVED_LEAST_US).then_some(open),
        }
    }

    /// The rate of the window that is open, if that is long enough to tell that it is lower.
    fn latest(&self) -> Option<f64> {
        let passed = self.last_us - self.since_us?;
        let open = self.bytes as f64 * 8e6 / passed.max(1) as f64;
        match self.rate {
            Some(rate) if passed < ARRIVED_LEAST_US || rate < open => Some(rate),
            Some(_) => Some(open),
            None => (passed >= ARRIVED_LEAST_US).then_some(open),
        }
    }
}
