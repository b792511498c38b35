//! Failpoints: moments at which a test makes the process die, one for each row of the table of crashes.
//!
//! They do nothing without the feature `failpoints`. With it, `RINGBACK_FAILPOINT=committed:3` makes the process die
//! when it passes `committed` for the third time. With `committed:3:stop` the process stops there until it gets
//! SIGCONT, so that a test can act meanwhile.

#[cfg(feature = "failpoints")]
pub(crate) mod armed;

/// A moment at which a crash may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// A command is decided, and nothing is produced yet.
    Deciding,
    /// Kafka has the records of a batch, but not its offsets.
    Produced,
    /// The transaction also has the offsets.
    Offered,
    /// The commit is requested, and its answer has not arrived.
    CommitSent,
    /// A transaction without outcomes is committed, and the process has not acted on that.
    Committed,
    /// A transaction with outcomes is committed, and their rows in the store are still the old ones.
    OutcomeCommitted,
    /// An endpoint has answered, and the outcome is not recorded.
    Attempted,
    /// A batch is written to the store. The store has no write-ahead log, so a crash loses the batch.
    Stored,
    /// Some rows of a restore are durable in the store, and others are not. Nothing was sent since.
    Ingested,
    /// Revoked partitions are drained, committed and written, and the consumer group does not know it yet.
    Drained,
    /// One file of a damaged store is moved aside, and others are not.
    Moving,
    /// A damaged store is set aside, and the new store does not exist yet.
    SetAside,
    /// A part of a changelog is rebuilt, and the rest is not.
    Rebuilt,
    /// Kafka has the rows and events of moved positions, and the transaction is still open.
    PositionsSent,
    /// A part of a changelog is copied to another number of partitions, and the rest is not.
    RowsCopied,
    /// A changelog is copied and compared, and the unread records of the inbox are not copied.
    RowsCompared,
    /// Kafka has the last rows and offsets of a repartition, and the transaction is still open.
    SwitchSent,
    /// A repartition is committed, and the command has not reported it.
    Switched,
}

impl Failpoint {
    /// Returns the name for `RINGBACK_FAILPOINT`.
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
            Self::RowsCopied => "rows-copied",
            Self::RowsCompared => "rows-compared",
            Self::SwitchSent => "switch-sent",
            Self::Switched => "switched",
        }
    }
}

/// Does nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn pass(_point: Failpoint) {}

/// Stops or kills the process if the environment says so for this point and this pass.
#[cfg(feature = "failpoints")]
pub fn pass(point: Failpoint) {
    if armed::strikes(point) {
        armed::stop_or_die(point);
    }
}
