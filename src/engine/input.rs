//! Everything that the engine may be told. The enum is closed: there is no other way in.

use super::config::EngineConfig;
use super::intake::Bundle;
use crate::delivery::{Attempted, BreakerState, Job};
use crate::domain::{EndpointState, WebhookName};
use crate::log::{Assignment, End, Place};
use crate::store::{Backlogs, Checkpoint};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// One input of the engine.
pub(super) enum Input {
    /// Records were read.
    Records(Bundle),
    /// An attempt was made.
    Attempted(Attempted),
    /// Jobs are not to leave now.
    Returned(Vec<Job>),
    /// A breaker has changed.
    Breaker(WebhookName, BreakerState),
    /// The group has assigned partitions.
    Assigned(Assignment),
    /// The group takes all partitions away.
    Revoked { lost: bool, reply: SyncSender<()> },
    /// A partition is restored.
    Restored { epoch: u64, restored: Box<Restored> },
    /// A restore failed.
    RestoreFailed { epoch: u64, error: RestoreFailure },
    /// Kafka can't be reached by the reader, or can again.
    Away(bool),
    /// How far the inputs go.
    Ends(Vec<End>),
    /// The accounts file was read again.
    Reload(Arc<EngineConfig>),
    /// Stop.
    Shutdown,
    /// The consumer can't go on.
    Failed(String),
}

/// Why a partition could not be restored.
pub(super) enum RestoreFailure {
    /// It may go better.
    Passing(String),
    /// It will not.
    Store(crate::store::StoreError),
}

/// A partition that was restored.
pub(super) struct Restored {
    pub(super) partition: u32,
    pub(super) checkpoint: Checkpoint,
    pub(super) backlogs: Backlogs,
    pub(super) endpoints: BTreeMap<WebhookName, EndpointState>,
    /// The input offsets that the state stands at.
    pub(super) positions: BTreeMap<Place, i64>,
    /// The input offsets that the group committed.
    pub(super) committed: BTreeMap<Place, i64>,
    pub(super) records: u64,
}
