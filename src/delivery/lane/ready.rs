//! Finds out whether a lane would send more if the daemon let it.

use super::{BreakerState, Lane};
use crate::domain::{Class, Timestamp};
use std::time::Instant;

impl Lane {
    /// Returns whether only the daemon keeps the lane from sending more. Its breaker is closed, it is neither held nor
    /// waiting for a token, and its endpoint has fewer unanswered requests than its limit.
    pub(in crate::delivery) fn is_ready(&self, now: Instant) -> bool {
        let is_closed = self.breaker.state() == BreakerState::Closed;
        is_closed && !self.is_held(now) && !self.is_waiting && self.in_flight() < self.limit()
    }

    /// Returns whether the endpoint's pause is not over.
    pub(in crate::delivery) fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| until > now)
    }

    /// Returns whether it has jobs that have not begun.
    pub(in crate::delivery) fn has_jobs(&self) -> bool {
        self.jobs.iter().any(|jobs| !jobs.is_empty())
    }

    /// Returns when the first job was due that could leave with a slot.
    pub(in crate::delivery) fn due(&self) -> Option<Timestamp> {
        let classes = Class::ALL.into_iter().filter(|class| self.may(*class));
        let first = |class| self.jobs.get(class as usize)?.front().map(|job| job.due);
        classes.filter_map(first).min()
    }
}
