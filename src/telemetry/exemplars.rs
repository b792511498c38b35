//! Exemplars: for each bucket of a histogram, the trace of its latest observation. Only OpenMetrics can show them.

use crate::domain::Timestamp;
use prometheus::Histogram;
use std::sync::{Mutex, PoisonError};

/// The latest observation of a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    /// The id of the trace that the endpoint gets.
    pub(super) trace: u128,
    pub(super) value: f64,
    pub(super) at: Timestamp,
}

/// A histogram that keeps an exemplar for each bucket.
pub(super) struct TracedHistogram {
    histogram: Histogram,
    bounds: &'static [f64],
    /// One for each bound, and one for `+Inf`.
    exemplars: Mutex<Vec<Option<Exemplar>>>,
}

impl TracedHistogram {
    /// `bounds` are the upper bounds of the histogram.
    pub(super) fn new(histogram: Histogram, bounds: &'static [f64]) -> Self {
        Self { histogram, bounds, exemplars: Mutex::new(vec![None; bounds.len() + 1]) }
    }

    pub(super) fn observe(&self, seconds: f64, trace: u128, at: Timestamp) {
        self.histogram.observe(seconds);
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        let mut exemplars = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exemplar) = exemplars.get_mut(bucket) {
            *exemplar = Some(Exemplar { trace, value: seconds, at });
        }
    }

    pub(super) fn exemplars(&self) -> Vec<Option<Exemplar>> {
        self.exemplars.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
