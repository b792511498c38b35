//! The partitions that this instance owns: their restore, their committed offsets, and their inputs.

mod checks;
mod commits;
mod inputs;
mod task;

pub(super) use inputs::place;
pub(super) use task::Task;

use super::EngineError;
use super::config::EngineSettings;
use super::input::{Identified, Input, RestoreFailure, Restored};
use super::mailbox::Mailbox;
use super::report::Report;
use super::restore::{self, Restorer};
use crate::clock;
use crate::delivery::Attempted;
use crate::domain::{Timestamp, WebhookName};
use crate::log::{Assignment, Landmarks, Log, TopicPartition, is_due};
use crate::store::{Backlogs, Disk, Retried, Store, StoreError, Tally, WriteBack};
use crate::telemetry::{StoreCondition, Waiting};
use inputs::Inputs;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A partition that can't be restored delays the deliveries of the others for at most this time.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before a failed restore is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The memory for the rows of all partitions, in each of their two generations.
const GENERATION_BYTES: usize = 12 << 20;

/// Input partitions that belong to no partition of this instance. Their records are only forwarded.
#[derive(Default)]
struct Foreign {
    places: Vec<TopicPartition>,
    /// Whether they were read beyond their committed offsets.
    is_held: bool,
    /// The epoch of the assignment in which they were started.
    started_in: Option<u64>,
}

/// The partitions of the current assignment.
pub(super) struct Partitions<L: Log, D: Disk> {
    settings: Arc<EngineSettings>,
    mailbox: Arc<Mailbox<Input>>,
    store: Store<D>,
    /// The epoch of the current assignment. Records of other epochs are left to other instances.
    epoch: Option<u64>,
    tasks: BTreeMap<i32, Task<D::Family>>,
    foreign: Foreign,
    /// Outcomes that wait for the restore of their partition.
    orphans: Vec<Attempted>,
    restoring: Option<L::Restoring>,
    /// The reason that health shows while partitions can't be restored.
    restore_waits: Option<Waiting>,
    /// Nothing is delivered before this time while partitions are being restored: any of them may hold an endpoint's
    /// `Retry-After`.
    settled_at: Instant,
    inputs: Inputs,
}

/// Sums over all partitions.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) tally: Tally,
    /// When the oldest flow was accepted that waits for reports.
    pub(super) awaiting_since: Option<Timestamp>,
    /// The size of each partition's state.
    pub(super) bytes: BTreeMap<i32, u64>,
}

impl<L: Log, D: Disk> Partitions<L, D> {
    /// Creates it without any partition.
    pub(super) fn new(
        settings: Arc<EngineSettings>,
        mailbox: Arc<Mailbox<Input>>,
        store: Store<D>,
        landmarks: Arc<Landmarks>,
    ) -> Self {
        Self {
            settings,
            mailbox,
            store,
            epoch: None,
            tasks: BTreeMap::new(),
            foreign: Foreign::default(),
            orphans: Vec::new(),
            restoring: None,
            restore_waits: None,
            settled_at: clock::instant(),
            inputs: Inputs::new(landmarks),
        }
    }

    pub(super) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn task(&self, number: i32) -> Option<&Task<D::Family>> {
        self.tasks.get(&number)
    }

    pub(super) fn task_mut(&mut self, number: i32) -> Option<&mut Task<D::Family>> {
        self.tasks.get_mut(&number)
    }

    /// Returns a partition that is restored.
    pub(super) fn running(&self, number: i32) -> Option<&Task<D::Family>> {
        self.tasks.get(&number).filter(|task| task.active)
    }

    pub(super) fn all_running(&mut self) -> impl Iterator<Item = &mut Task<D::Family>> {
        self.tasks.values_mut().filter(|task| task.active)
    }

    /// Returns the partition that an input partition belongs to.
    pub(super) fn owner_of(&self, place: &TopicPartition) -> Option<&Task<D::Family>> {
        self.tasks.get(&place.partition).filter(|task| task.places.contains(place))
    }

    /// Returns the offset of an own input partition below which everything is committed.
    pub(super) fn position(&self, place: &TopicPartition) -> Option<i64> {
        self.owner_of(place)?.positions.get(place).copied()
    }

    /// Returns how long nothing is delivered, unless all partitions are restored earlier.
    pub(super) fn unsettled(&self) -> Option<Duration> {
        let left = self.settled_at.saturating_duration_since(clock::instant());
        let restores = self.tasks.values().any(|task| !task.active);
        (restores && !left.is_zero()).then_some(left)
    }

    /// Returns when the next timer is due.
    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.tasks.values().filter(|task| task.active).filter_map(|task| task.next_timer).min()
    }

    pub(super) fn totals(&mut self) -> Result<Totals, StoreError> {
        let mut totals = Totals::default();
        for (number, task) in &mut self.tasks {
            let (sum, tally) = (&mut totals.tally, task.rows.tally());
            sum.awaiting_flow += tally.awaiting_flow;
            sum.open += tally.open;
            sum.silent += tally.silent;
            sum.ended += tally.ended;
            sum.held += tally.held;
            sum.awaiting_reports += tally.awaiting_reports;
            let since = task.rows.awaits_reports_since()?;
            totals.awaiting_since = totals.awaiting_since.into_iter().chain(since).min();
            totals.bytes.insert(*number, task.rows.bytes());
        }
        Ok(totals)
    }

    /// Returns the state of the store and its disk.
    pub(super) fn condition(&self) -> StoreCondition {
        let numbers: Vec<i32> = self.tasks.keys().copied().collect();
        self.store.condition(&numbers)
    }

    /// Returns the webhooks whose endpoint is disabled in any owned partition.
    pub(super) fn disabled(&self) -> impl Iterator<Item = &WebhookName> {
        let endpoints = self.tasks.values().flat_map(|task| task.rows.endpoints());
        endpoints.filter(|(_, endpoint)| endpoint.disabled.is_some()).map(|(webhook, _)| webhook)
    }

    /// Returns the number of each partition, whether it is active, and whether it is held.
    #[cfg(test)]
    pub(super) fn states(&self) -> Vec<(i32, bool, bool)> {
        self.tasks.iter().map(|(number, task)| (*number, task.active, task.held)).collect()
    }

    /// Returns the state of the inputs.
    pub(super) fn inputs(&mut self) -> &mut Inputs {
        &mut self.inputs
    }

    pub(super) fn is_foreign(&self, place: &TopicPartition) -> bool {
        self.foreign.places.contains(place)
    }

    /// Keeps outcomes until their partitions are restored.
    pub(super) fn keep(&mut self, outcomes: impl IntoIterator<Item = Attempted>) {
        self.orphans.extend(outcomes);
    }

    /// Takes the partitions of an assignment, and restores them.
    pub(super) fn assign(
        &mut self,
        assignment: Assignment,
        log: &L,
        report: &Report,
    ) -> Result<(), StoreError> {
        let Assignment { epoch, places } = assignment;
        self.epoch = Some(epoch);
        self.settled_at = clock::instant() + SETTLE_TIMEOUT;
        let inbox = self.settings.topics.inbox.as_str();
        let owned: Vec<i32> = places
            .iter()
            .filter(|place| place.topic.as_ref() == inbox)
            .map(|place| place.partition)
            // The inbox may have more partitions than the changelog.
            .filter(|number| number.cast_unsigned() < self.settings.partitions)
            .collect();
        let other_partition_counts = &self.settings.other_partition_counts;
        for number in &owned {
            let belongs = |place: &&TopicPartition| {
                place.partition == *number && !other_partition_counts.contains(&place.topic)
            };
            let places = places.iter().filter(belongs).cloned().collect();
            let partition = self.store.partition(*number)?;
            self.tasks.insert(*number, Task::new(partition, places));
            report.health().assign(*number);
        }
        let is_foreign = |place: &TopicPartition| {
            other_partition_counts.contains(&place.topic) || !owned.contains(&place.partition)
        };
        self.foreign.places = places.into_iter().filter(is_foreign).collect();
        self.foreign.is_held = false;
        report.health().stand_by(owned.is_empty());
        if owned.is_empty() {
            tracing::info!("standby: the group has no partitions for this instance now");
        } else {
            let numbers: Vec<String> = owned.iter().map(ToString::to_string).collect();
            let partitions = numbers.join(", ");
            tracing::info!(partitions, "partitions assigned; restoring");
        }
        self.restore(epoch, None, log, report);
        Ok(())
    }

    /// Restores all inactive partitions after `pause`.
    pub(super) fn restore(
        &mut self,
        epoch: u64,
        pause: Option<Duration>,
        log: &L,
        report: &Report,
    ) {
        self.cancel_restore(log);
        // The restore finds uncommitted events again.
        let tasks = &self.tasks;
        self.inputs.retain_events(|place| {
            tasks.values().any(|task| task.active && task.places.contains(place))
        });
        let tasks = self.tasks.values().filter(|task| !task.active);
        let wanted = tasks.map(|task| restore::Wanted {
            partition: task.rows.partition().clone(),
            places: task.places.clone(),
            is_held: task.held,
        });
        // If the restore is retried, they are started already.
        let is_started = self.foreign.started_in == Some(epoch);
        let places = if is_started { Vec::new() } else { self.foreign.places.clone() };
        let foreign = restore::Foreign { places, is_held: self.foreign.is_held };
        let (metrics, health) = report.shared();
        let parts = restore::Parts {
            epoch,
            pause,
            wanted: wanted.collect(),
            foreign,
            settings: self.settings.clone(),
            mailbox: self.mailbox.clone(),
            metrics,
            health,
            changelog: log.changelog(),
            offsets: log.offsets(),
        };
        let mut restorer = Restorer::new(parts);
        self.restoring = Some(log.restore(move || restorer.step()));
    }

    pub(super) fn cancel_restore(&mut self, log: &L) {
        if let Some(restoring) = self.restoring.take() {
            log.cancel(restoring);
        }
    }

    /// Follows the first step of a restore, which has read the ids of the cluster and the topics.
    pub(super) fn identified(&mut self, epoch: u64, identified: Identified, log: &L) {
        if self.epoch != Some(epoch) {
            return;
        }
        let Identified { identity, starts, landmarks, events } = identified;
        // If the restore is retried, records were read meanwhile. They belong to the former topics: their offsets must
        // not be written beside the ids of other topics.
        let is_reading = self.foreign.started_in == Some(epoch);
        if is_reading && self.inputs.is_another(&identity) {
            self.inputs.is_reread = true;
            return;
        }
        self.inputs.identity = identity;
        self.foreign.started_in = Some(epoch);
        self.inputs.recognise(landmarks);
        self.inputs.report(events);
        if !starts.is_empty() {
            log.start(epoch, starts);
        }
    }

    /// Starts a restored partition. Returns its outbox, unless it belongs to another assignment.
    pub(super) fn restored(
        &mut self,
        epoch: u64,
        restored: Restored,
        log: &L,
        report: &Report,
    ) -> Option<(Backlogs, Retried)> {
        if self.epoch != Some(epoch) {
            return None;
        }
        let Restored { partition: number, checkpoint, backlogs, retried, endpoints, .. } = restored;
        let task = self.tasks.get_mut(&number)?;
        log.start(epoch, restored.starts);
        task.held = false;
        task.active = true;
        let partition = task.rows.partition().clone();
        task.rows = WriteBack::new(partition, checkpoint, &backlogs, endpoints);
        task.meta_changed = restored.meta_changed;
        task.owner = restored.owner;
        task.positions = restored.positions;
        task.reset_timers();
        self.inputs.recognise(restored.landmarks);
        self.inputs.report(restored.events);
        report.health().restored(number);
        self.restore_waits(None, report);
        let rows: u64 = backlogs.values().map(|(rows, _)| rows).sum();
        let records = restored.records;
        tracing::info!(partition = number, records, outbox_rows = rows, "partition restored");
        let is_ours = |outcome: &Attempted| outcome.job.partition == number;
        let (ours, rest) = std::mem::take(&mut self.orphans).into_iter().partition(is_ours);
        self.orphans = rest;
        let ours: Vec<Attempted> = ours;
        for attempted in ours {
            self.mailbox.put(Input::Attempted(attempted), 1);
        }
        Some((backlogs, retried))
    }

    /// Retries a restore that failed, unless it can't succeed.
    pub(super) fn restore_failed(
        &mut self,
        epoch: u64,
        error: RestoreFailure,
        log: &L,
        report: &Report,
    ) -> Result<(), EngineError> {
        match error {
            RestoreFailure::Store(error) => Err(error.into()),
            RestoreFailure::Mismatch(mismatch) => Err(EngineError::Mismatch(*mismatch)),
            RestoreFailure::Passing(text) => {
                if is_due(&text) {
                    tracing::warn!(error = text, "the restore failed; retrying");
                }
                self.restore_waits(Some(text), report);
                if self.epoch == Some(epoch) {
                    self.restore(epoch, Some(RETRY_PAUSE), log, report);
                }
                Ok(())
            }
        }
    }

    /// Shows in health why partitions can't be restored; `None` means that they can.
    fn restore_waits(&mut self, cause: Option<String>, report: &Report) {
        let waiting = cause.map(|cause| Waiting::Other(format!("restoring fails: {cause}")));
        if self.restore_waits != waiting {
            if let Some(before) = self.restore_waits.take() {
                report.health().resume(&before);
            }
            if let Some(waiting) = &waiting {
                report.health().wait(waiting.clone());
            }
            self.restore_waits = waiting;
        }
    }

    /// Forgets all partitions. Their rows in the store stay.
    pub(super) fn clear(&mut self, log: &L, report: &Report) {
        self.cancel_restore(log);
        self.epoch = None;
        for (number, task) in std::mem::take(&mut self.tasks) {
            report.health().unassign(number);
            for place in &task.places {
                report.metrics().remove_consumer_lag(&place.topic, place.partition);
            }
        }
        self.foreign.places.clear();
        self.inputs.clear();
        self.orphans.clear();
        self.restore_waits(None, report);
    }

    /// Stops all partitions, but not their inputs. Uncommitted records were dropped, and any further commit would skip
    /// them; the next assignment reads them again.
    pub(super) fn quiesce(&mut self) {
        self.epoch = None;
        for task in self.tasks.values_mut() {
            task.active = false;
        }
    }

    /// Stops all inputs until their partitions are restored again. Returns the new epoch, or `None` without an assignment:
    /// the reader may have taken one that the engine has not, whose epoch must stay valid.
    pub(super) fn hold(&mut self, log: &L, report: &Report) -> Result<Option<u64>, StoreError> {
        if self.epoch.is_none() {
            return Ok(None);
        }
        // The restore may find that the changelog has lost these rows.
        self.write_all()?;
        let epoch = log.hold();
        self.epoch = Some(epoch);
        for (number, task) in &mut self.tasks {
            task.active = false;
            task.held = true;
            report.health().restore(*number);
        }
        self.foreign.is_held = true;
        self.inputs.clear();
        Ok(Some(epoch))
    }

    /// Returns whether all partitions have to be restored again because an input's topic has changed.
    pub(super) fn is_to_reread(&self) -> bool {
        self.inputs.is_reread && self.epoch.is_some()
    }

    /// Like `is_to_reread`, but resets it.
    pub(super) fn take_reread(&mut self) -> bool {
        let is_to_reread = self.is_to_reread();
        self.inputs.is_reread = false;
        is_to_reread
    }

    /// Writes rows that have been in memory long enough.
    pub(super) fn write_some(&mut self) -> Result<(), StoreError> {
        let now = clock::now();
        let share = GENERATION_BYTES / self.tasks.len().max(1);
        self.all_running().try_for_each(|task| task.rows.write_some(share, now))
    }

    /// Writes all rows to the store, also those of partitions that a failed commit has stopped.
    pub(super) fn write_all(&mut self) -> Result<(), StoreError> {
        self.tasks.values_mut().try_for_each(|task| task.rows.write_all())
    }

    /// Writes all rows to the store's files, since the process ends. Without this, the newest ones are in RocksDB's memory
    /// until the store is closed.
    pub(super) fn save_all(&mut self) -> Result<(), StoreError> {
        self.write_all()?;
        self.tasks.values().try_for_each(|task| task.rows.partition().flush())
    }

    /// Marks the store for the next start if the error shows damage.
    pub(super) fn mark(&self, error: &StoreError) {
        self.store.mark(error);
    }
}
