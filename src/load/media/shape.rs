//! Who publishes and who subscribes, at each size.

use std::time::Duration;

use serde::Serialize;

use super::MediaLoad;
use super::leg::Video;
use super::member::Part;

/// Who sees whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Shape {
    /// Publishers, and `size` others who see all of them
    Webinar,
    /// `size` members who all publish and see each other
    Meeting,
    /// `size` sessions of two who see each other
    Pairs,
}

impl MediaLoad {
    pub(super) fn video(&self) -> Video {
        let bytes = f64::from(self.bitrate) * 125.0 / f64::from(self.frame_rate);
        Video {
            interval: Duration::from_secs(1) / self.frame_rate,
            packets: (bytes / f64::from(self.packet_len)).round().max(1.0) as usize,
            packet_len: self.packet_len.into(),
        }
    }

    /// Publications and subscriptions at this size.
    pub(super) fn legs(&self) -> (usize, usize) {
        let (size, publishers) = (self.size as usize, self.publishers as usize);
        match self.shape {
            Shape::Webinar => (publishers, publishers * size),
            Shape::Meeting => (size, size * (size - 1)),
            Shape::Pairs => (2 * size, 2 * size),
        }
    }

    /// What it takes until each publication has somebody who watches: members who have joined, those
    /// of them who subscribe, and their subscriptions.
    pub(super) fn first(&self) -> (usize, usize, usize) {
        let (size, publishers) = (self.size as usize, self.publishers as usize);
        match self.shape {
            Shape::Webinar => (publishers + 1, publishers + 1, publishers),
            // Nobody watches herself, so one is not enough.
            Shape::Meeting => (size, 2, 2.min(size) * (size - 1)),
            Shape::Pairs => (2 * size, 2 * size, 2 * size),
        }
    }

    /// Every member: its session and its part. Those of a smaller size come first.
    pub(super) fn seats(&self) -> Vec<(usize, Part)> {
        let size = self.size as usize;
        let interval = self.video().interval;
        let part = |number: usize, publishes, subscribes| Part {
            publishes,
            subscribes,
            // The golden ratio spreads any number of publishers over the interval.
            phase: interval.mul_f64((number as f64 * 0.618_034).fract()),
        };
        match self.shape {
            Shape::Webinar => {
                let publishers = self.publishers as usize;
                let publisher = (0..publishers).map(|n| (0, part(n, true, false)));
                publisher
                    .chain((0..size).map(|n| (0, part(n, false, true))))
                    .collect()
            }
            Shape::Meeting => (0..size).map(|n| (0, part(n, true, true))).collect(),
            Shape::Pairs => (0..2 * size)
                .map(|n| (n / 2, part(n, true, true)))
                .collect(),
        }
    }
}
