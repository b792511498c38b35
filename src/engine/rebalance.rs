//! Partitions come and go.

use super::input::{Input, RestoreFailure, Restored};
use super::ports::{Log, Offsets as _};
use super::restore::{self, Restorer};
use super::task::Task;
use super::work::Work;
use super::{EngineError, Shell};
use crate::clock;
use crate::delivery::Attempted;
use crate::domain::WebhookName;
use crate::failpoint::{self, Failpoint};
use crate::log::{Assignment, End, From, LogError, Place, Start};
use crate::store::WriteBack;
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
        let starts =
            self.foreign.iter().map(|place| Start { place: place.clone(), from: From::Here });
        self.log.start(assignment.epoch, starts.collect());
        self.share();
        tracing::info!(partitions = ?owned, "partitions assigned; restoring");
        self.restore(assignment.epoch);
        Ok(())
    }

    fn restore(&mut self, epoch: u64) {
        self.cancel_restore();
        let tasks = self.tasks.values().filter(|task| !task.active);
        let wanted =
            tasks.map(|task| (task.rows.partition().clone(), task.places.clone())).collect();
        let parts = restore::Parts {
            epoch,
            wanted,
            mailbox: self.mailbox.clone(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
        };
        match Restorer::new(&self.log, parts) {
            Ok(restorer) => self.restoring = Some(self.log.restore(restorer)),
            Err(error) => {
                let error = RestoreFailure::from(error);
                self.mailbox.put_urgent(Input::RestoreFailed { epoch, error });
            }
        }
    }

    fn cancel_restore(&mut self) {
        if let Some(restoring) = self.restoring.take() {
            self.log.cancel(restoring);
        }
    }

    pub(super) fn restored(&mut self, epoch: u64, restored: Restored) {
        if self.epoch != Some(epoch) {
            return;
        }
        let Some(task) = self.tasks.get_mut(&restored.partition) else { return };
        let starts = task.places.iter().map(|place| Start {
            place: place.clone(),
            from: start_from(place, &restored, task.held),
        });
        self.log.start(epoch, starts.collect());
        task.held = false;
        task.active = true;
        let partition = task.rows.partition().clone();
        task.rows =
            WriteBack::new(partition, restored.checkpoint, &restored.backlogs, restored.endpoints);
        // Somebody else may read these from now on, and the meta row would remember them as they were.
        task.is_untidy = restored.positions.keys().any(|place| !task.places.contains(place));
        task.positions = restored.positions;
        task.positions.retain(|place, _| task.places.contains(place));
        // Without any offset a transaction would not be fenced.
        let inbox = task.places.iter().find(|place| *place.topic == *self.settings.topics.inbox);
        if let Some(inbox) = inbox {
            let committed = restored.committed.get(inbox).copied().unwrap_or(0);
            task.positions.entry(inbox.clone()).or_insert(committed);
        }
        task.reset_timers();
        let rows: u64 = restored.backlogs.values().map(|(rows, _)| rows).sum();
        self.outbox.load(restored.partition, restored.backlogs);
        if let Some(task) = self.tasks.get(&restored.partition) {
            self.remember(&task.rows);
        }
        self.health.restored(signed(restored.partition));
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
            RestoreFailure::Passing(text) => {
                tracing::warn!(error = text, "restoring failed; trying again");
                if self.epoch == Some(epoch) {
                    clock::sleep(REOPEN_PAUSE);
                    self.restore(epoch);
                }
                Ok(())
            }
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
                    | Input::Restored { .. }
                    | Input::RestoreFailed { .. }
                    | Input::Ends(_)
                    | Input::Away(_)
                    | Input::Reload(_)
                    | Input::Shutdown
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
        self.log.open_gate(self.intake.clear());
        self.outbox.clear();
        self.share();
        self.doomed.clear();
        self.orphans.clear();
        self.trouble.forget(&self.health);
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
        let epoch = self.log.hold();
        self.epoch = Some(epoch);
        for (number, task) in &mut self.tasks {
            task.active = false;
            task.held = true;
            self.health.restoring(signed(*number), 0);
        }
        self.outbox.unload();
        while !self.is_leaving() {
            self.health.heartbeat();
            let opened = self.log.open_transactions();
            // The group's offsets are known only once the producer's leftovers are aborted.
            match opened.and_then(|opened| self.restart_foreign(epoch).map(|()| opened)) {
                Ok(transactions) => {
                    self.health.resume(&self.waiting_for_kafka());
                    self.transactions = Some(transactions);
                    self.restore(epoch);
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

    /// Inputs that only forward go back to where the group stands.
    fn restart_foreign(&self, epoch: u64) -> Result<(), LogError> {
        if self.foreign.is_empty() {
            return Ok(());
        }
        let committed = self.log.offsets().committed(&self.foreign)?;
        let from = |place: &Place| {
            committed.get(place).map_or(From::Beginning, |offset| From::Offset(*offset))
        };
        let starts =
            self.foreign.iter().map(|place| Start { place: place.clone(), from: from(place) });
        self.log.start(epoch, starts.collect());
        Ok(())
    }

    /// How many records of each input are not committed yet.
    pub(super) fn lag(&self, ends: &[End]) {
        for End { place, first, end, read_up } in ends {
            let ours = |task: &&Task| task.places.contains(place);
            let Some(task) = self.tasks.values().find(ours) else { continue };
            let position = task.positions.get(place).unwrap_or(first).max(first);
            let done = read_up.is_some_and(|read_up| *position >= read_up);
            let lag = if done { 0 } else { (end - position).max(0) };
            self.metrics.set_consumer_lag(&place.topic, place.partition, lag);
        }
    }
}

/// Where an input goes on. Group and state agree, unless somebody has moved the group's offsets, or Kafka has forgotten
/// them: then the earlier one is right, since what was seen before is recognised, and what was not is not lost.
///
/// An input that was `held` stands behind records that were read and dropped, and so is always sent back.
fn start_from(place: &Place, restored: &Restored, held: bool) -> From {
    match (restored.committed.get(place), restored.positions.get(place)) {
        (None, None) if held => From::Beginning,
        (Some(offset), None) if held => From::Offset(*offset),
        (_, None) => From::Here,
        (None, Some(position)) => From::Offset(*position),
        (Some(committed), Some(position)) if committed == position => {
            if held {
                From::Offset(*position)
            } else {
                From::Here
            }
        }
        (Some(committed), Some(position)) => {
            tracing::warn!(
                topic = place.topic.as_ref(),
                partition = place.partition,
                committed,
                position,
                "the group's offset is not the state's; going on from the earlier one"
            );
            From::Offset(*committed.min(position))
        }
    }
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl<L: Log> Shell<L> {
    /// The age of the oldest row that waits though it is due.
    pub(super) fn oldest_due(&self) -> Option<crate::domain::Timestamp> {
        self.outbox.oldest().filter(|due| *due <= clock::now())
    }
}

#[cfg(test)]
mod tests;
