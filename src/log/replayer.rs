//! The log's part of a replay: what is sent, and how far the run has come, in one transaction.
//!
//! How far it has come are the committed offsets of a consumer group that nobody joins, one per run and filters, with a note
//! of the run's own beside each. Whoever kills a run loses nothing and doubles nothing by it: the next one aborts what was
//! left open, and goes on from what was committed.

use super::client::{self, LogError};
use super::rights;
use super::settings::KafkaSettings;
use super::transaction::{Outgoing, TransactionError, TransactionFault, Transactions};
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const COMMITTED_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Nobody waits for a broker that does not answer for longer; nothing is lost, and the command can be given again.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far a run has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which partition.
    pub partition: i32,
    /// Everything below it is done with.
    pub offset: i64,
    /// What the run says of itself.
    pub note: String,
}

/// Where a run leaves its marks.
pub struct Marks {
    client: client::Observer,
    topic: String,
}

impl Marks {
    /// The marks of the consumer group `group` in `topic`.
    ///
    /// # Errors
    /// When a property of `[kafka.client]` is wrong.
    pub fn new(settings: &KafkaSettings, group: &str, topic: &str) -> Result<Self, LogError> {
        let mut config = client::observer(settings, "read_committed");
        config.set("group.id", group);
        let client =
            config.create_with_context(super::report::Reports).map_err(LogError::Client)?;
        Ok(Self { client, topic: topic.to_owned() })
    }

    /// Those that were committed. Waits for a transaction that is still open.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn read(&self, partitions: u32) -> Result<Vec<Mark>, LogError> {
        let failed = || LogError::request("what was committed of earlier replays can't be read");
        let mut asked = TopicPartitionList::new();
        if let Some(last) = i32::try_from(partitions).ok().and_then(|count| count.checked_sub(1)) {
            asked.add_partition_range(&self.topic, 0, last);
        }
        let answer = self.client.committed_offsets(asked, COMMITTED_TIMEOUT).map_err(failed())?;
        let mut marks = Vec::new();
        for element in answer.elements() {
            element.error().map_err(failed())?;
            if let Offset::Offset(offset) = element.offset() {
                let (partition, note) = (element.partition(), element.metadata().to_owned());
                marks.push(Mark { partition, offset, note });
            }
        }
        Ok(marks)
    }
}

/// The producer of replays. There is one per consumer group of daemons: another one that is opened takes over.
pub struct Replayer(Transactions);

impl Replayer {
    /// Opens it, and aborts what a predecessor left open. Blocks.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn open(settings: &KafkaSettings) -> Result<Self, LogError> {
        let id = rights::replay_id(&settings.group_id);
        Transactions::open_as(&id, settings, 0).map(Self)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When it can't be begun; nothing was sent.
    pub fn begin(&self) -> Result<(), TransactionError> {
        insist(|| self.0.begin()).map_err(|error| self.explained(error))
    }

    /// Adds a record to it.
    ///
    /// # Errors
    /// When it is not taken; nothing of the transaction will have been sent.
    pub fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.0.send(outgoing).map_err(|error| self.given_up(error))
    }

    /// Commits it with these marks.
    ///
    /// # Errors
    /// When it is not known to be committed; the marks tell.
    pub fn commit(&self, at: &Marks, marks: &[Mark]) -> Result<(), TransactionError> {
        let unusable = |text: String| TransactionError {
            call: "offsets",
            fault: TransactionFault::Fatal,
            text,
        };
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
        insist(|| self.0.offsets_of_nobody(&group, &list)).map_err(|error| self.given_up(error))?;
        insist(|| self.0.flush()).map_err(|error| self.given_up(error))?;
        match insist(|| self.0.commit()) {
            Ok(_) => Ok(()),
            // Only then is it known that it was not committed, and that aborting it is right.
            Err(error) if error.fault == TransactionFault::Abortable => Err(self.given_up(error)),
            Err(error) => Err(self.explained(error)),
        }
    }

    fn explained(&self, error: TransactionError) -> TransactionError {
        let fault = if self.0.is_fenced() { TransactionFault::Fenced } else { error.fault };
        TransactionError { fault, ..error }
    }

    fn given_up(&self, error: TransactionError) -> TransactionError {
        let error = self.explained(error);
        if error.fault != TransactionFault::Fenced {
            self.abort();
        }
        error
    }

    /// So that nobody has to wait until it times out; a successor would abort it too.
    fn abort(&self) {
        if let Err(error) = insist(|| self.0.abort()) {
            tracing::debug!(%error, "the transaction can't be aborted");
        }
    }
}

/// A call that may be made again is made again, and no other call in between.
fn insist<T>(call: impl Fn() -> Result<T, TransactionError>) -> Result<T, TransactionError> {
    let start = Instant::now();
    loop {
        match call() {
            Err(error)
                if error.fault == TransactionFault::Retriable && start.elapsed() < PATIENCE =>
            {
                std::thread::sleep(RETRY_PAUSE);
            }
            other => return other,
        }
    }
}
