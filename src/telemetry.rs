//! What operators see: metrics, logs, health.
//!
//! A *metric* is defined once, in `definitions`, and written through one typed call of [`Metrics`] per occurrence; its
//! label values come from closed sets. [`Health`] is what the engine says of itself: whether it is *ready* (and for what
//! it waits), and whether it is *live* (its partitions with work make progress). What comes from outside goes into a log
//! only through [`mask`], and to a terminal only through [`escape`].

mod causes;
mod definitions;
pub mod escape;
mod family;
mod health;
mod labels;
mod line;
pub mod logging;
pub mod mask;
mod metrics;
mod openmetrics;
pub mod output;
mod process;
mod render;

pub use causes::with_causes;
pub use definitions::{Definition, Kind};
pub use health::{Health, PartitionHealth, STALL_DEADLINE, Waiting};
pub use labels::{
    ClockJump, ConfigPart, CorrelationState, DeliveryResult, EndpointChange, EndpointState,
    LookUpFailure, OutboxState, ReloadResult, ShortageKind, SourceResult, TransactionErrorKind,
};
pub use logging::LogFormat;
pub use metrics::Metrics;
pub(crate) use output::{err_line, out_line};
pub use render::Format;

#[cfg(test)]
mod tests;
