//! The metrics of exported spans.

use super::Metrics;

impl Metrics {
    /// Counts spans that the collector has accepted.
    pub fn spans_exported(&self, spans: u64) {
        self.spans_exported.inc_by(spans);
    }

    /// Counts spans that are lost: the queue was full, or the collector did not accept them.
    pub fn spans_dropped(&self, spans: u64) {
        self.spans_dropped.inc_by(spans);
    }
}
