//! The errors that end the engine.

use super::Mismatch;
use crate::log::{KafkaSettings, LogError};
use crate::store::StoreError;

/// The reason why the engine stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed or is corrupt.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Kafka can't be used.
    #[error("Kafka can't be used")]
    Log(#[from] LogError),
    /// Another member has joined the group under this instance's id.
    #[error(
        "another daemon has joined the consumer group {group} as {instance}: set a different [kafka] instance_id for each \
         instance"
    )]
    Fenced {
        group: String,
        instance: String,
        /// Whether the connection to Kafka was disturbed lately. Then the other member may be an earlier join of this
        /// instance.
        was_disturbed: bool,
    },
    #[error("the consumer failed: {0}")]
    Consumer(String),
    /// The rows in Kafka or in the store can't be used.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// The reader's thread ended by itself.
    #[error("the thread that reads Kafka has ended unexpectedly")]
    Reader,
}

impl From<Mismatch> for EngineError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

impl EngineError {
    /// Returns [`EngineError::Fenced`] for the instance of these settings.
    pub(super) fn fenced(kafka: &KafkaSettings, was_disturbed: bool) -> Self {
        let (group, instance) = (kafka.group_id.clone(), kafka.instance_id.clone());
        Self::Fenced { group, instance, was_disturbed }
    }
}
