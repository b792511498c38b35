//! The committer: makes one Kafka transaction of a batch, and decides how long batches are gathered.

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

/// A batch of so many outcomes and notices is worth gathering.
const BUSY_WEIGHT: usize = 64;
/// A commit may take one in so many of a busy engine's time, until the commit interval is reached.
const GATHER_FACTOR: u32 = 4;
/// The longest pause between two calls of one transaction.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// The shortest pause before another producer is opened.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// How the attempt to commit a batch ended.
pub(super) enum Ending {
    Committed(Committed),
    /// Nothing was committed: the partitions are revoked, or the instance stops.
    Abandoned,
    /// It is not known whether it was committed, or the producer can't be used any more.
    Unknown,
    /// Nothing was committed: this partition of the changelog has lost rows, and ends here.
    Lost(i32, i64),
}

/// A batch as a transaction needs it.
pub(super) struct Sealed<'a, L> {
    pub(super) log: &'a L,
    pub(super) work: &'a Work,
    pub(super) offsets: &'a BTreeMap<TopicPartition, GroupOffset>,
    /// Returns the partition of the changelog whose offsets have gone back, and where it ends.
    pub(super) regressed: &'a dyn Fn(&Committed) -> Option<(i32, i64)>,
}

/// How long batches are gathered.
struct Pace {
    is_busy: bool,
    /// From one commit's start to the next one's.
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
    /// The group waits for the partitions: a failed transaction is not tried again.
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

    /// Until when a busy engine gathers its next batch.
    pub(super) fn gathers_until(&self) -> Option<Instant> {
        self.pace.is_busy.then(|| self.pace.committed_at + self.pace.gather)
    }

    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.pace.is_busy
    }

    /// A batch was empty.
    pub(super) fn rest(&mut self, work: Work) {
        self.pace.is_busy = false;
        self.buffer = work.into_buffer();
    }

    /// A batch whose commit began at `started` is done.
    pub(super) fn finish(&mut self, started: Instant, work: Work) {
        self.pace = Pace {
            is_busy: work.outcomes.len() + work.notices.len() >= BUSY_WEIGHT,
            // Gathering for a few times what a commit takes costs little more than for the whole interval, and much less time.
            gather: (clock::since(started) * GATHER_FACTOR).min(self.settings.commit_interval()),
            committed_at: started,
        };
        self.buffer = work.into_buffer();
    }

    /// A batch is committed.
    pub(super) fn succeeded(&self, report: &Report) {
        report.health().resume(&self.waiting_for_kafka());
        self.trouble.over(report.health());
    }

    /// There is nothing to commit any more.
    pub(super) fn clear(&mut self, report: &Report) {
        self.trouble.forget(report.health());
        self.pace.is_busy = false;
    }

    /// Whether transactions are tried once only.
    pub(super) fn set_last_try(&mut self, is_last_try: bool) {
        self.is_last_try = is_last_try;
    }

    /// Commits a batch; tries again until it is committed, or must not be.
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

    /// Makes one transaction. Only an abortable error says that it was not committed.
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
        // An earlier call may have committed it, whatever is answered now.
        committed.map_err(|error| match asked.get() {
            1 => error,
            _ => TransactionError { fault: TransactionFault::Fatal, ..error },
        })
    }

    /// Returns whether the transaction was aborted.
    fn abort(&self, transactions: &T, report: &Report) -> bool {
        match self.insist(report, || transactions.abort()) {
            Ok(()) => true,
            Err(error) => {
                report.metrics().transaction_error(kind(error.fault));
                tracing::debug!(%error, "the transaction can't even be aborted");
                false
            }
        }
    }

    /// Makes a call again as long as its error allows that, and no other call in between.
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
                    tracing::debug!(%error, "Kafka is slow to answer; asking again");
                    let pause = self.trouble.slow(&error.to_string(), report.health());
                    if self.signals.is_stopping() {
                        return Err(TransactionError { fault: TransactionFault::Fatal, ..error });
                    }
                    // Short enough that the transaction does not time out meanwhile. It is not cut short: there is no other call.
                    clock::sleep(pause.min(RETRY_PAUSE_MAX));
                }
                other => return other,
            }
        }
    }

    /// Nobody knows whether the last transaction was committed: the producer is closed.
    pub(super) fn close(&mut self) {
        self.transactions = None;
    }

    /// Opens a new producer, which makes sure that the last transaction ends; the changelog says how it ended. Returns whether
    /// that was done before the engine has to leave its partitions.
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
