//! Finds the state of each letter.
//!
//! The state is not stored. The inbox shows which letters were replayed, and the events show the result, in the order
//! of their log. Memory is limited: letters are read in batches of [`TOGETHER`].

use super::since::{note_home, record_sent_back};
use super::turn::Turn;
use super::{Filter, Letter, Letters, ReplayError, Stage, Target, Watch};
use crate::clock;
use crate::codec::command::{COMMAND_HEADER, LETTER_HEADER, REPLAY, read_place};
use crate::codec::event::Became;
use crate::codec::letter::{LetterKind, read_life};
use crate::domain::{DeliveryId, Timestamp, owner};
use crate::log::{INBOX_KEPT_MS, ScanRange, ScanRecord};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The number of letters in a batch, which needs about 60 MB.
const TOGETHER: usize = 1 << 19;

/// The state of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterState {
    /// Nothing has happened since it became a dead letter.
    Open,
    /// It was replayed, and no event reports a delivery: it is in progress, or its delivery became a dead letter again
    /// and has a newer letter.
    Replayed,
    /// Its delivery was delivered since, or its record was read again, and accepted or ignored.
    Delivered,
    /// No replay of it is known, but Kafka may have deleted the records that would show one.
    Unknown,
}

impl LetterState {
    /// Returns the word in commands and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Delivered => "delivered",
            Self::Unknown => "unknown",
        }
    }

    /// Returns whether the letter may need a replay.
    #[must_use]
    pub const fn may_be_open(self) -> bool {
        matches!(self, Self::Open | Self::Unknown)
    }
}

/// The state of a letter, with its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    pub state: LetterState,
    /// When it was replayed, if that is known.
    pub replayed_at: Option<Timestamp>,
    /// When the replayed delivery was delivered, or the replayed record was read.
    pub delivered_at: Option<Timestamp>,
}

/// The end of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Whether all letters were listed.
    pub is_whole: bool,
    /// Kafka has deleted the events before this time, and some letters were replayed before it: they may have been
    /// delivered.
    pub unseen_before: Option<Timestamp>,
}

/// A letter of a batch.
struct Entry {
    place: (i32, i64),
    at: Timestamp,
    kind: LetterKind,
    /// The number of lives that its delivery had before the one that ended.
    life: u32,
    state: LetterState,
    sent_at: Option<Timestamp>,
    replayed_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
}

/// Letters whose states are found together.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    /// The indices of the letters of each delivery, in their order.
    ids: Vec<(DeliveryId, usize)>,
    events_from: BTreeMap<i32, Timestamp>,
    inbox_from: BTreeMap<i32, Timestamp>,
}

/// The numbers of partitions of the topics.
struct Counts {
    letters: u32,
    events: u32,
    inbox: u32,
}

impl Letters {
    /// Passes each letter that `filter` selects to `take`, with its state, oldest first in each partition, until `take`
    /// or `watch` stops it. With `only_open`, passes only letters that may be open.
    ///
    /// # Errors
    /// Kafka can't be reached, or there is no topic of dead letters.
    pub fn each_with_state(
        &self,
        filter: &Filter,
        only_open: bool,
        watch: Watch<'_>,
        take: &mut dyn FnMut(&Letter<'_>, &Since) -> ControlFlow<()>,
    ) -> Result<Looked, ReplayError> {
        let mut looked = Looked { is_whole: false, unseen_before: None };
        let mut ranges = self.ranges(filter)?;
        if let Some(Target::TopicPartition(_, offset)) = filter.target {
            for range in &mut ranges {
                range.end = range.end.min(offset.saturating_add(1));
            }
        }
        let count = |topic: &str| self.scanner.partitions(topic).map(|count| count.unwrap_or(0));
        let (events, inbox) = (count(&self.topics.events)?, count(&self.topics.inbox)?);
        let letters = self.partitions(&self.topics.dead_letter)?;
        let counts = Counts { letters, events, inbox };
        loop {
            let Some((mut batch, is_last)) =
                self.next_batch(filter, &mut ranges, &counts, &mut *watch)?
            else {
                return Ok(looked);
            };
            let unseen = match self.look(&mut batch, &mut *watch) {
                Err(ReplayError::Interrupted) => return Ok(looked),
                looked => looked?,
            };
            looked.unseen_before = looked.unseen_before.max(unseen);
            let parts = batch.parts();
            let flow = self.scan(
                &self.topics.dead_letter,
                Stage::Letters,
                &parts,
                &mut *watch,
                &mut |record| {
                    let Some(since) = batch.since((record.partition(), record.offset())) else {
                        return ControlFlow::Continue(());
                    };
                    match Letter::of(record) {
                        Some(letter) if !only_open || since.state.may_be_open() => {
                            take(&letter, &since)
                        }
                        Some(_) | None => ControlFlow::Continue(()),
                    }
                },
            )?;
            looked.is_whole = is_last && flow.is_continue();
            if is_last || flow.is_break() {
                return Ok(looked);
            }
        }
    }

    /// Reads the next batch, and returns whether it is the last one. Afterwards `ranges` holds the rest. Returns `None`
    /// if the watch stopped the reading.
    fn next_batch(
        &self,
        filter: &Filter,
        ranges: &mut [ScanRange],
        counts: &Counts,
        watch: Watch<'_>,
    ) -> Result<Option<(Batch, bool)>, ReplayError> {
        let mut batch = Batch::default();
        let mut nexts: BTreeMap<i32, i64> = BTreeMap::new();
        let topic = &self.topics.dead_letter;
        let flow = self.scan(topic, Stage::Letters, ranges, watch, &mut |record| {
            nexts.insert(record.partition(), record.offset() + 1);
            match Letter::of(record) {
                Some(letter) if filter.fits(letter.place, letter.at, &letter.head) => {
                    batch.letter(&letter, counts);
                }
                Some(_) | None => {}
            }
            if batch.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if flow.is_break() && !batch.is_full() {
            return Ok(None);
        }
        for range in ranges {
            let next = nexts.get(&range.partition).copied().unwrap_or(range.from);
            range.from = if flow.is_break() { next } else { range.end };
        }
        batch.sort();
        Ok(Some((batch, flow.is_continue())))
    }

    /// Finds the states of the letters. Returns the time from which the events are complete, if letters may be affected
    /// by that.
    fn look(&self, batch: &mut Batch, watch: Watch<'_>) -> Result<Option<Timestamp>, ReplayError> {
        let topic = &self.topics.inbox;
        let ranges = self.ranges_from(topic, &batch.inbox_from)?;
        let mut cut = Cut::of(&ranges);
        let flow = self.scan(topic, Stage::Inbox, &ranges, &mut *watch, &mut |record| {
            cut.see(record);
            if let Some(place) = sent_back(record) {
                batch.sent(place, record.timestamp());
            }
            ControlFlow::Continue(())
        })?;
        if flow.is_break() {
            return Err(ReplayError::Interrupted);
        }
        let unknown_before = cut.since().min(clock::wall().minus_ms(INBOX_KEPT_MS));
        let is_cut = cut.is_any;
        self.look_for_records(batch)?;
        let topic = &self.topics.events;
        let ranges = self.ranges_from(topic, &batch.events_from)?;
        let mut cut = Cut::of(&ranges);
        let flow = self.scan(topic, Stage::Events, &ranges, watch, &mut |record| {
            cut.see(record);
            if let Some(turn) = record.value().and_then(Turn::read) {
                batch.turn(turn, record.timestamp());
            }
            ControlFlow::Continue(())
        })?;
        if flow.is_break() {
            return Err(ReplayError::Interrupted);
        }
        batch.finish(is_cut.then_some(unknown_before));
        let unseen = cut.is_any.then(|| cut.since().min(clock::wall()));
        Ok(unseen.filter(|since| batch.is_doubtful(*since)))
    }

    /// A record's letter does not name its uuid, so that its events may be in any partition.
    fn look_for_records(&self, batch: &mut Batch) -> Result<(), ReplayError> {
        let of_records = batch.entries.iter().filter(|entry| entry.kind == LetterKind::Record);
        let Some(first) = of_records.filter_map(|entry| entry.sent_at).min() else {
            return Ok(());
        };
        let count = self.scanner.partitions(&self.topics.events)?.unwrap_or(0);
        for partition in 0..count.cast_signed() {
            let oldest = batch.events_from.entry(partition).or_insert(first);
            *oldest = first.min(*oldest);
        }
        Ok(())
    }
}

/// Returns the place of the letter that is replayed by `record` of the inbox.
pub(super) fn sent_back(record: &ScanRecord<'_>) -> Option<(i32, i64)> {
    if record.header(COMMAND_HEADER) == Some(REPLAY) {
        return record.header(LETTER_HEADER).and_then(read_place);
    }
    record_sent_back(record)
}

/// Finds the time from which partitions are complete whose first records Kafka has deleted.
struct Cut {
    /// The time of the first record of each such partition. `None` until it is read.
    firsts: BTreeMap<i32, Option<Timestamp>>,
    is_any: bool,
}

impl Cut {
    fn of(ranges: &[ScanRange]) -> Self {
        let cut = ranges.iter().filter(|range| range.first > 0 && range.from == range.first);
        let firsts: BTreeMap<_, _> = cut.map(|range| (range.partition, None)).collect();
        Self { is_any: !firsts.is_empty(), firsts }
    }

    fn see(&mut self, record: &ScanRecord<'_>) {
        if let Some(first) = self.firsts.get_mut(&record.partition()) {
            first.get_or_insert(record.timestamp());
        }
    }

    fn since(&self) -> Timestamp {
        let firsts = self.firsts.values();
        let firsts = firsts.map(|first| first.unwrap_or(Timestamp::from_ms(i64::MAX)));
        firsts.max().unwrap_or(Timestamp::from_ms(0))
    }
}

impl Batch {
    fn is_full(&self) -> bool {
        self.entries.len() >= TOGETHER
    }

    fn letter(&mut self, letter: &Letter<'_>, counts: &Counts) {
        let life = letter.value.and_then(read_life).map_or(0, |(_, replays)| replays);
        let entry = Entry {
            place: letter.place,
            at: letter.at,
            kind: letter.head.kind,
            life,
            state: LetterState::Open,
            sent_at: None,
            replayed_at: None,
            delivered_at: None,
        };
        match letter.head.id.filter(|_| letter.head.kind == LetterKind::Delivery) {
            Some(id) => {
                self.ids.push((id, self.entries.len()));
                self.owned(letter, counts);
            }
            None => {
                let home = note_home(letter.place.0, counts.inbox);
                if counts.inbox > 0 {
                    reach(&mut self.inbox_from, home, letter.at);
                }
            }
        }
        self.entries.push(entry);
    }

    /// Records which partitions can hold events and replays of the letter's delivery, and from when on.
    fn owned(&mut self, letter: &Letter<'_>, counts: &Counts) {
        let key = letter.key.unwrap_or_default();
        // If partitions were added since, older events may be in any partition.
        let kept = letter.place.0 == owner(key, counts.letters);
        for (from, count) in
            [(&mut self.events_from, counts.events), (&mut self.inbox_from, counts.inbox)]
        {
            if count == 0 {
                continue;
            }
            let home = owner(key, count);
            for partition in if kept { home..home + 1 } else { 0..count.cast_signed() } {
                reach(from, partition, letter.at);
            }
        }
    }

    fn sort(&mut self) {
        // The letters of one partition are in their order, and so are those of one delivery.
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_unstable_by_key(|index| self.entries.get(*index).map(|entry| entry.place));
        let mut ranks = vec![0; order.len()];
        for (rank, index) in order.into_iter().enumerate() {
            if let Some(at) = ranks.get_mut(index) {
                *at = rank;
            }
        }
        for (_, index) in &mut self.ids {
            *index = ranks.get(*index).copied().unwrap_or(0);
        }
        self.entries.sort_unstable_by_key(|entry| entry.place);
        self.ids.sort_unstable();
    }

    fn find(&self, place: (i32, i64)) -> Option<usize> {
        self.entries.binary_search_by_key(&place, |entry| entry.place).ok()
    }

    fn sent(&mut self, place: (i32, i64), at: Timestamp) {
        let index = self.find(place);
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.sent_at = Some(at);
        }
    }

    /// Applies an event, in the order of its log. A delivered letter stays delivered, unless its own dead-letter event
    /// follows.
    fn turn(&mut self, turn: Turn, at: Timestamp) {
        let id = match turn {
            Turn::Delivered(id) | Turn::Replayed(id) | Turn::DeadLettered(id, _) => id,
            Turn::Record { letter, became } => {
                let index = self.find(letter);
                if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
                    entry.became(became, at);
                }
                return;
            }
        };
        let from = self.ids.partition_point(|(of, _)| *of < id);
        let mut of_it = self.ids.iter().skip(from).take_while(|(of, _)| *of == id).peekable();
        while let Some((_, index)) = of_it.next() {
            let next = of_it.peek().and_then(|(_, next)| self.entries.get(*next));
            let next = next.map(|entry| entry.life);
            if let Some(entry) = self.entries.get_mut(*index) {
                entry.turn(turn, at, next);
            }
        }
    }

    /// Ends the batch: letters that were sent are replayed, and open letters from before `unknown_before` are unknown.
    fn finish(&mut self, unknown_before: Option<Timestamp>) {
        for entry in &mut self.entries {
            if entry.state != LetterState::Open {
                continue;
            }
            if entry.sent_at.is_some() {
                entry.state = LetterState::Replayed;
            } else if unknown_before.is_some_and(|before| entry.at < before) {
                entry.state = LetterState::Unknown;
            }
        }
    }

    /// Returns whether a letter was replayed and may have been delivered before `since`.
    fn is_doubtful(&self, since: Timestamp) -> bool {
        let mut all = self.entries.iter();
        all.any(|entry| {
            let replayed_at = entry.replayed_at.or(entry.sent_at).unwrap_or(entry.at);
            entry.state == LetterState::Replayed && replayed_at < since
        })
    }

    fn since(&self, place: (i32, i64)) -> Option<Since> {
        let entry = self.find(place).and_then(|index| self.entries.get(index))?;
        let replayed_at = entry.sent_at.or(entry.replayed_at);
        Some(Since { state: entry.state, replayed_at, delivered_at: entry.delivered_at })
    }

    /// Returns the parts of the topic that hold the letters.
    fn parts(&self) -> Vec<ScanRange> {
        let mut parts: Vec<ScanRange> = Vec::new();
        for entry in &self.entries {
            let (partition, offset) = entry.place;
            match parts.last_mut().filter(|part| part.partition == partition) {
                Some(part) => part.end = offset + 1,
                None => {
                    let (first, from, end) = (offset, offset, offset + 1);
                    parts.push(ScanRange { partition, first, from, end });
                }
            }
        }
        parts
    }
}

impl Entry {
    fn became(&mut self, became: Became, at: Timestamp) {
        match became {
            Became::Accepted | Became::Ignored => {
                self.state = LetterState::Delivered;
                self.delivered_at.get_or_insert(at);
            }
            Became::DeadLettered if self.state == LetterState::Open => {
                self.state = LetterState::Replayed;
            }
            Became::DeadLettered => {}
        }
        self.replayed_at.get_or_insert(at);
    }

    /// Applies an event of the letter's delivery. `next` is the life of the delivery's next letter.
    fn turn(&mut self, turn: Turn, at: Timestamp, next: Option<u32>) {
        match turn {
            Turn::Delivered(_) => {
                self.state = LetterState::Delivered;
                self.delivered_at.get_or_insert(at);
            }
            Turn::Replayed(_) => {
                if self.state == LetterState::Open {
                    self.state = LetterState::Replayed;
                }
                self.replayed_at.get_or_insert(at);
            }
            // This is the letter's own event: earlier events were about earlier letters.
            Turn::DeadLettered(_, life) if life == self.life && next != Some(life) => {
                self.state = LetterState::Open;
                (self.replayed_at, self.delivered_at) = (None, None);
            }
            // This is the event of a newer letter.
            Turn::DeadLettered(_, life) if life >= self.life => {
                if self.state == LetterState::Open {
                    self.state = LetterState::Replayed;
                }
            }
            Turn::DeadLettered(..) | Turn::Record { .. } => {}
        }
    }
}

fn reach(from: &mut BTreeMap<i32, Timestamp>, partition: i32, at: Timestamp) {
    let oldest = from.entry(partition).or_insert(at);
    *oldest = at.min(*oldest);
}

#[cfg(test)]
mod tests;
