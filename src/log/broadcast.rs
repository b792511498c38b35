//! Writes a command to every partition of the inbox, or to none of them.

use super::client::{Cluster, LogError};
use super::ports::Transactions as _;
use super::rights::{self, Operation};
use super::settings::KafkaSettings;
use super::transaction::{Outgoing, Producer, TransactionError};
use super::unavailable::Unavailable;
use std::time::Duration;

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason why a command was not written.
#[derive(Debug, thiserror::Error)]
pub enum BroadcastError {
    /// Kafka does not answer, or can't be reached as configured.
    #[error(transparent)]
    Kafka(#[from] Unavailable),
    /// The topic has no partition.
    #[error("topic {0} is missing: `ringback topics --create` creates it")]
    NoTopic(String),
}

impl From<LogError> for BroadcastError {
    fn from(error: LogError) -> Self {
        Self::Kafka(error.into())
    }
}

impl From<TransactionError> for BroadcastError {
    fn from(source: TransactionError) -> Self {
        let advice = "the command could not be written";
        Self::Kafka(Unavailable::Transaction { advice, source })
    }
}

/// Writes the record to every partition of `topic` in one transaction, and returns the number of partitions. Blocks.
///
/// # Errors
/// The record can't be written. Then no partition has it.
pub fn broadcast(
    settings: &KafkaSettings,
    topic: &str,
    key: &[u8],
    value: &[u8],
    headers: &[(&'static str, String)],
) -> Result<u32, BroadcastError> {
    let cluster = Cluster::new(settings)?;
    let counts = cluster.partition_counts([topic], Operation::Write, METADATA_TIMEOUT)?;
    let count = counts.get(topic).copied().filter(|count| *count > 0);
    let count = count.ok_or_else(|| BroadcastError::NoTopic(topic.to_owned()))?;
    // The operators' own transactional id: a producer with an instance's id would fence that instance's daemon.
    let id = rights::operator_id(&settings.group_id);
    let transactions = Producer::open_as(&id, settings, 0)?;
    transactions.begin()?;
    let send_all = || {
        for partition in 0..count {
            transactions.send(&Outgoing {
                topic,
                partition: i32::try_from(partition).ok(),
                key: Some(key),
                value: Some(value),
                headers,
                ..Outgoing::default()
            })?;
        }
        transactions.flush()?;
        transactions.commit().map(|_| count)
    };
    send_all().map_err(|error: TransactionError| {
        // If the abort fails, Kafka aborts the transaction when it times out.
        let _ = transactions.abort();
        error.into()
    })
}
