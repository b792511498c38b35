//! A batch of writes: rows, the indexes derived from them, and the checkpoint.

use super::checkpoint::Checkpoint;
use super::derived::Derived;
use super::family::{Family, Rocks};
use super::key::{AwaitingKey, CHECKPOINT_KEY, RowKey, TimerKey};
use super::partition::Partition;
use crate::domain::{PhononUuid, Timestamp, WebhookName};

/// The changes of one partition, which are written together or not at all.
pub struct Batch<F: Family = Rocks> {
    pub(super) writes: F::Writes,
    key: Vec<u8>,
}

impl<F: Family> Batch<F> {
    pub(super) fn of(writes: F::Writes) -> Self {
        Self { writes, key: Vec::with_capacity(300) }
    }

    /// Replaces the state of `uuid`: the row with the bytes `encoded`, and the index entries derived from it. Empty
    /// bytes delete the row.
    pub fn put(
        &mut self,
        partition: &Partition<F>,
        uuid: &PhononUuid,
        old: &Derived,
        new: &Derived,
        encoded: &[u8],
    ) {
        let family = &partition.family;
        self.key.clear();
        RowKey::write_state(uuid, &mut self.key);
        if encoded.is_empty() {
            family.delete(&mut self.writes, &self.key);
        } else {
            family.put(&mut self.writes, &self.key, encoded);
        }
        let uuid_bytes = uuid.as_str().as_bytes();
        self.timed(partition, uuid_bytes, (old.timer, new.timer), TimerKey::write);
        self.timed(partition, uuid_bytes, (old.awaiting, new.awaiting), AwaitingKey::write);
        self.due(partition, uuid, old, new);
    }

    /// Moves the entry of an index that is sorted by time.
    fn timed(
        &mut self,
        partition: &Partition<F>,
        uuid: &[u8],
        (was, is): (Option<Timestamp>, Option<Timestamp>),
        write_key: fn(Timestamp, &[u8], &mut Vec<u8>),
    ) {
        if was == is {
            return;
        }
        let family = &partition.family;
        if let Some(was) = was {
            self.key.clear();
            write_key(was, uuid, &mut self.key);
            family.delete(&mut self.writes, &self.key);
        }
        if let Some(is) = is {
            self.key.clear();
            write_key(is, uuid, &mut self.key);
            family.put(&mut self.writes, &self.key, &[]);
        }
    }

    fn due(&mut self, partition: &Partition<F>, uuid: &PhononUuid, old: &Derived, new: &Derived) {
        let family = &partition.family;
        for (webhook, key) in old.due.iter().filter(|key| !new.due.contains(key)) {
            self.key.clear();
            key.write(webhook, &mut self.key);
            family.delete(&mut self.writes, &self.key);
        }
        for (webhook, key) in new.due.iter().filter(|key| !old.due.contains(key)) {
            self.key.clear();
            key.write(webhook, &mut self.key);
            family.put(&mut self.writes, &self.key, uuid.as_str().as_bytes());
        }
    }

    /// Puts the state of an endpoint. Empty bytes delete the row.
    pub fn put_endpoint(
        &mut self,
        partition: &Partition<F>,
        webhook: &WebhookName,
        encoded: &[u8],
    ) {
        self.key.clear();
        RowKey::write_endpoint(webhook, &mut self.key);
        if encoded.is_empty() {
            partition.family.delete(&mut self.writes, &self.key);
        } else {
            partition.family.put(&mut self.writes, &self.key, encoded);
        }
    }

    /// Puts the partition's meta row.
    pub fn put_meta(&mut self, partition: &Partition<F>, encoded: &[u8]) {
        partition.family.put(&mut self.writes, RowKey::META, encoded);
    }

    /// Adds the partition's checkpoint to the batch.
    pub fn put_checkpoint(&mut self, partition: &Partition<F>, checkpoint: Checkpoint) {
        partition.family.put(&mut self.writes, CHECKPOINT_KEY, &checkpoint.to_bytes());
    }

    /// Returns the size of the batch in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        F::bytes_of(&self.writes)
    }
}
