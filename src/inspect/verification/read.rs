//! Reads everything, in an order that makes no running daemon look wrong.

use super::store::Seen;
use super::{Asked, Verification, receiver};
use crate::clock;
use crate::codec::row::{self, InputOffset, Owner};
use crate::inspect::InspectError;
use crate::log::{
    self, Cluster, KafkaSettings, LandmarkReader, LogError, NeededBy, PositionReader, ScanFrom,
    ScanRange, ScanRecord, Scanner, TopicNames, TopicPartition, Watch,
};
use crate::store::RowKey;
use crate::verify::{Changelog, Changes, Evidence, Input, InputRecord, Layout, Options, OwnTopic};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// With `at_rest`, work that was due this long ago is a violation.
const OVERDUE_MS: u64 = 60_000;
/// Compaction may remove a row while it is searched; then a newer row is behind the end that was read. If reading the
/// new records took less than this time, no row can have been missed.
const TAIL_TIME: Duration = Duration::from_secs(2);
const TAILS_MAX: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the topics, the store of this machine in `directory`, and the receivers' logs, and judges them. Blocks.
/// `runtime` runs the asynchronous requests.
///
/// # Errors
/// Kafka or a receiver's log can't be read, one of the daemon's topics is missing, the store can't be opened for a
/// reason other than damage, or the watch stops the reading.
pub fn verify(
    kafka: &KafkaSettings,
    topics: &TopicNames,
    directory: &Path,
    asked: &Asked,
    runtime: &tokio::runtime::Handle,
    watch: Watch<'_>,
) -> Result<Verification, InspectError> {
    let now = clock::wall();
    // The store comes first: it must not be ahead of the changelog that is read.
    let store = Seen::open(directory)?;
    log::insist_on_groups(kafka, topics, NeededBy::Verify)?;
    let mut reader = Reader::new(kafka, topics, runtime, watch)?;
    let survey = reader.survey()?;
    let mut evidence = survey.evidence(Changes::default());
    reader.events(&survey, &mut evidence)?;
    // The events show which inputs were replaced. That decides which records earlier events are about, so that they are
    // read again.
    if let Some(changes) = evidence.changes() {
        evidence = survey.evidence(changes);
        reader.events(&survey, &mut evidence)?;
    }
    reader.letters(&survey, &mut evidence)?;
    reader.changelog(&survey, &mut evidence)?;
    reader.inputs(&survey, &mut evidence)?;
    store.read(&mut evidence)?;
    // The logs are read last, so that they have the requests of all events.
    requests(&asked.receiver_logs, &mut evidence)?;
    let report = evidence.finish(&Options {
        at_rest: asked.at_rest,
        now,
        overdue_ms: OVERDUE_MS,
        repeats_max: asked.repeats_max,
    });
    Ok(Verification { report, set_aside: store.set_aside })
}

fn requests(files: &[PathBuf], evidence: &mut Evidence) -> Result<(), InspectError> {
    for file in files {
        evidence.has_requests();
        let read = receiver::read(file, &mut |entry| evidence.request(entry));
        read.map_err(|error| InspectError::Receiver(file.display().to_string(), error))?;
    }
    Ok(())
}

/// The positions and ends of all topics.
struct Survey {
    layout: Layout,
    places: Vec<TopicPartition>,
    before: BTreeMap<TopicPartition, i64>,
    after: BTreeMap<TopicPartition, i64>,
    events: Vec<ScanRange>,
    letters: Vec<ScanRange>,
    changelog: Vec<ScanRange>,
    inputs: Vec<(String, Vec<ScanRange>)>,
}

impl Survey {
    /// Creates evidence of these positions, without any records.
    fn evidence(&self, changes: Changes) -> Evidence {
        let mut evidence = Evidence::knowing(self.layout.clone(), changes);
        for place in &self.places {
            let (before, after) = (self.before.get(place), self.after.get(place));
            evidence.committed(place, before.copied(), after.copied());
        }
        evidence
    }
}

struct Reader<'a> {
    kafka: &'a KafkaSettings,
    topics: &'a TopicNames,
    runtime: &'a tokio::runtime::Handle,
    watch: Watch<'a>,
    scanner: Scanner,
    positions: PositionReader,
}

impl<'a> Reader<'a> {
    fn new(
        kafka: &'a KafkaSettings,
        topics: &'a TopicNames,
        runtime: &'a tokio::runtime::Handle,
        watch: Watch<'a>,
    ) -> Result<Self, LogError> {
        let (scanner, positions) = (Scanner::new(kafka)?, PositionReader::new(kafka)?);
        Ok(Self { kafka, topics, runtime, watch, scanner, positions })
    }

    /// Takes positions and ends in the order that [`crate::verify`] requires. The steps must not be reordered.
    fn survey(&self) -> Result<Survey, InspectError> {
        let topics = self.topics;
        let partitions = self.count(&topics.changelog)?;
        let identity = Cluster::new(self.kafka)?.identity(&topics.identified(), TIMEOUT)?;
        let mut places = Vec::new();
        let names: Vec<&str> = topics.sources().map(|(name, _)| name.as_str()).collect();
        for topic in names.iter().copied().chain([topics.inbox.as_str()]) {
            let count = self.scanner.partitions(topic)?.unwrap_or(0);
            let numbers = 0..i32::try_from(count).unwrap_or(i32::MAX);
            places
                .extend(numbers.map(|partition| TopicPartition { topic: topic.into(), partition }));
        }
        let before = self.positions.committed(&places)?;
        let moving_from = ends(&self.scanner.all(&topics.changelog, ScanFrom::Beginning)?);
        let events = self.settled(&topics.events)?;
        let letters = self.settled(&topics.dead_letter)?;
        let changelog = self.settled(&topics.changelog)?;
        let inbox = self.settled(&topics.inbox)?;
        let after = self.positions.committed(&places)?;
        let mut inputs = Vec::new();
        for topic in &names {
            // Records above the committed offsets count as unread; records below them must exist.
            inputs.push(((*topic).to_owned(), self.scanner.all(topic, ScanFrom::Beginning)?));
        }
        // Without the right to read topic settings, gaps count as compaction.
        let existing: Vec<&str> = inputs
            .iter()
            .filter(|(_, ranges)| !ranges.is_empty())
            .map(|(topic, _)| topic.as_str())
            .collect();
        let compacted = self.runtime.block_on(log::compacted(self.kafka, &existing));
        let compacted = |topic: &str| {
            compacted.as_ref().map_or(true, |topics| topics.iter().any(|name| name == topic))
        };
        let own = |name: &str, ranges: &[ScanRange]| OwnTopic {
            name: name.into(),
            firsts: ranges.iter().map(|range| range.first).collect(),
        };
        let layout = Layout {
            inputs: inputs
                .iter()
                .map(|(topic, ranges)| Input {
                    topic: topic.as_str().into(),
                    compacted: compacted(topic),
                    kind: topics.sources().find(|(name, _)| *name == topic).map(|(_, kind)| kind),
                    firsts: ranges.iter().map(|range| range.first).collect(),
                    partitions: u32::try_from(ranges.len()).unwrap_or(u32::MAX),
                })
                .collect(),
            inbox: own(&topics.inbox, &inbox),
            events: own(&topics.events, &events),
            dead_letters: own(&topics.dead_letter, &letters),
            changelog: Changelog {
                name: topics.changelog.as_str().into(),
                partitions,
                moving_from,
                ends: ends(&changelog),
            },
            owner: Some(Owner {
                cluster: identity.cluster.clone(),
                group: self.kafka.group_id.as_str().into(),
                changelog: identity.topic(&topics.changelog).cloned(),
                partitions,
                ..Owner::default()
            }),
            replaced: if identity.lacks_ids() { self.replaced()? } else { BTreeSet::new() },
            ids: identity.topics.into_iter().filter_map(|(name, id)| Some((name, id?))).collect(),
            unwrap: topics.unwrap,
            dedup_window_ms: None,
        };
        inputs.push((topics.inbox.clone(), inbox));
        Ok(Survey { layout, places, before, after, events, letters, changelog, inputs })
    }

    /// Returns the input partitions in which a record that was read no longer exists.
    fn replaced(&self) -> Result<BTreeSet<(Arc<str>, i32)>, InspectError> {
        let (reader, topics) = (LandmarkReader::new(self.kafka), self.topics);
        let mut replaced = BTreeSet::new();
        for newest in self.scanner.newest(&topics.changelog, RowKey::META)? {
            // A row that can't be read is reported as a violation elsewhere.
            let meta = newest.value.and_then(|value| row::decode_meta(&value).ok());
            for input in meta.into_iter().flat_map(|meta| meta.offsets) {
                let InputOffset { topic, partition, landmark, .. } = input;
                let Some(landmark) = landmark else { continue };
                let place = TopicPartition { topic: topic.clone(), partition };
                let is_dense = *topic == *topics.inbox;
                if reader.find_one(&place, landmark)?.is_other(is_dense) {
                    replaced.insert((topic, partition));
                }
            }
        }
        Ok(replaced)
    }

    fn count(&self, topic: &str) -> Result<u32, InspectError> {
        self.scanner.partitions(topic)?.ok_or_else(|| InspectError::NoTopic(topic.to_owned()))
    }

    fn settled(&self, topic: &str) -> Result<Vec<ScanRange>, InspectError> {
        self.count(topic)?;
        Ok(self.positions.settled(&self.scanner, topic, ScanFrom::Beginning)?)
    }

    fn events(&mut self, survey: &Survey, evidence: &mut Evidence) -> Result<(), InspectError> {
        self.scan(&self.topics.events, &survey.events, |record| {
            evidence.event(record.partition(), record.offset(), record.key(), record.value());
        })
    }

    fn letters(&mut self, survey: &Survey, evidence: &mut Evidence) -> Result<(), InspectError> {
        self.scan(&self.topics.dead_letter, &survey.letters, |record| {
            let (partition, offset, at) = (record.partition(), record.offset(), record.timestamp());
            let header = |name: &str| record.header(name);
            evidence.dead_letter(partition, offset, at, record.key(), header, record.value());
        })
    }

    fn changelog(&mut self, survey: &Survey, evidence: &mut Evidence) -> Result<(), InspectError> {
        let topic = &self.topics.changelog;
        let mut ranges = survey.changelog.clone();
        for tail in 0..TAILS_MAX {
            let began = clock::instant();
            self.scan(topic, &ranges, |record| {
                evidence.changelog(
                    record.partition(),
                    record.offset(),
                    record.key(),
                    record.value(),
                );
            })?;
            let enough = clock::since(began) < TAIL_TIME;
            let wants: Vec<_> =
                ranges.iter().map(|range| (range.partition, ScanFrom::Offset(range.end))).collect();
            ranges = self.scanner.ranges(topic, &wants)?;
            if enough && tail > 0 {
                break;
            }
        }
        Ok(())
    }

    fn inputs(&mut self, survey: &Survey, evidence: &mut Evidence) -> Result<(), InspectError> {
        for (topic, ranges) in &survey.inputs {
            let mut place = TopicPartition { topic: topic.as_str().into(), partition: 0 };
            self.scan(topic, ranges, |record| {
                place.partition = record.partition();
                let read = InputRecord {
                    offset: record.offset(),
                    timestamp: record.timestamp(),
                    key: record.key(),
                    payload: record.value().unwrap_or_default(),
                };
                let header = |name: &str| record.header(name);
                evidence.source(&place, &read, header, &|| record.foreign_headers());
            })?;
        }
        Ok(())
    }

    fn scan(
        &mut self,
        topic: &str,
        ranges: &[ScanRange],
        mut take: impl FnMut(&ScanRecord<'_>),
    ) -> Result<(), InspectError> {
        let flow = self.scanner.scan(topic, ranges, &mut *self.watch, &mut |record| {
            take(record);
            ControlFlow::Continue(())
        })?;
        if flow.is_break() { Err(InspectError::Interrupted) } else { Ok(()) }
    }
}

fn ends(ranges: &[ScanRange]) -> Vec<i64> {
    ranges.iter().map(|range| range.end).collect()
}
