//! Copies the rows of uuids, in the order of the former changelog, and follows it until no instance runs.

use super::plan::replaced;
use super::{Plan, Progress, REQUEST_TIMEOUT, Repartition, RepartitionError, State, Watch, go_on};
use crate::clock;
use crate::codec::row::{self, Meta, Owner, TopicId};
use crate::domain::owner;
use crate::failpoint::{self, Failpoint};
use crate::log::{
    self, GroupName, GroupOffset, LogError, Outgoing, PositionReader, ScanFrom, ScanRange,
    ScanRecord, Scanned, Steward, TopicPartition, generated_id,
};
use crate::store::RowKey;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const ROWS_MAX: usize = 2000;
const BYTES_MAX: usize = 4 << 20;
/// How long to wait until the brokers show the new topics; each of them learns of them separately.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);
const CREATION_PAUSE: Duration = Duration::from_millis(100);
/// The pause between two looks at the changelog's end and the group's members.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// A round that takes less time has copied so little that the instances can be stopped.
const LAG_MAX: Duration = Duration::from_secs(1);

/// A row to be written.
struct CopiedRow {
    partition: i32,
    key: Vec<u8>,
    /// The value; `None`: the row was deleted.
    value: Option<Vec<u8>>,
}

/// Copies rows in transactions of bounded size.
pub(super) struct Copier<'a> {
    repartition: &'a Repartition,
    pub(super) steward: &'a Steward,
    /// The group that holds the progress.
    group: &'a GroupName,
    /// The owners of the new changelog's rows, by partition, without marks.
    pub(super) owners: Vec<Owner>,
    /// The id of the former changelog's topic, if Kafka has given it one.
    former: Option<TopicId>,
    /// The next offset of each partition of the former changelog.
    next: BTreeMap<i32, i64>,
    rows: Vec<CopiedRow>,
    bytes: usize,
    /// The number of records that were copied.
    pub(super) copied: u64,
}

impl Repartition {
    /// Creates the new topics, marks the new changelog as unfinished, and returns the copier at its last progress.
    pub(super) fn begin<'a>(
        &'a self,
        plan: &Plan,
        (steward, group): (&'a Steward, &'a GroupName),
        runtime: &tokio::runtime::Handle,
    ) -> Result<Copier<'a>, RepartitionError> {
        let partitions = self.request.partitions;
        let create = log::create_with_partitions(&self.kafka, &self.new, partitions);
        for topic in runtime.block_on(create)? {
            tracing::info!(topic, partitions, "created");
        }
        let ours = self.new_owner(plan)?;
        self.check_rights()?;
        self.check_compaction(runtime)?;
        let owner = |number| Owner {
            replaces: replaced(&plan.ids, number, plan.former_partitions).cloned(),
            earlier: plan.earlier.clone(),
            ..ours.clone()
        };
        let changelog = self.topics.changelog.as_str();
        let identity = self.cluster.identity(&[changelog], REQUEST_TIMEOUT)?;
        let ranges = self.scanner.all(changelog, ScanFrom::Beginning)?;
        let mut copier = Copier {
            repartition: self,
            steward,
            group,
            owners: (0..partitions.cast_signed()).map(owner).collect(),
            former: identity.topic(changelog).cloned(),
            next: ranges.iter().map(|range| (range.partition, range.first)).collect(),
            rows: Vec::new(),
            bytes: 0,
            copied: 0,
        };
        match plan.state {
            State::New => copier.mark()?,
            State::Begun => copier.resume()?,
            State::Done => {}
        }
        Ok(copier)
    }

    /// Checks that Kafka compacts the new changelog and not the new inbox. They may have existed before.
    fn check_compaction(&self, runtime: &tokio::runtime::Handle) -> Result<(), RepartitionError> {
        let topics = [self.new.changelog.as_str(), self.new.inbox.as_str()];
        let compacted = runtime.block_on(log::compacted(&self.kafka, &topics))?;
        for (topic, policy) in topics.into_iter().zip(["compact", "delete"]) {
            if compacted.iter().any(|name| name == topic) != (policy == "compact") {
                return Err(RepartitionError::Refused(format!(
                    "topic {topic}: cleanup.policy must be {policy}. Correct it, or delete the topic: this command creates it"
                )));
            }
        }
        Ok(())
    }

    /// Waits until the new topics exist, and returns the owner of the new rows.
    fn new_owner(&self, plan: &Plan) -> Result<Owner, RepartitionError> {
        let (topics, partitions) =
            ([&self.new.changelog, &self.new.inbox], self.request.partitions);
        let began = Instant::now();
        loop {
            let names = topics.map(String::as_str);
            let identity = self.cluster.identity(&names, REQUEST_TIMEOUT)?;
            let mut missing = None;
            for topic in topics {
                let is_there = identity.topics.contains_key(topic.as_str())
                    && self.scanner.partitions(topic)? == Some(partitions);
                missing = missing.or((!is_there).then_some(topic));
            }
            let Some(topic) = missing else {
                let ours = self.ours(&identity, &self.new.changelog, partitions);
                // If Kafka has no topic ids, the repartition generates one for all partitions.
                let id = ours.changelog.clone().or_else(|| plan.new_id.clone());
                return Ok(Owner { changelog: id.or_else(|| Some(generated_id())), ..ours });
            };
            if began.elapsed() > CREATION_TIMEOUT {
                let what = format!("Kafka did not create it with {partitions} partitions in time");
                return Err(LogError::Topic { topic: topic.clone(), what }.into());
            }
            std::thread::sleep(CREATION_PAUSE);
        }
    }

    /// Copies the changelog, and follows it until the group has no members.
    pub(super) fn follow(
        &self,
        copier: &mut Copier<'_>,
        watch: Watch<'_>,
    ) -> Result<(), RepartitionError> {
        let mut waiting_since = None;
        loop {
            let began = Instant::now();
            copier.copy(&copier.ranges()?, watch)?;
            let members = self.cluster.members(&self.kafka.group_id, REQUEST_TIMEOUT)?;
            if members == 0 {
                return Ok(());
            }
            if began.elapsed() > LAG_MAX {
                continue;
            }
            go_on(watch(Progress::Waiting { members }))?;
            let since = *waiting_since.get_or_insert_with(Instant::now);
            if self.request.wait.is_some_and(|wait| since.elapsed() > wait) {
                return Err(RepartitionError::StillRunning(members));
            }
            std::thread::sleep(FOLLOW_PAUSE);
        }
    }
}

impl Copier<'_> {
    /// Returns the parts of the former changelog that are not copied.
    fn ranges(&self) -> Result<Vec<ScanRange>, RepartitionError> {
        let wants = self.next.iter().map(|(number, next)| (*number, ScanFrom::Offset(*next)));
        let wants: Vec<(i32, ScanFrom)> = wants.collect();
        let Repartition { scanner, topics, .. } = self.repartition;
        Ok(scanner.ranges(&topics.changelog, &wants)?)
    }

    /// Copies the last rows, up to the end of the former changelog, which no instance writes to any more. Returns the
    /// whole log.
    pub(super) fn finish(&mut self, watch: Watch<'_>) -> Result<Vec<ScanRange>, RepartitionError> {
        let Repartition { scanner, topics, positions, .. } = self.repartition;
        let whole = positions.settled(scanner, &topics.changelog, ScanFrom::Beginning)?;
        let mut ranges = whole.clone();
        for range in &mut ranges {
            let next = self.next.get(&range.partition).copied().unwrap_or(range.first);
            range.from = next.clamp(range.first, range.end);
        }
        self.copy(&ranges, watch)?;
        Ok(whole)
    }

    /// Marks all partitions of the new changelog as an unfinished copy, and begins the progress.
    fn mark(&self) -> Result<(), RepartitionError> {
        let copies: std::sync::Arc<str> = self.repartition.topics.changelog.as_str().into();
        self.steward.begin()?;
        for (number, ours) in (0_i32..).zip(&self.owners) {
            let owner = Owner { copies: Some(copies.clone()), ..ours.clone() };
            let meta = Meta { offsets: Vec::new(), committed_at: clock::now(), owner: Some(owner) };
            let mut bytes = Vec::new();
            row::encode_meta(&meta, &mut bytes);
            self.send(number, RowKey::META, Some(&bytes))?;
        }
        Ok(self.steward.commit_of(self.group, &self.progress())?)
    }

    /// Continues at the progress of an interrupted run. Without it, copies everything again, which changes no row.
    fn resume(&mut self) -> Result<(), RepartitionError> {
        let topic = &self.repartition.topics.changelog;
        let place =
            |number: &i32| TopicPartition { topic: topic.as_str().into(), partition: *number };
        let places: Vec<TopicPartition> = self.next.keys().map(place).collect();
        let committed = PositionReader::new(&self.repartition.progress)?.offsets(&places)?;
        let ours = self.progress();
        let is_ours = |(place, read): &(&TopicPartition, &GroupOffset)| {
            ours.get(*place)
                .is_some_and(|our| our.topic == read.topic && our.changelog == read.changelog)
        };
        if committed.iter().filter(is_ours).count() == places.len() {
            self.next =
                committed.iter().map(|(place, read)| (place.partition, read.offset)).collect();
        }
        Ok(())
    }

    /// Returns the progress as offsets. They name both changelogs, so that another run does not take them for its own.
    fn progress(&self) -> BTreeMap<TopicPartition, GroupOffset> {
        let changelog = self.owners.first().and_then(|owner| owner.changelog.clone());
        let offset = |(number, next): (&i32, &i64)| {
            let topic = self.repartition.topics.changelog.as_str().into();
            let (topic_id, changelog) = (self.former.clone(), changelog.clone());
            let offset = GroupOffset { offset: *next, topic: topic_id, changelog, landmark: None };
            (TopicPartition { topic, partition: *number }, offset)
        };
        self.next.iter().map(offset).collect()
    }

    /// Copies `ranges`.
    fn copy(&mut self, ranges: &[ScanRange], watch: Watch<'_>) -> Result<(), RepartitionError> {
        let topic = &self.repartition.topics.changelog;
        let mut failed = None;
        let flow = self.repartition.scanner.read(topic, ranges, &mut |scanned| {
            let done = match scanned {
                Scanned::Record(record) => self.take(record),
                Scanned::Progress { done, all } => go_on(watch(Progress::Copying { done, all })),
            };
            done.map_or_else(
                |error| {
                    failed = Some(error);
                    ControlFlow::Break(())
                },
                ControlFlow::Continue,
            )
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if flow.is_continue() {
            // The last offsets may be those of markers, which a scan does not show.
            self.next.extend(ranges.iter().map(|range| (range.partition, range.end)));
        }
        self.commit()
    }

    fn take(&mut self, record: &ScanRecord<'_>) -> Result<(), RepartitionError> {
        let key = record.key().unwrap_or_default();
        match RowKey::parse(key) {
            Some(RowKey::State(uuid)) => {
                let uuid = uuid.as_str().as_bytes();
                let partition = owner(uuid, self.repartition.request.partitions);
                let value = record.value().map(<[u8]>::to_vec);
                self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
                self.rows.push(CopiedRow { partition, key: key.to_vec(), value });
            }
            // The last transaction writes these rows.
            Some(RowKey::Meta | RowKey::Endpoint(_)) => {}
            None => {
                return Err(RepartitionError::Refused(format!(
                    "topic {}, partition {}, offset {}: the key is the key of no row; a later version may have written it",
                    self.repartition.topics.changelog,
                    record.partition(),
                    record.offset()
                )));
            }
        }
        self.next.insert(record.partition(), record.offset() + 1);
        if self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX {
            self.commit()?;
        }
        Ok(())
    }

    /// Writes the collected rows and the progress in one transaction. The rows wait in memory, so that no transaction
    /// is open while the brokers are waited for.
    fn commit(&mut self) -> Result<(), RepartitionError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.steward.begin()?;
        for CopiedRow { partition, key, value } in &self.rows {
            self.send(*partition, key, value.as_deref())?;
        }
        self.steward.commit_of(self.group, &self.progress())?;
        self.copied += self.rows.len() as u64;
        self.rows.clear();
        self.bytes = 0;
        failpoint::pass(Failpoint::RowsCopied);
        Ok(())
    }

    /// Adds a row of the new changelog to the transaction.
    pub(super) fn send(
        &self,
        partition: i32,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), RepartitionError> {
        Ok(self.steward.send(&Outgoing {
            topic: &self.repartition.new.changelog,
            partition: Some(partition),
            changelog: true,
            key: Some(key),
            value,
            ..Outgoing::default()
        })?)
    }
}
