//! The poll thread of a simulated process.

use super::broker::Broker;
use super::dice::Dice;
use super::group::{Group, Word};
use crate::codec::source::Decoder;
use crate::log::{Assignment, From, LogEvent, Reading, Record, Start, TopicPartition, Topics};
use rdkafka::Timestamp;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

const RECORD_BYTES: usize = 1 << 10;
const WAITING_BYTES_MAX: usize = 4 << 20;

thread_local! {
    /// Knows only the schemas, so that all worlds can share it.
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new(false));
}

/// A request of the engine to the reader.
pub(super) enum Control {
    Start { epoch: u64, starts: Vec<Start> },
    Hold(u64),
    Close,
}

/// The poll thread's state.
pub(super) struct Reader {
    instance: usize,
    pub(super) member: u64,
    generation: Option<u64>,
    epoch: u64,
    /// The last epoch that was given out.
    pub(super) counter: u64,
    assigned: Vec<TopicPartition>,
    /// The known positions of partitions.
    positions: BTreeMap<TopicPartition, i64>,
    running: BTreeSet<TopicPartition>,
    controls: VecDeque<Control>,
    pub(super) waiting_bytes: usize,
    /// Whether there is more room for records than at the last step.
    has_room: bool,
    closing: bool,
    pub(super) closed: bool,
    /// The engine's reply, which the group waits for.
    reply: Option<Receiver<()>>,
    is_answered: bool,
    topics: Topics,
    sink: Arc<dyn Fn(LogEvent) + Send + Sync>,
    /// How many times all partitions were given back, and how many times they were lost before that.
    pub(super) returns: u64,
    pub(super) losses: u64,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("generation", &self.generation)
            .field("epoch", &self.epoch)
            .field("positions", &self.positions)
            .field("running", &self.running)
            .field("controls", &self.controls.len())
            .field("waiting_bytes", &self.waiting_bytes)
            .finish()
    }
}

impl Reader {
    pub(super) fn new(
        instance: usize,
        member: u64,
        topics: Topics,
        sink: Arc<dyn Fn(LogEvent) + Send + Sync>,
    ) -> Self {
        Self {
            instance,
            member,
            generation: None,
            epoch: 0,
            counter: 0,
            assigned: Vec::new(),
            positions: BTreeMap::new(),
            running: BTreeSet::new(),
            controls: VecDeque::new(),
            waiting_bytes: 0,
            has_room: false,
            closing: false,
            closed: false,
            reply: None,
            is_answered: false,
            topics,
            sink,
            returns: 0,
            losses: 0,
        }
    }

    pub(super) fn membership(&self) -> (u64, Option<u64>) {
        (self.member, self.generation)
    }

    /// Sends a request to the reader.
    pub(super) fn send(&mut self, control: Control) {
        self.controls.push_back(control);
    }

    /// Returns the bytes of processed records to the budget.
    pub(super) fn release_budget(&mut self, bytes: usize) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        self.has_room = true;
    }

    /// Returns whether its engine has sent it something.
    pub(super) fn is_called(&mut self) -> bool {
        if let Some(reply) = &self.reply {
            self.is_answered |= reply.try_recv() != Err(TryRecvError::Empty);
            return self.is_answered;
        }
        !self.controls.is_empty() || self.has_room
    }

    /// Does the next step. Returns whether there was one.
    pub(super) fn step(
        &mut self,
        group: &mut Group,
        broker: &Broker,
        now_ms: u64,
        dice: &mut Dice,
    ) -> bool {
        self.has_room = false;
        if let Some(reply) = &self.reply {
            if !self.is_answered && reply.try_recv() == Err(TryRecvError::Empty) {
                return false;
            }
            (self.reply, self.is_answered) = (None, false);
            self.give_back(group);
            return true;
        }
        if let Some(control) = self.controls.pop_front() {
            self.control(control);
            return true;
        }
        if self.closed {
            return false;
        }
        if self.closing {
            if self.assigned.is_empty() {
                self.closed = true;
            } else {
                self.revoke(group.word(self.member, self.generation) == Word::Gone);
            }
            return true;
        }
        match group.word(self.member, self.generation) {
            Word::Stay => {}
            Word::Wait => return false,
            Word::Gone => {
                if self.assigned.is_empty() {
                    self.generation = None;
                    self.member = group.join(self.instance, now_ms);
                } else {
                    self.losses += 1;
                    self.revoke(true);
                }
                return true;
            }
            Word::Rejoin => {
                if self.assigned.is_empty() {
                    group.rejoin(self.member);
                } else {
                    self.revoke(false);
                }
                return true;
            }
            Word::Take { generation, places } => {
                self.take(generation, places);
                return true;
            }
        }
        self.resolve(broker) | self.read(broker, dice)
    }

    fn next_epoch(&mut self) {
        self.counter += 1;
        self.epoch = self.counter;
        self.running.clear();
    }

    fn revoke(&mut self, lost: bool) {
        self.next_epoch();
        let (reply, answered) = sync_channel(1);
        (self.sink)(LogEvent::Revoked { lost, reply });
        self.reply = Some(answered);
    }

    fn give_back(&mut self, group: &mut Group) {
        self.returns += 1;
        self.assigned.clear();
        self.positions.clear();
        if !self.closing {
            self.generation = None;
            group.rejoin(self.member);
        }
    }

    fn take(&mut self, generation: u64, places: Vec<TopicPartition>) {
        self.generation = Some(generation);
        self.next_epoch();
        self.assigned.clone_from(&places);
        self.positions.clear();
        (self.sink)(LogEvent::Assigned(Assignment { epoch: self.epoch, places }));
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Start { epoch, starts } if epoch == self.epoch => {
                for Start { place, from } in starts {
                    match from {
                        From::Here => {}
                        From::Offset(offset) => drop(self.positions.insert(place.clone(), offset)),
                        From::Beginning => drop(self.positions.insert(place.clone(), 0)),
                    }
                    self.running.insert(place);
                }
            }
            Control::Start { .. } => {}
            Control::Hold(epoch) => {
                if epoch >= self.epoch {
                    self.epoch = epoch;
                    self.running.clear();
                }
            }
            Control::Close => self.closing = true,
        }
    }

    /// Resolves the group's offsets, except for those that an open transaction may still change.
    fn resolve(&mut self, broker: &Broker) -> bool {
        let mut resolved = false;
        for place in &self.assigned {
            if !self.positions.contains_key(place)
                && !broker.has_pending_offsets(std::slice::from_ref(place))
            {
                let offset = broker.offsets.get(place).map_or(0, |committed| committed.offset);
                self.positions.insert(place.clone(), offset);
                resolved = true;
            }
        }
        resolved
    }

    fn read(&mut self, broker: &Broker, dice: &mut Dice) -> bool {
        if self.waiting_bytes >= WAITING_BYTES_MAX {
            return false;
        }
        let mut records = Vec::new();
        let most = dice.between(1, 8);
        let mut places: Vec<TopicPartition> = self.running.iter().cloned().collect();
        while !places.is_empty() && (records.len() as u64) < most {
            let place = places.swap_remove(dice.index(places.len()));
            let Some(position) = self.positions.get_mut(&place) else { continue };
            // An offset beyond the end is reset, as `auto.offset.reset` says.
            if *position > broker.partitions[&place].end {
                *position = 0;
            }
            let limit = usize::try_from(dice.between(1, 4)).unwrap();
            let (found, next) = broker.read(&place, *position, limit);
            *position = next;
            for entry in found {
                let headers = entry.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
                    headers.insert(Header { key: &header.0, value: Some(&header.1) })
                });
                let message = OwnedMessage::new(
                    entry.value.as_ref().map(|value| value.to_vec()),
                    entry.key.as_ref().map(|key| key.to_vec()),
                    place.topic.to_string(),
                    Timestamp::CreateTime(entry.at_ms),
                    place.partition,
                    entry.offset,
                    Some(headers),
                );
                match DECODER.with(|d| self.topics.read(&mut d.borrow_mut(), &message)) {
                    Reading::Done(record) => records.push(*record),
                    Reading::NeedsSchema(_) => unreachable!("there is no registry"),
                }
            }
        }
        if records.is_empty() {
            return false;
        }
        let bytes = records.iter().map(|record: &Record| record.bytes().len() + RECORD_BYTES).sum();
        self.waiting_bytes += bytes;
        (self.sink)(LogEvent::Records { epoch: self.epoch, records, bytes });
        true
    }
}
