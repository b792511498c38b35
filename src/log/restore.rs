//! Reads a partition of the changelog to its end, in whatever state an earlier owner left it.

mod changelog;

pub use changelog::KafkaChangelog;

use super::client::LogError;
use crate::clock;
use rdkafka::error::KafkaError;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);
const PINNED_INTERVAL: Duration = Duration::from_millis(50);
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// A partition that is to be restored.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    pub partition: i32,
    /// The store has everything below this offset.
    pub checkpoint: i64,
    /// The store is too old to be continued.
    pub is_stale: bool,
    /// The store belongs to a changelog that this one was rebuilt from.
    pub is_superseded: bool,
}

/// A step of a partition's restore.
pub enum Restored<'a> {
    /// The caller has to drop the rows in the store: rows that the changelog has deleted may be among them.
    Wipe(i32),
    /// The store's checkpoint is outside the changelog. The first offset and the end of the changelog follow the
    /// partition.
    OutOfRange(i32, i64, i64),
    /// A row of the changelog.
    Row {
        partition: i32,
        offset: i64,
        key: &'a [u8],
        /// Its value; `None`: the row is deleted.
        value: Option<&'a [u8]>,
    },
    /// The number of offsets that are left, after the partition.
    Remaining(i32, i64),
    /// The partition is restored: the store holds everything below this offset.
    End(i32, i64),
}

/// The reason why a restore ended early.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError<E> {
    /// Kafka can't be read.
    #[error("the changelog can't be read")]
    Log(#[from] LogError),
    /// The caller could not store a row.
    #[error("a row can't be stored")]
    Store(#[source] E),
}

/// The changelog as a restore reads it: Kafka's, or a simulated one in tests.
pub trait Changelog {
    /// Returns the first offset of a partition, and the one after its last record, whether that record is committed or
    /// not.
    ///
    /// # Errors
    /// Kafka does not answer.
    fn ends(&self, partition: i32) -> Result<(i64, i64), LogError>;

    /// Returns the last stable offset of a partition: no transaction below it is open.
    ///
    /// # Errors
    /// Kafka does not answer.
    fn stable_end(&self, partition: i32) -> Result<i64, LogError>;

    /// Starts reading committed records of these partitions, from these offsets on.
    ///
    /// # Errors
    /// The client can't be created or assigned.
    fn assign(&mut self, starts: &[(i32, i64)]) -> Result<(), LogError>;

    /// Passes the next record or event to `take`. Blocks for a moment.
    fn poll<T>(&mut self, take: impl FnOnce(Polled<'_>) -> T) -> T;

    /// Stops reading this partition.
    fn done(&mut self, partition: i32);
}

/// The result of one poll.
pub enum Polled<'a> {
    Row {
        partition: i32,
        offset: i64,
        key: &'a [u8],
        value: Option<&'a [u8]>,
    },
    /// The partition was read to its end.
    End(i32),
    /// Kafka refuses the read, and a retry would not help.
    Failed(LogError),
    Nothing,
}

/// The number of offsets between two reports of progress.
const REPORT_EACH: i64 = 1024;

/// The continuation of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    Again,
    Wait(Duration),
    /// Not at all: the restore is done.
    Done,
}

/// Partitions that are being restored.
pub struct Restoration<C> {
    changelog: C,
    /// The partitions whose end is not known yet.
    asked: VecDeque<Want>,
    /// The first offset and the end of the first of them, as reported at the first request.
    first: Option<(i64, i64)>,
    known: Vec<(Want, i64, i64)>,
    /// The partitions that are being read, with the next offset and the end of each.
    left: BTreeMap<i32, (i64, i64)>,
    is_reading: bool,
    progress: Instant,
    reported_at: Instant,
}

impl<C: Changelog> Restoration<C> {
    /// Creates a restore that reads each partition from its checkpoint to its end.
    pub fn new(changelog: C, wants: Vec<Want>) -> Self {
        let now = clock::instant();
        Self {
            changelog,
            asked: wants.into(),
            first: None,
            known: Vec::new(),
            left: BTreeMap::new(),
            is_reading: false,
            progress: now,
            reported_at: now,
        }
    }

    /// Does a part of the restore, and passes its results to `take`. Blocks.
    ///
    /// # Errors
    /// Kafka can't be read, or `take` fails.
    pub fn step<E>(
        &mut self,
        take: &mut dyn FnMut(Restored<'_>) -> Result<(), E>,
    ) -> Result<Continuation, RestoreError<E>> {
        if let Some(want) = self.asked.front().copied() {
            return Ok(self.ask(want)?);
        }
        if !self.is_reading {
            self.is_reading = true;
            self.begin(take)?;
        } else if !self.left.is_empty() {
            self.read(take)?;
        }
        Ok(if self.left.is_empty() { Continuation::Done } else { Continuation::Again })
    }

    /// Requests the end of a partition. The end is valid once no transaction below it is open.
    fn ask(&mut self, want: Want) -> Result<Continuation, LogError> {
        let (low, high) = match self.first {
            Some(ends) => ends,
            None => *self.first.insert(self.changelog.ends(want.partition)?),
        };
        if self.changelog.stable_end(want.partition)? < high {
            if clock::since(self.reported_at) > REPORT_INTERVAL {
                self.reported_at = clock::instant();
                tracing::warn!(
                    partition = want.partition,
                    "another producer's transaction is open in the changelog; waiting until it ends or times out"
                );
            }
            return Ok(Continuation::Wait(PINNED_INTERVAL));
        }
        self.asked.pop_front();
        self.first = None;
        self.known.push((want, low, high));
        Ok(Continuation::Again)
    }

    fn begin<E>(
        &mut self,
        take: &mut dyn FnMut(Restored<'_>) -> Result<(), E>,
    ) -> Result<(), RestoreError<E>> {
        for (want, low, high) in std::mem::take(&mut self.known) {
            if want.checkpoint > 0
                && !want.is_superseded
                && !(low..=high).contains(&want.checkpoint)
            {
                let out_of_range = Restored::OutOfRange(want.partition, low, high);
                take(out_of_range).map_err(RestoreError::Store)?;
            }
            let is_wiped = want.is_stale || want.is_superseded;
            if is_wiped {
                take(Restored::Wipe(want.partition)).map_err(RestoreError::Store)?;
            }
            let from = if is_wiped { low } else { want.checkpoint.max(low) };
            if from >= high {
                take(Restored::End(want.partition, high)).map_err(RestoreError::Store)?;
            } else {
                take(Restored::Remaining(want.partition, high - from))
                    .map_err(RestoreError::Store)?;
                self.left.insert(want.partition, (from, high));
            }
        }
        if !self.left.is_empty() {
            let starts: Vec<(i32, i64)> =
                self.left.iter().map(|(partition, (from, _))| (*partition, *from)).collect();
            self.changelog.assign(&starts)?;
            self.progress = clock::instant();
        }
        Ok(())
    }

    fn read<E>(
        &mut self,
        take: &mut dyn FnMut(Restored<'_>) -> Result<(), E>,
    ) -> Result<(), RestoreError<E>> {
        let left = &mut self.left;
        let mut failed = None;
        let ended = self.changelog.poll(|polled| match polled {
            Polled::Row { partition, offset, key, value } => {
                take(Restored::Row { partition, offset, key, value })?;
                if let Some((from, high)) = left.get_mut(&partition) {
                    let before = std::mem::replace(from, offset + 1);
                    // Not every offset has a row.
                    if before / REPORT_EACH != *from / REPORT_EACH {
                        take(Restored::Remaining(partition, (*high - *from).max(0)))?;
                    }
                }
                Ok(Some(None))
            }
            Polled::End(partition) => Ok(Some(Some(partition))),
            Polled::Failed(error) => {
                failed = Some(error);
                Ok(None)
            }
            Polled::Nothing => Ok(None),
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        match ended.map_err(RestoreError::Store)? {
            Some(end) => {
                self.progress = clock::instant();
                // The position stops below trailing markers, so only this event shows the end.
                if let Some(partition) = end
                    && let Some((_, high)) = self.left.remove(&partition)
                {
                    self.changelog.done(partition);
                    take(Restored::End(partition, high)).map_err(RestoreError::Store)?;
                }
            }
            None if clock::since(self.progress) > PROGRESS_TIMEOUT => {
                let error = KafkaError::NoMessageReceived;
                return Err(LogError::request("the restore makes no progress")(error).into());
            }
            None => {}
        }
        Ok(())
    }
}
