//! The sink: writes the answer of each delivery into the document of each SMS that the delivery was about, in MongoDB.
//!
//! ```text
//! events ─subscription→ Answer ─merge→ Batch ─update commands→ database
//!                                        └ after its acknowledgement: the group's offsets, with the dead letters of
//!                                          refused documents in one transaction
//! ```
//!
//! An [`Answer`](answer::Answer) is the end of one delivery as BSON. A [`Batch`] holds the answers that were read since
//! the last write, and of several answers of one delivery only the newest. The [`Writer`] sends a batch until the
//! database has acknowledged each document or has refused it. The [`Sink`] is the loop around them, on a thread of its
//! own: it reads no more than one batch ahead, so that a slow database means lag and not memory.
//!
//! # Why nothing is lost, doubled or put back
//!
//! An answer is written with `$max`, and begins with the replays, the time and the offset of its event. So the database itself keeps
//! the newer one of two answers of a delivery, whatever the order in which they come, and the same answer changes
//! nothing. Offsets are committed after the acknowledgement. After a crash, the last records are read and written
//! again, without an effect.

mod answer;
mod batch;
mod letters;
mod reply;
mod settings;
mod writer;

#[cfg(test)]
mod tests;

pub use settings::{MissingDocument, MongoSettings, WriteConcern, check_uri};
pub use writer::{StoreError, Writer};

use crate::clock;
use crate::domain::Timestamp;
use crate::log::{
    Bell, KafkaSettings, LetterProducer, LogError, Subscription, SubscriptionError, TopicNames,
    sink_group,
};
use crate::telemetry::{Health, SinkDocumentResult, SinkMetrics, Waiting, mask, with_causes};
use batch::Batch;
use reply::UnknownCodes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use writer::{Written, WrittenCounts};

/// The longest time without a call to the group.
const SERVE_INTERVAL: Duration = Duration::from_millis(100);
/// The pauses before a batch is written again: from the first to the longest one, each twice as long as the former.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a batch is tried, for about a minute, before an answer with an unknown code counts as refused.
const UNKNOWN_CODE_TRIES: u32 = 17;
const LAG_INTERVAL: Duration = Duration::from_secs(1);
/// How long a write in progress may take after the sink was asked to stop. It is repeated after the next start.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The reason why the sink ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A Kafka client can't be created.
    #[error("[kafka] is wrong")]
    Kafka(#[source] LogError),
    /// The subscription to the events can't continue.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
}

impl SinkError {
    /// Returns whether somebody has to correct the configuration.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Kafka(error) => error.is_final(),
            Self::Subscription(SubscriptionError::Fenced(_)) => true,
            Self::Subscription(SubscriptionError::Failed(_)) => false,
        }
    }
}

/// The parts of a sink.
pub struct SinkParts {
    pub kafka: KafkaSettings,
    pub topics: TopicNames,
    pub settings: MongoSettings,
    pub writer: Writer,
    /// The runtime on which the driver of the database runs.
    pub runtime: tokio::runtime::Handle,
    pub metrics: Arc<SinkMetrics>,
    pub health: Arc<Health>,
}

/// Stops a sink from another thread.
#[derive(Clone)]
pub struct SinkHandle {
    is_stopping: Arc<AtomicBool>,
    bell: Arc<Bell>,
}

impl SinkHandle {
    /// Asks the sink to finish the write in progress, to commit and to end.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.bell.ring();
    }
}

/// A sink that has joined its consumer group.
pub struct Sink {
    parts: SinkParts,
    subscription: Subscription,
    is_stopping: Arc<AtomicBool>,
    /// The epoch of the assignment that the positions belong to.
    epoch: u64,
    assigned: BTreeSet<i32>,
    /// By partition, the offset behind the last record whose documents are acknowledged.
    positions: BTreeMap<i32, i64>,
    /// Whether `positions` contain offsets that are not committed.
    is_dirty: bool,
    committed_at: Instant,
    lag_at: Instant,
    /// The producer of dead letters, once it was needed.
    letters: Option<LetterProducer>,
    /// Whether the last transaction of dead letters may be committed although it failed.
    is_uncertain: bool,
    /// What the sink waits for now.
    waiting: Option<Waiting>,
}

/// The result of one try to write a batch.
enum Tried {
    Stored(Written),
    Failed(StoreError),
    /// The partitions were revoked or the sink must stop: the batch is dropped.
    Dropped,
}

impl Sink {
    /// Joins the consumer group of the sinks.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn join(parts: SinkParts) -> Result<Self, SinkError> {
        let group = sink_group(&parts.kafka.group_id);
        let subscription = Subscription::join(&parts.kafka, &group, &parts.topics.events)
            .map_err(SinkError::Kafka)?;
        let now = clock::instant();
        Ok(Self {
            parts,
            subscription,
            is_stopping: Arc::default(),
            epoch: 0,
            assigned: BTreeSet::new(),
            positions: BTreeMap::new(),
            is_dirty: false,
            committed_at: now,
            lag_at: now,
            letters: None,
            is_uncertain: false,
            waiting: None,
        })
    }

    /// Returns a handle that stops the sink.
    #[must_use]
    pub fn handle(&self) -> SinkHandle {
        SinkHandle { is_stopping: self.is_stopping.clone(), bell: self.subscription.bell() }
    }

    /// Reads events and writes answers until the sink is stopped. Blocks.
    ///
    /// # Errors
    /// The subscription can't continue, for example because another process has the same `instance_id`.
    pub fn run(mut self) -> Result<(), SinkError> {
        let mut batch = Batch::new(&self.parts.settings);
        while !self.is_stopping() {
            self.serve()?;
            let epoch = self.epoch;
            self.subscription.read(&mut |record| batch.add(record));
            if batch.is_empty() {
                self.commit_if_due();
                self.subscription.wait(SERVE_INTERVAL);
                continue;
            }
            let is_stored = self.store(&mut batch, epoch)?;
            if is_stored {
                batch.count(&self.parts.metrics);
            }
            batch.clear();
            self.commit_if_due();
        }
        if self.is_dirty
            && let Err(error) = self.subscription.commit(&self.positions, true)
        {
            let error = with_causes(&error);
            tracing::warn!(
                error,
                "the last offsets are not committed: their events are read again"
            );
        }
        Ok(())
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// Answers the group, and shows health and lag.
    fn serve(&mut self) -> Result<(), SinkError> {
        self.parts.health.heartbeat();
        self.subscription.serve()?;
        let kafka = Waiting::Kafka(self.parts.kafka.bootstrap_servers.clone());
        if self.subscription.is_away() {
            self.parts.health.wait(kafka);
        } else {
            self.parts.health.resume(&kafka);
        }
        if self.subscription.epoch() != self.epoch {
            self.follow();
        }
        if clock::since(self.lag_at) >= LAG_INTERVAL {
            self.lag_at = clock::instant();
            for (partition, lag) in self.subscription.lag(&self.positions) {
                self.parts.metrics.set_consumer_lag(&self.parts.topics.events, partition, lag);
            }
        }
        Ok(())
    }

    /// Follows a new assignment of partitions.
    fn follow(&mut self) {
        self.epoch = self.subscription.epoch();
        self.positions.clear();
        self.is_dirty = false;
        let assigned: BTreeSet<i32> = self.subscription.assigned().into_iter().collect();
        for partition in self.assigned.difference(&assigned) {
            self.parts.health.unassign(*partition);
            self.parts.metrics.remove_consumer_lag(&self.parts.topics.events, *partition);
        }
        for partition in assigned.difference(&self.assigned) {
            self.parts.health.assign(*partition);
            self.parts.health.restored(*partition);
        }
        let partitions: Vec<String> = assigned.iter().map(ToString::to_string).collect();
        tracing::info!(partitions = partitions.join(", "), "the group has assigned partitions");
        self.parts.health.stand_by(assigned.is_empty());
        self.assigned = assigned;
    }

    /// Writes a batch until the database has acknowledged it. Returns `false` if the partitions were revoked meanwhile
    /// or the sink must stop; then the events are read again later.
    fn store(&mut self, batch: &mut Batch, epoch: u64) -> Result<bool, SinkError> {
        let updates = Arc::new(batch.take_updates());
        let (mut pause, mut unknown_codes) = (RETRY_PAUSE_MIN, 0);
        loop {
            let unknown = match unknown_codes < UNKNOWN_CODE_TRIES {
                true => UnknownCodes::Retry,
                false => UnknownCodes::Refuse,
            };
            let tried = match updates.is_empty() {
                true => Tried::Stored(Written::default()),
                false => self.try_once(&updates, unknown, epoch)?,
            };
            let failure = match tried {
                Tried::Dropped => return Ok(false),
                Tried::Stored(written) => match self.acknowledge(&written, batch) {
                    Ok(()) => {
                        self.resume();
                        self.count(&written.counts);
                        return Ok(true);
                    }
                    Err(failure) => failure,
                },
                Tried::Failed(error) => {
                    self.parts.metrics.write_error();
                    unknown_codes += u32::from(error.has_unknown_code);
                    let database = &self.parts.settings.shown;
                    format!("waiting for MongoDB at {database}: {error}")
                }
            };
            self.wait_for(failure);
            if !self.pause(pause, epoch)? {
                return Ok(false);
            }
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// Sends the updates once, and serves the group meanwhile.
    fn try_once(
        &mut self,
        updates: &Arc<Vec<batch::Update>>,
        unknown: UnknownCodes,
        epoch: u64,
    ) -> Result<Tried, SinkError> {
        let (sender, receiver) = sync_channel(1);
        let (writer, sent) = (self.parts.writer.clone(), updates.clone());
        let began = clock::instant();
        let task = self.parts.runtime.spawn(async move {
            // The receiver is gone if the batch was dropped.
            let _ = sender.send(writer.write(&sent, unknown).await);
        });
        let mut stopping_since = None::<Instant>;
        loop {
            match receiver.recv_timeout(SERVE_INTERVAL) {
                Ok(Ok(written)) => {
                    self.parts.metrics.write(clock::since(began));
                    return Ok(Tried::Stored(written));
                }
                Ok(Err(error)) => return Ok(Tried::Failed(error)),
                Err(RecvTimeoutError::Disconnected) => {
                    let text = "the write ended without a result".to_owned();
                    return Ok(Tried::Failed(StoreError::new(text)));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.serve()?;
            if self.is_stopping() {
                stopping_since.get_or_insert_with(clock::instant);
            }
            let is_late = stopping_since.is_some_and(|since| clock::since(since) > STOP_TIMEOUT);
            if self.epoch != epoch || is_late {
                task.abort();
                return Ok(Tried::Dropped);
            }
        }
    }

    /// Records that all documents of the batch are acknowledged or refused. Writes the dead letters of those that are
    /// refused.
    fn acknowledge(&mut self, written: &Written, batch: &Batch) -> Result<(), String> {
        let mut positions = self.positions.clone();
        positions.extend(batch.positions());
        let letters = letters::of(&written.refused, &self.parts.topics);
        if letters.is_empty() {
            self.positions = positions;
            self.is_dirty = true;
            return Ok(());
        }
        self.write_letters(&letters, &positions)?;
        for letter in &letters {
            let (partition, offset, detail) = (letter.partition, letter.offset, &letter.detail);
            let detail = mask::text(detail);
            tracing::warn!(partition, offset, %detail, "the database refuses a document, and the event is a dead letter");
        }
        self.positions = positions;
        self.is_dirty = false;
        Ok(())
    }

    fn write_letters(
        &mut self,
        letters: &[letters::Letter],
        positions: &BTreeMap<i32, i64>,
    ) -> Result<(), String> {
        let producer = match self.letters.take() {
            Some(producer) => producer,
            None => LetterProducer::open(&self.parts.kafka).map_err(|error| with_causes(&error))?,
        };
        // The opened producer has ended the transaction of the former one. Its offsets say whether it was committed.
        if self.is_uncertain {
            let reached = self.subscription.has_committed(positions);
            if reached.map_err(|error| with_causes(&error))? {
                (self.letters, self.is_uncertain) = (Some(producer), false);
                return Ok(());
            }
        }
        let topic = &self.parts.topics.dead_letter;
        let outgoing: Vec<_> = letters.iter().map(|letter| letter.outgoing(topic)).collect();
        let written = producer.write(&outgoing, &self.subscription, positions);
        self.is_uncertain = written.is_err();
        // A producer that failed is not used again. The documents can be written again without an effect.
        written.map_err(|error| format!("a dead letter can't be written: {error}"))?;
        self.letters = Some(producer);
        Ok(())
    }

    fn count(&self, counts: &WrittenCounts) {
        let WrittenCounts { written, unchanged, missing, refused } = *counts;
        for (result, count) in [
            (SinkDocumentResult::Written, written),
            (SinkDocumentResult::Unchanged, unchanged),
            (SinkDocumentResult::Missing, missing),
            (SinkDocumentResult::Refused, refused),
        ] {
            self.parts.metrics.documents(result, count);
        }
    }

    /// Waits for `time`, and serves the group meanwhile. Returns `false` if the batch is to be dropped.
    fn pause(&mut self, time: Duration, epoch: u64) -> Result<bool, SinkError> {
        let began = clock::instant();
        loop {
            self.serve()?;
            if self.is_stopping() || self.epoch != epoch {
                return Ok(false);
            }
            let left = time.saturating_sub(clock::since(began));
            if left.is_zero() {
                return Ok(true);
            }
            self.subscription.wait(left.min(SERVE_INTERVAL));
        }
    }

    /// Shows what the sink waits for, in the log once a minute.
    fn wait_for(&mut self, what: String) {
        if crate::log::is_due(&format!("sink {what}")) {
            tracing::warn!("{}", mask::text(&what));
        }
        let waiting = Waiting::Other(what);
        if self.waiting.as_ref() != Some(&waiting) {
            self.parts.health.wait(waiting.clone());
            if let Some(former) = self.waiting.replace(waiting) {
                self.parts.health.resume(&former);
            }
        }
    }

    fn resume(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.parts.health.resume(&waiting);
            tracing::info!("the sink continues: the last batch was written");
        }
    }

    /// Commits the positions, not more often than `commit_interval_ms` says.
    fn commit_if_due(&mut self) {
        let interval = Duration::from_millis(self.parts.kafka.commit_interval_ms);
        if !self.is_dirty || clock::since(self.committed_at) < interval {
            return;
        }
        self.committed_at = clock::instant();
        match self.subscription.commit(&self.positions, false) {
            Ok(()) => self.is_dirty = false,
            // The next commit contains these offsets too.
            Err(error) => {
                let error = with_causes(&error);
                tracing::debug!(error, "the offsets are not committed yet");
            }
        }
    }
}

/// Returns the time as the database stores it.
fn milliseconds(at: Timestamp) -> mongodb::bson::DateTime {
    mongodb::bson::DateTime::from_millis(at.as_ms())
}
