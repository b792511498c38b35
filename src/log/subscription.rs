//! A member of a consumer group of its own, which reads one of our own topics: committed records only, each partition
//! in its order.
//!
//! The caller polls, processes what it got, and then commits offsets. Records that were not committed are read again
//! after a restart or by the next owner of the partition. A partition's records wait in a bounded queue of librdkafka,
//! which stops to fetch when it is full, so that a slow caller needs no memory.

use super::bell::Bell;
use super::client::{self, LogError};
use super::connection::Connection;
use super::position_reader;
use super::reader::End;
use super::record::{TopicPartition, list};
use super::report;
use super::rights;
use super::scan::ScanRecord;
use super::settings::KafkaSettings;
use super::steward::{Patient, unusable};
use super::transaction::{Outgoing, TransactionError};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The reason why a subscription can't continue.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// Another member of the group has the same id.
    #[error(
        "another process has joined the group {0} with the same kafka.instance_id: give each process an id of its own"
    )]
    Fenced(String),
    /// A client can't be used any more.
    #[error("{0}")]
    Failed(String),
}

/// The state that librdkafka's callbacks change.
#[derive(Default)]
struct State {
    /// Counts assignments and revocations.
    epoch: u64,
    assigned: Vec<i32>,
    ends: Vec<End>,
    is_away: bool,
    failure: Option<SubscriptionError>,
}

/// The context that receives librdkafka's callbacks, all on the thread that polls.
struct Membership {
    group: String,
    connection: Connection,
    state: Mutex<State>,
}

impl Membership {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete in itself, so that a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, text: String) {
        self.state().failure.get_or_insert(SubscriptionError::Failed(text));
    }

    /// Handles an error that the consumer has read.
    fn read_failed(&self, error: &KafkaError) {
        let KafkaError::MessageConsumptionFatal(code) = error else {
            // The consumer waits for brokers and topics, which may come back.
            report::fault(error, &format!("a temporary error while consuming: {error}"));
            return;
        };
        if *code == RDKafkaErrorCode::FencedInstanceId {
            self.state().failure = Some(SubscriptionError::Fenced(self.group.clone()));
        } else {
            self.failed(format!("librdkafka reports a fatal error: {code}"));
        }
    }
}

impl ClientContext for Membership {
    fn stats(&self, statistics: Statistics) {
        let changed = self.connection.see(&statistics);
        let mut state = self.state();
        state.is_away = changed.unwrap_or(state.is_away);
        state.ends = End::all_of(&statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        report::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report::fault(&error, reason);
    }
}

impl ConsumerContext for Membership {
    /// The default implementation ignores the result of `assign`.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let is_assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = if is_assigned {
            // They are resumed when each has its queue.
            consumer.assign(partitions).and_then(|()| consumer.pause(partitions))
        } else {
            consumer.unassign()
        };
        if let Err(error) = done {
            self.failed(format!("the assignment of partitions can't be accepted: {error}"));
        }
        let mut state = self.state();
        state.epoch += 1;
        state.assigned.clear();
        if is_assigned {
            state.assigned.extend(partitions.elements().iter().map(|element| element.partition()));
        }
    }
}

/// The queue of an assigned partition.
struct Queue {
    partition: i32,
    records: PartitionQueue<Membership>,
}

/// A member of a consumer group that reads one topic.
pub struct Subscription {
    /// The queues are dropped before their consumer.
    queues: Vec<Queue>,
    consumer: Arc<BaseConsumer<Membership>>,
    topic: Arc<str>,
    bell: Arc<Bell>,
    /// The epoch whose queues these are.
    epoch: u64,
    /// The queue that is polled first.
    first: usize,
    /// By partition, the offset of the first record that was passed on, and the offset after the last one.
    taken: BTreeMap<i32, (i64, i64)>,
}

impl Subscription {
    /// Joins the consumer group `group` with the instance's id. A partition without a committed offset is read from its
    /// beginning.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn join(settings: &KafkaSettings, group: &str, topic: &str) -> Result<Self, LogError> {
        let settings = KafkaSettings { group_id: group.to_owned(), ..settings.clone() };
        let context = Membership {
            group: group.to_owned(),
            connection: Connection::default(),
            state: Mutex::default(),
        };
        let consumer: BaseConsumer<Membership> =
            client::consumer(&settings).create_with_context(context).map_err(LogError::Client)?;
        consumer
            .subscribe(&[topic])
            .map_err(LogError::request("the topic can't be subscribed to"))?;
        Ok(Self {
            queues: Vec::new(),
            consumer: Arc::new(consumer),
            topic: topic.into(),
            bell: Arc::default(),
            epoch: 0,
            first: 0,
            taken: BTreeMap::new(),
        })
    }

    fn context(&self) -> &Membership {
        self.consumer.context()
    }

    /// Returns a number that grows with each assignment and revocation of partitions.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.context().state().epoch
    }

    /// Returns the assigned partitions.
    #[must_use]
    pub fn assigned(&self) -> Vec<i32> {
        self.context().state().assigned.clone()
    }

    /// Returns whether no broker is connected.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.context().state().is_away
    }

    /// Returns, by assigned partition, how many offsets are left behind `positions`. A partition without a position
    /// counts from its first record that was passed on. Empty until librdkafka has reported the ends.
    #[must_use]
    pub fn lag(&self, positions: &BTreeMap<i32, i64>) -> Vec<(i32, i64)> {
        let mut state = self.context().state();
        let State { ends, assigned, .. } = &mut *state;
        let of = |end: &mut End| {
            let partition = end.place.partition;
            if !assigned.contains(&partition) || end.place.topic != self.topic {
                return None;
            }
            let taken = self.taken.get(&partition);
            end.taken = taken.map(|(_, next)| *next);
            let begun = taken.map_or(0, |(first, _)| *first);
            let position = positions.get(&partition).copied().unwrap_or(begun);
            Some((partition, (end.end - end.next(position)).max(0)))
        };
        ends.iter_mut().filter_map(of).collect()
    }

    /// Returns what wakes [`Subscription::wait`] besides records.
    #[must_use]
    pub fn bell(&self) -> Arc<Bell> {
        self.bell.clone()
    }

    /// Waits until there may be records, or somebody rings the bell, for at most `timeout`.
    pub fn wait(&self, timeout: Duration) {
        self.bell.wait(timeout);
    }

    /// Answers the group and reads errors. A member that does not call it for five minutes loses its partitions.
    ///
    /// # Errors
    /// The subscription can't continue.
    pub fn serve(&mut self) -> Result<(), SubscriptionError> {
        // The partitions' queues deliver the records, so that only rebalances and errors come here.
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(error)) => self.context().read_failed(&error),
            Some(Ok(message)) => {
                let (partition, offset) = (message.partition(), message.offset());
                // Possible only before the queues are split, while the partitions are paused.
                tracing::debug!(
                    partition,
                    offset,
                    "a record came before its queue: it is read again"
                );
                let again = Offset::Offset(offset);
                let sought = self.consumer.seek(&self.topic, partition, again, SEEK_TIMEOUT);
                sought.map_err(|error| SubscriptionError::Failed(error.to_string()))?;
            }
            None => {}
        }
        if let Some(failure) = self.context().state().failure.take() {
            return Err(failure);
        }
        self.follow()
    }

    /// Gives each partition of a new assignment its queue, and starts reading it.
    fn follow(&mut self) -> Result<(), SubscriptionError> {
        let epoch = self.epoch();
        if epoch == self.epoch {
            return Ok(());
        }
        self.queues.clear();
        self.taken.clear();
        self.first = 0;
        let assigned = self.assigned();
        for partition in &assigned {
            let records = self.consumer.split_partition_queue(&self.topic, *partition);
            let Some(mut records) = records else {
                return Err(SubscriptionError::Failed("a partition has no queue".to_owned()));
            };
            let bell = self.bell.clone();
            records.set_nonempty_callback(move || bell.ring());
            self.queues.push(Queue { partition: *partition, records });
        }
        let places = assigned
            .iter()
            .map(|partition| TopicPartition { topic: self.topic.clone(), partition: *partition });
        let places: Vec<TopicPartition> = places.collect();
        self.consumer.resume(&list(&places)).map_err(|error| {
            SubscriptionError::Failed(format!("the partitions can't be read: {error}"))
        })?;
        self.epoch = epoch;
        Ok(())
    }

    /// Passes the records that have arrived to `take`, until it breaks. The record at which it breaks counts as taken.
    pub fn read(&mut self, take: &mut dyn FnMut(&ScanRecord<'_>) -> ControlFlow<()>) {
        let count = self.queues.len();
        let (before, from) = self.queues.split_at(self.first.min(count));
        for queue in from.iter().chain(before) {
            // The next call begins with the next partition, so that none is preferred.
            self.first = (self.first + 1) % count.max(1);
            loop {
                match queue.records.poll(Duration::ZERO) {
                    None => break,
                    Some(Err(error)) => {
                        self.consumer.context().read_failed(&error);
                        break;
                    }
                    Some(Ok(message)) => {
                        let offset = message.offset();
                        self.taken.entry(queue.partition).or_insert((offset, offset)).1 =
                            offset + 1;
                        if take(&ScanRecord(message)).is_break() {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn offsets(&self, positions: &BTreeMap<i32, i64>) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
        }
        Ok(list)
    }

    /// Commits the offset of the next record to process, by partition. Without `is_last`, it does not wait for the
    /// result, and a later call makes up for a failure.
    ///
    /// # Errors
    /// Kafka does not accept the offsets. Their records will be read again.
    pub fn commit(&self, positions: &BTreeMap<i32, i64>, is_last: bool) -> Result<(), LogError> {
        let mode = if is_last { CommitMode::Sync } else { CommitMode::Async };
        let offsets = self.offsets(positions);
        let committed = offsets.and_then(|offsets| self.consumer.commit(&offsets, mode));
        committed.map_err(LogError::request("the offsets can't be committed"))
    }

    /// Returns whether the group has committed these offsets of the next record to process, or later ones. Waits for
    /// open transactions. Blocks.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn has_committed(&self, positions: &BTreeMap<i32, i64>) -> Result<bool, LogError> {
        let what = "the group's offsets can't be read";
        let asked = self.offsets(positions).map_err(LogError::request(what))?;
        let committed = position_reader::committed(&self.consumer, asked, what)?;
        let reached = |partition, next| {
            let found = committed.find_partition(&self.topic, partition);
            found.and_then(|it| it.offset().to_raw()).is_some_and(|offset| offset >= next)
        };
        Ok(positions.iter().all(|(partition, next)| reached(*partition, *next)))
    }
}

const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes dead letters, each once: in one transaction with the offset behind the record that it is about.
pub struct LetterProducer(Patient);

impl LetterProducer {
    /// Opens the producer of the sink of this instance, and aborts a transaction that its predecessor left open.
    /// Blocks.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn open(settings: &KafkaSettings) -> Result<Self, LogError> {
        Patient::open(&rights::sink_id(settings), settings).map(Self)
    }

    /// Writes `letters` and commits `positions` of `subscription`, together or not at all. Blocks.
    ///
    /// # Errors
    /// The transaction is not known to be committed.
    pub fn write(
        &self,
        letters: &[Outgoing<'_>],
        subscription: &Subscription,
        positions: &BTreeMap<i32, i64>,
    ) -> Result<(), TransactionError> {
        let offsets =
            subscription.offsets(positions).map_err(|error| unusable(error.to_string()))?;
        let group = subscription.consumer.group_metadata();
        let group = group.ok_or_else(|| unusable("the client has no group".to_owned()))?;
        self.0.begin()?;
        for letter in letters {
            self.0.send(letter)?;
        }
        self.0.commit(&group, &offsets)
    }
}
