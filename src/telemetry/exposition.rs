//! The metrics of a process as `/metrics` needs them: those of the daemon, or those of a sink.

use super::health::PartitionHealth;
use super::labels::ClockJump;
use super::metrics::Metrics;
use super::render::Format;
use crate::domain::Timestamp;

/// The part of the state of [`super::Health`] that metrics show.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub is_ready: bool,
    /// Whether the daemon waits for no answer of Kafka.
    pub is_kafka_reachable: bool,
    /// The assigned partitions.
    pub partitions: &'a [PartitionHealth],
}

/// The metrics of a process, whatever it does.
pub trait Exposition: Send + Sync {
    /// Exports the state of [`super::Health`].
    fn show_health(&self, shown: &Shown<'_>);

    /// Sets how often the wall clock has jumped since the process began.
    fn show_clock_jumps(&self, direction: ClockJump, count: u64);

    /// Renders all metrics at the time `now` in `format`.
    fn render(&self, format: Format, now: Timestamp) -> String;
}

impl Exposition for Metrics {
    fn show_health(&self, shown: &Shown<'_>) {
        Self::show_health(self, shown);
    }

    fn show_clock_jumps(&self, direction: ClockJump, count: u64) {
        Self::show_clock_jumps(self, direction, count);
    }

    fn render(&self, format: Format, now: Timestamp) -> String {
        Self::render(self, format, now)
    }
}
