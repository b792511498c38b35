//! The simulated producers of an instance.

use super::Caller;
use crate::clock;
use crate::engine::tests::Witness;
use crate::engine::tests::broker::{Entry, Fenced};
use crate::engine::tests::fault::{Call, Fault};
use crate::engine::tests::world::World;
use crate::log::{
    Committed, GroupOffset, Outgoing, TopicPartition, TransactionError, TransactionFault,
    Transactions,
};
use bytes::Bytes;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A row as it was written to the changelog.
pub(in crate::engine::tests) type Row = (i32, Bytes, Option<Bytes>);

/// The producers of one process. They take turns.
pub(in crate::engine::tests) struct SimTransactions {
    caller: Caller,
    /// The transactional ids, with the epoch of each.
    producers: [(String, u64); 2],
    turn: Cell<usize>,
    /// Whether the commit succeeded but its answer was lost. The repeated call gets the answer.
    is_committed: Cell<bool>,
    is_broken: Cell<bool>,
    is_open: Cell<bool>,
    delivered: RefCell<BTreeMap<i32, i64>>,
    witness: RefCell<Vec<Witness>>,
    rows: RefCell<Vec<Row>>,
}

fn error(call: &'static str, fault: TransactionFault) -> TransactionError {
    TransactionError { call, fault, text: "simulated".to_owned() }
}

impl SimTransactions {
    /// Opens the producers. That aborts the transactions of their predecessors.
    pub(super) fn open(caller: Caller) -> Self {
        let producers = ["", "~2"].map(|suffix| {
            let id = format!("instance-{}{suffix}", caller.node);
            let now = clock::now().as_ms();
            let epoch = caller.world().broker.borrow_mut().initialise(&id, now);
            (id, epoch)
        });
        Self {
            caller,
            producers,
            turn: Cell::new(0),
            is_committed: Cell::new(false),
            is_broken: Cell::new(false),
            is_open: Cell::new(false),
            delivered: RefCell::default(),
            witness: RefCell::default(),
            rows: RefCell::default(),
        }
    }

    /// Returns the id and the epoch of the producer whose turn it is.
    fn producer(&self) -> (&str, u64) {
        let (id, epoch) = &self.producers[self.turn.get()];
        (id, *epoch)
    }

    fn world(&self) -> Rc<World> {
        self.caller.world()
    }

    fn broken(&self, call: &'static str, fault: TransactionFault) -> TransactionError {
        self.is_broken.set(true);
        error(call, fault)
    }

    fn sound(&self, call: &'static str) -> Result<(), TransactionError> {
        let broken = self.is_broken.get();
        if broken { Err(error(call, TransactionFault::Fatal)) } else { Ok(()) }
    }

    /// Makes the call unless a fault strikes before it. A fault that strikes after it does not undo it.
    fn call<T>(
        &self,
        call: Call,
        act: impl FnOnce() -> Result<T, Fenced>,
    ) -> Result<T, TransactionError> {
        let name = call.as_str();
        let fault = self.caller.before(call);
        self.sound(name)?;
        let early = match fault {
            Some(Fault::Retriable) => Some(TransactionFault::Retriable),
            Some(Fault::Abortable) => Some(TransactionFault::Abortable),
            Some(Fault::FatalBefore) => Some(TransactionFault::Fatal),
            Some(
                Fault::Kill
                | Fault::KillAfter
                | Fault::Pause(_)
                | Fault::PauseAfter(_)
                | Fault::RetriableAfter
                | Fault::FatalAfter,
            )
            | None => None,
        };
        if let Some(early) = early {
            self.is_broken.set(early == TransactionFault::Fatal);
            return Err(error(name, early));
        }
        let done = act().map_err(|Fenced| self.broken(name, TransactionFault::Fenced))?;
        match fault {
            Some(Fault::RetriableAfter) => return Err(error(name, TransactionFault::Retriable)),
            Some(Fault::FatalAfter) => return Err(self.broken(name, TransactionFault::Fatal)),
            _ => self.caller.after(fault),
        }
        Ok(done)
    }
}

impl Transactions for SimTransactions {
    type Member = Caller;

    fn begin(&self) -> Result<(), TransactionError> {
        // As the real producer does: a transaction that can't begin has written nothing.
        self.delivered.borrow_mut().clear();
        self.rows.borrow_mut().clear();
        self.call(Call::Begin, || Ok(()))?;
        if self.is_open.replace(true) {
            return Err(self.broken("begin", TransactionFault::Fatal));
        }
        self.turn.set(1 - self.turn.get());
        self.is_committed.set(false);
        Ok(())
    }

    fn witness(&self, decided: &dyn Any) {
        let decided: &Vec<Witness> = decided.downcast_ref().expect("the engine's witness");
        self.witness.borrow_mut().clone_from(decided);
    }

    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError> {
        let world = self.world();
        let key = outgoing.key.map(Bytes::copy_from_slice);
        let partition = outgoing.partition.unwrap_or_else(|| world.partition_of(key.as_deref()));
        let place = TopicPartition { topic: outgoing.topic.into(), partition };
        let headers = outgoing.headers.iter();
        let entry = Entry {
            offset: 0,
            transaction: None,
            is_marker: false,
            key: key.clone(),
            value: outgoing.value.map(Bytes::copy_from_slice),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            at_ms: clock::now().min(clock::wall()).as_ms(),
        };
        let value = entry.value.clone();
        let offset = self.call(Call::Send, || {
            let producer = self.producer();
            world.broker.borrow_mut().send(producer, &place, entry, world.passed_ms())
        })?;
        if outgoing.changelog {
            let mut delivered = self.delivered.borrow_mut();
            let next = delivered.entry(partition).or_default();
            *next = (*next).max(offset + 1);
            self.rows.borrow_mut().push((partition, key.unwrap_or_default(), value));
        }
        Ok(())
    }

    fn offsets<'a>(
        &self,
        member: &Caller,
        offsets: impl Iterator<Item = (&'a TopicPartition, &'a GroupOffset)>,
    ) -> Result<(), TransactionError> {
        let offsets: BTreeMap<TopicPartition, GroupOffset> =
            offsets.map(|(place, offset)| (place.clone(), offset.clone())).collect();
        if offsets.is_empty() {
            return Ok(());
        }
        let world = self.world();
        let is_member = Cell::new(true);
        self.call(Call::Offsets, || {
            let (member, generation) = member.membership();
            // A member without a generation is refused before Kafka is asked, because Kafka would accept it.
            let accepted = generation
                .is_some_and(|generation| world.group.borrow().accepts(member, generation));
            is_member.set(accepted);
            let places = || {
                offsets.iter().map(|(place, offset)| {
                    format!("{} {} {}", place.topic, place.partition, offset.offset)
                })
            };
            world.trace(|| {
                format!(
                    "node {}: offsets {:?} accepted {accepted}",
                    self.caller.node,
                    places().collect::<Vec<_>>()
                )
            });
            if accepted {
                let producer = self.producer();
                world.broker.borrow_mut().add_offsets(producer, &offsets, world.passed_ms())?;
            }
            Ok(())
        })?;
        if is_member.get() { Ok(()) } else { Err(error("offsets", TransactionFault::Abortable)) }
    }

    /// Each record arrives when it is sent.
    fn flush(&self) -> Result<(), TransactionError> {
        Ok(())
    }

    fn written(&self) -> Committed {
        let delivered = self.delivered.borrow();
        Committed(delivered.iter().map(|(partition, next)| (*partition, *next)).collect())
    }

    fn commit(&self) -> Result<Committed, TransactionError> {
        self.call(Call::Commit, || {
            if !self.is_committed.replace(true) {
                let ((id, epoch), now) = (self.producer(), clock::now().as_ms());
                let committed = self.world().broker.borrow_mut().commit(id, epoch, now);
                if let Err(fenced) = committed {
                    self.is_committed.set(false);
                    return Err(fenced);
                }
                self.world().trace(|| {
                    let decided = self.witness.borrow().len();
                    let rows = self.rows.borrow().len();
                    format!(
                        "node {}: has committed {decided} commands, {rows} rows",
                        self.caller.node
                    )
                });
                // A process without own partitions restores nothing, and may commit without rows. The real daemon
                // checks its settings before it joins.
                if let Some(wrong) = self.world().nodes[self.caller.node].wrong.get()
                    && !self.rows.borrow().is_empty()
                {
                    let says = format!("a process with a wrong {wrong:?} has committed");
                    self.world().ledger.borrow_mut().faults.push(says);
                }
                self.world().ledger.borrow_mut().committed(
                    self.caller.node,
                    &self.witness.borrow(),
                    &self.rows.borrow(),
                    self.world().true_ms(),
                );
            }
            Ok(())
        })?;
        self.is_open.set(false);
        Ok(self.written())
    }

    fn abort(&self) -> Result<(), TransactionError> {
        self.call(Call::Abort, || {
            let ((id, epoch), now) = (self.producer(), clock::now().as_ms());
            self.world().broker.borrow_mut().abort(id, epoch, now)
        })?;
        self.is_open.set(false);
        Ok(())
    }
}
