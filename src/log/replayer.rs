//! The log's part of a replay: it writes the records and the progress of the run in one transaction.
//!
//! The progress is kept as committed offsets of a consumer group without members, one group per run and filters. Each
//! offset has a note of the run as metadata. A killed run loses and repeats nothing: the next one aborts the open
//! transaction and continues from the committed offsets.

use super::client::{self, LogError};
use super::position_reader;
use super::rights;
use super::settings::KafkaSettings;
use super::steward::{Patient, unusable};
use super::transaction::{Outgoing, TransactionError};
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

/// The progress of a run in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub partition: i32,
    /// The run is done with everything below this offset.
    pub offset: i64,
    /// The run's own note.
    pub note: String,
}

/// The place where runs store their progress.
pub struct Marks {
    client: client::Observer,
    topic: String,
}

impl Marks {
    /// Creates a client for the marks of the consumer group `group` in `topic`.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn new(settings: &KafkaSettings, group: &str, topic: &str) -> Result<Self, LogError> {
        let mut config = client::observer(settings, "read_committed");
        config.set("group.id", group);
        let client =
            config.create_with_context(super::report::Reports).map_err(LogError::Client)?;
        Ok(Self { client, topic: topic.to_owned() })
    }

    /// Reads the committed marks. Waits for a transaction that is still open.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn read(&self, partitions: u32) -> Result<Vec<Mark>, LogError> {
        let mut asked = TopicPartitionList::new();
        if let Some(last) = i32::try_from(partitions).ok().and_then(|count| count.checked_sub(1)) {
            asked.add_partition_range(&self.topic, 0, last);
        }
        let what = "the committed progress of earlier replays can't be read";
        let answer = position_reader::committed(&self.client, asked, what)?;
        let mut marks = Vec::new();
        for element in answer.elements() {
            if let Offset::Offset(offset) = element.offset() {
                let (partition, note) = (element.partition(), element.metadata().to_owned());
                marks.push(Mark { partition, offset, note });
            }
        }
        Ok(marks)
    }
}

/// The producer of replays. There is one per consumer group of daemons: opening a second one fences the first.
pub struct Replayer(Patient);

impl Replayer {
    /// Opens the producer, and aborts a transaction that its predecessor left open. Blocks.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn open(settings: &KafkaSettings) -> Result<Self, LogError> {
        Patient::open(&rights::replay_id(&settings.group_id), settings).map(Self)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The transaction can't be begun. Nothing was sent.
    pub fn begin(&self) -> Result<(), TransactionError> {
        self.0.begin()
    }

    /// Adds a record to the transaction.
    ///
    /// # Errors
    /// The record is not accepted. Nothing of the transaction is committed.
    pub fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.0.send(outgoing)
    }

    /// Commits the transaction with these marks.
    ///
    /// # Errors
    /// The transaction is not known to be committed. The marks show whether it is.
    pub fn commit(&self, at: &Marks, marks: &[Mark]) -> Result<(), TransactionError> {
        let mut list = TopicPartitionList::new();
        for mark in marks {
            let (partition, offset) = (mark.partition, Offset::Offset(mark.offset));
            list.add_partition_offset(&at.topic, partition, offset)
                .map_err(|error| unusable(error.to_string()))?;
            if let Some(mut element) = list.find_partition(&at.topic, partition) {
                element.set_metadata(&mark.note);
            }
        }
        let group = at.client.group_metadata();
        let group = group.ok_or_else(|| unusable("the client has no group".to_owned()))?;
        self.0.commit(&group, &list)
    }
}
