//! One partition's rows and indexes.

use super::key::{CHECKPOINT_KEY, DueKey, RowKey, TimerKey};
use super::{Batch, Checkpoint, Db, StoreError};
use crate::domain::{PhononUuid, Timestamp, WebhookName};
use bytes::Bytes;
use rocksdb::{
    BoundColumnFamily, DBIteratorWithThreadMode, IteratorMode, ReadOptions, WriteOptions,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A handle on one partition of the store. There is one writer of it at a time: its restore, then its engine.
#[derive(Clone)]
pub struct Partition {
    db: Arc<Db>,
    number: u32,
    name: Arc<str>,
    write: Arc<WriteOptions>,
    write_unlogged: Arc<WriteOptions>,
}

impl Partition {
    pub(super) fn new(
        db: Arc<Db>,
        number: u32,
        name: String,
        write: Arc<WriteOptions>,
        write_unlogged: Arc<WriteOptions>,
    ) -> Self {
        Self { db, number, name: name.into(), write, write_unlogged }
    }

    /// Which partition it is.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn family(&self) -> Arc<BoundColumnFamily<'_>> {
        #[expect(
            clippy::expect_used,
            reason = "made with the handle; it is wiped only while no handle is in use"
        )]
        self.db.cf_handle(&self.name).expect("a partition's column family outlives its handles")
    }

    /// The stored state of `uuid`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn row(&self, uuid: &PhononUuid) -> Result<Option<Bytes>, StoreError> {
        let mut key = Vec::with_capacity(40);
        RowKey::write_state(uuid, &mut key);
        Ok(self.db.get_cf(&self.family(), &key)?.map(Bytes::from))
    }

    /// The stored meta row.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn meta(&self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.db.get_cf(&self.family(), RowKey::META)?.map(Bytes::from))
    }

    /// How much of the changelog is here.
    ///
    /// # Errors
    /// When the disk fails, or the checkpoint can't be read.
    pub fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        match self.db.get_pinned_cf(&self.family(), CHECKPOINT_KEY)? {
            None => Ok(Checkpoint::default()),
            Some(bytes) => Checkpoint::from_bytes(&bytes).ok_or_else(|| StoreError::Corrupt {
                partition: self.number,
                what: "checkpoint".to_owned(),
            }),
        }
    }

    /// Writes the batch and empties it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn commit(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let write = std::mem::take(&mut batch.write);
        Ok(self.db.write_opt(write, &self.write)?)
    }

    /// Writes the batch without the log, and empties it; lost on a crash unless [`Partition::flush`] follows.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn commit_unlogged(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let write = std::mem::take(&mut batch.write);
        Ok(self.db.write_opt(write, &self.write_unlogged)?)
    }

    /// Forgets everything, to be restored from the start.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn clear(&self) -> Result<(), StoreError> {
        let family = self.family();
        // No key is longer than a uuid and its kind, and none begins with 0xff.
        self.db.delete_range_cf(&family, [0_u8].as_slice(), [0xff_u8].as_slice())?;
        Ok(self.db.flush_cf(&family)?)
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        Ok(self.db.flush_cf(&self.family())?)
    }

    /// Bytes on disk and in memory tables.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let property =
            |name: &str| self.db.property_int_value_cf(&self.family(), name).ok().flatten();
        ["rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables"]
            .into_iter()
            .filter_map(property)
            .sum()
    }

    /// The timers due from `from` to `until`, the earliest first.
    pub fn timers(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Result<TimerKey, StoreError>> {
        let (lower, upper) = TimerKey::range(from, until);
        self.iterate(lower, upper).map(|entry| {
            TimerKey::parse(&entry?.0).ok_or_else(|| StoreError::Corrupt {
                partition: self.number,
                what: "a timer".to_owned(),
            })
        })
    }

    /// The places of a lane from `from` on, the earliest first, with the uuids whose deliveries they are.
    pub fn due(
        &self,
        webhook: &WebhookName,
        from: DueKey,
    ) -> impl Iterator<Item = Result<(DueKey, PhononUuid), StoreError>> {
        let mut lower = Vec::with_capacity(64);
        from.write(webhook, &mut lower);
        let mut upper = Vec::with_capacity(64);
        DueKey::write_lane(webhook, &mut upper);
        if let Some(terminator) = upper.last_mut() {
            *terminator += 1;
        }
        self.iterate(lower, upper).map(|entry| {
            let (key, uuid) = entry?;
            self.parse_due(&key, &uuid).map(|(_, key, uuid)| (key, uuid))
        })
    }

    /// How many deliveries each lane has, and its first place.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn lanes(&self) -> Result<BTreeMap<WebhookName, (u64, DueKey)>, StoreError> {
        let (lower, upper) = DueKey::all();
        let mut lanes = BTreeMap::new();
        for entry in self.iterate(lower, upper) {
            let (key, uuid) = entry?;
            let (webhook, key, _) = self.parse_due(&key, &uuid)?;
            lanes.entry(webhook).or_insert((0, key)).0 += 1;
        }
        Ok(lanes)
    }

    fn parse_due(
        &self,
        key: &[u8],
        uuid: &[u8],
    ) -> Result<(WebhookName, DueKey, PhononUuid), StoreError> {
        let parsed =
            DueKey::parse(key).zip(std::str::from_utf8(uuid).ok().and_then(PhononUuid::new));
        parsed.map(|((webhook, key), uuid)| (webhook, key, uuid)).ok_or_else(|| {
            StoreError::Corrupt { partition: self.number, what: "a due entry".to_owned() }
        })
    }

    fn iterate(&self, lower: Vec<u8>, upper: Vec<u8>) -> DBIteratorWithThreadMode<'_, Db> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(lower);
        options.set_iterate_upper_bound(upper);
        self.db.iterator_cf_opt(&self.family(), options, IteratorMode::Start)
    }
}

#[cfg(test)]
mod tests;
