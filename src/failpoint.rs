//! Moments at which a test has the process die: the rows of the table of crashes.
//!
//! Only with the feature `failpoints` is there anything in it, and only with `RINGBACK_FAILPOINT=committed:3` does a process
//! die: the third time that it passes `committed`. With `committed:3:stop` it stops there until it gets SIGCONT, so that a test
//! can do something else meanwhile.

#[cfg(feature = "failpoints")]
pub(crate) mod armed;

/// A moment that a crash may hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// A command is decided, and nothing is produced yet.
    Deciding,
    /// Kafka has a batch's records, but not its offsets.
    Produced,
    /// The offsets are part of the transaction, too.
    Offered,
    /// The commit is asked for, and nobody has heard its answer.
    CommitSent,
    /// A transaction without outcomes is committed, and nobody in the process knows.
    Committed,
    /// A transaction with outcomes is committed, and their rows still stand as they were.
    OutcomeCommitted,
    /// An endpoint has answered, and nothing of that is recorded.
    Attempted,
    /// A batch is written to the store, which has no log of its own: it is lost again.
    Stored,
    /// Rows of a restore are durable in the store, others are not, and nothing was sent since.
    Ingested,
    /// Partitions that are taken away are drained, committed and written, and the group does not know.
    Drained,
    /// A file of a store that is set aside is moved, others are not.
    Moving,
    /// A damaged store is set aside, and there is no other one yet.
    SetAside,
    /// A part of a changelog is rebuilt, and the rest is not.
    Rebuilt,
    /// Kafka has the rows and events of positions that are moved, and the transaction is still open.
    PositionsSent,
}

impl Failpoint {
    /// Its name in the environment.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deciding => "deciding",
            Self::Produced => "produced",
            Self::Offered => "offered",
            Self::CommitSent => "commit-sent",
            Self::Committed => "committed",
            Self::OutcomeCommitted => "outcome-committed",
            Self::Attempted => "attempted",
            Self::Stored => "stored",
            Self::Ingested => "ingested",
            Self::Drained => "drained",
            Self::Moving => "moving",
            Self::SetAside => "set-aside",
            Self::Rebuilt => "rebuilt",
            Self::PositionsSent => "positions-sent",
        }
    }
}

/// The process may die here.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn pass(_point: Failpoint) {}

/// The process may die here.
#[cfg(feature = "failpoints")]
pub fn pass(point: Failpoint) {
    if armed::strikes(point) {
        armed::stop_or_die(point);
    }
}
