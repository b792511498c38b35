//! The transactor makes one Kafka transaction of each batch. It runs on the thread for transactions, so that the engine
//! decides the next batch meanwhile.

use super::trouble::{Trouble, wait_out};
use crate::clock;
use crate::engine::channels::Signals;
use crate::engine::config::EngineSettings;
use crate::engine::work::Outbound;
use crate::failpoint::{self, Failpoint};
use crate::log::{
    Committed, GroupOffset, Log, TopicPartition, TransactionError, TransactionFault, Transactions,
};
use crate::telemetry::{Health, Metrics, TransactionErrorKind, Waiting};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The longest pause between two calls of one transaction.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// The shortest pause before another producer is opened.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// The result of the attempt to commit a batch.
pub(in crate::engine) enum Ending {
    Committed(Committed),
    /// Nothing was committed: the partitions are revoked, or the instance stops.
    Abandoned,
    /// It is unknown whether the batch was committed, or the producer can't be used any longer.
    Unknown,
    /// Nothing was committed: this partition of the changelog has lost rows, and ends at this offset.
    Lost(i32, i64),
}

/// A batch with everything that its transaction needs.
pub(in crate::engine) struct Sealed<M> {
    pub(in crate::engine) member: M,
    pub(in crate::engine) outbound: Outbound,
    pub(in crate::engine) offsets: BTreeMap<TopicPartition, GroupOffset>,
    /// The offset that each partition of the changelog has reached.
    pub(in crate::engine) reached: BTreeMap<i32, i64>,
    /// The group waits for the partitions: a failed transaction is not retried.
    pub(in crate::engine) is_last_try: bool,
    #[cfg(test)]
    pub(in crate::engine) witness: Vec<crate::engine::tests::Witness>,
}

impl<M> Sealed<M> {
    /// Returns a partition of the changelog whose offsets have gone back, and its end: it was truncated, or deleted and
    /// created again. Nothing may be committed to it: it would look like the former one.
    fn regressed(&self, written: &Committed) -> Option<(i32, i64)> {
        let back = written
            .0
            .iter()
            .find(|(number, next)| self.reached.get(number).is_some_and(|reached| next <= reached));
        back.copied()
    }
}

/// Makes transactions, one after the other.
pub(in crate::engine) struct Transactor<T> {
    settings: Arc<EngineSettings>,
    signals: Signals,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    transactions: Option<T>,
    trouble: Trouble,
}

impl<T: Transactions> Transactor<T> {
    pub(super) fn new(
        settings: Arc<EngineSettings>,
        signals: Signals,
        (metrics, health): (Arc<Metrics>, Arc<Health>),
        transactions: T,
    ) -> Self {
        let (transactions, trouble) = (Some(transactions), Trouble::default());
        Self { settings, signals, metrics, health, transactions, trouble }
    }

    /// Commits a batch. Retries until it is committed, or until it must not be committed.
    pub(super) fn transact(&self, batch: &Sealed<T::Member>) -> Ending {
        loop {
            let Some(transactions) = &self.transactions else { return Ending::Unknown };
            let error = match self.attempt(transactions, batch) {
                Ok(committed) => return Ending::Committed(committed),
                Err(error) => error,
            };
            self.metrics.transaction_error(kind(error.fault));
            tracing::debug!(%error, fault = error.fault.as_str(), "the transaction failed");
            if let Some((number, end)) = batch.regressed(&transactions.written()) {
                self.abort(transactions);
                return Ending::Lost(number, end);
            }
            let pause = self.trouble.failed(&error.text, &self.health);
            if error.fault != TransactionFault::Abortable || !self.abort(transactions) {
                self.pause(pause);
                return Ending::Unknown;
            }
            if batch.is_last_try || self.signals.is_leaving() {
                return Ending::Abandoned;
            }
            self.pause(pause);
        }
    }

    /// Makes one transaction. Only an abortable error proves that it was not committed.
    fn attempt(
        &self,
        transactions: &T,
        batch: &Sealed<T::Member>,
    ) -> Result<Committed, TransactionError> {
        self.insist(|| transactions.begin())?;
        #[cfg(test)]
        transactions.witness(&batch.witness);
        for outgoing in batch.outbound.outgoing(&self.settings.topics) {
            transactions.send(&outgoing)?;
        }
        self.insist(|| transactions.offsets(&batch.member, batch.offsets.iter()))?;
        failpoint::pass(Failpoint::Offered);
        self.insist(|| transactions.flush())?;
        if let Some((partition, _)) = batch.regressed(&transactions.written()) {
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
        // An earlier call may have committed the transaction, whatever this error says.
        committed.map_err(|error| match asked.get() {
            1 => error,
            _ => TransactionError { fault: TransactionFault::Fatal, ..error },
        })
    }

    /// Aborts the transaction. Returns whether that succeeded.
    fn abort(&self, transactions: &T) -> bool {
        match self.insist(|| transactions.abort()) {
            Ok(()) => true,
            Err(error) => {
                self.metrics.transaction_error(kind(error.fault));
                tracing::debug!(%error, "the transaction can't be aborted");
                false
            }
        }
    }

    /// Repeats a call while its error is retriable, and makes no other call in between.
    fn insist<R>(
        &self,
        call: impl Fn() -> Result<R, TransactionError>,
    ) -> Result<R, TransactionError> {
        loop {
            match call() {
                Err(error) if error.fault == TransactionFault::Retriable => {
                    self.metrics.transaction_error(TransactionErrorKind::Retriable);
                    self.health.wait(self.waiting_for_kafka());
                    self.health.heartbeat();
                    tracing::debug!(%error, "Kafka is slow to answer; repeating the call");
                    let pause = self.trouble.slow(&error.to_string(), &self.health);
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

    /// Ends a series of failures, because a batch is committed.
    pub(super) fn succeeded(&self) {
        self.health.resume(&self.waiting_for_kafka());
        self.trouble.over(&self.health);
    }

    /// Forgets failures, because there is nothing to commit.
    pub(super) fn forget(&self) {
        self.trouble.forget(&self.health);
    }

    /// Closes the producer: it is unknown whether the last transaction was committed.
    pub(super) fn close(&mut self) {
        self.transactions = None;
    }

    /// Opens a new producer, which makes sure that the last transaction ends; the changelog shows how it ended. Returns
    /// `false` if the engine has to leave its partitions first.
    pub(super) fn reopen<L: Log<Transactions = T>>(&mut self, log: &L) -> bool {
        while !self.signals.is_leaving() {
            self.health.heartbeat();
            match log.open_transactions() {
                Ok(transactions) => {
                    self.health.resume(&self.waiting_for_kafka());
                    self.transactions = Some(transactions);
                    return true;
                }
                Err(error) => {
                    self.health.wait(self.waiting_for_kafka());
                    let pause = self.trouble.failed(&error.cause(), &self.health);
                    self.pause(pause.max(REOPEN_PAUSE));
                }
            }
        }
        false
    }

    /// Waits before the next try, until the partitions are revoked or the process is to end.
    fn pause(&self, time: Duration) {
        wait_out(time, &self.health, || self.signals.is_leaving());
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
