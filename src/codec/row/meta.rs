//! The meta row of a partition: how far its inputs were taken into account, and what the partition belongs to.
//!
//! An offset means nothing without the log that it counts in, and rows mean nothing without the group, the cluster and the
//! number of partitions that they were made for. So each stands beside what it belongs to.

use crate::domain::Timestamp;
use std::fmt;
use std::sync::Arc;

/// The id that Kafka gave a topic when it was created, as Kafka's tools print it. A topic that was deleted and created again
/// has another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(Arc<str>);

impl TopicId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are known and differ. A broker without topic ids contradicts nobody.
    #[must_use]
    pub fn differ(one: Option<&Self>, other: Option<&Self>) -> bool {
        matches!((one, other), (Some(one), Some(other)) if one != other)
    }
}

impl From<&str> for TopicId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The meta row of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Meta {
    /// How far each input partition was taken into account.
    pub offsets: Vec<InputOffset>,
    /// When the row was written.
    pub committed_at: Timestamp,
    /// What the rows belong to; `None`: an earlier version wrote the row.
    pub owner: Option<Owner>,
}

/// How far one input partition was taken into account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputOffset {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition of the topic.
    pub partition: i32,
    /// The offset of the first record that was not taken into account.
    pub next_offset: i64,
    /// The topic that the offset counts in; `None`: unknown.
    pub topic_id: Option<TopicId>,
}

/// What the rows of a changelog, or of a store, belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The id of the Kafka cluster; `None`: the broker does not say.
    pub cluster: Option<Arc<str>>,
    /// The consumer group of the daemons.
    pub group: Arc<str>,
    /// The id of the changelog's topic; `None`: the broker has no topic ids.
    pub changelog: Option<TopicId>,
    /// How many partitions the rows are spread over, by the hash of their uuids.
    pub partitions: u32,
    /// The changelog that this one was rebuilt from. A store that belongs to that one is out of date.
    pub replaces: Option<TopicId>,
    /// The last uuid whose row a rebuild has written that has not finished; `None`: the rows are complete.
    pub rebuilt_up_to: Option<Arc<str>>,
}

/// In what rows belong to something else than the daemon that looks at them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// They belong to another cluster: theirs, ours.
    Cluster(Arc<str>, Arc<str>),
    /// They belong to another changelog: theirs, ours.
    Changelog(TopicId, TopicId),
    /// They are spread over another number of partitions: theirs, ours.
    Partitions(u32, u32),
    /// They belong to another group: theirs, ours.
    Group(Arc<str>, Arc<str>),
}

impl Owner {
    /// The first thing in which these rows belong to somebody else than `here`; what one of both does not know is no
    /// difference.
    #[must_use]
    pub fn difference(&self, here: &Self) -> Option<Difference> {
        if let (Some(theirs), Some(ours)) = (&self.cluster, &here.cluster)
            && theirs != ours
        {
            return Some(Difference::Cluster(theirs.clone(), ours.clone()));
        }
        if let (Some(theirs), Some(ours)) = (&self.changelog, &here.changelog)
            && theirs != ours
        {
            return Some(Difference::Changelog(theirs.clone(), ours.clone()));
        }
        if self.partitions != here.partitions {
            return Some(Difference::Partitions(self.partitions, here.partitions));
        }
        (self.group != here.group)
            .then(|| Difference::Group(self.group.clone(), here.group.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner {
            cluster: Some("c".into()),
            group: "g".into(),
            changelog: Some("t".into()),
            partitions: 2,
            replaces: None,
            rebuilt_up_to: None,
        }
    }

    #[test]
    fn rows_of_another_cluster_changelog_count_or_group_differ() {
        let here = owner();
        assert_eq!(owner().difference(&here), None);
        let cluster = Owner { cluster: Some("d".into()), ..owner() };
        assert_eq!(cluster.difference(&here), Some(Difference::Cluster("d".into(), "c".into())));
        let changelog = Owner { changelog: Some("u".into()), ..owner() };
        let difference = Difference::Changelog("u".into(), "t".into());
        assert_eq!(changelog.difference(&here), Some(difference));
        let partitions = Owner { partitions: 4, ..owner() };
        assert_eq!(partitions.difference(&here), Some(Difference::Partitions(4, 2)));
        let group = Owner { group: "h".into(), ..owner() };
        assert_eq!(group.difference(&here), Some(Difference::Group("h".into(), "g".into())));
    }

    #[test]
    fn what_is_not_known_is_no_difference() {
        let unknown = Owner { cluster: None, changelog: None, ..owner() };
        assert_eq!(unknown.difference(&owner()), None);
        assert_eq!(owner().difference(&unknown), None);
        assert!(!TopicId::differ(None, Some(&"t".into())));
        assert!(TopicId::differ(Some(&"u".into()), Some(&"t".into())));
    }
}
