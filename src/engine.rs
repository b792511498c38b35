//! The shell: one loop over a closed enum of inputs. It is the only writer of state.
//!
//! ```text
//! inputs ─ Work (decide, evolve; nothing written) ─ transaction ─ store ─ outbox, timers ─ lanes
//! ```
//!
//! While a transaction runs, the engine decides the next batch on the state that the transaction will leave. If it is not
//! committed, the next batch is discarded, too.
//!
//! The engine commits first and acts after. A lane sees a row only once it is committed to Kafka and written to the
//! store. The row is read back from there, so that running and recovering are one path.
//!
//! The shell has four parts, and each owns its fields:
//!
//! - [`Partitions`]: the partitions that this instance owns, their restore, and the state of the inputs;
//! - [`Committer`]: the batch that is decided, and the one whose transaction runs;
//! - [`Dispatcher`]: the outbox, the lanes, and how many records are taken in;
//! - [`Report`]: metrics, health and the lines of the log.
//!
//! [`Shell`] is the loop, and does everything that needs more than one part: `batch` decides, `commit` commits,
//! `rebalance` follows the group.

mod batch;
mod channels;
mod commit;
mod committer;
mod config;
mod dispatcher;
mod failure;
mod input;
mod intake;
mod mailbox;
mod outbox;
mod ownership;
mod partitions;
mod rebalance;
mod reloads;
mod report;
mod restore;
mod shortage;
mod start;
mod work;

pub use config::{EngineConfig, EngineSettings};
pub use failure::EngineError;
pub use ownership::{Holder, Mismatch, Permissions};

use crate::clock;
use crate::codec::event::ReloadEvent;
use crate::delivery::{LaneChanges, Lanes};
use crate::domain::Timestamp;
use crate::log::{AccountSource, KafkaLog, Log, Registry, Topics};
use crate::store::{Database, Disk, Store};
use crate::telemetry::{Health, Metrics, Traces, Waiting};
use channels::{Channels, Signals};
use committer::Committer;
use dispatcher::Dispatcher;
use input::Input;
use mailbox::Mailbox;
use partitions::Partitions;
use reloads::Reloads;
use report::Report;
use std::sync::Arc;
use std::time::{Duration, Instant};
use work::{Traced, View, Work};

const IDLE_WAKE: Duration = Duration::from_secs(1);

/// The parts that the daemon's engine is built of.
pub struct Parts {
    /// Settings that change only with a restart.
    pub settings: EngineSettings,
    /// The configuration that a reload changes.
    pub config: Arc<EngineConfig>,
    pub store: Store,
    pub topics: Topics,
    /// The schema registry, if one is configured.
    pub registry: Option<Registry>,
    /// Looks up unknown accounts, if that is possible.
    pub accounts: Option<Arc<dyn AccountSource>>,
    /// The runtime that makes HTTP requests.
    pub runtime: tokio::runtime::Handle,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The health of the process.
    pub health: Arc<Health>,
    /// Takes the spans, if traces are recorded.
    pub traces: Option<Traces>,
}

/// The parts that a shell is built of.
struct Pieces<L: Log, D: Disk> {
    settings: EngineSettings,
    config: Arc<EngineConfig>,
    store: Store<D>,
    log: L,
    transactions: L::Transactions,
    lanes: Lanes,
    channels: Channels,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    traces: Option<Traces>,
}

/// Controls a running engine.
#[derive(Clone)]
pub struct EngineHandle {
    mailbox: Arc<Mailbox<Input>>,
    reloads: Reloads,
    signals: Signals,
}

impl EngineHandle {
    /// Asks the engine to drain and stop.
    pub fn shut_down(&self) {
        self.signals.stop();
        self.mailbox.put_urgent(Input::Shutdown);
    }

    /// Waits until an engine that was asked to stop has saved its rows in the store and has given its partitions back.
    /// It may not end soon after: Kafka may be slow to let it leave the group. Does not return if the engine had no
    /// partitions.
    pub async fn rows_saved(&self) {
        self.signals.without_rows().await;
    }

    /// Publishes the result of a reload.
    pub fn publish(&self, event: ReloadEvent) {
        self.reloads.publish(event);
    }

    /// Uses a new configuration from now on.
    pub fn reload(&self, config: &Arc<EngineConfig>) {
        self.reloads.configure(config);
    }

    /// Uses a new configuration from now on, which differs from the one before only by `changes`.
    pub fn change(&self, config: &Arc<EngineConfig>, changes: LaneChanges) {
        self.reloads.change(config, changes);
    }
}

/// The daemon's engine, with Kafka and RocksDB.
pub struct Engine(Shell<KafkaLog, Database>);

/// The loop, with everything that needs more than one part.
struct Shell<L: Log, D: Disk> {
    settings: Arc<EngineSettings>,
    log: L,
    mailbox: Arc<Mailbox<Input>>,
    signals: Signals,
    partitions: Partitions<L, D>,
    committer: Committer<L::Transactions>,
    dispatcher: Dispatcher,
    report: Report,
    /// Takes the spans, if traces are recorded.
    traces: Option<Traces>,
    /// Whether the reader was asked to leave the group.
    closing: bool,
    failure: Option<EngineError>,
}

impl Engine {
    /// Returns a handle that controls the engine from other threads.
    #[must_use]
    pub fn handle(&self) -> EngineHandle {
        self.0.handle()
    }

    /// Runs until it is shut down.
    ///
    /// # Errors
    /// The engine stopped by itself: the [`EngineError`] is the reason.
    pub fn run(self) -> Result<(), EngineError> {
        self.0.run()
    }
}

impl<L: Log, D: Disk> Shell<L, D> {
    fn handle(&self) -> EngineHandle {
        let (mailbox, signals) = (self.mailbox.clone(), self.signals.clone());
        let reloads = Reloads::new(mailbox.clone(), self.dispatcher.remote());
        EngineHandle { mailbox, reloads, signals }
    }

    /// Creates a shell without partitions.
    fn new(pieces: Pieces<L, D>) -> Self {
        let Pieces { settings, config, store, log, transactions, lanes, channels, .. } = pieces;
        let Pieces { metrics, health, traces, .. } = pieces;
        let Channels { mailbox, signals, landmarks } = channels;
        let settings = Arc::new(settings);
        let report = Report::new(metrics, health);
        let (letters, flags) = (mailbox.clone(), signals.clone());
        Self {
            partitions: Partitions::new(settings.clone(), mailbox.clone(), store, landmarks),
            committer: Committer::new(settings.clone(), flags, letters, &report, transactions),
            dispatcher: Dispatcher::new(config, lanes, settings.uncommitted_max, traces.is_some()),
            report,
            traces,
            settings,
            log,
            mailbox,
            signals,
            closing: false,
            failure: None,
        }
    }

    fn run(mut self) -> Result<(), EngineError> {
        let mut inputs = Vec::new();
        while !self.log.closed() {
            let (weight, deadline) = self.patience();
            self.mailbox.take(&mut inputs, weight, deadline);
            self.report.health().heartbeat();
            self.go_round(&mut inputs);
        }
        self.end()
    }

    /// Does one round of the loop with the inputs that have arrived.
    fn go_round(&mut self, inputs: &mut Vec<Input>) {
        let mut work = self.committer.take_open();
        if work.traced.is_none() {
            work.traced = self.traces.clone().map(Traced::new);
        }
        let turn = self.turn(inputs, &mut work);
        if let Err(error) = turn.and_then(|()| self.finish_turn(work)) {
            self.keep_copy(&error);
            self.failure.get_or_insert(error);
            // A failed engine commits nothing more. It only answers the revocation that `close` causes.
            self.forget_partitions();
            self.close();
        }
    }

    /// Marks a damaged store. After any other error, saves the rows in memory: the store has the only copy if the
    /// changelog is lost too.
    fn keep_copy(&mut self, error: &EngineError) {
        if let EngineError::Store(error) = error {
            self.partitions.mark(error);
        } else if let Err(error) = self.partitions.save_all() {
            tracing::error!(%error, "the rows in memory can't be written to the store");
        }
    }

    /// Ends the engine, because the reader has ended.
    fn end(mut self) -> Result<(), EngineError> {
        if !self.closing {
            self.failure.get_or_insert(EngineError::Reader);
        }
        self.report.finish();
        self.log.join();
        self.failure.map_or(Ok(()), Err)
    }

    fn close(&mut self) {
        self.closing = true;
        self.log.close();
    }

    /// Returns the weight of inputs to wait for, and the deadline. While a transaction runs, its end is urgent, and few
    /// other inputs can wait.
    fn patience(&self) -> (usize, Instant) {
        let (weight, until) = self.committer.gathers().unwrap_or((1, None));
        let now = clock::instant();
        let left = self.next_due().map_or(IDLE_WAKE, |due| {
            Duration::from_millis(due.ms_since(clock::now())).min(IDLE_WAKE)
        });
        let deadline = now + left;
        (weight, until.map_or(deadline, |until| until.min(deadline)))
    }

    /// Returns when there is something to do without any input.
    fn next_due(&self) -> Option<Timestamp> {
        let dispatch = self.dispatcher.next_due(self.partitions.unsettled());
        // They wait for the next transaction.
        let timer = self.partitions.next_timer().into_iter().chain(self.dispatcher.batch_due());
        let timer = timer.min().filter(|_| self.committer.gathers().is_none());
        timer.into_iter().chain(dispatch).min()
    }

    fn turn(&mut self, inputs: &mut Vec<Input>, work: &mut Work) -> Result<(), EngineError> {
        self.follow(work)?;
        let mut revoked = None;
        let counted = work.outcomes.len();
        for input in inputs.drain(..) {
            match input {
                Input::Records(bundle) => self.dispatcher.take_in(bundle),
                Input::Attempted(attempted) => self.attempted(attempted, work)?,
                Input::Returned(jobs) => self.dispatcher.returned(jobs),
                Input::Breaker(webhook, state) => work.breaker(webhook, state, &self.view()),
                Input::Assigned(assignment) => self.assigned(assignment)?,
                // Handled after all other inputs: no other instance knows their outcomes, so they are committed first.
                Input::Revoked { lost, reply } => revoked = Some((lost, reply)),
                // Its result was followed at the beginning of this round, or of one before.
                Input::TransactionEnded => {}
                Input::Identity(identity) => self.partitions.compare(&identity)?,
                Input::Owners(owners) => self.partitions.compare_owners(&owners)?,
                Input::Replaced(places) => self.partitions.replaced(&places),
                Input::Lost(ends) => self.partitions.lost(&ends)?,
                Input::Identified { epoch, identified } => {
                    self.partitions.identified(epoch, *identified, &self.log);
                }
                Input::Restored { epoch, restored } => self.restored(epoch, *restored),
                Input::RestoreFailed { epoch, error } => {
                    self.partitions.restore_failed(epoch, error, &self.log, &self.report)?;
                }
                Input::Ends(ends) => {
                    self.partitions.inputs().note_ends(&ends);
                    self.report.note_ends(ends);
                }
                Input::Denied(before, now) => self.report.denied(before, now),
                Input::Reloads(reloads) => self.dispatcher.reload(reloads.take()),
                Input::Shutdown => {
                    self.report.health().wait(Waiting::Shutdown);
                    // Before any call that waits for Kafka: the process may be killed meanwhile.
                    self.partitions.save_all()?;
                    self.close();
                }
                Input::Fenced { was_disturbed } => {
                    return Err(EngineError::fenced(&self.settings.kafka, was_disturbed));
                }
                Input::Failed(what) => return Err(EngineError::Consumer(what)),
            }
        }
        if let Some((lost, reply)) = revoked {
            return self.revoked(lost, &reply, work);
        }
        self.dispatcher.ended(work.outcomes.get(counted..).unwrap_or_default());
        // Before the next records of these inputs, so that the inputs' events are written first.
        self.report_inputs(work);
        // Decided records take more memory than others. The rest is decided once the transaction of these has begun.
        while !self.committer.is_full(work)
            && let Some(bundle) = self.dispatcher.next_records()
        {
            work.read_bytes += bundle.bytes;
            self.records(&bundle, work)?;
        }
        Ok(())
    }

    fn finish_turn(&mut self, mut work: Work) -> Result<(), EngineError> {
        if self.failure.is_some() {
            self.release_budget(&work);
            return Ok(());
        }
        let is_to_reread = self.partitions.is_to_reread();
        if is_to_reread {
            self.settle(&mut work)?;
        }
        if self.committer.waits(&work) && !is_to_reread {
            self.committer.keep_open(work);
        } else {
            self.complete(&mut work)?;
            self.commit(work, self.signals.is_leaving());
        }
        self.reread()?;
        self.dispatcher.dispatch(&self.partitions)?;
        self.partitions.write_some()?;
        self.report.show_lag(&self.partitions, &self.dispatcher);
        self.report.gauges(&mut self.partitions, &mut self.dispatcher)?;
        Ok(())
    }

    /// Adds everything to a batch that is decided when its transaction begins.
    fn complete(&mut self, work: &mut Work) -> Result<(), EngineError> {
        self.timers(work)?;
        self.give_up(work)?;
        self.report_inputs(work);
        work.report_dead_letters(&self.view());
        work.reloads(self.dispatcher.take_reload_events(), &self.settings.kafka.instance_id);
        Ok(())
    }

    fn view(&self) -> View<'_> {
        self.dispatcher.view(self.settings.partitions)
    }
}

#[cfg(test)]
mod tests;
