//! Rebuilds a changelog that was deleted, emptied or replaced from this machine's store.
//!
//! The store is only read. Each partition is written in transactions of bounded size, in the order of its keys. Each
//! transaction ends with the meta row, which records the progress. A rebuild that was interrupted continues from there.
//! The last transaction of a partition marks its rows as complete. It is made only after the partition was read back
//! and equals the store. A daemon refuses the changelog until then.
//!
//! No daemon may run meanwhile: the consumer group must have no members. All rebuilds of a group use the same
//! transactional id, so a new rebuild fences an older one.

mod plan;
mod write;

pub use plan::{Action, Behind, PartitionPlan, Plan};

use crate::log::{
    Cluster, HasMembers, KafkaSettings, LogError, PositionReader, Scanner, TopicNames,
    TransactionError, TransactionFault, Unavailable,
};
use crate::store::{StoreError, StoreView};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The operator's options for a rebuild.
#[derive(Clone, Debug, Default)]
pub struct RebuildRequest {
    /// The partitions to rebuild. If empty, all partitions of the store.
    pub only: Vec<i32>,
    /// Whether to rebuild even if another copy of the store may be newer.
    pub older: bool,
    /// The number of partitions that the changelog had, for stores that do not contain it.
    pub count: Option<u32>,
}

/// The progress of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The partition that is being written.
    pub partition: i32,
    /// The rows of the partition that are written.
    pub rows: u64,
    /// All rows of the partition.
    pub all: u64,
}

/// Is called after each transaction that writes rows. `Break` interrupts the rebuild.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// The reason why a rebuild failed or was incomplete.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Kafka can't be reached, or refused a request. Earlier transactions are committed.
    #[error(transparent)]
    Kafka(#[from] Unavailable),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no store in this directory.
    #[error("there is no store in {} ([store] directory): run this on a machine that has one", .0.display())]
    NoStore(PathBuf),
    /// Another command with the same transactional id has begun.
    #[error(
        "another rebuild or `ringback offsets` has begun, so this rebuild has stopped; run this command again afterwards"
    )]
    TakenOver,
    /// Daemons run.
    #[error(transparent)]
    Members(#[from] HasMembers),
    /// The store does not fit the changelog or the configuration.
    #[error("{0}")]
    Refused(String),
    /// The callback interrupted the rebuild.
    #[error("interrupted; run the same command again to continue")]
    Interrupted,
}

impl From<LogError> for RebuildError {
    fn from(error: LogError) -> Self {
        Self::Kafka(error.into())
    }
}

impl From<TransactionError> for RebuildError {
    fn from(error: TransactionError) -> Self {
        if error.fault == TransactionFault::Fenced {
            Self::TakenOver
        } else {
            let advice = "Kafka refuses the transaction; correct the cause, then run the same command again: it continues after the last commit";
            Self::Kafka(Unavailable::Transaction { advice, source: error })
        }
    }
}

/// A rebuild of a changelog from a store.
pub struct Rebuild {
    kafka: KafkaSettings,
    topics: TopicNames,
    store: StoreView,
    cluster: Cluster,
    scanner: Scanner,
    positions: PositionReader,
}

impl Rebuild {
    /// Opens the store and creates the Kafka clients.
    ///
    /// # Errors
    /// There is no store, it can't be read, or a property of `[kafka.client]` is wrong.
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

    /// Fails while the group has members.
    fn check_alone(&self) -> Result<(), RebuildError> {
        Ok(self.cluster.check_alone(&self.kafka.group_id, REQUEST_TIMEOUT)??)
    }
}
