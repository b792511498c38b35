//! The decisions of a round: about records, outcomes, timers, and deliveries that become dead letters.

use super::intake::Bundle;
use super::outbox::Abandoned;
use super::partitions::{Task, place};
use super::work::{Base, View, Work};
use super::{EngineError, Shell};
use crate::delivery::Attempted;
use crate::domain::{Command, EndpointCommand};
use crate::log::{Log, Record, RecordBody};
use crate::store::Disk;

const TIMERS_PER_BATCH: usize = 1000;

impl<L: Log, D: Disk> Shell<L, D> {
    /// Decides records, and forwards those that another partition owns.
    pub(super) fn records(&mut self, bundle: &Bundle, work: &mut Work) -> Result<(), EngineError> {
        if self.partitions.epoch() != Some(bundle.epoch) {
            return Ok(());
        }
        let lacks_ids = self.partitions.inputs().lacks_ids();
        let view = self.dispatcher.view(self.settings.partitions);
        let (mut misplaced, mut gaps) = (None, Vec::new());
        for record in &bundle.records {
            let position = || {
                let running = self.committer.running();
                let decided = running.and_then(|work| work.offsets.get(&record.place).copied());
                decided.or_else(|| self.partitions.position(&record.place))
            };
            let expected = work.read(record, lacks_ids).or_else(position);
            if let Some(expected) = expected.filter(|expected| *expected < record.offset) {
                gaps.push((record.place.clone(), expected, record.offset));
            }
            misplaced = misplaced.or(self.record(record, work, &view)?);
        }
        self.partitions.inputs().note_gaps(gaps);
        self.warn_of(misplaced);
        Ok(())
    }

    /// Decides or forwards one record, or each item of an array. Returns a record that was forwarded.
    fn record<'r>(
        &self,
        record: &'r Record,
        work: &mut Work,
        view: &View<'_>,
    ) -> Result<Option<&'r Record>, EngineError> {
        match &record.body {
            RecordBody::Command { uuid, owner, forward, command } => {
                // If the input has another number of partitions than the inbox, all its records are forwarded. A
                // record that was decided here would overtake those that are forwarded.
                let here = record.place.partition == *owner
                    && !self.settings.other_partition_counts.contains(&record.place.topic);
                match self.partitions.running(*owner).filter(|_| here) {
                    Some(task) => {
                        work.command(&self.base(task), uuid, command, Some(record), view)?;
                    }
                    None => {
                        work.forward(record, uuid, *owner, record.forward_headers(*forward));
                        return Ok(Some(record));
                    }
                }
            }
            RecordBody::Endpoint { webhook, command } => {
                if let Some(task) = self.partitions.running(record.place.partition) {
                    work.endpoint(&self.base(task), webhook, *command, Some(record), view)?;
                }
            }
            // Its offset is committed like any other.
            RecordBody::Note => {}
            RecordBody::Skipped => {
                work.skipped(record);
                work.letter_ignored(record, view);
            }
            RecordBody::Items(items) => {
                let mut misplaced = None;
                for item in items {
                    misplaced = misplaced.or(self.record(item, work, view)?);
                }
                // It has a letter if all of its items are skipped.
                work.letter_ignored(record, view);
                return Ok(misplaced);
            }
            RecordBody::Bad(bad) => work.bad(record, bad, view),
        }
        Ok(None)
    }

    /// Warns once per topic that a record is in a partition that does not own its uuid.
    fn warn_of(&mut self, misplaced: Option<&Record>) {
        let Some(record) = misplaced else { return };
        if self.partitions.inputs().warns_of(&record.place.topic) {
            tracing::warn!(
                topic = record.place.topic.as_ref(),
                partition = record.place.partition,
                offset = record.offset,
                "records are in a partition that does not own their uuid, and are forwarded, which costs speed: let the \
                 producer use the phonon-uuid as key, and Kafka's default partitioner"
            );
        }
    }

    /// Adds the events of inputs to the batch. They are committed together with the offsets that result from them.
    pub(super) fn report_inputs(&mut self, work: &mut Work) {
        for event in self.partitions.inputs().take_events() {
            let at = place(&event);
            if self.partitions.is_foreign(&at) {
                work.offsets.entry(at).or_insert(event.next_offset());
            }
            work.input(event, &self.dispatcher.view(self.settings.partitions));
        }
    }

    /// Records the outcome of an attempt.
    pub(super) fn attempted(
        &mut self,
        attempted: Attempted,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        let task = match self.partitions.task(attempted.job.partition) {
            // The partition was revoked. Its new owner repeats the attempt.
            None => return Ok(()),
            Some(task) if !task.active => {
                self.partitions.keep([attempted]);
                return Ok(());
            }
            Some(task) => task,
        };
        let view = self.dispatcher.view(self.settings.partitions);
        let command = Command::RecordOutcome {
            delivery: attempted.job.id,
            attempt: attempted.job.attempt,
            outcome: attempted.outcome.clone(),
        };
        let (webhook, base) = (&attempted.job.webhook, self.base(task));
        // A stale outcome says nothing about the endpoint.
        if work.command(&base, &attempted.job.uuid, &command, None, &view)? {
            let command = EndpointCommand::RecordOutcome {
                delivery: attempted.job.id,
                attempt: attempted.job.attempt,
                outcome: &attempted.outcome,
                delivered_at: self.dispatcher.delivered_at(webhook),
            };
            work.endpoint(&base, webhook, command, None, &view)?;
        }
        work.outcomes.push(attempted);
        Ok(())
    }

    /// Returns the state of a partition that the next batch is decided on.
    fn base<'s>(&'s self, task: &'s Task<D::Family>) -> Base<'s, D::Family> {
        Base::new(&task.rows, self.committer.running())
    }

    /// Fires the timers that are due. No transaction may run: its timers stay due until they are committed.
    pub(super) fn timers(&mut self, work: &mut Work) -> Result<(), EngineError> {
        let view = self.dispatcher.view(self.settings.partitions);
        for task in self.partitions.all_running() {
            for uuid in task.due_timers(view.now, TIMERS_PER_BATCH)? {
                let (base, command) =
                    (Base::new(&task.rows, None), Command::FireTimer(uuid.clone()));
                work.command(&base, &uuid, &command, None, &view)?;
            }
        }
        Ok(())
    }

    /// Turns the deliveries that will not be attempted into dead letters.
    pub(super) fn give_up(&mut self, work: &mut Work) -> Result<(), EngineError> {
        let abandoned = self.dispatcher.take_abandoned();
        let view = self.dispatcher.view(self.settings.partitions);
        for Abandoned { partition, uuid, key, reason, .. } in &abandoned {
            if let Some(task) = self.partitions.running(*partition) {
                let command = Command::GiveUp { delivery: key.id, reason: *reason };
                work.command(&self.base(task), uuid, &command, None, &view)?;
            }
        }
        work.abandoned = abandoned;
        Ok(())
    }
}
