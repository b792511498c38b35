//! Holds the recently changed rows of a partition in memory before RocksDB.
//!
//! Most rows live for a second: they are put, changed three times and deleted. So RocksDB does not get each change, but
//! only the rows that are left after a while, in *generations*. Committed rows are collected in the young generation.
//! Once that is full or some seconds old, it becomes the old one, and the changelog's offset at that moment is the
//! mark. The rows of the old generation are written gradually. A row that changes again moves back to the young
//! generation, and its earlier version is never written. When the old generation is empty, the mark becomes the
//! checkpoint: the changelog has the rows that RocksDB lacks behind it.
//!
//! A uuid is either here, with its row and all its index entries, or in RocksDB. Every read looks here first.

use super::StoreError;
use super::checkpoint::{Checkpoint, Tally};
use super::derived::Derived;
use super::family::{Family, Rocks};
use super::key::{Backlogs, DueKey, TimerKey};
use super::partition::Partition;
use super::times::Times;
use crate::codec::row;
use crate::domain::{Class, EndpointState, PhononUuid, State, Timestamp, WebhookName};
use crate::failpoint::{self, Failpoint};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The age at which a generation is written even if it is not full, in milliseconds.
const GENERATION_AGE_MS: u64 = 5000;
/// The speed at which the old generation is written, relative to the speed at which the young one fills.
const PACE: usize = 2;
/// The least number of bytes that are written at a time.
const STEP_BYTES: usize = 256 << 10;
/// The memory of a row beside its bytes, roughly: the state's parts, and the entries in the maps.
const ROW_BYTES: usize = 700;

struct Row {
    state: Arc<State>,
    derived: Derived,
    /// The index entries of RocksDB's row, if there is one.
    stored: Derived,
    bytes: usize,
}

#[derive(Default)]
struct Generation {
    rows: HashMap<PhononUuid, Row>,
    bytes: usize,
}

impl Generation {
    fn remove(&mut self, uuid: &PhononUuid) -> Option<Row> {
        let row = self.rows.remove(uuid);
        self.bytes -= row.as_ref().map_or(0, |row| row.bytes);
        row
    }

    fn insert(&mut self, uuid: PhononUuid, row: Row) {
        self.bytes += row.bytes;
        self.rows.insert(uuid, row);
    }
}

/// A partition with its committed rows. Only the engine writes to it.
pub struct WriteBack<F: Family = Rocks> {
    partition: Partition<F>,
    young: Generation,
    old: Generation,
    due: HashMap<WebhookName, BTreeMap<DueKey, PhononUuid>>,
    timers: BTreeSet<TimerKey>,
    /// When the flows in memory that wait for reports were accepted.
    awaiting: Times<1000>,
    /// No flow in RocksDB that waits for reports was accepted earlier.
    stored_awaiting_from: Timestamp,
    /// The number of due entries in RocksDB, by lane. Without any, a lane is not looked up there.
    stored_due: BTreeMap<(WebhookName, Class), u64>,
    /// The states of all endpoints: they are few.
    endpoints: BTreeMap<WebhookName, EndpointState>,
    /// Endpoints whose state RocksDB does not have yet.
    endpoints_changed: BTreeSet<WebhookName>,
    /// The checkpoint of everything that is committed.
    latest: Checkpoint,
    meta: Vec<u8>,
    /// The checkpoint at which the old generation was closed, until it is written.
    mark: Option<Checkpoint>,
    /// The checkpoint in RocksDB.
    stored: Checkpoint,
    /// The time of the first commit of the young generation.
    young_since: Option<Timestamp>,
    /// The bytes that were put since the last write.
    added: usize,
}

impl<F: Family> WriteBack<F> {
    /// Starts with RocksDB's content: the checkpoint, the number of due entries by lane, and the endpoints.
    #[must_use]
    pub fn new(
        partition: Partition<F>,
        stored: Checkpoint,
        backlogs: &Backlogs,
        endpoints: BTreeMap<WebhookName, EndpointState>,
    ) -> Self {
        Self {
            partition,
            young: Generation::default(),
            old: Generation::default(),
            due: HashMap::new(),
            timers: BTreeSet::new(),
            awaiting: Times::default(),
            stored_awaiting_from: Timestamp::from_ms(0),
            stored_due: backlogs.iter().map(|(lane, (rows, _))| (lane.clone(), *rows)).collect(),
            endpoints,
            endpoints_changed: BTreeSet::new(),
            latest: stored,
            meta: Vec::new(),
            mark: None,
            stored,
            young_since: None,
            added: 0,
        }
    }

    /// Returns the number of the partition.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.partition.number()
    }

    /// Returns the partition without the rows in memory, for its restore, which drops them.
    #[must_use]
    pub fn partition(&self) -> &Partition<F> {
        &self.partition
    }

    /// Returns the offset behind the last row that was committed to the changelog.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.latest.next_offset
    }

    /// Returns the number of uuids in each state.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.latest.tally
    }

    /// Returns the bytes on disk and in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.partition.bytes() + (self.young.bytes + self.old.bytes) as u64
    }

    fn buffered(&self, uuid: &PhononUuid) -> Option<&Row> {
        self.young.rows.get(uuid).or_else(|| self.old.rows.get(uuid))
    }

    /// Returns the state of `uuid`.
    ///
    /// # Errors
    /// The disk fails, or the row can't be read.
    pub fn state(&self, uuid: &PhononUuid) -> Result<Arc<State>, StoreError> {
        if let Some(row) = self.buffered(uuid) {
            return Ok(row.state.clone());
        }
        match self.partition.row(uuid)? {
            None => Ok(Arc::default()),
            Some(bytes) => row::decode_state(&bytes).map(Arc::new).map_err(|error| {
                StoreError::unreadable(self.number(), &format!("the row of {uuid}"), &error)
            }),
        }
    }

    /// Replaces the state `old` by the committed state `new`, whose row has the size `bytes`.
    pub fn put(
        &mut self,
        uuid: &PhononUuid,
        old: &State,
        new: impl Into<Arc<State>>,
        bytes: usize,
    ) {
        let new = new.into();
        let derived = Derived::of(&new);
        let (was, stored) = match self.young.remove(uuid).or_else(|| self.old.remove(uuid)) {
            Some(row) => {
                self.unindex(uuid, &row.derived);
                (row.derived, row.stored)
            }
            None => {
                let stored = Derived::of(old);
                (stored.clone(), stored)
            }
        };
        self.latest.tally.change(&was, &derived);
        // A row that was inserted and deleted before it was written to RocksDB.
        if !derived.is_of_a_row() && !stored.is_of_a_row() {
            return;
        }
        for (webhook, key) in &derived.due {
            match self.due.get_mut(webhook) {
                Some(lane) => drop(lane.insert(*key, uuid.clone())),
                None => drop(self.due.insert(webhook.clone(), [(*key, uuid.clone())].into())),
            }
        }
        if let Some(due) = derived.timer {
            self.timers.insert(TimerKey { due, uuid: uuid.clone() });
        }
        if let Some(since) = derived.awaiting {
            self.awaiting.add(since);
        }
        let bytes = bytes + ROW_BYTES;
        self.added += bytes;
        self.young.insert(uuid.clone(), Row { state: new, derived, stored, bytes });
    }

    fn unindex(&mut self, uuid: &PhononUuid, derived: &Derived) {
        for (webhook, key) in &derived.due {
            if let Some(lane) = self.due.get_mut(webhook) {
                lane.remove(key);
            }
        }
        if let Some(due) = derived.timer {
            self.timers.remove(&TimerKey { due, uuid: uuid.clone() });
        }
        if let Some(since) = derived.awaiting {
            self.awaiting.remove(since);
        }
    }

    /// Returns the state of an endpoint.
    #[must_use]
    pub fn endpoint(&self, webhook: &WebhookName) -> EndpointState {
        self.endpoints.get(webhook).copied().unwrap_or_default()
    }

    /// Returns the states of all endpoints.
    #[must_use]
    pub fn endpoints(&self) -> &BTreeMap<WebhookName, EndpointState> {
        &self.endpoints
    }

    /// Puts the committed state of an endpoint.
    pub fn put_endpoint(&mut self, webhook: &WebhookName, endpoint: EndpointState) {
        if endpoint == EndpointState::default() {
            self.endpoints.remove(webhook);
        } else {
            self.endpoints.insert(webhook.clone(), endpoint);
        }
        self.endpoints_changed.insert(webhook.clone());
    }

    /// Marks everything that was put since the last call as committed, with the partition's meta row. If rows were
    /// written, `next_offset` is the offset after them in the changelog.
    pub fn committed(&mut self, next_offset: Option<i64>, meta: &[u8], now: Timestamp) {
        self.latest.next_offset = next_offset.unwrap_or(self.latest.next_offset);
        self.latest.at = now;
        self.meta.clear();
        self.meta.extend_from_slice(meta);
        self.young_since.get_or_insert(now);
    }

    /// Writes a part of the old generation. `share` is the memory for one generation, in bytes. It must not be called
    /// within a commit.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write_some(&mut self, share: usize, now: Timestamp) -> Result<(), StoreError> {
        let full = self.young.bytes >= share;
        let step = std::mem::take(&mut self.added) * PACE + STEP_BYTES;
        self.write_old(if full { usize::MAX } else { step })?;
        let aged = self.young_since.is_some_and(|since| now.ms_since(since) >= GENERATION_AGE_MS);
        if self.mark.is_none() && (full || aged) {
            self.age();
        }
        Ok(())
    }

    /// Writes everything.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write_all(&mut self) -> Result<(), StoreError> {
        self.write_old(usize::MAX)?;
        self.age();
        self.write_old(usize::MAX)
    }

    fn age(&mut self) {
        if self.young_since.take().is_some() {
            self.old = std::mem::take(&mut self.young);
            self.mark = Some(self.latest);
        }
    }

    /// Writes at most about `budget` bytes of the old generation. Each write includes the tally of the rows that are
    /// then stored, independently of the checkpoint's offset.
    fn write_old(&mut self, budget: usize) -> Result<(), StoreError> {
        let Some(mark) = self.mark else { return Ok(()) };
        let mut left = budget;
        let some = self.old.rows.extract_if(|_, row| {
            let more = left > 0;
            left = left.saturating_sub(row.bytes);
            more
        });
        // In the order of the keys, each write is next to the one before it.
        let mut some: Vec<(PhononUuid, Row)> = some.collect();
        some.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut batch = self.partition.batch(self.old.bytes.min(budget));
        let mut encoded = Vec::new();
        for (uuid, row) in some {
            encoded.clear();
            if row.derived.is_of_a_row() {
                row::encode_state(&row.state, &mut encoded);
            }
            batch.put(&self.partition, &uuid, &row.stored, &row.derived, &encoded);
            self.unindex(&uuid, &row.derived);
            self.old.bytes -= row.bytes;
            self.stored.tally.change(&row.stored, &row.derived);
            if let Some(since) = row.derived.awaiting {
                self.stored_awaiting_from = self.stored_awaiting_from.min(since);
            }
            for (webhook, key) in &row.stored.due {
                let count = self.stored_due.entry((webhook.clone(), key.class)).or_default();
                *count = count.saturating_sub(1);
            }
            for (webhook, key) in &row.derived.due {
                *self.stored_due.entry((webhook.clone(), key.class)).or_default() += 1;
            }
        }
        if self.old.rows.is_empty() {
            self.stored = Checkpoint { tally: self.stored.tally, ..mark };
            self.mark = None;
            batch.put_meta(&self.partition, &self.meta);
            for webhook in std::mem::take(&mut self.endpoints_changed) {
                encoded.clear();
                if let Some(endpoint) = self.endpoints.get(&webhook) {
                    row::encode_endpoint(endpoint, &mut encoded);
                }
                batch.put_endpoint(&self.partition, &webhook, &encoded);
            }
        }
        batch.put_checkpoint(&self.partition, self.stored);
        self.partition.commit(&mut batch)?;
        failpoint::pass(Failpoint::Stored);
        Ok(())
    }

    /// Returns when the oldest flow was accepted that waits for reports, rounded up to the end of its second if it is
    /// in memory.
    ///
    /// # Errors
    /// The disk fails.
    pub fn awaits_reports_since(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let here = self.awaiting.oldest();
        if self.stored.tally.awaiting_reports == 0 {
            return Ok(here);
        }
        let (mut from, mut first) = (self.stored_awaiting_from, None);
        for flow in self.partition.awaiting(from) {
            let flow = flow?;
            from = flow.since;
            // A flow that has changed is in memory, and is stored again later.
            if self.buffered(&flow.uuid).is_none() {
                first = Some(flow.since);
                break;
            }
        }
        self.stored_awaiting_from = from;
        Ok(here.into_iter().chain(first).min())
    }

    /// Returns the timers due from `from` to `until`, the earliest first, at most `limit`.
    ///
    /// # Errors
    /// The disk fails.
    pub fn timers(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<TimerKey>, StoreError> {
        let stored = self.partition.timers(from, until);
        let stored = stored
            .filter(|timer| timer.as_ref().map_or(true, |t| self.buffered(&t.uuid).is_none()));
        let here = self.timers.iter().skip_while(|timer| timer.due < from);
        merge(stored, here.take_while(|timer| timer.due <= until).cloned(), limit)
    }

    /// Returns at most `limit` due keys of a webhook's class from `from` on, the earliest first, with the uuids of
    /// their deliveries.
    ///
    /// # Errors
    /// The disk fails.
    pub fn due(
        &self,
        webhook: &WebhookName,
        from: DueKey,
        limit: usize,
    ) -> Result<Vec<(DueKey, PhononUuid)>, StoreError> {
        let here = self.due.get(webhook).map(|lane| lane.range(from..=DueKey::last(from.class)));
        let here = here.into_iter().flatten().map(|(key, uuid)| (*key, uuid.clone()));
        if self.stored_due.get(&(webhook.clone(), from.class)).is_none_or(|rows| *rows == 0) {
            return Ok(here.take(limit).collect());
        }
        let stored = self.partition.due(webhook, from);
        let stored =
            stored.filter(|entry| entry.as_ref().map_or(true, |e| self.buffered(&e.1).is_none()));
        merge(stored, here, limit)
    }
}

/// Returns the first `limit` items of two sorted sequences.
fn merge<T: Ord>(
    stored: impl Iterator<Item = Result<T, StoreError>>,
    here: impl Iterator<Item = T>,
    limit: usize,
) -> Result<Vec<T>, StoreError> {
    let mut here = here.peekable();
    let mut merged = Vec::new();
    for item in stored {
        let item = item?;
        while merged.len() < limit
            && let Some(earlier) = here.next_if(|other| *other < item)
        {
            merged.push(earlier);
        }
        if merged.len() >= limit {
            return Ok(merged);
        }
        merged.push(item);
    }
    let left = limit - merged.len();
    merged.extend(here.take(left));
    Ok(merged)
}

#[cfg(test)]
mod tests;
