//! What operators may see: each question has a function that reads, and a typed answer that can be serialised.
//!
//! - [`trace`]: everything that is known of one phonon-uuid.
//! - [`webhooks`]: how the configured webhooks' endpoints do.
//! - [`dead_letters`]: dead letters with what became of them, and what a replay did.
//! - [`verification`]: what does not fit together in topics, store and receivers' logs.
//! - [`preview`]: the request that a webhook makes of given records.
//!
//! The commands print these answers. Nothing here writes anything, needs a running daemon, or knows how an answer is shown.
//! Whatever takes its time says how far it is to a [`Watch`](crate::log::Watch), which may break it off.
//!
//! It stands above `replay` and `verify`: what they find is part of the answers.

pub mod dead_letters;
pub mod preview;
pub mod trace;
pub mod verification;
pub mod webhooks;

pub use verification::receiver::ReceiverError;

use crate::codec::row::RowError;
use crate::log::{LogError, Unavailable};
use crate::store::StoreError;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Kafka can't be reached, or refuses.
    #[error(transparent)]
    Kafka(#[from] Unavailable),
    /// A newer version wrote the row, or it is damaged.
    #[error("partition {0} of the changelog, offset {1}: the row can't be read by this version")]
    Row(i32, i64, #[source] RowError),
    /// The store's directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A receiver's log.
    #[error("{0}")]
    Receiver(String, #[source] ReceiverError),
    /// A topic of the daemon's own.
    #[error("there is no topic {0}: `ringback topics --create` creates it")]
    NoTopic(String),
    /// The watch broke it off.
    #[error("interrupted")]
    Interrupted,
}

impl From<LogError> for InspectError {
    fn from(error: LogError) -> Self {
        Self::Kafka(error.into())
    }
}
