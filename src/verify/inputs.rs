//! What happened to the inputs, as events tell it: logs that were replaced, records that were deleted, offsets that were moved.
//!
//! An offset means another record once its topic was deleted and created again. So what is told of the former log is told of
//! a log of its own, which is not there any more: a [`Which`] whose topic is no input's.

use super::ledger::{Entry, Which};
use super::violation::{Book, Violation, What, shown};
use super::{Layout, Spot};
use crate::codec::event::{InputNotice, InputNoticeChange};
use crate::domain::Timestamp;
use std::collections::BTreeMap;

/// The topics of former logs are counted from here on, a range of so many for each log before.
const FORMER: usize = 1 << 20;

/// Offsets of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moved {
    at: Timestamp,
    from: i64,
    to: i64,
    by: Box<str>,
}

/// What happened to one partition of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Story {
    /// When it was deleted and created again, in the order of time.
    recreated: Vec<Timestamp>,
    missed: Vec<(i64, i64)>,
    moved: Vec<Moved>,
}

/// What happened to the inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<Which, Story>);

impl Changes {
    /// Takes what an event tells of the partition `which`.
    pub(super) fn see(&mut self, which: Which, at: Timestamp, notice: &InputNotice<'_>) {
        let story = self.0.entry(which).or_default();
        match &notice.change {
            InputNoticeChange::Recreated { .. } => {
                let index = story.recreated.partition_point(|known| *known <= at);
                story.recreated.insert(index, at);
            }
            InputNoticeChange::Missed { from, to } => story.missed.push((*from, *to)),
            InputNoticeChange::Moved { from, to, by } => {
                let (from, to, by) = (*from, *to, by.as_ref().into());
                story.moved.push(Moved { at, from, to, by });
            }
        }
    }

    /// Whether words are to be read otherwise because of them.
    pub(super) fn matter(&self) -> bool {
        self.0.values().any(|story| {
            !story.recreated.is_empty() || story.moved.iter().any(|moved| moved.to < moved.from)
        })
    }

    /// The logs in which something that is told at `at` of `entry` may stand, the oldest first; the last of them is where it
    /// stands if nothing else is known.
    pub(super) fn logs(&self, entry: Entry, at: Timestamp) -> impl Iterator<Item = Entry> {
        let ((topic, partition), offset) = entry;
        let recreated = self.0.get(&(topic, partition)).map_or(&[][..], |story| &story.recreated);
        let since = recreated.iter().filter(|known| at < **known).count();
        (since..=recreated.len()).rev().map(move |age| ((topic + age * FORMER, partition), offset))
    }

    /// Whether the partition was deleted and created again.
    pub(super) fn is_recreated(&self, which: Which) -> bool {
        self.0.get(&which).is_some_and(|story| !story.recreated.is_empty())
    }

    /// When each partition of a topic was created again last.
    pub(super) fn recreated(&self, topic: usize) -> impl Iterator<Item = (i32, Timestamp)> {
        let stories = self.0.iter().filter(move |((index, _), _)| *index == topic);
        stories.filter_map(|((_, partition), story)| Some((*partition, *story.recreated.last()?)))
    }

    /// Whether a record is read once more, so that what is told of it at `at` is told again.
    pub(super) fn is_again(&self, (which, offset): Entry, at: Timestamp) -> bool {
        self.moves(which).any(|moved| moved.at <= at && (moved.to..moved.from).contains(&offset))
    }

    /// Whether somebody had the record left out.
    pub(super) fn is_skipped(&self, (which, offset): Entry) -> bool {
        self.moves(which).any(|moved| (moved.from..moved.to).contains(&offset))
    }

    /// Whether Kafka deleted the offset before it was read, and that was notice.
    pub(super) fn is_missed(&self, (which, offset): Entry) -> bool {
        let story = self.0.get(&which);
        story.is_some_and(|story| {
            story.missed.iter().any(|(from, to)| (*from..*to).contains(&offset))
        })
    }

    /// The moves within the log that is there.
    fn moves(&self, which: Which) -> impl Iterator<Item = &Moved> {
        let story = self.0.get(&which);
        story.into_iter().flat_map(|story| {
            let since = story.recreated.last();
            story.moved.iter().filter(move |moved| since.is_none_or(|since| moved.at >= *since))
        })
    }

    /// Says what was lost before it was read, and what nobody can judge.
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
                    "topic {topic}, partition {partition}, was deleted and created again; that was noticed at {}. What was told \
                     before it is about records that are gone, and was not compared with any",
                    shown(*at)
                ));
            }
            for Moved { at, from, to, by } in &story.moved {
                let by = match &**by {
                    "" | "group" => "another program".to_owned(),
                    by => format!("`ringback offsets {by}`"),
                };
                notes.push(if to < from {
                    format!(
                        "topic {topic}, partition {partition}: {by} moved the offset from {from} back to {to} at {}; a second \
                         event about these records was not judged",
                        shown(*at)
                    )
                } else {
                    format!(
                        "topic {topic}, partition {partition}: {by} moved the offset from {from} to {to} at {}; records \
                         between them were not to be read",
                        shown(*at)
                    )
                });
            }
        }
    }
}
