//! Reading everything, in the order that makes a running daemon no liar.

use super::Arguments;
use super::receiver::{self, ReceiverError};
use super::store::Seen;
use crate::cli::terminal::progress;
use crate::clock;
use crate::codec::row::{self, InputOffset, Owner};
use crate::config::Settings;
use crate::log::{
    self, Cluster, LandmarkReader, LogError, NeededBy, PositionReader, ScanFrom, ScanRange,
    ScanRecord, Scanned, Scanner, TopicPartition,
};
use crate::store::{Aside, RowKey, StoreError};
use crate::verify::{Changelog, Changes, Evidence, Input, Layout, Options, OwnTopic, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// At rest nothing waits that was due so long ago.
const OVERDUE_MS: u64 = 60_000;
/// A row that compaction takes while it is looked for has a newer one behind the end; once so little time was enough to read
/// what came since, none can have been missed.
const TAIL_TIME: Duration = Duration::from_secs(2);
const TAILS_MAX: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum VerifyError {
    /// Kafka.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store's directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A receiver's log.
    #[error("{0}")]
    Receiver(String, #[source] ReceiverError),
    /// A topic of ours.
    #[error("there is no topic {0}: `ringback topics --create` creates it")]
    Missing(String),
}

/// What came of it.
pub(super) struct Found {
    pub(super) report: Report,
    /// The stores that lie aside.
    pub(super) set_aside: Vec<Aside>,
}

/// Looks at everything. Blocks.
pub(super) fn verify(
    settings: &Settings,
    arguments: &Arguments,
    runtime: &tokio::runtime::Handle,
) -> Result<Found, VerifyError> {
    let now = clock::wall();
    // First of all: it must not be ahead of the changelog.
    let store = Seen::open(&settings.store.directory)?;
    log::insist_on_groups(&settings.kafka, &settings.topics, NeededBy::Verify)?;
    let reader = Reader::new(settings, runtime)?;
    let survey = reader.survey()?;
    let mut evidence = survey.evidence(Changes::default());
    reader.events(&survey, &mut evidence)?;
    // What became of the inputs is known only now, and decides what the events before are about.
    if let Some(changes) = evidence.changes() {
        evidence = survey.evidence(changes);
        reader.events(&survey, &mut evidence)?;
    }
    reader.letters(&survey, &mut evidence)?;
    reader.changelog(&survey, &mut evidence)?;
    reader.inputs(&survey, &mut evidence)?;
    store.read(&mut evidence)?;
    // Read last, so that it has all requests that the events tell of.
    requests(&arguments.receiver_log, &mut evidence)?;
    let report = evidence.finish(&Options {
        at_rest: arguments.at_rest,
        now,
        overdue_ms: OVERDUE_MS,
        repeats_max: arguments.repeats_max,
    });
    Ok(Found { report, set_aside: store.set_aside })
}

fn requests(files: &[PathBuf], evidence: &mut Evidence) -> Result<(), VerifyError> {
    for file in files {
        evidence.has_requests();
        let read = receiver::read(file, &mut |entry| evidence.request(entry));
        read.map_err(|error| VerifyError::Receiver(file.display().to_string(), error))?;
    }
    Ok(())
}

/// Where everything stood.
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
    /// Evidence of what stood there, and as yet of nothing else.
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
    settings: &'a Settings,
    runtime: &'a tokio::runtime::Handle,
    scanner: Scanner,
    positions: PositionReader,
}

impl<'a> Reader<'a> {
    fn new(settings: &'a Settings, runtime: &'a tokio::runtime::Handle) -> Result<Self, LogError> {
        let (scanner, positions) =
            (Scanner::new(&settings.kafka)?, PositionReader::new(&settings.kafka)?);
        Ok(Self { settings, runtime, scanner, positions })
    }

    /// The order is that of [`crate::verify`]; nothing of it may be exchanged.
    fn survey(&self) -> Result<Survey, VerifyError> {
        let topics = &self.settings.topics;
        let partitions = self.count(&topics.changelog)?;
        let identity =
            Cluster::new(&self.settings.kafka)?.identity(&topics.identified(), TIMEOUT)?;
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
            // What is above what the group has committed waits; what is below is there.
            inputs.push(((*topic).to_owned(), self.scanner.all(topic, ScanFrom::Beginning)?));
        }
        // Without the right to ask, gaps are taken for compaction.
        let existing: Vec<&str> = inputs
            .iter()
            .filter(|(_, ranges)| !ranges.is_empty())
            .map(|(topic, _)| topic.as_str())
            .collect();
        let compacted = self.runtime.block_on(log::compacted(&self.settings.kafka, &existing));
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
                group: self.settings.kafka.group_id.as_str().into(),
                changelog: identity.topic(&topics.changelog).cloned(),
                partitions,
                replaces: None,
                rebuilt_up_to: None,
            }),
            replaced: if identity.lacks_ids() { self.replaced()? } else { BTreeSet::new() },
            ids: identity.topics.into_iter().filter_map(|(name, id)| Some((name, id?))).collect(),
            dedup_window_ms: None,
        };
        inputs.push((topics.inbox.clone(), inbox));
        Ok(Survey { layout, places, before, after, events, letters, changelog, inputs })
    }

    /// The input partitions of which a record that was read is not there any more.
    fn replaced(&self) -> Result<BTreeSet<(Arc<str>, i32)>, VerifyError> {
        let (reader, topics) = (LandmarkReader::new(&self.settings.kafka), &self.settings.topics);
        let mut replaced = BTreeSet::new();
        for newest in self.scanner.newest(&topics.changelog, RowKey::META)? {
            // One that can't be read is a violation of its own.
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

    fn count(&self, topic: &str) -> Result<u32, VerifyError> {
        self.scanner.partitions(topic)?.ok_or_else(|| VerifyError::Missing(topic.to_owned()))
    }

    fn settled(&self, topic: &str) -> Result<Vec<ScanRange>, VerifyError> {
        self.count(topic)?;
        Ok(self.positions.settled(&self.scanner, topic, ScanFrom::Beginning)?)
    }

    fn events(&self, survey: &Survey, evidence: &mut Evidence) -> Result<(), LogError> {
        self.scan(&self.settings.topics.events, &survey.events, |record| {
            evidence.event(record.partition(), record.offset(), record.key(), record.value());
        })
    }

    fn letters(&self, survey: &Survey, evidence: &mut Evidence) -> Result<(), LogError> {
        self.scan(&self.settings.topics.dead_letter, &survey.letters, |record| {
            let (partition, offset, at) = (record.partition(), record.offset(), record.timestamp());
            let header = |name: &str| record.header(name);
            evidence.dead_letter(partition, offset, at, record.key(), header, record.value());
        })
    }

    fn changelog(&self, survey: &Survey, evidence: &mut Evidence) -> Result<(), LogError> {
        let topic = &self.settings.topics.changelog;
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

    fn inputs(&self, survey: &Survey, evidence: &mut Evidence) -> Result<(), LogError> {
        for (topic, ranges) in &survey.inputs {
            let mut place = TopicPartition { topic: topic.as_str().into(), partition: 0 };
            self.scan(topic, ranges, |record| {
                place.partition = record.partition();
                let header = |name: &str| record.header(name);
                let value = record.value().unwrap_or_default();
                evidence.source(
                    &place,
                    record.offset(),
                    record.timestamp(),
                    header,
                    record.key(),
                    value,
                );
            })?;
        }
        Ok(())
    }

    fn scan(
        &self,
        topic: &str,
        ranges: &[ScanRange],
        mut take: impl FnMut(&ScanRecord<'_>),
    ) -> Result<(), LogError> {
        let bar = progress(topic);
        let _whole = self.scanner.read(topic, ranges, &mut |scanned| {
            match scanned {
                Scanned::Record(record) => take(record),
                Scanned::Progress { done, all } => {
                    bar.set_length(all);
                    bar.set_position(done);
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

fn ends(ranges: &[ScanRange]) -> Vec<i64> {
    ranges.iter().map(|range| range.end).collect()
}
