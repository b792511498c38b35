//! An instance: its disk, and the process that runs on it from time to time.

mod jobs;
mod life;

use super::fault::{Armed, Call};
use super::network::Request;
use super::port::{Caller, SimLog};
use super::reader::Reader;
use super::surroundings::Wrong;
use super::world::World;
use crate::clock::{self, Steady};
use crate::delivery::{AlarmClock, Attempt, Courier, InstanceLimits, Lanes, Shortage};
use crate::domain::Outcome;
use crate::engine::channels::Channels;
use crate::engine::input::Input;
use crate::engine::reloads::Reloads;
use crate::engine::{EngineError, Pieces, Shell};
use crate::log::{Continuation, Landmarks, Log as _};
use crate::store::{Store, memory};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// An idle engine does this number of rounds before it rests, so that it writes the rows that have been in memory long
/// enough.
const IDLE_ROUNDS: u32 = 3;
const IDLE_MS: u64 = 5500;
/// The time after which a supervisor restarts a failed process.
const RESTART_MS: u64 = 1000;

/// One of this number of attempts can't be made, because the daemon lacks a resource.
const SHORTAGE_IN: u64 = 40;

#[derive(Default)]
pub(super) struct Node {
    pub(super) disk: memory::Disk,
    /// A copy of its disk.
    pub(super) copy: RefCell<Option<std::collections::BTreeMap<i32, memory::Content>>>,
    /// The error of its wall clock.
    pub(super) wall_ms: Cell<i64>,
    /// The clock of its process.
    pub(super) steady: RefCell<Option<Steady>>,
    pub(super) paused_until_ms: Cell<u64>,
    pub(super) process: RefCell<Option<Process>>,
    /// Whether its code has run since its lanes were last asked.
    pub(super) is_stirred: Cell<bool>,
    pub(super) incarnation: Cell<u64>,
    pub(super) faults: RefCell<Vec<Armed>>,
    /// The wrong setting of this process, if any.
    pub(super) wrong: Cell<Option<Wrong>>,
    /// The time at which the process is restarted.
    pub(super) start_at_ms: Cell<Option<u64>>,
}

type SimShell = Shell<SimLog, memory::Disk>;

/// A transaction of the engine.
pub(super) type Transaction = Box<dyn FnOnce() + Send>;

/// The steps of a restore.
pub(super) type Restore = Box<dyn FnMut() -> Continuation>;

pub(super) struct Process {
    /// The engine; `None` while it runs.
    shell: Option<Box<SimShell>>,
    is_booted: bool,
    inputs: Vec<Input>,
    channels: Channels,
    pub(super) reader: Rc<RefCell<Reader>>,
    /// The number of changes in the world when the reader last had nothing to do.
    rested_at: Option<u64>,
    clock: Option<AlarmClock>,
    reloads: Option<Reloads>,
    /// When to wake its lanes.
    alarm_ms: Option<u64>,
    queue: Arc<Queue>,
    flights: Vec<Flight>,
    /// The id of each restore, the time of its next step, and the step.
    pub(super) restores: Vec<(u64, u64, Restore)>,
    /// The time at which each transaction begins, and the transaction.
    pub(super) transactions: VecDeque<(u64, Transaction)>,
    /// Whether a transaction has begun and not ended. The engine waits meanwhile.
    is_in_transaction: bool,
    wake_ms: u64,
    idle_rounds: u32,
    membership: (u64, Option<u64>),
    returns: u64,
    losses: u64,
}

#[derive(Default)]
struct Queue(Mutex<Vec<Attempt>>);

impl Courier for Queue {
    fn take(&self, attempt: Attempt) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
    }

    fn earlier(&self) {}
}

/// A request that is on its way or being answered.
pub(super) struct Flight {
    attempt: Attempt,
    made: Result<Outcome, Shortage>,
    arrives_ms: u64,
    has_arrived: bool,
    ends_ms: u64,
}

impl Flight {
    pub(super) fn request(&self, at_ms: i64) -> Request {
        let job = self.attempt.job();
        Request {
            at_ms,
            id: job.id,
            body: job.body.clone(),
            status: self.made.as_ref().ok().and_then(|outcome| outcome.status).unwrap_or(0),
        }
    }
}

/// A possible next step of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeStep {
    Start,
    Boot,
    Reader,
    Alarm,
    Arrive(usize),
    End(usize),
    Restore(usize),
    Transaction,
    Round,
}

/// Returns the world's time at `instant`, in milliseconds.
fn ms(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(clock::simulated::start());
    u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap()
}

impl Node {
    /// Launches the attempts that the lanes have handed out, and asks when to wake the lanes.
    pub(super) fn collect(&self, world: &World, index: usize) {
        if !self.is_stirred.replace(false) {
            return;
        }
        let mut process = self.process.borrow_mut();
        let Some(process) = process.as_mut() else { return };
        let attempts =
            std::mem::take(&mut *process.queue.0.lock().unwrap_or_else(PoisonError::into_inner));
        for attempt in attempts {
            process.launch(attempt, world, index);
        }
        process.alarm_ms = process.clock.as_ref().and_then(AlarmClock::at).map(ms);
    }

    fn index(&self, world: &World) -> usize {
        world.nodes.iter().position(|node| std::ptr::eq(node, self)).expect("a node of this world")
    }

    /// Passes each step that is possible now to `tell`.
    pub(super) fn ready(&self, passed_ms: u64, changes: u64, mut add: impl FnMut(NodeStep)) {
        let process = self.process.borrow();
        let Some(process) = process.as_ref() else {
            if self.start_at_ms.get().is_some_and(|at| at <= passed_ms) {
                add(NodeStep::Start);
            }
            return;
        };
        if !process.is_booted {
            if process.wake_ms <= passed_ms {
                add(NodeStep::Boot);
            }
            return;
        }
        if process.rested_at != Some(changes) || process.reader.borrow_mut().is_called() {
            add(NodeStep::Reader);
        }
        if process.alarm_ms.is_some_and(|at| at <= passed_ms) {
            add(NodeStep::Alarm);
        }
        for (index, flight) in process.flights.iter().enumerate() {
            if !flight.has_arrived && flight.arrives_ms <= passed_ms {
                add(NodeStep::Arrive(index));
            } else if flight.has_arrived && flight.ends_ms <= passed_ms {
                add(NodeStep::End(index));
            }
        }
        for (index, (_, at, _)) in process.restores.iter().enumerate() {
            if *at <= passed_ms {
                add(NodeStep::Restore(index));
            }
        }
        if process.is_in_transaction {
            return;
        }
        if process.transactions.front().is_some_and(|(at, _)| *at <= passed_ms) {
            add(NodeStep::Transaction);
        }
        if let Some(shell) = &process.shell
            && (process.wake_ms <= passed_ms
                || shell.mailbox.is_ready(1)
                || shell.log.reader.borrow().closed)
        {
            add(NodeStep::Round);
        }
    }

    /// Returns when the next step becomes possible without any input.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let process = self.process.borrow();
        let Some(process) = process.as_ref() else { return self.start_at_ms.get() };
        if !process.is_booted {
            return Some(process.wake_ms);
        }
        let flights = process
            .flights
            .iter()
            .map(|flight| if flight.has_arrived { flight.ends_ms } else { flight.arrives_ms });
        let restores = process.restores.iter().map(|(_, at, _)| *at);
        let is_free = process.shell.is_some() && !process.is_in_transaction;
        let wake = is_free.then_some(process.wake_ms).filter(|at| *at < u64::MAX);
        let transaction = process.transactions.front().map(|(at, _)| *at);
        let transaction = transaction.filter(|_| !process.is_in_transaction);
        flights.chain(restores).chain(transaction).chain(wake).chain(process.alarm_ms).min()
    }

    /// Wakes the engine because its wall clock was set, which may change what is due.
    pub(super) fn look_round(&self, passed_ms: u64) {
        if let Some(process) = self.process.borrow_mut().as_mut().filter(|it| it.is_booted) {
            process.idle_rounds = 0;
            process.wake_ms = process.wake_ms.min(passed_ms + IDLE_MS);
        }
    }

    /// Returns the rows that its outbox counts, and how many of them are leased.
    pub(super) fn outbox_counts(&self) -> Option<(u64, usize)> {
        let process = self.process.borrow();
        Some(process.as_ref()?.shell.as_ref()?.dispatcher.counts())
    }

    /// Describes the open work of this instance.
    pub(super) fn unrest(&self) -> String {
        let process = self.process.borrow();
        let Some(process) = process.as_ref() else {
            return format!("down, {:?}", self.start_at_ms);
        };
        let shell = process.shell.as_ref();
        let due = shell.map(|shell| {
            let partitions = &shell.partitions;
            (
                shell.next_due(),
                shell.committer.running().is_some(),
                partitions.epoch(),
                partitions.states(),
            )
        });
        format!(
            "booted {}, {:?}, {} flights, {} restores, alarm {:?}, wake {}, due {due:?}",
            process.is_booted,
            process.reader.borrow(),
            process.flights.len(),
            process.restores.len(),
            process.alarm_ms,
            process.wake_ms
        )
    }

    pub(super) fn step(&self, world: &World, node: usize, step: NodeStep) {
        match step {
            NodeStep::Start => world.start(node),
            NodeStep::Boot => self.boot(world, node),
            NodeStep::Reader => self.read(world),
            NodeStep::Alarm => {
                let process = self.process.borrow();
                let ring = || {
                    process
                        .as_ref()
                        .and_then(|process| process.clock.as_ref())
                        .map(AlarmClock::ring)
                };
                world.of_node(node, ring);
            }
            NodeStep::Arrive(index) => {
                if let Some(process) = self.process.borrow_mut().as_mut()
                    && let Some(flight) = process.flights.get_mut(index)
                {
                    flight.has_arrived = true;
                    world.arrive(flight);
                }
            }
            NodeStep::End(index) => self.end(world, node, index),
            NodeStep::Restore(index) => self.restore(world, node, index),
            NodeStep::Transaction => self.transact(world, node),
            NodeStep::Round => self.round(world, node),
        }
    }

    fn boot(&self, world: &World, node: usize) {
        let (incarnation, reader, channels, queue) = {
            let mut process = self.process.borrow_mut();
            let process = process.as_mut().expect("it has a process");
            // Prevents a second boot at the same time.
            process.wake_ms = u64::MAX;
            (
                self.incarnation.get(),
                process.reader.clone(),
                process.channels.clone(),
                process.queue.clone(),
            )
        };
        let caller = Caller { node, incarnation };
        let shell = world.of_node(node, || {
            let transactions = caller.open().ok()?;
            let setting = &world.setting;
            let limits =
                InstanceLimits { in_flight_max: 16, uncommitted_max: 16, rate_per_second: None };
            let lanes = Lanes::with(limits, channels.watch(&setting.metrics), queue, None);
            let alarm_clock = lanes.alarm_clock();
            let reloads = Reloads::new(channels.mailbox.clone(), lanes.remote());
            let shell = Box::new(Shell::new(Pieces {
                settings: match self.wrong.get() {
                    Some(wrong) => wrong.settings(&setting.engine),
                    None => setting.engine.clone(),
                },
                config: setting.config.clone(),
                store: Store::on(self.disk.clone()),
                log: SimLog { caller, reader },
                transactions,
                lanes,
                channels,
                metrics: setting.metrics.clone(),
                health: setting.health.clone(),
                traces: None,
            }));
            Some((shell, alarm_clock, reloads))
        });
        let mut process = self.process.borrow_mut();
        let Some(process) = process.as_mut().filter(|_| self.incarnation.get() == incarnation)
        else {
            return;
        };
        match shell.flatten() {
            Some((shell, alarm_clock, reloads)) => {
                process.clock = Some(alarm_clock);
                process.reloads = Some(reloads);
                process.shell = Some(shell);
                process.is_booted = true;
                process.wake_ms = world.passed_ms();
            }
            None => process.wake_ms = world.passed_ms() + 1000,
        }
    }

    fn read(&self, world: &World) {
        let mut process = self.process.borrow_mut();
        let Some(process) = process.as_mut() else { return };
        let mut reader = process.reader.borrow_mut();
        let is_active = reader.step(
            &mut world.group.borrow_mut(),
            &world.broker.borrow(),
            world.passed_ms(),
            &mut world.dice.borrow_mut(),
        );
        process.rested_at = (!is_active).then(|| world.changes());
        if reader.membership() != process.membership {
            process.membership = reader.membership();
            world.trace(|| format!("member {:?}: {reader:?}", process.membership));
        }
        if reader.returns > process.returns {
            process.returns = reader.returns;
            // The new owner of the partitions sends the unfinished requests again. If it is the same instance, the
            // second request may leave although the first one was recorded meanwhile: it waited for the first one's
            // slot.
            world.ledger.borrow_mut().excuse(self.index(world), 2);
            world.count("revoked");
        }
        if reader.losses > process.losses {
            process.losses = reader.losses;
            world.count("lost");
        }
    }

    fn end(&self, world: &World, node: usize, index: usize) {
        let flight = {
            let mut process = self.process.borrow_mut();
            process.as_mut().map(|process| process.flights.swap_remove(index))
        };
        if let Some(Flight { attempt, made, .. }) = flight {
            if made.is_err() {
                world.ledger.borrow_mut().put_back(node, attempt.job());
                world.count("put back");
            }
            let next = world.of_node(node, || attempt.end(made)).flatten();
            if let (Some(next), Some(process)) = (next, self.process.borrow_mut().as_mut()) {
                process.launch(next, world, node);
            }
        }
    }

    fn round(&self, world: &World, node: usize) {
        let incarnation = self.incarnation.get();
        let (mut shell, mut inputs) = {
            let mut process = self.process.borrow_mut();
            let process = process.as_mut().expect("it has a process");
            (process.shell.take().expect("it is not busy"), std::mem::take(&mut process.inputs))
        };
        if shell.log.closed() {
            let end = world.of_node(node, || shell.end());
            return self.ended(world, node, end);
        }
        let is_silent = !shell.mailbox.is_ready(1) && shell.committer.gathers().is_none();
        let rounds = world.of_node(node, || {
            world.before(node, incarnation, Call::Round);
            let left_ms = |shell: &SimShell| Some(shell.next_due()?.ms_since(clock::now()));
            let was_idle = is_silent && left_ms(&shell) != Some(0);
            shell.mailbox.take(&mut inputs, 0, clock::instant());
            shell.go_round(&mut inputs);
            let waits_ms = ms(shell.patience().1).saturating_sub(world.passed_ms());
            let is_gathering = shell.committer.gathers().is_some();
            (was_idle, if is_gathering { Some(waits_ms) } else { left_ms(&shell) })
        });
        let mut process = self.process.borrow_mut();
        let Some(process) = process.as_mut().filter(|_| self.incarnation.get() == incarnation)
        else {
            return;
        };
        let Some((was_idle, left_ms)) = rounds else { return };
        process.idle_rounds = if was_idle { process.idle_rounds + 1 } else { 0 };
        let rests = process.idle_rounds >= IDLE_ROUNDS;
        let left_ms = left_ms.into_iter().chain((!rests).then_some(IDLE_MS)).min();
        process.wake_ms = left_ms.map_or(u64::MAX, |ms| world.passed_ms() + ms.max(1));
        process.shell = Some(shell);
        process.inputs = inputs;
    }

    /// Removes a process that has ended by itself.
    fn ended(&self, world: &World, node: usize, end: Option<Result<(), EngineError>>) {
        let failed = matches!(end, Some(Err(_)));
        world.trace(|| format!("node {node}: ended {end:?}"));
        // A clean end closes the store, which writes everything it holds.
        let is_clean = !failed;
        world.bury(node, is_clean);
        if failed {
            world.count("failed");
        }
        if (failed || world.is_healed.get()) && !world.is_over.get() {
            self.start_at_ms.set(Some(world.passed_ms() + RESTART_MS));
        }
    }
}

impl Process {
    /// Returns the landmarks by which its engine recognises inputs.
    pub(super) fn landmarks(&self) -> &Landmarks {
        &self.channels.landmarks
    }

    /// Sends an input to its engine.
    pub(super) fn send(&self, input: Input) {
        self.channels.mailbox.put_urgent(input);
    }

    fn launch(&mut self, attempt: Attempt, world: &World, node: usize) {
        let job = attempt.job();
        world.ledger.borrow_mut().begun(node, job, world.now_of(node), world.true_ms());
        let mut dice = world.dice.borrow_mut();
        let (outcome, takes_ms) = world.network.borrow().answer(job.webhook.as_str(), &mut dice);
        let arrives_ms = world.passed_ms() + dice.between(0, 20);
        // An attempt that can't be made does not reach its endpoint.
        let is_short = dice.one_in(SHORTAGE_IN);
        let made = if is_short { Err(dice.pick(&Shortage::ALL)) } else { Ok(outcome) };
        world.trace(|| {
            let job = attempt.job();
            format!(
                "node {node}: {} phase {} attempt {}: {:?}",
                job.uuid,
                job.phase.number(),
                job.attempt,
                made.as_ref().map(|outcome| outcome.status)
            )
        });
        let ends_ms = if is_short { arrives_ms } else { arrives_ms + takes_ms };
        self.flights.push(Flight { attempt, made, arrives_ms, has_arrived: is_short, ends_ms });
    }
}
