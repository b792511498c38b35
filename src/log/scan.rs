//! Reading what a topic holds, once and to its end, for commands that look: outside of any group, and only what is committed.
//!
//! The end is what could be read when it was asked for, and offsets between two records may belong to nothing: markers of
//! transactions, and records of those that were aborted. So a partition is done when a record at or behind its end comes, or
//! when the broker says that there is nothing more.

use super::client::{self, LogError};
use super::headers;
use super::reader::list;
use super::record::TopicPartition;
use super::rights::{Operation, Right};
use super::settings::KafkaSettings;
use crate::domain::Timestamp;
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
/// Brokers that say nothing for so long are as good as away to somebody who waits for an answer.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFrom {
    /// At the first record that there is.
    Beginning,
    /// At this offset, or at the first one that there still is.
    Offset(i64),
    /// At the first record that is not older.
    Time(Timestamp),
}

/// A part of a partition: the offsets from `from` up to `end`, without `end` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanRange {
    /// Which partition.
    pub partition: i32,
    /// The first offset that there is.
    pub first: i64,
    /// Where to begin.
    pub from: i64,
    /// Where to end.
    pub end: i64,
}

/// What a scan tells its caller.
pub enum Scanned<'a> {
    /// A record.
    Record(&'a ScanRecord<'a>),
    /// So many offsets of all are behind; it comes several times a second, also while nothing else does.
    Progress {
        /// Those behind.
        done: u64,
        /// All.
        all: u64,
    },
}

/// A record where the client's buffer holds it.
pub struct ScanRecord<'a>(BorrowedMessage<'a>);

impl ScanRecord<'_> {
    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Its own time.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_ms(self.0.timestamp().to_millis().unwrap_or(0))
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// Its headers, in their order; a value may be null.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Option<&[u8]>)> {
        self.0.headers().into_iter().flat_map(headers::each)
    }

    /// The header `name`, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        headers::text(self.0.headers()?, name)
    }
}

/// Scans, as often as it is asked to.
pub struct Scanner {
    settings: KafkaSettings,
    /// It answers questions; each scan has a client of its own.
    client: client::Observer,
}

impl Scanner {
    /// A client; it connects when it is asked something.
    ///
    /// # Errors
    /// When a property of `[kafka.client]` is wrong.
    pub fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        Ok(Self { settings: settings.clone(), client: reader(settings)? })
    }

    /// How many partitions `topic` has; `None`: it does not exist.
    ///
    /// # Errors
    /// When Kafka can't be reached, or does not allow it.
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

    /// The parts of `topic` from where `wants` says to what is readable now.
    ///
    /// # Errors
    /// When Kafka can't be reached, or does not have such a partition.
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

    /// The parts of all of `topic`'s partitions; none: it does not exist.
    ///
    /// # Errors
    /// When Kafka can't be reached.
    pub fn all(&self, topic: &str, from: ScanFrom) -> Result<Vec<ScanRange>, LogError> {
        let count = i32::try_from(self.partitions(topic)?.unwrap_or(0)).unwrap_or(0);
        self.ranges(topic, &(0..count).map(|partition| (partition, from)).collect::<Vec<_>>())
    }

    /// The offsets of those that begin at a time, as far as there are records from then on.
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

    /// Hands everything in `ranges` to `take`, each partition in its order, until all is read or `take` breaks off. Blocks.
    ///
    /// # Errors
    /// When Kafka can't be read.
    pub fn read(
        &self,
        topic: &str,
        ranges: &[ScanRange],
        take: &mut dyn FnMut(Scanned<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LogError> {
        let mut reading = Reading::new(ranges);
        if reading.left.is_empty() {
            return Ok(reading.tell(take));
        }
        let mut starts = TopicPartitionList::new();
        for (partition, (from, _)) in &reading.left {
            starts
                .add_partition_offset(topic, *partition, Offset::Offset(*from))
                .map_err(LogError::request(format!("the offsets of {topic} can't be set")))?;
        }
        let right = || Right::on_topic(Operation::Read, topic);
        let failed = || LogError::request_by(right(), format!("{topic} can't be read"));
        // A client remembers of each partition that it was paused, whatever it is assigned next.
        let client = reader(&self.settings)?;
        client.assign(&starts).map_err(failed())?;
        let name: Arc<str> = topic.into();
        let (mut heard, mut told) = (Instant::now(), Instant::now());
        loop {
            if reading.left.is_empty() {
                return Ok(reading.tell(take));
            }
            let done = match client.poll(POLL_TIMEOUT) {
                Some(Ok(message)) => {
                    let record = ScanRecord(message);
                    if reading.holds(&record) && take(Scanned::Record(&record)).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    // Taking it may have taken its time, and that was not the brokers' silence.
                    heard = Instant::now();
                    reading.pass(&record)
                }
                // The position stops below trailing markers, so the end may be told by this alone.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    heard = Instant::now();
                    reading.finish(partition)
                }
                Some(Err(error)) if hopeless(&error) => {
                    return Err(failed()(error));
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, topic, "reading is disturbed");
                    None
                }
                None if heard.elapsed() > SILENCE_TIMEOUT => {
                    return Err(failed()(KafkaError::NoMessageReceived));
                }
                None => None,
            };
            if let Some(partition) = done {
                let _ = client.pause(&list([&TopicPartition { topic: name.clone(), partition }]));
            }
            if told.elapsed() > PROGRESS_INTERVAL {
                told = Instant::now();
                if reading.tell(take).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
}

fn reader(settings: &KafkaSettings) -> Result<client::Observer, LogError> {
    let mut config = client::observer(settings, "read_committed");
    // Retention may take records away between the question where a partition begins and the first fetch.
    config.set("auto.offset.reset", "earliest");
    // At a partition's end the broker waits for more before it says so, and here nobody wants more.
    config.set("fetch.wait.max.ms", "10");
    config.create_with_context(super::report::Reports).map_err(LogError::Client)
}

/// What is still to be read.
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

    fn tell(&self, take: &mut dyn FnMut(Scanned<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let left: u64 = self.left.values().map(|(from, end)| end.abs_diff(*from)).sum();
        take(Scanned::Progress { done: self.all.saturating_sub(left), all: self.all })
    }

    fn holds(&self, record: &ScanRecord<'_>) -> bool {
        self.left.get(&record.partition()).is_some_and(|(_, end)| record.offset() < *end)
    }

    /// Goes on after `record`; the partition, when that was its end.
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

/// Whether waiting does not help. That the group can't be asked for is no harm: nobody joins it here.
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
