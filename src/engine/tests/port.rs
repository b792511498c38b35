//! The simulated Kafka from the view of an instance. A fault may strike in each call.

use super::Witness;
use super::broker::{Entry, Fenced};
use super::fault::{Call, Fault};
use super::reader::{Control, Reader};
use super::surroundings::Wrong;
use super::world::World;
use crate::clock;
use crate::codec::row::{Landmark, Owner};
use crate::log::{
    Begin, Changelog, Committed, Continuation, Found, GroupOffset, Identity, Log, LogError,
    Offsets, Outgoing, Polled, Start, TopicPartition, TransactionError, TransactionFault,
    Transactions,
};
use bytes::Bytes;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// The process that makes the call.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) node: usize,
    pub(super) incarnation: u64,
}

impl Caller {
    fn world(&self) -> Rc<World> {
        World::current()
    }

    /// Returns the fault that strikes before the call. Does not return if the process dies here.
    fn before(&self, call: Call) -> Option<Fault> {
        self.world().before(self.node, self.incarnation, call)
    }

    fn after(&self, fault: Option<Fault>) {
        self.world().after(self.node, self.incarnation, fault);
    }

    /// Makes a call that answers at once or not at all.
    fn ask(&self, call: Call) -> Result<(), LogError> {
        match self.before(call) {
            Some(Fault::Kill | Fault::Pause(_)) | None => Ok(()),
            fault @ Some(Fault::KillAfter | Fault::PauseAfter(_)) => {
                self.after(fault);
                Ok(())
            }
            Some(
                Fault::Retriable
                | Fault::RetriableAfter
                | Fault::Abortable
                | Fault::FatalBefore
                | Fault::FatalAfter,
            ) => Err(away()),
        }
    }
}

fn away() -> LogError {
    LogError::Topic { topic: "simulated".to_owned(), what: "no answer".to_owned() }
}

/// The log of one process.
pub(super) struct SimLog {
    pub(super) caller: Caller,
    pub(super) reader: Rc<RefCell<Reader>>,
}

impl Log for SimLog {
    type Transactions = SimTransactions;
    type Changelog = SimChangelog;
    type Offsets = Caller;
    type Restoring = u64;

    fn open_transactions(&self) -> Result<SimTransactions, LogError> {
        self.caller.open()
    }

    fn start(&self, epoch: u64, starts: Vec<Start>) {
        self.reader.borrow_mut().send(Control::Start { epoch, starts });
    }

    fn hold(&self) -> u64 {
        let mut reader = self.reader.borrow_mut();
        reader.counter += 1;
        let epoch = reader.counter;
        reader.send(Control::Hold(epoch));
        epoch
    }

    fn release_budget(&self, bytes: usize) {
        self.reader.borrow_mut().release_budget(bytes);
    }

    fn offsets(&self) -> Caller {
        self.caller.clone()
    }

    fn changelog(&self) -> Result<SimChangelog, LogError> {
        Ok(SimChangelog { caller: self.caller.clone(), positions: BTreeMap::new() })
    }

    fn close(&self) {
        self.reader.borrow_mut().send(Control::Close);
    }

    fn closed(&self) -> bool {
        self.reader.borrow().closed
    }

    fn restore(&self, step: impl FnMut() -> Continuation + Send + 'static) -> u64 {
        self.caller.world().add_restore(self.caller.node, Box::new(step))
    }

    fn cancel(&self, restoring: u64) {
        self.caller.world().remove_restore(self.caller.node, restoring);
    }

    fn join(self) {}
}

impl Offsets for Caller {
    fn committed(
        &self,
        places: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, LogError> {
        self.ask(Call::Committed)?;
        let world = self.world();
        let broker = world.broker.borrow();
        // The real call waits for half a minute before it fails.
        if broker.has_pending_offsets(places) {
            return Err(away());
        }
        let known = places.iter().filter_map(|place| broker.offsets.get_key_value(place));
        Ok(known.map(|(place, offset)| (place.clone(), offset.clone())).collect())
    }

    fn offset_at(&self, place: &TopicPartition, begin: Begin) -> Result<i64, LogError> {
        self.ask(Call::Ends)?;
        let world = self.world();
        let broker = world.broker.borrow();
        let partition = &broker.partitions[place];
        Ok(match begin {
            Begin::Beginning => partition.start,
            Begin::End | Begin::Time(_) => partition.end,
        })
    }

    fn found(&self, place: &TopicPartition, landmark: Landmark) -> Result<Found, LogError> {
        self.ask(Call::Ends)?;
        Ok(self.world().broker.borrow().found(place, landmark))
    }

    fn owners(&self) -> Result<BTreeMap<i32, Owner>, LogError> {
        self.ask(Call::Ends)?;
        let topic = self.changelog();
        let owner = |partition| {
            let place = TopicPartition { topic: topic.clone(), partition };
            Some((partition, self.world().newest_meta(&place)?.owner?))
        };
        Ok((0..self.world().setting.partitions.cast_signed()).filter_map(owner).collect())
    }

    fn identity(&self, _: &[&str]) -> Result<Identity, LogError> {
        self.ask(Call::Ends)?;
        let mut identity = self.world().broker.borrow().identity();
        if self.world().nodes[self.node].wrong.get() == Some(Wrong::Cluster) {
            identity.cluster = Some("another".into());
        }
        Ok(identity)
    }
}

impl Caller {
    /// Returns the changelog that the process knows.
    fn changelog(&self) -> Arc<str> {
        let world = self.world();
        let name = &world.names.changelog;
        match world.nodes[self.node].wrong.get() {
            Some(wrong) => wrong.changelog(name).into(),
            None => name.as_str().into(),
        }
    }

    pub(super) fn open(&self) -> Result<SimTransactions, LogError> {
        self.ask(Call::Open)?;
        let id = format!("instance-{}", self.node);
        let epoch = self.world().broker.borrow_mut().initialise(&id, clock::now().as_ms());
        Ok(SimTransactions {
            caller: self.clone(),
            id,
            epoch,
            is_committed: Cell::new(false),
            is_broken: Cell::new(false),
            is_open: Cell::new(false),
            delivered: RefCell::default(),
            witness: RefCell::default(),
            rows: RefCell::default(),
        })
    }
}

/// A row as it was written to the changelog.
pub(super) type Row = (i32, Bytes, Option<Bytes>);

/// The producer of one process.
pub(super) struct SimTransactions {
    caller: Caller,
    id: String,
    epoch: u64,
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
    type Log = SimLog;

    fn begin(&self) -> Result<(), TransactionError> {
        self.call(Call::Begin, || Ok(()))?;
        if self.is_open.replace(true) {
            return Err(self.broken("begin", TransactionFault::Fatal));
        }
        self.is_committed.set(false);
        self.delivered.borrow_mut().clear();
        self.rows.borrow_mut().clear();
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
            let producer = (self.id.as_str(), self.epoch);
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
        log: &SimLog,
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
            let (member, generation) = log.reader.borrow().membership();
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
                let producer = (self.id.as_str(), self.epoch);
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
                let now = clock::now().as_ms();
                let committed = self.world().broker.borrow_mut().commit(&self.id, self.epoch, now);
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
            let now = clock::now().as_ms();
            self.world().broker.borrow_mut().abort(&self.id, self.epoch, now)
        })?;
        self.is_open.set(false);
        Ok(())
    }
}

/// The changelog of one restore.
pub(super) struct SimChangelog {
    caller: Caller,
    /// The position in each partition, and whether its end was reported there.
    positions: BTreeMap<i32, (i64, bool)>,
}

impl SimChangelog {
    fn place(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: self.caller.changelog(), partition }
    }
}

impl Changelog for SimChangelog {
    fn ends(&self, partition: i32) -> Result<(i64, i64), LogError> {
        self.caller.ask(Call::Ends)?;
        let world = self.caller.world();
        let broker = world.broker.borrow();
        let log = &broker.partitions[&self.place(partition)];
        Ok((log.start, log.end))
    }

    fn stable_end(&self, partition: i32) -> Result<i64, LogError> {
        self.caller.ask(Call::Ends)?;
        Ok(self.caller.world().broker.borrow().stable_end(&self.place(partition)))
    }

    fn assign(&mut self, starts: &[(i32, i64)]) -> Result<(), LogError> {
        self.caller.ask(Call::Ends)?;
        self.positions =
            starts.iter().map(|(partition, from)| (*partition, (*from, false))).collect();
        Ok(())
    }

    fn poll<T>(&mut self, take: impl FnOnce(Polled<'_>) -> T) -> T {
        if self.caller.ask(Call::Poll).is_err() {
            return take(Polled::Nothing);
        }
        let world = self.caller.world();
        let waiting: Vec<i32> = self.positions.keys().copied().collect();
        if waiting.is_empty() {
            return take(Polled::Nothing);
        }
        let partition = waiting[world.dice.borrow_mut().index(waiting.len())];
        let place = self.place(partition);
        let (position, is_reported) = self.positions[&partition];
        let found = {
            let broker = world.broker.borrow();
            let (found, next) = broker.read(&place, position, 1);
            (found.first().map(|entry| (*entry).clone()), next)
        };
        match found {
            (Some(entry), _) => {
                self.positions.insert(partition, (entry.offset + 1, false));
                take(Polled::Row {
                    partition,
                    offset: entry.offset,
                    key: entry.key.as_deref().unwrap_or_default(),
                    value: entry.value.as_deref(),
                })
            }
            (None, _) if is_reported => take(Polled::Nothing),
            (None, next) => {
                self.positions.insert(partition, (next, true));
                take(Polled::End(partition))
            }
        }
    }

    fn done(&mut self, partition: i32) {
        self.positions.remove(&partition);
    }
}
