//! A Kafka in memory: logs, transactions with their markers, and compaction.

use crate::codec::row::{Landmark, TopicId};
use crate::domain::Timestamp;
use crate::log::{Found, GroupOffset, Identity, TopicPartition};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One record, or a transaction's marker.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) offset: i64,
    /// The transaction that it belongs to.
    pub(super) transaction: Option<usize>,
    pub(super) is_marker: bool,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<(String, String)>,
    /// The wall clock of its writer.
    pub(super) at_ms: i64,
}

/// The state of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Committed,
    Aborted,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    pub(super) entries: Vec<Entry>,
    pub(super) start: i64,
    pub(super) end: i64,
    /// Whether members of the group read it.
    pub(super) is_input: bool,
}

/// The open transaction of a producer.
#[derive(Clone, Debug)]
struct Open {
    transaction: usize,
    since_ms: u64,
    touched: BTreeSet<TopicPartition>,
    offsets: BTreeMap<TopicPartition, GroupOffset>,
}

#[derive(Clone, Debug, Default)]
struct Producer {
    epoch: u64,
    open: Option<Open>,
}

/// The error of a producer that was superseded or timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fenced;

/// All brokers of the cluster.
#[derive(Default)]
pub(super) struct Broker {
    pub(super) partitions: BTreeMap<TopicPartition, Partition>,
    fates: Vec<Fate>,
    producers: BTreeMap<String, Producer>,
    /// The group's committed offsets.
    pub(super) offsets: BTreeMap<TopicPartition, GroupOffset>,
    /// How many times each topic was created.
    pub(super) creations: BTreeMap<Arc<str>, u64>,
    /// Whether topics have no ids.
    lacks_ids: bool,
    /// The number of changes that a member of the group can see.
    pub(super) changes: u64,
}

/// `transaction.timeout.ms`
pub(super) const TRANSACTION_TIMEOUT_MS: u64 = 10_000;

impl Broker {
    pub(super) fn with_ids(has_ids: bool) -> Self {
        Self { lacks_ids: !has_ids, ..Self::default() }
    }

    pub(super) fn create(&mut self, topic: &str, partitions: u32) {
        *self.creations.entry(topic.into()).or_default() += 1;
        for partition in 0..partitions.cast_signed() {
            self.partitions.entry(TopicPartition { topic: topic.into(), partition }).or_default();
        }
    }

    /// Deletes a topic and creates it again.
    pub(super) fn recreate(&mut self, topic: &str) {
        *self.creations.entry(topic.into()).or_default() += 1;
        self.changes += 1;
        for (_, log) in self.partitions.iter_mut().filter(|(place, _)| *place.topic == *topic) {
            log.entries.clear();
            (log.start, log.end) = (0, 0);
        }
    }

    /// Returns the ids of the cluster and the topics.
    pub(super) fn identity(&self) -> Identity {
        let id = |(topic, created): (&Arc<str>, &u64)| {
            let id = TopicId::from(format!("{topic}-{created}").as_str());
            (topic.clone(), Some(id).filter(|_| !self.lacks_ids))
        };
        Identity {
            cluster: Some("simulated".into()),
            topics: self.creations.iter().map(id).collect(),
        }
    }

    /// Compares the record at a landmark's offset with the landmark.
    pub(super) fn found(&self, place: &TopicPartition, landmark: Landmark) -> Found {
        let partition = &self.partitions[place];
        if landmark.offset >= partition.end {
            return Found::Other;
        }
        let mut entries = partition.entries.iter();
        let entry = entries.find(|entry| entry.offset == landmark.offset && !entry.is_marker);
        let Some(entry) = entry else { return Found::Nothing };
        let at = Timestamp::from_ms(entry.at_ms);
        let (key, value) = (entry.key.as_deref(), entry.value.as_deref());
        let there =
            Landmark::of(entry.offset, at, key.unwrap_or_default(), value.unwrap_or_default());
        if there == landmark { Found::Same } else { Found::Other }
    }

    fn fate(&self, entry: &Entry) -> Fate {
        entry.transaction.map_or(Fate::Committed, |transaction| self.fates[transaction])
    }

    fn append(&mut self, place: &TopicPartition, mut entry: Entry) -> i64 {
        let partition = self.partitions.get_mut(place).expect("the partition exists");
        self.changes += u64::from(partition.is_input);
        entry.offset = partition.end;
        partition.end += 1;
        let offset = entry.offset;
        partition.entries.push(entry);
        offset
    }

    /// Writes a record outside of any transaction.
    pub(super) fn produce(&mut self, place: &TopicPartition, entry: Entry) -> i64 {
        self.append(place, entry)
    }

    /// Initialises the producer with this id. Aborts the open transaction of an earlier one.
    pub(super) fn initialise(&mut self, id: &str, now_ms: i64) -> u64 {
        self.end_transaction(id, Fate::Aborted, now_ms);
        let producer = self.producers.entry(id.to_owned()).or_default();
        producer.epoch += 1;
        producer.epoch
    }

    fn producer(&mut self, id: &str, epoch: u64) -> Result<&mut Producer, Fenced> {
        self.producers.get_mut(id).filter(|producer| producer.epoch == epoch).ok_or(Fenced)
    }

    /// Writes a record in the producer's transaction. Begins a transaction if there is none.
    pub(super) fn send(
        &mut self,
        (id, epoch): (&str, u64),
        place: &TopicPartition,
        mut entry: Entry,
        passed_ms: u64,
    ) -> Result<i64, Fenced> {
        let transaction = self.touch((id, epoch), passed_ms, |open| {
            open.touched.insert(place.clone());
        })?;
        entry.transaction = Some(transaction);
        Ok(self.append(place, entry))
    }

    /// Adds offsets to the producer's transaction.
    pub(super) fn add_offsets(
        &mut self,
        producer: (&str, u64),
        offsets: &BTreeMap<TopicPartition, GroupOffset>,
        passed_ms: u64,
    ) -> Result<(), Fenced> {
        self.touch(producer, passed_ms, |open| open.offsets.extend(offsets.clone())).map(|_| ())
    }

    fn touch(
        &mut self,
        (id, epoch): (&str, u64),
        passed_ms: u64,
        touch: impl FnOnce(&mut Open),
    ) -> Result<usize, Fenced> {
        let next = self.fates.len();
        let producer = self.producer(id, epoch)?;
        let is_new = producer.open.is_none();
        let open = producer.open.get_or_insert_with(|| Open {
            transaction: next,
            since_ms: passed_ms,
            touched: BTreeSet::new(),
            offsets: BTreeMap::new(),
        });
        touch(open);
        let transaction = open.transaction;
        if is_new {
            self.fates.push(Fate::Open);
        }
        Ok(transaction)
    }

    pub(super) fn commit(&mut self, id: &str, epoch: u64, now_ms: i64) -> Result<(), Fenced> {
        self.producer(id, epoch)?;
        self.end_transaction(id, Fate::Committed, now_ms);
        Ok(())
    }

    pub(super) fn abort(&mut self, id: &str, epoch: u64, now_ms: i64) -> Result<(), Fenced> {
        self.producer(id, epoch)?;
        self.end_transaction(id, Fate::Aborted, now_ms);
        Ok(())
    }

    fn end_transaction(&mut self, id: &str, fate: Fate, at_ms: i64) {
        let open = self.producers.get_mut(id).and_then(|producer| producer.open.take());
        let Some(Open { transaction, touched, offsets, .. }) = open else { return };
        self.fates[transaction] = fate;
        // Offsets that depended on the transaction are known now.
        self.changes += u64::from(!offsets.is_empty());
        for place in touched {
            let marker = Entry {
                offset: 0,
                transaction: Some(transaction),
                is_marker: true,
                key: None,
                value: None,
                headers: Vec::new(),
                at_ms,
            };
            self.append(&place, marker);
        }
        if fate == Fate::Committed {
            self.offsets.extend(offsets);
        }
    }

    /// Aborts all open transactions.
    pub(super) fn abort_all(&mut self, now_ms: i64) {
        for id in self.producers.keys().cloned().collect::<Vec<_>>() {
            self.end_transaction(&id, Fate::Aborted, now_ms);
        }
    }

    /// Aborts the transactions that have timed out, and fences their producers.
    pub(super) fn time_out(&mut self, passed_ms: u64, now_ms: i64) {
        if self.next_time_out().is_none_or(|at| at > passed_ms) {
            return;
        }
        let late = self.producers.iter().filter(|(_, producer)| {
            producer
                .open
                .as_ref()
                .is_some_and(|open| open.since_ms + TRANSACTION_TIMEOUT_MS <= passed_ms)
        });
        let late: Vec<String> = late.map(|(id, _)| id.clone()).collect();
        for id in &late {
            self.initialise(id, now_ms);
        }
    }

    /// Returns when the next open transaction times out.
    pub(super) fn next_time_out(&self) -> Option<u64> {
        let open = self.producers.values().filter_map(|producer| producer.open.as_ref());
        open.map(|open| open.since_ms + TRANSACTION_TIMEOUT_MS).min()
    }

    /// Returns whether an open transaction may still change offsets of these partitions.
    pub(super) fn has_pending_offsets(&self, places: &[TopicPartition]) -> bool {
        let open = self.producers.values().filter_map(|producer| producer.open.as_ref());
        open.into_iter().any(|open| places.iter().any(|place| open.offsets.contains_key(place)))
    }

    /// Returns the last stable offset: all transactions below it have ended.
    pub(super) fn stable_end(&self, place: &TopicPartition) -> i64 {
        let partition = &self.partitions[place];
        if self.producers.values().all(|producer| producer.open.is_none()) {
            return partition.end;
        }
        let open = partition.entries.iter().find(|entry| self.fate(entry) == Fate::Open);
        open.map_or(partition.end, |entry| entry.offset)
    }

    /// Returns at most `limit` committed records from `from` on, and the offset to continue from.
    pub(super) fn read(
        &self,
        place: &TopicPartition,
        from: i64,
        limit: usize,
    ) -> (Vec<&Entry>, i64) {
        let partition = &self.partitions[place];
        if from >= partition.end {
            return (Vec::new(), from);
        }
        let stable = self.stable_end(place);
        let first = partition.entries.partition_point(|entry| entry.offset < from);
        let mut found = Vec::new();
        for entry in &partition.entries[first..] {
            if entry.offset >= stable {
                break;
            }
            if entry.is_marker || self.fate(entry) != Fate::Committed {
                continue;
            }
            if found.len() == limit {
                return (found, entry.offset);
            }
            found.push(entry);
        }
        (found, stable.max(from))
    }

    /// Returns all committed records of a partition.
    pub(super) fn committed(&self, place: &TopicPartition) -> impl Iterator<Item = &Entry> {
        self.read(place, 0, usize::MAX).0.into_iter()
    }

    /// Compacts a partition up to its last stable offset, except for the last `kept` entries. Removes tombstones older
    /// than `tombstones_before_ms`, too.
    pub(super) fn compact(
        &mut self,
        place: &TopicPartition,
        kept: usize,
        tombstones_before_ms: i64,
    ) {
        let stable = self.stable_end(place);
        let old = std::mem::take(&mut self.partitions.get_mut(place).expect("it exists").entries);
        let clean_to = old.len().saturating_sub(kept);
        let is_clean = |index: usize, entry: &Entry| index < clean_to && entry.offset < stable;
        let mut latest: BTreeMap<Bytes, i64> = BTreeMap::new();
        for (index, entry) in old.iter().enumerate() {
            if is_clean(index, entry)
                && !entry.is_marker
                && self.fate(entry) == Fate::Committed
                && let Some(key) = &entry.key
            {
                latest.insert(key.clone(), entry.offset);
            }
        }
        let entries = old.into_iter().enumerate().filter_map(|(index, entry)| {
            if !is_clean(index, &entry) {
                return Some(entry);
            }
            if entry.is_marker || self.fate(&entry) == Fate::Aborted {
                return None;
            }
            let is_latest =
                entry.key.as_ref().and_then(|key| latest.get(key)) == Some(&entry.offset);
            let is_gone = entry.value.is_none() && entry.at_ms < tombstones_before_ms;
            (is_latest && !is_gone).then_some(entry)
        });
        let entries = entries.collect();
        self.partitions.get_mut(place).expect("it exists").entries = entries;
    }
}
