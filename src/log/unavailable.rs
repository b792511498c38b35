//! The error of a command that could not do its work on Kafka. Such a command exits with 75.

use super::client::LogError;
use super::transaction::TransactionError;

/// Kafka can't be reached, or does not do what a command requested.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{advice}")]
    Transaction {
        /// The operation that failed, and its effects.
        advice: &'static str,
        source: TransactionError,
    },
}

impl Unavailable {
    /// Returns the error of a request, if a request has failed.
    #[must_use]
    pub const fn log(&self) -> Option<&LogError> {
        match self {
            Self::Log(error) => Some(error),
            Self::Transaction { .. } => None,
        }
    }
}
