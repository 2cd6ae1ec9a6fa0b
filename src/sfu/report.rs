//! Statistics behind receiver reports, and clocks behind sender reports (RFC 3550, 6.4).

use std::time::{Duration, Instant};

use crate::clock::Epoch;
use crate::rtp::ntp::{self, Ntp};
use crate::rtp::rtcp::report::{ReportBlock, SenderInfo};

/// What one incoming stream's receiver report says (RFC 3550, A.3 and A.8).
#[derive(Debug, Default)]
pub(super) struct ReceiveStats {
    first: Option<u64>,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// In 1/16 ticks.
    jitter: u32,
    transit: Option<i64>,
    last_sr: Option<(u32, Instant)>,
    /// Packets that were missing when they were reported, in all.
    pub(super) lost: u64,
}

impl ReceiveStats {
    /// Takes note of an original packet, not of a retransmission. `arrival` is in ticks of the
    /// media clock since any fixed moment.
    pub(super) fn receive(&mut self, sequence: u64, timestamp: u32, arrival: u64) {
        self.first.get_or_insert(sequence);
        self.highest = self.highest.max(sequence);
        self.received += 1;
        let transit = i64::from((arrival as u32).wrapping_sub(timestamp).cast_signed());
        if let Some(before) = self.transit.replace(transit) {
            let distance = (transit - before).unsigned_abs().min(1 << 24) as u32;
            let smoothed = (self.jitter + 8) >> 4;
            self.jitter = (self.jitter + distance).saturating_sub(smoothed);
        }
    }

    /// Takes note of the publisher's sender report.
    pub(super) fn sender_report(&mut self, info: &SenderInfo, now: Instant) {
        self.last_sr = Some((info.ntp.middle(), now));
    }

    /// Packets received, those missing, and jitter in ticks.
    pub(super) fn totals(&self) -> (u64, i64, u32) {
        let expected = self.first.map_or(0, |first| self.highest - first + 1);
        let lost = expected as i64 - self.received as i64;
        (self.received, lost, self.jitter >> 4)
    }

    /// The report block since the last one; `None` before the first packet.
    pub(super) fn block(&mut self, ssrc: u32, now: Instant) -> Option<ReportBlock> {
        let expected = self.highest - self.first? + 1;
        let expected_now = expected - self.expected_before;
        let lost_now = expected_now.saturating_sub(self.received - self.received_before);
        self.lost += lost_now;
        self.expected_before = expected;
        self.received_before = self.received;
        let (last_sr, since_last_sr) = self.last_sr.map_or((0, 0), |(middle, at)| {
            (middle, ntp::to_short(now.saturating_duration_since(at)))
        });
        Some(ReportBlock {
            ssrc,
            fraction_lost: (lost_now * 256)
                .checked_div(expected_now)
                .unwrap_or(0)
                .min(255) as u8,
            lost: i32::try_from(expected as i64 - self.received as i64).unwrap_or(i32::MAX),
            // The extender counts the first cycle as 1; a report starts at 0.
            highest: (self.highest as u32).wrapping_sub(1 << 16),
            jitter: self.jitter >> 4,
            last_sr,
            since_last_sr,
        })
    }
}

/// How far a publisher's clock may be off from what we took it for before we take it anew.
const MAX_DRIFT: Duration = Duration::from_secs(1);

/// Relation of a publisher's wall clock to ours. One for all its streams, so that the distances
/// between them, lip sync that is, are exactly the publisher's.
#[derive(Debug, Default)]
pub(super) struct PublisherClock {
    /// Ours minus theirs.
    offset: Option<u64>,
}

impl PublisherClock {
    /// Takes note of a sender report that arrived `now`.
    pub(super) fn observe(&mut self, info: &SenderInfo, epoch: Epoch, now: Instant) {
        let offset = our_ntp(epoch, now).0.wrapping_sub(info.ntp.0);
        let near = |known: u64| {
            let drift = offset.wrapping_sub(known).cast_signed().unsigned_abs();
            drift < MAX_DRIFT.as_secs() << 32
        };
        if !self.offset.is_some_and(near) {
            self.offset = Some(offset);
        }
    }

    /// Our NTP time of `now`, and the RTP timestamp of that moment in a stream of `rate` Hz whose
    /// last sender report was `info`.
    pub(super) fn translate(
        &self,
        info: &SenderInfo,
        rate: u32,
        epoch: Epoch,
        now: Instant,
    ) -> Option<(Ntp, u32)> {
        let ours = our_ntp(epoch, now);
        let theirs = Ntp(ours.0.wrapping_sub(self.offset?));
        let ticks = theirs.ticks_since(info.ntp, rate);
        Some((ours, info.rtp_timestamp.wrapping_add(ticks as u32)))
    }
}

/// Wall-clock time of `now` as we write it in reports.
pub(super) fn our_ntp(epoch: Epoch, now: Instant) -> Ntp {
    Ntp::from_unix(epoch.since_unix(now))
}

/// Round trip from a report block that answers our sender report (RFC 3550, 6.4.1).
pub(super) fn round_trip(block: &ReportBlock, epoch: Epoch, now: Instant) -> Option<Duration> {
    if block.last_sr == 0 {
        return None;
    }
    let since = our_ntp(epoch, now).middle().wrapping_sub(block.last_sr);
    let rtt = ntp::from_short(since.checked_sub(block.since_last_sr)?);
    // More than this is a report about something else.
    (rtt < Duration::from_secs(10)).then_some(rtt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const MS: Duration = Duration::from_millis(1);

    fn info(ntp: u64, rtp_timestamp: u32) -> SenderInfo {
        SenderInfo {
            ntp: Ntp(ntp),
            rtp_timestamp,
            packets: 0,
            octets: 0,
        }
    }

    #[test]
    fn loss_is_counted_since_the_last_report_and_in_all() {
        let now = Clock::system().epoch().instant;
        let mut stats = ReceiveStats::default();
        assert_eq!(stats.block(9, now), None);
        for sequence in [65_536 + 10, 65_536 + 11, 65_536 + 13] {
            stats.receive(sequence, 0, 0);
        }
        let block = stats.block(9, now).expect("packets came");
        assert_eq!(
            (block.fraction_lost, block.lost, block.highest),
            (64, 1, 13)
        );
        stats.receive(65_536 + 14, 0, 0);
        let block = stats.block(9, now).expect("packets came");
        assert_eq!((block.fraction_lost, block.lost), (0, 1));
    }

    #[test]
    fn jitter_is_the_smoothed_change_of_transit() {
        let mut stats = ReceiveStats::default();
        for step in 0..400u32 {
            let late = u64::from(step % 2) * 160;
            stats.receive(u64::from(step), step * 960, u64::from(step) * 960 + late);
        }
        let now = Clock::system().epoch().instant;
        let jitter = stats.block(1, now).expect("packets came").jitter;
        assert!((150..=160).contains(&jitter), "{jitter}");
    }

    #[test]
    fn both_streams_of_a_publisher_keep_their_distance() {
        let epoch = Clock::system().epoch();
        let mut clock = PublisherClock::default();
        let second = 1u64 << 32;
        let (audio, video) = (info(100 * second, 48_000), info(101 * second, 90_000));
        clock.observe(&audio, epoch, epoch.instant + 30 * MS);
        // The second report was on its way for longer: that must not matter.
        clock.observe(&video, epoch, epoch.instant + 1_090 * MS);
        let at = epoch.instant + 3_000 * MS;
        let (_, a) = clock
            .translate(&audio, 48_000, epoch, at)
            .expect("observed");
        let (_, v) = clock
            .translate(&video, 90_000, epoch, at)
            .expect("observed");
        let (a_s, v_s) = (f64::from(a) / 48_000.0 - 1.0, f64::from(v) / 90_000.0 - 1.0);
        assert!((a_s - (v_s + 1.0)).abs() < 0.001, "{a_s} {v_s}");
    }

    #[test]
    fn a_clock_that_jumped_is_taken_anew() {
        let epoch = Clock::system().epoch();
        let mut clock = PublisherClock::default();
        clock.observe(&info(0, 0), epoch, epoch.instant);
        let jumped = info(500 << 32, 7);
        clock.observe(&jumped, epoch, epoch.instant + MS);
        let (_, timestamp) = clock
            .translate(&jumped, 90_000, epoch, epoch.instant + MS)
            .expect("observed");
        assert_eq!(timestamp, 7);
    }

    #[test]
    fn the_round_trip_leaves_out_what_the_receiver_waited() {
        let epoch = Clock::system().epoch();
        let block = ReportBlock {
            last_sr: our_ntp(epoch, epoch.instant).middle(),
            since_last_sr: ntp::to_short(200 * MS),
            ..ReportBlock::default()
        };
        let rtt = round_trip(&block, epoch, epoch.instant + 250 * MS).expect("plausible");
        assert!((48..=52).contains(&rtt.as_millis()), "{rtt:?}");
        assert_eq!(round_trip(&block, epoch, epoch.instant + 100 * MS), None);
    }
}
