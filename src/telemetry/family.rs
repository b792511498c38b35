//! A metric with its children resolved in advance: an occurrence costs one atomic addition, and no label is hashed.

use super::definitions::{Definition, MetricKind};
use super::labels::Label;
use prometheus::core::{Collector, Metric, MetricVec, MetricVecBuilder};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use std::marker::PhantomData;

/// A metric with one child per value of `L`.
pub(super) struct Family<L, M> {
    children: Vec<M>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, M: Metric> Family<L, M> {
    /// Creates all children of `vec`, so that they are exported from the start. `fixed` are the labels before `L`.
    pub(super) fn resolve<B: MetricVecBuilder<M = M>>(vec: &MetricVec<B>, fixed: &[&str]) -> Self {
        let child = |words: Vec<_>| {
            let values: Vec<&str> =
                fixed.iter().copied().chain(words.iter().map(AsRef::as_ref)).collect();
            sound(vec.get_metric_with_label_values(&values))
        };
        Self { children: L::words().into_iter().map(child).collect(), label: PhantomData }
    }

    /// Returns all children, in the order of the label's values.
    pub(super) fn all(&self) -> &[M] {
        &self.children
    }

    /// Returns the child of `label`, which always exists.
    pub(super) fn at(&self, label: L) -> Option<&M> {
        self.children.get(label.index())
    }
}

/// Creates metrics from their definitions and registers them.
pub(super) struct Maker<'a>(pub(super) &'a Registry);

impl Maker<'_> {
    pub(super) fn counter(&self, definition: &Definition) -> IntCounter {
        self.register(sound(IntCounter::with_opts(options(definition, MetricKind::Counter))))
    }

    pub(super) fn counter_vec(&self, definition: &Definition) -> IntCounterVec {
        let options = options(definition, MetricKind::Counter);
        self.register(sound(IntCounterVec::new(options, definition.labels)))
    }

    pub(super) fn counters<L: Label>(&self, definition: &Definition) -> Family<L, IntCounter> {
        Family::resolve(&self.counter_vec(definition), &[])
    }

    pub(super) fn gauge(&self, definition: &Definition) -> IntGauge {
        self.register(sound(IntGauge::with_opts(options(definition, MetricKind::Gauge))))
    }

    pub(super) fn seconds(&self, definition: &Definition) -> Gauge {
        self.register(sound(Gauge::with_opts(options(definition, MetricKind::Gauge))))
    }

    pub(super) fn gauge_vec(&self, definition: &Definition) -> IntGaugeVec {
        let options = options(definition, MetricKind::Gauge);
        self.register(sound(IntGaugeVec::new(options, definition.labels)))
    }

    pub(super) fn float_vec(&self, definition: &Definition) -> GaugeVec {
        let options = options(definition, MetricKind::Gauge);
        self.register(sound(GaugeVec::new(options, definition.labels)))
    }

    pub(super) fn gauges<L: Label>(&self, definition: &Definition) -> Family<L, IntGauge> {
        Family::resolve(&self.gauge_vec(definition), &[])
    }

    pub(super) fn histogram(&self, definition: &Definition) -> Histogram {
        self.register(sound(Histogram::with_opts(histogram_options(definition))))
    }

    pub(super) fn histogram_vec(&self, definition: &Definition) -> HistogramVec {
        let options = histogram_options(definition);
        self.register(sound(HistogramVec::new(options, definition.labels)))
    }

    pub(super) fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        sound(self.0.register(Box::new(collector.clone())));
        collector
    }
}

fn options(definition: &Definition, kind: MetricKind) -> Opts {
    debug_assert_eq!(definition.kind, kind, "{}", definition.name);
    Opts::new(definition.name, definition.help)
}

fn histogram_options(definition: &Definition) -> HistogramOpts {
    HistogramOpts::from(options(definition, MetricKind::Histogram))
        .buckets(definition.buckets.to_vec())
}

/// Definitions are constants: a wrong one fails every start and every test, but never a running daemon.
#[expect(clippy::expect_used, reason = "the metrics are constants, and every test makes them all")]
pub(super) fn sound<T>(made: prometheus::Result<T>) -> T {
    made.expect("the metrics' definitions are sound")
}
