//! The store of one partition that is being restored.

use super::Wanted;
use crate::clock;
use crate::codec::row::{self, Meta, Owner};
use crate::engine::input::Restored;
use crate::log::TopicPartition;
use crate::store::{
    Batch, BulkLoad, Checkpoint, Derived, Family, Loaded, Partition, RowKey, StoreError,
};
use std::collections::BTreeMap;

pub(super) const BATCH_BYTES: usize = 1 << 20;

/// A partition that is being restored.
pub(super) struct Target<F: Family> {
    pub(super) partition: Partition<F>,
    pub(super) checkpoint: Checkpoint,
    pub(super) places: Vec<TopicPartition>,
    pub(super) is_held: bool,
    pub(super) load: Load<F>,
    /// The memory for a bulk load.
    pub(super) bulk_bytes: usize,
    pub(super) records: u64,
}

/// How the rows get into the store.
pub(super) enum Load<F: Family> {
    /// All rows, from the start of the changelog.
    Bulk(BulkLoad<F>),
    /// The rows that the store does not have yet. Each replaces the former row.
    Tail(Tail<F>),
}

pub(super) struct Tail<F: Family> {
    batch: Batch<F>,
    /// The rows of the batch, which the store does not have yet.
    pending: BTreeMap<Vec<u8>, Derived>,
}

impl<F: Family> Target<F> {
    pub(super) fn new(wanted: Wanted<F>, bulk_bytes: usize) -> Result<Self, StoreError> {
        let Wanted { partition, places, is_held } = wanted;
        let checkpoint = partition.checkpoint()?;
        let load = if checkpoint.next_offset > 0 {
            Load::Tail(Tail { batch: partition.batch(0), pending: BTreeMap::new() })
        } else {
            Load::Bulk(BulkLoad::begin(partition.clone(), bulk_bytes)?)
        };
        Ok(Self { partition, checkpoint, places, is_held, load, bulk_bytes, records: 0 })
    }

    pub(super) fn row(
        &mut self,
        offset: i64,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        self.records += 1;
        let Some(row_key) = RowKey::parse(key) else {
            // A later version may add kinds of rows, but the meaning of a kind never changes.
            return Err(StoreError::Newer {
                partition: self.partition.number(),
                what: format!("the changelog's record {offset} has the key of no row"),
            });
        };
        match &mut self.load {
            Load::Bulk(load) => load.put(key, value),
            Load::Tail(tail) => {
                tail.row(&self.partition, &mut self.checkpoint, row_key, key, value)?;
                self.checkpoint.next_offset = offset + 1;
                if tail.batch.bytes() > BATCH_BYTES {
                    tail.write(&self.partition, self.checkpoint)?;
                }
                Ok(())
            }
        }
    }

    /// Ends the load. The partition's rows are durable when it returns.
    pub(super) fn finished(self, next_offset: i64) -> Result<Restored, StoreError> {
        // Every row in the store has just come from the changelog, so the changelog is to blame for a bad one.
        let is_bulk = matches!(self.load, Load::Bulk(_));
        let restored = self.ended(next_offset);
        if is_bulk { restored.map_err(StoreError::of_the_changelog) } else { restored }
    }

    fn ended(self, next_offset: i64) -> Result<Restored, StoreError> {
        let Self { partition, mut checkpoint, load, records, .. } = self;
        let (checkpoint, backlogs, retried) = match load {
            Load::Bulk(load) => {
                let loaded = load.finish(next_offset, clock::now())?;
                let Loaded { checkpoint, backlogs, retried } = loaded;
                (checkpoint, backlogs, retried)
            }
            Load::Tail(mut tail) => {
                (checkpoint.next_offset, checkpoint.at) = (next_offset, clock::now());
                tail.write(&partition, checkpoint)?;
                if records > 0 {
                    partition.flush()?;
                }
                let backlogs = partition.backlogs()?;
                let retried = partition.retried(&backlogs)?;
                (checkpoint, backlogs, retried)
            }
        };
        let meta = meta(&partition)?;
        if let Some(meta) = &meta {
            clock::not_before(meta.committed_at);
        }
        let has_rows = meta.is_some();
        let Meta { offsets, owner, .. } = meta.unwrap_or_default();
        Ok(Restored {
            partition: partition.number(),
            checkpoint,
            backlogs,
            retried,
            endpoints: partition.endpoints()?,
            has_rows,
            offsets,
            owner,
            meta_changed: false,
            positions: BTreeMap::new(),
            starts: Vec::new(),
            landmarks: Vec::new(),
            events: Vec::new(),
            records,
        })
    }
}

impl<F: Family> Tail<F> {
    fn row(
        &mut self,
        partition: &Partition<F>,
        checkpoint: &mut Checkpoint,
        row_key: RowKey,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let uuid = match row_key {
            RowKey::Meta => {
                if let Some(value) = value {
                    self.batch.put_meta(partition, value);
                }
                return Ok(());
            }
            RowKey::Endpoint(webhook) => {
                self.batch.put_endpoint(partition, &webhook, value.unwrap_or(&[]));
                return Ok(());
            }
            RowKey::State(uuid) => uuid,
        };
        let derived = |bytes: bytes::Bytes| match row::decode_state(&bytes) {
            Ok(state) => Ok(Derived::of(&state)),
            Err(error) => {
                let what = format!("the row of {uuid}");
                Err(StoreError::unreadable(partition.number(), &what, &error))
            }
        };
        let old = match self.pending.remove(key) {
            Some(old) => old,
            None => partition.row(&uuid)?.map(derived).transpose()?.unwrap_or_default(),
        };
        let bytes = value.map(bytes::Bytes::copy_from_slice);
        let new = bytes.map(derived).transpose().map_err(StoreError::of_the_changelog)?;
        let new = new.unwrap_or_default();
        self.batch.put(partition, &uuid, &old, &new, value.unwrap_or(&[]));
        checkpoint.tally.change(&old, &new);
        self.pending.insert(key.to_vec(), new);
        Ok(())
    }

    /// Writes the batch with the checkpoint that it reaches, so that an interrupted restore continues there.
    fn write(
        &mut self,
        partition: &Partition<F>,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError> {
        self.batch.put_checkpoint(partition, checkpoint);
        partition.commit(&mut self.batch)?;
        self.pending.clear();
        Ok(())
    }
}

/// Returns the owner of the rows of a store's partition, if it is known.
pub(super) fn owner<F: Family>(partition: &Partition<F>) -> Result<Option<Owner>, StoreError> {
    Ok(meta(partition)?.and_then(|meta| meta.owner))
}

fn meta<F: Family>(partition: &Partition<F>) -> Result<Option<Meta>, StoreError> {
    let unreadable = |error| StoreError::unreadable(partition.number(), "the meta row", &error);
    partition.meta()?.map(|bytes| row::decode_meta(&bytes).map_err(unreadable)).transpose()
}
