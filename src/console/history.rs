//! The figures of the last hour, one sample every ten seconds, in memory.

use crate::telemetry::Sample;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// The number of samples of an hour.
const SAMPLES_MAX: usize = 360;

/// The samples of the last hour, the oldest first.
#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<Arc<Sample>>>);

impl History {
    pub(super) fn add(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Arc::new(sample));
    }

    fn samples(&self) -> Vec<Arc<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Returns a value of each sample.
    pub(super) fn values(&self, value: impl Fn(&Sample) -> u64) -> Vec<f64> {
        self.samples().iter().map(|sample| precise(value(sample))).collect()
    }

    /// Returns how much a count grew per second between two samples.
    pub(super) fn rates(&self, count: impl Fn(&Sample) -> u64) -> Vec<f64> {
        let samples = self.samples();
        let pairs = samples.iter().zip(samples.iter().skip(1));
        let grown = |(before, after): (&Arc<Sample>, &Arc<Sample>)| {
            precise(count(after).saturating_sub(count(before))) / INTERVAL.as_secs_f64()
        };
        pairs.map(grown).collect()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a chart has fewer pixels than the number has digits"
)]
fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_samples_is_kept_and_rates_are_per_second() {
        let history = History::default();
        assert!(history.rates(|sample| sample.attempts).is_empty());
        for number in 0..400 {
            history.add(Sample {
                attempts: number * 50,
                awaiting_reports: number,
                ..Sample::default()
            });
        }
        let values = history.values(|sample| sample.awaiting_reports);
        assert_eq!((values.len(), values.first(), values.last()), (360, Some(&40.0), Some(&399.0)));
        let rates = history.rates(|sample| sample.attempts);
        assert_eq!(rates.len(), 359);
        assert!(rates.iter().all(|rate| *rate == 5.0), "{rates:?}");
    }
}
