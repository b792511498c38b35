//! The answers that are written together.

use super::answer::{self, Order};
use super::settings::MongoSettings;
use crate::codec::event::{EndedDelivery, read_ended};
use crate::domain::{AccountId, DeliveryId, Timestamp};
use crate::log::{ScanRecord, is_due};
use crate::telemetry::{SinkDocumentResult, SinkEventResult, SinkMetrics};
use mongodb::bson::RawDocumentBuf;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A record of the events' topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventRecord {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: Timestamp,
    pub(super) account: Option<AccountId>,
    pub(super) key: Option<Box<[u8]>>,
    pub(super) value: Box<[u8]>,
}

/// The answer of one delivery, and the event that it was read from.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) order: Order,
    pub(super) document: RawDocumentBuf,
    pub(super) event: EventRecord,
}

/// An answer that is written into the document of one SMS.
#[derive(Clone, Debug)]
pub(super) struct Update {
    pub(super) sms: Arc<str>,
    pub(super) delivery: DeliveryId,
    pub(super) answer: Arc<Answer>,
}

/// The answers that were read since the last write. Of several answers of one delivery, only the newest is kept.
pub(super) struct Batch {
    documents_max: usize,
    bytes_max: usize,
    /// Sorted by SMS, so that one update writes all answers into a document.
    updates: BTreeMap<(Arc<str>, DeliveryId), Arc<Answer>>,
    bytes: usize,
    /// By partition, the offset behind the last record that was read.
    positions: BTreeMap<i32, i64>,
    /// The number of records by result.
    counts: BTreeMap<SinkEventResult, u64>,
    /// The number of answers that a newer one of the same batch has replaced.
    superseded: u64,
}

impl Batch {
    pub(super) fn new(settings: &MongoSettings) -> Self {
        Self {
            documents_max: settings.batch_documents_max,
            bytes_max: settings.batch_bytes_max,
            updates: BTreeMap::new(),
            bytes: 0,
            positions: BTreeMap::new(),
            counts: BTreeMap::new(),
            superseded: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Removes everything.
    pub(super) fn clear(&mut self) {
        self.updates.clear();
        self.positions.clear();
        self.counts.clear();
        (self.bytes, self.superseded) = (0, 0);
    }

    /// Returns the offset of the next record to read, by partition.
    pub(super) fn positions(&self) -> impl Iterator<Item = (i32, i64)> {
        self.positions.iter().map(|(partition, next)| (*partition, *next))
    }

    /// Takes the updates out of the batch, sorted by SMS.
    pub(super) fn take_updates(&mut self) -> Vec<Update> {
        let updates = std::mem::take(&mut self.updates).into_iter();
        updates.map(|((sms, delivery), answer)| Update { sms, delivery, answer }).collect()
    }

    /// Counts the records and the answers that were replaced within the batch.
    pub(super) fn count(&self, metrics: &SinkMetrics) {
        for (result, count) in &self.counts {
            metrics.events(*result, *count);
        }
        metrics.documents(SinkDocumentResult::Unchanged, self.superseded);
    }

    /// Adds the answer that `record` contains, if it is the end of a delivery. Breaks when the batch is full.
    pub(super) fn add(&mut self, record: &ScanRecord<'_>) -> ControlFlow<()> {
        let (partition, offset) = (record.partition(), record.offset());
        let value = record.value().unwrap_or_default();
        let result = match read_ended(value) {
            Ok(None) => SinkEventResult::Other,
            Ok(Some(ended)) if ended.sms.is_empty() => SinkEventResult::WithoutSms,
            Ok(Some(ended)) => {
                let event = EventRecord {
                    partition,
                    offset,
                    timestamp: record.timestamp(),
                    account: ended.account,
                    key: record.key().map(Into::into),
                    value: value.into(),
                };
                self.insert(&ended, event);
                SinkEventResult::Stored
            }
            Err(error) => {
                if is_due("unreadable end of a delivery") {
                    tracing::warn!(partition, offset, %error, "an event is skipped");
                }
                SinkEventResult::Unreadable
            }
        };
        *self.counts.entry(result).or_default() += 1;
        self.positions.insert(partition, offset + 1);
        match self.is_full() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.updates.len() >= self.documents_max || self.bytes >= self.bytes_max
    }

    pub(super) fn insert(&mut self, ended: &EndedDelivery<'_>, event: EventRecord) {
        let order = Order { replays: ended.replays, at_ms: ended.at.as_ms(), offset: event.offset };
        let document = answer::document(ended, event.partition, order);
        // The event is kept for a dead letter.
        self.bytes += event.value.len();
        let bytes = document.as_bytes().len();
        let answer = Arc::new(Answer { order, document, event });
        for sms in &ended.sms {
            let former = self.updates.entry((Arc::from(&**sms), ended.about.id));
            let mut is_new = false;
            let kept = former.or_insert_with(|| {
                is_new = true;
                answer.clone()
            });
            if is_new {
                self.bytes += bytes;
                continue;
            }
            if kept.order < answer.order {
                *kept = answer.clone();
            }
            self.superseded += 1;
        }
    }
}
