//! Dead letters in an operator's hands: found, and sent after all.
//!
//! The cast: a [`Filter`] says which letters; a [`Letter`] is one of them where it stands; a [`Plan`] says what a replay would
//! do, and is all that a dry run makes; [`Letters::replay`] does it. It needs no daemon: a delivery's replay is a command that
//! waits in the inbox, and a record goes back to where it came from.
//!
//! # How nothing is lost or doubled
//!
//! A *run* is one replay of one filter, over as many calls as it takes. It goes through its part of the topic in order, and
//! commits what it sends together with how far it has come (see [`crate::log::Replayer`]). The first call fixes the part; one
//! that was interrupted is gone on with by the next call of the same filter, and after one that has finished the next begins
//! where it stopped.
//!
//! Which letters are left alone is found by looking, and not by remembering: at the events for deliveries that were delivered
//! since, at the inbox for letters whose replay was sent already, by whatever filter, and at the letters themselves for those
//! of deliveries that were given up once more. In memory are the places and ids of the letters that match, and nothing else.
//!
//! What became of each letter since is found in the same way, for [`Letters::each_with_state`]; and [`OpenLetters`] counts
//! those of which no replay is known, for the daemon's metrics.

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
pub use open::OpenLetters;
pub use plan::{Plan, Summary};
pub use states::{LetterState, Looked, Since};

use crate::log::{LogError, TransactionError, TransactionFault, Unavailable};
use std::ops::ControlFlow;

/// What a call is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It reads the dead letters.
    Letters,
    /// It looks for replays that were sent already.
    Inbox,
    /// It looks for what was delivered since.
    Events,
    /// It sends.
    Sending,
}

/// How far a call is: offsets, or letters while it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// So much of it is done.
    pub done: u64,
    /// So much there is.
    pub all: u64,
}

/// Is told several times a second, and breaks off when it has had enough.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Why nothing came of a call, or not all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Kafka can't be reached, or does not do what it was asked. What was committed before counts.
    #[error(transparent)]
    Kafka(#[from] Unavailable),
    /// A topic is missing.
    #[error("there is no topic {0}: `ringback topics --create` creates it")]
    NoTopic(String),
    /// Somebody else replays; what was committed before counts.
    #[error(
        "another replay has begun, and this one has made room for it; once that has ended, the same command goes on"
    )]
    TakenOver,
    /// The watch broke it off before anything was sent.
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
            let advice =
                "Kafka refuses the transaction; the same command goes on from what was committed";
            Self::Kafka(Unavailable::Transaction { advice, source: error })
        }
    }
}

#[cfg(test)]
mod tests;
