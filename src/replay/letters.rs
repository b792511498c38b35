//! The dead letters in their topic.

use super::{Filter, Progress, ReplayError, Stage, Target, Watch};
use crate::codec::letter::{LetterHead, LetterKind, read_delivery};
use crate::domain::{Header, Timestamp};
use crate::log::{
    self, KafkaSettings, LogError, ScanFrom, ScanRange, ScanRecord, Scanner, TopicNames,
};
use std::borrow::Cow;
use std::ops::ControlFlow;

/// A dead letter with its place in the topic.
pub struct Letter<'a> {
    /// Its partition and offset.
    pub place: (i32, i64),
    /// When it was written.
    pub at: Timestamp,
    /// The values of its headers.
    pub head: LetterHead<'a>,
    pub key: Option<&'a [u8]>,
    /// The delivery, or the record's value. `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    record: &'a ScanRecord<'a>,
}

impl<'a> Letter<'a> {
    /// Reads the letter in `record`. Returns `None` if it is no dead letter.
    pub(super) fn of(record: &'a ScanRecord<'a>) -> Option<Self> {
        let (at, value) = (record.timestamp(), record.value());
        let mut head = LetterHead::read(|name| record.header(name), at)?;
        if head.kind == LetterKind::Delivery && head.id.is_none() {
            let source = head.source.clone();
            head.id = source
                .zip(value)
                .and_then(|(source, value)| read_delivery(value, source))
                .map(|(_, row)| row.id);
        }
        let place = (record.partition(), record.offset());
        Some(Self { place, at, head, key: record.key(), value, record })
    }

    /// Returns all headers in their order.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Option<&[u8]>)> {
        self.record.headers()
    }

    /// Returns the headers that the record had before it became a dead letter.
    pub(super) fn foreign_headers(&self) -> Vec<Header> {
        self.record.foreign_headers()
    }
}

/// Reads the dead letters of one installation.
pub struct Letters {
    pub(super) kafka: KafkaSettings,
    pub(super) topics: TopicNames,
    pub(super) scanner: Scanner,
}

impl Letters {
    /// Creates a reader of this configuration. Sends no request to Kafka.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn new(kafka: &KafkaSettings, topics: &TopicNames) -> Result<Self, LogError> {
        let scanner = Scanner::new(kafka)?;
        Ok(Self { kafka: kafka.clone(), topics: topics.clone(), scanner })
    }

    /// Returns the ranges that can hold letters that `filter` selects.
    pub(super) fn ranges(&self, filter: &Filter) -> Result<Vec<ScanRange>, ReplayError> {
        let topic = &self.topics.dead_letter;
        let count = self.partitions(topic)?;
        let from = match (&filter.target, &filter.since) {
            (Some(Target::TopicPartition(_, offset)), _) => ScanFrom::Offset(*offset),
            (_, Some(since)) => ScanFrom::Time(since.at),
            (_, None) => ScanFrom::Beginning,
        };
        let meant = |partition: &i32| match filter.target {
            Some(Target::TopicPartition(only, _)) => only == *partition,
            Some(Target::Delivery(_)) | None => true,
        };
        let count = i32::try_from(count).unwrap_or(0);
        let wants: Vec<_> = (0..count).filter(meant).map(|partition| (partition, from)).collect();
        Ok(self.scanner.ranges(topic, &wants)?)
    }

    /// Returns the number of partitions of a topic that must exist.
    pub(super) fn partitions(&self, topic: &str) -> Result<u32, ReplayError> {
        let count = self.scanner.partitions(topic)?;
        count.ok_or_else(|| ReplayError::NoTopic(topic.to_owned()))
    }

    /// Passes the records of `ranges` to `take`, and the progress to `watch`.
    pub(super) fn scan(
        &self,
        topic: &str,
        stage: Stage,
        ranges: &[ScanRange],
        watch: Watch<'_>,
        take: &mut dyn FnMut(&ScanRecord<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LogError> {
        let mut watch =
            |scan: log::Progress<'_>| watch(Progress { stage, done: scan.done, all: scan.all });
        self.scanner.scan(topic, ranges, &mut watch, take)
    }
}
