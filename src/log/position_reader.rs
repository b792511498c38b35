//! Reads the positions of topics and of a group, for commands that compare them.

use super::client::{self, LogError};
use super::position::GroupOffset;
use super::record::{TopicPartition, list};
use super::scan::{ScanFrom, ScanRange, Scanner};
use super::settings::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(30);
const PINNED_INTERVAL: Duration = Duration::from_millis(50);
/// A transaction that is open for longer than this belongs to no running producer.
const OPEN_MAX: Duration = Duration::from_secs(90);

/// Reads positions without joining the group.
pub struct PositionReader {
    /// A client of the group, which it does not join.
    group: client::Observer,
    /// A client that also sees uncommitted records.
    all: client::Observer,
}

impl PositionReader {
    /// Creates a reader. It connects with the first request.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        let mut config = client::observer(settings, "read_committed");
        config.set("group.id", &settings.group_id);
        let group = config.create_with_context(super::report::Reports).map_err(LogError::Client)?;
        Ok(Self { group, all: client::observe(settings, "read_uncommitted")? })
    }

    /// Returns the offsets that the group has committed. Waits for open transactions.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn committed(
        &self,
        places: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, LogError> {
        let offsets = self.offsets(places)?.into_iter();
        Ok(offsets.map(|(place, committed)| (place, committed.offset)).collect())
    }

    /// Like `committed`, with the topic and the changelog of each offset.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn offsets(
        &self,
        places: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, LogError> {
        group_offsets(&self.group, places)
    }

    /// Returns the end of the partition of each range, with the records of open transactions.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn highs(&self, topic: &str, ranges: &[ScanRange]) -> Result<Vec<i64>, LogError> {
        let high = |range: &ScanRange| {
            let marks = self.all.fetch_watermarks(topic, range.partition, REQUEST_TIMEOUT);
            let marks =
                marks.map_err(LogError::request(format!("the ends of {topic} can't be read")))?;
            Ok(marks.1)
        };
        ranges.iter().map(high).collect()
    }

    /// Returns the range of each partition of `topic` from `from` to its present end, once no transaction below it is
    /// open.
    ///
    /// # Errors
    /// Kafka does not answer, or another producer's transaction stays open.
    pub fn settled(
        &self,
        scanner: &Scanner,
        topic: &str,
        from: ScanFrom,
    ) -> Result<Vec<ScanRange>, LogError> {
        let highs = self.highs(topic, &scanner.all(topic, from)?)?;
        let began = Instant::now();
        loop {
            let ranges = scanner.all(topic, from)?;
            if ranges.iter().zip(&highs).all(|(range, high)| range.end >= *high) {
                return Ok(ranges);
            }
            if began.elapsed() > OPEN_MAX {
                let what = "a transaction has been open in the topic for a long time; try again once it has ended".to_owned();
                return Err(LogError::Topic { topic: topic.to_owned(), what });
            }
            std::thread::sleep(PINNED_INTERVAL);
        }
    }
}

/// Returns the offsets that the consumer's group has committed, by partition. Waits for open transactions.
pub(super) fn group_offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    places: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, GroupOffset>, LogError> {
    let answer = committed(consumer, list(places), "the group's offsets can't be read")?;
    let mut committed = BTreeMap::new();
    for element in answer.elements() {
        if let Offset::Offset(offset) = element.offset() {
            let (topic, partition) = (element.topic().into(), element.partition());
            let place = TopicPartition { topic, partition };
            committed.insert(place, GroupOffset::read(offset, element.metadata()));
        }
    }
    Ok(committed)
}

/// Returns what the consumer's group has committed for the partitions `asked`. Fails with `what` if the offset of a
/// partition can't be read, because that is not a missing offset. Waits for open transactions.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    asked: TopicPartitionList,
    what: &str,
) -> Result<TopicPartitionList, LogError> {
    let answer =
        consumer.committed_offsets(asked, COMMITTED_TIMEOUT).map_err(LogError::request(what))?;
    for element in answer.elements() {
        element.error().map_err(LogError::request(what))?;
    }
    Ok(answer)
}
