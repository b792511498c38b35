//! Records that were read and wait to be decided.
//!
//! A lane may deliver as fast as it can and still have a backlog. Then the engine takes in only as many records as it
//! delivers: they wait in Kafka instead of the store. A lane that delivers nothing does not slow the intake.

use super::outbox::Outbox;
use crate::domain::Timestamp;
use crate::log::{Record, TopicPartition};
use std::collections::{BTreeMap, VecDeque};

/// Records that were read together.
pub(super) struct Bundle {
    /// The epoch of the assignment that they belong to.
    pub(super) epoch: u64,
    pub(super) records: Vec<Record>,
    /// Their part of the reader's budget.
    pub(super) bytes: usize,
}

impl Bundle {
    fn count(&self) -> usize {
        self.records.iter().map(Record::count).sum()
    }
}

/// The records that wait.
#[derive(Default)]
pub(super) struct Intake {
    waiting: VecDeque<Bundle>,
    /// How many records may still be taken before the next commit. It may fall below zero, because bundles are taken
    /// whole.
    credit: i64,
}

impl Intake {
    pub(super) fn push(&mut self, bundle: Bundle) {
        self.waiting.push_back(bundle);
    }

    /// Sets the credit after `delivered` deliveries succeeded.
    pub(super) fn allow(&mut self, delivered: usize, outbox: &Outbox) {
        self.credit = if outbox.is_behind() {
            // A flow may schedule two deliveries at once.
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
        self.credit -= i64::try_from(bundle.count()).unwrap_or(i64::MAX);
        Some(bundle)
    }

    /// Returns the time of the first waiting record of each input.
    pub(super) fn firsts(&self) -> BTreeMap<TopicPartition, Timestamp> {
        let mut firsts = BTreeMap::new();
        for record in self.waiting.iter().flat_map(|bundle| &bundle.records) {
            firsts.entry(record.place.clone()).or_insert(record.at);
        }
        firsts
    }

    /// Drops the waiting records. Returns their part of the reader's budget.
    pub(super) fn clear(&mut self) -> usize {
        self.waiting.drain(..).map(|bundle| bundle.bytes).sum()
    }
}
