//! The log that an engine runs on. There are two: Kafka in the daemon, and a simulation in tests, which injects
//! thousands of faults a second into the same engine.

use super::client::LogError;
use super::describe::Identity;
use super::landmark::Found;
use super::position::{Begin, GroupOffset};
use super::reader::Start;
use super::record::TopicPartition;
use super::restore::{Changelog, Continuation};
use super::transaction::{Committed, Outgoing, TransactionError};
use crate::codec::row::{Landmark, Owner};
use std::collections::BTreeMap;

/// The inputs as a member of the group reads them, and every other request of the engine to Kafka.
pub trait Log: Sized {
    /// The instance's membership in the group.
    type Member: Send + 'static;
    /// The instance's transactional producer.
    type Transactions: Transactions<Member = Self::Member> + Send + 'static;
    /// The changelog that a restore reads.
    type Changelog: Changelog + Send + 'static;
    /// A client for requests in parallel to the engine.
    type Offsets: Offsets + Send + 'static;
    /// A restore that is running.
    type Restoring;

    /// Opens a producer, once the transactions of its predecessor have ended. Blocks.
    ///
    /// # Errors
    /// Kafka can't be used.
    fn open_transactions(&self) -> Result<Self::Transactions, LogError>;

    /// Returns the instance's membership in the group, which transactions name.
    fn member(&self) -> Self::Member;

    /// Runs a transaction in parallel to the engine.
    fn run(&self, transaction: Box<dyn FnOnce() + Send>);

    /// Waits until the transactions that run have ended.
    fn settle(&self);

    /// Starts reading partitions of the assignment `epoch`.
    fn start(&self, epoch: u64, starts: Vec<Start>);

    /// Stops all partitions until they are started again. Returns the new epoch; records that were read before carry an
    /// older one.
    fn hold(&self) -> u64;

    /// Returns the bytes of processed records to the read budget.
    fn release_budget(&self, bytes: usize);

    /// Returns a client for requests in parallel to the engine.
    fn offsets(&self) -> Self::Offsets;

    /// Opens the changelog. Blocks.
    ///
    /// # Errors
    /// A client can't be created.
    fn changelog(&self) -> Result<Self::Changelog, LogError>;

    /// Leaves the group. The caller must answer the revocation that follows.
    fn close(&self);

    /// Returns whether the group was left.
    fn closed(&self) -> bool;

    /// Runs a restore in parallel to the engine: calls `step` until it is done.
    fn restore(&self, step: impl FnMut() -> Continuation + Send + 'static) -> Self::Restoring;

    /// Ends a restore, and waits until its step has returned.
    fn cancel(&self, restoring: Self::Restoring);

    /// Waits until the reader has ended.
    fn join(self);
}

/// The group's committed offsets, and the identity of the inputs. Every call blocks.
pub trait Offsets {
    /// Returns the offsets that the group committed for `places`, once no transaction on them is open. Places without
    /// an offset are left out.
    ///
    /// # Errors
    /// Kafka does not answer.
    fn committed(
        &self,
        places: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, LogError>;

    /// Returns the offset at which an input partition begins.
    ///
    /// # Errors
    /// Kafka does not answer.
    fn offset_at(&self, place: &TopicPartition, begin: Begin) -> Result<i64, LogError>;

    /// Returns the ids of the cluster and of `topics`.
    ///
    /// # Errors
    /// Kafka does not answer.
    fn identity(&self, topics: &[&str]) -> Result<Identity, LogError>;

    /// Compares the record at a landmark of an input partition with the landmark.
    ///
    /// # Errors
    /// Kafka does not answer.
    fn found(&self, place: &TopicPartition, landmark: Landmark) -> Result<Found, LogError>;

    /// Returns the owners that the newest meta rows of the changelog's partitions name. Waits for open transactions.
    ///
    /// # Errors
    /// Kafka does not answer.
    fn owners(&self) -> Result<BTreeMap<i32, Owner>, LogError>;
}

/// A producer that runs one transaction after the other.
pub trait Transactions {
    /// The membership in the group that commits the offsets.
    type Member: Send + 'static;

    /// Begins a transaction.
    ///
    /// # Errors
    /// The call failed; [`super::TransactionFault`] says what is possible next.
    fn begin(&self) -> Result<(), TransactionError>;

    /// Adds a record. Waits while the queue is full.
    ///
    /// # Errors
    /// The call failed; [`super::TransactionFault`] says what is possible next.
    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError>;

    /// Adds the inputs' offsets, as the member of the group that the instance is now.
    ///
    /// # Errors
    /// The call failed; [`super::TransactionFault`] says what is possible next. An instance that is not a member of the
    /// group at the moment must abort.
    fn offsets<'a>(
        &self,
        member: &Self::Member,
        offsets: impl Iterator<Item = (&'a TopicPartition, &'a GroupOffset)>,
    ) -> Result<(), TransactionError>;

    /// Waits until Kafka has accepted or refused every record. The commit reports a refusal.
    ///
    /// # Errors
    /// Some records are still in flight.
    fn flush(&self) -> Result<(), TransactionError>;

    /// Returns the changelog offsets of the transaction's rows that have arrived. After a flush, these are all of them.
    fn written(&self) -> Committed;

    /// Commits the transaction. After [`super::TransactionFault::Retriable`], only the same call may be made again.
    ///
    /// # Errors
    /// The call failed; see [`super::TransactionFault`]. Only `Abortable` guarantees that nothing was committed.
    fn commit(&self) -> Result<Committed, TransactionError>;

    /// Aborts the transaction.
    ///
    /// # Errors
    /// The call failed; see [`super::TransactionFault`].
    fn abort(&self) -> Result<(), TransactionError>;

    /// Shows the transaction's content to a simulation that compares it.
    #[cfg(test)]
    fn witness(&self, _decided: &dyn std::any::Any) {}
}
