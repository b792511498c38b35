//! Partitions come and go.

use super::input::{Identified, Input, RestoreFailure, Restored, place};
use super::ownership::{Holder, Mismatch, Permissions};
use super::ports::Log;
use super::restore::{self, Restorer};
use super::task::Task;
use super::work::Work;
use super::{EngineError, Shell};
use crate::clock;
use crate::codec::row::{Difference, Landmark, Owner, TopicId};
use crate::delivery::Attempted;
use crate::domain::WebhookName;
use crate::failpoint::{self, Failpoint};
use crate::log::{Assignment, Identity, Place, is_due};
use crate::store::WriteBack;
use crate::telemetry::Waiting;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// One partition that can't be restored does not hold the others back for ever.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

impl<L: Log> Shell<L> {
    pub(super) fn assigned(&mut self, assignment: Assignment) -> Result<(), EngineError> {
        self.epoch = Some(assignment.epoch);
        self.settled_at = clock::instant() + SETTLE_TIMEOUT;
        let inbox = self.settings.topics.inbox.as_str();
        let owned: Vec<u32> = assignment
            .places
            .iter()
            .filter(|place| place.topic.as_ref() == inbox)
            .filter_map(|place| u32::try_from(place.partition).ok())
            // An inbox may have been given more partitions than the changelog has.
            .filter(|number| *number < self.settings.partitions)
            .collect();
        let unlike = &self.settings.unlike;
        for number in &owned {
            let belongs = |place: &&Place| {
                i64::from(place.partition) == i64::from(*number) && !unlike.contains(&place.topic)
            };
            let places = assignment.places.iter().filter(belongs).cloned().collect();
            let partition = self.store.partition(*number)?;
            self.tasks.insert(*number, Task::new(partition, places));
            self.health.assign(signed(*number));
        }
        // What is nobody's only forwards.
        let is_foreign = |place: &Place| {
            unlike.contains(&place.topic)
                || !owned.iter().any(|number| i64::from(*number) == i64::from(place.partition))
        };
        self.foreign = assignment.places.into_iter().filter(is_foreign).collect();
        self.foreign_held = false;
        self.share();
        self.health.stand_by(owned.is_empty());
        if owned.is_empty() {
            tracing::info!("standby: the group has no partitions for this instance now");
        } else {
            let numbers: Vec<String> = owned.iter().map(ToString::to_string).collect();
            let partitions = numbers.join(", ");
            tracing::info!(partitions, "partitions assigned; restoring");
        }
        self.restore(assignment.epoch, None);
        Ok(())
    }

    fn restore(&mut self, epoch: u64, pause: Option<Duration>) {
        self.cancel_restore();
        // What was found and not committed is found again.
        let tasks = &self.tasks;
        self.input_events.retain(|event| {
            tasks.values().any(|task| task.active && task.places.contains(&place(event)))
        });
        let tasks = self.tasks.values().filter(|task| !task.active);
        let wanted = tasks.map(|task| restore::Wanted {
            partition: task.rows.partition().clone(),
            places: task.places.clone(),
            is_held: task.held,
        });
        // Where a restore is tried again, they are being read already.
        let is_started = self.foreign_started == Some(epoch);
        let places = if is_started { Vec::new() } else { self.foreign.clone() };
        let foreign = restore::Foreign { places, is_held: self.foreign_held };
        let parts = restore::Parts {
            epoch,
            pause,
            wanted: wanted.collect(),
            foreign,
            settings: self.settings.clone(),
            mailbox: self.mailbox.clone(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
        };
        self.restoring = Some(self.log.restore(Restorer::new(&self.log, parts)));
    }

    fn cancel_restore(&mut self) {
        if let Some(restoring) = self.restoring.take() {
            self.log.cancel(restoring);
        }
    }

    /// A restore has begun, and it is known what cluster and topics are.
    pub(super) fn identified(&mut self, epoch: u64, identified: Identified) {
        if self.epoch != Some(epoch) {
            return;
        }
        let Identified { identity, starts, landmarks, events } = identified;
        // Where a restore is tried again, what is read already counts in the topics as they were: its offsets must not be
        // written beside the ids of other ones.
        let is_at_work = self.foreign_started == Some(epoch);
        if is_at_work && self.is_another(&identity) {
            self.is_reread = true;
            return;
        }
        self.identity = identity;
        self.foreign_started = Some(epoch);
        self.recognise(landmarks);
        self.input_events.extend(events);
        if !starts.is_empty() {
            self.log.start(epoch, starts);
        }
    }

    pub(super) fn restored(&mut self, epoch: u64, restored: Restored) {
        if self.epoch != Some(epoch) {
            return;
        }
        let Some(task) = self.tasks.get_mut(&restored.partition) else { return };
        self.log.start(epoch, restored.starts);
        task.held = false;
        task.active = true;
        let partition = task.rows.partition().clone();
        task.rows =
            WriteBack::new(partition, restored.checkpoint, &restored.backlogs, restored.endpoints);
        task.is_untidy = restored.is_untidy;
        task.owner = restored.owner;
        task.positions = restored.positions;
        task.reset_timers();
        self.recognise(restored.landmarks);
        self.input_events.extend(restored.events);
        let rows: u64 = restored.backlogs.values().map(|(rows, _)| rows).sum();
        self.outbox.load(restored.partition, restored.backlogs);
        self.outbox.load_ages(&restored.ages);
        if let Some(task) = self.tasks.get(&restored.partition) {
            self.remember(&task.rows);
        }
        self.health.restored(signed(restored.partition));
        self.restore_waits(None);
        tracing::info!(
            partition = restored.partition,
            records = restored.records,
            outbox_rows = rows,
            "partition restored"
        );
        let (ours, rest): (Vec<Attempted>, Vec<Attempted>) = std::mem::take(&mut self.orphans)
            .into_iter()
            .partition(|a| a.job.partition == restored.partition);
        self.orphans = rest;
        for attempted in ours {
            self.mailbox.put(Input::Attempted(attempted), 1);
        }
    }

    pub(super) fn restore_failed(
        &mut self,
        epoch: u64,
        error: RestoreFailure,
    ) -> Result<(), EngineError> {
        match error {
            RestoreFailure::Store(error) => Err(error.into()),
            RestoreFailure::Mismatch(mismatch) => Err(EngineError::Mismatch(*mismatch)),
            RestoreFailure::Passing(text) => {
                if is_due(&text) {
                    tracing::warn!(error = text, "restoring failed; trying again");
                }
                self.restore_waits(Some(text));
                if self.epoch == Some(epoch) {
                    self.restore(epoch, Some(REOPEN_PAUSE));
                }
                Ok(())
            }
        }
    }

    /// Partitions can't be restored for this cause; `None`: they can.
    fn restore_waits(&mut self, cause: Option<String>) {
        let waiting = cause.map(|cause| Waiting::Other(format!("restoring fails: {cause}")));
        if self.restore_waits != waiting {
            if let Some(before) = self.restore_waits.take() {
                self.health.resume(&before);
            }
            if let Some(waiting) = &waiting {
                self.health.wait(waiting.clone());
            }
            self.restore_waits = waiting;
        }
    }

    /// All partitions go: what is on its way gets a moment to end, and everything known is committed.
    pub(super) fn revoked(
        &mut self,
        lost: bool,
        reply: &SyncSender<()>,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        self.cancel_restore();
        let unsent = self.lanes.clear();
        tracing::info!(
            lost,
            unsent = unsent.len(),
            in_flight = self.lanes.in_flight(),
            "partitions revoked"
        );
        let mut work = std::mem::take(work);
        let result = if lost || self.failure.is_some() {
            self.open_gates(&work);
            Ok(())
        } else {
            // The group waits for the answer, and so there is one try.
            self.last_try = true;
            self.drain(&mut work).and_then(|()| self.commit(work)).and_then(|()| self.write_all())
        };
        self.last_try = false;
        failpoint::pass(Failpoint::Drained);
        if let Err(error) = &result {
            self.keep_copy(error);
        }
        self.abandon();
        self.revoking.store(false, Ordering::SeqCst);
        let _ = reply.send(());
        result
    }

    fn drain(&mut self, work: &mut Work) -> Result<(), EngineError> {
        let deadline = clock::instant() + DRAIN_TIMEOUT;
        let mut inputs = Vec::new();
        let mut others = Vec::new();
        loop {
            let drained = self.lanes.in_flight() == 0;
            let wait = deadline
                .min(clock::instant() + Duration::from_millis(if drained { 0 } else { 20 }));
            self.mailbox.take(&mut inputs, 1, wait);
            for input in inputs.drain(..) {
                match input {
                    Input::Attempted(attempted) => self.attempted(attempted, work)?,
                    // Read after the revocation began, and so another's to read.
                    Input::Records(bundle) => work.gate_bytes += bundle.bytes,
                    Input::Breaker(webhook, state) => {
                        let endpoint = |name: &WebhookName| self.lanes.endpoint(name);
                        work.breaker(webhook, state, &self.view(&endpoint));
                    }
                    // Rows of partitions that go.
                    Input::Returned(_) => {}
                    other @ (Input::Assigned(_)
                    | Input::Revoked { .. }
                    | Input::Identity(_)
                    | Input::Owners(_)
                    | Input::Replaced(_)
                    | Input::Lost(_)
                    | Input::Identified { .. }
                    | Input::Restored { .. }
                    | Input::RestoreFailed { .. }
                    | Input::Ends(_)
                    | Input::Denied(..)
                    | Input::Reloads(_)
                    | Input::Shutdown
                    | Input::Fenced { .. }
                    | Input::Failed(_)) => others.push(other),
                }
            }
            if drained || clock::instant() >= deadline {
                break;
            }
        }
        for other in others {
            self.mailbox.put_urgent(other);
        }
        Ok(())
    }

    /// Forgets all partitions; what is in the store stays there.
    pub(super) fn abandon(&mut self) {
        self.health.stand_by(false);
        self.cancel_restore();
        let _unsent = self.lanes.clear();
        self.epoch = None;
        for (number, task) in std::mem::take(&mut self.tasks) {
            self.health.unassign(signed(number));
            for place in &task.places {
                self.metrics.remove_consumer_lag(&place.topic, place.partition);
            }
        }
        self.foreign.clear();
        self.landmarks.clear();
        self.gaps.clear();
        self.log.open_gate(self.intake.clear());
        self.outbox.clear();
        self.share();
        self.doomed.clear();
        self.orphans.clear();
        self.trouble.forget(&self.health);
        self.restore_waits(None);
        self.busy = false;
    }

    /// Records were dropped that nobody has committed: nothing may be committed any more, or their offsets would be
    /// passed over. The next assignment reads them again.
    pub(super) fn quiesce(&mut self) {
        self.epoch = None;
        for task in self.tasks.values_mut() {
            task.active = false;
        }
    }

    /// Nobody knows whether the last transaction was committed: a new producer makes sure that it ends, and the changelog
    /// tells how it ended. Outcomes are kept, since recording one again changes nothing.
    pub(super) fn reset(&mut self, outcomes: Vec<Attempted>) -> Result<(), EngineError> {
        self.transactions = None;
        self.orphans.extend(outcomes);
        let epoch = self.hold()?;
        while !self.is_leaving() {
            self.health.heartbeat();
            match self.log.open_transactions() {
                Ok(transactions) => {
                    self.health.resume(&self.waiting_for_kafka());
                    self.transactions = Some(transactions);
                    self.restore(epoch, None);
                    break;
                }
                Err(error) => {
                    self.health.wait(self.waiting_for_kafka());
                    let pause = self.trouble.failed(&error.cause(), &self.health);
                    self.pause(pause.max(REOPEN_PAUSE));
                }
            }
        }
        Ok(())
    }

    /// Stops all inputs, until their partitions are restored again.
    fn hold(&mut self) -> Result<u64, EngineError> {
        // The restore may find that the changelog has lost them.
        self.write_all()?;
        let epoch = self.log.hold();
        self.epoch = Some(epoch);
        self.landmarks.clear();
        for (number, task) in &mut self.tasks {
            task.active = false;
            task.held = true;
            self.health.restore(signed(*number));
        }
        self.foreign_held = true;
        // What was passed over is read again.
        self.gaps.clear();
        self.outbox.unload();
        Ok(epoch)
    }

    /// Notes that topics may be other ones than those that are read.
    pub(super) fn compare(&mut self, identity: &Identity) -> Result<(), EngineError> {
        let topic = self.settings.topics.changelog.clone();
        if let (Some(theirs), Some(ours)) = (self.identity.topic(&topic), identity.topic(&topic))
            && theirs != ours
        {
            let difference = Difference::Changelog(theirs.clone(), ours.clone());
            let holder = Holder::Changelog;
            return Err(EngineError::Mismatch(Mismatch::Foreign {
                holder,
                partition: 0,
                difference,
                topic,
            }));
        }
        self.is_reread |= self.is_another(identity);
        Ok(())
    }

    /// The logs of inputs are recognised by these from now on.
    fn recognise(&self, landmarks: Vec<(Place, Option<Landmark>)>) {
        for (place, landmark) in landmarks {
            self.landmarks.set(&place, landmark);
        }
    }

    /// Notes that inputs without topic ids are other logs than those that are read.
    pub(super) fn replaced(&mut self, places: &[Place]) {
        let is_read =
            |place: &Place| self.foreign.contains(place) || self.owner_of(place).is_some();
        self.is_reread |= places.iter().any(is_read);
    }

    /// Rows that were committed are not in the changelog any more; `ends` are the ends of the partitions that lack them.
    pub(super) fn lost(&self, ends: &BTreeMap<i32, i64>) -> Result<(), EngineError> {
        let mut active = self.tasks.iter().filter(|(_, task)| task.active);
        let lost = active.find_map(|(number, _)| Some((*number, *ends.get(&signed(*number))?)));
        lost.map_or(Ok(()), |(number, end)| Err(self.lost_rows(number, end)))
    }

    /// The partition of the changelog ends at `end`, and has no row that was committed to it.
    pub(super) fn lost_rows(&self, partition: u32, end: i64) -> EngineError {
        let task = self.tasks.get(&partition);
        let checkpoint = task.map_or(0, |task| task.rows.next_offset());
        let topic = self.settings.topics.changelog.clone();
        let former = task.and_then(|task| task.owner.as_ref()?.changelog.clone());
        EngineError::Mismatch(match former {
            Some(theirs) if end >= checkpoint => Mismatch::Empty { partition, theirs, topic },
            _ => Mismatch::Range { partition, checkpoint, low: 0, high: end, topic },
        })
    }

    /// Whether a topic is another one than that whose offsets are known.
    fn is_another(&self, identity: &Identity) -> bool {
        let known = &self.identity;
        known.topics.keys().any(|topic| TopicId::differ(known.topic(topic), identity.topic(topic)))
    }

    /// Nobody else may write to the partitions of this group's changelog.
    pub(super) fn compare_owners(&self, owners: &BTreeMap<i32, Owner>) -> Result<(), EngineError> {
        let topic = &self.settings.topics.changelog;
        for (number, task) in self.tasks.iter().filter(|(_, task)| task.active) {
            let theirs = owners.get(&signed(*number));
            if let (Some(theirs), Some(ours)) = (theirs, &task.owner) {
                let (at, permissions) = ((Holder::Changelog, *number), Permissions::default());
                if let Some(found) = Mismatch::find(at, theirs, ours, &permissions, topic)
                    && !task.is_untidy
                {
                    return Err(EngineError::Mismatch(found));
                }
            }
        }
        Ok(())
    }

    /// Restores all partitions again: an input is another topic now.
    pub(super) fn reread(&mut self) -> Result<(), EngineError> {
        if std::mem::take(&mut self.is_reread) && self.epoch.is_some() {
            let epoch = self.hold()?;
            self.restore(epoch, None);
        }
        Ok(())
    }

    /// The offset of an input partition of ours up to which everything is committed.
    pub(super) fn position(&self, place: &Place) -> Option<i64> {
        self.owner_of(place)?.positions.get(place).copied()
    }

    /// The task that an input partition belongs to.
    pub(super) fn owner_of(&self, place: &Place) -> Option<&Task> {
        let number = u32::try_from(place.partition).ok()?;
        self.tasks.get(&number).filter(|task| task.places.contains(place))
    }
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
