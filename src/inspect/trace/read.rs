//! Reads everything that Kafka holds about one phonon-uuid.

use super::{Fact, Origin, Row, Trace};
use crate::codec::row::{self, Meta, TopicId};
use crate::domain::{PhononUuid, WebhookName, owner};
use crate::inspect::InspectError;
use crate::log::{
    Cluster, KafkaSettings, LandmarkReader, ScanFrom, ScanRecord, Scanner, TopicNames,
    TopicPartition, Watch,
};
use crate::store::RowKey;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Like [`read`]. If nothing is known about `uuid`, also looks for its other spelling, because an earlier version kept
/// each spelling apart.
///
/// # Errors
/// As [`read`].
pub fn read_either(
    kafka: &KafkaSettings,
    topics: &TopicNames,
    uuid: &PhononUuid,
    everywhere: bool,
    watch: Watch<'_>,
) -> Result<Trace, InspectError> {
    let traced = read(kafka, topics, uuid, everywhere, &mut *watch)?;
    let former = uuid.other_spelling().filter(|_| traced.is_empty());
    let former = former.and_then(|text| PhononUuid::new(text));
    former.map_or(Ok(traced), |uuid| read(kafka, topics, &uuid, everywhere, watch))
}

/// Reads the partitions that can hold `uuid`, or all partitions of events and dead letters if `everywhere`. Blocks.
///
/// # Errors
/// Kafka or the row of the uuid can't be read, or the watch stops the reading.
pub fn read(
    kafka: &KafkaSettings,
    topics: &TopicNames,
    uuid: &PhononUuid,
    everywhere: bool,
    watch: Watch<'_>,
) -> Result<Trace, InspectError> {
    let (scanner, trace) = (Scanner::new(kafka)?, Trace::default());
    let mut reader = Reader { scanner, uuid, everywhere, watch, trace };
    let mut meta = reader.changelog(&topics.changelog)?;
    // The positions of a topic that was deleted and created again are dropped: none of its records was read yet.
    let identity = Cluster::new(kafka)?.identity(&topics.identified(), TIMEOUT)?;
    let landmarks = LandmarkReader::new(kafka);
    let mut offsets = Vec::new();
    for input in std::mem::take(&mut meta.offsets) {
        let place = TopicPartition { topic: input.topic.clone(), partition: input.partition };
        let landmark = input.landmark.filter(|_| identity.is_without_id(&input.topic));
        let found = landmark.map(|landmark| landmarks.find_one(&place, landmark)).transpose()?;
        let is_other = found.is_some_and(|found| found.is_other(*input.topic == *topics.inbox))
            || TopicId::differ(input.topic_id.as_ref(), identity.topic(&input.topic));
        if !is_other {
            offsets.push(input);
        }
    }
    meta.offsets = offsets;
    reader.facts(&topics.events, Origin::Event)?;
    reader.facts(&topics.dead_letter, Origin::DeadLetter)?;
    reader.inbox(&topics.inbox, &meta)?;
    for (name, kind) in topics.sources() {
        reader.waiting(name, Origin::Source(kind), &meta)?;
    }
    let mut trace = reader.trace;
    // The sort is stable: facts with the same time stay in the order of their log.
    trace.facts.sort_by(|a, b| a.at.cmp(&b.at));
    Ok(trace)
}

struct Reader<'a> {
    scanner: Scanner,
    uuid: &'a PhononUuid,
    everywhere: bool,
    watch: Watch<'a>,
    trace: Trace,
}

impl Reader<'_> {
    /// Finds the row. Returns the positions up to which the inputs of its partition were processed.
    fn changelog(&mut self, topic: &str) -> Result<Meta, InspectError> {
        let mut key = Vec::new();
        RowKey::write_state(self.uuid, &mut key);
        let (mut meta, mut found, mut endpoints) = (None, None, BTreeMap::new());
        self.scan(
            topic,
            false,
            |_| ScanFrom::Beginning,
            |record| {
                // A record without value is a tombstone: the row was deleted.
                let value = record.value().filter(|value| !value.is_empty());
                let row = value.map(|value| {
                    (record.partition(), record.offset(), Bytes::copy_from_slice(value))
                });
                if record.key() == Some(&key) {
                    found = row;
                    return;
                }
                match (record.key().and_then(RowKey::parse), row) {
                    (Some(RowKey::Meta), row) => meta = row,
                    (Some(RowKey::Endpoint(webhook)), Some(row)) => {
                        endpoints.insert(webhook, row);
                    }
                    (Some(RowKey::Endpoint(webhook)), None) => {
                        endpoints.remove(&webhook);
                    }
                    (Some(RowKey::State(_)) | None, _) => {}
                }
            },
        )?;
        if let Some((partition, offset, value)) = found {
            let unreadable = |error| InspectError::Row(partition, offset, error);
            let state = row::decode_state(&value).map_err(unreadable)?;
            let awaited = |name: &WebhookName| state.deliveries.iter().any(|d| d.webhook == *name);
            for (webhook, (partition, offset, value)) in endpoints {
                if awaited(&webhook) {
                    let unreadable = |error| InspectError::Row(partition, offset, error);
                    let endpoint = row::decode_endpoint(&value).map_err(unreadable)?;
                    self.trace.endpoints.insert(webhook, endpoint);
                }
            }
            self.trace.row = Some(Row { partition, offset, state });
        }
        let Some((partition, offset, value)) = meta else { return Ok(Meta::default()) };
        row::decode_meta(&value).map_err(|error| InspectError::Row(partition, offset, error))
    }

    /// Reads every record of the uuid in a topic of facts.
    fn facts(&mut self, topic: &str, origin: Origin) -> Result<(), InspectError> {
        let mut facts = Vec::new();
        let key = self.uuid.as_str().as_bytes();
        self.scan(
            topic,
            self.everywhere,
            |_| ScanFrom::Beginning,
            |record| {
                if record.key() == Some(key) {
                    facts.push(Fact::new(origin, record, false));
                }
            },
        )?;
        self.trace.facts.append(&mut facts);
        Ok(())
    }

    /// Reads forwarded records and commands, and marks those that were not processed yet.
    fn inbox(&mut self, topic: &str, meta: &Meta) -> Result<(), InspectError> {
        let mut facts = Vec::new();
        let key = self.uuid.as_str().as_bytes();
        self.scan(
            topic,
            false,
            |_| ScanFrom::Beginning,
            |record| {
                if record.key() == Some(key) {
                    let waits = record.offset() >= taken(meta, topic, record.partition());
                    facts.push(Fact::new(Origin::Inbox, record, waits));
                }
            },
        )?;
        self.trace.facts.append(&mut facts);
        Ok(())
    }

    /// Reads the records of an input that were not processed yet. Events report the records that were.
    fn waiting(&mut self, topic: &str, origin: Origin, meta: &Meta) -> Result<(), InspectError> {
        let mut facts = Vec::new();
        let key = self.uuid.as_str().as_bytes();
        let from = |partition| ScanFrom::Offset(taken(meta, topic, partition));
        self.scan(topic, false, from, |record| {
            if record.key() == Some(key) {
                facts.push(Fact::new(origin, record, true));
            }
        })?;
        self.trace.facts.append(&mut facts);
        Ok(())
    }

    /// Passes the records of the uuid's partition to `take`, or of all partitions if `everywhere`. The partition is the
    /// one that Kafka's default partitioner selects.
    fn scan(
        &mut self,
        topic: &str,
        everywhere: bool,
        from: impl Fn(i32) -> ScanFrom,
        mut take: impl FnMut(&ScanRecord<'_>),
    ) -> Result<(), InspectError> {
        let Some(count) = self.scanner.partitions(topic)? else {
            self.trace.missing.push(topic.to_owned());
            return Ok(());
        };
        let own = owner(self.uuid.as_str().as_bytes(), count);
        let partitions = if everywhere { 0..count.cast_signed() } else { own..own + 1 };
        let wants: Vec<(i32, ScanFrom)> =
            partitions.map(|partition| (partition, from(partition))).collect();
        let ranges = self.scanner.ranges(topic, &wants)?;
        let flow = self.scanner.scan(topic, &ranges, &mut *self.watch, &mut |record| {
            take(record);
            ControlFlow::Continue(())
        })?;
        if flow.is_break() { Err(InspectError::Interrupted) } else { Ok(()) }
    }
}

/// Returns the first offset that was not processed.
fn taken(meta: &Meta, topic: &str, partition: i32) -> i64 {
    let mut offsets = meta.offsets.iter();
    let of = offsets.find(|input| *input.topic == *topic && input.partition == partition);
    of.map_or(0, |input| input.next_offset)
}
