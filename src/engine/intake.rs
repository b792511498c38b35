//! Records that were read and wait to be decided.
//!
//! While a lane delivers as fast as it can and has more to deliver than it can take, no more is taken in than is delivered:
//! what would only wait in the store had better wait in Kafka, where it stands already. A lane that delivers nothing holds
//! nobody back.

use super::outbox::Outbox;
use crate::domain::Timestamp;
use crate::log::{Record, TopicPartition};
use std::collections::{BTreeMap, VecDeque};

/// Records that were read together.
pub(super) struct Bundle {
    /// The assignment that they belong to.
    pub(super) epoch: u64,
    pub(super) records: Vec<Record>,
    /// What the reader's gate is to be opened by.
    pub(super) bytes: usize,
}

/// The records that wait.
#[derive(Default)]
pub(super) struct Intake {
    waiting: VecDeque<Bundle>,
    /// How many may still be taken before the next commit; below zero for what was taken too much, bundles being taken whole.
    credit: i64,
}

impl Intake {
    pub(super) fn push(&mut self, bundle: Bundle) {
        self.waiting.push_back(bundle);
    }

    /// How much may be taken beside so many deliveries that succeeded.
    pub(super) fn allow(&mut self, delivered: usize, outbox: &Outbox) {
        self.credit = if outbox.is_behind() {
            // A flow may make two deliveries at once.
            self.credit.min(0) + i64::try_from(delivered / 2).unwrap_or(i64::MAX)
        } else {
            i64::MAX
        };
    }

    /// The next records, as far as they are allowed.
    pub(super) fn next(&mut self) -> Option<Bundle> {
        if self.credit <= 0 {
            return None;
        }
        let bundle = self.waiting.pop_front()?;
        self.credit -= i64::try_from(bundle.records.len()).unwrap_or(i64::MAX);
        Some(bundle)
    }

    /// The time of the first record of each input that waits.
    pub(super) fn firsts(&self) -> BTreeMap<TopicPartition, Timestamp> {
        let mut firsts = BTreeMap::new();
        for record in self.waiting.iter().flat_map(|bundle| &bundle.records) {
            firsts.entry(record.place.clone()).or_insert(record.at);
        }
        firsts
    }

    /// Drops what waits; returns what the gate is to be opened by.
    pub(super) fn clear(&mut self) -> usize {
        self.waiting.drain(..).map(|bundle| bundle.bytes).sum()
    }
}
