//! Everything that the engine may be told. The enum is closed: there is no other way in.

use super::config::EngineConfig;
use super::intake::Bundle;
use crate::delivery::Attempted;
use crate::domain::WebhookName;
use crate::log::{Assignment, End, Place};
use crate::store::{Checkpoint, DueKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// One input of the engine.
pub(super) enum Input {
    /// Records were read.
    Records(Bundle),
    /// An attempt was made.
    Attempted(Attempted),
    /// The group has assigned partitions.
    Assigned(Assignment),
    /// The group takes all partitions away.
    Revoked { lost: bool, reply: SyncSender<()> },
    /// A partition is restored.
    Restored { epoch: u64, restored: Box<Restored> },
    /// A restore failed.
    RestoreFailed { epoch: u64, error: RestoreFailure },
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
    pub(super) lanes: BTreeMap<WebhookName, (u64, DueKey)>,
    /// The input offsets that the state stands at.
    pub(super) positions: BTreeMap<Place, i64>,
    /// The input offsets that the group committed.
    pub(super) committed: BTreeMap<Place, i64>,
    pub(super) records: u64,
}
