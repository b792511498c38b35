//! The committer holds the batch that is being decided, and the batch whose transaction runs. While one transaction
//! runs, the engine decides the next batch as if it were committed. A transaction begins when the one before has ended
//! and there is something to commit. A busy engine gathers for a while longer, because a transaction costs the broker as
//! much as many webhooks.

mod transactor;
mod trouble;

pub(super) use transactor::{Ending, Sealed};
pub(super) use trouble::Trouble;

use super::channels::Signals;
use super::config::EngineSettings;
use super::input::Input;
use super::mailbox::Mailbox;
use super::report::Report;
use super::work::{Outbound, Traced, Work};
use crate::clock;
use crate::codec::row::Meta;
use crate::log::{Log, Transactions};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use transactor::Transactor;

/// The engine is busy if this many outcomes and reports come in the time of one transaction.
const BUSY_WEIGHT: u32 = 400;
/// A busy engine begins its transactions this many times as far apart as one takes, at most by the commit interval.
const GATHER_FACTOR: u32 = 3;
/// A batch with this many outcomes and reports takes in no further records, and is not gathered any longer.
const BATCH_WEIGHT: usize = 4000;

/// While no transaction can begin, the engine decides inputs once they have this weight.
const DECIDE_WEIGHT: usize = 64;

/// When the next transaction may begin.
struct Pace {
    is_busy: bool,
    /// When the last transaction began.
    began: Instant,
    /// The weight of its batch.
    weight: u32,
    /// How long its batch was collected.
    collected: Duration,
    /// The time from the beginning of one transaction to the next.
    gather: Duration,
}

impl Pace {
    /// Sets the pace of the next transaction, since the last one took so long.
    fn ended(&mut self, took: Duration, commit_interval: Duration) {
        // As a product, because both times may be zero.
        self.is_busy = took * self.weight >= self.collected * BUSY_WEIGHT;
        self.gather = (took * GATHER_FACTOR).min(commit_interval);
    }
}

/// A batch whose transaction runs.
pub(super) struct Running {
    pub(super) work: Work,
    pub(super) metas: BTreeMap<i32, Meta>,
    /// The meta rows, in the buffer of the transaction's records.
    pub(super) meta_rows: BTreeMap<i32, Range<usize>>,
    /// The spans of the batch and the time at which the transaction began, if traces are recorded.
    pub(super) traced: Option<(Traced, Duration)>,
}

/// A transaction that has ended.
pub(super) struct Ended {
    pub(super) running: Running,
    pub(super) outbound: Outbound,
    pub(super) ending: Ending,
    /// How long the transaction took.
    pub(super) took: Duration,
}

/// What the thread for transactions returns.
struct Returned<T> {
    transactor: Transactor<T>,
    outbound: Outbound,
    ending: Ending,
    took: Duration,
}

/// Commits batches, one transaction each.
pub(super) struct Committer<T> {
    mailbox: Arc<Mailbox<Input>>,
    /// Makes the transactions; `None` while one runs.
    transactor: Option<Transactor<T>>,
    running: Option<Running>,
    returns: (Sender<Returned<T>>, Receiver<Returned<T>>),
    /// The batch that is being decided.
    open: Work,
    /// The buffers of the last transaction.
    spare: Outbound,
    pace: Pace,
    commit_interval: Duration,
    uncommitted_max: usize,
}

impl<T: Transactions + Send + 'static> Committer<T> {
    pub(super) fn new(
        settings: Arc<EngineSettings>,
        signals: Signals,
        mailbox: Arc<Mailbox<Input>>,
        report: &Report,
        transactions: T,
    ) -> Self {
        let pace = Pace {
            is_busy: false,
            began: clock::instant(),
            weight: 0,
            collected: Duration::ZERO,
            gather: Duration::ZERO,
        };
        Self {
            mailbox,
            pace,
            commit_interval: settings.commit_interval(),
            uncommitted_max: settings.uncommitted_max,
            transactor: Some(Transactor::new(settings, signals, report.shared(), transactions)),
            running: None,
            returns: channel(),
            open: Work::default(),
            spare: Outbound::default(),
        }
    }

    /// Takes the batch that is being decided.
    pub(super) fn take_open(&mut self) -> Work {
        std::mem::replace(&mut self.open, Work::reusing(std::mem::take(&mut self.spare)))
    }

    /// Puts the batch back: it is decided further while a transaction runs.
    pub(super) fn keep_open(&mut self, work: Work) {
        self.spare = std::mem::replace(&mut self.open, work).take_outbound();
    }

    /// Returns the weight of the inputs that are worth a decision now, and until when the next transaction is certain not
    /// to begin. `None`: it may begin with the next input.
    pub(super) fn gathers(&self) -> Option<(usize, Option<Instant>)> {
        let weight = DECIDE_WEIGHT.min(self.uncommitted_max.div_ceil(2));
        let until = self.pace.began + self.pace.gather;
        match (&self.running, self.pace.is_busy) {
            (Some(_), _) => Some((weight, None)),
            (None, true) if clock::instant() < until => Some((weight, Some(until))),
            (None, _) => None,
        }
    }

    /// Returns whether the transaction of `open` has to wait.
    pub(super) fn waits(&self, open: &Work) -> bool {
        self.running.is_some() || (self.gathers().is_some() && !self.is_full(open))
    }

    /// Returns whether `open` takes in no further records.
    pub(super) fn is_full(&self, open: &Work) -> bool {
        open.weight() >= BATCH_WEIGHT
    }

    #[cfg(test)]
    pub(super) fn open_weight(&self) -> usize {
        self.open.weight()
    }

    /// Returns the batch whose transaction runs.
    pub(super) fn running(&self) -> Option<&Work> {
        self.running.as_ref().map(|running| &running.work)
    }

    /// Begins the transaction of a batch. It ends with an input, or when [`Committer::ended`] is called after
    /// [`Log::settle`]. No other transaction may run.
    pub(super) fn begin<L: Log<Transactions = T, Member = T::Member>>(
        &mut self,
        log: &L,
        running: Running,
        sealed: Sealed<T::Member>,
    ) {
        let Some(transactor) = self.transactor.take() else { return };
        let now = clock::instant();
        self.pace.weight = u32::try_from(running.work.weight()).unwrap_or(u32::MAX);
        self.pace.collected = now.saturating_duration_since(self.pace.began);
        self.pace.began = now;
        self.running = Some(running);
        let (mailbox, returns) = (self.mailbox.clone(), self.returns.0.clone());
        log.run(Box::new(move || {
            let started = clock::instant();
            let ending = transactor.transact(&sealed);
            let (outbound, took) = (sealed.outbound, clock::since(started));
            let _ = returns.send(Returned { transactor, outbound, ending, took });
            mailbox.put_urgent(Input::TransactionEnded);
        }));
    }

    /// Returns the transaction that was begun last, once it has ended.
    pub(super) fn ended(&mut self) -> Option<Ended> {
        let Returned { transactor, outbound, ending, took } = self.returns.1.try_recv().ok()?;
        self.transactor = Some(transactor);
        self.pace.ended(took, self.commit_interval);
        let running = self.running.take()?;
        Some(Ended { running, outbound, ending, took })
    }

    /// Takes a batch back that had nothing to commit. The engine is idle now.
    pub(super) fn rest(&mut self, mut work: Work) {
        self.pace.is_busy = false;
        self.spare = work.take_outbound();
    }

    /// Keeps the buffers of a transaction for another batch.
    pub(super) fn reuse(&mut self, outbound: Outbound) {
        self.spare = outbound;
    }

    /// Ends a series of failures, because a batch is committed.
    pub(super) fn succeeded(&self) {
        if let Some(transactor) = &self.transactor {
            transactor.succeeded();
        }
    }

    /// Forgets failures, because there is nothing to commit.
    pub(super) fn clear(&mut self) {
        self.pace.is_busy = false;
        if let Some(transactor) = &self.transactor {
            transactor.forget();
        }
    }

    /// Closes the producer, because it is unknown whether its last transaction was committed, and opens a new one. Returns
    /// `false` if the engine has to leave its partitions first.
    pub(super) fn reopen<L: Log<Transactions = T>>(&mut self, log: &L) -> bool {
        let Some(transactor) = &mut self.transactor else { return false };
        transactor.close();
        transactor.reopen(log)
    }
}
