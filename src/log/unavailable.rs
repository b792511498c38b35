//! Why a command could not do its work on Kafka: the one error for which commands end with 75.

use super::client::LogError;
use super::transaction::TransactionError;

/// Kafka can't be reached, or does not do what a command asked of it.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// A request failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A transaction failed.
    #[error("{advice}")]
    Transaction {
        /// What failed, and what counts all the same.
        advice: &'static str,
        /// What Kafka said.
        source: TransactionError,
    },
}

impl Unavailable {
    /// The request that failed, if it was one.
    #[must_use]
    pub const fn log(&self) -> Option<&LogError> {
        match self {
            Self::Log(error) => Some(error),
            Self::Transaction { .. } => None,
        }
    }
}
