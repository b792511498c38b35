//! Writes the rows of a partition, and reads them back to compare them with the store.

use super::plan::is_row;
use super::{Action, PartitionPlan, Plan, Progress, REQUEST_TIMEOUT, Rebuild, RebuildError, Watch};
use crate::codec::row::{self, Meta, Owner, TopicId};
use crate::domain::PhononUuid;
use crate::failpoint::{self, Failpoint};
use crate::log::{self, LogError, Outgoing, ScanFrom, Steward, generated_id};
use crate::store::RowKey;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::Xxh3;

const ROWS_MAX: usize = 1000;
const BYTES_MAX: usize = 4 << 20;
/// How long to wait until the brokers show a new topic; each of them learns of it separately.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);
const CREATION_PAUSE: Duration = Duration::from_millis(100);

/// The rows of one transaction.
#[derive(Default)]
struct RowBatch {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl RowBatch {
    fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }
}

impl Rebuild {
    /// Carries out `plan`. Creates missing topics on `runtime`. Blocks.
    ///
    /// # Errors
    /// The rebuild is incomplete. The same call continues it.
    pub fn run(
        &self,
        plan: &Plan,
        runtime: &tokio::runtime::Handle,
        watch: Watch<'_>,
    ) -> Result<(), RebuildError> {
        let is_work = |plan: &&PartitionPlan| matches!(plan.action, Action::Write { .. });
        if !plan.stored.iter().any(|plan| is_work(&plan)) {
            return Ok(());
        }
        // Opening the steward fences an earlier rebuild that still runs.
        let steward = Steward::open(&self.kafka)?;
        self.check_alone()?;
        let create = log::create_with_partitions(&self.kafka, &self.topics, plan.partitions);
        for topic in runtime.block_on(create)? {
            tracing::info!(topic, "created");
        }
        let ours = self.owner(plan.partitions)?;
        for partition in plan.stored.iter().filter(is_work) {
            let former = partition.meta.owner.as_ref();
            let owner = Owner {
                replaces: former.and_then(|owner| owner.changelog.clone()),
                earlier: former.into_iter().flat_map(Owner::outdated).cloned().collect(),
                ..ours.clone()
            };
            let writer = Writer { rebuild: self, steward: &steward, plan: partition, owner };
            writer.run(watch)?;
        }
        Ok(())
    }

    /// Waits until the changelog exists with `partitions` partitions, and returns the owner of the new rows.
    fn owner(&self, partitions: u32) -> Result<Owner, RebuildError> {
        let topic = self.topics.changelog.as_str();
        let began = Instant::now();
        loop {
            let identity = self.cluster.identity(&[topic], REQUEST_TIMEOUT)?;
            let is_there = identity.topics.contains_key(topic)
                && self.scanner.partitions(topic)? == Some(partitions);
            if is_there {
                return Ok(Owner {
                    cluster: identity.cluster.clone(),
                    group: self.kafka.group_id.as_str().into(),
                    // If Kafka has no topic ids, this rebuild generates one for all partitions that it writes.
                    changelog: identity.topic(topic).cloned().or_else(|| Some(generated_id())),
                    partitions,
                    ..Owner::default()
                });
            }
            if began.elapsed() > CREATION_TIMEOUT {
                let what = format!("Kafka did not create it with {partitions} partitions in time");
                return Err(LogError::Topic { topic: topic.to_owned(), what }.into());
            }
            std::thread::sleep(CREATION_PAUSE);
        }
    }
}

/// The writer of one partition.
struct Writer<'a> {
    rebuild: &'a Rebuild,
    steward: &'a Steward,
    plan: &'a PartitionPlan,
    owner: Owner,
}

impl Writer<'_> {
    fn run(&self, watch: Watch<'_>) -> Result<(), RebuildError> {
        let mut after = match &self.plan.action {
            Action::Write { after } => after.as_deref().and_then(PhononUuid::new),
            Action::Done | Action::Refuse(_) => return Ok(()),
        };
        let mut rows = 0;
        loop {
            let batch = self.batch(after.as_ref())?;
            if batch.rows.is_empty() {
                break;
            }
            rows += u64::try_from(batch.rows.len()).unwrap_or(0);
            after = last_uuid(&batch).or(after);
            // Endpoint rows alone don't count as progress. A continued rebuild writes them again.
            let up_to = after.as_ref().map_or("", PhononUuid::as_str).into();
            self.transact(&batch, Some(up_to))?;
            failpoint::pass(Failpoint::Rebuilt);
            let progress = Progress { partition: self.plan.number, rows, all: self.plan.rows };
            if watch(progress).is_break() {
                return Err(RebuildError::Interrupted);
            }
            if after.is_none() {
                // The partition has only endpoint rows, and a batch always contains all of them.
                break;
            }
        }
        self.compare()?;
        self.rebuild.check_alone()?;
        self.transact(&RowBatch::default(), None)?;
        let topic = self.owner.changelog.as_ref().map(TopicId::as_str);
        tracing::info!(partition = self.plan.number, rows, topic_id = topic, "partition rebuilt");
        Ok(())
    }

    /// Returns the next rows after the row of uuid `after`. Endpoint rows come before all others and are few.
    fn batch(&self, after: Option<&PhononUuid>) -> Result<RowBatch, RebuildError> {
        let from = after.map_or_else(Vec::new, |uuid| {
            let mut key = Vec::new();
            RowKey::write_state(uuid, &mut key);
            // The smallest key that is greater than the uuid's.
            key.push(0);
            key
        });
        let mut batch = RowBatch::default();
        self.rebuild.store.read_from(self.plan.number, &from, &mut |key, value| {
            if is_row(key) {
                batch.bytes += key.len() + value.len();
                batch.rows.push((key.to_vec(), value.to_vec()));
            }
            let is_uuids = last_uuid(&batch).is_some();
            if batch.is_full() && is_uuids {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(batch)
    }

    /// Writes `batch` and a meta row in one transaction. `up_to` is the progress; `None` marks the partition as
    /// complete.
    fn transact(&self, batch: &RowBatch, up_to: Option<Arc<str>>) -> Result<(), RebuildError> {
        let owner = Owner { rebuilt_up_to: up_to, ..self.owner.clone() };
        let Meta { offsets, committed_at, .. } = self.plan.meta.clone();
        let meta = Meta { offsets, committed_at, owner: Some(owner) };
        let mut bytes = Vec::new();
        row::encode_meta(&meta, &mut bytes);
        self.steward.begin()?;
        for (key, value) in &batch.rows {
            self.steward.send(&self.outgoing(key, value))?;
        }
        self.steward.send(&self.outgoing(RowKey::META, &bytes))?;
        self.steward.commit(&BTreeMap::new())?;
        Ok(())
    }

    fn outgoing<'a>(&'a self, key: &'a [u8], value: &'a [u8]) -> Outgoing<'a> {
        Outgoing {
            topic: &self.rebuild.topics.changelog,
            partition: Some(self.plan.number),
            changelog: true,
            key: Some(key),
            value: Some(value),
            ..Outgoing::default()
        }
    }

    /// Reads the partition back and compares it with the store.
    fn compare(&self) -> Result<(), RebuildError> {
        let Rebuild { scanner, topics, store, .. } = self.rebuild;
        let topic = topics.changelog.as_str();
        let mut stored = Content::default();
        store.read(self.plan.number, &mut |key, value| stored.add(key, Some(value)))?;
        let number = self.plan.number;
        // The markers of the last transaction may appear a moment after its commit was confirmed.
        let mut ranges = self.rebuild.positions.settled(scanner, topic, ScanFrom::Beginning)?;
        ranges.retain(|range| range.partition == number);
        let mut written = Content::default();
        let mut watch = |_: log::Progress<'_>| ControlFlow::Continue(());
        let _whole = scanner.scan(topic, &ranges, &mut watch, &mut |record| {
            if let Some(key) = record.key() {
                written.add(key, record.value());
            }
            ControlFlow::Continue(())
        })?;
        if stored.sum() == written.sum() {
            return Ok(());
        }
        Err(RebuildError::Refused(format!(
            "partition {}: topic {topic} and the store do not have the same rows ({} rows in the topic, {} in the \
             store). Another program has written to it, or an earlier rebuild was made from another copy of the \
             store. Delete topic {topic} and run this command again",
            self.plan.number, written.count, stored.count
        )))
    }
}

fn last_uuid(batch: &RowBatch) -> Option<PhononUuid> {
    let (key, _) = batch.rows.last()?;
    match RowKey::parse(key)? {
        RowKey::State(uuid) => Some(uuid),
        RowKey::Meta | RowKey::Endpoint(_) => None,
    }
}

/// A digest of rows, to compare the store with the changelog. State rows are hashed in the order of their keys, because
/// a rebuild writes each of them once and in this order. So memory does not grow with the rows. Endpoint rows may be
/// written twice; the last one counts.
#[derive(Default)]
struct Content {
    rows: Xxh3,
    count: u64,
    endpoints: BTreeMap<Vec<u8>, u64>,
}

impl Content {
    fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        let value = value.unwrap_or_default();
        match RowKey::parse(key) {
            Some(RowKey::State(_)) => {
                self.count += 1;
                for part in [key, value] {
                    self.rows.update(&(part.len() as u64).to_le_bytes());
                    self.rows.update(part);
                }
            }
            Some(RowKey::Endpoint(_)) => {
                let hash = xxhash_rust::xxh3::xxh3_64(value);
                self.endpoints.insert(key.to_vec(), hash);
            }
            Some(RowKey::Meta) | None => {}
        }
    }

    fn sum(&self) -> (u64, u128, &BTreeMap<Vec<u8>, u64>) {
        (self.count, self.rows.digest128(), &self.endpoints)
    }
}
