//! The letters where they stand.

use super::{Filter, Progress, ReplayError, Stage, Target, Watch};
use crate::codec::header;
use crate::codec::letter::{LetterHead, LetterKind, read_delivery};
use crate::domain::{Header, Timestamp};
use crate::log::{
    KafkaSettings, LogError, ScanFrom, ScanRange, ScanRecord, Scanned, Scanner, TopicNames,
};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::ControlFlow;

/// A dead letter.
pub struct Letter<'a> {
    /// Its partition and offset.
    pub place: (i32, i64),
    /// When it was given up.
    pub at: Timestamp,
    /// What its headers tell.
    pub head: LetterHead<'a>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// What was given up; `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    record: &'a ScanRecord<'a>,
}

impl<'a> Letter<'a> {
    /// The letter that `record` is, if it is one.
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

    /// All of its headers, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Option<&[u8]>)> {
        self.record.headers()
    }

    /// Those that the record had before it was given up.
    pub(super) fn foreign_headers(&self) -> Vec<Header> {
        let foreign = self.headers().filter(|(name, _)| !header::is_own(name));
        let kept = foreign.map(|(name, value)| Header {
            name: name.into(),
            value: value.map(Bytes::copy_from_slice),
        });
        kept.collect()
    }
}

/// The dead letters of one installation.
pub struct Letters {
    pub(super) kafka: KafkaSettings,
    pub(super) topics: TopicNames,
    pub(super) scanner: Scanner,
}

impl Letters {
    /// Those of this configuration; nothing is asked yet.
    ///
    /// # Errors
    /// When a property of `[kafka.client]` is wrong.
    pub fn new(kafka: &KafkaSettings, topics: &TopicNames) -> Result<Self, LogError> {
        let scanner = Scanner::new(kafka)?;
        Ok(Self { kafka: kafka.clone(), topics: topics.clone(), scanner })
    }

    /// Where letters that `filter` means can stand.
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

    /// The partitions of a topic that must be there.
    pub(super) fn partitions(&self, topic: &str) -> Result<u32, ReplayError> {
        let count = self.scanner.partitions(topic)?;
        count.ok_or_else(|| ReplayError::NoTopic(topic.to_owned()))
    }

    /// Hands the records of `ranges` to `take`, and how far it is to `watch`.
    pub(super) fn scan(
        &self,
        topic: &str,
        stage: Stage,
        ranges: &[ScanRange],
        watch: Watch<'_>,
        take: &mut dyn FnMut(&ScanRecord<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LogError> {
        self.scanner.read(topic, ranges, &mut |scanned| match scanned {
            Scanned::Record(record) => take(record),
            Scanned::Progress { done, all } => watch(Progress { stage, done, all }),
        })
    }
}
