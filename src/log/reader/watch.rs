//! Checks the topics periodically: whether they are still the same, and who owns the rows of the changelog. Once Kafka
//! has denied a request, it also checks which right is missing.

use super::callbacks::Context;
use super::{LogEvent, Sink};
use crate::codec::row::Owner;
use crate::log::client::LogError;
use crate::log::describe::{self, Identity};
use crate::log::landmark::{Found, LandmarkReader, Landmarks};
use crate::log::newest::Newest;
use crate::log::record::{Role, TopicPartition, Topics};
use crate::log::rights::{self, Missing, Operation, Resource, Right};
use crate::log::scan::Scanner;
use crate::log::settings::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The time within which a recreated topic is noticed.
const INTERVAL: Duration = Duration::from_secs(5);
/// The time within which two groups notice each other if they started at the same moment, before either had written a
/// row.
const OWNERS_INTERVAL: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

/// The changelog whose owner is checked periodically, and the landmarks of inputs without topic ids.
pub(super) struct WatchedChangelog<'a> {
    pub(super) topic: &'a str,
    /// The key of its meta rows.
    pub(super) meta_key: &'static [u8],
    /// The landmarks of the inputs.
    pub(super) landmarks: Arc<Landmarks>,
}

/// The topics that are checked.
pub(super) struct Watched {
    settings: KafkaSettings,
    /// The topics whose ids are compared.
    topics: Vec<String>,
    changelog: String,
    /// The key of the changelog's meta rows.
    meta_key: &'static [u8],
    landmarks: Arc<Landmarks>,
    reader: Arc<LandmarkReader>,
    /// Inputs that are not compacted.
    dense: Vec<String>,
    /// The partitions of the changelog that lacked committed rows at the last check.
    suspects: RefCell<BTreeSet<i32>>,
}

impl Watched {
    pub(super) fn new(
        settings: &KafkaSettings,
        topics: &Topics,
        changelog: &WatchedChangelog<'_>,
        reader: Arc<LandmarkReader>,
    ) -> Self {
        let inputs = topics.roles.keys().map(ToString::to_string);
        let dense = topics.roles.iter().filter(|(_, role)| **role == Role::Inbox);
        Self {
            settings: settings.clone(),
            topics: inputs.chain([changelog.topic.to_owned()]).collect(),
            changelog: changelog.topic.to_owned(),
            meta_key: changelog.meta_key,
            landmarks: changelog.landmarks.clone(),
            reader,
            dense: dense.map(|(topic, _)| topic.to_string()).collect(),
            suspects: RefCell::default(),
        }
    }
}

/// Checks until the consumer is dropped.
pub(super) fn watch(consumer: &Weak<BaseConsumer<Context>>, watched: &Watched, sink: &Sink) {
    let topics: Vec<&str> = watched.topics.iter().map(String::as_str).collect();
    // The first check comes once this instance's own rows are written.
    let mut owners_at = Instant::now() + INTERVAL;
    let mut denied = None;
    while let Some(consumer) = consumer.upgrade() {
        let identity = describe::identity(consumer.client(), &topics, TIMEOUT);
        let is_refused = consumer.context().refused.swap(false, Ordering::Relaxed);
        drop(consumer);
        if is_refused || denied.is_some() {
            match missing(watched) {
                Ok(now) if now == denied => {}
                Ok(now) => {
                    let before = std::mem::replace(&mut denied, now.clone());
                    sink(LogEvent::Denied(before, now));
                }
                Err(error) => tracing::debug!(%error, "Kafka does not report the client's rights"),
            }
        }
        let mut has_id = true;
        match identity {
            Ok(identity) => {
                has_id = !identity.is_without_id(&watched.changelog);
                let others = watched.replaced(&identity);
                // Each time, changed or not: only the engine knows in which topics its offsets count.
                sink(LogEvent::Identity(identity));
                if !others.is_empty() {
                    sink(LogEvent::Replaced(others));
                }
            }
            Err(error) => tracing::debug!(%error, "the topics can't be checked"),
        }
        if !has_id || Instant::now() >= owners_at {
            owners_at = Instant::now() + OWNERS_INTERVAL;
            if let Err(error) = watched.changelog(has_id, sink) {
                tracing::debug!(%error, "the changelog can't be checked");
            }
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Returns the missing rights to read, as text.
fn missing(watched: &Watched) -> Result<Option<String>, LogError> {
    let settings = &watched.settings;
    let group = Resource::Group(settings.group_id.clone());
    let topics = watched.topics.iter().map(|topic| Right::on_topic(Operation::Read, topic));
    let wanted = topics.chain([Right { resource: group, operation: Operation::Read }]);
    let missing = rights::missing(settings, &wanted.collect::<Vec<_>>())?;
    let text = Missing(&missing, settings).to_string().replace('\n', "; ");
    Ok((!missing.is_empty()).then_some(text))
}

impl Watched {
    /// Returns the input partitions without topic ids that are another log than the one that was read.
    fn replaced(&self, identity: &Identity) -> Vec<TopicPartition> {
        if !identity.lacks_ids() {
            return Vec::new();
        }
        let sights = self.landmarks.look();
        let mut found: BTreeMap<TopicPartition, Found> = BTreeMap::new();
        for (topic, landmarks) in sights.by_topic() {
            let place = |partition| TopicPartition { topic: topic.into(), partition };
            match self.reader.find(topic, &landmarks) {
                Ok(partitions) => {
                    found.extend(partitions.into_iter().map(|(number, it)| (place(number), it)));
                }
                // For example while the topic does not exist.
                Err(error) => tracing::debug!(%error, topic, "landmarks can't be checked"),
            }
        }
        let is_dense =
            |place: &TopicPartition| self.dense.iter().any(|dense| **dense == *place.topic);
        self.landmarks.take(&sights, &found, is_dense)
    }

    /// Reports the owner of each changelog partition's rows, if it is known. For a topic without an id, also reports
    /// rows that are lost.
    fn changelog(&self, has_id: bool, sink: &Sink) -> Result<(), LogError> {
        let written = if has_id { BTreeMap::new() } else { self.landmarks.look().changelog };
        let newest = Scanner::new(&self.settings)?.newest(&self.changelog, self.meta_key)?;
        let ends = self.reader.ends(&self.changelog, written.keys().copied())?;
        let is_lost = |newest: &&Newest| {
            let Newest { partition, end, value, .. } = newest;
            let Some(next) = written.get(partition) else { return false };
            // A row is not readable before the marker of its transaction is written.
            let is_emptied = end >= next && value.is_none();
            is_emptied || ends.get(partition).is_some_and(|end| end < next)
        };
        let lost = newest.iter().filter(is_lost).map(|newest| (newest.partition, newest.end));
        let mut lost: BTreeMap<i32, i64> = lost.collect();
        // Compaction may have moved a row during the check, so only a second finding counts.
        let suspects = self.suspects.replace(lost.keys().copied().collect());
        lost.retain(|partition, _| suspects.contains(partition));
        if !lost.is_empty() {
            sink(LogEvent::Lost(lost));
        }
        let owner = |newest: &Newest| Some((newest.partition, newest.owner()?));
        let owners: BTreeMap<i32, Owner> = newest.iter().filter_map(owner).collect();
        sink(LogEvent::Owners(owners));
        Ok(())
    }
}
