//! The changelog, written from this machine's store: for a changelog that was deleted, emptied or replaced.
//!
//! The store is only read. Each partition is written in transactions of bounded size, in the order of its keys, and each
//! transaction ends with the meta row, which says how far the rebuild has come. A rebuild that was interrupted goes on from
//! there. The last transaction of a partition says that its rows are complete; it is made only once the partition was read
//! back and holds what the store holds. A daemon that starts before refuses the changelog.
//!
//! No daemon may run meanwhile: the group must be without members, and there is one producer for all rebuilds of a group.

mod plan;
mod write;

pub use plan::{Action, Behind, PartitionPlan, Plan};

use crate::log::{
    Cluster, KafkaSettings, LogError, PositionReader, Scanner, TopicNames, TransactionError,
    TransactionFault,
};
use crate::store::{StoreError, StoreView};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What an operator asks for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// These partitions; none: all that the store has.
    pub only: Vec<u32>,
    /// Also from a store that another copy may be ahead of.
    pub older: bool,
    /// How many partitions the changelog had, for stores that do not say it.
    pub count: Option<u32>,
}

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The partition that it is at.
    pub partition: u32,
    /// So many of the partition's rows are written.
    pub rows: u64,
    /// So many there are.
    pub all: u64,
}

/// Is told of progress, and breaks off when it has had enough.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Why nothing came of a rebuild, or not all.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Kafka can't be reached, or does not do what it was asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no store.
    #[error("there is no store in {} ([store] directory): run this on a machine that has one", .0.display())]
    NoStore(PathBuf),
    /// A transaction failed. What was committed before counts.
    #[error("Kafka refuses the transaction; the same command goes on from what was committed")]
    Transaction(#[source] TransactionError),
    /// Somebody else rebuilds.
    #[error(
        "another rebuild or `ringback offsets` has begun, and this rebuild has stopped for it; run this command again afterwards"
    )]
    TakenOver,
    /// Daemons run.
    #[error(
        "the consumer group {group} has {members} members: stop all instances and run this command again (Kafka removes an \
         instance that was killed once its session has timed out)"
    )]
    Members {
        /// The group.
        group: String,
        /// How many.
        members: usize,
    },
    /// The store and Kafka do not fit.
    #[error("{0}")]
    Refused(String),
    /// The watch broke it off.
    #[error("interrupted; the same command goes on from what was written")]
    Interrupted,
}

impl From<TransactionError> for RebuildError {
    fn from(error: TransactionError) -> Self {
        if error.fault == TransactionFault::Fenced {
            Self::TakenOver
        } else {
            Self::Transaction(error)
        }
    }
}

/// A changelog and the store that it is rebuilt from.
pub struct Rebuild {
    kafka: KafkaSettings,
    topics: TopicNames,
    store: StoreView,
    cluster: Cluster,
    scanner: Scanner,
    positions: PositionReader,
}

impl Rebuild {
    /// Opens the store and the clients.
    ///
    /// # Errors
    /// When there is no store, or a property of `[kafka.client]` is wrong.
    pub fn new(
        kafka: &KafkaSettings,
        topics: &TopicNames,
        directory: &Path,
    ) -> Result<Self, RebuildError> {
        let store = StoreView::open(directory)?;
        Ok(Self {
            kafka: kafka.clone(),
            topics: topics.clone(),
            store: store.ok_or_else(|| RebuildError::NoStore(directory.to_owned()))?,
            cluster: Cluster::new(kafka)?,
            scanner: Scanner::new(kafka)?,
            positions: PositionReader::new(kafka)?,
        })
    }

    /// Refuses while the group has members.
    fn check_alone(&self) -> Result<(), RebuildError> {
        let group = &self.kafka.group_id;
        match self.cluster.members(group, REQUEST_TIMEOUT)? {
            0 => Ok(()),
            members => Err(RebuildError::Members { group: group.clone(), members }),
        }
    }
}
