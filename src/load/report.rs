//! What reports have in common.

use serde::Serialize;

use super::histogram::Histogram;

/// How long things took, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

impl Quantiles {
    /// For a column of a table.
    pub(super) fn row(&self) -> String {
        format!("{:.2}/{:.2}/{:.2}", self.p50, self.p95, self.p99)
    }
}

impl From<&Histogram> for Quantiles {
    fn from(of: &Histogram) -> Self {
        let round = |quantile| (of.quantile_ms(quantile) * 1000.0).round() / 1000.0;
        Self {
            p50: round(0.5),
            p95: round(0.95),
            p99: round(0.99),
        }
    }
}
