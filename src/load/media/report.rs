//! What `parlor load media` tells.

use serde::Serialize;

use super::Srtp;
use super::memory::Taken;
use super::shape::Shape;
use crate::load::report::Quantiles;

/// One run, or one step of a ramp, as one JSON line.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) shape: Shape,
    pub(super) size: u32,
    pub(super) publishers: usize,
    pub(super) subscriptions: usize,
    pub(super) srtp: Srtp,
    pub(super) bitrate_kbps: u32,
    pub(super) packets_per_frame: usize,
    /// From the request for a leg to the end of its handshake.
    pub(super) join_ms: Quantiles,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) forwarded_per_second: u64,
    /// Share lost, from 0 to 1, by sequence numbers.
    pub(super) loss: f64,
    /// Sampled packets that did not decrypt.
    pub(super) damaged: u64,
    /// From publisher to subscriber, on one clock.
    pub(super) delay_ms: Quantiles,
    /// Processor time of the server for one packet to one subscriber, in microseconds.
    pub(super) cpu_us_per_packet: Option<f64>,
    /// Processors that the server kept busy.
    pub(super) cpu_load: Option<f64>,
    /// What the server's resident memory is taken by.
    #[serde(flatten)]
    pub(super) memory: Taken,
}

impl Report {
    /// As a row of a table.
    pub(super) fn row(&self) -> String {
        let kilobytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e3);
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let memory = &self.memory;
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        format!(
            "{:>8} {:>6} {:>6} {:>9} {:>7.3}% {:>23} {:>23} {:>8} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8}",
            self.size,
            self.publishers,
            self.subscriptions,
            self.forwarded_per_second,
            self.loss * 100.0,
            self.join_ms.row(),
            self.delay_ms.row(),
            or_dash(self.cpu_us_per_packet.map(|us| format!("{us:.2}"))),
            or_dash(self.cpu_load.map(|load| format!("{load:.2}"))),
            or_dash(memory.memory_per_subscription.map(kilobytes)),
            or_dash(memory.memory_per_further_subscription.map(kilobytes)),
            or_dash(memory.memory_per_publication.map(kilobytes)),
            or_dash(memory.memory_growth.map(megabytes)),
            or_dash(memory.memory_idle.map(megabytes)),
        )
    }
}

/// Names of the columns of [`Report::row`].
pub(super) fn heading() -> String {
    format!(
        "{:>8} {:>6} {:>6} {:>9} {:>8} {:>23} {:>23} {:>8} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "size",
        "pubs",
        "subs",
        "packets/s",
        "loss",
        "join p50/p95/p99 ms",
        "delay p50/p95/p99 ms",
        "us/pkt",
        "cpus",
        "kB/sub",
        "kB/more",
        "kB/pub",
        "MB grown",
        "MB idle",
    )
}
