//! Partitions are assigned, restored, revoked, and restored again.

use super::input::{Input, Restored};
use super::work::Work;
use super::{EngineError, Shell};
use crate::clock;
use crate::delivery::Attempted;
use crate::failpoint::{self, Failpoint};
use crate::log::{Assignment, Log};
use crate::store::Disk;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause between two checks of unfinished attempts.
const DRAIN_PAUSE: Duration = Duration::from_millis(20);

impl<L: Log, D: Disk> Shell<L, D> {
    pub(super) fn assigned(&mut self, assignment: Assignment) -> Result<(), EngineError> {
        self.report.metrics().rebalance();
        self.partitions.assign(assignment, &self.log, &self.report)?;
        self.share();
        Ok(())
    }

    pub(super) fn restored(&mut self, epoch: u64, restored: Restored) {
        let number = restored.partition;
        let outbox = self.partitions.restored(epoch, restored, &self.log, &self.report);
        let Some((backlogs, retried)) = outbox else { return };
        if let Some(task) = self.partitions.task(number) {
            self.dispatcher.load(number, backlogs, &retried, task.rows.endpoints());
        }
    }

    /// Gives all partitions back: waits a moment for attempts to end, and commits every known outcome.
    pub(super) fn revoked(
        &mut self,
        lost: bool,
        reply: &SyncSender<()>,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        self.partitions.cancel_restore(&self.log);
        let unsent = self.dispatcher.stop();
        let in_flight = self.dispatcher.in_flight();
        tracing::info!(lost, unsent, in_flight, "partitions revoked");
        let result = self.leave(lost, std::mem::take(work));
        let result = result.and_then(|()| {
            let is_stopping = self.signals.is_stopping();
            let partitions = &mut self.partitions;
            Ok(if is_stopping { partitions.save_all() } else { partitions.write_all() }?)
        });
        failpoint::pass(Failpoint::Drained);
        if let Err(error) = &result {
            self.keep_copy(error);
        }
        self.forget_partitions();
        self.signals.revocation_ends();
        let _ = reply.send(());
        result
    }

    /// Ends the running transaction. Commits what is known, unless the partitions are lost.
    fn leave(&mut self, lost: bool, mut work: Work) -> Result<(), EngineError> {
        if self.failure.is_none() {
            self.settle(&mut work)?;
        }
        if lost || self.failure.is_some() {
            self.release_budget(&work);
            return Ok(());
        }
        self.drain(&mut work)?;
        self.commit(work, true);
        self.settle(&mut Work::default())
    }

    /// Waits for attempts to end, and leaves all other inputs for later.
    fn drain(&mut self, work: &mut Work) -> Result<(), EngineError> {
        let deadline = clock::instant() + DRAIN_TIMEOUT;
        let mut inputs = Vec::new();
        let mut others = Vec::new();
        loop {
            let drained = self.dispatcher.in_flight() == 0;
            let pause = if drained { Duration::ZERO } else { DRAIN_PAUSE };
            let wait: Instant = deadline.min(clock::instant() + pause);
            self.mailbox.take(&mut inputs, 1, wait);
            for input in inputs.drain(..) {
                match input {
                    Input::Attempted(attempted) => self.attempted(attempted, work)?,
                    // These records were read after the revocation began, so another instance reads them.
                    Input::Records(bundle) => work.read_bytes += bundle.bytes,
                    Input::Breaker(webhook, state) => {
                        work.breaker(webhook, state, &self.view());
                    }
                    // Their partitions are revoked.
                    Input::Returned(_) => {}
                    other @ (Input::Assigned(_)
                    | Input::Revoked { .. }
                    | Input::TransactionEnded
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

    /// Forgets all partitions. Their rows in the store stay.
    pub(super) fn forget_partitions(&mut self) {
        self.report.health().stand_by(false);
        self.partitions.clear(&self.log, &self.report);
        let _unsent = self.dispatcher.stop();
        self.log.release_budget(self.dispatcher.clear());
        self.share();
        self.committer.clear();
        self.signals.forgotten();
    }

    /// Restores all partitions after a transaction with an unknown result. A new producer makes sure that it ends, and
    /// the changelog shows how it ended. The outcomes are kept: to record one again changes nothing.
    pub(super) fn reset(&mut self, outcomes: Vec<Attempted>) -> Result<(), EngineError> {
        // First the rows are written: to close the producer may take long.
        let epoch = self.hold()?;
        self.partitions.keep(outcomes);
        if self.committer.reopen(&self.log)
            && let Some(epoch) = epoch
        {
            self.partitions.restore(epoch, None, &self.log, &self.report);
        }
        Ok(())
    }

    /// Restores all partitions again if an input's topic has changed.
    pub(super) fn reread(&mut self) -> Result<(), EngineError> {
        if self.partitions.take_reread() {
            let mut open = self.committer.take_open();
            self.settle(&mut open)?;
            self.committer.keep_open(open);
            if let Some(epoch) = self.hold()? {
                self.partitions.restore(epoch, None, &self.log, &self.report);
            }
        }
        Ok(())
    }

    /// Stops all inputs until their partitions are restored again.
    fn hold(&mut self) -> Result<Option<u64>, EngineError> {
        let epoch = self.partitions.hold(&self.log, &self.report)?;
        self.dispatcher.unload();
        Ok(epoch)
    }

    /// Sets this instance's share of the limits of endpoints and accounts.
    fn share(&self) {
        self.dispatcher.share(self.partitions.count(), self.settings.partitions);
    }
}
