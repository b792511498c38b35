//! Committing a batch: one transaction, then its rows become the state, then what is derived in memory.

use super::outbox;
use super::ports::{Log, Transactions};
use super::work::{Slot, Told, Work};
use super::{BUSY_WEIGHT, EngineError, Shell};
use crate::clock;
use crate::codec::row::{InputOffset, Landmark, Meta};
use crate::delivery::Attempted;
use crate::failpoint::{self, Failpoint};
use crate::log::{Committed, GroupOffset, Place, TransactionError, TransactionFault};
use crate::telemetry::{TransactionErrorKind, Waiting};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What the rows of all partitions may take in memory, in each of their two generations.
const GENERATION_BYTES: usize = 12 << 20;
/// A commit's share of a busy engine's time is one in so many, until the commit interval is reached.
const GATHER_FACTOR: u32 = 4;
/// Between two calls of one transaction.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);

/// How the attempt to commit a batch ended.
enum Ending {
    /// Committed.
    Committed(Committed),
    /// Given up: the partitions are taken away, or the instance stops. Nothing was committed.
    Abandoned,
    /// Not known, or the producer is of no more use.
    Unknown,
    /// This partition of the changelog has lost rows, and ends here. Nothing was committed.
    Lost(u32, i64),
}

impl<L: Log> Shell<L> {
    pub(super) fn commit(&mut self, mut work: Work) -> Result<(), EngineError> {
        let is_tidy = !self.tasks.values().any(|task| task.active && task.is_untidy);
        if work.is_empty() && is_tidy {
            // Outcomes that were stale are done with all the same.
            self.release(&work);
            self.open_gates(&work);
            self.busy = false;
            self.buffer = work.into_buffer();
            return Ok(());
        }
        let started = clock::instant();
        let metas = self.metas(&work);
        let meta_rows = work.seal(&metas);
        for number in metas.keys() {
            self.health.work_pending(signed(*number), started);
        }
        let offsets = self.offsets(&work, &metas);
        match self.transact(&work, &offsets) {
            Ending::Committed(committed) => {
                failpoint::pass(if work.outcomes.is_empty() {
                    Failpoint::Committed
                } else {
                    Failpoint::OutcomeCommitted
                });
                self.metrics.transaction(clock::since(started));
                self.put(&mut work, &committed, &meta_rows);
                self.advance(&work, metas);
                // Only now, so that no partition is said to stand still in between.
                self.health.resume(&self.waiting_for_kafka());
                self.trouble.over(&self.health);
            }
            Ending::Abandoned => self.quiesce(),
            Ending::Lost(number, end) => {
                self.open_gates(&work);
                return Err(self.lost_rows(number, end));
            }
            Ending::Unknown => {
                // They are looked at again once their partitions are restored; outcomes are kept instead.
                self.doomed.append(&mut work.doomed);
                self.forget_doomed();
                self.reset(std::mem::take(&mut work.outcomes))?;
            }
        }
        self.open_gates(&work);
        self.busy = work.outcomes.len() + work.told.len() >= BUSY_WEIGHT;
        // Gathering for a few times what a commit takes costs little more than for the whole interval, and much less time.
        self.gather = (clock::since(started) * GATHER_FACTOR).min(self.settings.commit_interval());
        self.committed_at = started;
        self.buffer = work.into_buffer();
        Ok(())
    }

    /// The meta rows of the partitions that the batch touches.
    fn metas(&self, work: &Work) -> BTreeMap<u32, Meta> {
        let mut touched: BTreeMap<u32, Meta> = BTreeMap::new();
        let read = work.offsets.keys().filter_map(|place| u32::try_from(place.partition).ok());
        let endpoints = work.endpoints().keys().map(|(number, _)| *number);
        let slots = work.slots().iter().map(|slot| slot.partition);
        let untidy =
            self.tasks.iter().filter(|(_, task)| task.is_untidy).map(|(number, _)| *number);
        for number in read.chain(slots).chain(endpoints).chain(untidy) {
            let Some(task) = self.tasks.get(&number).filter(|task| task.active) else { continue };
            touched.entry(number).or_insert_with(|| {
                let position =
                    |place| work.offsets.get(place).or_else(|| task.positions.get(place));
                let offsets = task.places.iter().filter_map(|place| {
                    Some(InputOffset {
                        topic: place.topic.clone(),
                        partition: place.partition,
                        next_offset: *position(place)?,
                        topic_id: self.identity.topic(&place.topic).cloned(),
                        landmark: self.landmark(place, work),
                    })
                });
                let (offsets, owner) = (offsets.collect(), task.owner.clone());
                Meta { offsets, committed_at: clock::now_to_commit(), owner }
            });
        }
        touched
    }

    /// The offsets of every partition that the batch touches, whether it has read anything or not: it is by them alone that
    /// the group fences whoever does not own the partition any more.
    fn offsets(&self, work: &Work, metas: &BTreeMap<u32, Meta>) -> BTreeMap<Place, GroupOffset> {
        // What only forwards leaves no rows behind.
        let read = work.offsets.iter().map(|(place, offset)| {
            let topic = self.identity.topic(&place.topic).cloned();
            let landmark = self.landmark(place, work);
            (place.clone(), GroupOffset { offset: *offset, topic, changelog: None, landmark })
        });
        let known = metas.values().flat_map(|meta| {
            let changelog = meta.owner.as_ref().and_then(|owner| owner.changelog.as_ref());
            meta.offsets.iter().map(move |input| {
                let InputOffset { topic, partition, next_offset, topic_id, landmark } =
                    input.clone();
                let (offset, changelog) = (next_offset, changelog.cloned());
                let offset = GroupOffset { offset, topic: topic_id, changelog, landmark };
                (Place { topic, partition }, offset)
            })
        });
        read.chain(known).collect()
    }

    /// What the log of an input is recognised by, where the topic has no id. Before the first commit, that is the last record
    /// of the batch.
    fn landmark(&self, place: &Place, work: &Work) -> Option<Landmark> {
        if !self.identity.is_without_id(&place.topic) {
            return None;
        }
        self.landmarks.of(place).or_else(|| work.landmarks.get(place).copied())
    }

    fn transact(&mut self, work: &Work, offsets: &BTreeMap<Place, GroupOffset>) -> Ending {
        loop {
            let Some(transactions) = &self.transactions else { return Ending::Unknown };
            let error = match self.attempt(transactions, work, offsets) {
                Ok(committed) => return Ending::Committed(committed),
                Err(error) => error,
            };
            self.metrics.transaction_error(kind(error.fault));
            tracing::debug!(%error, fault = error.fault.as_str(), "the transaction failed");
            if let Some((number, end)) = self.regressed(&transactions.written()) {
                self.abort(transactions);
                return Ending::Lost(number, end);
            }
            let pause = self.trouble.failed(&error.text, &self.health);
            if error.fault != TransactionFault::Abortable || !self.abort(transactions) {
                self.pause(pause);
                return Ending::Unknown;
            }
            if self.last_try || self.is_leaving() {
                return Ending::Abandoned;
            }
            self.pause(pause);
        }
    }

    /// One transaction from begin to commit. Only after an abortable error is it known that it was not committed.
    fn attempt(
        &self,
        transactions: &L::Transactions,
        work: &Work,
        offsets: &BTreeMap<Place, GroupOffset>,
    ) -> Result<Committed, TransactionError> {
        self.insist(|| transactions.begin())?;
        #[cfg(test)]
        transactions.witness(&work.witness);
        for outgoing in work.outgoing(&self.settings.topics) {
            transactions.send(&outgoing)?;
        }
        self.insist(|| transactions.offsets(&self.log, offsets.iter()))?;
        failpoint::pass(Failpoint::Offered);
        self.insist(|| transactions.flush())?;
        if let Some((partition, _)) = self.regressed(&transactions.written()) {
            let text = format!("partition {partition} of the changelog has lost rows");
            return Err(TransactionError {
                call: "flush",
                fault: TransactionFault::Abortable,
                text,
            });
        }
        let asked = Cell::new(0);
        let committed = self.insist(|| {
            asked.set(asked.get() + 1);
            transactions.commit()
        });
        // Whoever was asked before may have committed it, whatever is answered now.
        committed.map_err(|error| match asked.get() {
            1 => error,
            _ => TransactionError { fault: TransactionFault::Fatal, ..error },
        })
    }

    /// The partition of the changelog whose offsets have gone back, and where it ends: it was cut off, or deleted and created
    /// again. Nothing may be committed to it, or it would look like the one that was there.
    fn regressed(&self, written: &Committed) -> Option<(u32, i64)> {
        written.0.iter().find_map(|(partition, next)| {
            let number = u32::try_from(*partition).ok()?;
            let task = self.tasks.get(&number)?;
            (*next <= task.rows.next_offset()).then_some((number, *next))
        })
    }

    fn abort(&self, transactions: &L::Transactions) -> bool {
        match self.insist(|| transactions.abort()) {
            Ok(()) => true,
            Err(error) => {
                self.metrics.transaction_error(kind(error.fault));
                tracing::debug!(%error, "the transaction can't even be aborted");
                false
            }
        }
    }

    /// A call that may be made again is made again, and no other call in between.
    fn insist<T>(
        &self,
        call: impl Fn() -> Result<T, TransactionError>,
    ) -> Result<T, TransactionError> {
        loop {
            match call() {
                Err(error) if error.fault == TransactionFault::Retriable => {
                    self.metrics.transaction_error(TransactionErrorKind::Retriable);
                    self.health.wait(self.waiting_for_kafka());
                    self.health.heartbeat();
                    tracing::debug!(%error, "Kafka is slow to answer; asking again");
                    let pause = self.trouble.slow(&error.to_string(), &self.health);
                    if self.stopping.load(Ordering::SeqCst) {
                        return Err(TransactionError { fault: TransactionFault::Fatal, ..error });
                    }
                    // Not so long that the transaction times out meanwhile; nor is it cut short, as there is no other way on.
                    clock::sleep(pause.min(RETRY_PAUSE_MAX));
                }
                other => return other,
            }
        }
    }

    pub(super) fn waiting_for_kafka(&self) -> Waiting {
        Waiting::Kafka(self.settings.kafka.bootstrap_servers.clone())
    }

    /// The committed rows, their indexes and the offsets that they reach, partition by partition.
    fn put(
        &mut self,
        work: &mut Work,
        committed: &Committed,
        meta_rows: &BTreeMap<u32, Range<usize>>,
    ) {
        for Slot { partition, uuid, old, new, row } in work.take_slots() {
            let Some(task) = self.tasks.get_mut(&partition) else { continue };
            self.outbox.change(partition, &old, &new);
            task.change(&new);
            task.rows.put(&uuid, &old, new, row.len());
        }
        for ((partition, webhook), slot) in work.endpoints() {
            if let Some(task) = self.tasks.get_mut(partition) {
                task.rows.put_endpoint(webhook, slot.new);
            }
        }
        let now = clock::now();
        for (number, range) in meta_rows {
            let Some(task) = self.tasks.get_mut(number) else { continue };
            let written = committed
                .0
                .iter()
                .find(|(partition, _)| i64::from(*partition) == i64::from(*number));
            task.rows.committed(written.map(|(_, next)| *next), work.bytes(range), now);
            if let Some((partition, next)) = written
                && self.identity.is_without_id(&self.settings.topics.changelog)
            {
                self.landmarks.written(*partition, *next);
            }
        }
    }

    /// Writes what has been in memory long enough.
    pub(super) fn write_some(&mut self) -> Result<(), EngineError> {
        let now = clock::now();
        let share = GENERATION_BYTES / self.tasks.len().max(1);
        for task in self.tasks.values_mut().filter(|task| task.active) {
            task.rows.write_some(share, now)?;
        }
        Ok(())
    }

    /// Writes everything: the partitions go, or the process ends.
    pub(super) fn write_all(&mut self) -> Result<(), EngineError> {
        for task in self.tasks.values_mut().filter(|task| task.active) {
            task.rows.write_all()?;
        }
        Ok(())
    }

    /// What memory derives from the committed batch.
    fn advance(&mut self, work: &Work, metas: BTreeMap<u32, Meta>) {
        for (number, meta) in metas {
            if let Some(task) = self.tasks.get_mut(&number) {
                let positions = meta.offsets.into_iter().map(|input| {
                    let InputOffset { topic, partition, next_offset, .. } = input;
                    (Place { topic, partition }, next_offset)
                });
                task.positions = positions.collect();
                task.is_untidy = false;
                self.health.progress(signed(number));
            }
        }
        for (place, landmark) in &work.landmarks {
            if self.identity.is_without_id(&place.topic) {
                self.landmarks.read(place, *landmark);
            }
        }
        for told in &work.told {
            if let Told::Endpoint(webhook, event) = told {
                self.follow(webhook, event);
            }
        }
        self.reload_events.clear();
        self.release(work);
        self.tell(work);
    }

    fn release(&mut self, work: &Work) {
        for Attempted { job, .. } in &work.outcomes {
            self.outbox.release(job.partition, &job.webhook, outbox::key(job));
        }
        for row in &work.doomed {
            self.outbox.release(row.partition, &row.webhook, row.key);
        }
    }

    /// The reader may go on for as much as is done with.
    pub(super) fn open_gates(&self, work: &Work) {
        self.log.open_gate(work.gate_bytes);
    }
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn kind(fault: TransactionFault) -> TransactionErrorKind {
    match fault {
        TransactionFault::Fatal => TransactionErrorKind::Fatal,
        TransactionFault::Fenced => TransactionErrorKind::Fenced,
        TransactionFault::Abortable => TransactionErrorKind::Abortable,
        TransactionFault::Retriable => TransactionErrorKind::Retriable,
    }
}
