//! The log that the engine stands on. There are two: Kafka in the daemon, and a simulation of it in tests, where the same
//! engine lives through thousands of faults a second.

use super::restore::Restorer;
use crate::codec::row::{Landmark, Owner};
use crate::log::{
    Begin, Changelog, Committed, Found, GroupOffset, Identity, LogError, Outgoing, Place, Start,
    TransactionError,
};
use std::collections::BTreeMap;

/// The inputs, as a member of the group has them, and the log's other half.
pub(super) trait Log: Sized {
    /// The instance's transactional producer.
    type Transactions: Transactions<Self>;
    /// The changelog, to be restored from.
    type Changelog: Changelog;
    /// What the group committed, asked beside the engine.
    type Offsets: Offsets;
    /// A restore that is running.
    type Restoring;

    /// A producer whose predecessor's transactions have ended. Blocks.
    fn open_transactions(&self) -> Result<Self::Transactions, LogError>;

    /// Starts partitions of the assignment `epoch` that are restored.
    fn start(&self, epoch: u64, starts: Vec<Start>);

    /// Stops all partitions until they are started again; records read before carry an older number than the one returned.
    fn hold(&self) -> u64;

    /// The reader may go on for as much as is done with.
    fn open_gate(&self, bytes: usize);

    /// Asks what the group committed.
    fn offsets(&self) -> Self::Offsets;

    /// The changelog. Blocks.
    fn changelog(&self) -> Result<Self::Changelog, LogError>;

    /// Leaves the group; the revocation that this brings must be answered.
    fn close(&self);

    /// Whether it was left.
    fn closed(&self) -> bool;

    /// Runs a restore beside the engine, to its end.
    fn restore(&self, restorer: Restorer<Self>) -> Self::Restoring;

    /// Ends a restore, and waits until it writes no more.
    fn cancel(&self, restoring: Self::Restoring);

    /// Ends when the reader has.
    fn join(self);
}

/// What the group committed, and what the inputs are, asked beside the engine.
pub(super) trait Offsets {
    /// The offsets that the group committed for `places`. Blocks.
    fn committed(&self, places: &[Place]) -> Result<BTreeMap<Place, GroupOffset>, LogError>;

    /// The offset at which an input partition begins. Blocks.
    fn offset_at(&self, place: &Place, begin: Begin) -> Result<i64, LogError>;

    /// The ids of the cluster and of `topics`. Blocks.
    fn identity(&self, topics: &[&str]) -> Result<Identity, LogError>;

    /// What stands at a landmark of an input partition. Blocks.
    fn found(&self, place: &Place, landmark: Landmark) -> Result<Found, LogError>;

    /// What the newest meta rows of the changelog's partitions say. Blocks.
    fn owners(&self) -> Result<BTreeMap<i32, Owner>, LogError>;
}

/// One transaction after the other.
pub(super) trait Transactions<L> {
    /// Begins one.
    fn begin(&self) -> Result<(), TransactionError>;
    /// Adds a record.
    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError>;
    /// Adds the inputs' offsets, in the name of the reader's current membership.
    fn offsets<'a>(
        &self,
        log: &L,
        offsets: impl Iterator<Item = (&'a Place, &'a GroupOffset)>,
    ) -> Result<(), TransactionError>;
    /// Waits until its records have arrived, or are given up.
    fn flush(&self) -> Result<(), TransactionError>;
    /// Where the rows of the transaction stand that have arrived: per partition of the changelog the offset behind them.
    fn written(&self) -> Committed;
    /// Commits it.
    fn commit(&self) -> Result<Committed, TransactionError>;
    /// What the transaction is made of.
    #[cfg(test)]
    fn witness(&self, _decided: &[super::tests::Witness]) {}
    /// Aborts it.
    fn abort(&self) -> Result<(), TransactionError>;
}
