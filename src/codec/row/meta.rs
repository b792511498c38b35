//! The meta row of a partition: how far its inputs were taken into account, and what the partition belongs to.
//!
//! An offset means nothing without the log that it counts in, and rows mean nothing without the group, the cluster and the
//! number of partitions that they were made for. So each stands beside what it belongs to.

use crate::domain::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Ids that Kafka gives contain no colon.
const GENERATED: &str = "ringback:";

/// The id that Kafka gave a topic when it was created, as Kafka's tools print it. A topic that was deleted and created again
/// has another one.
///
/// Where Kafka gives none, a daemon that finds a partition of the changelog without an id generates one, and each meta row of
/// the partition carries it from then on. So a log that was created again has no row with this id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(Arc<str>);

impl TopicId {
    /// An id of a changelog to which Kafka has given none.
    #[must_use]
    pub fn generated(random: [u8; 16]) -> Self {
        Self(format!("{GENERATED}{}", URL_SAFE_NO_PAD.encode(random)).into())
    }

    /// Whether a daemon has generated it, because Kafka gave none.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.0.starts_with(GENERATED)
    }

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

/// A record that was read, by which a log without a topic id is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landmark {
    /// Its offset.
    pub offset: i64,
    /// The hash of its time, key and value.
    pub content: u64,
}

impl Landmark {
    /// That of a record.
    #[must_use]
    pub fn of(offset: i64, at: Timestamp, key: &[u8], value: &[u8]) -> Self {
        let key = xxh3_64_with_seed(key, at.as_ms().cast_unsigned());
        Self { offset, content: xxh3_64_with_seed(value, key) }
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
    /// A record of the log that the offset counts in; `None`: the topic's id says which one it is, or nothing was read.
    pub landmark: Option<Landmark>,
}

/// What the rows of a changelog, or of a store, belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The id of the Kafka cluster; `None`: the broker does not say.
    pub cluster: Option<Arc<str>>,
    /// The consumer group of the daemons.
    pub group: Arc<str>,
    /// The id of the changelog's topic, or the generated one of its partition; `None`: unknown.
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
    /// These rows go on with those of `former`, which belong to the same.
    pub fn goes_on(&mut self, former: &Self) {
        self.replaces.clone_from(&former.replaces);
        match (&self.changelog, &former.changelog) {
            // Kafka does not say which changelog it is, and its rows do.
            (None, theirs) => self.changelog.clone_from(theirs),
            // Stores that still have the generated id are restored.
            (Some(ours), Some(theirs)) if ours != theirs => self.replaces = Some(theirs.clone()),
            (Some(_), _) => {}
        }
    }

    /// The first thing in which these rows belong to somebody else than `here`; what one of both does not know is no
    /// difference. Nor is an id that Kafka has given meanwhile to a topic whose rows carry a generated one.
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

    #[test]
    fn an_id_that_kafka_gives_later_takes_the_place_of_a_generated_one_and_of_no_other() {
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
    fn rows_that_go_on_keep_the_changelogs_id_or_say_which_one_it_replaces() {
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
            assert_eq!(rows, becomes, "{former:?}");
        }
    }

    #[test]
    fn a_landmark_is_a_records_time_key_and_value() {
        let of = |at, key: &str, value: &str| {
            Landmark::of(7, Timestamp::from_ms(at), key.as_bytes(), value.as_bytes())
        };
        assert_eq!(of(1, "key", "value"), of(1, "key", "value"));
        for other in [of(2, "key", "value"), of(1, "keyv", "alue"), of(1, "key", "other")] {
            assert_ne!(of(1, "key", "value"), other);
        }
    }
}
