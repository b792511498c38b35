//! The inputs of the engine. The enum is closed: nothing else reaches the engine.

use super::intake::Bundle;
use super::ownership::Mismatch;
use super::reloads::Reloads;
use super::restore::Resumption;
use crate::codec::event::InputEvent;
use crate::codec::row::{InputOffset, Landmark, Owner};
use crate::delivery::{Attempted, BreakerState, Job};
use crate::domain::{EndpointState, WebhookName};
use crate::log::{Assignment, End, Identity, Start, TopicPartition};
use crate::store::{Backlogs, Checkpoint, Retried};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// One input of the engine.
#[expect(clippy::large_enum_variant, reason = "an input is moved once, and few wait")]
pub(super) enum Input {
    /// Records that the reader has read.
    Records(Bundle),
    /// The result of an attempt.
    Attempted(Attempted),
    /// Jobs that the lanes return because they can't be sent now.
    Returned(Vec<Job>),
    /// The new state of a breaker.
    Breaker(WebhookName, BreakerState),
    /// The group has assigned partitions.
    Assigned(Assignment),
    /// The group revokes all partitions.
    Revoked {
        lost: bool,
        reply: SyncSender<()>,
    },
    /// The running transaction has ended.
    TransactionEnded,
    /// The ids of the cluster and of the topics, which may have changed.
    Identity(Identity),
    /// The owners of the rows in the changelog's partitions.
    Owners(BTreeMap<i32, Owner>),
    /// Input partitions whose log was replaced by another one.
    Replaced(Vec<TopicPartition>),
    /// Partitions of the changelog that lack committed rows, with their ends.
    Lost(BTreeMap<i32, i64>),
    /// A restore has begun, and has read the ids of the cluster and the topics.
    Identified {
        epoch: u64,
        identified: Box<Identified>,
    },
    /// A partition is restored.
    Restored {
        epoch: u64,
        restored: Box<Restored>,
    },
    RestoreFailed {
        epoch: u64,
        error: RestoreFailure,
    },
    /// The rights that Kafka denied the reader before, and those that it denies now.
    Denied(Option<String>, Option<String>),
    /// The ends of the inputs.
    Ends(Vec<End>),
    /// The configuration was read again.
    Reloads(Reloads),
    /// The process is to end.
    Shutdown,
    /// Another member has joined the group under this instance's id. It may be an earlier join of this instance.
    Fenced {
        was_disturbed: bool,
    },
    Failed(String),
}

/// The reason why a partition could not be restored.
pub(super) enum RestoreFailure {
    /// The failure may pass: the restore is retried.
    Passing(String),
    /// The store failed or is corrupt.
    Store(crate::store::StoreError),
    /// The rows belong to another daemon, or are incomplete.
    Mismatch(Box<Mismatch>),
}

/// The results of a restore's first step.
pub(super) struct Identified {
    /// The ids of the cluster and the topics.
    pub(super) identity: Arc<Identity>,
    /// The starts of the inputs whose records are only forwarded.
    pub(super) starts: Vec<Start>,
    /// The landmarks of these inputs.
    pub(super) landmarks: Vec<(TopicPartition, Option<Landmark>)>,
    /// The changes of these inputs since they were last read.
    pub(super) events: Vec<InputEvent>,
}

/// A partition that was restored.
pub(super) struct Restored {
    pub(super) partition: i32,
    pub(super) checkpoint: Checkpoint,
    pub(super) backlogs: Backlogs,
    pub(super) retried: Retried,
    pub(super) endpoints: BTreeMap<WebhookName, EndpointState>,
    /// Whether the changelog has a meta row of the partition.
    pub(super) has_rows: bool,
    /// The input offsets of the meta row.
    pub(super) offsets: Vec<InputOffset>,
    /// The owner of the rows from now on.
    pub(super) owner: Option<Owner>,
    /// Whether the next commit writes the meta row.
    pub(super) meta_changed: bool,
    /// The input offsets below which everything is in the state.
    pub(super) positions: BTreeMap<TopicPartition, i64>,
    /// The starts of the partition's inputs.
    pub(super) starts: Vec<Start>,
    /// The landmarks of its inputs.
    pub(super) landmarks: Vec<(TopicPartition, Option<Landmark>)>,
    /// The changes of its inputs since they were last read.
    pub(super) events: Vec<InputEvent>,
    pub(super) records: u64,
}

impl Restored {
    /// Adds the start of the input `place`.
    pub(super) fn resume(&mut self, place: &TopicPartition, resumption: Resumption) {
        let Resumption { from, position, landmark, event } = resumption;
        self.landmarks.push((place.clone(), landmark));
        self.starts.push(Start { place: place.clone(), from });
        if let Some(position) = position {
            self.positions.insert(place.clone(), position);
        }
        // The event is committed with the offset that results from it.
        self.meta_changed |= event.is_some();
        self.events.extend(event);
    }
}
