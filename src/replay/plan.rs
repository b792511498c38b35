//! Plans a replay: the fate of each letter, and the numbers that a dry run prints.

use super::note::{Note, Passed};
use super::since::note_home;
use super::{Filter, Letter, Letters, ReplayError, Stage, Watch};
use crate::codec::event::rfc3339;
use crate::codec::letter::{LetterKind, read_delivery};
use crate::domain::{DeliveryId, Timestamp, owner};
use crate::log::{Mark, Marks, NeededBy, ScanFrom, ScanRange, insist_on_groups, replay_groups};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// The fate of a letter that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Replay,
    /// It is skipped: its delivery was delivered since.
    Delivered,
    /// It is skipped: its delivery has a newer letter.
    Older,
    /// It is skipped: its replay was sent before.
    Sent,
    /// It can't be replayed.
    Unfit,
}

/// A letter that matches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) place: (i32, i64),
    pub(super) fate: Fate,
}

/// The run's part of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartitionProgress {
    pub(super) partition: i32,
    pub(super) start: i64,
    /// The next offset. Everything below it is done.
    pub(super) position: i64,
    pub(super) end: i64,
}

/// The plan of a replay.
pub struct Plan {
    pub(super) marks: Marks,
    /// The marks of the group when the plan was made.
    pub(super) found: Vec<Mark>,
    pub(super) parts: Vec<PartitionProgress>,
    /// The ranges of the inbox when the plan was made.
    pub(super) inbox: Vec<ScanRange>,
    /// The filter with the times of the run.
    pub(super) filter: Filter,
    pub(super) resumed: bool,
    pub(super) passed: Passed,
    /// The letters from the positions on, sorted by place.
    pub(super) letters: Vec<Planned>,
    /// The maximum number of letters that the run may replay, over all of its calls.
    pub(super) max: Option<u64>,
    matched: u64,
    by_reason: BTreeMap<String, u64>,
    by_webhook: BTreeMap<String, u64>,
    unseen_before: Option<Timestamp>,
}

/// The result of a replay, or of a dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Whether it is that of a dry run, which sends nothing.
    pub dry_run: bool,
    /// The number of letters of the run that match.
    pub matched: u64,
    /// The number of letters that all calls of the run have sent. A dry run also counts those that a call would send.
    pub replayed: u64,
    /// The number of letters that this call has sent.
    pub replayed_now: u64,
    /// Skipped because the delivery was delivered since.
    pub skipped_delivered: u64,
    /// Skipped because the delivery has a newer letter.
    pub skipped_older: u64,
    /// Skipped because a replay was sent before.
    pub skipped_sent: u64,
    /// Truncated records, records of topics that are no inputs, and deliveries that can't be decoded.
    pub not_replayable: u64,
    /// Matching letters that are left for another call.
    pub left: u64,
    /// The number of matching letters by reason.
    pub by_reason: BTreeMap<String, u64>,
    /// The number of matching deliveries by webhook.
    pub by_webhook: BTreeMap<String, u64>,
    /// Whether this call continues an interrupted run.
    pub resumed: bool,
    /// Whether the run is complete and was not interrupted.
    pub finished: bool,
    /// Kafka has deleted the events before this time (RFC 3339), so that deliveries before it are unknown.
    pub events_gone_before: Option<String>,
}

impl Plan {
    /// Returns the number of letters that the call will send.
    #[must_use]
    pub fn to_replay(&self) -> u64 {
        let budget = self.max.map_or(u64::MAX, |max| max.saturating_sub(self.passed.replayed));
        self.count(Fate::Replay).min(budget)
    }

    /// Returns the result of a dry run.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let whole = self.summary_of(self.to_replay(), true);
        Summary { dry_run: true, replayed_now: 0, finished: false, ..whole }
    }

    /// Returns whether there is nothing to send and nothing to commit.
    pub(super) fn is_idle(&self) -> bool {
        self.letters.is_empty() && !self.resumed
    }

    pub(super) fn summary_of(&self, replayed_now: u64, finished: bool) -> Summary {
        let replayed = self.passed.replayed + replayed_now;
        let skipped_delivered = self.passed.delivered + self.count(Fate::Delivered);
        let skipped_older = self.passed.older + self.count(Fate::Older);
        let skipped_sent = self.passed.sent + self.count(Fate::Sent);
        let not_replayable = self.passed.unfit + self.count(Fate::Unfit);
        let settled = replayed + skipped_delivered + skipped_older + skipped_sent + not_replayable;
        Summary {
            dry_run: false,
            matched: self.matched,
            replayed,
            replayed_now,
            skipped_delivered,
            skipped_older,
            skipped_sent,
            not_replayable,
            left: self.matched.saturating_sub(settled),
            by_reason: self.by_reason.clone(),
            by_webhook: self.by_webhook.clone(),
            resumed: self.resumed,
            finished,
            events_gone_before: self.unseen_before.map(rfc3339),
        }
    }

    fn count(&self, fate: Fate) -> u64 {
        self.letters.iter().filter(|letter| letter.fate == fate).count() as u64
    }
}

/// The data that is collected while the letters are read.
pub(super) struct Gathered {
    pub(super) letters: Vec<Planned>,
    /// The index of the newest letter of each delivery.
    pub(super) newest: HashMap<DeliveryId, usize>,
    /// The index of each letter of a record, by place.
    pub(super) records: HashMap<(i32, i64), usize>,
    /// For each partition of the events, the time of the oldest letter whose events it may hold.
    pub(super) events_from: BTreeMap<i32, Timestamp>,
    /// For each partition of the inbox, the time of the oldest letter whose replay it may hold.
    pub(super) inbox_from: BTreeMap<i32, Timestamp>,
    matched: u64,
    by_reason: BTreeMap<String, u64>,
    by_webhook: BTreeMap<String, u64>,
}

/// The numbers of partitions of the topics.
struct Counts {
    letters: u32,
    events: u32,
    inbox: u32,
    inputs: BTreeMap<String, u32>,
}

impl Letters {
    /// Plans the replay of the letters that `filter` selects, at most `max` of them over all calls of the run.
    ///
    /// # Errors
    /// Kafka can't be reached, a topic does not exist, or the watch stops the call.
    pub fn plan(
        &self,
        filter: &Filter,
        max: Option<u64>,
        watch: Watch<'_>,
    ) -> Result<Plan, ReplayError> {
        insist_on_groups(&self.kafka, &self.topics, NeededBy::Replay)?;
        let counts = self.counts()?;
        let marks = Marks::new(&self.kafka, &self.group(filter), &self.topics.dead_letter)?;
        let found = marks.read(counts.letters)?;
        let inbox = self.scanner.all(&self.topics.inbox, ScanFrom::Beginning)?;
        let begun = self.resume(filter, &found)?;
        let resumed = begun.is_some();
        let (filter, parts, passed) = match begun {
            Some(begun) => begun,
            None => (filter.clone(), self.begin(filter, &found)?, Passed::default()),
        };
        let mut gathered = self.gather(&filter, &parts, &counts, &mut *watch)?;
        let unseen_before = self.look_since(&mut gathered, watch)?;
        let Gathered { mut letters, matched, by_reason, by_webhook, .. } = gathered;
        letters.sort_unstable_by_key(|letter| letter.place);
        Ok(Plan {
            marks,
            found,
            parts,
            inbox,
            filter,
            resumed,
            passed,
            letters,
            max,
            matched,
            by_reason,
            by_webhook,
            unseen_before,
        })
    }

    /// Returns the consumer group of the filter's runs.
    fn group(&self, filter: &Filter) -> String {
        format!("{}{}", replay_groups(&self.kafka.group_id), filter.fingerprint())
    }

    fn counts(&self) -> Result<Counts, ReplayError> {
        let topics = &self.topics;
        let mut inputs = BTreeMap::new();
        for (topic, _) in topics.sources() {
            inputs.insert(topic.clone(), self.scanner.partitions(topic)?.unwrap_or(0));
        }
        Ok(Counts {
            letters: self.partitions(&topics.dead_letter)?,
            events: self.partitions(&topics.events)?,
            inbox: self.partitions(&topics.inbox)?,
            inputs,
        })
    }

    /// Returns the interrupted run, if there is one.
    fn resume(
        &self,
        filter: &Filter,
        found: &[Mark],
    ) -> Result<Option<(Filter, Vec<PartitionProgress>, Passed)>, ReplayError> {
        let open = |mark: &Mark| Note::read(&mark.note).filter(|note| !note.done);
        let notes: Vec<(&Mark, Note)> =
            found.iter().filter_map(|mark| Some((mark, open(mark)?))).collect();
        let Some((_, first)) = notes.first() else { return Ok(None) };
        let parts: Vec<PartitionProgress> = notes
            .iter()
            .map(|(mark, note)| PartitionProgress {
                partition: mark.partition,
                start: note.start,
                position: mark.offset,
                end: note.end,
            })
            .collect();
        let run = (first.filter(filter), parts, first.passed);
        // If the topic was created again, the run can't continue.
        let ranges = self.ranges(&run.0)?;
        let there = |part: &PartitionProgress| {
            ranges.iter().any(|range| range.partition == part.partition && range.end >= part.end)
        };
        Ok(run.1.iter().all(there).then_some(run))
    }

    /// Returns the parts of a new run, which begins where the previous one stopped.
    fn begin(
        &self,
        filter: &Filter,
        found: &[Mark],
    ) -> Result<Vec<PartitionProgress>, ReplayError> {
        let ranges = self.ranges(filter)?;
        let part = |range: ScanRange| {
            let mark = found.iter().find(|mark| mark.partition == range.partition);
            let stopped = mark.map(|mark| mark.offset).filter(|offset| *offset <= range.end);
            let start = stopped.map_or(range.from, |offset| offset.max(range.from));
            PartitionProgress { partition: range.partition, start, position: start, end: range.end }
        };
        Ok(ranges.into_iter().map(part).collect())
    }

    fn gather(
        &self,
        filter: &Filter,
        parts: &[PartitionProgress],
        counts: &Counts,
        watch: Watch<'_>,
    ) -> Result<Gathered, ReplayError> {
        let mut gathered = Gathered {
            letters: Vec::new(),
            newest: HashMap::new(),
            records: HashMap::new(),
            events_from: BTreeMap::new(),
            inbox_from: BTreeMap::new(),
            matched: 0,
            by_reason: BTreeMap::new(),
            by_webhook: BTreeMap::new(),
        };
        let ranges: Vec<ScanRange> = parts.iter().map(|part| part.range(part.start)).collect();
        let positions: BTreeMap<i32, i64> =
            parts.iter().map(|part| (part.partition, part.position)).collect();
        let flow =
            self.scan(&self.topics.dead_letter, Stage::Letters, &ranges, watch, &mut |record| {
                if let Some(letter) = Letter::of(record) {
                    let (partition, offset) = letter.place;
                    let passed =
                        positions.get(&partition).is_none_or(|position| offset < *position);
                    gathered.letter(&letter, filter, passed, counts);
                }
                ControlFlow::Continue(())
            })?;
        if flow.is_break() { Err(ReplayError::Interrupted) } else { Ok(gathered) }
    }
}

impl PartitionProgress {
    /// Returns the range from an offset to the part's end.
    pub(super) fn range(&self, from: i64) -> ScanRange {
        ScanRange { partition: self.partition, first: self.start, from, end: self.end }
    }
}

impl Gathered {
    fn letter(&mut self, letter: &Letter<'_>, filter: &Filter, passed: bool, counts: &Counts) {
        // The letters of one delivery are in one partition, in their order.
        let before = letter.head.id.and_then(|id| self.newest.remove(&id));
        if let Some(older) = before.and_then(|index| self.letters.get_mut(index)) {
            older.fate = Fate::Older;
        }
        if !filter.fits(letter.place, letter.at, &letter.head) {
            return;
        }
        self.matched += 1;
        count(&mut self.by_reason, letter.head.reason);
        if let Some(webhook) = letter.head.webhook {
            count(&mut self.by_webhook, webhook);
        }
        if passed {
            return;
        }
        let fit = fits(letter, counts);
        let fate = if fit { Fate::Replay } else { Fate::Unfit };
        if let (Some(id), true) = (letter.head.id, fit) {
            self.newest.insert(id, self.letters.len());
            self.owned(letter, counts);
        }
        if letter.head.kind == LetterKind::Record && fit {
            self.records.insert(letter.place, self.letters.len());
            let home = note_home(letter.place.0, counts.inbox);
            let oldest = self.inbox_from.entry(home).or_insert(letter.at);
            *oldest = letter.at.min(*oldest);
        }
        self.letters.push(Planned { place: letter.place, fate });
    }

    /// Records which partitions can hold events and replays of the letter's delivery, and from when on.
    fn owned(&mut self, letter: &Letter<'_>, counts: &Counts) {
        let key = letter.key.unwrap_or_default();
        // If partitions were added since, older events may be in any partition.
        let kept = letter.place.0 == owner(key, counts.letters);
        for (from, count) in
            [(&mut self.events_from, counts.events), (&mut self.inbox_from, counts.inbox)]
        {
            let home = owner(key, count);
            for partition in if kept { home..home + 1 } else { 0..count.cast_signed() } {
                let oldest = from.entry(partition).or_insert(letter.at);
                *oldest = letter.at.min(*oldest);
            }
        }
    }
}

fn count(into: &mut BTreeMap<String, u64>, name: &str) {
    match into.get_mut(name) {
        Some(number) => *number += 1,
        None => drop(into.insert(name.to_owned(), 1)),
    }
}

/// Returns whether the letter can be replayed at all.
fn fits(letter: &Letter<'_>, counts: &Counts) -> bool {
    let Some(source) = &letter.head.source else { return false };
    match letter.head.kind {
        LetterKind::Delivery => letter
            .value
            .and_then(|value| read_delivery(value, source.clone()))
            .is_some_and(|(_, delivery)| Some(delivery.id) == letter.head.id),
        LetterKind::Record => {
            let partitions = counts.inputs.get(&*source.topic).copied().unwrap_or(0);
            letter.head.truncated_from.is_none()
                && u32::try_from(source.partition).is_ok_and(|partition| partition < partitions)
        }
    }
}
