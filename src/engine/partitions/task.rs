//! One partition: its rows, its position in the inputs, and its timers.

use crate::codec::row::Owner;
use crate::domain::{PhononUuid, State, Timestamp};
use crate::log::TopicPartition;
use crate::store::{Backlogs, Checkpoint, Family, Partition, StoreError, WriteBack};
use std::collections::BTreeMap;

/// A partition that this instance owns.
pub(in crate::engine) struct Task<F: Family> {
    pub(in crate::engine) rows: WriteBack<F>,
    /// The input offsets below which everything is in the state.
    pub(in crate::engine) positions: BTreeMap<TopicPartition, i64>,
    /// The input partitions that belong to it.
    pub(in crate::engine) places: Vec<TopicPartition>,
    /// Whether it is restored and takes part in batches.
    pub(in crate::engine) active: bool,
    /// Whether its inputs were read beyond their committed offsets.
    pub(in crate::engine) held: bool,
    /// Whether the next commit has to write the meta row, because the row is out of date.
    pub(in crate::engine) meta_changed: bool,
    /// The owner of its rows.
    pub(in crate::engine) owner: Option<Owner>,
    /// When the next timer is due.
    pub(in crate::engine) next_timer: Option<Timestamp>,
    /// No timer is due before this time.
    timers_from: Timestamp,
}

impl<F: Family> Task<F> {
    /// Creates a task that has to be restored.
    pub(in crate::engine) fn new(partition: Partition<F>, places: Vec<TopicPartition>) -> Self {
        Self {
            rows: WriteBack::new(
                partition,
                Checkpoint::default(),
                &Backlogs::new(),
                BTreeMap::new(),
            ),
            positions: BTreeMap::new(),
            places,
            active: false,
            held: false,
            meta_changed: false,
            owner: None,
            next_timer: Some(Timestamp::from_ms(0)),
            timers_from: Timestamp::from_ms(0),
        }
    }

    /// Makes the next search for timers begin at the start, because the partition was restored.
    pub(in crate::engine) fn reset_timers(&mut self) {
        self.next_timer = Some(Timestamp::from_ms(0));
        self.timers_from = Timestamp::from_ms(0);
    }

    /// Returns the uuids whose timers are due.
    pub(in crate::engine) fn due_timers(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<PhononUuid>, StoreError> {
        if self.next_timer.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let due = self.rows.timers(self.timers_from, now, limit)?;
        match due.first() {
            // The timers stay due until their commands are committed.
            Some(first) => self.timers_from = first.due,
            None => {
                let next = self.rows.timers(now, Timestamp::from_ms(i64::MAX - 1), 1)?;
                self.next_timer = next.first().map(|timer| timer.due);
                self.timers_from = self.next_timer.unwrap_or(now).min(now);
            }
        }
        Ok(due.into_iter().map(|timer| timer.uuid).collect())
    }

    /// Updates the times of timers after the commit of a new state.
    pub(in crate::engine) fn change(&mut self, new: &State) {
        if let Some(due) = new.timer() {
            self.next_timer = Some(self.next_timer.map_or(due, |next| next.min(due)));
            self.timers_from = self.timers_from.min(due);
        }
    }
}

#[cfg(test)]
mod tests;
