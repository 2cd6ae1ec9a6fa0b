//! The text format in which Prometheus reads metrics (exposition format 0.0.4).

use std::fmt::{Display, Write};
use std::time::Duration;

use super::histogram::{BOUNDS_US, Histogram};

/// The content type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One answer to a scrape, while it is written.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// What has been written.
    pub fn into_text(self) -> String {
        self.0
    }

    /// A number that only grows; `name` ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.labelled("counter", name, help, [("", value)]);
    }

    /// A number that comes and goes.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.labelled("gauge", name, help, [("", value)]);
    }

    /// Several numbers of one kind; each comes with its labels as `name="value",…`, or none.
    pub fn labelled<L: AsRef<str>, V: Display>(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        self.head(kind, name, help);
        for (labels, value) in values {
            match labels.as_ref() {
                "" => self.line(format_args!("{name} {value}")),
                labels => self.line(format_args!("{name}{{{labels}}} {value}")),
            }
        }
    }

    /// Durations; `name` ends in `_seconds`.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head("histogram", name, help);
        let mut so_far = 0;
        for (bound, count) in BOUNDS_US.iter().zip(&histogram.counts) {
            so_far += count;
            let bound = Duration::from_micros(*bound).as_secs_f64();
            self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {so_far}"));
        }
        let total = histogram.total;
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {total}"));
        self.summed(
            name,
            Duration::from_micros(histogram.sum_us).as_secs_f64(),
            total,
        );
    }

    /// Something of which only the mean matters.
    pub fn mean(&mut self, name: &str, help: &str, sum: f64, count: u64) {
        self.head("summary", name, help);
        self.summed(name, sum, count);
    }

    fn summed(&mut self, name: &str, sum: f64, count: u64) {
        self.line(format_args!("{name}_sum {sum}"));
        self.line(format_args!("{name}_count {count}"));
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes everything");
    }
}

/// The value of a label, escaped.
pub fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_what_is_longer_than_all_counts_in_the_last() {
        let mut histogram = Histogram::default();
        for ms in [1, 1, 40, 3_600_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let mut out = Exposition::default();
        out.histogram("x_seconds", "X.", &histogram);
        let text = out.into_text();
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_bucket{le=\"0.0005\"} 0",
            "x_seconds_bucket{le=\"0.001\"} 2",
            "x_seconds_bucket{le=\"0.05\"} 3",
            "x_seconds_bucket{le=\"10\"} 3",
            "x_seconds_bucket{le=\"+Inf\"} 4",
            "x_seconds_sum 3600.042",
            "x_seconds_count 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
