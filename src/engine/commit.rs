//! Commits a batch in three steps: one Kafka transaction, then the rows' new state, then the values in memory that are
//! derived from it. The first step runs on a thread of its own; the engine decides the next batch meanwhile.

use super::committer::{Ended, Ending, Running, Sealed};
use super::work::{DeferredReport, Outbound, Slot, Traced, Work};
use super::{EngineError, Shell};
use crate::clock;
use crate::codec::row::Meta;
use crate::failpoint::{self, Failpoint};
use crate::log::{Committed, Log};
use crate::store::Disk;
use std::collections::BTreeMap;
use std::ops::Range;

impl<L: Log, D: Disk> Shell<L, D> {
    /// Begins the transaction of a batch. No other transaction may run. `is_last_try`: the group waits for the partitions,
    /// so that a failed transaction is not retried.
    pub(super) fn commit(&mut self, mut work: Work, is_last_try: bool) {
        if work.is_empty() && !self.partitions.meta_changed() {
            // Stale outcomes need no commit, but their leases end.
            self.dispatcher.release(&work);
            self.release_budget(&work);
            self.committer.rest(work);
            return;
        }
        let traced = work.traced.take().map(|traced| (traced, clock::wall_since_epoch()));
        let metas = self.partitions.metas(&work);
        let meta_rows = work.seal(&metas);
        let now = clock::instant();
        for number in metas.keys() {
            self.report.health().work_pending(*number, now);
        }
        let sealed = Sealed {
            member: self.log.member(),
            outbound: work.take_outbound(),
            offsets: self.partitions.offsets(&work, &metas),
            reached: self.partitions.reached(metas.keys()),
            is_last_try,
            #[cfg(test)]
            witness: std::mem::take(&mut work.witness),
        };
        self.committer.begin(&self.log, Running { work, metas, meta_rows, traced }, sealed);
    }

    /// Waits until no transaction runs, and follows its result. `open` is the batch that was decided meanwhile.
    pub(super) fn settle(&mut self, open: &mut Work) -> Result<(), EngineError> {
        if self.committer.running().is_some() {
            self.log.settle();
        }
        self.follow(open)
    }

    /// Follows the result of the transaction, if it has ended. `open` is the batch that was decided meanwhile. If the
    /// transaction was not committed, nothing of `open` is valid.
    pub(super) fn follow(&mut self, open: &mut Work) -> Result<(), EngineError> {
        let Some(Ended { mut running, outbound, ending, took }) = self.committer.ended() else {
            return Ok(());
        };
        #[cfg(test)]
        super::tests::followed(&ending, open.weight());
        let work = &mut running.work;
        let result = match ending {
            // A failed engine has no partitions any more.
            _ if self.failure.is_some() => Ok(()),
            Ending::Committed(committed) => {
                failpoint::pass(if work.outcomes.is_empty() {
                    Failpoint::Committed
                } else {
                    Failpoint::OutcomeCommitted
                });
                let records = outbound.count();
                self.report.metrics().transaction(took, records);
                if let Some((traced, begin)) = running.traced {
                    traced.committed(begin, records, &self.settings.kafka);
                }
                self.put(work, &outbound, &committed, &running.meta_rows);
                self.advance(work, running.metas);
                // After `advance`, which reports progress. Otherwise health could show a partition as stuck in between.
                self.committer.succeeded();
                Ok(())
            }
            Ending::Abandoned => {
                self.dispatcher.keep_reload_events(std::mem::take(&mut work.reload_events));
                self.partitions.quiesce();
                self.discard(open);
                Ok(())
            }
            Ending::Lost(number, end) => {
                Err(EngineError::Mismatch(self.partitions.lost_rows(number, end)))
            }
            Ending::Unknown => {
                // These rows are looked at again once their partitions are restored. The outcomes are kept until then.
                self.dispatcher.spare(&mut work.abandoned);
                self.dispatcher.keep_reload_events(std::mem::take(&mut work.reload_events));
                let mut outcomes = std::mem::take(&mut work.outcomes);
                outcomes.append(&mut open.outcomes);
                self.discard(open);
                self.reset(outcomes)
            }
        };
        self.release_budget(&running.work);
        self.committer.reuse(outbound);
        result
    }

    /// Empties a batch whose decisions are not valid any more.
    fn discard(&mut self, open: &mut Work) {
        self.release_budget(open);
        *open = self.committer.take_open();
        open.traced = self.traces.clone().map(Traced::new);
    }

    /// Puts the committed rows with their indexes and offsets into their partitions.
    fn put(
        &mut self,
        work: &mut Work,
        outbound: &Outbound,
        committed: &Committed,
        meta_rows: &BTreeMap<i32, Range<usize>>,
    ) {
        for Slot { partition, uuid, old, new, row_bytes } in work.take_changed() {
            let Some(task) = self.partitions.task_mut(partition) else { continue };
            self.dispatcher.change(partition, &old, &new);
            task.change(&new);
            task.rows.put(&uuid, &old, new, row_bytes);
        }
        for ((partition, webhook), slot) in work.endpoints() {
            if let Some(task) = self.partitions.task_mut(*partition) {
                task.rows.put_endpoint(webhook, slot.new);
            }
        }
        self.partitions.committed(committed, outbound, meta_rows);
    }

    /// Updates the values in memory that are derived from the committed batch.
    fn advance(&mut self, work: &Work, metas: BTreeMap<i32, Meta>) {
        self.partitions.advance(work, metas, &self.report);
        for report in &work.reports {
            if let DeferredReport::Endpoint(webhook, event) = report {
                self.dispatcher.follow(webhook, event);
            }
        }
        self.dispatcher.release(work);
        self.report.committed(work);
    }

    /// Lets the reader read as many bytes more as the batch has processed.
    pub(super) fn release_budget(&self, work: &Work) {
        self.log.release_budget(work.read_bytes);
    }
}
