//! The committer makes one Kafka transaction of each batch, and decides how long batches are gathered.

mod trouble;

pub(super) use trouble::Trouble;

use super::channels::Signals;
use super::config::EngineSettings;
use super::report::Report;
use super::work::Work;
use crate::clock;
use crate::failpoint::{self, Failpoint};
use crate::log::{
    Committed, GroupOffset, Log, TopicPartition, TransactionError, TransactionFault, Transactions,
};
use crate::telemetry::{TransactionErrorKind, Waiting};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trouble::wait_out;

/// If a batch has this many outcomes and reports, the engine gathers the next one.
const BUSY_WEIGHT: usize = 64;
/// A busy engine gathers for this many times the duration of a commit, at most for the commit interval.
const GATHER_FACTOR: u32 = 4;
/// The longest pause between two calls of one transaction.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// The shortest pause before another producer is opened.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// The result of the attempt to commit a batch.
pub(super) enum Ending {
    Committed(Committed),
    /// Nothing was committed: the partitions are revoked, or the instance stops.
    Abandoned,
    /// It is unknown whether the batch was committed, or the producer can't be used any longer.
    Unknown,
    /// Nothing was committed: this partition of the changelog has lost rows, and ends at this offset.
    Lost(i32, i64),
}

/// A batch with everything that its transaction needs.
pub(super) struct Sealed<'a, L> {
    pub(super) log: &'a L,
    pub(super) work: &'a Work,
    pub(super) offsets: &'a BTreeMap<TopicPartition, GroupOffset>,
    /// Returns a partition of the changelog whose offsets have gone back, and its end.
    pub(super) regressed: &'a dyn Fn(&Committed) -> Option<(i32, i64)>,
}

/// How long batches are gathered.
struct Pace {
    is_busy: bool,
    /// The time from the start of one commit to the start of the next.
    gather: Duration,
    committed_at: Instant,
}

/// Commits batches, one transaction each.
pub(super) struct Committer<T> {
    settings: Arc<EngineSettings>,
    signals: Signals,
    transactions: Option<T>,
    /// The buffer of the last batch.
    buffer: Vec<u8>,
    pace: Pace,
    trouble: Trouble,
    /// The group waits for the partitions: a failed transaction is not retried.
    is_last_try: bool,
}

impl<T: Transactions> Committer<T> {
    pub(super) fn new(settings: Arc<EngineSettings>, signals: Signals, transactions: T) -> Self {
        let pace = Pace { is_busy: false, gather: Duration::ZERO, committed_at: clock::instant() };
        Self {
            settings,
            signals,
            transactions: Some(transactions),
            buffer: Vec::new(),
            pace,
            trouble: Trouble::default(),
            is_last_try: false,
        }
    }

    /// Returns an empty batch.
    pub(super) fn batch(&mut self) -> Work {
        Work::reusing(std::mem::take(&mut self.buffer))
    }

    /// Returns until when a busy engine gathers its next batch; `None` for an idle engine.
    pub(super) fn gathers_until(&self) -> Option<Instant> {
        self.pace.is_busy.then(|| self.pace.committed_at + self.pace.gather)
    }

    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.pace.is_busy
    }

    /// Takes a batch back that had nothing to commit. The engine is idle now.
    pub(super) fn rest(&mut self, work: Work) {
        self.pace.is_busy = false;
        self.buffer = work.into_buffer();
    }

    /// Takes a batch back whose commit began at `started`, and sets the pace of the next one.
    pub(super) fn finish(&mut self, started: Instant, work: Work) {
        self.pace = Pace {
            is_busy: work.outcomes.len() + work.reports.len() >= BUSY_WEIGHT,
            // To gather for a few times the duration of a commit costs little more than the whole interval, and delays
            // outcomes much less.
            gather: (clock::since(started) * GATHER_FACTOR).min(self.settings.commit_interval()),
            committed_at: started,
        };
        self.buffer = work.into_buffer();
    }

    /// Ends a series of failures, because a batch is committed.
    pub(super) fn succeeded(&self, report: &Report) {
        report.health().resume(&self.waiting_for_kafka());
        self.trouble.over(report.health());
    }

    /// Forgets failures, because there is nothing to commit.
    pub(super) fn clear(&mut self, report: &Report) {
        self.trouble.forget(report.health());
        self.pace.is_busy = false;
    }

    /// Sets whether each transaction is tried only once.
    pub(super) fn set_last_try(&mut self, is_last_try: bool) {
        self.is_last_try = is_last_try;
    }

    /// Commits a batch. Retries until it is committed, or until it must not be committed.
    pub(super) fn transact(&self, batch: &Sealed<'_, T::Log>, report: &Report) -> Ending {
        loop {
            let Some(transactions) = &self.transactions else { return Ending::Unknown };
            let error = match self.attempt(transactions, batch, report) {
                Ok(committed) => return Ending::Committed(committed),
                Err(error) => error,
            };
            report.metrics().transaction_error(kind(error.fault));
            tracing::debug!(%error, fault = error.fault.as_str(), "the transaction failed");
            if let Some((number, end)) = (batch.regressed)(&transactions.written()) {
                self.abort(transactions, report);
                return Ending::Lost(number, end);
            }
            let pause = self.trouble.failed(&error.text, report.health());
            if error.fault != TransactionFault::Abortable || !self.abort(transactions, report) {
                self.pause(pause, report);
                return Ending::Unknown;
            }
            if self.is_last_try || self.signals.is_leaving() {
                return Ending::Abandoned;
            }
            self.pause(pause, report);
        }
    }

    /// Makes one transaction. Only an abortable error proves that it was not committed.
    fn attempt(
        &self,
        transactions: &T,
        batch: &Sealed<'_, T::Log>,
        report: &Report,
    ) -> Result<Committed, TransactionError> {
        self.insist(report, || transactions.begin())?;
        #[cfg(test)]
        transactions.witness(&batch.work.witness);
        for outgoing in batch.work.outgoing(&self.settings.topics) {
            transactions.send(&outgoing)?;
        }
        self.insist(report, || transactions.offsets(batch.log, batch.offsets.iter()))?;
        failpoint::pass(Failpoint::Offered);
        self.insist(report, || transactions.flush())?;
        if let Some((partition, _)) = (batch.regressed)(&transactions.written()) {
            let text = format!("partition {partition} of the changelog has lost rows");
            return Err(TransactionError {
                call: "flush",
                fault: TransactionFault::Abortable,
                text,
            });
        }
        let asked = Cell::new(0);
        let committed = self.insist(report, || {
            asked.set(asked.get() + 1);
            transactions.commit()
        });
        // An earlier call may have committed the transaction, whatever this error says.
        committed.map_err(|error| match asked.get() {
            1 => error,
            _ => TransactionError { fault: TransactionFault::Fatal, ..error },
        })
    }

    /// Aborts the transaction. Returns whether that succeeded.
    fn abort(&self, transactions: &T, report: &Report) -> bool {
        match self.insist(report, || transactions.abort()) {
            Ok(()) => true,
            Err(error) => {
                report.metrics().transaction_error(kind(error.fault));
                tracing::debug!(%error, "the transaction can't be aborted");
                false
            }
        }
    }

    /// Repeats a call while its error is retriable, and makes no other call in between.
    fn insist<R>(
        &self,
        report: &Report,
        call: impl Fn() -> Result<R, TransactionError>,
    ) -> Result<R, TransactionError> {
        loop {
            match call() {
                Err(error) if error.fault == TransactionFault::Retriable => {
                    report.metrics().transaction_error(TransactionErrorKind::Retriable);
                    report.health().wait(self.waiting_for_kafka());
                    report.health().heartbeat();
                    tracing::debug!(%error, "Kafka is slow to answer; repeating the call");
                    let pause = self.trouble.slow(&error.to_string(), report.health());
                    if self.signals.is_stopping() {
                        return Err(TransactionError { fault: TransactionFault::Fatal, ..error });
                    }
                    // The pause is so short that the transaction does not time out. A revocation does not end it early:
                    // the engine can only repeat this call.
                    clock::sleep(pause.min(RETRY_PAUSE_MAX));
                }
                other => return other,
            }
        }
    }

    /// Closes the producer: it is unknown whether the last transaction was committed.
    pub(super) fn close(&mut self) {
        self.transactions = None;
    }

    /// Opens a new producer, which makes sure that the last transaction ends; the changelog shows how it ended. Returns
    /// `false` if the engine has to leave its partitions first.
    pub(super) fn reopen<L: Log<Transactions = T>>(&mut self, log: &L, report: &Report) -> bool {
        while !self.signals.is_leaving() {
            report.health().heartbeat();
            match log.open_transactions() {
                Ok(transactions) => {
                    report.health().resume(&self.waiting_for_kafka());
                    self.transactions = Some(transactions);
                    return true;
                }
                Err(error) => {
                    report.health().wait(self.waiting_for_kafka());
                    let pause = self.trouble.failed(&error.cause(), report.health());
                    self.pause(pause.max(REOPEN_PAUSE), report);
                }
            }
        }
        false
    }

    /// Waits before the next try, until the partitions are revoked or the process is to end.
    fn pause(&self, time: Duration, report: &Report) {
        wait_out(time, report.health(), || self.signals.is_leaving());
    }

    fn waiting_for_kafka(&self) -> Waiting {
        Waiting::Kafka(self.settings.kafka.bootstrap_servers.clone())
    }
}

fn kind(fault: TransactionFault) -> TransactionErrorKind {
    match fault {
        TransactionFault::Fatal => TransactionErrorKind::Fatal,
        TransactionFault::Fenced => TransactionErrorKind::Fenced,
        TransactionFault::Abortable => TransactionErrorKind::Abortable,
        TransactionFault::Retriable => TransactionErrorKind::Retriable,
    }
}
