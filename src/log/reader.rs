//! The poll thread: it only consumes, decodes and answers rebalances.

mod batch;
mod budget;
mod callbacks;
mod end;
mod handle;
mod merge;
mod missing;
mod offsets;
mod position;
mod queues;
mod schemas;
mod watch;

use super::accounts::AccountSource;
use super::bell::Bell;
use super::client::{self, LogError, start_thread};
use super::connection::Connection;
use super::describe::Identity;
use super::landmark::LandmarkReader;
use super::record::{Record, TopicPartition, Topics, list};
use super::registry::Registry;
use super::report;
use super::settings::KafkaSettings;
use crate::codec::row::Owner;
use budget::ReadBudget;
use callbacks::Context;
pub use end::End;
use handle::Spawned;
pub use handle::{KafkaLog, KafkaMember, KafkaParts, KafkaRestoring};
use merge::Merge;
pub use offsets::OffsetsClient;
use position::{Judged, Position, content};
use queues::Queue;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use schemas::{Schemas, Taken};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use watch::Watched;
use watch::WatchedChangelog;

/// The memory of a record beside its payload.
const RECORD_BYTES: usize = 1 << 10;
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// An event of the reader.
pub enum LogEvent {
    /// Records, in order per partition. Once they are processed, their bytes return to the read budget.
    Records {
        /// The assignment that they belong to.
        epoch: u64,
        records: Vec<Record>,
        /// Their share of the read budget.
        bytes: usize,
    },
    /// The group has assigned partitions; they are paused until they are started.
    Assigned(Assignment),
    /// The group revokes all partitions; it waits until the reply is sent or dropped.
    Revoked {
        /// Other members own them already.
        lost: bool,
        /// The channel for the answer.
        reply: SyncSender<()>,
    },
    /// The ends of partitions, as far as they are known.
    Ends(Vec<End>),
    /// The ids of the cluster and of the topics, every few seconds.
    Identity(Identity),
    /// The owners of the rows in the changelog's partitions.
    Owners(BTreeMap<i32, Owner>),
    /// Input partitions whose log is not the one that was read.
    Replaced(Vec<TopicPartition>),
    /// Partitions of the changelog that lack committed rows, with the end of each.
    Lost(BTreeMap<i32, i64>),
    /// Whether no broker is connected.
    Away(bool),
    /// The rights that Kafka denied the reader before, and those that it denies now.
    Denied(Option<String>, Option<String>),
    /// Another member has joined the group under this instance's id.
    Fenced {
        /// The connection was disturbed recently, and so the member may be an earlier join of this instance.
        was_disturbed: bool,
    },
    /// The consumer can't continue, for this reason.
    Failed(String),
}

/// Partitions that the group has assigned.
pub struct Assignment {
    /// The number that records of this assignment carry.
    pub epoch: u64,
    pub places: Vec<TopicPartition>,
}

/// A partition to start, and its position.
pub struct Start {
    pub place: TopicPartition,
    /// The position to start at.
    pub from: From,
}

/// The position at which a partition starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At its present position: a partition that was just assigned starts where the group committed.
    Here,
    Offset(i64),
    /// At the first record in the log.
    Beginning,
}

enum Control {
    Start { epoch: u64, starts: Vec<Start> },
    Hold(u64),
    Close,
}

type Sink = Arc<dyn Fn(LogEvent) + Send + Sync>;

/// The poll thread's state.
struct Reader {
    consumer: Arc<BaseConsumer<Context>>,
    topics: Topics,
    schemas: Schemas,
    control: Receiver<Control>,
    sink: Sink,
    reported_epoch: Arc<AtomicU64>,
    followed: u64,
    epoch: u64,
    budget: Arc<ReadBudget>,
    queues: Merge<Queue>,
    bell: Arc<Bell>,
    batch: Vec<Record>,
    starting: Vec<Start>,
}

impl Reader {
    /// Joins the group and starts the thread.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong, or the thread can't be started.
    fn spawn(
        settings: &KafkaSettings,
        topics: Topics,
        (registry, accounts): (Option<Registry>, Option<Arc<dyn AccountSource>>),
        watched: Option<WatchedChangelog<'_>>,
        sink: Sink,
    ) -> Result<(JoinHandle<()>, Spawned), LogError> {
        let epoch = Arc::new(AtomicU64::new(0));
        let reported_epoch = Arc::new(AtomicU64::new(0));
        let context = Context {
            sink: sink.clone(),
            epoch: epoch.clone(),
            reported_epoch: reported_epoch.clone(),
            connection: Connection::default(),
            ends: Mutex::default(),
            refused: AtomicBool::new(false),
            disturbed: Mutex::default(),
        };
        let consumer: BaseConsumer<Context> =
            client::consumer(settings).create_with_context(context).map_err(LogError::Client)?;
        let consumer = Arc::new(consumer);
        let names: Vec<&str> = topics.roles.keys().map(AsRef::as_ref).collect();
        consumer
            .subscribe(&names)
            .map_err(LogError::request("the topics can't be subscribed to"))?;
        let landmarks = Arc::new(LandmarkReader::new(settings));
        if let Some(changelog) = watched {
            let watched = Watched::new(settings, &topics, &changelog, landmarks.clone());
            let (consumer, sink) = (Arc::downgrade(&consumer), sink.clone());
            start_thread("topics", move || watch::watch(&consumer, &watched, &sink))?;
        }
        let (control, commands) = channel();
        let (budget, bell) = (Arc::new(ReadBudget::new()), Arc::<Bell>::default());
        let reader = Self {
            schemas: Schemas::new(registry, accounts, topics.unwrap, &bell),
            consumer: consumer.clone(),
            topics,
            control: commands,
            sink,
            reported_epoch,
            followed: 0,
            epoch: 0,
            budget: budget.clone(),
            queues: Merge::default(),
            bell,
            batch: Vec::new(),
            starting: Vec::new(),
        };
        let thread = start_thread("reader", move || reader.run())?;
        Ok((thread, Spawned { consumer, control, epoch, budget, landmarks }))
    }

    fn run(mut self) {
        let mut closing = false;
        loop {
            while let Ok(control) = self.control.try_recv() {
                match control {
                    // A restore for an assignment that has ended must not start the partitions of the next one.
                    Control::Start { epoch, starts } if epoch == self.epoch => {
                        self.starting.extend(starts)
                    }
                    Control::Start { .. } => {}
                    Control::Hold(epoch) => self.hold(epoch),
                    Control::Close => {
                        closing = true;
                        self.consumer.unsubscribe();
                    }
                }
            }
            self.schemas.take(self.queues.sources().map(|queue| &queue.line));
            self.start();
            if closing && self.consumer.assignment().is_ok_and(|assigned| assigned.count() == 0) {
                break;
            }
            // While the engine is behind, librdkafka's own bounded queue fills up and fetching stops. A reader that is
            // closing polls nevertheless, since a poll delivers the revocation.
            if self.budget.wait(POLL_TIMEOUT) || closing {
                self.poll();
            }
        }
    }

    fn poll(&mut self) {
        // A second handle, so that a message can borrow from it while the reader changes.
        let consumer = self.consumer.clone();
        // The consumer's own queue delivers rebalances and errors, the partitions' queues deliver records.
        let polled = consumer.poll(Duration::ZERO);
        self.follow_epoch();
        self.report_ends();
        self.take_stray(polled);
        let mut queues = std::mem::take(&mut self.queues);
        let mut read = |queue: &Queue| self.read(queue);
        queues.look(&mut read);
        let mut batch = batch::gather(|| queues.next(&mut read));
        self.batch.append(&mut batch);
        self.queues = queues;
        if self.batch.is_empty() {
            self.bell.wait(POLL_TIMEOUT);
        } else {
            self.send();
        }
    }

    /// Reports the ends of partitions whenever librdkafka has reported them.
    fn report_ends(&self) {
        let reported = &self.consumer.context().ends;
        let mut ends =
            std::mem::take(&mut *reported.lock().unwrap_or_else(PoisonError::into_inner));
        if ends.is_empty() {
            return;
        }
        for (queue, first) in self.queues.firsts() {
            let Some(end) = ends.iter_mut().find(|end| end.place == queue.place) else { continue };
            end.taken = queue.position.next();
            end.waits_since = first.map(|first| first.at).or_else(|| queue.line.borrow().since());
        }
        (self.sink)(LogEvent::Ends(ends));
    }

    /// Drops the records of an assignment that has ended: another instance reads them.
    fn follow_epoch(&mut self) {
        let reported = self.reported_epoch.load(Ordering::SeqCst);
        if reported != self.followed {
            self.followed = reported;
            self.begin(reported);
            match queues::split(&self.consumer, &self.topics, &self.bell) {
                Ok(queues) => self.queues = Merge::of(queues),
                Err(error) => (self.sink)(LogEvent::Failed(format!(
                    "the partitions' queues can't be read: {error}"
                ))),
            }
        }
    }

    fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.batch.clear();
        self.queues.forget(|queue| {
            queue.position.forget();
            queue.line.borrow_mut().clear();
        });
        self.schemas.forget();
        self.starting.clear();
    }

    /// Returns the next record of a partition. Records behind one that waits for its schema or its account wait too.
    fn read(&mut self, queue: &Queue) -> Option<Record> {
        let mut line = queue.line.borrow_mut();
        if let Some(record) = self.schemas.first_of(&self.topics, &mut line) {
            return Some(*record);
        }
        while line.is_empty() {
            let message = self.polled(queue)?;
            match self.schemas.read(&self.topics, &message) {
                Taken::Record(record) => return Some(*record),
                Taken::Waits(schema) => line.push(message.detach(), schema),
            }
        }
        // The records behind it are scanned for more schema ids and unknown accounts, so that the requests for them run
        // concurrently.
        while !line.is_full()
            && let Some(message) = self.polled(queue)
        {
            let schema = self.schemas.ask_ahead(&self.topics, &message);
            line.push(message.detach(), schema);
        }
        None
    }

    /// Returns librdkafka's next message of a partition, without those that were read before.
    fn polled<'q>(&self, queue: &'q Queue) -> Option<BorrowedMessage<'q>> {
        loop {
            match queue.records.poll(Duration::ZERO)? {
                Ok(message) if is_new(&queue.position, &message) => return Some(message),
                Ok(_) => {}
                Err(error) => {
                    self.consumer.context().failed(&error);
                    return None;
                }
            }
        }
    }

    /// Takes a record that came through the consumer's own queue.
    fn take_stray(&mut self, polled: Option<Result<BorrowedMessage<'_>, KafkaError>>) {
        match polled {
            None => {}
            Some(Err(error)) => self.consumer.context().failed(&error),
            Some(Ok(message)) => match self.schemas.read(&self.topics, &message) {
                Taken::Record(record) => self.batch.push(*record),
                Taken::Waits(schema) => {
                    let is_its = |queue: &&Queue| {
                        *queue.place.topic == *message.topic()
                            && queue.place.partition == message.partition()
                    };
                    if let Some(queue) = self.queues.sources().find(is_its) {
                        queue.line.borrow_mut().push(message.detach(), schema);
                    }
                }
            },
        }
    }

    fn send(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let records = std::mem::take(&mut self.batch);
        let bytes = records.iter().map(|record| record.cost(RECORD_BYTES)).sum();
        self.budget.take(bytes);
        (self.sink)(LogEvent::Records { epoch: self.epoch, records, bytes });
    }

    fn hold(&mut self, epoch: u64) {
        // A rebalance came in between, and its assignment is paused anyway.
        if epoch < self.epoch {
            return;
        }
        if let Err(error) = self.consumer.assignment().and_then(|all| self.consumer.pause(&all)) {
            (self.sink)(LogEvent::Failed(format!("the partitions can't be paused: {error}")));
        }
        self.begin(epoch);
    }

    /// Seeks and resumes partitions that are restored. While librdkafka still looks up a partition's offset, it refuses
    /// the seek, and the reader retries it later.
    fn start(&mut self) {
        let mut waiting = Vec::new();
        for start in std::mem::take(&mut self.starting) {
            let TopicPartition { topic, partition } = &start.place;
            let offset = match start.from {
                From::Here => None,
                From::Offset(offset) => Some(Offset::Offset(offset)),
                From::Beginning => Some(Offset::Beginning),
            };
            if let Some(offset) = offset
                && let Err(error) = self.consumer.seek(topic, *partition, offset, SEEK_TIMEOUT)
            {
                tracing::debug!(topic = topic.as_ref(), partition, %error, "not ready to seek");
                waiting.push(start);
                continue;
            }
            if let Err(error) = self.consumer.resume(&list([&start.place])) {
                (self.sink)(LogEvent::Failed(format!("a partition can't be resumed: {error}")));
            }
        }
        self.starting = waiting;
    }
}

/// Returns whether the record was not read before.
fn is_new(position: &Position, message: &BorrowedMessage<'_>) -> bool {
    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
    match position.judge(offset, content(message)) {
        Judged::New => {}
        Judged::Again => {
            if report::is_due(&format!("again: {topic} {partition}")) {
                tracing::warn!(
                    topic,
                    partition,
                    offset,
                    "a record was delivered again and is skipped"
                );
            }
            return false;
        }
        Judged::Other => {
            tracing::error!(
                topic,
                partition,
                offset,
                "another record than before is at this offset: the topic was recreated or truncated"
            );
        }
    }
    true
}
