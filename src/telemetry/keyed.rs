//! A gauge with one label whose values come and go.

use prometheus::GaugeVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// A gauge by one label.
pub(super) struct Keyed {
    gauges: GaugeVec,
    /// The values of the label that have a series.
    shown: Mutex<BTreeSet<String>>,
}

impl Keyed {
    pub(super) fn new(gauges: GaugeVec) -> Self {
        Self { gauges, shown: Mutex::default() }
    }

    /// Shows exactly these values. A series that stays is never missing, so that no scrape sees a gap.
    pub(super) fn set(&self, values: &BTreeMap<String, f64>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.iter().filter(|key| !values.contains_key(*key)) {
            // The series exists since an earlier call.
            let _ = self.gauges.remove_label_values(&[gone]);
        }
        for (key, value) in values {
            self.gauges.with_label_values(&[key]).set(*value);
        }
        *shown = values.keys().cloned().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Opts;
    use prometheus::core::Collector as _;

    #[test]
    fn exactly_the_given_values_are_shown() {
        let gauges = GaugeVec::new(Opts::new("free", "Free."), &["file"]).unwrap();
        let keyed = Keyed::new(gauges.clone());
        let shown = || {
            let families = gauges.collect();
            let metrics = families.iter().flat_map(|family| family.get_metric());
            let pair = |metric: &prometheus::proto::Metric| {
                (metric.get_label()[0].value().to_owned(), metric.get_gauge().get_value())
            };
            metrics.map(pair).collect::<BTreeMap<_, _>>()
        };
        for values in [&[("a", 1.0), ("b", 2.0)][..], &[("b", 3.0), ("c", 4.0)], &[]] {
            let values = values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
            keyed.set(&values);
            assert_eq!(shown(), values);
        }
    }
}
