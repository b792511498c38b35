//! One partition's rows and indexes.

use super::family::{Entry, Family, Rocks, Scan};
use super::key::{AwaitingKey, Backlogs, CHECKPOINT_KEY, DueKey, RowKey, TimerKey};
use super::{Batch, Checkpoint, Retried, StoreError};
use crate::codec::row;
use crate::domain::{Class, EndpointState, PhononUuid, Timestamp, WebhookName};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A handle to one partition of the store. It has one writer at a time: the restore, then the engine.
#[derive(Clone)]
pub struct Partition<F: Family = Rocks> {
    pub(super) family: F,
    pub(super) number: i32,
}

impl<F: Family> Partition<F> {
    /// Returns the number of the partition.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.number
    }

    /// Returns an empty batch with room for `capacity` bytes.
    #[must_use]
    pub fn batch(&self, capacity: usize) -> Batch<F> {
        Batch::of(self.family.writes(capacity))
    }

    /// Returns the stored state of `uuid`.
    ///
    /// # Errors
    /// The disk fails.
    pub fn row(&self, uuid: &PhononUuid) -> Result<Option<Bytes>, StoreError> {
        let mut key = Vec::with_capacity(40);
        RowKey::write_state(uuid, &mut key);
        Ok(self.family.get(&key)?.map(Bytes::from))
    }

    /// Returns the stored meta row.
    ///
    /// # Errors
    /// The disk fails.
    pub fn meta(&self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.family.get(RowKey::META)?.map(Bytes::from))
    }

    /// Returns the checkpoint. A missing one, or one of an unknown layout, counts as offset 0.
    ///
    /// # Errors
    /// The disk fails.
    pub fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let bytes = self.family.get(CHECKPOINT_KEY)?;
        Ok(bytes.and_then(|bytes| Checkpoint::from_bytes(&bytes)).unwrap_or_default())
    }

    /// Returns the stored states of the endpoints.
    ///
    /// # Errors
    /// The disk fails, or a row can't be read.
    pub fn endpoints(&self) -> Result<BTreeMap<WebhookName, EndpointState>, StoreError> {
        let (lower, upper) = RowKey::endpoints();
        let endpoint = |entry: Result<Entry, StoreError>| {
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

    /// Writes the batch and empties it. After a crash, the batch and all earlier ones are stored, or the batch is
    /// missing as a whole. It is durable after [`Partition::flush`].
    ///
    /// # Errors
    /// The disk fails.
    pub fn commit(&self, batch: &mut Batch<F>) -> Result<(), StoreError> {
        self.family.write(&mut batch.writes)
    }

    /// Adds entries that are sorted by their keys; `None` as value deletes the entry.
    pub(super) fn ingest<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        self.family.ingest(entries)
    }

    /// Returns all state rows, key and value, in the order of their keys. It is meant for reading all of them once.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<Entry, StoreError>> {
        let (lower, upper) = RowKey::states();
        self.family.scan(Scan::All, lower, upper)
    }

    /// Deletes everything, before a restore from the start.
    ///
    /// # Errors
    /// The disk fails.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.family.clear()
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// The disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.family.flush()
    }

    /// Returns the bytes on disk and in memory tables.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.family.bytes()
    }

    /// Returns the timers due from `from` to `until`, the earliest first.
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

    /// Returns the flows that wait for reports and were accepted at `from` or later, the earliest first.
    pub fn awaiting(
        &self,
        from: Timestamp,
    ) -> impl Iterator<Item = Result<AwaitingKey, StoreError>> {
        let (lower, upper) = AwaitingKey::range(from);
        self.iterate(lower, upper).map(|entry| {
            AwaitingKey::parse(&entry?.0).ok_or_else(|| StoreError::Corrupt {
                partition: self.number,
                what: "an entry of the flows that wait for reports".to_owned(),
            })
        })
    }

    /// Returns the due keys of a webhook's class from `from` on, the earliest first, with the uuids of their
    /// deliveries.
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

    /// Returns the number of deliveries of each webhook and class, and the first due key.
    ///
    /// # Errors
    /// The disk fails.
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

    /// Returns the times of the retried deliveries of `backlogs`.
    ///
    /// # Errors
    /// The disk fails, or a row can't be read.
    pub fn retried(&self, backlogs: &Backlogs) -> Result<Retried, StoreError> {
        let mut retried = Retried::default();
        for (webhook, _) in backlogs.keys().filter(|(_, class)| *class == Class::Retry) {
            for entry in self.due(webhook, DueKey::first(Class::Retry)) {
                let (key, uuid) = entry?;
                let Some(row) = self.row(&uuid)? else { continue };
                let state = row::decode_state(&row).map_err(|error| {
                    StoreError::unreadable(self.number, &format!("the row of {uuid}"), &error)
                })?;
                if let Some(delivery) = state.delivery(key.id) {
                    retried.insert_one(delivery, key.due);
                }
            }
        }
        Ok(retried)
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

    fn iterate(
        &self,
        lower: Vec<u8>,
        upper: Vec<u8>,
    ) -> impl Iterator<Item = Result<Entry, StoreError>> {
        self.family.scan(Scan::Some, lower, upper)
    }
}

#[cfg(test)]
mod tests;
