//! Checks whether rows belong to the daemon that would use them.
//!
//! A changelog and a store name the cluster, the group, the changelog's topic and the number of partitions that they
//! were written for. A daemon that finds another owner there ends. Otherwise it would send every webhook twice, or lose
//! rows of the other copy. Nothing is deleted or overwritten before an operator has permitted it.

use crate::codec::row::{Difference, Owner, Replacement, TopicId};
use crate::log::Begin;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The operator's permissions for this start.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Permissions {
    /// Groups without members whose changelog is taken over (`run --adopt`).
    pub adopted: BTreeSet<Arc<str>>,
    /// Whether missing rows are accepted (`run --accept-loss`).
    pub accepts_loss: bool,
    /// The changelogs that this one replaces, by a rebuild or a repartition. A store that belongs to one of them is out
    /// of date.
    pub superseded: BTreeSet<TopicId>,
    /// The start of an input that was deleted and created again (`run --from`).
    pub begin: Begin,
}

/// The place where rows were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The changelog in Kafka.
    Changelog,
    /// The store on this machine.
    Store,
}

/// Rows that this daemon must not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The rows belong to another daemon.
    Foreign {
        /// The place of the rows.
        holder: Holder,
        /// The partition in which they were found.
        partition: i32,
        /// The difference between the owners.
        difference: Difference,
        topic: String,
    },
    /// The store's checkpoint is outside the changelog.
    Range {
        partition: i32,
        /// The store holds everything below this offset.
        checkpoint: i64,
        /// The changelog's first offset.
        low: i64,
        /// The offset after the changelog's last record.
        high: i64,
        topic: String,
    },
    /// The changelog does not exist, but the store holds rows of it.
    Missing {
        /// The partition of which the store holds the most.
        partition: i32,
        /// The store holds everything below this offset.
        checkpoint: i64,
        topic: String,
    },
    /// The group has committed offsets together with rows, but the changelog has no rows.
    Empty {
        partition: i32,
        /// The changelog that held the rows.
        theirs: TopicId,
        topic: String,
    },
    /// A rebuild of the changelog was interrupted.
    Rebuilding { partition: i32, topic: String },
    /// `ringback repartition` still copies rows to the changelog, or was interrupted.
    Copying {
        /// The changelog that it copies.
        from: Arc<str>,
        topic: String,
    },
    /// `ringback repartition` has replaced the changelog and the inbox.
    Replaced { by: Replacement, topic: String },
}

impl Mismatch {
    /// Returns a value that is equal for partitions with the same kind of mismatch.
    #[must_use]
    pub fn kind(&self) -> (u8, Option<Holder>) {
        match self {
            Self::Foreign { holder, .. } => (0, Some(*holder)),
            Self::Range { .. } => (1, None),
            Self::Missing { .. } => (2, None),
            Self::Empty { .. } => (3, None),
            Self::Rebuilding { .. } => (4, None),
            Self::Copying { .. } => (5, None),
            Self::Replaced { .. } => (6, None),
        }
    }

    /// Returns why the rows of `theirs`, found in `holder`, can't be used by `ours`. Returns `None` if they can.
    #[must_use]
    pub fn find(
        (holder, partition): (Holder, i32),
        theirs: &Owner,
        ours: &Owner,
        permissions: &Permissions,
        topic: &str,
    ) -> Option<Self> {
        if holder == Holder::Changelog
            && let Some(unusable) = Self::find_unusable(theirs, partition, topic)
        {
            return Some(unusable);
        }
        let difference = theirs.difference(ours)?;
        let former = theirs.changelog.as_ref();
        // A rebuild or a repartition has written the store's rows to this changelog, perhaps on another cluster.
        let is_superseded = holder == Holder::Store
            && former.is_some_and(|former| permissions.superseded.contains(former));
        let is_allowed = match &difference {
            // A store is a copy of its changelog, whichever group writes to the changelog.
            Difference::Group(theirs, _) => {
                holder == Holder::Store || permissions.adopted.contains(theirs)
            }
            Difference::Cluster(..) | Difference::Changelog(..) => is_superseded,
            Difference::Partitions(..) => false,
        };
        let topic = topic.to_owned();
        (!is_allowed).then_some(Self::Foreign { holder, partition, difference, topic })
    }

    /// Returns why no daemon can use the changelog's rows, whomever they belong to: they are incomplete or replaced.
    fn find_unusable(theirs: &Owner, partition: i32, topic: &str) -> Option<Self> {
        let topic = topic.to_owned();
        if let Some(by) = &theirs.replaced_by {
            return Some(Self::Replaced { by: by.clone(), topic });
        }
        if let Some(from) = &theirs.copies {
            return Some(Self::Copying { from: from.clone(), topic });
        }
        theirs.rebuilt_up_to.is_some().then_some(Self::Rebuilding { partition, topic })
    }

    /// Checks a store's partition, whose rows belong to `stored`, against a changelog whose newest rows belong to
    /// `rows`. Returns whether the partition is out of date, because this changelog has replaced the store's one.
    ///
    /// # Errors
    /// `ours` must not use the rows: they belong to another owner or changelog, or the changelog has no rows of this
    /// partition.
    pub fn find_stored(
        partition: i32,
        stored: &Owner,
        rows: Option<&Owner>,
        ours: &Owner,
        permissions: &Permissions,
        topic: &str,
    ) -> Result<bool, Self> {
        let find =
            |ours: &Owner| Self::find((Holder::Store, partition), stored, ours, permissions, topic);
        let Some(former) = stored.changelog.as_ref().filter(|id| id.is_generated()) else {
            let is_other = TopicId::differ(stored.changelog.as_ref(), ours.changelog.as_ref());
            return find(ours).map_or(Ok(is_other), Err);
        };
        // Kafka reports no id of this changelog, or reports one for the first time. So the changelog's own rows decide.
        let Some(rows) = rows else {
            let (theirs, topic) = (former.clone(), topic.to_owned());
            return Err(Self::Empty { partition, theirs, topic });
        };
        let is_superseded = rows.outdated().any(|id| id == former);
        let here = if is_superseded { None } else { rows.changelog.clone() };
        find(&Owner { changelog: here.clone(), ..ours.clone() }).map_or(Ok(()), Err)?;
        match here {
            // The present changelog never replaced the store's one.
            Some(id) if id != *former => {
                let (holder, topic) = (Holder::Store, topic.to_owned());
                let difference = Difference::Changelog(former.clone(), id);
                Err(Self::Foreign { holder, partition, difference, topic })
            }
            Some(_) | None => Ok(is_superseded),
        }
    }
}

const REBUILD: &str = "Stop all instances first. If a store holds the only good copy, run `ringback changelog rebuild` on \
    its machine: it writes the changelog from the store. To continue with the rows that the changelog has, start with `ringback run \
    --accept-loss`: it moves the store aside and deletes nothing. See ops/guide/changelog-lost.md";

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { holder, partition, difference, topic } => {
                foreign(f, *holder, *partition, difference, topic)
            }
            Self::Range { partition, checkpoint, low, high, topic } => write!(
                f,
                "partition {partition}: the store ([store] directory) holds the changelog up to offset {checkpoint}, and topic \
                 {topic} has the offsets {low} to {high} only: records of it were lost or deleted. {REBUILD}"
            ),
            Self::Missing { partition, checkpoint, topic } => write!(
                f,
                "topic {topic} does not exist, and the store ([store] directory) holds rows of it, in partition {partition} up to \
                 offset {checkpoint}: it was deleted. {REBUILD}"
            ),
            Self::Empty { partition, theirs, topic } => write!(
                f,
                "partition {partition}: the group has read its inputs and written rows to the changelog with the id {theirs}, \
                 and topic {topic} has no rows of this partition: it was emptied, or deleted and created again. {REBUILD}"
            ),
            Self::Rebuilding { partition, topic } => write!(
                f,
                "topic {topic}, partition {partition}: a rebuild of the changelog was interrupted. Run `ringback changelog \
                 rebuild` again: it continues where it stopped. See ops/guide/changelog-lost.md"
            ),
            Self::Copying { from, topic } => write!(
                f,
                "topic {topic} is an unfinished copy of topic {from}: `ringback repartition` still runs or was interrupted. \
                 Set [topics] changelog to \"{from}\" and [topics] inbox to its inbox until it is done. To continue an \
                 interrupted one, run the same command again. See ops/guide/partitions.md"
            ),
            Self::Replaced { by: Replacement { changelog, inbox }, topic } => write!(
                f,
                "topic {topic} was replaced by `ringback repartition`, and its rows are no longer used: they would be sent \
                 twice. Set [topics] changelog = \"{changelog}\" and [topics] inbox = \"{inbox}\" (in the environment \
                 RINGBACK__TOPICS__CHANGELOG and RINGBACK__TOPICS__INBOX). See ops/guide/partitions.md"
            ),
        }
    }
}

fn foreign(
    f: &mut fmt::Formatter<'_>,
    holder: Holder,
    partition: i32,
    difference: &Difference,
    topic: &str,
) -> fmt::Result {
    let rows = match holder {
        Holder::Changelog => format!("topic {topic}, partition {partition}: its rows"),
        Holder::Store => {
            format!("partition {partition} of the store ([store] directory): its rows")
        }
    };
    match difference {
        Difference::Group(theirs, ours) => write!(
            f,
            "{rows} belong to the consumer group {theirs}, and [kafka] group_id is {ours}. Two groups on one changelog \
             would send every webhook twice. Correct group_id, or give this configuration topics of its own ([topics] \
             changelog, inbox, events, dead_letter). To take the changelog over, stop all instances of group {theirs} and \
             start with `ringback run --adopt`. See ops/guide/group.md"
        ),
        Difference::Cluster(theirs, ours) => write!(
            f,
            "{rows} belong to the Kafka cluster {theirs}, and [kafka] bootstrap_servers leads to the cluster {ours}. \
             Correct bootstrap_servers or [store] directory, see ops/guide/group.md. If this cluster has replaced the other one: {REBUILD}"
        ),
        Difference::Changelog(theirs, ours) => write!(
            f,
            "{rows} belong to the changelog with the id {theirs}, and topic {topic} has the id {ours}: it is another topic, \
             or was deleted and created again. Correct [topics] changelog or [store] directory if one of them is wrong, see \
             ops/guide/group.md. Otherwise: {REBUILD}"
        ),
        Difference::Partitions(theirs, ours) => write!(
            f,
            "{rows} are spread over {theirs} partitions, and topic {topic} has {ours}: the rows of most uuids would be \
             in other partitions. Partitions must not be added to a changelog. Stop all instances, delete topic {topic} and \
             run `ringback changelog rebuild`: it creates the topic with {theirs} partitions and writes the store's rows \
             to it. For another number of partitions, run `ringback repartition` afterwards: it copies the rows to new \
             topics. See ops/guide/partitions.md"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(group: &str, changelog: &str) -> Owner {
        Owner {
            cluster: Some("c".into()),
            group: group.into(),
            changelog: Some(changelog.into()),
            partitions: 2,
            ..Owner::default()
        }
    }

    #[test]
    fn a_changelog_of_another_group_is_taken_over_only_with_permission() {
        let ours = owner("ours", "t");
        let find = |permissions: &Permissions| {
            let at = (Holder::Changelog, 1);
            Mismatch::find(at, &owner("theirs", "t"), &ours, permissions, "changelog")
        };
        let found = find(&Permissions::default()).unwrap().to_string();
        assert!(found.contains("theirs") && found.contains("run --adopt"), "{found}");
        let adopted = ["theirs".into()].into();
        assert_eq!(find(&Permissions { adopted, ..Permissions::default() }), None);
        let store = (Holder::Store, 1);
        let theirs = owner("theirs", "t");
        let found = Mismatch::find(store, &theirs, &ours, &Permissions::default(), "changelog");
        assert_eq!(found, None, "a store is a copy of its changelog");
    }

    /// Checks a store with the id `stored`. The changelog's rows have the owner `rows`, and Kafka reports the id
    /// `ours`.
    fn found(stored: &TopicId, rows: Option<Owner>, ours: Option<&str>) -> Result<bool, String> {
        let of = |changelog: Option<TopicId>| Owner { changelog, ..owner("g", "") };
        let (stored, ours) = (of(Some(stored.clone())), of(ours.map(TopicId::from)));
        let permissions = Permissions::default();
        Mismatch::find_stored(0, &stored, rows.as_ref(), &ours, &permissions, "changelog")
            .map_err(|mismatch| mismatch.to_string())
    }

    #[test]
    fn a_store_with_a_generated_id_is_compared_with_the_changelogs_rows() {
        let (one, other) = (TopicId::generated([1; 16]), TopicId::generated([2; 16]));
        let rows = |changelog: &TopicId, replaces: Option<&TopicId>| {
            let (changelog, replaces) = (Some(changelog.clone()), replaces.cloned());
            Some(Owner { changelog, replaces, ..owner("g", "") })
        };
        let kafkas = TopicId::from("k");
        for ours in [None, Some("k")] {
            assert_eq!(found(&one, rows(&one, None), ours), Ok(false));
            let gone = found(&one, None, ours).unwrap_err();
            assert!(gone.contains("has no rows of this partition"), "{gone}");
            for rows_of in [&other, &kafkas] {
                let foreign = found(&one, rows(rows_of, None), ours).unwrap_err();
                assert!(foreign.contains(one.as_str()), "{foreign}");
                assert!(foreign.contains(rows_of.as_str()), "{foreign}");
                assert_eq!(found(&one, rows(rows_of, Some(&one)), ours), Ok(true), "restored");
            }
        }
        // Rows of an earlier version, which had no ids.
        let unknown = Some(Owner { changelog: None, ..owner("g", "") });
        assert_eq!(found(&one, unknown, None), Ok(false));
    }

    #[test]
    fn a_store_of_another_changelog_is_accepted_only_after_a_rebuild() {
        let (theirs, ours) = (owner("g", "t"), owner("g", "u"));
        let find = |holder, permissions: &Permissions| {
            Mismatch::find((holder, 0), &theirs, &ours, permissions, "changelog")
        };
        let rebuilt = Permissions { superseded: ["t".into()].into(), ..Permissions::default() };
        assert!(find(Holder::Store, &Permissions::default()).is_some());
        assert_eq!(find(Holder::Store, &rebuilt), None);
        assert!(find(Holder::Changelog, &rebuilt).is_some());
        // A repartition changes the number too.
        let ours = Owner { partitions: 5, ..owner("g", "u") };
        let find = |permissions: &Permissions| {
            Mismatch::find((Holder::Store, 1), &theirs, &ours, permissions, "changelog")
        };
        assert!(find(&Permissions::default()).is_some());
        assert_eq!(find(&rebuilt), None);
    }

    #[test]
    fn incomplete_and_replaced_rows_are_refused_whatever_is_permitted() {
        let ours = owner("g", "t");
        let permissions = Permissions {
            adopted: ["g".into()].into(),
            accepts_loss: true,
            superseded: ["t".into()].into(),
            ..Permissions::default()
        };
        let found = |theirs: Owner| {
            let at = (Holder::Changelog, 0);
            Mismatch::find(at, &theirs, &ours, &permissions, "old").unwrap().to_string()
        };
        let copying = found(Owner { copies: Some("former".into()), ..ours.clone() });
        assert!(copying.contains("unfinished copy of topic former"), "{copying}");
        let by = Replacement { changelog: "new".into(), inbox: "new-inbox".into() };
        let replaced = found(Owner { replaced_by: Some(by), ..ours.clone() });
        for text in ["topic old was replaced", "changelog = \"new\"", "inbox = \"new-inbox\""] {
            assert!(replaced.contains(text), "{replaced}");
        }
    }
}
