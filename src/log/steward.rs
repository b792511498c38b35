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

    /// Commits, with these offsets of a group without members.
    pub(super) fn commit(
        &self,
        group: &ConsumerGroupMetadata,
        offsets: &TopicPartitionList,
    ) -> Result<(), TransactionError> {
        if offsets.count() > 0 {
            insist(|| self.0.offsets_of_nobody(group, offsets))
                .map_err(|error| self.abort_after(error))?;
        }
        insist(|| self.0.flush()).map_err(|error| self.abort_after(error))?;
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

/// Writes rows and offsets while no daemon runs.
pub struct Steward {
    producer: Patient,
    /// Names the group, and does not join it.
    group: client::Observer,
}

impl Steward {
    /// Opens the producer, and aborts a transaction that its predecessor left open. Blocks.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn open(settings: &KafkaSettings) -> Result<Self, LogError> {
        let mut config = client::observer(settings, "read_committed");
        config.set("group.id", &settings.group_id);
        let group = config.create_with_context(super::report::Reports).map_err(LogError::Client)?;
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

    /// Commits the transaction with these offsets of the group.
    ///
    /// # Errors
    /// The transaction is not known to be committed.
    pub fn commit(
        &self,
        offsets: &BTreeMap<TopicPartition, GroupOffset>,
    ) -> Result<(), TransactionError> {
        let group = self.group.group_metadata();
        let group = group.ok_or_else(|| unusable("the client has no group".to_owned()))?;
        let offsets =
            transaction::positions(offsets).map_err(|error| unusable(error.to_string()))?;
        self.producer.commit(&group, &offsets)
    }

    /// Aborts the open transaction. Errors are not reported.
    pub fn abort(&self) {
        self.producer.abort();
    }
}
