//! A world with one clock: brokers, endpoints, and instances that start and end in it.
//!
//! There is one thread. When an engine would block, or asks Kafka for something, the world continues before the call
//! returns. So everything that may happen between two calls does happen in some history, and every run of a seed is the
//! same.

use super::broker::{Broker, Entry};
use super::dice::Dice;
use super::fault::{Call, Fault, Killed};
use super::group::Group;
use super::ledger::Ledger;
use super::network::Network;
use super::node::{Flight, Node};
use super::plan::Action;
use super::setting::Setting;
use crate::clock::simulated::Time;
use crate::clock::{Reading, Steady};
use crate::domain::{Timestamp, owner};
use crate::log::{TopicNames, TopicPartition};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The time of the instances' clocks when the world begins.
pub(super) const EPOCH_MS: i64 = 1_700_000_000_000;
/// The maximum number of nested calls that let the world continue.
const DEPTH_MAX: usize = 4;

pub(super) struct World {
    pub(super) names: TopicNames,
    pub(super) setting: Setting,
    pub(super) passed_ms: Cell<u64>,
    /// The part of it that was skipped, in whole days.
    pub(super) skipped_ms: Cell<u64>,
    /// The random numbers of everything that the plan does not contain.
    pub(super) dice: RefCell<Dice>,
    pub(super) broker: RefCell<Broker>,
    pub(super) group: RefCell<Group>,
    pub(super) network: RefCell<Network>,
    pub(super) ledger: RefCell<Ledger>,
    pub(super) nodes: Vec<Node>,
    /// The instance and the process of each refused configuration, and the reason.
    pub(super) reloads: RefCell<Vec<(usize, u64, String)>>,
    /// The instance and the process whose code is running.
    current: Cell<Option<(usize, u64)>>,
    depth: Cell<usize>,
    /// The instance that is in a restore's step. Its engine and its other restores wait meanwhile.
    restoring: Cell<Option<usize>>,
    pub(super) agenda: RefCell<BTreeMap<(u64, usize), Action>>,
    agenda_length: Cell<usize>,
    pub(super) kafka_away_until_ms: Cell<u64>,
    pub(super) next_restore: Cell<u64>,
    /// Whether every process that ends is started again.
    pub(super) is_healed: Cell<bool>,
    /// Whether processes that end are no longer started again.
    pub(super) is_over: Cell<bool>,
    /// Whether no process was started with a wrong clock.
    pub(super) is_timely: Cell<bool>,
    /// The number of faults of each kind.
    pub(super) struck: RefCell<BTreeMap<&'static str, u64>>,
    pub(super) story: RefCell<Vec<String>>,
    is_traced: bool,
}

impl Time for World {
    fn wall(&self) -> Duration {
        self.wall_of(self.current.get().map(|(node, _)| node))
    }

    fn by_steady(&self, act: &mut dyn FnMut(&mut Steady)) {
        let node = self.current.get().map(|(node, _)| node);
        match node.and_then(|node| self.nodes[node].steady.borrow_mut().as_mut().map(&mut *act)) {
            Some(()) => {}
            // Code outside of all processes has a clock that never jumps.
            None => act(&mut Steady::starting(self.reading_of(node))),
        }
    }

    fn passed(&self) -> Duration {
        Duration::from_millis(self.passed_ms.get())
    }

    fn sleep(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap().max(1);
        self.run_for(ms);
        if let Some((node, incarnation)) = self.current.get() {
            self.wait_while_paused(node);
            self.insist_alive(node, incarnation);
        }
    }
}

impl World {
    pub(super) fn new(setting: Setting, seed: u64, is_traced: bool) -> Rc<Self> {
        let names = setting.names();
        let mut broker = Broker::with_ids(setting.has_ids);
        let mut group = Group::default();
        let other = super::surroundings::Wrong::Changelog.changelog(&names.changelog);
        for topic in [&names.changelog, &other, &names.events, &names.dead_letter] {
            broker.create(topic, setting.partitions);
        }
        broker.create(&names.inbox, setting.inbox_partitions);
        for (topic, _) in names.sources() {
            broker.create(topic, setting.input_partitions);
        }
        let inputs: Vec<&String> =
            names.sources().map(|(name, _)| name).chain([&names.inbox]).collect();
        for (place, partition) in &mut broker.partitions {
            partition.is_input = inputs.iter().any(|topic| **topic == *place.topic);
            if partition.is_input {
                group.places.push(place.clone());
            }
        }
        let ledger = Ledger::new(setting.policy.clone());
        Rc::new(Self {
            names,
            passed_ms: Cell::new(0),
            skipped_ms: Cell::new(0),
            dice: RefCell::new(Dice(seed)),
            broker: RefCell::new(broker),
            group: RefCell::new(group),
            network: RefCell::default(),
            ledger: RefCell::new(ledger),
            reloads: RefCell::default(),
            nodes: (0..setting.nodes).map(|_| Node::default()).collect(),
            setting,
            current: Cell::new(None),
            depth: Cell::new(0),
            restoring: Cell::new(None),
            agenda: RefCell::default(),
            agenda_length: Cell::new(0),
            kafka_away_until_ms: Cell::new(0),
            next_restore: Cell::new(0),
            is_healed: Cell::new(false),
            is_over: Cell::new(false),
            is_timely: Cell::new(true),
            struck: RefCell::default(),
            story: RefCell::default(),
            is_traced,
        })
    }

    pub(super) fn passed_ms(&self) -> u64 {
        self.passed_ms.get()
    }

    fn wall_of(&self, node: Option<usize>) -> Duration {
        let offset_ms = node.map_or(0, |node| self.nodes[node].wall_ms.get());
        Duration::from_millis(u64::try_from(self.true_ms() + offset_ms).unwrap())
    }

    /// Returns both clocks of an instance.
    pub(super) fn reading_of(&self, node: Option<usize>) -> Reading {
        Reading::of(self.passed(), self.wall_of(node))
    }

    /// Returns the time of an instance's process.
    pub(super) fn now_of(&self, node: usize) -> Timestamp {
        let mut steady = self.nodes[node].steady.borrow_mut();
        let reading = self.reading_of(Some(node));
        steady.get_or_insert_with(|| Steady::starting(reading)).read(reading)
    }

    /// Returns the world's own wall clock.
    pub(super) fn true_ms(&self) -> i64 {
        EPOCH_MS + self.passed_ms.get().cast_signed()
    }

    pub(super) fn trace(&self, line: impl FnOnce() -> String) {
        if self.is_traced {
            let line = format!("{:>8} {}", self.passed_ms.get(), line());
            self.story.borrow_mut().push(line);
        }
    }

    pub(super) fn count(&self, what: &'static str) {
        *self.struck.borrow_mut().entry(what).or_default() += 1;
    }

    /// Returns the partition of records with this key.
    pub(super) fn partition_of(&self, key: Option<&[u8]>) -> i32 {
        owner(key.unwrap_or_default(), self.setting.partitions)
    }

    /// Writes a record as a gateway or an operator does.
    pub(super) fn produce(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: &[u8],
        headers: &[(&str, &str)],
    ) {
        let entry = Entry {
            offset: 0,
            transaction: None,
            is_marker: false,
            key: key.map(|key| key.to_vec().into()),
            value: Some(value.to_vec().into()),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            at_ms: self.true_ms(),
        };
        self.broker.borrow_mut().produce(&TopicPartition { topic: topic.into(), partition }, entry);
    }

    pub(super) fn plan(&self, at_ms: u64, action: Action) {
        let number = self.agenda_length.replace(self.agenda_length.get() + 1);
        self.agenda.borrow_mut().insert((at_ms, number), action);
    }

    pub(super) fn forget_plans(&self) {
        self.agenda.borrow_mut().clear();
    }

    pub(super) fn alive(&self, node: usize, incarnation: u64) -> bool {
        let node = &self.nodes[node];
        node.incarnation.get() == incarnation && node.process.borrow().is_some()
    }

    fn insist_alive(&self, node: usize, incarnation: u64) {
        if !self.alive(node, incarnation) {
            std::panic::resume_unwind(Box::new(Killed));
        }
    }

    /// Begins a call of an instance's process. Returns the fault that strikes in it.
    pub(super) fn before(&self, node: usize, incarnation: u64, call: Call) -> Option<Fault> {
        self.insist_alive(node, incarnation);
        let armed = {
            let mut faults = self.nodes[node].faults.borrow_mut();
            match faults.iter_mut().position(|armed| armed.call == call) {
                Some(index) if faults[index].skip > 0 => {
                    faults[index].skip -= 1;
                    None
                }
                Some(index) => Some(faults.remove(index).fault),
                None => None,
            }
        };
        if let Some(fault) = armed {
            self.trace(|| format!("node {node}: {fault:?} at {call:?}"));
            self.count(call.as_str());
        }
        match armed {
            Some(Fault::Kill) => {
                self.kill(node);
                self.insist_alive(node, incarnation);
            }
            Some(Fault::Pause(ms)) => self.pause_here(node, incarnation, ms),
            Some(_) => return armed,
            None if call != Call::Write
                && call != Call::Round
                && self.kafka_away_until_ms.get() > self.passed_ms.get() =>
            {
                return Some(Fault::Retriable);
            }
            None if self.restoring.get().is_none() && self.dice.borrow_mut().one_in(6) => {
                let ms = self.dice.borrow_mut().between(1, 4);
                self.run_for(ms);
                self.insist_alive(node, incarnation);
                self.wait_while_paused(node);
                self.insist_alive(node, incarnation);
            }
            None => {}
        }
        None
    }

    /// Ends a call after its effect.
    pub(super) fn after(&self, node: usize, incarnation: u64, fault: Option<Fault>) {
        match fault {
            Some(Fault::KillAfter) => {
                self.kill(node);
                self.insist_alive(node, incarnation);
            }
            Some(Fault::PauseAfter(ms)) => self.pause_here(node, incarnation, ms),
            _ => {}
        }
    }

    fn pause_here(&self, node: usize, incarnation: u64, ms: u64) {
        self.pause(node, ms);
        self.wait_while_paused(node);
        self.insist_alive(node, incarnation);
    }

    /// Stops a process, as SIGSTOP does.
    pub(super) fn pause(&self, node: usize, ms: u64) {
        let until = self.passed_ms.get() + ms;
        let node = &self.nodes[node];
        node.paused_until_ms.set(node.paused_until_ms.get().max(until));
        if let Some(process) = &*node.process.borrow() {
            let member = process.reader.borrow().member;
            self.group.borrow_mut().falls_silent(member, self.passed_ms.get());
        }
    }

    fn wait_while_paused(&self, node: usize) {
        while self.nodes[node].paused_until_ms.get() > self.passed_ms.get() {
            let ms = self.nodes[node].paused_until_ms.get() - self.passed_ms.get();
            self.run_for(ms);
        }
    }

    /// Runs code of an instance. Returns `None` if the instance was killed meanwhile.
    pub(super) fn of_node<T>(&self, node: usize, act: impl FnOnce() -> T) -> Option<T> {
        let incarnation = self.nodes[node].incarnation.get();
        let before = self.current.replace(Some((node, incarnation)));
        self.nodes[node].is_stirred.set(true);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        self.nodes[node].is_stirred.set(true);
        self.current.set(before);
        match result {
            Ok(result) => Some(result),
            Err(payload) if payload.is::<Killed>() => None,
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }

    /// Returns whether a write of the store fails. Does not return if the process dies here.
    pub(super) fn write_fails(&self) -> bool {
        let Some((node, incarnation)) = self.current.get() else { return false };
        let fault = self.before(node, incarnation, Call::Write);
        self.after(node, incarnation, fault);
        fault.is_some_and(|fault| !matches!(fault, Fault::KillAfter | Fault::PauseAfter(_)))
    }

    /// Runs a step of a restore. A cancellation waits for its end.
    pub(super) fn restoring<T>(&self, node: usize, act: impl FnOnce() -> T) -> T {
        let before = self.restoring.replace(Some(node));
        let result = act();
        self.restoring.set(before);
        result
    }

    /// Lets `ms` milliseconds pass.
    pub(super) fn run_for(&self, ms: u64) {
        let until = self.passed_ms.get() - self.skipped_ms.get() + ms;
        if self.depth.get() >= DEPTH_MAX {
            // The nesting is too deep: only time passes here, and the others catch up later.
            self.passed_ms.set(self.passed_ms.get() + ms);
            return;
        }
        self.depth.set(self.depth.get() + 1);
        let current = self.current.replace(None);
        if let Some((node, _)) = current {
            self.nodes[node].is_stirred.set(true);
        }
        self.run_until(until);
        self.current.set(current);
        self.depth.set(self.depth.get() - 1);
    }

    /// Does everything that happens within `ms`. Returns whether anything is left to happen.
    pub(super) fn live(&self, ms: u64) -> bool {
        self.run_until(self.passed_ms.get() - self.skipped_ms.get() + ms)
    }

    /// Does everything that happens until then, without skipped time. Returns whether anything is left.
    fn run_until(&self, until_busy_ms: u64) -> bool {
        loop {
            self.settle();
            let until_ms = until_busy_ms + self.skipped_ms.get();
            let ready = self.ready();
            if !ready.is_empty() {
                let index = self.dice.borrow_mut().index(ready.len());
                self.act(ready[index]);
                if self.passed_ms.get() - self.skipped_ms.get() >= until_busy_ms {
                    return true;
                }
                // Each step takes a third of a millisecond on average.
                if self.dice.borrow_mut().one_in(3) {
                    self.passed_ms.set(self.passed_ms.get() + 1);
                }
                continue;
            }
            match self.next_ms() {
                Some(next) if next <= until_ms => {
                    self.passed_ms.set(next.max(self.passed_ms.get() + 1));
                }
                next => {
                    self.passed_ms.set(until_ms.max(self.passed_ms.get()));
                    return next.is_some();
                }
            }
        }
    }

    fn settle(&self) {
        let (passed, now) = (self.passed_ms.get(), self.true_ms());
        if self.kafka_away_until_ms.get() <= passed {
            self.broker.borrow_mut().time_out(passed, now);
            let mut group = self.group.borrow_mut();
            for node in &self.nodes {
                if node.paused_until_ms.get() <= passed
                    && let Some(process) = &*node.process.borrow()
                    && let Ok(reader) = process.reader.try_borrow()
                    && !reader.closed
                {
                    group.beat(reader.member);
                }
            }
            group.settle(passed);
        }
        for (index, node) in self.nodes.iter().enumerate() {
            node.collect(self, index);
        }
    }

    /// Returns a number that grows with every change that a poll thread can see.
    pub(super) fn changes(&self) -> u64 {
        self.broker.borrow().changes + self.group.borrow().changes
    }

    /// Returns the steps that are possible now.
    fn ready(&self) -> Vec<WorldStep> {
        let passed = self.passed_ms.get();
        let changes = self.changes();
        let mut ready = Vec::new();
        if self.agenda.borrow().keys().next().is_some_and(|(at, _)| *at <= passed) {
            ready.push(WorldStep::Agenda);
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if node.paused_until_ms.get() <= passed && self.restoring.get() != Some(index) {
                node.ready(passed, changes, |step| ready.push(WorldStep::Of(index, step)));
            }
        }
        ready
    }

    fn next_ms(&self) -> Option<u64> {
        let agenda = self.agenda.borrow().keys().next().map(|(at, _)| *at);
        let nodes = self.nodes.iter().enumerate();
        let nodes = nodes.filter(|(index, _)| self.restoring.get() != Some(*index));
        let nodes = nodes.filter_map(|(_, node)| {
            let paused = node.paused_until_ms.get();
            let resumes = Some(paused).filter(|until| *until > self.passed_ms.get());
            node.next_ms().map(|next| next.max(paused)).into_iter().chain(resumes).min()
        });
        let away =
            Some(self.kafka_away_until_ms.get()).filter(|until| *until > self.passed_ms.get());
        let broker = self.broker.borrow().next_time_out();
        let group = self.group.borrow().next_ms();
        nodes.chain(agenda).chain(away).chain(broker).chain(group).min()
    }

    /// Describes the open work, for a history that does not come to rest.
    pub(super) fn unrest(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(Node::unrest).collect();
        let (broker, group) = (self.broker.borrow().next_time_out(), self.group.borrow().next_ms());
        format!("nodes {nodes:?}, transactions {broker:?}, group {group:?}")
    }

    fn act(&self, step: WorldStep) {
        match step {
            WorldStep::Agenda => {
                let first = self.agenda.borrow_mut().pop_first();
                if let Some((_, action)) = first {
                    action.happen(self);
                }
            }
            WorldStep::Of(node, step) => self.nodes[node].step(self, node, step),
        }
    }

    /// Delivers the request to its endpoint.
    pub(super) fn arrive(&self, flight: &Flight) {
        self.network.borrow_mut().requests.push(flight.request(self.true_ms()));
    }
}

/// A possible next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorldStep {
    Agenda,
    Of(usize, super::node::NodeStep),
}
