//! Recognises logs without topic ids: by a record that was read, which must still stand where it stood.
//!
//! Brokers before Kafka 2.8, and some others that speak its protocol, give topics no ids. A topic that was deleted and created
//! again then looks like the one before, but for its records. So a record of each input is remembered beside the position,
//! its landmark. It is replaced by a newer record only after it was seen again in the log: whatever was read of another log
//! since then does not take its place.

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
/// Brokers that send nothing for so long are away.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);

/// An id for a partition of the changelog, where Kafka has given the topic none.
#[must_use]
pub fn generated_id() -> TopicId {
    let random = || u128::from(RandomState::new().build_hasher().finish());
    TopicId::generated((random() << 64 | random()).to_be_bytes())
}

/// What stands at a landmark's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The record.
    Same,
    /// Another record, or the log ends before: it is another log.
    Other,
    /// Nothing, and the log goes on behind it: compaction took the record, or it is another log.
    Nothing,
    /// Nothing any more: retention took the record.
    Deleted,
}

impl Found {
    /// Whether it is another log than the one that was read. `is_dense`: no record of it is deleted while an earlier one is
    /// there.
    #[must_use]
    pub const fn is_other(self, is_dense: bool) -> bool {
        match self {
            Self::Other => true,
            Self::Nothing => is_dense,
            Self::Same | Self::Deleted => false,
        }
    }
}

/// Looks at landmarks. Blocks.
pub struct LandmarkReader {
    settings: KafkaSettings,
    /// Made when it is first needed.
    client: Mutex<Option<Observer>>,
}

impl LandmarkReader {
    /// It connects when it is asked something.
    #[must_use]
    pub fn new(settings: &KafkaSettings) -> Self {
        Self { settings: settings.clone(), client: Mutex::default() }
    }

    /// What stands at the landmarks of some partitions of `topic`.
    ///
    /// # Errors
    /// When Kafka does not answer, or does not have such a partition.
    pub fn find(
        &self,
        topic: &str,
        landmarks: &BTreeMap<i32, Landmark>,
    ) -> Result<BTreeMap<i32, Found>, LogError> {
        self.with(|client| {
            let found = find(client, topic, landmarks)?;
            client.unassign().map_err(LogError::request("the partitions can't be given back"))?;
            Ok(found)
        })
    }

    /// What stands at the landmark of one partition.
    ///
    /// # Errors
    /// When Kafka does not answer, or does not have the partition.
    pub fn find_one(&self, place: &TopicPartition, landmark: Landmark) -> Result<Found, LogError> {
        let TopicPartition { topic, partition } = place;
        let found = self.find(topic, &BTreeMap::from([(*partition, landmark)]))?;
        Ok(found.get(partition).copied().unwrap_or(Found::Deleted))
    }

    /// The offset behind the last record of some partitions of `topic`, whether that is committed or not.
    ///
    /// # Errors
    /// When Kafka does not answer, or does not have such a partition.
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

    /// A client that has failed is not used again.
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
    // What is not committed has an offset too, and no transaction that is open is to be waited for.
    let mut config = client::observer(settings, "read_uncommitted");
    // Retention may take the record away before it is fetched.
    config.set("auto.offset.reset", "earliest");
    config.set("fetch.wait.max.ms", "10");
    // One record of each partition is wanted, and no more than comes with it.
    config.set("max.partition.fetch.bytes", "65536");
    config.set("queued.min.messages", "1");
    config.create_with_context(super::report::Reports).map_err(LogError::Client)
}

fn find(
    client: &Observer,
    topic: &str,
    landmarks: &BTreeMap<i32, Landmark>,
) -> Result<BTreeMap<i32, Found>, LogError> {
    let failed =
        || LogError::request(format!("records of {topic} that were read can't be looked at"));
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
    let mut heard = Instant::now();
    while !left.is_empty() {
        let (partition, what) = match client.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                let (partition, landmark) = (message.partition(), left.get(&message.partition()));
                (partition, landmark.map(|landmark| judge(&message, *landmark)))
            }
            // Behind the landmark stand only markers of transactions.
            Some(Err(KafkaError::PartitionEOF(partition))) => (partition, Some(Found::Nothing)),
            Some(Err(error)) if hopeless(&error) => return Err(failed()(error)),
            Some(Err(error)) => {
                tracing::debug!(%error, topic, "looking at landmarks is disturbed");
                continue;
            }
            None if heard.elapsed() > SILENCE_TIMEOUT => {
                return Err(failed()(KafkaError::NoMessageReceived));
            }
            None => continue,
        };
        heard = Instant::now();
        if let Some(what) = what
            && left.remove(&partition).is_some()
        {
            found.insert(partition, what);
        }
    }
    Ok(found)
}

/// What the first record at or behind the landmark's offset says.
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
    /// It stood in the log when that was last looked at. Before the first look it is the last record of the first batch.
    sure: Landmark,
    /// The last record that was read and committed.
    last: Landmark,
}

/// What the watcher looks at.
#[derive(Clone, Debug, Default)]
pub struct Sights {
    /// The landmarks of inputs.
    inputs: BTreeMap<TopicPartition, Pair>,
    /// The offset behind the last row that was committed to each partition of the changelog.
    pub changelog: BTreeMap<i32, i64>,
}

/// The landmarks of all inputs that are read, as the engine commits and the watcher verifies them.
#[derive(Default)]
pub struct Landmarks(Mutex<Sights>);

impl Landmarks {
    fn sights(&self) -> MutexGuard<'_, Sights> {
        // Every change is one insertion or removal, so that a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be stored beside the position of `place`.
    #[must_use]
    pub fn of(&self, place: &TopicPartition) -> Option<Landmark> {
        self.sights().inputs.get(place).map(|pair| pair.sure)
    }

    /// A record was read and committed.
    pub fn read(&self, place: &TopicPartition, last: Landmark) {
        let mut sights = self.sights();
        match sights.inputs.get_mut(place) {
            Some(pair) => pair.last = last,
            None => drop(sights.inputs.insert(place.clone(), Pair { sure: last, last })),
        }
    }

    /// Reading goes on beside this landmark.
    pub fn set(&self, place: &TopicPartition, landmark: Option<Landmark>) {
        let mut sights = self.sights();
        match landmark {
            Some(sure) => drop(sights.inputs.insert(place.clone(), Pair { sure, last: sure })),
            None => drop(sights.inputs.remove(place)),
        }
    }

    /// Rows below `next` were committed to a partition of the changelog.
    pub fn written(&self, partition: i32, next: i64) {
        let mut sights = self.sights();
        let known = sights.changelog.entry(partition).or_default();
        *known = next.max(*known);
    }

    /// Nothing is read any more.
    pub fn clear(&self) {
        *self.sights() = Sights::default();
    }

    /// What there is at the moment.
    #[must_use]
    pub fn look(&self) -> Sights {
        self.sights().clone()
    }

    /// Takes what was found at the landmarks of `seen`, a look from before: the last record of then was of the same log if
    /// the landmark was still there afterwards. Where nothing stands, the landmark stays, since it proves nothing. Returns the
    /// partitions that are another log.
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
                // Reading has begun anew since.
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
    /// The landmarks to be looked at, by topic.
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
    fn only_what_was_read_before_a_look_becomes_the_landmark() {
        let landmarks = Landmarks::default();
        landmarks.read(&place(), landmark(3));
        landmarks.read(&place(), landmark(7));
        let seen = landmarks.look();
        assert_eq!(seen.by_topic()["t"][&0], landmark(3));
        // Maybe of another log already.
        landmarks.read(&place(), landmark(9));
        assert_eq!(landmarks.of(&place()), Some(landmark(3)));
        assert_eq!(take(&landmarks, &seen, Found::Same), []);
        assert_eq!(landmarks.of(&place()), Some(landmark(7)));
    }

    #[test]
    fn a_landmark_that_proves_nothing_is_not_replaced() {
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
    fn another_log_is_reported_and_its_landmark_kept_until_reading_begins_anew() {
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
    fn a_record_that_is_gone_proves_nothing_unless_the_log_has_no_gaps() {
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
    fn rows_of_the_changelog_never_go_back() {
        let landmarks = Landmarks::default();
        landmarks.written(0, 9);
        landmarks.written(0, 4);
        assert_eq!(landmarks.look().changelog, BTreeMap::from([(0, 9)]));
        landmarks.clear();
        assert!(landmarks.look().changelog.is_empty());
    }
}
