//! The position at which an input partition continues once its rows are restored.

use crate::codec::event::{InputChange, InputEvent, MovedBy};
use crate::codec::row::{InputOffset, Landmark, TopicId};
use crate::log::{Begin, Found, From, GroupOffset, LogError, Offsets, TopicPartition};

/// The facts about an input partition.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// The group's committed offset.
    pub(super) committed: Option<&'a GroupOffset>,
    pub(super) position: Option<&'a InputOffset>,
    /// The id of the present topic.
    pub(super) topic: Option<&'a TopicId>,
    /// Whether the reader has passed records that were read and dropped. Then it is always sent back.
    pub(super) is_held: bool,
    /// Whether records are deleted only in order, from the first one on.
    pub(super) is_dense: bool,
}

/// How an input partition continues.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) struct Resumption {
    pub(in crate::engine) from: From,
    /// The state's position from now on; `None` if it has read nothing yet.
    pub(in crate::engine) position: Option<i64>,
    /// The landmark that identifies the log from now on; `None` if the topic's id does that, or the first record that
    /// is read.
    pub(in crate::engine) landmark: Option<Landmark>,
    /// The change to report.
    pub(in crate::engine) event: Option<InputEvent>,
}

/// Returns where `place` continues, and its changes since it was last read.
pub(super) fn resume(
    place: &TopicPartition,
    known: Known<'_>,
    begin: Begin,
    offsets: &impl Offsets,
) -> Result<Resumption, LogError> {
    let TopicPartition { topic, partition } = place.clone();
    let report = |change| Some(InputEvent { topic: topic.clone(), partition, change });
    let read = known.position.map(|position| position.next_offset);
    let read = read.or(known.committed.map(|committed| committed.offset));
    let landmark = known.landmark();
    let found = landmark.map(|landmark| offsets.found(place, landmark)).transpose()?;
    let is_other = found.is_some_and(|found| found.is_other(known.is_dense));
    let former = known.former();
    if former.is_some() || is_other {
        let offset = offsets.offset_at(place, begin)?;
        let id = known.topic.cloned();
        let former_offset = read.unwrap_or(0);
        let event = report(InputChange::Recreated { former, id, former_offset, offset });
        let (from, position) = (From::Offset(offset), Some(offset));
        return Ok(Resumption { from, position, landmark: None, event });
    }
    // A landmark that retention has deleted proves nothing from now on.
    let landmark = landmark.filter(|_| known.topic.is_none() && found != Some(Found::Deleted));
    let (from, position) = (known.from(place), known.position.map(|it| it.next_offset));
    let next = match from {
        From::Offset(offset) => Some(offset),
        From::Here => read,
        From::Beginning => None,
    };
    let resumed = |from, position, event| Ok(Resumption { from, position, landmark, event });
    let Some(next) = next else { return resumed(from, position, None) };
    let first = offsets.offset_at(place, Begin::Beginning)?;
    if next < first {
        let event = report(InputChange::Missed { from: next, to: first });
        return resumed(From::Offset(first), Some(first), event);
    }
    if let Some(read) = position.filter(|read| next < *read) {
        let event = report(InputChange::Moved { from: read, to: next, by: MovedBy::Group });
        return resumed(from, Some(next), event);
    }
    resumed(from, position, None)
}

impl Known<'_> {
    /// Returns the topic that was read, if the present topic of this name is another one.
    fn former(&self) -> Option<TopicId> {
        self.read().filter(|read| TopicId::differ(Some(read), self.topic)).cloned()
    }

    /// Returns the id of the topic that was read.
    fn read(&self) -> Option<&TopicId> {
        let read = self.position.and_then(|position| position.topic_id.as_ref());
        read.or_else(|| self.committed.and_then(|committed| committed.topic.as_ref()))
    }

    /// Returns the landmark that identifies the log that was read, if ids can't.
    fn landmark(&self) -> Option<Landmark> {
        if self.read().is_some() && self.topic.is_some() {
            return None;
        }
        let read = self.position.and_then(|position| position.landmark);
        read.or_else(|| self.committed.and_then(|committed| committed.landmark))
    }

    /// Returns where to read from. The offsets of group and state are equal, unless the group's were moved or expired.
    /// Then the earlier one counts: records that were seen before are recognised, and no unseen record is lost.
    fn from(&self, place: &TopicPartition) -> From {
        let held_at = |offset| if self.is_held { From::Offset(offset) } else { From::Here };
        let committed = self.committed.map(|committed| committed.offset);
        match (committed, self.position.map(|position| position.next_offset)) {
            (None, None) if self.is_held => From::Beginning,
            (Some(offset), None) => held_at(offset),
            (None, None) => From::Here,
            (None, Some(position)) => From::Offset(position),
            (Some(committed), Some(position)) if committed == position => held_at(position),
            (Some(committed), Some(position)) => {
                tracing::warn!(
                    topic = place.topic.as_ref(),
                    partition = place.partition,
                    committed,
                    position,
                    "the group's offset differs from the state's position; reading from the earlier one"
                );
                From::Offset(committed.min(position))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::row::Owner;
    use crate::log::Identity;
    use std::collections::BTreeMap;

    /// An input whose records begin at this offset.
    struct Log(i64);

    impl Offsets for Log {
        fn committed(
            &self,
            _: &[TopicPartition],
        ) -> Result<BTreeMap<TopicPartition, GroupOffset>, LogError> {
            Ok(BTreeMap::new())
        }

        fn offset_at(&self, _: &TopicPartition, begin: Begin) -> Result<i64, LogError> {
            Ok(match begin {
                Begin::Beginning => self.0,
                Begin::End | Begin::Time(_) => 100,
            })
        }

        fn identity(&self, _: &[&str]) -> Result<Identity, LogError> {
            Ok(Identity::default())
        }

        /// The landmark's content selects the result.
        fn found(&self, _: &TopicPartition, landmark: Landmark) -> Result<Found, LogError> {
            Ok([Found::Same, Found::Other, Found::Nothing, Found::Deleted]
                [usize::try_from(landmark.content).unwrap()])
        }

        fn owners(&self) -> Result<BTreeMap<i32, Owner>, LogError> {
            Ok(BTreeMap::new())
        }
    }

    fn place() -> TopicPartition {
        TopicPartition { topic: "flow-complete".into(), partition: 0 }
    }

    fn position(next_offset: i64, id: Option<&str>) -> InputOffset {
        let place = place();
        let topic_id = id.map(TopicId::from);
        let TopicPartition { topic, partition } = place;
        InputOffset { topic, partition, next_offset, topic_id, landmark: None }
    }

    fn resumed(log: i64, known: Known<'_>) -> Resumption {
        resume(&place(), known, Begin::Beginning, &Log(log)).unwrap()
    }

    /// Checks where an input continues, with these offsets of group and state: `held` if it was read on, `fresh` if
    /// not.
    #[track_caller]
    fn check(group: Option<i64>, state: Option<i64>, held: From, fresh: From) {
        let committed = group.map(|offset| GroupOffset { offset, ..GroupOffset::default() });
        let state = state.map(|offset| position(offset, None));
        let (committed, position) = (committed.as_ref(), state.as_ref());
        for (is_held, from) in [(true, held), (false, fresh)] {
            let known = Known { committed, position, topic: None, is_held, is_dense: false };
            assert_eq!(resumed(0, known).from, from, "held: {is_held}");
        }
    }

    #[test]
    fn records_that_were_read_and_dropped_are_read_again() {
        check(None, None, From::Beginning, From::Here);
        check(Some(3), None, From::Offset(3), From::Here);
        check(Some(3), Some(3), From::Offset(3), From::Here);
    }

    #[test]
    fn the_earlier_of_two_offsets_counts() {
        check(None, Some(3), From::Offset(3), From::Offset(3));
        check(Some(2), Some(3), From::Offset(2), From::Offset(2));
        check(Some(4), Some(3), From::Offset(3), From::Offset(3));
    }

    #[test]
    fn a_recreated_topic_is_read_from_its_beginning() {
        let now = TopicId::from("new");
        let (read, group) = (position(30, Some("old")), |topic: Option<&str>| GroupOffset {
            offset: 30,
            topic: topic.map(TopicId::from),
            ..GroupOffset::default()
        });
        let (unknown, old, new) = (group(None), group(Some("old")), group(Some("new")));
        let known = |committed, position| Known {
            committed: Some(committed),
            position,
            topic: Some(&now),
            is_held: false,
            is_dense: false,
        };
        for known in [known(&unknown, Some(&read)), known(&old, None)] {
            let Resumption { from, position, event, .. } = resumed(2, known);
            assert_eq!((from, position), (From::Offset(2), Some(2)));
            let recreated = InputChange::Recreated {
                former: Some("old".into()),
                id: Some("new".into()),
                former_offset: 30,
                offset: 2,
            };
            assert_eq!(event.unwrap().change, recreated);
        }
        for known in [known(&unknown, None), known(&new, None)] {
            let Resumption { from, event, .. } = resumed(2, known);
            assert_eq!((from, event), (From::Here, None));
        }
    }

    /// Returns whether a topic that was read up to offset 30 is another one, and its landmark from now on.
    fn recognised(
        content: u64,
        read: Option<&str>,
        now: Option<&str>,
        is_dense: bool,
    ) -> (bool, Option<Landmark>) {
        let landmark = Some(Landmark { offset: 29, content });
        let position = InputOffset { landmark, ..position(30, read) };
        let now = now.map(TopicId::from);
        let committed = GroupOffset {
            offset: 30,
            topic: read.map(TopicId::from),
            landmark,
            ..GroupOffset::default()
        };
        let known = |committed, position| Known {
            committed: Some(committed),
            position,
            topic: now.as_ref(),
            is_held: false,
            is_dense,
        };
        let [one, other] = [known(&committed, Some(&position)), known(&committed, None)]
            .map(|known| resumed(2, known));
        assert_eq!((&one.event, one.landmark), (&other.event, other.landmark));
        let is_other = one.event.is_some_and(|event| {
            let recreated = InputChange::Recreated {
                former: None,
                id: now.clone(),
                former_offset: 30,
                offset: 2,
            };
            assert_eq!((event.change, one.from), (recreated, From::Offset(2)));
            true
        });
        (is_other, one.landmark)
    }

    #[test]
    fn a_topic_without_an_id_is_recognised_by_a_record() {
        let kept = |content| Some(Landmark { offset: 29, content });
        assert_eq!(recognised(0, None, None, false), (false, kept(0)));
        assert_eq!(recognised(1, None, None, false), (true, None));
        assert_eq!(
            recognised(2, None, None, false),
            (false, kept(2)),
            "compaction may have removed it"
        );
        assert_eq!(recognised(2, None, None, true), (true, None));
        assert_eq!(recognised(3, None, None, true), (false, None), "retention has deleted it");
        // The broker has ids now. For the last time, the record shows whether the topic is the same.
        assert_eq!(recognised(0, None, Some("new"), false), (false, None));
        assert_eq!(recognised(1, None, Some("new"), false), (true, None));
        assert_eq!(recognised(1, Some("new"), Some("new"), false), (false, None), "the id counts");
    }

    #[test]
    fn a_group_whose_offset_was_moved_back_reads_again_and_reports_it() {
        let position = position(30, Some("t"));
        let moved = |offset| {
            let committed = GroupOffset { offset, ..GroupOffset::default() };
            let known = Known {
                committed: Some(&committed),
                position: Some(&position),
                topic: None,
                is_held: false,
                is_dense: false,
            };
            let Resumption { position, event, .. } = resumed(0, known);
            (position, event.map(|event| event.change))
        };
        let change = InputChange::Moved { from: 30, to: 10, by: MovedBy::Group };
        assert_eq!(moved(10), (Some(10), Some(change)));
        assert_eq!(moved(30), (Some(30), None));
        assert_eq!(moved(40), (Some(30), None));
    }

    #[test]
    fn deleted_records_are_reported_and_skipped() {
        let (read, none) = (position(30, Some("t")), position(50, Some("t")));
        let topic = TopicId::from("t");
        let known = |position| Known {
            committed: None,
            position: Some(position),
            topic: Some(&topic),
            is_held: false,
            is_dense: false,
        };
        let Resumption { from, position, event, .. } = resumed(50, known(&read));
        assert_eq!((from, position), (From::Offset(50), Some(50)));
        assert_eq!(event.unwrap().change, InputChange::Missed { from: 30, to: 50 });
        assert_eq!(resumed(50, known(&none)).event, None);
    }
}
