//! The producer of commands that write state while no daemon runs.
//!
//! There is one per consumer group of daemons. Opening a second one fences the first and aborts its open transaction.
//! So two repairs never write at the same time.

use super::client::{self, LogError};
use super::ports::Transactions as _;
use super::position::GroupOffset;
use super::record::TopicPartition;
use super::rights;
use super::settings::KafkaSettings;
use super::transaction::{self, Outgoing, Producer, TransactionError, TransactionFault};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{Consumer as _, ConsumerGroupMetadata};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait for a broker that does not answer. Nothing is lost, and the command can be run again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Transactions of a command, which repeats calls that may succeed later.
pub(super) struct Patient(Producer);

impl Patient {
    /// Opens the producer with this transactional id. Blocks.
    pub(super) fn open(id: &str, settings: &KafkaSettings) -> Result<Self, LogError> {
        Producer::open_as(id, settings, 0).map(Self)
    }

    pub(super) fn begin(&self) -> Result<(), TransactionError> {
        insist(|| self.0.begin()).map_err(|error| self.explained(error))
    }

    pub(super) fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.0.send(outgoing).map_err(|error| self.abort_after(error))
    }

    /// Adds these offsets of a group without members to the transaction.
    fn offer(
        &self,
        group: &ConsumerGroupMetadata,
        offsets: &TopicPartitionList,
    ) -> Result<(), TransactionError> {
        if offsets.count() > 0 {
            insist(|| self.0.offsets_of_nobody(group, offsets))
                .map_err(|error| self.abort_after(error))?;
        }
        Ok(())
    }

    /// Waits until Kafka has accepted every record of the transaction.
    fn flush(&self) -> Result<(), TransactionError> {
        insist(|| self.0.flush()).map_err(|error| self.abort_after(error))
    }

    /// Commits, with these offsets of a group without members.
    pub(super) fn commit(
        &self,
        group: &ConsumerGroupMetadata,
        offsets: &TopicPartitionList,
    ) -> Result<(), TransactionError> {
        self.offer(group, offsets)?;
        self.flush()?;
        match insist(|| self.0.commit()) {
            Ok(_) => Ok(()),
            // Only this error says that it was not committed, and so may be aborted.
            Err(error) if error.fault == TransactionFault::Abortable => {
                Err(self.abort_after(error))
            }
            Err(error) => Err(self.explained(error)),
        }
    }

    /// Aborts the transaction, so that no reader has to wait until it times out.
    pub(super) fn abort(&self) {
        if let Err(error) = insist(|| self.0.abort()) {
            tracing::debug!(%error, "the transaction can't be aborted");
        }
    }

    fn explained(&self, error: TransactionError) -> TransactionError {
        let fault = if self.0.is_fenced() { TransactionFault::Fenced } else { error.fault };
        TransactionError { fault, ..error }
    }

    fn abort_after(&self, error: TransactionError) -> TransactionError {
        let error = self.explained(error);
        if error.fault != TransactionFault::Fenced {
            self.abort();
        }
        error
    }
}

/// Repeats a call as long as its error allows that, and makes no other call in between.
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

pub(super) fn unusable(text: String) -> TransactionError {
    TransactionError { call: "offsets", fault: TransactionFault::Fatal, text }
}

/// Names a consumer group whose offsets are committed, and does not join it.
pub struct GroupName(client::Observer);

impl GroupName {
    /// Names the group of `settings`.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        let mut config = client::observer(settings, "read_committed");
        config.set("group.id", &settings.group_id);
        config.create_with_context(super::report::Reports).map(Self).map_err(LogError::Client)
    }

    fn metadata(&self) -> Result<ConsumerGroupMetadata, TransactionError> {
        self.0.group_metadata().ok_or_else(|| unusable("the client has no group".to_owned()))
    }
}

/// Writes rows and offsets while no daemon runs.
pub struct Steward {
    producer: Patient,
    group: GroupName,
}

impl Steward {
    /// Opens the producer, and aborts a transaction that its predecessor left open. Blocks.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn open(settings: &KafkaSettings) -> Result<Self, LogError> {
        let group = GroupName::new(settings)?;
        let producer = Patient::open(&rights::rebuild_id(&settings.group_id), settings)?;
        Ok(Self { producer, group })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The transaction can't be begun. Nothing was sent.
    pub fn begin(&self) -> Result<(), TransactionError> {
        self.producer.begin()
    }

    /// Adds a record to the transaction.
    ///
    /// # Errors
    /// The record is not accepted. Nothing of the transaction is committed.
    pub fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.producer.send(outgoing)
    }

    /// Waits until Kafka has accepted every record of the transaction.
    ///
    /// # Errors
    /// A record is refused. Nothing of the transaction is committed.
    pub fn flush(&self) -> Result<(), TransactionError> {
        self.producer.flush()
    }

    /// Adds these offsets of the group to the transaction. From now on, a member that reads them waits until the
    /// transaction has ended.
    ///
    /// # Errors
    /// The offsets are not accepted. Nothing of the transaction is committed.
    pub fn offer(
        &self,
        offsets: &BTreeMap<TopicPartition, GroupOffset>,
    ) -> Result<(), TransactionError> {
        self.producer.offer(&self.group.metadata()?, &listed(offsets)?)
    }

    /// Commits the transaction with these offsets of the group.
    ///
    /// # Errors
    /// The transaction is not known to be committed.
    pub fn commit(
        &self,
        offsets: &BTreeMap<TopicPartition, GroupOffset>,
    ) -> Result<(), TransactionError> {
        self.commit_of(&self.group, offsets)
    }

    /// Commits the transaction with these offsets of another group.
    ///
    /// # Errors
    /// The transaction is not known to be committed.
    pub fn commit_of(
        &self,
        group: &GroupName,
        offsets: &BTreeMap<TopicPartition, GroupOffset>,
    ) -> Result<(), TransactionError> {
        self.producer.commit(&group.metadata()?, &listed(offsets)?)
    }

    /// Aborts the open transaction. Errors are not reported.
    pub fn abort(&self) {
        self.producer.abort();
    }
}

fn listed(
    offsets: &BTreeMap<TopicPartition, GroupOffset>,
) -> Result<TopicPartitionList, TransactionError> {
    transaction::positions(offsets).map_err(|error| unusable(error.to_string()))
}
