//! The restore of partitions, which runs beside the engine. It puts the changelog's rows into the store with the same
//! code as commits.

mod resume;
mod target;

pub(super) use resume::Resumption;

use super::config::EngineSettings;
use super::input::{Identified, Input, RestoreFailure, Restored};
use super::mailbox::Mailbox;
use super::ownership::{Holder, Mismatch};
use crate::clock;
use crate::codec::row::{InputOffset, Owner, TopicId};
use crate::log::{
    self, Changelog, Continuation, GroupOffset, Identity, LogError, Offsets, Restoration,
    RestoreError, Start, TopicPartition, Want,
};
use crate::store::{BulkLoad, Checkpoint, Family, Partition, StoreError};
use crate::telemetry::{Health, Metrics, with_causes};
use resume::{Known, resume};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use target::{Load, Target, owner};

/// The maximum memory of all bulk loads together.
const BULK_BYTES: usize = 24 << 20;
/// After this time tombstones may be missing in the changelog. An older store may still hold the rows that they
/// deleted.
const STORE_AGE_MAX_MS: u64 = 6 * 86_400_000;

/// A partition that is to be restored.
pub(super) struct Wanted<F: Family> {
    pub(super) partition: Partition<F>,
    /// The input partitions that belong to it.
    pub(super) places: Vec<TopicPartition>,
    /// Whether they were read beyond their committed offsets.
    pub(super) is_held: bool,
}

/// Input partitions that belong to no partition of this instance. Their records are only forwarded.
pub(super) struct Foreign {
    pub(super) places: Vec<TopicPartition>,
    /// Whether they were read beyond their committed offsets.
    pub(super) is_held: bool,
}

/// The parts that a restore is built of.
pub(super) struct Parts<C, O, F: Family> {
    pub(super) epoch: u64,
    /// The pause before the restore begins, if the one before has failed.
    pub(super) pause: Option<Duration>,
    pub(super) wanted: Vec<Wanted<F>>,
    pub(super) foreign: Foreign,
    pub(super) settings: Arc<EngineSettings>,
    pub(super) mailbox: Arc<Mailbox<Input>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    /// An error here fails the first step.
    pub(super) changelog: Result<C, LogError>,
    pub(super) offsets: O,
}

/// The plan of a restore that has not begun.
struct Planned<C, F: Family> {
    changelog: Result<C, LogError>,
    wanted: Vec<Wanted<F>>,
    foreign: Foreign,
}

/// A restore that is done step by step.
pub(super) struct Restorer<C, O, F: Family> {
    /// The pause before the first step, until it is taken.
    pause: Option<Duration>,
    /// The plan, until the restore begins.
    planned: Option<Planned<C, F>>,
    restoration: Option<Restoration<C>>,
    rows: Rows<O, F>,
}

impl<C: Changelog, O: Offsets, F: Family> Restorer<C, O, F> {
    pub(super) fn new(parts: Parts<C, O, F>) -> Self {
        let Parts { epoch, pause, wanted, foreign, settings, mailbox, metrics, health, .. } = parts;
        Self {
            pause,
            planned: Some(Planned { changelog: parts.changelog, wanted, foreign }),
            restoration: None,
            rows: Rows {
                epoch,
                offsets: parts.offsets,
                identity: Arc::default(),
                settings,
                mailbox,
                metrics,
                health,
                targets: BTreeMap::new(),
                owners: None,
            },
        }
    }

    /// Does a part of the restore. A failure ends the restore, and is reported to the engine. Blocks.
    pub(super) fn step(&mut self) -> Continuation {
        if let Some(pause) = self.pause.take() {
            return Continuation::Wait(pause);
        }
        self.try_step().unwrap_or_else(|error| {
            let Rows { epoch, mailbox, .. } = &self.rows;
            mailbox.put_urgent(Input::RestoreFailed { epoch: *epoch, error });
            Continuation::Done
        })
    }

    fn try_step(&mut self) -> Result<Continuation, RestoreFailure> {
        let Self { planned, restoration, rows, .. } = self;
        let restoration = match (planned.take(), restoration) {
            (Some(Planned { changelog, wanted, foreign }), slot) => {
                let changelog = changelog?;
                rows.identify(&foreign)?;
                let wants = rows.begin(wanted)?;
                slot.insert(Restoration::new(changelog, wants))
            }
            (None, Some(restoration)) => restoration,
            (None, None) => return Ok(Continuation::Done),
        };
        restoration.step(&mut |restored| rows.take(restored)).map_err(|error| match error {
            RestoreError::Store(failure) => failure,
            RestoreError::Log(error) => error.into(),
        })
    }
}

impl From<LogError> for RestoreFailure {
    fn from(error: LogError) -> Self {
        Self::Passing(with_causes(&error))
    }
}

/// The restore's access to the stores of its partitions.
struct Rows<O, F: Family> {
    epoch: u64,
    offsets: O,
    /// The present ids of the cluster and the topics.
    identity: Arc<Identity>,
    settings: Arc<EngineSettings>,
    mailbox: Arc<Mailbox<Input>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    targets: BTreeMap<i32, Target<F>>,
    /// The owners of the changelog's newest rows; `None` until they are read.
    owners: Option<BTreeMap<i32, Owner>>,
}

impl<O: Offsets, F: Family> Rows<O, F> {
    /// Reads the ids of the topics, and finds the starts of the inputs whose records are only forwarded.
    fn identify(&mut self, foreign: &Foreign) -> Result<(), RestoreFailure> {
        if self.settings.is_identified {
            let identity = self.offsets.identity(&self.settings.topics.identified())?;
            self.identity = Arc::new(identity);
        }
        let committed = match foreign.places.as_slice() {
            [] => BTreeMap::new(),
            places => {
                let committed = self.offsets.committed(places)?;
                // These records are forwarded without a restore, and so without a look at the changelog. The inbox may
                // have been replaced together with it.
                self.check_changelog()?;
                committed
            }
        };
        let (mut starts, mut landmarks, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for place in &foreign.places {
            let known = self.known(place, committed.get(place), None, foreign.is_held);
            let begin = self.settings.permissions.begin;
            let resumption = resume(place, known, begin, &self.offsets)?;
            starts.push(Start { place: place.clone(), from: resumption.from });
            landmarks.push((place.clone(), resumption.landmark));
            events.extend(resumption.event);
        }
        let identity = self.identity.clone();
        let identified = Box::new(Identified { identity, starts, landmarks, events });
        self.mailbox.put_urgent(Input::Identified { epoch: self.epoch, identified });
        Ok(())
    }

    fn known<'a>(
        &'a self,
        place: &TopicPartition,
        committed: Option<&'a GroupOffset>,
        position: Option<&'a InputOffset>,
        is_held: bool,
    ) -> Known<'a> {
        let topic = self.identity.topic(&place.topic);
        // Only the inbox is known not to be compacted.
        let is_dense = *place.topic == *self.settings.topics.inbox;
        Known { committed, position, topic, is_held, is_dense }
    }

    fn begin(&mut self, wanted: Vec<Wanted<F>>) -> Result<Vec<Want>, RestoreFailure> {
        let (now, bulk_bytes) = (clock::now(), BULK_BYTES / wanted.len().max(1));
        let mut wants = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let stored = owner(&wanted.partition).map_err(RestoreFailure::Store)?;
            let is_superseded = self.check_store(wanted.partition.number(), stored.as_ref())?;
            let number = wanted.partition.number();
            let target = Target::new(wanted, bulk_bytes).map_err(RestoreFailure::Store)?;
            let Checkpoint { next_offset: checkpoint, at, .. } = target.checkpoint;
            let is_stale = checkpoint > 0 && now.ms_since(at) > STORE_AGE_MAX_MS;
            wants.push(Want { partition: number, checkpoint, is_stale, is_superseded });
            self.targets.insert(number, target);
        }
        Ok(wants)
    }

    /// Refuses a changelog whose newest rows can't be used.
    fn check_changelog(&self) -> Result<(), RestoreFailure> {
        if !self.settings.is_identified {
            return Ok(());
        }
        let (permissions, topic) = (&self.settings.permissions, &self.settings.topics.changelog);
        let ours = self.ours();
        for (partition, theirs) in self.offsets.owners()? {
            let at = (Holder::Changelog, partition);
            if let Some(mismatch) = Mismatch::find(at, &theirs, &ours, permissions, topic) {
                return Err(RestoreFailure::Mismatch(Box::new(mismatch)));
            }
        }
        Ok(())
    }

    /// Returns the owner of this daemon's rows.
    fn ours(&self) -> Owner {
        let EngineSettings { kafka, topics, partitions, .. } = &*self.settings;
        Owner {
            cluster: self.identity.cluster.clone(),
            group: kafka.group_id.as_str().into(),
            changelog: self.identity.topic(&topics.changelog).cloned(),
            partitions: *partitions,
            ..Owner::default()
        }
    }

    /// Returns whether the store's partition is out of date because its changelog was replaced.
    fn check_store(
        &mut self,
        partition: i32,
        stored: Option<&Owner>,
    ) -> Result<bool, RestoreFailure> {
        let Some(stored) = stored else { return Ok(false) };
        if self.owners.is_none() && stored.changelog.as_ref().is_some_and(TopicId::is_generated) {
            self.owners = Some(self.offsets.owners()?);
        }
        let rows = self.owners.as_ref().and_then(|owners| owners.get(&partition));
        let (permissions, topic) = (&self.settings.permissions, &self.settings.topics.changelog);
        Mismatch::find_stored(partition, stored, rows, &self.ours(), permissions, topic)
            .map_err(|mismatch| RestoreFailure::Mismatch(Box::new(mismatch)))
    }

    fn take(&mut self, restored: log::Restored<'_>) -> Result<(), RestoreFailure> {
        match restored {
            log::Restored::Wipe(partition) => self.wipe(partition).map_err(RestoreFailure::Store),
            log::Restored::OutOfRange(partition, low, high) => {
                Err(self.out_of_range(partition, low, high))
            }
            log::Restored::Row { partition, offset, key, value } => {
                match self.targets.get_mut(&partition) {
                    Some(target) => target.row(offset, key, value).map_err(RestoreFailure::Store),
                    None => Ok(()),
                }
            }
            log::Restored::Remaining(partition, left) => {
                self.health.restoring(partition, u64::try_from(left).unwrap_or(0));
                Ok(())
            }
            log::Restored::End(partition, next_offset) => self.end(partition, next_offset),
        }
    }

    fn wipe(&mut self, partition: i32) -> Result<(), StoreError> {
        let Some(target) = self.targets.get_mut(&partition) else { return Ok(()) };
        if target.checkpoint.next_offset > 0 {
            tracing::warn!(
                partition,
                "the store is out of date; the changelog restores the partition from its first row"
            );
        }
        target.load = Load::Bulk(BulkLoad::begin(target.partition.clone(), target.bulk_bytes)?);
        target.checkpoint = Checkpoint::default();
        Ok(())
    }

    /// Returns the error of a store whose checkpoint is outside the changelog. The store keeps its rows until an
    /// operator decides.
    fn out_of_range(&self, partition: i32, low: i64, high: i64) -> RestoreFailure {
        let checkpoint = self.targets.get(&partition).map_or(0, |it| it.checkpoint.next_offset);
        let topic = self.settings.topics.changelog.clone();
        let mismatch = Mismatch::Range { partition, checkpoint, low, high, topic };
        RestoreFailure::Mismatch(Box::new(mismatch))
    }

    /// Reports a restored partition to the engine. Its rows are durable before that.
    fn end(&mut self, number: i32, next_offset: i64) -> Result<(), RestoreFailure> {
        let Some(target) = self.targets.remove(&number) else { return Ok(()) };
        self.metrics.restored(target.records);
        let (places, is_held) = (target.places.clone(), target.is_held);
        let committed = self.offsets.committed(&places)?;
        let mut restored = target.finished(next_offset).map_err(RestoreFailure::Store)?;
        let former = restored.owner.take();
        let owner = self.owner(&restored, former.as_ref(), &committed)?;
        restored.meta_changed = former.as_ref() != Some(&owner);
        restored.owner = Some(owner);
        for place in &places {
            let stood = restored.offsets.iter();
            let mut stood =
                stood.filter(|it| it.topic == place.topic && it.partition == place.partition);
            let known = self.known(place, committed.get(place), stood.next(), is_held);
            let begin = self.settings.permissions.begin;
            let resumption = resume(place, known, begin, &self.offsets)?;
            let topic = known.topic;
            restored.meta_changed |= known.position.is_some_and(|it| it.topic_id.as_ref() != topic);
            restored.resume(place, resumption);
        }
        // Other instances may read the other inputs from now on. The old meta row would keep outdated offsets of them.
        let is_ours = |it: &InputOffset| {
            places.iter().any(|place| place.topic == it.topic && place.partition == it.partition)
        };
        restored.meta_changed |= !restored.offsets.iter().all(is_ours);
        // A transaction without any offset would not be fenced.
        let inbox = places.iter().find(|place| *place.topic == *self.settings.topics.inbox);
        if let Some(inbox) = inbox {
            let committed = committed.get(inbox).map_or(0, |committed| committed.offset);
            restored.positions.entry(inbox.clone()).or_insert(committed);
        }
        self.mailbox
            .put_urgent(Input::Restored { epoch: self.epoch, restored: Box::new(restored) });
        Ok(())
    }

    /// Returns the new owner of the partition's rows, unless they belong to another daemon.
    fn owner(
        &self,
        restored: &Restored,
        former: Option<&Owner>,
        committed: &BTreeMap<TopicPartition, GroupOffset>,
    ) -> Result<Owner, RestoreFailure> {
        let (partition, mut ours) = (restored.partition, self.ours());
        if let Some(former) = former {
            let (at, permissions) = ((Holder::Changelog, partition), &self.settings.permissions);
            let topic = &self.settings.topics.changelog;
            if let Some(mismatch) = Mismatch::find(at, former, &ours, permissions, topic) {
                return Err(RestoreFailure::Mismatch(Box::new(mismatch)));
            }
            ours.goes_on(former);
        }
        let mut changelogs = committed.values().filter_map(|it| it.changelog.clone());
        match changelogs.next() {
            Some(theirs) if !restored.has_rows && !self.settings.permissions.accepts_loss => {
                let topic = self.settings.topics.changelog.clone();
                let mismatch = Mismatch::Empty { partition, theirs, topic };
                Err(RestoreFailure::Mismatch(Box::new(mismatch)))
            }
            _ => {
                // From now on, a recreated changelog has another id.
                if self.identity.is_without_id(&self.settings.topics.changelog) {
                    ours.changelog.get_or_insert_with(log::generated_id);
                }
                Ok(ours)
            }
        }
    }
}

#[cfg(test)]
mod tests;
