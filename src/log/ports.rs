//! The log that an engine runs on. There are two: Kafka in the daemon, and a simulation of it in tests, where the same engine
//! lives through thousands of faults a second.

use super::client::LogError;
use super::describe::Identity;
use super::landmark::Found;
use super::position::{Begin, GroupOffset};
use super::reader::Start;
use super::record::TopicPartition;
use super::restore::{Changelog, Step};
use super::transaction::{Committed, Outgoing, TransactionError};
use crate::codec::row::{Landmark, Owner};
use std::collections::BTreeMap;

/// The inputs as a member of the group reads them, and everything else that the engine asks of Kafka.
pub trait Log: Sized {
    /// The instance's transactional producer.
    type Transactions: Transactions<Log = Self>;
    /// The changelog, to restore from.
    type Changelog: Changelog + Send + 'static;
    /// Requests that are made beside the engine.
    type Offsets: Offsets + Send + 'static;
    /// A restore that is running.
    type Restoring;

    /// Opens a producer, once the transactions of its predecessor have ended. Blocks.
    ///
    /// # Errors
    /// When Kafka can't be used.
    fn open_transactions(&self) -> Result<Self::Transactions, LogError>;

    /// Starts reading partitions of the assignment `epoch`.
    fn start(&self, epoch: u64, starts: Vec<Start>);

    /// Stops all partitions until they are started again. Records that were read before carry an older epoch than the one
    /// that is returned.
    fn hold(&self) -> u64;

    /// Lets the reader read as many bytes more as are processed.
    fn release_budget(&self, bytes: usize);

    /// Returns a client for requests beside the engine.
    fn offsets(&self) -> Self::Offsets;

    /// Opens the changelog. Blocks.
    ///
    /// # Errors
    /// When a client can't be made.
    fn changelog(&self) -> Result<Self::Changelog, LogError>;

    /// Leaves the group. The revocation that this brings must be answered.
    fn close(&self);

    /// Returns whether the group was left.
    fn closed(&self) -> bool;

    /// Runs a restore beside the engine: calls `step` until it is done.
    fn restore(&self, step: impl FnMut() -> Step + Send + 'static) -> Self::Restoring;

    /// Ends a restore, and waits until its step has returned.
    fn cancel(&self, restoring: Self::Restoring);

    /// Waits until the reader has ended.
    fn join(self);
}

/// What the group committed, and what the inputs are. Every call blocks.
pub trait Offsets {
    /// Returns the offsets that the group committed for `places`, once no transaction on them is open. Places without an
    /// offset are left out.
    ///
    /// # Errors
    /// When Kafka does not answer.
    fn committed(
        &self,
        places: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, LogError>;

    /// Returns the offset at which an input partition begins.
    ///
    /// # Errors
    /// When Kafka does not answer.
    fn offset_at(&self, place: &TopicPartition, begin: Begin) -> Result<i64, LogError>;

    /// Returns the ids of the cluster and of `topics`.
    ///
    /// # Errors
    /// When Kafka does not answer.
    fn identity(&self, topics: &[&str]) -> Result<Identity, LogError>;

    /// Compares the record at a landmark of an input partition with the landmark.
    ///
    /// # Errors
    /// When Kafka does not answer.
    fn found(&self, place: &TopicPartition, landmark: Landmark) -> Result<Found, LogError>;

    /// Returns the owners that the newest meta rows of the changelog's partitions name.
    ///
    /// # Errors
    /// When Kafka does not answer.
    fn owners(&self) -> Result<BTreeMap<i32, Owner>, LogError>;
}

/// Transactions, one after the other.
pub trait Transactions {
    /// The log whose membership of the group the offsets are committed with.
    type Log;

    /// Begins a transaction.
    ///
    /// # Errors
    /// By [`super::TransactionFault`].
    fn begin(&self) -> Result<(), TransactionError>;

    /// Adds a record. Waits while the queue is full.
    ///
    /// # Errors
    /// By [`super::TransactionFault`].
    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError>;

    /// Adds the inputs' offsets, with the current membership of `log`.
    ///
    /// # Errors
    /// By [`super::TransactionFault`]. An instance that is no member of the group at the moment must abort.
    fn offsets<'a>(
        &self,
        log: &Self::Log,
        offsets: impl Iterator<Item = (&'a TopicPartition, &'a GroupOffset)>,
    ) -> Result<(), TransactionError>;

    /// Waits until Kafka has every record, or has refused it; the commit says which.
    ///
    /// # Errors
    /// When records are still on their way.
    fn flush(&self) -> Result<(), TransactionError>;

    /// Returns where the rows of the transaction stand that have arrived: all of them, once it is flushed.
    fn written(&self) -> Committed;

    /// Commits. The same call may be made again after [`super::TransactionFault::Retriable`], and no other.
    ///
    /// # Errors
    /// By [`super::TransactionFault`]; only `Abortable` says that nothing was committed.
    fn commit(&self) -> Result<Committed, TransactionError>;

    /// Aborts the transaction.
    ///
    /// # Errors
    /// By [`super::TransactionFault`].
    fn abort(&self) -> Result<(), TransactionError>;

    /// Notes what the transaction is made of, for a simulation that compares.
    #[cfg(test)]
    fn witness(&self, _decided: &dyn std::any::Any) {}
}
