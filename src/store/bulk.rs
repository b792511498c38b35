//! Fills an empty partition from the start of the changelog.
//!
//! Rows are collected in memory, the last version of each. They are sorted and ingested by RocksDB as files of its own
//! format, which costs a fraction of putting them one by one. One scan at the end creates the indexes and the tally.
//! There is no checkpoint before that, so an interrupted load begins again.

use super::StoreError;
use super::checkpoint::{Checkpoint, Tally};
use super::derived::Derived;
use super::family::{Family, Rocks};
use super::key::{AwaitingKey, Backlogs, RowKey, TimerKey};
use super::partition::Partition;
use super::retried::Retried;
use crate::codec::row;
use crate::domain::Timestamp;
use crate::failpoint::{self, Failpoint};
use bytes::Bytes;
use std::collections::HashMap;

/// The memory of an entry beside its bytes, roughly.
const ENTRY_BYTES: usize = 100;

/// A partition that is being filled.
pub struct BulkLoad<F: Family = Rocks> {
    partition: Partition<F>,
    /// The last version of each row since the last file; `None`: the row is deleted.
    rows: HashMap<Box<[u8]>, Option<Box<[u8]>>>,
    bytes: usize,
    bytes_max: usize,
}

/// The result of a load.
pub struct Loaded {
    /// The checkpoint at the end of the load.
    pub checkpoint: Checkpoint,
    /// The number of deliveries of each lane.
    pub backlogs: Backlogs,
    /// The times of the retried deliveries.
    pub retried: Retried,
}

impl<F: Family> BulkLoad<F> {
    /// Clears the partition and begins a load, which holds about `bytes_max` in memory.
    ///
    /// # Errors
    /// The disk fails.
    pub fn begin(partition: Partition<F>, bytes_max: usize) -> Result<Self, StoreError> {
        // The changelog may have deleted rows of an earlier load, and compacted their tombstones away.
        partition.clear()?;
        Ok(Self { partition, rows: HashMap::new(), bytes: 0, bytes_max })
    }

    /// Adds a row; `None` deletes it.
    ///
    /// # Errors
    /// The disk fails.
    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.bytes += key.len() + value.map_or(0, <[u8]>::len) + ENTRY_BYTES;
        let value = value.map(Box::from);
        match self.rows.get_mut(key) {
            Some(row) => *row = value,
            None => drop(self.rows.insert(key.into(), value)),
        }
        if self.bytes > self.bytes_max { self.write_rows() } else { Ok(()) }
    }

    fn write_rows(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        let mut rows: Vec<_> = self.rows.drain().collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.partition.ingest(rows.iter().map(|(key, value)| (&**key, value.as_deref())))?;
        failpoint::pass(Failpoint::Ingested);
        Ok(())
    }

    /// Creates the indexes, after everything below `next_offset` was put. Then everything is durable.
    ///
    /// # Errors
    /// The disk fails, or a row can't be read.
    pub fn finish(mut self, next_offset: i64, now: Timestamp) -> Result<Loaded, StoreError> {
        self.write_rows()?;
        let mut indexes = Indexes { load: &self, entries: Vec::new(), bytes: 0 };
        let (mut tally, mut backlogs) = (Tally::default(), Backlogs::new());
        let mut retried = Retried::default();
        for stored in self.partition.rows() {
            let (key, value) = stored?;
            let number = self.partition.number();
            let Some(RowKey::State(uuid)) = RowKey::parse(&key) else {
                let what = format!("the row {}: its key has no uuid", key.escape_ascii());
                return Err(StoreError::Corrupt { partition: number, what });
            };
            let state = row::decode_state(&Bytes::from(value)).map_err(|error| {
                StoreError::unreadable(number, &format!("the row of {uuid}"), &error)
            })?;
            let derived = Derived::of(&state);
            retried.insert(&state);
            tally.change(&Derived::default(), &derived);
            indexes.add(uuid.as_str().as_bytes(), &derived)?;
            for (webhook, key) in derived.due {
                let (rows, first) = backlogs.entry((webhook, key.class)).or_insert((0, key));
                *rows += 1;
                *first = key.min(*first);
            }
        }
        indexes.write()?;
        let checkpoint = Checkpoint { next_offset, at: now, tally };
        let mut batch = self.partition.batch(0);
        batch.put_checkpoint(&self.partition, checkpoint);
        self.partition.commit(&mut batch)?;
        self.partition.flush()?;
        Ok(Loaded { checkpoint, backlogs, retried })
    }
}

/// Index entries that wait to be written.
struct Indexes<'a, F: Family> {
    load: &'a BulkLoad<F>,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl<F: Family> Indexes<'_, F> {
    fn add(&mut self, uuid: &[u8], derived: &Derived) -> Result<(), StoreError> {
        if let Some(due) = derived.timer {
            let mut key = Vec::with_capacity(9 + uuid.len());
            TimerKey::write(due, uuid, &mut key);
            self.push(key, Vec::new());
        }
        if let Some(since) = derived.awaiting {
            let mut key = Vec::with_capacity(9 + uuid.len());
            AwaitingKey::write(since, uuid, &mut key);
            self.push(key, Vec::new());
        }
        for (webhook, due) in &derived.due {
            let mut key = Vec::with_capacity(64);
            due.write(webhook, &mut key);
            self.push(key, uuid.to_vec());
        }
        if self.bytes > self.load.bytes_max { self.write() } else { Ok(()) }
    }

    fn push(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += key.len() + value.len() + ENTRY_BYTES;
        self.entries.push((key, value));
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable();
        // The ids of deliveries are derived from one uuid. But a command in the inbox decides a replay's id.
        entries.dedup_by(|next, one| next.0 == one.0);
        self.load.partition.ingest(entries.iter().map(|(key, value)| (&**key, Some(&**value))))
    }
}
