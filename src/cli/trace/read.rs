//! Reading what Kafka holds of one phonon-uuid.

use super::fact::{Fact, Origin};
use crate::codec::row::{self, Meta, RowError};
use crate::config::Settings;
use crate::domain::{PhononUuid, RecordKind, State, owner};
use crate::log::{LogError, ScanFrom, ScanRecord, Scanned, Scanner};
use crate::store::RowKey;
use bytes::Bytes;
use std::ops::ControlFlow;

/// Everything of one phonon-uuid.
#[derive(Default)]
pub(super) struct Traced {
    /// Oldest first.
    pub(super) facts: Vec<Fact>,
    /// The latest row of the changelog, if it is a live one.
    pub(super) row: Option<Row>,
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
    let meta = reader.changelog(&topics.changelog)?;
    reader.facts(&topics.events, Origin::Event)?;
    reader.facts(&topics.dead_letter, Origin::DeadLetter)?;
    reader.inbox(&topics.inbox, &meta)?;
    let sources =
        [(&topics.flow_complete, RecordKind::Flow), (&topics.delivery_report, RecordKind::Report)];
    for (names, kind) in sources {
        for name in names {
            reader.waiting(name, Origin::Source(kind), &meta)?;
        }
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
        let (mut meta, mut found) = (None, None);
        self.scan(
            topic,
            false,
            |_| ScanFrom::Beginning,
            |record| {
                if record.key() == Some(RowKey::META) {
                    meta = record.value().map(Bytes::copy_from_slice);
                } else if record.key() == Some(&key) {
                    // A row without value is gone.
                    found = record.value().filter(|value| !value.is_empty()).map(|value| {
                        (record.partition(), record.offset(), Bytes::copy_from_slice(value))
                    });
                }
            },
        )?;
        if let Some((partition, offset, value)) = found {
            let state = row::decode_state(&value)
                .map_err(|error| TraceError::Row(partition, offset, error))?;
            self.traced.row = Some(Row { partition, offset, state });
        }
        Ok(meta.and_then(|meta| row::decode_meta(&meta).ok()).unwrap_or_default())
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
        let _whole = self.scanner.read(topic, &ranges, &mut |scanned| {
            match scanned {
                Scanned::Record(record) => take(record),
                Scanned::Progress { .. } => {}
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

/// The first offset that was not taken into account.
fn taken(meta: &Meta, topic: &str, partition: i32) -> i64 {
    let mut offsets = meta.offsets.iter();
    let of = offsets.find(|(name, number, _)| name == topic && *number == partition);
    of.map_or(0, |(_, _, offset)| *offset)
}
