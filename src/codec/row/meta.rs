//! The meta row of a partition: its positions in the inputs, and the owner of its rows.
//!
//! An offset is valid only for one log. Rows are valid only for one group, one cluster and one number of partitions. So
//! the meta row contains these too.

use crate::domain::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Ids from Kafka contain no colon.
const GENERATED: &str = "ringback:";

/// The id that Kafka gave a topic when it was created, as Kafka's tools print it. A topic that was deleted and created
/// again has another id.
///
/// If Kafka gives no ids, a daemon generates one for each partition of the changelog that has none. From then on each
/// meta row of the partition carries it. A changelog that was created again contains no row with this id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(Arc<str>);

impl TopicId {
    /// Returns an id for a partition of a changelog to which Kafka has given none.
    #[must_use]
    pub fn generated(random: [u8; 16]) -> Self {
        Self(format!("{GENERATED}{}", URL_SAFE_NO_PAD.encode(random)).into())
    }

    /// Returns whether a daemon generated the id, because Kafka gave none.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.0.starts_with(GENERATED)
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether both ids are known and differ. A broker without topic ids differs from none.
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

/// A record that was read. It identifies a log without a topic id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landmark {
    pub offset: i64,
    /// The hash of the record's time, key and value.
    pub content: u64,
}

impl Landmark {
    /// Returns the landmark of a record.
    #[must_use]
    pub fn of(offset: i64, at: Timestamp, key: &[u8], value: &[u8]) -> Self {
        let key = xxh3_64_with_seed(key, at.as_ms().cast_unsigned());
        Self { offset, content: xxh3_64_with_seed(value, key) }
    }
}

/// The meta row of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Meta {
    /// The position in each input partition.
    pub offsets: Vec<InputOffset>,
    /// When the row was written.
    pub committed_at: Timestamp,
    /// The owner of the rows; `None` if an earlier version wrote the row.
    pub owner: Option<Owner>,
}

/// The position in one input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputOffset {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The offset of the first record that is not processed yet.
    pub next_offset: i64,
    /// The id of the topic to which the offset belongs; `None` if it is unknown.
    pub topic_id: Option<TopicId>,
    /// A record of the log to which the offset belongs; `None` if the topic has an id, or nothing was read.
    pub landmark: Option<Landmark>,
}

/// The owner of the rows of a changelog or of a store.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Owner {
    /// The id of the Kafka cluster; `None` if the broker does not report it.
    pub cluster: Option<Arc<str>>,
    /// The consumer group of the daemons.
    pub group: Arc<str>,
    /// The id of the changelog's topic, or the generated id of its partition; `None` if it is unknown.
    pub changelog: Option<TopicId>,
    /// The number of partitions over which the rows are distributed by the hash of their uuids.
    pub partitions: u32,
    /// The id of the changelog that this one replaces. A store that belongs to the former one is out of date.
    pub replaces: Option<TopicId>,
    /// The ids of the changelogs that were replaced before that one, the newest last. Stores of them are out of date too.
    pub earlier: Vec<TopicId>,
    /// The last uuid whose row an unfinished rebuild has written; `None` if the rows are complete.
    pub rebuilt_up_to: Option<Arc<str>>,
    /// The name of the changelog whose rows an unfinished repartition copies to this one; `None` if the rows are
    /// complete.
    pub copies: Option<Arc<str>>,
    /// The topics that have replaced this changelog and its inbox; `None` while the rows are in use.
    pub replaced_by: Option<Replacement>,
}

/// The topics that a repartition has written instead of a changelog and its inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The name of the new changelog.
    pub changelog: Arc<str>,
    /// The name of the new inbox.
    pub inbox: Arc<str>,
}

/// A difference between the owner of some rows and the daemon that reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The rows belong to another cluster: theirs, ours.
    Cluster(Arc<str>, Arc<str>),
    /// The rows belong to another changelog: theirs, ours.
    Changelog(TopicId, TopicId),
    /// The rows are distributed over another number of partitions: theirs, ours.
    Partitions(u32, u32),
    /// The rows belong to another group: theirs, ours.
    Group(Arc<str>, Arc<str>),
}

impl Owner {
    /// Returns the ids of the changelogs whose stores are out of date, the newest last.
    pub fn outdated(&self) -> impl Iterator<Item = &TopicId> {
        self.earlier.iter().chain(&self.replaces)
    }

    /// Takes over the ids of `former`, whose rows these rows continue.
    pub fn goes_on(&mut self, former: &Self) {
        self.replaces.clone_from(&former.replaces);
        self.earlier.clone_from(&former.earlier);
        match (&self.changelog, &former.changelog) {
            // Kafka gives no id for the changelog, but its rows carry one.
            (None, theirs) => self.changelog.clone_from(theirs),
            // Stores that still have the former id are restored.
            (Some(ours), Some(theirs)) if ours != theirs => {
                self.replaces = Some(theirs.clone());
                self.earlier = former.outdated().cloned().collect();
            }
            (Some(_), _) => {}
        }
    }

    /// Returns the first difference between the owner of these rows and `here`. A value that one of them does not know
    /// makes no difference. Nor does a generated id of the changelog if Kafka has given its topic an id since.
    #[must_use]
    pub fn difference(&self, here: &Self) -> Option<Difference> {
        if let (Some(theirs), Some(ours)) = (&self.cluster, &here.cluster)
            && theirs != ours
        {
            return Some(Difference::Cluster(theirs.clone(), ours.clone()));
        }
        if let (Some(theirs), Some(ours)) = (&self.changelog, &here.changelog)
            && theirs != ours
            && (!theirs.is_generated() || ours.is_generated())
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
            ..Owner::default()
        }
    }

    #[test]
    fn rows_of_another_cluster_changelog_partition_count_or_group_differ() {
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
    fn an_unknown_value_is_no_difference() {
        let unknown = Owner { cluster: None, changelog: None, ..owner() };
        assert_eq!(unknown.difference(&owner()), None);
        assert_eq!(owner().difference(&unknown), None);
        assert!(!TopicId::differ(None, Some(&"t".into())));
        assert!(TopicId::differ(Some(&"u".into()), Some(&"t".into())));
    }

    #[test]
    fn an_id_that_kafka_gives_later_replaces_a_generated_id_and_no_other() {
        let of = |changelog: TopicId| Owner { changelog: Some(changelog), ..owner() };
        let (one, other) = (TopicId::generated([1; 16]), TopicId::generated([2; 16]));
        let kafkas = TopicId::from("9ZsR_1tYQn2hV3b-4c5d6e");
        assert!(one.is_generated() && !kafkas.is_generated());
        assert_eq!(of(one.clone()).difference(&of(kafkas.clone())), None);
        assert_eq!(of(one.clone()).difference(&of(one.clone())), None);
        for (theirs, ours) in [(one, other.clone()), (kafkas, other)] {
            let difference = Difference::Changelog(theirs.clone(), ours.clone());
            assert_eq!(of(theirs).difference(&of(ours)), Some(difference));
        }
    }

    #[test]
    fn rows_that_continue_others_keep_the_changelogs_id_or_name_the_one_that_it_replaces() {
        let of = |changelog: Option<&str>, replaces: Option<&str>| {
            let (changelog, replaces) = (changelog.map(TopicId::from), replaces.map(TopicId::from));
            Owner { changelog, replaces, ..owner() }
        };
        for (ours, former, becomes) in [
            (of(None, None), of(Some("a"), Some("b")), of(Some("a"), Some("b"))),
            (of(None, None), of(None, None), of(None, None)),
            (of(Some("a"), None), of(Some("a"), Some("b")), of(Some("a"), Some("b"))),
            (of(Some("a"), None), of(None, Some("b")), of(Some("a"), Some("b"))),
            (of(Some("c"), None), of(Some("a"), Some("b")), of(Some("c"), Some("a"))),
        ] {
            let mut rows = ours;
            rows.goes_on(&former);
            // The test below is about the earlier ones.
            rows.earlier.clear();
            assert_eq!(rows, becomes, "{former:?}");
        }
    }

    #[test]
    fn rows_name_every_changelog_whose_stores_are_out_of_date() {
        let of = |changelog: &str, replaces: &str, earlier: &[&str]| Owner {
            changelog: Some(changelog.into()),
            replaces: Some(replaces.into()),
            earlier: earlier.iter().map(|id| TopicId::from(*id)).collect(),
            ..owner()
        };
        let former = of("c", "b", &["a"]);
        let mut next = Owner { changelog: Some("d".into()), ..owner() };
        next.goes_on(&former);
        assert_eq!(next, of("d", "c", &["a", "b"]));
        let mut same = Owner { changelog: Some("c".into()), ..owner() };
        same.goes_on(&former);
        assert_eq!(same, former);
    }

    #[test]
    fn a_landmark_depends_on_a_records_time_key_and_value() {
        let of = |at, key: &str, value: &str| {
            Landmark::of(7, Timestamp::from_ms(at), key.as_bytes(), value.as_bytes())
        };
        assert_eq!(of(1, "key", "value"), of(1, "key", "value"));
        for other in [of(2, "key", "value"), of(1, "keyv", "alue"), of(1, "key", "other")] {
            assert_ne!(of(1, "key", "value"), other);
        }
    }
}
