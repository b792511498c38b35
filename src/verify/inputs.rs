//! The changes of the inputs that events report: logs that were replaced, records that were deleted, offsets that were
//! moved.
//!
//! After a topic was deleted and created again, an offset means another record. So words about the former log belong to
//! a separate log, which no longer exists: a [`Which`] whose topic is no input's.

use super::ledger::{Entry, Which};
use super::violation::{Book, Violation, What, shown};
use super::{Layout, Spot};
use crate::codec::event::{InputChange, InputEvent, MovedBy};
use crate::domain::Timestamp;
use std::collections::BTreeMap;

/// The distance between the topic numbers of a log and its former log. Larger than any number of inputs.
const FORMER: usize = 1 << 20;

/// A move of the offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moved {
    at: Timestamp,
    from: i64,
    to: i64,
    by: MovedBy,
}

/// The changes of one partition of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Story {
    /// The times at which it was deleted and created again, sorted.
    recreated: Vec<Timestamp>,
    missed: Vec<(i64, i64)>,
    moved: Vec<Moved>,
}

/// The changes of all inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<Which, Story>);

impl Changes {
    /// Takes a change of the partition `which` from an event.
    pub(super) fn see(&mut self, which: Which, at: Timestamp, event: &InputEvent) {
        let story = self.0.entry(which).or_default();
        match &event.change {
            InputChange::Recreated { .. } => {
                let index = story.recreated.partition_point(|known| *known <= at);
                story.recreated.insert(index, at);
            }
            InputChange::Missed { from, to } => story.missed.push((*from, *to)),
            InputChange::Moved { from, to, by } => {
                story.moved.push(Moved { at, from: *from, to: *to, by: *by });
            }
        }
    }

    /// Returns whether words must be interpreted differently because of the changes.
    pub(super) fn matter(&self) -> bool {
        self.0.values().any(|story| {
            !story.recreated.is_empty() || story.moved.iter().any(|moved| moved.to < moved.from)
        })
    }

    /// Returns the logs that an event at `at` about `entry` may mean, the oldest first. The last one is the right one
    /// if nothing else is known.
    pub(super) fn logs(&self, entry: Entry, at: Timestamp) -> impl Iterator<Item = Entry> {
        let ((topic, partition), offset) = entry;
        let recreated = self.0.get(&(topic, partition)).map_or(&[][..], |story| &story.recreated);
        let since = recreated.iter().filter(|known| at < **known).count();
        (since..=recreated.len()).rev().map(move |age| ((topic + age * FORMER, partition), offset))
    }

    /// Returns whether the partition was deleted and created again.
    pub(super) fn is_recreated(&self, which: Which) -> bool {
        self.0.get(&which).is_some_and(|story| !story.recreated.is_empty())
    }

    /// Returns when each partition of a topic was last created again.
    pub(super) fn recreated(&self, topic: usize) -> impl Iterator<Item = (i32, Timestamp)> {
        let stories = self.0.iter().filter(move |((index, _), _)| *index == topic);
        stories.filter_map(|((_, partition), story)| Some((*partition, *story.recreated.last()?)))
    }

    /// Returns whether the record was read again on purpose before `at`, so that a repeated word is no violation.
    pub(super) fn is_again(&self, (which, offset): Entry, at: Timestamp) -> bool {
        self.moves(which).any(|moved| moved.at <= at && (moved.to..moved.from).contains(&offset))
    }

    /// Returns whether a moved offset skipped the record.
    pub(super) fn is_skipped(&self, (which, offset): Entry) -> bool {
        self.moves(which).any(|moved| (moved.from..moved.to).contains(&offset))
    }

    /// Returns whether an event reports that Kafka deleted the offset before it was read.
    pub(super) fn is_missed(&self, (which, offset): Entry) -> bool {
        let story = self.0.get(&which);
        story.is_some_and(|story| {
            story.missed.iter().any(|(from, to)| (*from..*to).contains(&offset))
        })
    }

    /// Returns the moves within the current log.
    fn moves(&self, which: Which) -> impl Iterator<Item = &Moved> {
        let story = self.0.get(&which);
        story.into_iter().flat_map(|story| {
            let since = story.recreated.last();
            story.moved.iter().filter(move |moved| since.is_none_or(|since| moved.at >= *since))
        })
    }

    /// Reports records that were deleted before they were read, and notes what can't be judged.
    pub(super) fn finish(&self, layout: &Layout, book: &mut Book, notes: &mut Vec<String>) {
        for ((topic, partition), story) in &self.0 {
            let topic = layout.input_name(*topic);
            for (from, to) in &story.missed {
                let says = format!(
                    "Kafka deleted offsets {from} to {} of topic {topic}, partition {partition}, before they were read",
                    to - 1
                );
                let spot = Spot { topic, partition: *partition, offset: Some(*from) };
                book.note(Violation::new(What::Missed, says).at(spot));
            }
            for at in &story.recreated {
                notes.push(format!(
                    "topic {topic}, partition {partition}, was deleted and created again; this was noticed at {}. \
                     The earlier events are about deleted records, and were not compared with records",
                    shown(*at)
                ));
            }
            for Moved { at, from, to, by } in &story.moved {
                let by = match by {
                    MovedBy::Group => "another program".to_owned(),
                    MovedBy::Skip | MovedBy::Reset => {
                        format!("`ringback offsets {}`", by.as_str())
                    }
                };
                notes.push(if to < from {
                    format!(
                        "topic {topic}, partition {partition}: {by} moved the offset from {from} back to {to} at {}; \
                         a second event about one of these records was not counted as a violation",
                        shown(*at)
                    )
                } else {
                    format!(
                        "topic {topic}, partition {partition}: {by} moved the offset from {from} to {to} at {}; the \
                         records between them were skipped on purpose",
                        shown(*at)
                    )
                });
            }
        }
    }
}
