//! Reading a partition of the changelog to its end, however an earlier owner left it.

use super::client::{self, LogError};
use super::reader::list;
use super::record::Place;
use super::settings::KafkaSettings;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);
const PINNED_INTERVAL: Duration = Duration::from_millis(50);

/// A partition that is to be restored.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// Which one.
    pub partition: i32,
    /// What the store has: everything below this offset.
    pub checkpoint: i64,
    /// The store is too old to be continued.
    pub stale: bool,
}

/// What the restore tells its caller, partition by partition.
pub enum Restored<'a> {
    /// Forget what is there: it is not a beginning of the changelog.
    Wipe(i32),
    /// A row; no value: it is gone.
    Row {
        /// Which partition.
        partition: i32,
        /// Where it stands.
        offset: i64,
        /// Its key.
        key: &'a [u8],
        /// Its value.
        value: Option<&'a [u8]>,
    },
    /// How many offsets are left.
    Remaining(i32, i64),
    /// All is there; the store holds everything below this offset.
    End(i32, i64),
}

/// Why a restore ended early.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError<E> {
    /// Kafka can't be read.
    #[error("the changelog can't be read")]
    Log(#[from] LogError),
    /// It is not wanted any more.
    #[error("cancelled")]
    Cancelled,
    /// The caller could not take a row.
    #[error("a row can't be stored")]
    Store(#[source] E),
}

/// Reads each partition from its checkpoint to its end, and hands everything to `take`. Blocks.
///
/// # Errors
/// When Kafka can't be read, the caller fails, or `cancelled` is set.
pub fn restore<E>(
    settings: &KafkaSettings,
    changelog: &str,
    wants: &[Want],
    cancelled: &AtomicBool,
    take: &mut dyn FnMut(Restored<'_>) -> Result<(), E>,
) -> Result<(), RestoreError<E>> {
    let topic: Arc<str> = changelog.into();
    let place = |partition| Place { topic: topic.clone(), partition };
    let ends = ends(settings, changelog, wants, cancelled)?;
    let mut starts = TopicPartitionList::new();
    let mut left: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for want in wants {
        let (low, high) = ends.get(&want.partition).copied().unwrap_or((0, 0));
        let sound =
            !want.stale && (want.checkpoint == 0 || (low..=high).contains(&want.checkpoint));
        let from = if sound { want.checkpoint.max(low) } else { low };
        if !sound {
            take(Restored::Wipe(want.partition)).map_err(RestoreError::Store)?;
        }
        if from >= high {
            take(Restored::End(want.partition, high)).map_err(RestoreError::Store)?;
            continue;
        }
        starts
            .add_partition_offset(changelog, want.partition, Offset::Offset(from))
            .map_err(LogError::request("the changelog's offsets can't be set"))?;
        left.insert(want.partition, (from, high));
    }
    if left.is_empty() {
        return Ok(());
    }
    let consumer = client::observe(settings, "read_committed")?;
    consumer.assign(&starts).map_err(LogError::request("the changelog can't be assigned"))?;
    let mut progress = Instant::now();
    while !left.is_empty() {
        if cancelled.load(Ordering::Relaxed) {
            return Err(RestoreError::Cancelled);
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                progress = Instant::now();
                let partition = message.partition();
                let row = Restored::Row {
                    partition,
                    offset: message.offset(),
                    key: message.key().unwrap_or(&[]),
                    value: message.payload(),
                };
                take(row).map_err(RestoreError::Store)?;
                if let Some((from, high)) = left.get_mut(&partition) {
                    *from = message.offset() + 1;
                    if *from % 1024 == 0 {
                        take(Restored::Remaining(partition, (*high - *from).max(0)))
                            .map_err(RestoreError::Store)?;
                    }
                }
            }
            // The position stops below trailing markers, so the end is told by this alone.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                progress = Instant::now();
                if let Some((_, high)) = left.remove(&partition) {
                    let _ = consumer.pause(&list([&place(partition)]));
                    take(Restored::End(partition, high)).map_err(RestoreError::Store)?;
                }
            }
            Some(Err(error)) => tracing::warn!(%error, "restoring is disturbed"),
            None if progress.elapsed() > PROGRESS_TIMEOUT => {
                let error = KafkaError::NoMessageReceived;
                return Err(LogError::request("the restore makes no progress")(error).into());
            }
            None => {}
        }
    }
    Ok(())
}

/// The first and the end offset of each partition, once no transaction below the end is open any more.
fn ends<E>(
    settings: &KafkaSettings,
    changelog: &str,
    wants: &[Want],
    cancelled: &AtomicBool,
) -> Result<BTreeMap<i32, (i64, i64)>, RestoreError<E>> {
    // A read_committed client would be told the last stable offset, and restore too little without a word.
    let all = client::observe(settings, "read_uncommitted")?;
    let stable = client::observe(settings, "read_committed")?;
    let watermarks = |client: &client::Observer, partition| {
        client
            .fetch_watermarks(changelog, partition, REQUEST_TIMEOUT)
            .map_err(LogError::request("the changelog's watermarks can't be read"))
    };
    let mut ends = BTreeMap::new();
    for want in wants {
        let (low, high) = watermarks(&all, want.partition)?;
        let mut told = Instant::now();
        while watermarks(&stable, want.partition)?.1 < high {
            if cancelled.load(Ordering::Relaxed) {
                return Err(RestoreError::Cancelled);
            }
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                tracing::warn!(
                    partition = want.partition,
                    "another producer's transaction is open in the changelog; waiting until it ends or times out"
                );
            }
            std::thread::sleep(PINNED_INTERVAL);
        }
        ends.insert(want.partition, (low, high));
    }
    Ok(ends)
}
