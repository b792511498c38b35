//! The simulated Kafka from the view of an instance. A fault may strike in each call.

mod transactions;

pub(super) use transactions::{Row, SimTransactions};

use super::fault::{Call, Fault};
use super::reader::{Control, Reader};
use super::surroundings::Wrong;
use super::world::World;
use crate::codec::row::{Landmark, Owner};
use crate::log::{
    Begin, Changelog, Continuation, Found, GroupOffset, Identity, Log, LogError, Offsets, Polled,
    Start, TopicPartition,
};
use std::cell::RefCell;
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
    type Member = Caller;
    type Transactions = SimTransactions;
    type Changelog = SimChangelog;
    type Offsets = Caller;
    type Restoring = u64;

    fn open_transactions(&self) -> Result<SimTransactions, LogError> {
        self.caller.open()
    }

    fn member(&self) -> Caller {
        self.caller.clone()
    }

    fn run(&self, transaction: Box<dyn FnOnce() + Send>) {
        self.caller.world().add_transaction(self.caller.node, transaction);
    }

    fn settle(&self) {
        while let Some(transaction) = self.caller.world().next_transaction(self.caller.node) {
            transaction();
        }
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

    fn membership(&self) -> (u64, Option<u64>) {
        let world = self.world();
        let process = world.nodes[self.node].process.borrow();
        let process = process.as_ref().expect("it is alive");
        process.reader.borrow().membership()
    }

    pub(super) fn open(&self) -> Result<SimTransactions, LogError> {
        self.ask(Call::Open)?;
        Ok(SimTransactions::open(self.clone()))
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
