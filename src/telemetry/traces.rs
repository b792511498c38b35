//! Traces: spans for OpenTelemetry, off unless `[traces]` is configured.
//!
//! [`Traces::export`] never waits: a span goes into a bounded queue, or is dropped and counted. A task takes the spans
//! out of the queue and sends them to a collector, so a collector that is slow or down costs no more than the queue.

mod exporter;
mod otlp;
mod sampler;
mod span;

pub use exporter::{Exporting, TraceSettings};
pub use span::{Attribute, Span, SpanKind};

use super::Metrics;
use crate::domain::Source;
use sampler::Sampler;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// Decides which traces are recorded, and takes their spans.
#[derive(Clone)]
pub struct Traces(Arc<Shared>);

struct Shared {
    sampler: Sampler,
    /// `None` ends the export.
    queue: Sender<Option<Span>>,
    metrics: Arc<Metrics>,
}

impl Traces {
    /// Returns whether the trace is recorded. If the producer of `source` sent a trace, the producer decides.
    /// Otherwise the id of the trace does, in the same way on every instance.
    #[must_use]
    pub fn is_sampled(&self, source: &Source, trace_id: u128) -> bool {
        let own = || self.0.sampler.is_sampled(trace_id);
        source.trace.as_ref().map_or_else(own, |trace| trace.is_sampled())
    }

    /// Hands a span to the exporter. If the queue is full, the span is dropped and counted.
    pub fn export(&self, span: Span) {
        if self.0.queue.try_send(Some(span)).is_err() {
            self.0.metrics.spans_dropped(1);
        }
    }
}
