//! The metrics of a sink, with one typed call per occurrence.

use super::definitions as define;
use super::exposition::{Exposition, Shown};
use super::family::{Family, Maker, sound};
use super::labels::{ClockJump, SinkDocumentResult, SinkEventResult};
use super::metrics::{add, build, raise};
use super::output;
use super::process::Process;
use super::render::Format;
use crate::domain::Timestamp;
use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec, Registry};
use std::sync::Arc;
use std::time::Duration;

/// All metrics of one sink.
pub struct SinkMetrics {
    registry: Registry,
    ready: IntGauge,
    events: Family<SinkEventResult, IntCounter>,
    documents: Family<SinkDocumentResult, IntCounter>,
    write_duration: Histogram,
    write_errors: IntCounter,
    consumer_lag: IntGaugeVec,
    clock_jumps: Family<ClockJump, IntCounter>,
    log_lines_lost: IntCounter,
}

impl SinkMetrics {
    /// Creates the metrics of the sink `instance_id` in the group `group_id`.
    #[must_use]
    pub fn new(instance_id: &str, group_id: &str) -> Arc<Self> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let process: Box<dyn prometheus::core::Collector> = Box::new(Process::default());
        sound(registry.register(process));
        let build_info = make.gauge_vec(&define::BUILD_INFO);
        build_info.with_label_values(&build(instance_id, group_id)).set(1);
        let metrics = Self {
            ready: make.gauge(&define::READY),
            events: make.counters(&define::SINK_EVENTS),
            documents: make.counters(&define::SINK_DOCUMENTS),
            write_duration: make.histogram(&define::SINK_WRITE_DURATION),
            write_errors: make.counter(&define::SINK_WRITE_ERRORS),
            consumer_lag: make.gauge_vec(&define::CONSUMER_LAG),
            clock_jumps: make.counters(&define::CLOCK_JUMPS),
            log_lines_lost: make.counter(&define::LOG_LINES_LOST),
            registry,
        };
        Arc::new(metrics)
    }

    /// Counts processed events.
    pub fn events(&self, result: SinkEventResult, count: u64) {
        add(self.events.at(result), count);
    }

    /// Counts answers for documents.
    pub fn documents(&self, result: SinkDocumentResult, count: u64) {
        add(self.documents.at(result), count);
    }

    /// Observes the time from sending a batch to its acknowledgement.
    pub fn write(&self, duration: Duration) {
        self.write_duration.observe(duration.as_secs_f64());
    }

    /// Counts a try to write a batch that failed.
    pub fn write_error(&self) {
        self.write_errors.inc();
    }

    /// Sets how many records of an assigned partition are not processed yet.
    pub fn set_consumer_lag(&self, topic: &str, partition: i32, lag: i64) {
        self.consumer_lag.with_label_values(&[topic, &partition.to_string()]).set(lag);
    }

    /// Removes the lag of a partition that is no longer assigned.
    pub fn remove_consumer_lag(&self, topic: &str, partition: i32) {
        // A series that was never set can't be removed; this is no error.
        let _ = self.consumer_lag.remove_label_values(&[topic, &partition.to_string()]);
    }
}

impl Exposition for SinkMetrics {
    fn show_health(&self, shown: &Shown<'_>) {
        self.ready.set(i64::from(shown.is_ready));
    }

    fn show_clock_jumps(&self, direction: ClockJump, count: u64) {
        if let Some(counter) = self.clock_jumps.at(direction) {
            raise(counter, count);
        }
    }

    fn render(&self, format: Format, _now: Timestamp) -> String {
        raise(&self.log_lines_lost, output::lines_lost());
        format.encode(&self.registry.gather(), &|_, _| Vec::new())
    }
}
