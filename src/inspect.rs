//! Answers to operators' questions: each question has a function that reads, and a typed answer that can be serialised.
//!
//! - [`accounts`]: the accounts in force, each setting with its source.
//! - [`trace`]: everything that is known about one phonon-uuid.
//! - [`webhooks`]: the configured webhooks with the state of their endpoints.
//! - [`dead_letters`]: dead letters with their state.
//! - [`verification`]: contradictions between topics, store and receivers' logs.
//! - [`preview`]: the request that a webhook makes from given records.
//! - [`trial`]: a test message with its result.
//!
//! The commands print these answers. Nothing here writes anything, needs a running daemon, or knows how an answer is
//! shown. Long readings report their progress to a [`Watch`](crate::log::Watch), which may stop them.
//!
//! This module is above `replay` and `verify`, because its answers contain their results.

pub mod accounts;
pub mod dead_letters;
pub mod preview;
pub mod trace;
pub mod trial;
pub mod verification;
pub mod webhooks;

pub use verification::receiver::ReceiverError;

use crate::codec::row::RowError;
use crate::log::{LogError, Unavailable};
use crate::store::StoreError;

/// The reason why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Kafka can't be reached, or refuses the request.
    #[error(transparent)]
    Kafka(#[from] Unavailable),
    /// A newer version wrote the row, or it is damaged. The numbers are the partition and the offset in the changelog.
    #[error("partition {0} of the changelog, offset {1}: the row can't be read by this version")]
    Row(i32, i64, #[source] RowError),
    /// The store can't be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A receiver's log, whose path is the text, can't be read.
    #[error("{0}")]
    Receiver(String, #[source] ReceiverError),
    /// One of the daemon's own topics does not exist.
    #[error("topic {0} does not exist: create it with `ringback topics --create`")]
    NoTopic(String),
    /// The watch stopped the reading.
    #[error("interrupted")]
    Interrupted,
}

impl From<LogError> for InspectError {
    fn from(error: LogError) -> Self {
        Self::Kafka(error.into())
    }
}
