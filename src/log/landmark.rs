//! Recognises logs without topic ids by a record that was read, which must still be at its offset.
//!
//! Brokers before Kafka 2.8, and some others that speak its protocol, give topics no ids. A topic that was deleted and
//! created again then differs from the old one in its records only. So a record of each input is stored beside the
//! position: its landmark. A newer record replaces it only after the landmark was found in the log again. So a record
//! that was read from another log since then does not become the landmark.

use super::client::{self, LogError, Observer};
use super::record::TopicPartition;
use super::scan::hopeless;
use super::settings::KafkaSettings;
use crate::codec::row::{Landmark, TopicId};
use crate::domain::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// A broker that sends nothing for this long counts as unreachable.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);

/// Generates an id for a partition of the changelog, if Kafka has given the topic none.
#[must_use]
pub fn generated_id() -> TopicId {
    let random = || u128::from(RandomState::new().build_hasher().finish());
    TopicId::generated((random() << 64 | random()).to_be_bytes())
}

/// The result of a comparison with the record at a landmark's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Same,
    /// Another record, or the log ends before the offset: it is another log.
    Other,
    /// No record, and the log continues behind the offset: compaction has removed the record, or it is another log.
    Nothing,
    /// The log begins behind the offset: retention has removed the record.
    Deleted,
}

impl Found {
    /// Returns whether this is another log than the one that was read. `is_dense` says that the log never loses a
    /// record while an earlier one is still there.
    #[must_use]
    pub const fn is_other(self, is_dense: bool) -> bool {
        match self {
            Self::Other => true,
            Self::Nothing => is_dense,
            Self::Same | Self::Deleted => false,
        }
    }
}

/// Looks up the records at landmarks. Blocks.
pub struct LandmarkReader {
    settings: KafkaSettings,
    /// Created when it is first needed.
    client: Mutex<Option<Observer>>,
}

impl LandmarkReader {
    /// Creates a reader. It connects with the first request.
    #[must_use]
    pub fn new(settings: &KafkaSettings) -> Self {
        Self { settings: settings.clone(), client: Mutex::default() }
    }

    /// Compares the records at the landmarks of some partitions of `topic`.
    ///
    /// # Errors
    /// Kafka does not answer, or has no such partition.
    pub fn find(
        &self,
        topic: &str,
        landmarks: &BTreeMap<i32, Landmark>,
    ) -> Result<BTreeMap<i32, Found>, LogError> {
        self.with(|client| {
            let found = find(client, topic, landmarks)?;
            client.unassign().map_err(LogError::request("the partitions can't be unassigned"))?;
            Ok(found)
        })
    }

    /// Compares the record at the landmark of one partition.
    ///
    /// # Errors
    /// Kafka does not answer, or does not have the partition.
    pub fn find_one(&self, place: &TopicPartition, landmark: Landmark) -> Result<Found, LogError> {
        let TopicPartition { topic, partition } = place;
        let found = self.find(topic, &BTreeMap::from([(*partition, landmark)]))?;
        Ok(found.get(partition).copied().unwrap_or(Found::Deleted))
    }

    /// Returns the offset behind the last record of some partitions of `topic`, whether that record is committed or
    /// not.
    ///
    /// # Errors
    /// Kafka does not answer, or has no such partition.
    pub fn ends(
        &self,
        topic: &str,
        partitions: impl Iterator<Item = i32>,
    ) -> Result<BTreeMap<i32, i64>, LogError> {
        self.with(|client| {
            let end = |partition| {
                let ends = client.fetch_watermarks(topic, partition, REQUEST_TIMEOUT);
                let failed = LogError::request(format!("the ends of {topic} can't be read"));
                Ok((partition, ends.map_err(failed)?.1))
            };
            partitions.map(end).collect()
        })
    }

    /// Runs `ask` with the client. A client that has failed is not used again.
    fn with<T>(&self, ask: impl FnOnce(&Observer) -> Result<T, LogError>) -> Result<T, LogError> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match slot.take() {
            Some(client) => client,
            None => reader(&self.settings)?,
        };
        let answer = ask(&client)?;
        *slot = Some(client);
        Ok(answer)
    }
}

fn reader(settings: &KafkaSettings) -> Result<Observer, LogError> {
    // Uncommitted records have offsets too, and the reader must not wait for open transactions.
    let mut config = client::observer(settings, "read_uncommitted");
    // Retention may remove the record before it is fetched.
    config.set("auto.offset.reset", "earliest");
    config.set("fetch.wait.max.ms", "10");
    // One record of each partition is needed, and only the records that come with it are fetched.
    config.set("max.partition.fetch.bytes", "65536");
    config.set("queued.min.messages", "1");
    config.create_with_context(super::report::Reports).map_err(LogError::Client)
}

fn find(
    client: &Observer,
    topic: &str,
    landmarks: &BTreeMap<i32, Landmark>,
) -> Result<BTreeMap<i32, Found>, LogError> {
    let failed = || LogError::request(format!("the landmarks of {topic} can't be checked"));
    let (mut found, mut left) = (BTreeMap::new(), BTreeMap::new());
    let mut starts = TopicPartitionList::new();
    for (partition, landmark) in landmarks {
        let (first, end) =
            client.fetch_watermarks(topic, *partition, REQUEST_TIMEOUT).map_err(failed())?;
        if landmark.offset >= end {
            found.insert(*partition, Found::Other);
        } else if landmark.offset < first {
            found.insert(*partition, Found::Deleted);
        } else {
            let from = Offset::Offset(landmark.offset);
            starts.add_partition_offset(topic, *partition, from).map_err(failed())?;
            left.insert(*partition, *landmark);
        }
    }
    if left.is_empty() {
        return Ok(found);
    }
    client.assign(&starts).map_err(failed())?;
    let mut read_at = Instant::now();
    while !left.is_empty() {
        let (partition, what) = match client.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                let (partition, landmark) = (message.partition(), left.get(&message.partition()));
                (partition, landmark.map(|landmark| judge(&message, *landmark)))
            }
            // Only transaction markers are left behind the landmark's offset.
            Some(Err(KafkaError::PartitionEOF(partition))) => (partition, Some(Found::Nothing)),
            Some(Err(error)) if hopeless(&error) => return Err(failed()(error)),
            Some(Err(error)) => {
                tracing::debug!(%error, topic, "a temporary error while checking landmarks");
                continue;
            }
            None if read_at.elapsed() > SILENCE_TIMEOUT => {
                return Err(failed()(KafkaError::NoMessageReceived));
            }
            None => continue,
        };
        read_at = Instant::now();
        if let Some(what) = what
            && left.remove(&partition).is_some()
        {
            found.insert(partition, what);
        }
    }
    Ok(found)
}

/// Compares the first record at or behind the landmark's offset.
fn judge(message: &BorrowedMessage<'_>, landmark: Landmark) -> Found {
    let at = Timestamp::from_ms(message.timestamp().to_millis().unwrap_or(0));
    let (key, value) = (message.key().unwrap_or(&[]), message.payload().unwrap_or(&[]));
    if message.offset() != landmark.offset {
        Found::Nothing
    } else if Landmark::of(landmark.offset, at, key, value) == landmark {
        Found::Same
    } else {
        Found::Other
    }
}

/// The landmarks of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    /// The record that the last check found in the log. Before the first check, it is the last record of the first
    /// batch.
    sure: Landmark,
    /// The last record that was read and committed.
    last: Landmark,
}

/// A snapshot of the landmarks, for the watcher.
#[derive(Clone, Debug, Default)]
pub struct Sights {
    /// The landmarks of inputs.
    inputs: BTreeMap<TopicPartition, Pair>,
    /// The offset behind the last row that was committed, per partition of the changelog.
    pub changelog: BTreeMap<i32, i64>,
}

/// The landmarks of all inputs that are read. The engine adds them with its commits, and the watcher verifies them.
#[derive(Default)]
pub struct Landmarks(Mutex<Sights>);

impl Landmarks {
    fn sights(&self) -> MutexGuard<'_, Sights> {
        // Every change is one insertion or removal, so that a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the landmark to store beside the position of `place`.
    #[must_use]
    pub fn of(&self, place: &TopicPartition) -> Option<Landmark> {
        self.sights().inputs.get(place).map(|pair| pair.sure)
    }

    /// Records `last` as the last record of `place` that was read and committed.
    pub fn read(&self, place: &TopicPartition, last: Landmark) {
        let mut sights = self.sights();
        match sights.inputs.get_mut(place) {
            Some(pair) => pair.last = last,
            None => drop(sights.inputs.insert(place.clone(), Pair { sure: last, last })),
        }
    }

    /// Sets the landmark with which reading starts, or removes it.
    pub fn set(&self, place: &TopicPartition, landmark: Option<Landmark>) {
        let mut sights = self.sights();
        match landmark {
            Some(sure) => drop(sights.inputs.insert(place.clone(), Pair { sure, last: sure })),
            None => drop(sights.inputs.remove(place)),
        }
    }

    /// Records that rows below `next` were committed to a partition of the changelog.
    pub fn written(&self, partition: i32, next: i64) {
        let mut sights = self.sights();
        let known = sights.changelog.entry(partition).or_default();
        *known = next.max(*known);
    }

    /// Removes all landmarks, when nothing is read.
    pub fn clear(&self) {
        *self.sights() = Sights::default();
    }

    /// Returns a copy of the landmarks and changelog offsets at this moment.
    #[must_use]
    pub fn look(&self) -> Sights {
        self.sights().clone()
    }

    /// Applies the results `found` for the landmarks of `seen`, an earlier snapshot, and returns the partitions that
    /// are another log. A landmark that still exists proves that the last record of that snapshot is from the same log,
    /// and so that record replaces it. [`Found::Nothing`] proves nothing, and the landmark stays.
    pub fn take(
        &self,
        seen: &Sights,
        found: &BTreeMap<TopicPartition, Found>,
        is_dense: impl Fn(&TopicPartition) -> bool,
    ) -> Vec<TopicPartition> {
        let mut sights = self.sights();
        let mut others = Vec::new();
        for (place, found) in found {
            let (Some(pair), Some(seen)) = (sights.inputs.get_mut(place), seen.inputs.get(place))
            else {
                continue;
            };
            if pair.sure != seen.sure {
                // Reading has started again since the snapshot.
            } else if found.is_other(is_dense(place)) {
                others.push(place.clone());
            } else if *found != Found::Nothing {
                pair.sure = seen.last;
            }
        }
        others
    }
}

impl Sights {
    /// Returns the landmarks to check, by topic.
    #[must_use]
    pub fn by_topic(&self) -> BTreeMap<&str, BTreeMap<i32, Landmark>> {
        let mut topics: BTreeMap<&str, BTreeMap<i32, Landmark>> = BTreeMap::new();
        for (place, pair) in &self.inputs {
            topics.entry(&place.topic).or_default().insert(place.partition, pair.sure);
        }
        topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> TopicPartition {
        TopicPartition { topic: "t".into(), partition: 0 }
    }

    fn landmark(offset: i64) -> Landmark {
        Landmark { offset, content: 1 }
    }

    fn take(landmarks: &Landmarks, seen: &Sights, found: Found) -> Vec<TopicPartition> {
        landmarks.take(seen, &BTreeMap::from([(place(), found)]), |_| false)
    }

    #[test]
    fn only_a_record_read_before_a_snapshot_becomes_the_landmark() {
        let landmarks = Landmarks::default();
        landmarks.read(&place(), landmark(3));
        landmarks.read(&place(), landmark(7));
        let seen = landmarks.look();
        assert_eq!(seen.by_topic()["t"][&0], landmark(3));
        // This record may already be from another log.
        landmarks.read(&place(), landmark(9));
        assert_eq!(landmarks.of(&place()), Some(landmark(3)));
        assert_eq!(take(&landmarks, &seen, Found::Same), []);
        assert_eq!(landmarks.of(&place()), Some(landmark(7)));
    }

    #[test]
    fn a_landmark_is_not_replaced_by_a_check_that_proves_nothing() {
        let landmarks = Landmarks::default();
        landmarks.read(&place(), landmark(3));
        landmarks.read(&place(), landmark(7));
        let seen = landmarks.look();
        assert_eq!(take(&landmarks, &seen, Found::Nothing), []);
        assert_eq!(landmarks.of(&place()), Some(landmark(3)));
        assert_eq!(take(&landmarks, &seen, Found::Deleted), []);
        assert_eq!(landmarks.of(&place()), Some(landmark(7)));
    }

    #[test]
    fn another_log_is_reported_and_the_landmark_kept_until_reading_starts_again() {
        let landmarks = Landmarks::default();
        landmarks.read(&place(), landmark(3));
        landmarks.read(&place(), landmark(7));
        let seen = landmarks.look();
        assert_eq!(take(&landmarks, &seen, Found::Other), [place()]);
        assert_eq!(landmarks.of(&place()), Some(landmark(3)));
        landmarks.set(&place(), None);
        assert_eq!(take(&landmarks, &seen, Found::Other), []);
        landmarks.set(&place(), Some(landmark(1)));
        assert_eq!(take(&landmarks, &seen, Found::Other), [], "that was another landmark");
    }

    #[test]
    fn a_missing_record_proves_nothing_unless_the_log_has_no_gaps() {
        for (found, is_dense, is_other) in [
            (Found::Same, true, false),
            (Found::Other, false, true),
            (Found::Nothing, false, false),
            (Found::Nothing, true, true),
            (Found::Deleted, true, false),
        ] {
            assert_eq!(found.is_other(is_dense), is_other, "{found:?} {is_dense}");
        }
    }

    #[test]
    fn the_end_of_the_changelogs_rows_never_decreases() {
        let landmarks = Landmarks::default();
        landmarks.written(0, 9);
        landmarks.written(0, 4);
        assert_eq!(landmarks.look().changelog, BTreeMap::from([(0, 9)]));
        landmarks.clear();
        assert!(landmarks.look().changelog.is_empty());
    }
}
