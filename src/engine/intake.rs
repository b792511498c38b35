//! Records that were read and wait to be decided.
//!
//! While a lane delivers as fast as it can and has a backlog, the engine takes in no more records than it delivers: records
//! that would only wait in the store wait in Kafka instead. A lane that delivers nothing slows nobody down.

use super::outbox::Outbox;
use crate::domain::Timestamp;
use crate::log::{Record, TopicPartition};
use std::collections::{BTreeMap, VecDeque};

/// Records that were read together.
pub(super) struct Bundle {
    /// The assignment that they belong to.
    pub(super) epoch: u64,
    pub(super) records: Vec<Record>,
    /// What they take of the reader's budget.
    pub(super) bytes: usize,
}

/// The records that wait.
#[derive(Default)]
pub(super) struct Intake {
    waiting: VecDeque<Bundle>,
    /// How many records may still be taken before the next commit. Below zero if too many were taken: bundles are taken whole.
    credit: i64,
}

impl Intake {
    pub(super) fn push(&mut self, bundle: Bundle) {
        self.waiting.push_back(bundle);
    }

    /// Allows to take records, after so many deliveries succeeded.
    pub(super) fn allow(&mut self, delivered: usize, outbox: &Outbox) {
        self.credit = if outbox.is_behind() {
            // A flow may make two deliveries at once.
            self.credit.min(0) + i64::try_from(delivered / 2).unwrap_or(i64::MAX)
        } else {
            i64::MAX
        };
    }

    /// Returns the next records, if they may be taken.
    pub(super) fn next(&mut self) -> Option<Bundle> {
        if self.credit <= 0 {
            return None;
        }
        let bundle = self.waiting.pop_front()?;
        self.credit -= i64::try_from(bundle.records.len()).unwrap_or(i64::MAX);
        Some(bundle)
    }

    /// Returns the time of the first record that waits, by input.
    pub(super) fn firsts(&self) -> BTreeMap<TopicPartition, Timestamp> {
        let mut firsts = BTreeMap::new();
        for record in self.waiting.iter().flat_map(|bundle| &bundle.records) {
            firsts.entry(record.place.clone()).or_insert(record.at);
        }
        firsts
    }

    /// Drops the waiting records; returns what they took of the reader's budget.
    pub(super) fn clear(&mut self) -> usize {
        self.waiting.drain(..).map(|bundle| bundle.bytes).sum()
    }
}
