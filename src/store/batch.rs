//! What is written at once: rows, the indexes derived from them, and the checkpoint.

use super::checkpoint::Checkpoint;
use super::derived::Derived;
use super::key::{CHECKPOINT_KEY, RowKey, TimerKey};
use super::partition::Partition;
use crate::domain::{PhononUuid, WebhookName};
use rocksdb::WriteBatch;

/// The changes of one partition, written together or not at all.
pub struct Batch {
    pub(super) write: WriteBatch,
    key: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { write: WriteBatch::default(), key: Vec::with_capacity(300) }
    }
}

impl Batch {
    /// An empty batch with room for so much, which spares it growing.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { write: WriteBatch::with_capacity_bytes(bytes), ..Self::default() }
    }

    /// Puts a state of `uuid` in the place of the old one: the row, which is `encoded`, and what is derived from it. No bytes
    /// are no row.
    pub fn put(
        &mut self,
        partition: &Partition,
        uuid: &PhononUuid,
        old: &Derived,
        new: &Derived,
        encoded: &[u8],
    ) {
        let family = partition.family();
        self.key.clear();
        RowKey::write_state(uuid, &mut self.key);
        if encoded.is_empty() {
            self.write.delete_cf(&family, &self.key);
        } else {
            self.write.put_cf(&family, &self.key, encoded);
        }
        self.timer(partition, uuid, old, new);
        self.due(partition, uuid, old, new);
    }

    fn timer(&mut self, partition: &Partition, uuid: &PhononUuid, old: &Derived, new: &Derived) {
        let (was, is) = (old.timer, new.timer);
        if was == is {
            return;
        }
        let family = partition.family();
        if let Some(due) = was {
            self.key.clear();
            TimerKey::write(due, uuid.as_str().as_bytes(), &mut self.key);
            self.write.delete_cf(&family, &self.key);
        }
        if let Some(due) = is {
            self.key.clear();
            TimerKey::write(due, uuid.as_str().as_bytes(), &mut self.key);
            self.write.put_cf(&family, &self.key, []);
        }
    }

    fn due(&mut self, partition: &Partition, uuid: &PhononUuid, old: &Derived, new: &Derived) {
        let family = partition.family();
        for (webhook, key) in old.due.iter().filter(|key| !new.due.contains(key)) {
            self.key.clear();
            key.write(webhook, &mut self.key);
            self.write.delete_cf(&family, &self.key);
        }
        for (webhook, key) in new.due.iter().filter(|key| !old.due.contains(key)) {
            self.key.clear();
            key.write(webhook, &mut self.key);
            self.write.put_cf(&family, &self.key, uuid.as_str());
        }
    }

    /// Puts what is remembered of an endpoint; no bytes are no row.
    pub fn put_endpoint(&mut self, partition: &Partition, webhook: &WebhookName, encoded: &[u8]) {
        self.key.clear();
        RowKey::write_endpoint(webhook, &mut self.key);
        if encoded.is_empty() {
            self.write.delete_cf(&partition.family(), &self.key);
        } else {
            self.write.put_cf(&partition.family(), &self.key, encoded);
        }
    }

    /// Puts the partition's meta row.
    pub fn put_meta(&mut self, partition: &Partition, encoded: &[u8]) {
        self.write.put_cf(&partition.family(), RowKey::META, encoded);
    }

    /// Puts the checkpoint.
    pub fn put_checkpoint(&mut self, partition: &Partition, checkpoint: Checkpoint) {
        self.write.put_cf(&partition.family(), CHECKPOINT_KEY, checkpoint.to_bytes());
    }

    /// How large the batch is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.write.size_in_bytes()
    }
}
