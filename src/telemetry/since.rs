//! Ages that are computed when they are read, so that they grow even if the engine is stuck.

use crate::domain::Timestamp;
use prometheus::Gauge;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Marks an age that does not exist.
pub(super) const NEVER: i64 = i64::MAX;

/// An age in seconds, computed when it is read.
pub(super) struct Since {
    gauge: Gauge,
    since_ms: AtomicI64,
}

impl Since {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { gauge, since_ms: AtomicI64::new(NEVER) }
    }

    pub(super) fn set(&self, since: Option<Timestamp>) {
        self.since_ms.store(since.map_or(NEVER, Timestamp::as_ms), Ordering::Relaxed);
    }

    pub(super) fn show(&self, now: Timestamp) {
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        self.gauge.set(age(since_ms, now).as_secs_f64());
    }
}

/// Returns the time since `since_ms`; zero if there is no such time or it is in the future.
pub(super) fn age(since_ms: i64, now: Timestamp) -> Duration {
    Duration::from_millis(now.ms_since(Timestamp::from_ms(since_ms)))
}
