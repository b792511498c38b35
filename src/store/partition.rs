//! One partition's rows and indexes.

use super::key::{Backlogs, CHECKPOINT_KEY, DueKey, RowKey, TimerKey};
use super::{Batch, Checkpoint, Db, StoreError};
use crate::codec::row;
use crate::domain::{EndpointState, PhononUuid, Timestamp, WebhookName};
use bytes::Bytes;
use rocksdb::{
    BoundColumnFamily, DBIteratorWithThreadMode, IngestExternalFileOptions, IteratorMode, Options,
    ReadOptions, WriteOptions,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A handle on one partition of the store. There is one writer of it at a time: its restore, then its engine.
#[derive(Clone)]
pub struct Partition {
    pub(super) db: Arc<Db>,
    pub(super) number: u32,
    pub(super) name: Arc<str>,
    pub(super) options: Arc<Options>,
    /// Without RocksDB's own log, since the changelog is one.
    pub(super) unlogged: Arc<WriteOptions>,
    /// Where files are made that RocksDB takes over.
    pub(super) scratch: Arc<Path>,
}

/// A key and its value.
type Entry = (Box<[u8]>, Box<[u8]>);

/// Tells the files in the scratch directory apart.
static FILES: AtomicU64 = AtomicU64::new(0);

impl Partition {
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

    /// How much of the changelog is here; nothing, if it was written by a version that laid it out in another way.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let bytes = self.db.get_pinned_cf(&self.family(), CHECKPOINT_KEY)?;
        Ok(bytes.and_then(|bytes| Checkpoint::from_bytes(&bytes)).unwrap_or_default())
    }

    /// What is stored of the endpoints.
    ///
    /// # Errors
    /// When the disk fails, or a row can't be read.
    pub fn endpoints(&self) -> Result<BTreeMap<WebhookName, EndpointState>, StoreError> {
        let (lower, upper) = RowKey::endpoints();
        let endpoint = |entry: Result<Entry, rocksdb::Error>| {
            let (key, value) = entry?;
            let Some(RowKey::Endpoint(webhook)) = RowKey::parse(&key) else {
                let what = format!("the row {}", key.escape_ascii());
                return Err(StoreError::Corrupt { partition: self.number, what });
            };
            match row::decode_endpoint(&Bytes::from(value)) {
                Ok(endpoint) => Ok((webhook, endpoint)),
                Err(error) => {
                    let what = format!("the row of the endpoint {webhook}");
                    Err(StoreError::unreadable(self.number, &what, &error))
                }
            }
        };
        self.iterate(lower, upper).map(endpoint).collect()
    }

    /// Writes the batch and empties it. After a crash it is there as a whole, with all that was written before it, or not
    /// at all; once [`Partition::flush`] has ended, it is there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn commit(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let write = std::mem::take(&mut batch.write);
        Ok(self.db.write_opt(write, &self.unlogged)?)
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// A name for a new file that is to be taken in.
    pub(super) fn scratch_file(&self) -> PathBuf {
        self.scratch.join(format!("{}.sst", FILES.fetch_add(1, Ordering::Relaxed)))
    }

    /// Takes in the file, which then is RocksDB's own.
    pub(super) fn ingest(
        &self,
        options: &IngestExternalFileOptions,
        file: PathBuf,
    ) -> Result<(), StoreError> {
        Ok(self.db.ingest_external_file_cf_opts(&self.family(), options, vec![file])?)
    }

    /// All state rows, key and value, in the order of their keys; for one who reads them all, and once.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<Entry, StoreError>> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(1 << 20);
        let (lower, upper) = RowKey::states();
        self.iterate_by(options, lower, upper).map(|entry| Ok(entry?))
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

    /// The places of a lane's class from `from` on, the earliest first, with the uuids whose deliveries they are.
    pub fn due(
        &self,
        webhook: &WebhookName,
        from: DueKey,
    ) -> impl Iterator<Item = Result<(DueKey, PhononUuid), StoreError>> {
        let mut lower = Vec::with_capacity(64);
        from.write(webhook, &mut lower);
        let mut upper = Vec::with_capacity(64);
        DueKey::write_lane(webhook, from.class, &mut upper);
        if let Some(class) = upper.last_mut() {
            *class += 1;
        }
        self.iterate(lower, upper).map(|entry| {
            let (key, uuid) = entry?;
            self.parse_due(&key, &uuid).map(|(_, key, uuid)| (key, uuid))
        })
    }

    /// How many deliveries each lane has, by class, and the first place.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn backlogs(&self) -> Result<Backlogs, StoreError> {
        let (lower, upper) = DueKey::all();
        let mut backlogs = Backlogs::new();
        for entry in self.iterate(lower, upper) {
            let (key, uuid) = entry?;
            let (webhook, key, _) = self.parse_due(&key, &uuid)?;
            backlogs.entry((webhook, key.class)).or_insert((0, key)).0 += 1;
        }
        Ok(backlogs)
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
        self.iterate_by(ReadOptions::default(), lower, upper)
    }

    fn iterate_by(
        &self,
        mut options: ReadOptions,
        lower: Vec<u8>,
        upper: Vec<u8>,
    ) -> DBIteratorWithThreadMode<'_, Db> {
        options.set_iterate_lower_bound(lower);
        options.set_iterate_upper_bound(upper);
        self.db.iterator_cf_opt(&self.family(), options, IteratorMode::Start)
    }
}

#[cfg(test)]
mod tests;
