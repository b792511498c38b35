//! Gives changelog and inbox another number of partitions, by copying them to new topics.
//!
//! The hash of a uuid selects the partition of its row. So another number of partitions needs another changelog. Three
//! parts follow each other:
//!
//! 1. While daemons run, [`copy`] copies the rows of the changelog in the order of its log. The progress is committed
//!    in the transaction of the rows, as offsets of a consumer group of its own. Every partition of the new changelog
//!    has a meta row that marks it as an unfinished copy, so that no daemon uses it.
//! 2. Once the consumer group has no members, the rest is copied, and [`compare`] compares all rows.
//! 3. [`switch`] copies the unread records of the inbox and the state of the endpoints. One last transaction completes
//!    the new changelog, moves the group's offsets to it, and marks the former changelog as replaced.
//!
//! The former topics keep their records. A run that was interrupted is continued by the next one. All commands that
//! write state while no daemon runs use the same transactional id, so a new one fences an older one. An instance that
//! starts before the last transaction prevents it. An instance that starts later finds the mark.

mod compare;
mod copy;
mod inbox;
mod place;
mod plan;
mod switch;

pub use plan::{Plan, State};

use crate::log::{
    Cluster, GroupName, HasMembers, KafkaSettings, LogError, NeededBy, Operation, PositionReader,
    Right, Scanner, Steward, TopicNames, TransactionError, TransactionFault, Unavailable, missing,
    repartition_group,
};
use crate::offsets::{Offsets, OffsetsError};
use std::ops::ControlFlow;
use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The operator's options for a repartition.
#[derive(Clone, Debug)]
pub struct RepartitionRequest {
    /// The number of partitions of the new topics, at least 1.
    pub partitions: u32,
    /// The new changelog.
    pub changelog: String,
    /// The new inbox.
    pub inbox: String,
    /// How long to wait for the instances to stop. `None`: without a limit.
    pub wait: Option<Duration>,
}

/// The progress of a repartition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Rows are being copied: offsets that are done, and all.
    Copying { done: u64, all: u64 },
    /// The copy follows the changelog within a second. The group still has members.
    Waiting { members: usize },
    /// Both changelogs are being read and compared: offsets that are done, and all.
    Comparing { done: u64, all: u64 },
}

/// Is called several times a second. `Break` interrupts the repartition.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// The result of a repartition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Summary {
    /// The number of records that were copied from the changelog.
    pub copied: u64,
    /// The number of rows in the new changelog that belong to uuids.
    pub rows: u64,
    /// The number of unread records that were copied from the inbox.
    pub inbox: u64,
    /// The time since the group had no members.
    pub stopped: Duration,
}

/// The reason why a repartition failed or was incomplete.
#[derive(Debug, thiserror::Error)]
pub enum RepartitionError {
    /// Kafka can't be reached, or refused a request. Earlier transactions are committed.
    #[error(transparent)]
    Kafka(#[from] Unavailable),
    /// Another command with the same transactional id has begun.
    #[error(
        "another `ringback repartition`, `ringback offsets` or `ringback changelog rebuild` has begun, so this command has stopped"
    )]
    TakenOver,
    /// An instance has started after the group had no members.
    #[error("{0}. The instances may go on: nothing was changed for them")]
    Members(HasMembers),
    /// The instances were not stopped in time.
    #[error(
        "the consumer group still has {0} members, and the time of --wait is over. Run the same command again: it continues"
    )]
    StillRunning(usize),
    /// The topics or the request do not fit, or the copy is not equal.
    #[error("{0}")]
    Refused(String),
    /// The callback interrupted the repartition.
    #[error(
        "interrupted; run the same command again to continue, or start the instances as before"
    )]
    Interrupted,
}

impl From<LogError> for RepartitionError {
    fn from(error: LogError) -> Self {
        Self::Kafka(error.into())
    }
}

impl From<OffsetsError> for RepartitionError {
    fn from(error: OffsetsError) -> Self {
        match error {
            OffsetsError::Kafka(error) => Self::Kafka(error),
            OffsetsError::TakenOver => Self::TakenOver,
            OffsetsError::Members(members) => Self::Members(members),
            OffsetsError::Refused(text) => Self::Refused(text),
        }
    }
}

impl From<TransactionError> for RepartitionError {
    fn from(error: TransactionError) -> Self {
        if error.fault == TransactionFault::Fenced {
            Self::TakenOver
        } else {
            let advice = "Kafka refuses the transaction; correct the cause, then run the same command again: it continues after the last commit";
            Self::Kafka(Unavailable::Transaction { advice, source: error })
        }
    }
}

/// A repartition of the changelog and the inbox.
pub struct Repartition {
    kafka: KafkaSettings,
    /// The topics of the configuration.
    topics: TopicNames,
    /// The same with the new changelog and inbox.
    new: TopicNames,
    request: RepartitionRequest,
    cluster: Cluster,
    scanner: Scanner,
    positions: PositionReader,
    offsets: Offsets,
    /// The settings with the group that holds the progress.
    progress: KafkaSettings,
}

impl Repartition {
    /// Creates the Kafka clients. They connect with the first request.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn new(
        kafka: &KafkaSettings,
        topics: &TopicNames,
        request: RepartitionRequest,
    ) -> Result<Self, RepartitionError> {
        let RepartitionRequest { changelog, inbox, .. } = request.clone();
        Ok(Self {
            new: TopicNames { changelog, inbox, ..topics.clone() },
            cluster: Cluster::new(kafka)?,
            scanner: Scanner::new(kafka)?,
            positions: PositionReader::new(kafka)?,
            offsets: Offsets::new(kafka, topics)?,
            progress: KafkaSettings {
                group_id: repartition_group(&kafka.group_id),
                ..kafka.clone()
            },
            kafka: kafka.clone(),
            topics: topics.clone(),
            request,
        })
    }

    /// Carries out the repartition, or continues an interrupted one. Creates missing topics on `runtime`. Blocks until
    /// the instances are stopped and everything is copied.
    ///
    /// # Errors
    /// The repartition is not finished. The same call continues it.
    pub fn run(
        &self,
        runtime: &tokio::runtime::Handle,
        watch: Watch<'_>,
    ) -> Result<Summary, RepartitionError> {
        // Opening the steward fences another command that still runs, and aborts its open transaction.
        let mut kafka = self.kafka.clone();
        // The last transaction asks about every partition of the inputs.
        kafka.client.entry("transaction.timeout.ms".to_owned()).or_insert("60000".to_owned());
        let steward = Steward::open(&kafka)?;
        let plan = self.plan()?;
        if plan.state == State::Done {
            return Ok(Summary::default());
        }
        let group = GroupName::new(&self.progress)?;
        let mut copier = self.begin(&plan, (&steward, &group), runtime)?;
        self.follow(&mut copier, watch)?;
        self.switch(&plan, &mut copier, watch)
    }

    /// Fails while the group has members.
    fn check_alone(&self) -> Result<(), RepartitionError> {
        let alone = self.cluster.check_alone(&self.kafka.group_id, REQUEST_TIMEOUT)?;
        alone.map_err(RepartitionError::Members)
    }

    /// Checks the rights first, so that a missing one does not end a copy after a long time.
    fn check_rights(&self) -> Result<(), RepartitionError> {
        let needed_by = NeededBy::Repartition;
        let mut wanted = needed_by.rights(&self.kafka, &self.topics);
        wanted.extend(self.rights_on_new());
        // The topics may exist already, and the request that creates them names this right.
        wanted.retain(|right| right.operation != Operation::Create);
        let missing = missing(&self.kafka, &wanted)?;
        if missing.is_empty() { Ok(()) } else { Err(LogError::Denied(missing).into()) }
    }

    /// Returns the rights on the new topics.
    fn rights_on_new(&self) -> Vec<Right> {
        let topics = [&self.new.changelog, &self.new.inbox];
        let each = topics.map(|topic| NeededBy::Repartition.rights_on_new(topic));
        each.into_iter().flatten().collect()
    }
}

/// Interrupts if the callback says so.
fn go_on(flow: ControlFlow<()>) -> Result<(), RepartitionError> {
    if flow.is_break() { Err(RepartitionError::Interrupted) } else { Ok(()) }
}
