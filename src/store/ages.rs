//! When the deliveries that are retried were scheduled.

use crate::domain::{Class, Due, State, Timestamp};
use std::collections::BTreeMap;

/// Bounds what is kept, whatever is retried: the oldest is a few days old.
const STEP_MS: i64 = 1000;

/// How many deliveries that are retried were scheduled in which second. Those that were not attempted yet are due when they
/// were scheduled, and stand in the order of that anyway.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ages(BTreeMap<i64, u64>);

impl Ages {
    /// Counts those of `state`.
    pub fn insert(&mut self, state: &State) {
        for scheduled_at in retried(state) {
            self.insert_one(scheduled_at);
        }
    }

    pub(super) fn insert_one(&mut self, scheduled_at: Timestamp) {
        *self.0.entry(step(scheduled_at)).or_insert(0) += 1;
    }

    /// Counts those of `state` no longer.
    pub fn remove(&mut self, state: &State) {
        for step in retried(state).map(step) {
            if let Some(count) = self.0.get_mut(&step) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(&step);
                }
            }
        }
    }

    /// Counts those of `others` too.
    pub fn absorb(&mut self, others: &Self) {
        for (step, count) in &others.0 {
            *self.0.entry(*step).or_insert(0) += count;
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// When the oldest was scheduled.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        // The end of the step, so that nothing is older than it is.
        let (step, _) = self.0.first_key_value()?;
        Some(Timestamp::from_ms(step.saturating_mul(STEP_MS).saturating_add(STEP_MS - 1)))
    }
}

fn retried(state: &State) -> impl Iterator<Item = Timestamp> {
    let rows = state.deliveries.iter();
    rows.filter(|row| row.class() == Class::Retry && row.due != Due::Waiting)
        .map(|row| row.scheduled_at)
}

fn step(at: Timestamp) -> i64 {
    at.as_ms().div_euclid(STEP_MS)
}
