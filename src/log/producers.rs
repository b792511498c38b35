//! The two transactional producers of an instance. They take turns.
//!
//! Kafka answers a commit before it has written the markers that end the transaction. Until then it refuses the next
//! transaction with the same id, and librdkafka waits 20 ms or longer before it asks again. A transaction with the other
//! id begins at once. No two transactions of an instance are open at the same time.

use super::client::LogError;
use super::ports::Transactions;
use super::position::GroupOffset;
use super::reader::KafkaMember;
use super::record::TopicPartition;
use super::rights::{self, Missing};
use super::settings::{KafkaSettings, TopicNames};
use super::transaction::{Committed, Outgoing, Producer, TransactionError};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// The producers of an instance.
pub struct Producers {
    first: Producer,
    /// `None`: Kafka denies its id, which was not used by former versions.
    second: Option<Producer>,
    /// Whether it is the second one's turn.
    is_second: AtomicBool,
}

impl Producers {
    /// Opens the producers, and ends the transactions that their predecessors with the same ids left open. Blocks.
    ///
    /// # Errors
    /// A property is wrong, or Kafka does not answer.
    pub fn open(
        settings: &KafkaSettings,
        names: &TopicNames,
        partitions: u32,
    ) -> Result<Self, LogError> {
        let [first, second] = rights::instance_ids(settings);
        let first = Producer::open(&first, settings, names, partitions)?;
        let second = match Producer::open(&second, settings, names, partitions) {
            Ok(second) => Some(second),
            Err(LogError::Denied(missing)) => {
                warn_of(&Missing(&missing, settings).to_string());
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { first, second, is_second: AtomicBool::new(false) })
    }

    fn current(&self) -> &Producer {
        let second = self.second.as_ref().filter(|_| self.is_second.load(Ordering::Relaxed));
        second.unwrap_or(&self.first)
    }
}

/// Warns once that there is only one producer.
fn warn_of(missing: &str) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            "the instance uses one transactional producer instead of two, which delays webhooks under load: {missing}; see \
             ops/guide/rights.md"
        );
    });
}

impl Transactions for Producers {
    type Member = KafkaMember;

    /// Begins a transaction of the other producer.
    fn begin(&self) -> Result<(), TransactionError> {
        self.is_second.fetch_xor(true, Ordering::Relaxed);
        self.current().begin()
    }

    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.current().send(outgoing)
    }

    fn offsets<'a>(
        &self,
        member: &KafkaMember,
        offsets: impl Iterator<Item = (&'a TopicPartition, &'a GroupOffset)>,
    ) -> Result<(), TransactionError> {
        self.current().offsets(member, offsets)
    }

    fn flush(&self) -> Result<(), TransactionError> {
        self.current().flush()
    }

    fn written(&self) -> Committed {
        self.current().written()
    }

    fn commit(&self) -> Result<Committed, TransactionError> {
        self.current().commit()
    }

    fn abort(&self) -> Result<(), TransactionError> {
        self.current().abort()
    }
}
