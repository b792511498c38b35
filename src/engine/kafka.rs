//! The daemon's log: Kafka.

use super::config::EngineSettings;
use super::ports::{Log, Offsets, Transactions};
use super::restore::Restorer;
use super::trouble::Trouble;
use super::wires::Wires;
use super::{Engine, EngineError, Parts, Pieces, Shell};
use crate::clock;
use crate::codec::row::{Landmark, Owner};
use crate::delivery::{InstanceLimits, Lanes};
use crate::log::{
    Begin, Committed, Found, GroupOffset, Identity, KafkaChangelog, LogError, Missing, Newest,
    OffsetsClient, Outgoing, Place, Reader, ReaderHandle, Scanner, Start, Step, TransactionError,
    Transactions as Producer, WatchedChangelog, start_thread,
};
use crate::store::RowKey;
use crate::telemetry::{Health, Waiting};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

const REOPEN_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Makes the producer, joins the group, and is ready to [`Engine::run`]. Blocks.
    ///
    /// # Errors
    /// When Kafka can't be used as it is configured.
    pub fn new(parts: Parts) -> Result<Self, EngineError> {
        let Parts { settings, config, store, topics, registry, runtime, metrics, health } = parts;
        let transactions = first_transactions(&settings, &health)?;
        let wires = Wires::default();
        let limits = InstanceLimits {
            in_flight_max: settings.in_flight_max,
            uncommitted_max: settings.uncommitted_max,
            rate_per_second: settings.rate_per_second,
        };
        let lanes = Lanes::new(limits, wires.watch(&metrics), runtime);
        let topic = settings.topics.changelog.as_str();
        let landmarks = wires.landmarks.clone();
        let watched = WatchedChangelog { topic, meta_key: RowKey::META, landmarks };
        let watched = settings.is_identified.then_some(watched);
        let (seen, kafka) = (health.clone(), settings.kafka.bootstrap_servers.clone());
        let sink = wires.sink(move |away| match away {
            true => seen.wait(Waiting::Kafka(kafka.clone())),
            false => seen.resume(&Waiting::Kafka(kafka.clone())),
        });
        let reader = Reader::spawn(&settings.kafka, topics, registry, watched, sink)?;
        let (restores, running) = channel();
        start_thread("restore", move || run_restores(&running))?;
        let log = Kafka { reader, settings: settings.clone(), restores };
        let pieces =
            Pieces { settings, config, store, log, transactions, lanes, wires, metrics, health };
        Ok(Self(Shell::new(pieces)))
    }
}

/// A broker that is away is waited for; a property that is wrong is not.
fn first_transactions(settings: &EngineSettings, health: &Health) -> Result<Producer, EngineError> {
    let kafka = Waiting::Kafka(settings.kafka.bootstrap_servers.clone());
    let mut waiting = kafka.clone();
    let trouble = Trouble::default();
    loop {
        match Producer::open(&settings.kafka, &settings.topics, settings.partitions) {
            Ok(transactions) => {
                health.resume(&waiting);
                trouble.over(health);
                return Ok(transactions);
            }
            Err(error @ LogError::Client(_)) => return Err(error.into()),
            Err(LogError::Denied(rights)) => {
                let missing = Missing(&rights, &settings.kafka).to_string();
                let right = Waiting::Other(format!("waiting: {missing}"));
                // Once is enough, until it is another.
                if waiting != right {
                    health.resume(&waiting);
                    tracing::warn!(
                        "waiting for rights in Kafka: {missing}; see ops/guide/rights.md"
                    );
                    waiting = right;
                }
                health.wait(waiting.clone());
                clock::sleep(REOPEN_PAUSE);
            }
            Err(error) => {
                health.resume(&waiting);
                waiting = kafka.clone();
                health.wait(waiting.clone());
                clock::sleep(trouble.failed(&error.cause(), health).max(REOPEN_PAUSE));
            }
        }
    }
}

/// Kafka, as one instance sees it.
pub(super) struct Kafka {
    reader: ReaderHandle,
    settings: EngineSettings,
    restores: Sender<Running>,
}

/// A restore, as the thread that runs it sees it.
struct Running {
    restorer: Restorer<Kafka>,
    /// Nothing comes of it; it is disconnected when the restore is cancelled.
    cancelled: Receiver<Infallible>,
    /// It goes when the restore has ended.
    _ended: Sender<Infallible>,
}

/// A restore on the thread of restores.
pub(super) struct Restoring {
    cancel: Sender<Infallible>,
    ended: Receiver<Infallible>,
}

/// Runs one restore after the other.
fn run_restores(restores: &Receiver<Running>) {
    for Running { mut restorer, cancelled, _ended } in restores {
        while cancelled.try_recv() == Err(TryRecvError::Empty) {
            match restorer.step() {
                Step::Again => {}
                // A restore that is cancelled meanwhile waits no longer.
                Step::Wait(time) => drop(cancelled.recv_timeout(time)),
                Step::Done => break,
            }
        }
    }
}

impl Log for Kafka {
    type Transactions = Producer;
    type Changelog = KafkaChangelog;
    type Offsets = KafkaOffsets;
    type Restoring = Restoring;

    fn open_transactions(&self) -> Result<Producer, LogError> {
        Producer::open(&self.settings.kafka, &self.settings.topics, self.settings.partitions)
    }

    fn start(&self, epoch: u64, starts: Vec<Start>) {
        self.reader.start(epoch, starts);
    }

    fn hold(&self) -> u64 {
        self.reader.hold()
    }

    fn open_gate(&self, bytes: usize) {
        self.reader.open_gate(bytes);
    }

    fn offsets(&self) -> KafkaOffsets {
        let settings = self.settings.clone();
        KafkaOffsets { client: self.reader.offsets_client(), settings }
    }

    fn changelog(&self) -> Result<KafkaChangelog, LogError> {
        KafkaChangelog::new(&self.settings.kafka, &self.settings.topics.changelog)
    }

    fn close(&self) {
        self.reader.close();
    }

    fn closed(&self) -> bool {
        self.reader.closed()
    }

    fn restore(&self, restorer: Restorer<Self>) -> Restoring {
        let (cancel, cancelled) = channel();
        let (_ended, ended) = channel();
        // Its thread ends with this sender, or by a panic, which ends the process.
        let _ = self.restores.send(Running { restorer, cancelled, _ended });
        Restoring { cancel, ended }
    }

    fn cancel(&self, restoring: Restoring) {
        drop(restoring.cancel);
        let _ = restoring.ended.recv();
    }

    fn join(self) {
        self.reader.join();
    }
}

/// What is asked beside the engine.
pub(super) struct KafkaOffsets {
    client: OffsetsClient,
    settings: EngineSettings,
}

impl Offsets for KafkaOffsets {
    fn committed(&self, places: &[Place]) -> Result<BTreeMap<Place, GroupOffset>, LogError> {
        self.client.committed(places)
    }

    fn offset_at(&self, place: &Place, begin: Begin) -> Result<i64, LogError> {
        self.client.offset_at(place, begin)
    }

    fn identity(&self, topics: &[&str]) -> Result<Identity, LogError> {
        self.client.identity(topics)
    }

    fn found(&self, place: &Place, landmark: Landmark) -> Result<Found, LogError> {
        self.client.found(place, landmark)
    }

    fn owners(&self) -> Result<BTreeMap<i32, Owner>, LogError> {
        let scanner = Scanner::new(&self.settings.kafka)?;
        let topic = &self.settings.topics.changelog;
        let newest = scanner.newest(topic, RowKey::META)?;
        // A broker that has just started may not know the topic yet, which is not to be taken for one without rows.
        if newest.is_empty() {
            let what = "Kafka names no partitions of it".to_owned();
            return Err(LogError::Topic { topic: topic.clone(), what });
        }
        let owner = |newest: Newest| Some((newest.partition, newest.owner()?));
        Ok(newest.into_iter().filter_map(owner).collect())
    }
}

impl Transactions<Kafka> for Producer {
    fn begin(&self) -> Result<(), TransactionError> {
        self.begin()
    }

    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.send(outgoing)
    }

    fn offsets<'a>(
        &self,
        log: &Kafka,
        offsets: impl Iterator<Item = (&'a Place, &'a GroupOffset)>,
    ) -> Result<(), TransactionError> {
        self.offsets(&log.reader, offsets)
    }

    fn flush(&self) -> Result<(), TransactionError> {
        self.flush()
    }

    fn written(&self) -> Committed {
        self.written()
    }

    fn commit(&self) -> Result<Committed, TransactionError> {
        self.commit()
    }

    fn abort(&self) -> Result<(), TransactionError> {
        self.abort()
    }
}
