//! What operators see: metrics, logs, traces and health.
//!
//! A *metric* is defined once, in `definitions`, and updated by one typed call of [`Metrics`] per occurrence. Its label
//! values come from closed sets. [`Health`] holds the engine's state: whether the daemon is *ready* (and what it waits
//! for), and whether it is *live* (its partitions with work make progress). Text from outside reaches a log only
//! through [`mask`], and a terminal only through [`escape`].

mod causes;
mod definitions;
pub mod escape;
mod exemplars;
mod exposition;
mod family;
mod health;
mod keyed;
mod labels;
mod line;
pub mod logging;
pub mod mask;
mod metrics;
mod openmetrics;
pub mod output;
mod process;
mod render;
mod sample;
mod since;
mod sink;
mod traces;
mod webhooks;

pub use causes::with_causes;
pub use definitions::{Definition, MetricKind};
pub use exposition::{Exposition, Shown};
pub use health::{Health, PartitionHealth, STALL_DEADLINE, Waiting};
pub use labels::{
    AccountLookUp, AccountReading, ClockJump, ConfigPart, CorrelationState, DeliveryResult,
    EndpointChange, EndpointState, LookUpFailure, OutboxState, ReloadResult, ShortageKind,
    SinkDocumentResult, SinkEventResult, SourceResult, StallKind, TransactionErrorKind, Try,
};
pub use logging::LogFormat;
pub use metrics::{Metrics, Stalls, StoreCondition};
pub(crate) use output::{err_line, out_line};
pub use render::Format;
pub use sample::{LastFailure, Sample, WebhookFigures};
pub use sink::SinkMetrics;
pub use traces::{Attribute, Exporting, Span, SpanKind, TraceSettings, Traces};
pub use webhooks::WebhookLoad;

#[cfg(test)]
mod tests;
