//! The plan of a repartition: whether it can be done, and how far an earlier run got.

use super::{REQUEST_TIMEOUT, Repartition, RepartitionError};
use crate::codec::row::{self, Meta, Owner, Replacement, TopicId};
use crate::engine::{Holder, Mismatch, Permissions};
use crate::log::{self, Identity, Newest, Operation, ScanFrom};
use crate::store::RowKey;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The state of the new topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They do not exist or are empty.
    New,
    /// An interrupted run has copied a part.
    Begun,
    /// The repartition is finished.
    Done,
}

/// The plan of a repartition.
#[derive(Clone, Debug)]
pub struct Plan {
    pub state: State,
    /// The present number of the changelog's partitions.
    pub former_partitions: u32,
    /// The number of offsets in the present changelog, which is at least the number of its records.
    pub offsets: u64,
    /// The inputs that have another number of partitions than the new topics, with their numbers. Their records are
    /// first forwarded to the inbox.
    pub forwarded: Vec<(String, u32)>,
    /// The ids that the rows of the former changelog carry, by its partitions.
    pub(super) ids: BTreeMap<i32, TopicId>,
    /// The changelogs that the former one has replaced.
    pub(super) earlier: Vec<TopicId>,
    /// The numbers of partitions of the inputs.
    pub(super) counts: BTreeMap<String, u32>,
    /// The id that an earlier run has given the new changelog.
    pub(super) new_id: Option<TopicId>,
}

/// The topics as Kafka reports them.
struct Seen {
    identity: Identity,
    counts: BTreeMap<String, u32>,
    former: Vec<Newest>,
}

impl Repartition {
    /// Plans the repartition without changing anything. Blocks.
    ///
    /// # Errors
    /// The topics do not fit, a right is missing, or Kafka can't be read.
    pub fn plan(&self) -> Result<Plan, RepartitionError> {
        self.check_names()?;
        self.check_rights()?;
        let seen = self.look()?;
        let former_partitions = self.former_partitions(&seen.counts)?;
        let metas = self.former_metas(&seen.former)?;
        let is_replaced = self.check_former(&metas, former_partitions, &seen.identity)?;
        let owners = metas.iter().map(|(number, meta)| (*number, meta.owner.as_ref()));
        let ids = owners.filter_map(|(number, owner)| Some((number, owner?.changelog.clone()?)));
        let ids: BTreeMap<i32, TopicId> = ids.collect();
        let earlier =
            metas.values().filter_map(|meta| meta.owner.as_ref()).flat_map(Owner::outdated);
        let earlier = BTreeSet::from_iter(earlier.cloned()).into_iter().collect();
        let (state, new_id) = self.target(&ids, former_partitions, is_replaced, &seen)?;
        let forwarded = self.topics.sources().filter_map(|(name, _)| {
            let count = *seen.counts.get(name)?;
            (count != self.request.partitions).then(|| (name.clone(), count))
        });
        let offsets = seen.former.iter().map(|it| it.end.abs_diff(it.first)).sum();
        let forwarded = forwarded.collect();
        let counts = seen.counts;
        Ok(Plan { state, former_partitions, offsets, forwarded, ids, earlier, counts, new_id })
    }

    fn check_names(&self) -> Result<(), RepartitionError> {
        let (changelog, inbox) = (&self.new.changelog, &self.new.inbox);
        if changelog == inbox {
            return refuse(format!("--changelog and --inbox must be two topics, not both {inbox}"));
        }
        match self.topics.all().find(|name| name == changelog || name == inbox) {
            Some(used) => refuse(format!(
                "topic {used} is in use ([topics]): rows and records are copied to new topics, so give other names with \
                 --changelog and --inbox"
            )),
            None => Ok(()),
        }
    }

    fn look(&self) -> Result<Seen, RepartitionError> {
        let topics = [self.new.changelog.as_str(), self.new.inbox.as_str()];
        let names: Vec<&str> = self.topics.identified().into_iter().chain(topics).collect();
        let counts = self.cluster.partition_counts(
            names.iter().copied(),
            Operation::Read,
            REQUEST_TIMEOUT,
        )?;
        let identity = self.cluster.identity(&names, REQUEST_TIMEOUT)?;
        let changelog = &self.topics.changelog;
        let former = match counts.contains_key(changelog) {
            true => {
                // The last transaction of an earlier run may be committed, but not readable yet.
                self.positions.settled(&self.scanner, changelog, ScanFrom::Beginning)?;
                self.scanner.newest(changelog, RowKey::META)?
            }
            false => Vec::new(),
        };
        Ok(Seen { identity, counts, former })
    }

    fn former_partitions(&self, counts: &BTreeMap<String, u32>) -> Result<u32, RepartitionError> {
        let of = |topic: &String| {
            let text = format!("topic {topic} does not exist: there is nothing to copy");
            counts.get(topic).copied().ok_or(RepartitionError::Refused(text))
        };
        let partitions = of(&self.topics.changelog)?;
        of(&self.topics.inbox)?;
        if partitions == self.request.partitions {
            return refuse(format!(
                "topic {} already has {partitions} partitions: give another number with --partitions",
                self.topics.changelog
            ));
        }
        Ok(partitions)
    }

    /// Returns the meta rows of the former changelog.
    pub(super) fn former_metas(
        &self,
        newest: &[Newest],
    ) -> Result<BTreeMap<i32, Meta>, RepartitionError> {
        metas(&self.topics.changelog, newest)
    }

    /// Checks the rows of the former changelog. Returns whether this repartition has replaced them.
    fn check_former(
        &self,
        metas: &BTreeMap<i32, Meta>,
        partitions: u32,
        identity: &Identity,
    ) -> Result<bool, RepartitionError> {
        let topic = &self.topics.changelog;
        if metas.is_empty() {
            return refuse(format!(
                "topic {topic} has no rows: delete the topics {topic} and {} and create them with the number of \
                 partitions that you want",
                self.topics.inbox
            ));
        }
        let ours = self.ours(identity, topic, partitions);
        let by = self.replacement();
        let mut is_replaced = true;
        for (number, meta) in metas {
            let Some(owner) = &meta.owner else {
                return refuse(format!(
                    "topic {topic}, partition {number}: an earlier version wrote its rows. Start the instances once with \
                     this version, and run this command again"
                ));
            };
            if owner.replaced_by.as_ref() == Some(&by) {
                continue;
            }
            is_replaced = false;
            let (at, permissions) = ((Holder::Changelog, *number), Permissions::default());
            if let Some(mismatch) = Mismatch::find(at, owner, &ours, &permissions, topic) {
                return refuse(mismatch.to_string());
            }
        }
        Ok(is_replaced)
    }

    /// Returns how far an earlier run got, and the id that it gave the new changelog.
    fn target(
        &self,
        ids: &BTreeMap<i32, TopicId>,
        former_partitions: u32,
        is_replaced: bool,
        seen: &Seen,
    ) -> Result<(State, Option<TopicId>), RepartitionError> {
        let partitions = self.request.partitions;
        for topic in [&self.new.changelog, &self.new.inbox] {
            if let Some(has) = seen.counts.get(topic).filter(|has| **has != partitions) {
                return refuse(format!(
                    "topic {topic} exists and has {has} partitions instead of {partitions}: delete it if it is not used, \
                     or give another name with --changelog and --inbox"
                ));
            }
        }
        let topic = &self.new.changelog;
        let metas = match seen.counts.contains_key(topic) {
            true => {
                self.positions.settled(&self.scanner, topic, ScanFrom::Beginning)?;
                metas(topic, &self.scanner.newest(topic, RowKey::META)?)?
            }
            false => BTreeMap::new(),
        };
        if metas.is_empty() && !is_replaced {
            for topic in [topic, &self.new.inbox] {
                if self.has_records(topic)? {
                    return self.foreign(topic);
                }
            }
            return Ok((State::New, None));
        }
        let mut copies = 0;
        let mut new_id = None;
        for number in 0..partitions.cast_signed() {
            let Some(owner) = metas.get(&number).and_then(|meta| meta.owner.as_ref()) else {
                return self.foreign(topic);
            };
            let replaces = replaced(ids, number, former_partitions);
            let ours = self.ours(&seen.identity, topic, partitions);
            if owner.replaces.as_ref() != replaces || owner.difference(&ours).is_some() {
                return self.foreign(topic);
            }
            copies += u32::from(owner.copies.as_deref() == Some(self.topics.changelog.as_str()));
            new_id.clone_from(&owner.changelog);
        }
        match (copies == partitions, copies == 0 && is_replaced) {
            (true, _) => Ok((State::Begun, new_id)),
            (_, true) => Ok((State::Done, new_id)),
            (false, false) => self.foreign(topic),
        }
    }

    fn foreign<T>(&self, topic: &str) -> Result<T, RepartitionError> {
        refuse(format!(
            "topic {topic} has records that do not come from an unfinished `ringback repartition` of topic {} to {} \
             partitions. If nobody uses the topics {} and {}, delete both and run this command again; otherwise give other \
             names with --changelog and --inbox",
            self.topics.changelog, self.request.partitions, self.new.changelog, self.new.inbox
        ))
    }

    fn has_records(&self, topic: &str) -> Result<bool, RepartitionError> {
        let ranges = self.scanner.all(topic, ScanFrom::Beginning)?;
        let mut watch = |_: log::Progress<'_>| ControlFlow::Continue(());
        let flow =
            self.scanner.scan(topic, &ranges, &mut watch, &mut |_| ControlFlow::Break(()))?;
        Ok(flow.is_break())
    }

    /// Returns the owner of rows that this group's daemons use in `topic`.
    pub(super) fn ours(&self, identity: &Identity, topic: &str, partitions: u32) -> Owner {
        Owner {
            cluster: identity.cluster.clone(),
            group: self.kafka.group_id.as_str().into(),
            changelog: identity.topic(topic).cloned(),
            partitions,
            ..Owner::default()
        }
    }

    /// Returns the mark for the former changelog.
    pub(super) fn replacement(&self) -> Replacement {
        let name = |topic: &str| -> Arc<str> { topic.into() };
        Replacement { changelog: name(&self.new.changelog), inbox: name(&self.new.inbox) }
    }
}

/// Returns the id of the former changelog that partition `number` of the new one replaces. If Kafka gives no ids, each
/// partition has its own one, and every one of them should be named.
pub(super) fn replaced(
    ids: &BTreeMap<i32, TopicId>,
    number: i32,
    former_partitions: u32,
) -> Option<&TopicId> {
    let same = number.checked_rem(former_partitions.cast_signed())?;
    ids.get(&same).or_else(|| ids.values().next())
}

fn metas(topic: &str, newest: &[Newest]) -> Result<BTreeMap<i32, Meta>, RepartitionError> {
    let mut metas = BTreeMap::new();
    for Newest { partition, value, .. } in newest {
        let Some(bytes) = value else { continue };
        let unreadable = |error: row::RowError| {
            let text = format!("topic {topic}, partition {partition}: the meta row: {error}");
            RepartitionError::Refused(text)
        };
        metas.insert(*partition, row::decode_meta(bytes).map_err(unreadable)?);
    }
    Ok(metas)
}

fn refuse<T>(text: String) -> Result<T, RepartitionError> {
    Err(RepartitionError::Refused(text))
}
