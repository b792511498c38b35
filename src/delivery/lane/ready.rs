//! Whether a lane would send more if the daemon let it.

use super::{BreakerState, Lane};
use crate::domain::{Class, Timestamp};
use std::time::Instant;

impl Lane {
    /// Whether nothing of its own keeps it: no breaker, no wish of its endpoint, no rate, nor that its endpoint has as much to
    /// answer as it may.
    pub(in crate::delivery) fn is_ready(&self, now: Instant) -> bool {
        let is_held = self.held_until.is_some_and(|until| until > now);
        let is_closed = self.breaker.state() == BreakerState::Closed;
        is_closed && !is_held && !self.is_waiting && self.in_flight() < self.limit()
    }

    /// Since when the first of its jobs is due that could leave if there were a slot.
    pub(in crate::delivery) fn due(&self) -> Option<Timestamp> {
        let classes = Class::ALL.into_iter().filter(|class| self.may(*class));
        let first = |class| self.jobs.get(class as usize)?.front().map(|job| job.due);
        classes.filter_map(first).min()
    }
}
