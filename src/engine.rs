//! The shell: one loop over a closed enum of inputs, which is the only writer of state.
//!
//! ```text
//! inputs ─ Work (decide, evolve; nothing written) ─ transaction ─ store ─ outbox, timers ─ lanes
//! ```
//!
//! Commit first, act after: a lane sees a row only once it is committed to Kafka and written to the store, and it is
//! read back from there, so that running and recovering are one path.

mod burst;
mod commit;
mod config;
mod dispatch;
mod failure;
mod input;
mod inputs;
mod intake;
mod kafka;
mod lag;
mod mailbox;
mod outbox;
mod ownership;
mod ports;
mod rebalance;
mod reloads;
mod report;
mod restore;
mod shortage;
mod task;
mod trouble;
mod wires;
mod work;

pub use config::{EngineConfig, EngineSettings};
pub use failure::EngineError;
pub use ownership::{Holder, Mismatch, Permissions};

use crate::clock;
use crate::codec::event::{InputEvent, ReloadEvent};
use crate::delivery::{Attempted, Endpoint, Lanes};
use crate::domain::{Command, EndpointCommand, Timestamp, WebhookName};
use crate::log::{End, Identity, Landmarks, Place, Registry, Topics};
use crate::store::Store;
use crate::telemetry::{Health, Metrics, Waiting};
use burst::Bursts;
use input::Input;
use intake::Intake;
use kafka::Kafka;
use lag::Unseen;
use mailbox::Mailbox;
use outbox::{Doomed, HandLimits, Outbox};
use ports::Log;
use reloads::Reloads;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use task::Task;
use trouble::Trouble;
use wires::Wires;
use work::{View, Work};

/// A batch of so much is worth gathering for.
const BUSY_WEIGHT: usize = 64;
/// A batch of so much is committed at once.
const BATCH_WEIGHT: usize = 1000;
const IDLE_WAKE: Duration = Duration::from_secs(1);
const TIMERS_PER_BATCH: usize = 1000;
/// What rows in hand may take in memory.
const HAND_BYTES: usize = 32 << 20;

/// What the engine is built of.
pub struct Parts {
    /// What changes only with a restart.
    pub settings: EngineSettings,
    /// What a reload changes.
    pub config: Arc<EngineConfig>,
    /// The state store.
    pub store: Store,
    /// The input topics.
    pub topics: Topics,
    /// The schema registry, when one is configured.
    pub registry: Option<Registry>,
    /// Where HTTP runs.
    pub runtime: tokio::runtime::Handle,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Tells.
    pub health: Arc<Health>,
}

/// What a shell is built of.
struct Pieces<L: Log> {
    settings: EngineSettings,
    config: Arc<EngineConfig>,
    store: Store,
    log: L,
    transactions: L::Transactions,
    lanes: Lanes,
    wires: Wires,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Tells the engine from outside.
#[derive(Clone)]
pub struct EngineHandle {
    mailbox: Arc<Mailbox<Input>>,
    reloads: Reloads,
    stopping: Arc<AtomicBool>,
}

impl EngineHandle {
    /// Drains and stops.
    pub fn shut_down(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.mailbox.put_urgent(Input::Shutdown);
    }

    /// Publishes what came of reading the configuration again.
    pub fn publish(&self, event: ReloadEvent) {
        self.reloads.publish(event);
    }

    /// Uses a new configuration from now on.
    pub fn reload(&self, config: &Arc<EngineConfig>) {
        self.reloads.configure(config);
    }
}

/// The daemon's engine.
pub struct Engine(Shell<Kafka>);

/// The shell's state.
struct Shell<L: Log> {
    settings: EngineSettings,
    config: Arc<EngineConfig>,
    store: Store,
    log: L,
    transactions: Option<L::Transactions>,
    lanes: Lanes,
    mailbox: Arc<Mailbox<Input>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    /// Records of other assignments are another's to read.
    epoch: Option<u64>,
    tasks: BTreeMap<u32, Task>,
    outbox: Outbox,
    intake: Intake,
    /// Rows to be given up, with the next batch.
    doomed: Vec<Doomed>,
    /// Outcomes that wait until their partition is restored.
    orphans: Vec<Attempted>,
    restoring: Option<L::Restoring>,
    /// Why partitions can't be restored, as health shows it.
    restore_waits: Option<Waiting>,
    revoking: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    /// Inputs that belong to no partition of ours and only forward.
    foreign: Vec<Place>,
    /// They stand behind records that nobody committed.
    foreign_held: bool,
    /// The assignment in which they were started.
    foreign_started: Option<u64>,
    /// The cluster and the topics that the inputs' offsets count in.
    identity: Arc<Identity>,
    /// Topics have changed since the partitions were restored.
    is_reread: bool,
    /// What the inputs' logs are recognised by, where they have no topic ids.
    landmarks: Arc<Landmarks>,
    /// What happened to inputs, to be reported with the next batch.
    input_events: Vec<InputEvent>,
    /// What came of reading the configuration again, until that is committed.
    reload_events: Vec<ReloadEvent>,
    /// Offsets that were passed over since the inputs' ends were last reported: the largest gap of each.
    gaps: BTreeMap<Place, (i64, i64)>,
    /// How far the inputs go, until it is shown.
    ends: Vec<End>,
    unseen: Unseen,
    /// Topics whose producer was reported to use another partitioner.
    warned: BTreeSet<Arc<str>>,
    /// The group waits for an answer.
    last_try: bool,
    /// Transactions that fail.
    trouble: Trouble,
    /// Lines about many alike events.
    bursts: Bursts,
    /// The reader was told to leave.
    closing: bool,
    /// The last batch's buffer.
    buffer: Vec<u8>,
    busy: bool,
    /// How long a busy engine gathers from one commit's start to the next's.
    gather: Duration,
    /// Until then nothing leaves while partitions are restored: any of them may know that an endpoint is to be left alone.
    settled_at: Instant,
    committed_at: Instant,
    reported_at: Instant,
    failure: Option<EngineError>,
}

impl Engine {
    /// A handle for those outside.
    #[must_use]
    pub fn handle(&self) -> EngineHandle {
        self.0.handle()
    }

    /// Runs until it is shut down.
    ///
    /// # Errors
    /// When it can't go on.
    pub fn run(self) -> Result<(), EngineError> {
        self.0.run()
    }
}

impl<L: Log> Shell<L> {
    fn handle(&self) -> EngineHandle {
        let (mailbox, stopping) = (self.mailbox.clone(), self.stopping.clone());
        let reloads = Reloads::new(mailbox.clone(), self.lanes.remote());
        EngineHandle { mailbox, reloads, stopping }
    }

    /// Nothing is assigned yet.
    fn new(pieces: Pieces<L>) -> Self {
        let Pieces { settings, config, store, log, transactions, lanes, wires, metrics, health } =
            pieces;
        lanes.configure(config.endpoints.iter().cloned(), &config.account_rates);
        let limits = HandLimits { bytes: HAND_BYTES, ahead: settings.uncommitted_max };
        let Wires { mailbox, revoking, stopping, landmarks } = wires;
        Self {
            outbox: Outbox::new(limits),
            intake: Intake::default(),
            settings,
            config,
            store,
            log,
            transactions: Some(transactions),
            lanes,
            mailbox,
            metrics,
            health,
            epoch: None,
            tasks: BTreeMap::new(),
            doomed: Vec::new(),
            orphans: Vec::new(),
            restoring: None,
            restore_waits: None,
            revoking,
            stopping,
            foreign: Vec::new(),
            foreign_held: false,
            foreign_started: None,
            identity: Arc::default(),
            is_reread: false,
            landmarks,
            input_events: Vec::new(),
            reload_events: Vec::new(),
            gaps: BTreeMap::new(),
            ends: Vec::new(),
            unseen: Unseen::new(),
            warned: BTreeSet::new(),
            last_try: false,
            trouble: Trouble::default(),
            bursts: Bursts::default(),
            closing: false,
            buffer: Vec::new(),
            busy: false,
            gather: Duration::ZERO,
            settled_at: clock::instant(),
            committed_at: clock::instant(),
            reported_at: clock::instant(),
            failure: None,
        }
    }

    fn run(mut self) -> Result<(), EngineError> {
        let mut inputs = Vec::new();
        while !self.log.closed() {
            let (weight, deadline) = self.patience();
            self.mailbox.take(&mut inputs, weight, deadline);
            self.health.heartbeat();
            self.go_round(&mut inputs);
        }
        self.end()
    }

    /// One round of the loop, over what has come in.
    fn go_round(&mut self, inputs: &mut Vec<Input>) {
        let mut work = Work::reusing(std::mem::take(&mut self.buffer));
        let turn = self.turn(inputs, &mut work);
        if let Err(error) = turn.and_then(|()| self.finish_turn(work)) {
            self.keep_copy(&error);
            self.failure.get_or_insert(error);
            // What is left is not ours any more: the revocation that closing brings is only answered.
            self.abandon();
            self.close();
        }
    }

    /// Notes what is wrong with the store. Where it is the changelog, the store may be the only copy of what is in memory.
    fn keep_copy(&mut self, error: &EngineError) {
        let written = match error {
            EngineError::Store(error) => {
                self.store.mark(error);
                return;
            }
            EngineError::Mismatch(_) => self.write_all(),
            EngineError::Log(_)
            | EngineError::Fenced { .. }
            | EngineError::Consumer(_)
            | EngineError::Reader => return,
        };
        if let Err(error) = written {
            tracing::error!(%error, "the rows in memory can't be written to the store");
        }
    }

    /// The reader has ended.
    fn end(mut self) -> Result<(), EngineError> {
        if !self.closing {
            self.failure.get_or_insert(EngineError::Reader);
        }
        self.finish_bursts();
        self.log.join();
        self.failure.map_or(Ok(()), Err)
    }

    fn close(&mut self) {
        self.closing = true;
        self.log.close();
    }

    /// How much to wait for, and until when: a busy engine gathers, an idle one takes what comes.
    fn patience(&self) -> (usize, Instant) {
        let now = clock::instant();
        if self.busy {
            let weight = BATCH_WEIGHT.min(self.settings.uncommitted_max.div_ceil(2));
            return (weight, self.committed_at + self.gather);
        }
        let left = self.next_due().map_or(IDLE_WAKE, |due| {
            Duration::from_millis(due.ms_since(clock::now())).min(IDLE_WAKE)
        });
        (1, now + left)
    }

    /// When there is something to do though nobody says anything.
    fn next_due(&self) -> Option<Timestamp> {
        let timers =
            self.tasks.values().filter(|task| task.active).filter_map(|task| task.next_timer);
        let doomed = (!self.doomed.is_empty()).then_some(Timestamp::from_ms(0));
        let settled = self
            .unsettled()
            .map(|left| clock::now().plus_ms(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)));
        let outbox =
            self.outbox.next_due().map(|due| settled.map_or(due, |settled| settled.max(due)));
        timers.chain(outbox).chain(doomed).min()
    }

    fn turn(&mut self, inputs: &mut Vec<Input>, work: &mut Work) -> Result<(), EngineError> {
        let mut revoked = None;
        for input in inputs.drain(..) {
            match input {
                Input::Records(bundle) => self.intake.push(bundle),
                Input::Attempted(attempted) => self.attempted(attempted, work)?,
                Input::Returned(jobs) => self.returned(jobs),
                Input::Breaker(webhook, state) => {
                    let endpoint = |name: &WebhookName| self.lanes.endpoint(name);
                    work.breaker(webhook, state, &self.view(&endpoint));
                }
                Input::Assigned(assignment) => self.assigned(assignment)?,
                // Outcomes that came since are to be committed with the rest: they are known nowhere else.
                Input::Revoked { lost, reply } => revoked = Some((lost, reply)),
                Input::Identity(identity) => self.compare(&identity)?,
                Input::Owners(owners) => self.compare_owners(&owners)?,
                Input::Replaced(places) => self.replaced(&places),
                Input::Lost(ends) => self.lost(&ends)?,
                Input::Identified { epoch, identified } => self.identified(epoch, *identified),
                Input::Restored { epoch, restored } => self.restored(epoch, *restored),
                Input::RestoreFailed { epoch, error } => self.restore_failed(epoch, error)?,
                Input::Ends(ends) => self.note_ends(ends),
                Input::Denied(before, now) => self.denied(before, now),
                Input::Reloads(reloads) => self.reloads(reloads.take()),
                Input::Shutdown => {
                    self.health.wait(Waiting::Shutdown);
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
        let delivered = self.outbox.ended(&work.outcomes, clock::now());
        self.intake.allow(delivered, &self.outbox);
        // Before what is read from there on, so that its events are younger than this one.
        self.report_inputs(work);
        while let Some(bundle) = self.intake.next() {
            work.gate_bytes += bundle.bytes;
            self.records(&bundle, work)?;
        }
        Ok(())
    }

    fn finish_turn(&mut self, mut work: Work) -> Result<(), EngineError> {
        if self.failure.is_some() {
            self.open_gates(&work);
            return Ok(());
        }
        self.timers(&mut work)?;
        self.give_up(&mut work)?;
        self.report_inputs(&mut work);
        work.reloads(&self.reload_events, &self.settings.kafka.instance_id);
        self.commit(work)?;
        self.reread()?;
        self.dispatch()?;
        self.write_some()?;
        self.show_lag();
        self.report();
        Ok(())
    }

    fn view<'a>(&'a self, endpoint: &'a dyn Fn(&WebhookName) -> Option<Arc<Endpoint>>) -> View<'a> {
        View {
            rules: &self.config.rules,
            partitions: self.settings.partitions,
            now: clock::now(),
            endpoint,
        }
    }

    fn attempted(&mut self, attempted: Attempted, work: &mut Work) -> Result<(), EngineError> {
        match self.tasks.get(&attempted.job.partition) {
            // The partition was taken away: its new owner makes the attempt again.
            None => Ok(()),
            Some(task) if !task.active => {
                self.orphans.push(attempted);
                Ok(())
            }
            Some(task) => {
                let endpoint = |name: &WebhookName| self.lanes.endpoint(name);
                let view = self.view(&endpoint);
                let command = Command::RecordOutcome {
                    delivery: attempted.job.id,
                    attempt: attempted.job.attempt,
                    outcome: attempted.outcome.clone(),
                };
                let webhook = &attempted.job.webhook;
                // A stale outcome says nothing of the endpoint either.
                if work.command(&task.rows, &attempted.job.uuid, &command, None, &view)? {
                    let delivered_at = self.outbox.delivered_at(webhook);
                    let outcome = &attempted.outcome;
                    let command = EndpointCommand::RecordOutcome {
                        delivery: attempted.job.id,
                        attempt: attempted.job.attempt,
                        outcome,
                        delivered_at,
                    };
                    work.endpoint(&task.rows, webhook, command, &view);
                }
                work.outcomes.push(attempted);
                Ok(())
            }
        }
    }

    fn timers(&mut self, work: &mut Work) -> Result<(), EngineError> {
        let endpoint = |name: &WebhookName| self.lanes.endpoint(name);
        let (rules, partitions, now) = (&self.config.rules, self.settings.partitions, clock::now());
        let view = View { rules, partitions, now, endpoint: &endpoint };
        for task in self.tasks.values_mut().filter(|task| task.active) {
            for uuid in task.due_timers(now, TIMERS_PER_BATCH)? {
                work.command(&task.rows, &uuid.clone(), &Command::FireTimer(uuid), None, &view)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
