//! The offset that the group commits for an input partition, with the ids of the topics that it belongs to as metadata.
//!
//! Kafka keeps a committed offset under the topic's name, and the topic of that name may have been recreated. So each
//! offset carries the id of its topic. It also carries the id of the changelog whose rows were committed in the same
//! transaction: if that changelog is another one, the rows are lost.

use crate::codec::row::{Landmark, TopicId};
use crate::domain::Timestamp;
use std::fmt::Write as _;

const MARK: &str = "ringback";
const TOPIC: &str = "topic=";
const CHANGELOG: &str = "changelog=";
const LANDMARK: &str = "landmark=";

/// Where reading begins in an input that was deleted and created again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Begin {
    /// At its first record.
    #[default]
    Beginning,
    /// Behind its last record.
    End,
    /// At its first record of this time or later.
    Time(Timestamp),
}

/// The offset that the group committed for an input partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GroupOffset {
    /// The offset of the first record that is not processed.
    pub offset: i64,
    /// The topic that the offset counts in; `None`: unknown, for example because another program committed it.
    pub topic: Option<TopicId>,
    /// The changelog whose rows belong to the offset; `None`: unknown, or there are none.
    pub changelog: Option<TopicId>,
    /// A record of the topic that the offset counts in, if that topic has no id.
    pub landmark: Option<Landmark>,
}

impl GroupOffset {
    /// Returns the metadata that Kafka stores beside the offset.
    #[must_use]
    pub fn metadata(&self) -> String {
        let mut text = MARK.to_owned();
        let ids = [(TOPIC, &self.topic), (CHANGELOG, &self.changelog)];
        for (name, id) in ids.into_iter().filter_map(|(name, id)| Some((name, id.as_ref()?))) {
            text.push(' ');
            text.push_str(name);
            text.push_str(id.as_str());
        }
        if let Some(Landmark { offset, content }) = self.landmark {
            // A write to a string can't fail.
            let _ = write!(text, " {LANDMARK}{offset}:{content:016x}");
        }
        text
    }

    /// Parses an offset that was committed with `metadata`.
    #[must_use]
    pub fn read(offset: i64, metadata: &str) -> Self {
        let mut words = metadata.split(' ');
        if words.next() != Some(MARK) {
            return Self { offset, ..Self::default() };
        }
        let mut read = Self { offset, ..Self::default() };
        for word in words {
            if let Some(id) = word.strip_prefix(TOPIC) {
                read.topic = Some(id.into());
            } else if let Some(id) = word.strip_prefix(CHANGELOG) {
                read.changelog = Some(id.into());
            } else if let Some(text) = word.strip_prefix(LANDMARK) {
                read.landmark = landmark(text);
            }
        }
        read
    }
}

fn landmark(text: &str) -> Option<Landmark> {
    let (offset, content) = text.split_once(':')?;
    let content = u64::from_str_radix(content, 16).ok()?;
    Some(Landmark { offset: offset.parse().ok()?, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_reads_back_with_its_topics() {
        let (topic, changelog) = (Some("t-_1".into()), Some("c".into()));
        let landmark = Some(Landmark { offset: 6, content: 0x0123_4567_89ab_cdef });
        let group =
            |topic, changelog, landmark| GroupOffset { offset: 7, topic, changelog, landmark };
        for offset in [
            group(topic.clone(), changelog.clone(), None),
            group(topic, None, None),
            group(None, changelog, landmark),
            group(None, None, landmark),
            GroupOffset { offset: 0, ..GroupOffset::default() },
        ] {
            assert_eq!(GroupOffset::read(offset.offset, &offset.metadata()), offset);
        }
    }

    #[test]
    fn metadata_of_other_programs_are_ignored() {
        for metadata in ["", "topic=t", "ringbacks topic=t", "{\"a\":1}", "ringback landmark=3"] {
            let offset = GroupOffset { offset: 7, ..GroupOffset::default() };
            assert_eq!(GroupOffset::read(7, metadata), offset, "{metadata}");
        }
    }
}
