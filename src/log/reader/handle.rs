//! Kafka as one instance uses it: the reader's thread, the producer, and the threads for transactions and restores.

use super::budget::ReadBudget;
use super::callbacks::Context;
use super::offsets::OffsetsClient;
use super::{Control, Reader, Sink, Start, WatchedChangelog};
use crate::log::accounts::AccountSource;
use crate::log::client::{LogError, start_thread};
use crate::log::landmark::{LandmarkReader, Landmarks};
use crate::log::ports::Log;
use crate::log::producers::Producers;
use crate::log::record::Topics;
use crate::log::registry::Registry;
use crate::log::restore::{Continuation, KafkaChangelog};
use crate::log::settings::{KafkaSettings, TopicNames};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

/// The parts that a log is opened with.
pub struct KafkaParts {
    /// `[kafka]`
    pub settings: KafkaSettings,
    /// `[topics]`
    pub names: TopicNames,
    /// The number of partitions of the changelog.
    pub partitions: u32,
    /// The key of the changelog's meta rows.
    pub meta_key: &'static [u8],
    pub topics: Topics,
    /// The schema registry, if one is configured.
    pub registry: Option<Registry>,
    /// Looks up unknown accounts, if that is possible.
    pub accounts: Option<Arc<dyn AccountSource>>,
    /// The landmarks of the inputs; `None`: the broker has no ids, and topics are not watched.
    pub landmarks: Option<Arc<Landmarks>>,
    /// Takes the reader's events.
    pub sink: Sink,
}

/// Kafka as one instance uses it.
pub struct KafkaLog {
    settings: KafkaSettings,
    names: TopicNames,
    partitions: u32,
    meta_key: &'static [u8],
    consumer: Arc<BaseConsumer<Context>>,
    control: Sender<Control>,
    epoch: Arc<AtomicU64>,
    budget: Arc<ReadBudget>,
    landmarks: Arc<LandmarkReader>,
    restores: Sender<Running>,
    transactions: Sender<Box<dyn FnOnce() + Send>>,
    thread: Option<JoinHandle<()>>,
}

/// The membership of an instance in its group.
pub struct KafkaMember(Arc<BaseConsumer<Context>>);

impl KafkaMember {
    /// Returns the handle of the group's consumer, whose membership a transaction names.
    pub(in crate::log) fn native(&self) -> *mut rdkafka::types::RDKafka {
        self.0.client().native_ptr()
    }
}

/// A restore, on the side of the thread that runs it.
struct Running {
    step: Box<dyn FnMut() -> Continuation + Send>,
    /// Carries no messages. It is disconnected when the restore is cancelled.
    cancelled: Receiver<Infallible>,
    /// Dropped when the restore has ended.
    _ended: Sender<Infallible>,
}

/// A handle to a restore on the thread for restores.
pub struct KafkaRestoring {
    cancel: Sender<Infallible>,
    ended: Receiver<Infallible>,
}

/// Runs the restores one after the other.
fn run_restores(restores: &Receiver<Running>) {
    for Running { mut step, cancelled, _ended } in restores {
        while cancelled.try_recv() == Err(TryRecvError::Empty) {
            match step() {
                Continuation::Again => {}
                // A cancellation ends the wait.
                Continuation::Wait(time) => drop(cancelled.recv_timeout(time)),
                Continuation::Done => break,
            }
        }
    }
}

impl KafkaLog {
    /// Joins the group, and starts the threads that read and restore.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong, or a thread can't be started.
    pub fn open(parts: KafkaParts) -> Result<Self, LogError> {
        let KafkaParts { settings, names, partitions, meta_key, topics, .. } = parts;
        let KafkaParts { registry, accounts, landmarks, sink, .. } = parts;
        let watched = landmarks.map(|landmarks| {
            let topic = names.changelog.as_str();
            WatchedChangelog { topic, meta_key, landmarks }
        });
        let (reader, spawned) =
            Reader::spawn(&settings, topics, (registry, accounts), watched, sink)?;
        let (restores, running) = channel();
        start_thread("restore", move || run_restores(&running))?;
        let (transactions, begun) = channel::<Box<dyn FnOnce() + Send>>();
        start_thread("transactions", move || begun.into_iter().for_each(|run| run()))?;
        let Spawned { consumer, control, epoch, budget, landmarks } = spawned;
        let thread = Some(reader);
        Ok(Self {
            settings,
            names,
            partitions,
            meta_key,
            consumer,
            control,
            epoch,
            budget,
            landmarks,
            restores,
            transactions,
            thread,
        })
    }
}

/// The parts that the reader's thread shares with its log.
pub(super) struct Spawned {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) control: Sender<Control>,
    pub(super) epoch: Arc<AtomicU64>,
    pub(super) budget: Arc<ReadBudget>,
    pub(super) landmarks: Arc<LandmarkReader>,
}

impl Log for KafkaLog {
    type Member = KafkaMember;
    type Transactions = Producers;
    type Changelog = KafkaChangelog;
    type Offsets = OffsetsClient;
    type Restoring = KafkaRestoring;

    fn open_transactions(&self) -> Result<Producers, LogError> {
        Producers::open(&self.settings, &self.names, self.partitions)
    }

    fn member(&self) -> KafkaMember {
        KafkaMember(self.consumer.clone())
    }

    fn run(&self, transaction: Box<dyn FnOnce() + Send>) {
        // The receiving thread ends only with this sender, or by a panic, which ends the process.
        let _ = self.transactions.send(transaction);
    }

    fn settle(&self) {
        let (last, ended) = channel::<Infallible>();
        self.run(Box::new(move || drop(last)));
        let _ = ended.recv();
    }

    fn start(&self, epoch: u64, starts: Vec<Start>) {
        let _ = self.control.send(Control::Start { epoch, starts });
    }

    fn hold(&self) -> u64 {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        let _ = self.control.send(Control::Hold(epoch));
        epoch
    }

    fn release_budget(&self, bytes: usize) {
        if bytes > 0 {
            self.budget.give_back(bytes);
        }
    }

    fn offsets(&self) -> OffsetsClient {
        OffsetsClient {
            consumer: self.consumer.clone(),
            landmarks: self.landmarks.clone(),
            settings: self.settings.clone(),
            changelog: self.names.changelog.clone(),
            meta_key: self.meta_key,
        }
    }

    fn changelog(&self) -> Result<KafkaChangelog, LogError> {
        KafkaChangelog::new(&self.settings, &self.names.changelog)
    }

    fn close(&self) {
        let _ = self.control.send(Control::Close);
    }

    fn closed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn restore(&self, step: impl FnMut() -> Continuation + Send + 'static) -> KafkaRestoring {
        let (cancel, cancelled) = channel();
        let (_ended, ended) = channel();
        // The receiving thread ends only with this sender, or by a panic, which ends the process.
        let _ = self.restores.send(Running { step: Box::new(step), cancelled, _ended });
        KafkaRestoring { cancel, ended }
    }

    fn cancel(&self, restoring: KafkaRestoring) {
        drop(restoring.cancel);
        let _ = restoring.ended.recv();
    }

    /// The consumer is dropped here, on a thread that may block.
    fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
