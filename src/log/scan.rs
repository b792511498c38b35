//! Reads a topic once, to its end, for commands that inspect it: outside of any group, and committed records only.
//!
//! The end is the last stable offset at the time of the request. Offsets between two records may have no record:
//! transaction markers, and records of aborted transactions. So a partition is done when a record at or behind its end
//! arrives, or when the broker reports the end of the partition.

use super::client::{self, LogError};
use super::headers;
use super::record::{MessageView as _, TopicPartition, list};
use super::rights::{Operation, Right};
use super::settings::KafkaSettings;
use crate::domain::{Header, Timestamp};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// A broker that sends nothing for this long counts as unreachable for a command that waits.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The position in a partition at which a scan begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFrom {
    /// At the first record in the log.
    Beginning,
    /// At this offset, or at the first later one that still exists.
    Offset(i64),
    /// At the first record of this time or later.
    Time(Timestamp),
}

/// A part of a partition: the offsets from `from` up to `end`, without `end` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanRange {
    pub partition: i32,
    /// The first offset in the log.
    pub first: i64,
    /// The offset at which the scan begins.
    pub from: i64,
    /// The offset before which it ends.
    pub end: i64,
}

/// An item that a scan passes to its caller.
pub enum Scanned<'a> {
    Record(&'a ScanRecord<'a>),
    /// The progress. It comes several times a second, also without records.
    Progress {
        /// The number of offsets that are done.
        done: u64,
        /// The number of all offsets.
        all: u64,
    },
}

/// The progress of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The topic that is read.
    pub topic: &'a str,
    /// The number of offsets that are done.
    pub done: u64,
    /// The number of all offsets.
    pub all: u64,
}

/// Receives the progress several times a second, and may stop the scan.
pub type Watch<'a> = &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>;

/// A record, borrowed from the client's buffer.
pub struct ScanRecord<'a>(pub(super) BorrowedMessage<'a>);

impl ScanRecord<'_> {
    /// Returns the partition of the record.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Returns the offset of the record.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Returns its Kafka timestamp.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_ms(self.0.timestamp().to_millis().unwrap_or(0))
    }

    /// Returns the key of the record, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Returns its value; `None`: a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// Returns its headers, in their order. A value may be null.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Option<&[u8]>)> {
        self.0.headers().into_iter().flat_map(headers::each)
    }

    /// Returns the headers of its producer, without those of this daemon.
    #[must_use]
    pub fn foreign_headers(&self) -> Vec<Header> {
        self.0.foreign_headers()
    }

    /// Returns the value of the header `name`, if it exists and is UTF-8 text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        headers::text(self.0.headers()?, name)
    }
}

/// Scans topics, any number of times.
pub struct Scanner {
    settings: KafkaSettings,
    /// Used for requests. Each scan has a client of its own.
    client: client::Observer,
}

impl Scanner {
    /// Creates a client. It connects with the first request.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        Ok(Self { settings: settings.clone(), client: reader(settings)? })
    }

    /// Returns the number of partitions of `topic`; `None`: the topic does not exist.
    ///
    /// # Errors
    /// Kafka can't be reached, or denies the request.
    pub fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let metadata = self
            .client
            .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
            .map_err(LogError::request("Kafka does not answer"))?;
        if client::is_hidden(&metadata, topic) {
            return Err(LogError::Denied(vec![Right::on_topic(Operation::Read, topic)]));
        }
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let count = found.and_then(|found| u32::try_from(found.partitions().len()).ok());
        Ok(count.filter(|count| *count > 0))
    }

    /// Returns the parts of `topic` from the positions in `wants` to the end that is readable now.
    ///
    /// # Errors
    /// Kafka can't be reached, or has no such partition.
    pub fn ranges(
        &self,
        topic: &str,
        wants: &[(i32, ScanFrom)],
    ) -> Result<Vec<ScanRange>, LogError> {
        let starts = self.starts(topic, wants)?;
        let range = |(partition, want): &(i32, ScanFrom)| {
            let (first, end) = self
                .client
                .fetch_watermarks(topic, *partition, REQUEST_TIMEOUT)
                .map_err(LogError::request(format!("the ends of {topic} can't be read")))?;
            let from = match want {
                ScanFrom::Beginning => first,
                ScanFrom::Offset(offset) => *offset,
                ScanFrom::Time(_) => starts.get(partition).copied().unwrap_or(end),
            };
            Ok(ScanRange { partition: *partition, first, from: from.clamp(first, end), end })
        };
        wants.iter().map(range).collect()
    }

    /// Returns the parts of all partitions of `topic`, or nothing if the topic does not exist.
    ///
    /// # Errors
    /// Kafka can't be reached.
    pub fn all(&self, topic: &str, from: ScanFrom) -> Result<Vec<ScanRange>, LogError> {
        let count = i32::try_from(self.partitions(topic)?.unwrap_or(0)).unwrap_or(0);
        self.ranges(topic, &(0..count).map(|partition| (partition, from)).collect::<Vec<_>>())
    }

    /// Returns the offsets for those that begin at a time, if there are records from that time on.
    fn starts(
        &self,
        topic: &str,
        wants: &[(i32, ScanFrom)],
    ) -> Result<BTreeMap<i32, i64>, LogError> {
        let failed =
            || LogError::request(format!("the offsets of {topic} at a time can't be read"));
        let mut times = TopicPartitionList::new();
        for (partition, want) in wants {
            if let ScanFrom::Time(at) = want {
                times
                    .add_partition_offset(topic, *partition, Offset::Offset(at.as_ms().max(0)))
                    .map_err(failed())?;
            }
        }
        if times.count() == 0 {
            return Ok(BTreeMap::new());
        }
        let found = self.client.offsets_for_times(times, REQUEST_TIMEOUT).map_err(failed())?;
        let mut starts = BTreeMap::new();
        for element in found.elements() {
            element.error().map_err(failed())?;
            if let Offset::Offset(offset) = element.offset() {
                starts.insert(element.partition(), offset);
            }
        }
        Ok(starts)
    }

    /// Passes every record of `ranges` to `take`, each partition in its order, and the progress to `watch`. Ends when
    /// everything is read, or when one of them breaks. Blocks.
    ///
    /// # Errors
    /// Kafka can't be read.
    pub fn scan(
        &self,
        topic: &str,
        ranges: &[ScanRange],
        watch: Watch<'_>,
        take: &mut dyn FnMut(&ScanRecord<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LogError> {
        self.read(topic, ranges, &mut |scanned| match scanned {
            Scanned::Record(record) => take(record),
            Scanned::Progress { done, all } => watch(Progress { topic, done, all }),
        })
    }

    /// Like [`Scanner::scan`], with one function for records and progress.
    ///
    /// # Errors
    /// Kafka can't be read.
    pub fn read(
        &self,
        topic: &str,
        ranges: &[ScanRange],
        take: &mut dyn FnMut(Scanned<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LogError> {
        let mut reading = Reading::new(ranges);
        if reading.left.is_empty() {
            return Ok(reading.report_progress(take));
        }
        let mut starts = TopicPartitionList::new();
        for (partition, (from, _)) in &reading.left {
            starts
                .add_partition_offset(topic, *partition, Offset::Offset(*from))
                .map_err(LogError::request(format!("the offsets of {topic} can't be set")))?;
        }
        let right = || Right::on_topic(Operation::Read, topic);
        let failed = || LogError::request_by(right(), format!("{topic} can't be read"));
        // A client keeps partitions paused, even after the next assignment.
        let client = reader(&self.settings)?;
        client.assign(&starts).map_err(failed())?;
        let name: Arc<str> = topic.into();
        let (mut read_at, mut reported_at) = (Instant::now(), Instant::now());
        loop {
            if reading.left.is_empty() {
                return Ok(reading.report_progress(take));
            }
            let done = match client.poll(POLL_TIMEOUT) {
                Some(Ok(message)) => {
                    let record = ScanRecord(message);
                    if reading.holds(&record) && take(Scanned::Record(&record)).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    // The time that `take` needs does not count as silence of the brokers.
                    read_at = Instant::now();
                    reading.pass(&record)
                }
                // The position stops below trailing markers, so possibly only this event shows the end.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    read_at = Instant::now();
                    reading.finish(partition)
                }
                Some(Err(error)) if hopeless(&error) => {
                    return Err(failed()(error));
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, topic, "a temporary error while reading");
                    None
                }
                None if read_at.elapsed() > SILENCE_TIMEOUT => {
                    return Err(failed()(KafkaError::NoMessageReceived));
                }
                None => None,
            };
            if let Some(partition) = done {
                let _ = client.pause(&list([&TopicPartition { topic: name.clone(), partition }]));
            }
            if reported_at.elapsed() > PROGRESS_INTERVAL {
                reported_at = Instant::now();
                if reading.report_progress(take).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
}

fn reader(settings: &KafkaSettings) -> Result<client::Observer, LogError> {
    let mut config = client::observer(settings, "read_committed");
    // Retention may remove records between the request for a partition's first offset and the first fetch.
    config.set("auto.offset.reset", "earliest");
    // At the end of a partition, the broker waits for more records before it answers. A scan needs none.
    config.set("fetch.wait.max.ms", "10");
    config.create_with_context(super::report::Reports).map_err(LogError::Client)
}

/// The partitions that are not done.
struct Reading {
    /// By partition: the next offset and the end.
    left: BTreeMap<i32, (i64, i64)>,
    all: u64,
}

impl Reading {
    fn new(ranges: &[ScanRange]) -> Self {
        let open = ranges.iter().filter(|range| range.from < range.end);
        let left: BTreeMap<_, _> =
            open.map(|range| (range.partition, (range.from, range.end))).collect();
        let all = left.values().map(|(from, end)| end.abs_diff(*from)).sum();
        Self { left, all }
    }

    fn report_progress(
        &self,
        take: &mut dyn FnMut(Scanned<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let left: u64 = self.left.values().map(|(from, end)| end.abs_diff(*from)).sum();
        take(Scanned::Progress { done: self.all.saturating_sub(left), all: self.all })
    }

    fn holds(&self, record: &ScanRecord<'_>) -> bool {
        self.left.get(&record.partition()).is_some_and(|(_, end)| record.offset() < *end)
    }

    /// Continues after `record`. Returns the partition if it is done.
    fn pass(&mut self, record: &ScanRecord<'_>) -> Option<i32> {
        let partition = record.partition();
        let (next, end) = self.left.get_mut(&partition)?;
        *next = (record.offset() + 1).min(*end);
        if next == end { self.finish(partition) } else { None }
    }

    fn finish(&mut self, partition: i32) -> Option<i32> {
        self.left.remove(&partition).map(|_| partition)
    }
}

/// Returns whether a retry is useless. A missing right on the group does no harm, since an observer does not join it.
pub(super) fn hopeless(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| {
        [
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::UnknownTopicOrPartition,
            RDKafkaErrorCode::UnknownTopic,
            RDKafkaErrorCode::UnknownPartition,
            RDKafkaErrorCode::Authentication,
            RDKafkaErrorCode::Fatal,
        ]
        .contains(&code)
    })
}
