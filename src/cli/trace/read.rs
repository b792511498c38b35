//! Reading what Kafka holds of one phonon-uuid.

use super::fact::{Fact, Origin};
use crate::cli::terminal::progress;
use crate::codec::row::{self, Meta, RowError, TopicId};
use crate::config::Settings;
use crate::domain::{EndpointState, PhononUuid, State, WebhookName, owner};
use crate::log::{
    Cluster, LandmarkReader, LogError, ScanFrom, ScanRecord, Scanned, Scanner, TopicPartition,
};
use crate::store::RowKey;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Everything of one phonon-uuid.
#[derive(Default)]
pub(super) struct Traced {
    /// Oldest first.
    pub(super) facts: Vec<Fact>,
    /// The latest row of the changelog, if it is a live one.
    pub(super) row: Option<Row>,
    /// What the partition remembers of the endpoints that deliveries wait for.
    pub(super) endpoints: BTreeMap<WebhookName, EndpointState>,
    /// Topics that do not exist.
    pub(super) missing: Vec<String>,
}

/// A row of the changelog.
pub(super) struct Row {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) state: State,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum TraceError {
    /// Kafka.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A newer version wrote it, or it is damaged.
    #[error("partition {0} of the changelog, offset {1}: the row can't be read by this version")]
    Row(i32, i64, #[source] RowError),
}

/// Reads the partitions that can hold `uuid`; every one of events and dead letters if `everywhere`. Blocks.
pub(super) fn read(
    settings: &Settings,
    uuid: &PhononUuid,
    everywhere: bool,
) -> Result<Traced, TraceError> {
    let mut reader = Reader {
        scanner: Scanner::new(&settings.kafka)?,
        uuid,
        everywhere,
        traced: Traced::default(),
    };
    let topics = &settings.topics;
    let mut meta = reader.changelog(&topics.changelog)?;
    // Nothing was read yet of a topic that was deleted and created again.
    let identity = Cluster::new(&settings.kafka)?.identity(&topics.identified(), TIMEOUT)?;
    let landmarks = LandmarkReader::new(&settings.kafka);
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
    let mut traced = reader.traced;
    // Stable: facts of one moment stay in the order of their log.
    traced.facts.sort_by(|a, b| a.at.cmp(&b.at));
    Ok(traced)
}

struct Reader<'a> {
    scanner: Scanner,
    uuid: &'a PhononUuid,
    everywhere: bool,
    traced: Traced,
}

impl Reader<'_> {
    /// Finds the row, and returns how far the inputs of its partition were taken into account.
    fn changelog(&mut self, topic: &str) -> Result<Meta, TraceError> {
        let mut key = Vec::new();
        RowKey::write_state(self.uuid, &mut key);
        let (mut meta, mut found, mut endpoints) = (None, None, BTreeMap::new());
        self.scan(
            topic,
            false,
            |_| ScanFrom::Beginning,
            |record| {
                // A row without value is gone.
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
            let unreadable = |error| TraceError::Row(partition, offset, error);
            let state = row::decode_state(&value).map_err(unreadable)?;
            let awaited = |name: &WebhookName| state.deliveries.iter().any(|d| d.webhook == *name);
            for (webhook, (partition, offset, value)) in endpoints {
                if awaited(&webhook) {
                    let unreadable = |error| TraceError::Row(partition, offset, error);
                    let endpoint = row::decode_endpoint(&value).map_err(unreadable)?;
                    self.traced.endpoints.insert(webhook, endpoint);
                }
            }
            self.traced.row = Some(Row { partition, offset, state });
        }
        let Some((partition, offset, value)) = meta else { return Ok(Meta::default()) };
        row::decode_meta(&value).map_err(|error| TraceError::Row(partition, offset, error))
    }

    /// Every record of the uuid in a topic of facts.
    fn facts(&mut self, topic: &str, origin: Origin) -> Result<(), LogError> {
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
        self.traced.facts.append(&mut facts);
        Ok(())
    }

    /// What was forwarded or commanded, and whether it still waits.
    fn inbox(&mut self, topic: &str, meta: &Meta) -> Result<(), LogError> {
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
        self.traced.facts.append(&mut facts);
        Ok(())
    }

    /// Records of an input that nobody has read yet; what was read is told by its events.
    fn waiting(&mut self, topic: &str, origin: Origin, meta: &Meta) -> Result<(), LogError> {
        let mut facts = Vec::new();
        let key = self.uuid.as_str().as_bytes();
        let from = |partition| ScanFrom::Offset(taken(meta, topic, partition));
        self.scan(topic, false, from, |record| {
            if record.key() == Some(key) {
                facts.push(Fact::new(origin, record, true));
            }
        })?;
        self.traced.facts.append(&mut facts);
        Ok(())
    }

    /// Hands the records of the partition that Kafka's default partitioner gives the uuid to `take`, or of all.
    fn scan(
        &mut self,
        topic: &str,
        everywhere: bool,
        from: impl Fn(i32) -> ScanFrom,
        mut take: impl FnMut(&ScanRecord<'_>),
    ) -> Result<(), LogError> {
        let Some(count) = self.scanner.partitions(topic)? else {
            self.traced.missing.push(topic.to_owned());
            return Ok(());
        };
        let own = owner(self.uuid.as_str().as_bytes(), count);
        let partitions = if everywhere { 0..count } else { own..own + 1 };
        let wants: Vec<(i32, ScanFrom)> = partitions
            .filter_map(|partition| i32::try_from(partition).ok())
            .map(|partition| (partition, from(partition)))
            .collect();
        let ranges = self.scanner.ranges(topic, &wants)?;
        let bar = progress(topic);
        let _whole = self.scanner.read(topic, &ranges, &mut |scanned| {
            match scanned {
                Scanned::Record(record) => take(record),
                Scanned::Progress { done, all } => {
                    bar.set_length(all);
                    bar.set_position(done);
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

/// The first offset that was not taken into account.
fn taken(meta: &Meta, topic: &str, partition: i32) -> i64 {
    let mut offsets = meta.offsets.iter();
    let of = offsets.find(|input| *input.topic == *topic && input.partition == partition);
    of.map_or(0, |input| input.next_offset)
}
