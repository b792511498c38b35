//! The restore of partitions, beside the engine: the changelog's rows go into the store by the same road that running
//! takes.

use super::input::{Input, RestoreFailure, Restored};
use super::mailbox::Mailbox;
use super::ports::{Log, Offsets};
use crate::clock;
use crate::codec::row;
use crate::log::{self, LogError, Place, Restoration, RestoreError, Step, Want};
use crate::store::{Batch, BulkLoad, Checkpoint, Derived, Loaded, Partition, RowKey, StoreError};
use crate::telemetry::{Health, Metrics};
use std::collections::BTreeMap;
use std::sync::Arc;

const BATCH_BYTES: usize = 1 << 20;
/// What all bulk loads together hold in memory.
const BULK_BYTES: usize = 24 << 20;
/// Tombstones may be gone from the changelog after this, and what they deleted would come back to life.
const STORE_AGE_MAX_MS: u64 = 6 * 86_400_000;

struct Target {
    partition: Partition,
    checkpoint: Checkpoint,
    places: Vec<Place>,
    load: Load,
    /// What a bulk load may hold in memory.
    bulk_bytes: usize,
    records: u64,
}

/// How the rows get into the store.
enum Load {
    /// All of them, from the start of the changelog.
    Bulk(BulkLoad),
    /// Those that the store has not seen, each in the place of what is there.
    Tail(Tail),
}

struct Tail {
    batch: Batch,
    /// What the batch holds and the store does not.
    pending: BTreeMap<Vec<u8>, Derived>,
}

type Wanted = Vec<(Partition, Vec<Place>)>;

/// What a restore is made of.
pub(super) struct Parts {
    pub(super) epoch: u64,
    pub(super) wanted: Wanted,
    pub(super) mailbox: Arc<Mailbox<Input>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
}

/// A restore, done step by step.
pub(super) struct Restorer<L: Log> {
    /// What it is to be, until the first step.
    begins: Option<(L::Changelog, Wanted)>,
    restoration: Option<Restoration<L::Changelog>>,
    rows: Rows<L::Offsets>,
}

impl<L: Log> Restorer<L> {
    pub(super) fn new(log: &L, parts: Parts) -> Result<Self, LogError> {
        let Parts { epoch, wanted, mailbox, metrics, health } = parts;
        let (offsets, targets) = (log.offsets(), BTreeMap::new());
        Ok(Self {
            begins: Some((log.changelog()?, wanted)),
            restoration: None,
            rows: Rows { epoch, offsets, mailbox, metrics, health, targets },
        })
    }

    /// Does a part of it. A failure ends it, and is told to the engine. Blocks.
    pub(super) fn step(&mut self) -> Step {
        self.try_step().unwrap_or_else(|error| {
            let Rows { epoch, mailbox, .. } = &self.rows;
            mailbox.put_urgent(Input::RestoreFailed { epoch: *epoch, error });
            Step::Done
        })
    }

    fn try_step(&mut self) -> Result<Step, RestoreFailure> {
        let Self { begins, restoration, rows } = self;
        let restoration = match (begins.take(), restoration) {
            (Some((changelog, wanted)), slot) => {
                let wants = rows.begin(wanted).map_err(RestoreFailure::Store)?;
                slot.insert(Restoration::new(changelog, wants))
            }
            (None, Some(restoration)) => restoration,
            (None, None) => return Ok(Step::Done),
        };
        restoration.step(&mut |restored| rows.take(restored)).map_err(|error| match error {
            RestoreError::Store(failure) => failure,
            RestoreError::Log(error) => error.into(),
        })
    }
}

impl From<LogError> for RestoreFailure {
    fn from(error: LogError) -> Self {
        Self::Passing(chain(&error))
    }
}

/// Takes the rows.
struct Rows<O> {
    epoch: u64,
    offsets: O,
    mailbox: Arc<Mailbox<Input>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    targets: BTreeMap<i32, Target>,
}

impl<O: Offsets> Rows<O> {
    fn begin(&mut self, wanted: Wanted) -> Result<Vec<Want>, StoreError> {
        let (now, bulk_bytes) = (clock::now(), BULK_BYTES / wanted.len().max(1));
        let mut wants = Vec::with_capacity(wanted.len());
        for (partition, places) in wanted {
            let number = i32::try_from(partition.number()).unwrap_or(i32::MAX);
            let target = Target::new(partition, places, bulk_bytes)?;
            let Checkpoint { next_offset, at, .. } = target.checkpoint;
            let stale = next_offset > 0 && now.ms_since(at) > STORE_AGE_MAX_MS;
            wants.push(Want { partition: number, checkpoint: next_offset, stale });
            self.targets.insert(number, target);
        }
        Ok(wants)
    }

    fn take(&mut self, restored: log::Restored<'_>) -> Result<(), RestoreFailure> {
        match restored {
            log::Restored::Wipe(partition) => self.wipe(partition).map_err(RestoreFailure::Store),
            log::Restored::Row { partition, offset, key, value } => {
                match self.targets.get_mut(&partition) {
                    Some(target) => target.row(offset, key, value).map_err(RestoreFailure::Store),
                    None => Ok(()),
                }
            }
            log::Restored::Remaining(partition, left) => {
                self.health.restoring(partition, u64::try_from(left).unwrap_or(0));
                Ok(())
            }
            log::Restored::End(partition, next_offset) => self.end(partition, next_offset),
        }
    }

    fn wipe(&mut self, partition: i32) -> Result<(), StoreError> {
        let Some(target) = self.targets.get_mut(&partition) else { return Ok(()) };
        if target.checkpoint.next_offset > 0 {
            tracing::warn!(
                partition,
                "the store does not fit the changelog; restoring from the start"
            );
        }
        target.load = Load::Bulk(BulkLoad::begin(target.partition.clone(), target.bulk_bytes)?);
        target.checkpoint = Checkpoint::default();
        Ok(())
    }

    /// The partition's rows are durable before anybody acts on them.
    fn end(&mut self, number: i32, next_offset: i64) -> Result<(), RestoreFailure> {
        let Some(target) = self.targets.remove(&number) else { return Ok(()) };
        self.metrics.restored(target.records);
        let committed = self.offsets.committed(&target.places)?;
        let restored = target.finished(next_offset, committed).map_err(RestoreFailure::Store)?;
        self.mailbox
            .put_urgent(Input::Restored { epoch: self.epoch, restored: Box::new(restored) });
        Ok(())
    }
}

impl Target {
    fn new(
        partition: Partition,
        places: Vec<Place>,
        bulk_bytes: usize,
    ) -> Result<Self, StoreError> {
        let checkpoint = partition.checkpoint()?;
        let load = if checkpoint.next_offset > 0 {
            Load::Tail(Tail { batch: partition.batch(0), pending: BTreeMap::new() })
        } else {
            Load::Bulk(BulkLoad::begin(partition.clone(), bulk_bytes)?)
        };
        Ok(Self { partition, checkpoint, places, load, bulk_bytes, records: 0 })
    }

    fn row(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.records += 1;
        let Some(row_key) = RowKey::parse(key) else {
            // Kinds of rows are added, and never used for something else.
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

    /// The partition's rows are durable before anybody acts on them.
    fn finished(
        self,
        next_offset: i64,
        committed: BTreeMap<Place, i64>,
    ) -> Result<Restored, StoreError> {
        // Whatever is in the store then has just come from the changelog.
        let is_bulk = matches!(self.load, Load::Bulk(_));
        let restored = self.ended(next_offset, committed);
        if is_bulk { restored.map_err(StoreError::of_the_changelog) } else { restored }
    }

    fn ended(
        self,
        next_offset: i64,
        committed: BTreeMap<Place, i64>,
    ) -> Result<Restored, StoreError> {
        let Self { partition, mut checkpoint, load, records, .. } = self;
        let (checkpoint, backlogs) = match load {
            Load::Bulk(load) => {
                let Loaded { checkpoint, backlogs } = load.finish(next_offset, clock::now())?;
                (checkpoint, backlogs)
            }
            Load::Tail(mut tail) => {
                (checkpoint.next_offset, checkpoint.at) = (next_offset, clock::now());
                tail.write(&partition, checkpoint)?;
                if records > 0 {
                    partition.flush()?;
                }
                (checkpoint, partition.backlogs()?)
            }
        };
        let number = partition.number();
        let unreadable = |error| StoreError::unreadable(number, "the meta row", &error);
        let meta = partition.meta()?;
        let meta = meta.map(|bytes| row::decode_meta(&bytes).map_err(unreadable)).transpose()?;
        let offsets = meta.into_iter().flat_map(|meta| meta.offsets);
        Ok(Restored {
            partition: number,
            checkpoint,
            backlogs,
            endpoints: partition.endpoints()?,
            positions: offsets
                .map(|(topic, partition, offset)| {
                    (Place { topic: topic.into(), partition }, offset)
                })
                .collect(),
            committed,
            records,
        })
    }
}

impl Tail {
    fn row(
        &mut self,
        partition: &Partition,
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

    /// Each write carries the checkpoint that it reaches, so that an interrupted restore goes on from there.
    fn write(&mut self, partition: &Partition, checkpoint: Checkpoint) -> Result<(), StoreError> {
        self.batch.put_checkpoint(partition, checkpoint);
        partition.commit(&mut self.batch)?;
        self.pending.clear();
        Ok(())
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
