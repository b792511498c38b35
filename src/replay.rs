//! Finds dead letters for operators, and replays them.
//!
//! A [`Filter`] selects letters. A [`Letter`] is one dead letter with its place in the topic. A [`Plan`] says what a
//! replay would do, and is the whole result of a dry run. [`Letters::replay`] does it. A replay needs no daemon: the
//! replay of a delivery is a command that waits in the inbox, and a record goes back to its topic.
//!
//! # How nothing is lost or doubled
//!
//! A *run* is one replay of one filter, over any number of calls. It goes through its part of the topic in order, and
//! commits what it sends together with its position (see [`crate::log::Replayer`]). The first call fixes the part. The
//! next call of the same filter continues an interrupted run. After a finished run, the next call begins a new run
//! where that one stopped.
//!
//! Which letters are skipped is read from the topics, not from stored state. The events show deliveries that were
//! delivered since. The inbox shows letters whose replay was sent already, by any filter. The letters themselves show
//! deliveries that became dead letters again. Only the places and ids of the matching letters are in memory.
//!
//! [`Letters::each_with_state`] finds the state of each letter in the same way. [`OpenLetters`] counts the letters
//! without a known replay, for the daemon's metrics.

mod filter;
mod letters;
mod note;
mod open;
mod plan;
mod run;
mod since;
mod states;
mod turn;

pub use filter::{Filter, Target, When};
pub use letters::{Letter, Letters};
pub use note::{Note, Passed};
pub use open::{OpenCount, OpenLetters};
pub use plan::{Plan, Summary};
pub use run::Pace;
pub use since::note_home;
pub use states::{LetterState, Looked, Since};

use crate::log::{LogError, TransactionError, TransactionFault, Unavailable};
use std::ops::ControlFlow;

/// The step that a call is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reads the dead letters.
    Letters,
    /// Searches the inbox for replays that were sent already.
    Inbox,
    /// Searches the events for later deliveries.
    Events,
    Sending,
}

/// The progress of a call, counted in offsets, or in letters while it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    /// The amount that is done.
    pub done: u64,
    pub all: u64,
}

/// Is called several times per second. Returns `Break` to stop the call.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// The reason why a call failed or ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Kafka can't be reached, or refuses a request. What was committed before counts.
    #[error(transparent)]
    Kafka(#[from] Unavailable),
    /// A topic does not exist.
    #[error("topic {0} does not exist: create it with `ringback topics --create`")]
    NoTopic(String),
    /// Another replay has fenced this one. What was committed before counts.
    #[error(
        "another replay has started, so this one has stopped; when the other one has ended, run the same command \
         again to continue"
    )]
    TakenOver,
    /// The watch stopped the call before anything was sent.
    #[error("interrupted before anything was sent")]
    Interrupted,
}

impl From<LogError> for ReplayError {
    fn from(error: LogError) -> Self {
        Self::Kafka(error.into())
    }
}

impl From<TransactionError> for ReplayError {
    fn from(error: TransactionError) -> Self {
        if error.fault == TransactionFault::Fenced {
            Self::TakenOver
        } else {
            let advice = "Kafka refuses the transaction; correct the cause, then run the same command again: it continues after the last commit";
            Self::Kafka(Unavailable::Transaction { advice, source: error })
        }
    }
}

#[cfg(test)]
mod tests;
