//! The position in an input partition, as it is stored in the group and in the state.

use crate::codec::row::{InputOffset, Landmark, Meta, TopicId};
use crate::log::{GroupOffset, TopicPartition};
use std::sync::Arc;

/// The reason why the rows of a changelog partition are not the state of this consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// They belong to this other consumer group.
    OtherGroup(Arc<str>),
    /// They are those of a rebuild that was interrupted.
    InterruptedRebuild,
    /// They are those of a repartition that copies this changelog and is not finished.
    UnfinishedCopy(Arc<str>),
    /// A repartition has replaced the changelog by this one.
    Replaced(Arc<str>),
}

impl Unusable {
    /// Returns why the rows that `meta` describes are unusable for the consumer group `group`.
    pub(super) fn of(meta: &Meta, group: &str) -> Option<Self> {
        let owner = meta.owner.as_ref()?;
        if let Some(by) = &owner.replaced_by {
            return Some(Self::Replaced(by.changelog.clone()));
        }
        if let Some(from) = &owner.copies {
            return Some(Self::UnfinishedCopy(from.clone()));
        }
        if *owner.group != *group {
            return Some(Self::OtherGroup(owner.group.clone()));
        }
        owner.rebuilt_up_to.is_some().then_some(Self::InterruptedRebuild)
    }

    /// Says what is wrong and what to do, behind the name of the changelog. `group` is the configured consumer group.
    #[must_use]
    pub fn explain(&self, group: &str) -> String {
        match self {
            Self::OtherGroup(other) => format!(
                "its rows belong to the consumer group {other}, but [kafka] group_id is {group}: correct one of them"
            ),
            Self::InterruptedRebuild => {
                "a rebuild of the changelog was interrupted. Run `ringback changelog rebuild` \
                 again: it goes on where it stopped"
                    .to_owned()
            }
            Self::UnfinishedCopy(from) => format!(
                "it is an unfinished copy of topic {from}. Set [topics] changelog to \"{from}\", and [topics] inbox to \
                 its inbox, until `ringback repartition` is done"
            ),
            Self::Replaced(by) => format!(
                "`ringback repartition` has replaced it by topic {by}: set [topics] changelog to \"{by}\", and [topics] \
                 inbox to its inbox"
            ),
        }
    }
}

/// The position in one input partition.
#[derive(Clone, Debug)]
pub struct Position {
    pub place: TopicPartition,
    /// The group's committed offset.
    pub group: Option<GroupOffset>,
    /// The state's offset. `None`: the state has read nothing of this partition, its rows are unusable, or the input is
    /// only forwarded.
    pub state: Option<InputOffset>,
    /// Why the rows of the changelog partition are unusable, if they are.
    pub unusable: Option<Unusable>,
    /// The changelog partition that the input partition belongs to. `None`: the input is only forwarded.
    pub owner: Option<i32>,
    /// The partition's first available offset.
    pub first: i64,
    /// The partition's end offset: the last record's offset plus one.
    pub end: i64,
    /// The id of the current topic, if Kafka has topic ids.
    pub topic: Option<TopicId>,
    /// Whether the offsets that are left contain no record, only markers of transactions.
    pub is_read_up: bool,
    /// Whether the topic has no id and a record that was read is missing, so that the topic was replaced.
    pub is_replaced: bool,
}

impl Position {
    /// Returns the offset at which a daemon would continue.
    #[must_use]
    pub fn next(&self) -> i64 {
        if !self.is_same_topic() {
            return self.first;
        }
        let group = self.group.as_ref().map(|group| group.offset);
        let state = self.state.as_ref().map(|state| state.next_offset);
        let earlier = match (group, state) {
            (Some(group), Some(state)) => Some(group.min(state)),
            (one, other) => one.or(other),
        };
        earlier.unwrap_or(self.first).max(self.first)
    }

    /// Returns the position with the ids of the topic that was read, for the rows of another changelog. `None`: nothing
    /// was read.
    #[must_use]
    pub fn carried(&self) -> Option<InputOffset> {
        let (group, state) = (self.group.as_ref(), self.state.as_ref());
        let offsets = [group.map(|it| it.offset), state.map(|it| it.next_offset)];
        let next_offset = offsets.into_iter().flatten().min()?;
        let TopicPartition { topic, partition } = self.place.clone();
        let landmark = state.and_then(|it| it.landmark).or(group.and_then(|it| it.landmark));
        Some(InputOffset {
            topic,
            partition,
            next_offset,
            topic_id: self.read().cloned(),
            landmark,
        })
    }

    /// Returns the number of offsets that are left to read.
    #[must_use]
    pub fn lag(&self) -> i64 {
        if self.is_read_up { 0 } else { (self.end - self.next()).max(0) }
    }

    /// Returns whether the position refers to the current topic and not to a deleted one of the same name.
    #[must_use]
    pub fn is_same_topic(&self) -> bool {
        !self.is_replaced && !TopicId::differ(self.read(), self.topic.as_ref())
    }

    /// Returns the id of the topic that was read.
    fn read(&self) -> Option<&TopicId> {
        let state = self.state.as_ref().and_then(|state| state.topic_id.as_ref());
        state.or_else(|| self.group.as_ref().and_then(|group| group.topic.as_ref()))
    }

    /// Returns the landmark that identifies the topic, or `None` if topic ids identify it.
    pub(super) fn landmark(&self) -> Option<Landmark> {
        if self.read().is_some() && self.topic.is_some() {
            return None;
        }
        let state = self.state.as_ref().and_then(|state| state.landmark);
        state.or_else(|| self.group.as_ref().and_then(|group| group.landmark))
    }

    /// Returns the landmark that stays beside a moved position.
    pub(super) fn kept_landmark(&self) -> Option<Landmark> {
        self.landmark().filter(|_| self.topic.is_none() && self.is_same_topic())
    }
}
