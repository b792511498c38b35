//! The plan of a rebuild: which partitions of the store are written, and which are refused and why.

use super::{REQUEST_TIMEOUT, Rebuild, RebuildError, RebuildRequest};
use crate::codec::row::{self, InputOffset, Meta, Owner, TopicId};
use crate::domain::Timestamp;
use crate::log::{GroupOffset, Identity, Newest, Operation, ScanFrom, TopicPartition};
use crate::store::{RowKey, StoreError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// An input partition of which the group has read more than the store contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    pub place: TopicPartition,
    /// The store's next offset. `None`: the store has read nothing of this partition.
    pub stored: Option<i64>,
    /// The group's committed offset.
    pub committed: i64,
}

/// The action for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Write {
        /// The uuid of the last row that an interrupted rebuild wrote. `None`: write from the first row.
        after: Option<Arc<str>>,
    },
    /// Nothing: this rebuild has already completed the partition.
    Done,
    /// Nothing, for this reason.
    Refuse(String),
}

/// The plan for one partition of the store.
#[derive(Clone, Debug)]
pub struct PartitionPlan {
    pub number: i32,
    /// The number of its rows in the store.
    pub rows: u64,
    /// Its meta row in the store.
    pub(super) meta: Meta,
    /// The action for it.
    pub action: Action,
    /// The inputs of which the group has read more than the store contains.
    pub behind: Vec<Behind>,
}

impl PartitionPlan {
    /// Returns the time of the newest commit in the store's partition. Operators compare these times between copies of
    /// a store: a copy that lacks only outcomes of attempts is not visible in the group's offsets.
    #[must_use]
    pub fn committed_at(&self) -> Timestamp {
        self.meta.committed_at
    }

    /// Returns whether the meta row names its group and changelog. Earlier versions did not write that.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.meta.owner.is_some()
    }
}

/// The plan of a rebuild.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number of partitions that the changelog has, or that a new one will have.
    pub partitions: u32,
    /// Whether the changelog exists.
    pub exists: bool,
    pub stored: Vec<PartitionPlan>,
}

impl Plan {
    /// Returns the number of rows in the partitions that are written.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let written = |plan: &&PartitionPlan| matches!(plan.action, Action::Write { .. });
        self.stored.iter().filter(written).map(|plan| plan.rows).sum()
    }

    /// Returns whether the plan refuses a partition.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.stored.iter().any(|plan| matches!(plan.action, Action::Refuse(_)))
    }
}

/// The state of Kafka that a plan depends on.
struct Seen {
    identity: Identity,
    counts: BTreeMap<String, u32>,
    changelog: Vec<Newest>,
}

impl Rebuild {
    /// Plans a rebuild without changing anything. Blocks.
    ///
    /// # Errors
    /// The group has members, the store does not fit the changelog, or Kafka or the store can't be read.
    pub fn plan(&self, request: &RebuildRequest) -> Result<Plan, RebuildError> {
        self.check_alone()?;
        let metas = self.metas(request)?;
        let changelog = &self.topics.changelog;
        let identity = self.cluster.identity(&self.topics.identified(), REQUEST_TIMEOUT)?;
        let exists = identity.topics.contains_key(changelog.as_str());
        let (all, ask) = (self.topics.all(), Operation::Describe);
        let counts = self.cluster.partition_counts(all, ask, REQUEST_TIMEOUT)?;
        let partitions = count(&metas, request, &self.kafka.group_id)?;
        let has = counts.get(changelog).copied().filter(|_| exists);
        if let Some(has) = has.filter(|has| *has != partitions) {
            return Err(RebuildError::Refused(format!(
                "topic {changelog} has {has} partitions, but the store's rows are spread over {partitions}. Delete \
                 topic {changelog} and run this command again: it creates the topic with {partitions} partitions"
            )));
        }
        let newest = match exists {
            true => {
                // Waits for open transactions: a rebuild that was interrupted just now may have committed rows that
                // can't be read yet.
                self.positions.settled(&self.scanner, changelog, ScanFrom::Beginning)?;
                self.scanner.newest(changelog, RowKey::META)?
            }
            false => Vec::new(),
        };
        let seen = Seen { identity, counts, changelog: newest };
        let mut stored = Vec::new();
        for (number, meta) in metas {
            stored.push(self.partition(number, meta, partitions, request, &seen)?);
        }
        Ok(Plan { partitions, exists, stored })
    }

    /// Returns the meta rows of the selected partitions of the store.
    fn metas(&self, request: &RebuildRequest) -> Result<Vec<(i32, Meta)>, RebuildError> {
        let mut metas = Vec::new();
        for number in self.store.partitions() {
            if !request.only.is_empty() && !request.only.contains(number) {
                continue;
            }
            let mut found = None;
            self.store.read_from(*number, RowKey::META, &mut |key, value| {
                if key == RowKey::META {
                    found = Some(Bytes::copy_from_slice(value));
                }
                ControlFlow::Break(())
            })?;
            // A partition without a meta row contains no commit.
            let Some(bytes) = found else { continue };
            let unreadable = |error| StoreError::unreadable(*number, "the meta row", &error);
            metas.push((*number, row::decode_meta(&bytes).map_err(unreadable)?));
        }
        metas.sort_by_key(|(number, _)| *number);
        for number in &request.only {
            if !metas.iter().any(|(stored, _)| stored == number) {
                let text =
                    format!("the store ([store] directory) has no rows of partition {number}");
                return Err(RebuildError::Refused(text));
            }
        }
        if metas.is_empty() {
            let text = "the store ([store] directory) has no rows: run this on a machine whose store has some";
            return Err(RebuildError::Refused(text.to_owned()));
        }
        Ok(metas)
    }

    fn partition(
        &self,
        number: i32,
        meta: Meta,
        partitions: u32,
        request: &RebuildRequest,
        seen: &Seen,
    ) -> Result<PartitionPlan, RebuildError> {
        let mut rows = 0;
        self.store.read(number, &mut |key, _| rows += u64::from(is_row(key)))?;
        let mut action = self.action(number, meta.owner.as_ref(), seen);
        let behind = self.behind(number, &meta, partitions, seen)?;
        let is_elsewhere = meta.owner.as_ref().and_then(|owner| owner.cluster.as_ref());
        let is_elsewhere = is_elsewhere
            .zip(seen.identity.cluster.as_ref())
            .filter(|(theirs, ours)| theirs != ours);
        if matches!(action, Action::Write { .. }) && !request.older {
            if let Some((theirs, ours)) = is_elsewhere {
                action = Action::Refuse(format!(
                    "it belongs to the Kafka cluster {theirs}, but [kafka] bootstrap_servers leads to the cluster \
                     {ours}: correct bootstrap_servers or [store] directory. If this cluster has replaced the other \
                     one, add --older"
                ));
            } else if let Some(behind) = behind.first() {
                action = Action::Refuse(refusal(behind));
            }
        }
        Ok(PartitionPlan { number, rows, meta, action, behind })
    }

    /// Decides on the action from the changelog's own meta row of the partition.
    fn action(&self, number: i32, stored: Option<&Owner>, seen: &Seen) -> Action {
        let topic = &self.topics.changelog;
        let newest = seen.changelog.iter().find(|it| it.partition == number);
        let Some(bytes) = newest.and_then(|newest| newest.value.as_ref()) else {
            return Action::Write { after: None };
        };
        let Ok(meta) = row::decode_meta(bytes) else {
            return Action::Refuse(format!("topic {topic} has a meta row of a newer version"));
        };
        let owner = meta.owner.as_ref();
        let former = stored.and_then(|owner| owner.changelog.as_ref());
        let is_ours = owner.is_some_and(|owner| owner.replaces.as_ref() == former);
        match owner.and_then(|owner| owner.rebuilt_up_to.clone()) {
            Some(uuid) if is_ours => Action::Write { after: Some(uuid) },
            Some(_) => Action::Refuse(format!(
                "a rebuild of topic {topic} from another store was interrupted: run this command again with that store"
            )),
            None if is_ours && former.is_some() => Action::Done,
            None => Action::Refuse(format!(
                "topic {topic} has all rows of this partition, which a rebuild does not overwrite. `ringback run` \
                 continues with them"
            )),
        }
    }

    /// Returns the inputs of which the group has read more than the store contains.
    fn behind(
        &self,
        number: i32,
        meta: &Meta,
        partitions: u32,
        seen: &Seen,
    ) -> Result<Vec<Behind>, RebuildError> {
        let names = self.topics.identified().into_iter();
        let names = names.filter(|name| *name != self.topics.changelog.as_str());
        // Inputs with another number of partitions are only forwarded to the inbox, so the store does not contain their
        // positions.
        let inbox = seen.counts.get(&self.topics.inbox).unwrap_or(&partitions);
        let alike = names.filter(|name| seen.counts.get(*name) == Some(inbox));
        let places = alike.map(|name| TopicPartition { topic: name.into(), partition: number });
        let places: Vec<TopicPartition> = places.collect();
        let committed = match places.as_slice() {
            [] => BTreeMap::new(),
            places => self.positions.offsets(places)?,
        };
        let behind = |(place, committed): (TopicPartition, GroupOffset)| {
            let mut stored = meta.offsets.iter();
            let stored =
                stored.find(|it| it.topic == place.topic && it.partition == place.partition);
            is_behind(stored, &committed).then(|| Behind {
                place,
                stored: stored.map(|it| it.next_offset),
                committed: committed.offset,
            })
        };
        Ok(committed.into_iter().filter_map(behind).collect())
    }
}

/// Returns whether the group has read records after the store was written.
fn is_behind(stored: Option<&InputOffset>, committed: &GroupOffset) -> bool {
    match stored {
        Some(stored) => {
            stored.next_offset < committed.offset
                || TopicId::differ(stored.topic_id.as_ref(), committed.topic.as_ref())
        }
        None => committed.offset > 0,
    }
}

fn refusal(behind: &Behind) -> String {
    let Behind { place: TopicPartition { topic, partition }, stored, committed } = behind;
    let stored = stored.unwrap_or(0);
    format!(
        "it is out of date: the store contains the records of {topic}, partition {partition}, below offset {stored}, and the \
         group has read those below {committed}. Another instance may have a newer store: run this command there \
         first. If this is the newest, add --older: the records since then are read again from the inputs, and webhooks that \
         were answered since then may be sent again with the same webhook-id"
    )
}

/// Returns whether a row with this key belongs into the changelog. The meta row is written separately.
pub(super) fn is_row(key: &[u8]) -> bool {
    matches!(RowKey::parse(key), Some(RowKey::State(_) | RowKey::Endpoint(_)))
}

/// Returns the number of partitions over which the rows are spread.
fn count(
    metas: &[(i32, Meta)],
    request: &RebuildRequest,
    group: &str,
) -> Result<u32, RebuildError> {
    let owners: Vec<&Owner> = metas.iter().filter_map(|(_, meta)| meta.owner.as_ref()).collect();
    if let Some(other) = owners.iter().find(|owner| *owner.group != *group) {
        return Err(RebuildError::Refused(format!(
            "the store ([store] directory) belongs to the consumer group {}, but [kafka] group_id is {group}: correct \
             one of them",
            other.group
        )));
    }
    let largest = metas.iter().map(|(number, _)| number.cast_unsigned() + 1).max().unwrap_or(0);
    let Some(first) = owners.first() else {
        return match request.count {
            Some(count) if count >= largest => Ok(count),
            Some(count) => Err(RebuildError::Refused(format!(
                "--partitions {count} is too few: the store has rows of partition {}",
                largest.saturating_sub(1)
            ))),
            None => Err(RebuildError::Refused(format!(
                "an earlier version wrote the store, and did not record how many partitions the changelog had. Give \
                 this number with --partitions, at least {largest}; the inbox has the same number"
            ))),
        };
    };
    if owners.iter().any(|owner| owner.partitions != first.partitions) {
        let text = "the partitions of the store ([store] directory) belong to changelogs with different numbers of \
                    partitions: choose those of one changelog with --partition";
        return Err(RebuildError::Refused(text.to_owned()));
    }
    match request.count.filter(|count| *count != first.partitions) {
        Some(count) => Err(RebuildError::Refused(format!(
            "the store's rows are spread over {} partitions, but --partitions is {count}: leave it out",
            first.partitions
        ))),
        None => Ok(first.partitions),
    }
}
