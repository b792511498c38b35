//! The times at which retried deliveries were scheduled.

use crate::domain::{Class, Due, State, Timestamp};
use std::collections::BTreeMap;

/// The resolution in milliseconds. It limits the number of entries: the oldest retried delivery is only a few days old.
const STEP_MS: i64 = 1000;

/// The number of retried deliveries by the second in which they were scheduled. First attempts are not counted: they
/// are due when they were scheduled, so their lanes are already in this order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ages(BTreeMap<i64, u64>);

impl Ages {
    /// Adds the retried deliveries of `state`.
    pub fn insert(&mut self, state: &State) {
        for scheduled_at in retried(state) {
            self.insert_one(scheduled_at);
        }
    }

    pub(super) fn insert_one(&mut self, scheduled_at: Timestamp) {
        *self.0.entry(step(scheduled_at)).or_insert(0) += 1;
    }

    /// Removes the retried deliveries of `state`.
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

    /// Adds the counts of `others`.
    pub fn absorb(&mut self, others: &Self) {
        for (step, count) in &others.0 {
            *self.0.entry(*step).or_insert(0) += count;
        }
    }

    /// Removes all counts. Then no delivery is the oldest.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the time at which the oldest one was scheduled, rounded up to the end of its second.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        // The end of the step, so that the age is not overstated.
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
