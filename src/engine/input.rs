//! Everything that the engine may be told. The enum is closed: there is no other way in.

use super::intake::Bundle;
use super::ownership::Mismatch;
use super::reloads::Reloads;
use super::restore::Resumption;
use crate::codec::event::InputEvent;
use crate::codec::row::{InputOffset, Landmark, Owner};
use crate::delivery::{Attempted, BreakerState, Job};
use crate::domain::{EndpointState, WebhookName};
use crate::log::{Assignment, End, Identity, Start, TopicPartition};
use crate::store::{Ages, Backlogs, Checkpoint};
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
    /// The ids of the cluster and of the topics, which may have changed.
    Identity(Identity),
    /// What the rows of the changelog's partitions belong to.
    Owners(BTreeMap<i32, Owner>),
    /// Input partitions are another log than the one that was read.
    Replaced(Vec<TopicPartition>),
    /// Partitions of the changelog are without the rows that were committed to them; where each ends.
    Lost(BTreeMap<i32, i64>),
    /// A restore has begun: what cluster and topics are now, and where inputs go on that only forward.
    Identified { epoch: u64, identified: Box<Identified> },
    /// A partition is restored.
    Restored { epoch: u64, restored: Box<Restored> },
    /// A restore failed.
    RestoreFailed { epoch: u64, error: RestoreFailure },
    /// Kafka denies the reader other rights than before: those of before, and those of now.
    Denied(Option<String>, Option<String>),
    /// How far the inputs go.
    Ends(Vec<End>),
    /// The configuration was read again.
    Reloads(Reloads),
    /// Stop.
    Shutdown,
    /// Another member has joined the group under this instance's id; a former join of this one, perhaps.
    Fenced { was_disturbed: bool },
    /// The consumer can't go on.
    Failed(String),
}

/// Why a partition could not be restored.
pub(super) enum RestoreFailure {
    /// It may go better.
    Passing(String),
    /// It will not.
    Store(crate::store::StoreError),
    /// Its rows are not to be used.
    Mismatch(Box<Mismatch>),
}

/// What a restore begins with.
pub(super) struct Identified {
    /// The cluster and the topics.
    pub(super) identity: Arc<Identity>,
    /// Where inputs go on that only forward.
    pub(super) starts: Vec<Start>,
    /// By what the logs of these are recognised.
    pub(super) landmarks: Vec<(TopicPartition, Option<Landmark>)>,
    /// What happened to them meanwhile.
    pub(super) events: Vec<InputEvent>,
}

/// A partition that was restored.
pub(super) struct Restored {
    pub(super) partition: u32,
    pub(super) checkpoint: Checkpoint,
    pub(super) backlogs: Backlogs,
    pub(super) ages: Ages,
    pub(super) endpoints: BTreeMap<WebhookName, EndpointState>,
    /// There is a meta row.
    pub(super) has_rows: bool,
    /// The input offsets as the meta row has them.
    pub(super) offsets: Vec<InputOffset>,
    /// What the rows belong to from now on.
    pub(super) owner: Option<Owner>,
    /// The meta row is to be written anew.
    pub(super) meta_changed: bool,
    /// The input offsets that the state stands at from now on.
    pub(super) positions: BTreeMap<TopicPartition, i64>,
    /// Where its inputs go on.
    pub(super) starts: Vec<Start>,
    /// By what their logs are recognised.
    pub(super) landmarks: Vec<(TopicPartition, Option<Landmark>)>,
    /// What happened to its inputs meanwhile.
    pub(super) events: Vec<InputEvent>,
    pub(super) records: u64,
}

impl Restored {
    /// `place` goes on so.
    pub(super) fn resume(&mut self, place: &TopicPartition, resumption: Resumption) {
        let Resumption { from, position, landmark, event } = resumption;
        self.landmarks.push((place.clone(), landmark));
        self.starts.push(Start { place: place.clone(), from });
        if let Some(position) = position {
            self.positions.insert(place.clone(), position);
        }
        // What has happened is committed with the offset that it led to.
        self.meta_changed |= event.is_some();
        self.events.extend(event);
    }
}
