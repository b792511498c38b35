//! The start and the end of processes.

use super::{Node, Process};
use crate::clock::Steady;
use crate::engine::channels::Channels;
use crate::engine::input::Input;
use crate::engine::reloads::Reloads;
use crate::engine::tests::reader::Reader;
use crate::engine::tests::world::World;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

impl Node {
    /// Returns what hands configurations to its engine, once it has one.
    pub(in crate::engine::tests) fn reloads(&self) -> Option<Reloads> {
        self.process.borrow().as_ref()?.reloads.clone()
    }
}

impl World {
    /// Starts the process of an instance, unless there is one.
    pub(in crate::engine::tests) fn start(&self, node: usize) {
        let instance = &self.nodes[node];
        instance.start_at_ms.set(None);
        if instance.process.borrow().is_some() {
            return;
        }
        self.trace(|| format!("node {node}: starts"));
        instance.incarnation.set(instance.incarnation.get() + 1);
        instance.paused_until_ms.set(0);
        if instance.wall_ms.get() != 0 {
            self.is_timely.set(false);
        }
        *instance.steady.borrow_mut() = Some(Steady::starting(self.reading_of(Some(node))));
        let channels = Channels::default();
        let member = self.group.borrow_mut().join(node, self.passed_ms());
        let reader = Reader::new(node, member, self.setting.topics.clone(), channels.sink(|_| ()));
        *instance.process.borrow_mut() = Some(Process {
            shell: None,
            is_booted: false,
            inputs: Vec::new(),
            channels,
            reader: Rc::new(RefCell::new(reader)),
            rested_at: None,
            clock: None,
            reloads: None,
            alarm_ms: None,
            queue: Arc::default(),
            flights: Vec::new(),
            restores: Vec::new(),
            transactions: VecDeque::new(),
            is_in_transaction: false,
            wake_ms: self.passed_ms(),
            idle_rounds: 0,
            membership: (member, None),
            returns: 0,
            losses: 0,
        });
    }

    /// Asks a process to end.
    pub(in crate::engine::tests) fn stop(&self, node: usize) {
        let process = self.nodes[node].process.borrow();
        if let Some(process) = &*process {
            self.trace(|| format!("node {node}: is asked to end"));
            if !process.is_booted {
                self.plan(self.passed_ms(), crate::engine::tests::plan::Action::Kill(node));
                return;
            }
            process.channels.signals.stop();
            process.channels.mailbox.put_urgent(Input::Shutdown);
        }
    }

    /// Kills a process, as SIGKILL does.
    pub(in crate::engine::tests) fn kill(&self, node: usize) {
        if self.nodes[node].process.borrow().is_some() {
            self.trace(|| format!("node {node}: is killed"));
            self.count("kill");
            self.bury(node, false);
        }
    }

    /// Removes a process that has ended. Part of its requests and writes may still take effect.
    pub(in crate::engine::tests) fn bury(&self, node: usize, is_clean: bool) {
        let instance = &self.nodes[node];
        let Some(process) = instance.process.borrow_mut().take() else { return };
        instance.paused_until_ms.set(0);
        instance.wrong.set(None);
        self.ledger.borrow_mut().excuse(node, 1);
        if let Ok(reader) = process.reader.try_borrow() {
            self.group.borrow_mut().falls_silent(reader.member, self.passed_ms());
        }
        for flight in &process.flights {
            // Bytes that were written to the socket may still arrive.
            if !flight.has_arrived && self.dice.borrow_mut().one_in(2) {
                self.arrive(flight);
            }
        }
        for content in instance.disk.contents().values_mut() {
            let pending = content.pending() as u64;
            let kept = if is_clean { pending } else { self.dice.borrow_mut().between(0, pending) };
            content.crash(usize::try_from(kept).unwrap());
        }
        drop(process);
    }
}
