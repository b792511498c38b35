//! Commits a batch in three steps: one Kafka transaction, then the rows' new state, then the values in memory that are
//! derived from it.

use super::committer::{Ending, Sealed};
use super::work::{DeferredReport, Slot, Work};
use super::{EngineError, Shell};
use crate::clock;
use crate::codec::row::Meta;
use crate::failpoint::{self, Failpoint};
use crate::log::{Committed, Log};
use crate::store::Disk;
use std::collections::BTreeMap;
use std::ops::Range;

impl<L: Log, D: Disk> Shell<L, D> {
    pub(super) fn commit(&mut self, mut work: Work) -> Result<(), EngineError> {
        if work.is_empty() && !self.partitions.meta_changed() {
            // Stale outcomes need no commit, but their leases end.
            self.dispatcher.release(&work);
            self.release_budget(&work);
            self.committer.rest(work);
            return Ok(());
        }
        let started = clock::instant();
        let traced = work.traced.take().map(|traced| (traced, clock::wall_since_epoch()));
        let metas = self.partitions.metas(&work);
        let meta_rows = work.seal(&metas);
        for number in metas.keys() {
            self.report.health().work_pending(*number, started);
        }
        let offsets = self.partitions.offsets(&work, &metas);
        let regressed = |written: &Committed| self.partitions.regressed(written);
        let batch =
            Sealed { log: &self.log, work: &work, offsets: &offsets, regressed: &regressed };
        match self.committer.transact(&batch, &self.report) {
            Ending::Committed(committed) => {
                failpoint::pass(if work.outcomes.is_empty() {
                    Failpoint::Committed
                } else {
                    Failpoint::OutcomeCommitted
                });
                let (duration, records) = (clock::since(started), work.outgoing_count());
                self.report.metrics().transaction(duration, records);
                if let Some((traced, begin)) = traced {
                    traced.committed(begin, records, &self.settings.kafka);
                }
                self.put(&mut work, &committed, &meta_rows);
                self.advance(&work, metas);
                // After `advance`, which reports progress. Otherwise health could show a partition as stuck in between.
                self.committer.succeeded(&self.report);
            }
            Ending::Abandoned => self.partitions.quiesce(),
            Ending::Lost(number, end) => {
                self.release_budget(&work);
                return Err(EngineError::Mismatch(self.partitions.lost_rows(number, end)));
            }
            Ending::Unknown => {
                // These rows are looked at again once their partitions are restored. The outcomes are kept until then.
                self.dispatcher.spare(&mut work.abandoned);
                self.reset(std::mem::take(&mut work.outcomes))?;
            }
        }
        self.release_budget(&work);
        self.committer.finish(started, work);
        Ok(())
    }

    /// Puts the committed rows with their indexes and offsets into their partitions.
    fn put(
        &mut self,
        work: &mut Work,
        committed: &Committed,
        meta_rows: &BTreeMap<i32, Range<usize>>,
    ) {
        for Slot { partition, uuid, old, new, row } in work.take_slots() {
            let Some(task) = self.partitions.task_mut(partition) else { continue };
            self.dispatcher.change(partition, &old, &new);
            task.change(&new);
            task.rows.put(&uuid, &old, new, row.len());
        }
        for ((partition, webhook), slot) in work.endpoints() {
            if let Some(task) = self.partitions.task_mut(*partition) {
                task.rows.put_endpoint(webhook, slot.new);
            }
        }
        self.partitions.committed(work, committed, meta_rows);
    }

    /// Updates the values in memory that are derived from the committed batch.
    fn advance(&mut self, work: &Work, metas: BTreeMap<i32, Meta>) {
        self.partitions.advance(work, metas, &self.report);
        for report in &work.reports {
            if let DeferredReport::Endpoint(webhook, event) = report {
                self.dispatcher.follow(webhook, event);
            }
        }
        self.dispatcher.forget_reload_events();
        self.dispatcher.release(work);
        self.report.committed(work);
    }

    /// Lets the reader read as many bytes more as the batch has processed.
    pub(super) fn release_budget(&self, work: &Work) {
        self.log.release_budget(work.read_bytes);
    }
}
