//! Checks that each record of an input has exactly one first word among the events, and at most one second word.

use super::cells::{Cell, Cells};
pub(super) use super::entry::{Entry, Which, in_kafka, item, mark_of};
use super::inputs::Changes;
use super::violation::{Book, Violation, What};
use super::{Layout, Options, Spot};
use crate::domain::owner;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// There is a record at the offset.
const RECORD: u8 = 1;
/// The record needs no word at its own place: it is a command, or a copy of a forwarded record.
const WORDLESS: u8 = 2;
/// The number of first words: 0 to 3.
const FIRST: u8 = 4;
const FIRST_MASK: u8 = 3 * FIRST;
/// The number of second words: 0 to 3.
const SECOND: u8 = 16;
const SECOND_MASK: u8 = 3 * SECOND;
/// The record was forwarded, and its copy was not read yet.
const FORWARDED: u8 = 64;

/// Words about the offset may mean a record of a log that was replaced.
const DOUBTFUL: u8 = 128;

/// The uuid of the record and of its words is unknown. Marks from 1 to `MARK_MAX` are a uuid's hash.
const UNMARKED: u8 = 0;
pub(super) const MARK_MAX: u8 = 253;
/// The only word is about another uuid than the record's.
const FOREIGN: u8 = 254;
/// Record and word are about the same uuid, or it can't be known.
const SETTLED: u8 = 255;

/// A source with a larger partition number is not one of the inputs.
const PARTITIONS_MAX: i32 = 1 << 16;
/// The maximum number of keys to remember. They name the uuids of lost records.
const KEYS_MAX: usize = 10_000;

/// The kind of a word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The result of the record.
    First,
    /// The result of a report that had been accepted, if no webhook carries it.
    Second,
}

/// A word about a record.
#[derive(Clone, Copy)]
pub(super) struct Saying<'a> {
    pub(super) word: Word,
    pub(super) uuid: &'a str,
    /// Whether the record was read again on purpose.
    pub(super) again: bool,
    /// Whether it may mean a record of a log that was replaced.
    pub(super) doubtful: bool,
}

impl Cell {
    /// Takes a word about the uuid with this mark. `None`: a word without uuid.
    fn add_word(&mut self, mark: Option<u8>) {
        let is_there = self.flags & RECORD != 0;
        self.mark = match (mark, self.mark) {
            (Some(_), SETTLED) | (None, _) => SETTLED,
            (Some(mark), UNMARKED) if !is_there => mark,
            (Some(mark), known) if !is_there && mark == known => mark,
            (Some(mark), known) if is_there && known != FOREIGN && mark != known => FOREIGN,
            (Some(_), _) => SETTLED,
        };
    }
}

#[derive(Default)]
struct Ledger {
    cells: Cells,
    /// The group's offsets before and after the topics' ends were taken.
    committed: Option<(i64, i64)>,
    /// The first offset with a record.
    first: Option<i64>,
    /// For each partition of the events whose beginning is deleted, the smallest offset with a word in it. Records that
    /// were read later have a later word.
    words_from: BTreeMap<i32, i64>,
}

struct Topic {
    name: Arc<str>,
    /// Whether compaction may have removed records between others.
    compacted: bool,
    is_aligned: bool,
    partitions: Vec<Ledger>,
}

/// The ledgers of all inputs. The last topic is the inbox.
pub(super) struct Ledgers {
    topics: Vec<Topic>,
    inbox: usize,
    /// Copies in the inbox that may be unread: the place of the copy, and that of the original.
    copies: Vec<(Which, i64, Entry)>,
    /// The keys of records without a word so far, and the uuids of words about records that the group has not
    /// committed.
    keys: HashMap<Entry, Box<[u8]>>,
    events: Vec<i64>,
    partitions: u32,
}

impl Ledgers {
    pub(super) fn new(layout: &Layout) -> Self {
        let inbox = u32::try_from(layout.inbox.firsts.len()).unwrap_or(u32::MAX);
        let topic = |name: &Arc<str>, compacted, partitions| Topic {
            name: name.clone(),
            compacted,
            is_aligned: partitions == inbox,
            partitions: Vec::new(),
        };
        let mut topics: Vec<Topic> =
            layout.inputs.iter().map(|i| topic(&i.topic, i.compacted, i.partitions)).collect();
        topics.push(topic(&layout.inbox.name, false, inbox));
        Self {
            inbox: topics.len() - 1,
            topics,
            copies: Vec::new(),
            keys: HashMap::new(),
            events: layout.events.firsts.clone(),
            partitions: layout.changelog.partitions,
        }
    }

    /// Returns the ledger of a place. `None`: the topic is no input.
    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<Which> {
        let index = self.topics.iter().position(|known| *known.name == *topic)?;
        (0..PARTITIONS_MAX).contains(&partition).then_some((index, partition))
    }

    pub(super) fn is_inbox(&self, which: Which) -> bool {
        which.0 == self.inbox
    }

    pub(super) fn inbox(&self, partition: i32) -> Which {
        (self.inbox, partition)
    }

    pub(super) fn spot(&self, which: Which, offset: i64) -> Spot<'_> {
        let topic = self.topics.get(which.0).map_or("", |topic| &*topic.name);
        Spot { topic, partition: which.1, offset: Some(in_kafka(offset)) }
    }

    fn ledger(&self, which: Which) -> Option<&Ledger> {
        self.topics.get(which.0)?.partitions.get(usize::try_from(which.1).ok()?)
    }

    fn ledger_mut(&mut self, which: Which) -> Option<&mut Ledger> {
        let partitions = &mut self.topics.get_mut(which.0)?.partitions;
        let index = usize::try_from(which.1).ok()?;
        if partitions.len() <= index {
            partitions.resize_with(index + 1, Ledger::default);
        }
        partitions.get_mut(index)
    }

    /// Returns the group's offsets before and after the ends were taken.
    pub(super) fn committed(&self, which: Which) -> Option<(i64, i64)> {
        self.ledger(which).and_then(|ledger| ledger.committed)
    }

    /// Returns the last offset below `end` with a word.
    pub(super) fn last_word_below(&self, which: Which, end: i64) -> Option<i64> {
        self.ledger(which).and_then(|ledger| ledger.cells.last_below(end, FIRST_MASK | SECOND_MASK))
    }

    /// Returns whether the input has as many partitions as the inbox, so that the same owner reads a number in both.
    pub(super) fn is_aligned(&self, which: Which) -> bool {
        self.topics.get(which.0).is_some_and(|topic| topic.is_aligned)
    }

    /// Returns all partitions with records, words or offsets.
    pub(super) fn places(&self) -> impl Iterator<Item = Which> {
        let topics = self.topics.iter().enumerate();
        topics.flat_map(|(index, topic)| {
            (0_i32..).zip(&topic.partitions).map(move |(partition, _)| (index, partition))
        })
    }

    pub(super) fn commit(&mut self, which: Which, before: Option<i64>, after: Option<i64>) {
        if before.is_none() && after.is_none() {
            return;
        }
        if let Some(ledger) = self.ledger_mut(which) {
            ledger.committed = Some((before.unwrap_or(0), after.unwrap_or(i64::MAX)));
        }
    }

    /// Forgets the group's offsets, because they count in a log that was replaced.
    pub(super) fn forget_committed(&mut self, which: Which) {
        if let Some(ledger) = self.ledger_mut(which) {
            ledger.committed = None;
        }
    }

    /// Takes a record. `uuid` returns the mark of the uuid in its payload, if it can be read.
    pub(super) fn record(
        &mut self,
        entry: Entry,
        key: Option<&[u8]>,
        wordless: bool,
        uuid: &mut dyn FnMut() -> Option<u8>,
    ) {
        let (which, offset) = entry;
        let Some(ledger) = self.ledger_mut(which) else { return };
        let first = in_kafka(offset);
        ledger.first = Some(ledger.first.map_or(first, |known| known.min(first)));
        let Some(cell) = ledger.cells.cell(offset) else { return };
        cell.mark = match cell.mark {
            SETTLED => SETTLED,
            _ if wordless => SETTLED,
            UNMARKED => uuid().unwrap_or(SETTLED),
            known if key.is_some_and(|key| mark_of(key) == known) => SETTLED,
            known => uuid().filter(|mark| *mark != known).map_or(SETTLED, |_| FOREIGN),
        };
        cell.flags |= RECORD | if wordless { WORDLESS } else { 0 };
        let has_word = cell.flags & FIRST_MASK != 0;
        if !has_word && !wordless {
            self.remember(entry, key.unwrap_or_default());
        }
    }

    /// Takes a copy in the inbox, at `offset` of `inbox`, of the record at `original`.
    pub(super) fn copy(&mut self, inbox: Which, offset: i64, original: Entry) {
        let read = self.committed(inbox).is_some_and(|(before, _)| offset < before);
        if !read {
            self.copies.push((inbox, offset, original));
        }
    }

    /// Takes a word about a record. Returns how many words of its kind the record has now, or 1 if that is not judged.
    pub(super) fn word(&mut self, entry: Entry, saying: Saying<'_>) -> u8 {
        let (which, offset) = entry;
        let Saying { word, uuid, again, doubtful } = saying;
        let Some(ledger) = self.ledger_mut(which) else { return 0 };
        let real = in_kafka(offset);
        let ahead = ledger.committed.is_some_and(|(_, after)| real >= after);
        if real != offset
            && let Some(array) = ledger.cells.cell(real)
        {
            array.flags |= WORDLESS;
            array.mark = SETTLED;
        }
        let Some(cell) = ledger.cells.cell(offset) else { return 0 };
        let (one, mask) = match word {
            Word::First => (FIRST, FIRST_MASK),
            Word::Second => (SECOND, SECOND_MASK),
        };
        if again && cell.flags & mask != 0 {
            return 1;
        }
        if cell.flags & mask != mask {
            cell.flags += one;
        }
        cell.flags |= if doubtful { DOUBTFUL } else { 0 };
        cell.add_word((!uuid.is_empty()).then(|| mark_of(uuid.as_bytes())));
        let is_judged = cell.flags & DOUBTFUL == 0;
        let count = if is_judged { (cell.flags & mask) / one } else { 1 };
        if ahead {
            self.remember(entry, uuid.as_bytes());
        } else if word == Word::First {
            self.keys.remove(&entry);
        }
        count
    }

    /// Takes a first word, in partition `events`, about a record that was read from its own place.
    pub(super) fn direct_word(&mut self, entry: Entry, uuid: &str, events: i32) {
        let own = owner(uuid.as_bytes(), self.partitions);
        let is_cut = self.is_cut(events);
        if is_cut && own == entry.0.1 && entry.0.0 != self.inbox {
            let Some(ledger) = self.ledger_mut(entry.0) else { return };
            let offset = in_kafka(entry.1);
            let from = ledger.words_from.entry(events).or_insert(offset);
            *from = (*from).min(offset);
        }
    }

    fn is_cut(&self, events: i32) -> bool {
        usize::try_from(events)
            .ok()
            .and_then(|index| self.events.get(index))
            .is_some_and(|first| *first > 0)
    }

    fn remember(&mut self, entry: Entry, key: &[u8]) {
        if self.keys.len() < KEYS_MAX && !key.is_empty() {
            self.keys.insert(entry, key.into());
        }
    }

    /// Returns the uuid of a record, if it is remembered. Producers use it as the key.
    fn uuid(&self, entry: Entry) -> Option<&str> {
        self.keys.get(&entry).and_then(|key| std::str::from_utf8(key).ok())
    }

    /// Returns whether all words about the record are there: it was read, and no copy of it waits.
    pub(super) fn is_settled(&self, (which, offset): Entry) -> bool {
        let Some(ledger) = self.ledger(which) else { return true };
        let read = ledger.committed.is_none_or(|(before, _)| in_kafka(offset) < before);
        read && ledger.cells.flags(offset) & FORWARDED == 0
    }

    /// Marks the records whose copies were not read. All other questions must come after this.
    pub(super) fn settle(&mut self) {
        for (inbox, offset, (which, original)) in std::mem::take(&mut self.copies) {
            let read = self.committed(inbox).is_some_and(|(before, _)| offset < before);
            if !read && let Some(cell) = self.ledger_mut(which).and_then(|l| l.cells.cell(original))
            {
                cell.flags |= FORWARDED;
            }
        }
    }

    /// Reports records without a word, and words that can't be true.
    pub(super) fn finish(
        &self,
        options: &Options,
        changes: &Changes,
        book: &mut Book,
        (records, unread): (&mut u64, &mut u64),
    ) {
        for (index, topic) in self.topics.iter().enumerate() {
            for (partition, ledger) in (0_i32..).zip(&topic.partitions) {
                let which = (index, partition);
                for (offset, mut cell) in ledger.cells.iter() {
                    let real = in_kafka(offset);
                    let read = ledger.committed.is_some_and(|(_, after)| real < after);
                    if real != offset {
                        // An array that needs the registry was not taken apart.
                        cell.flags |= ledger.cells.flags(real) & (RECORD | FORWARDED);
                    } else if cell.flags & RECORD != 0 {
                        *records += 1;
                        *unread += u64::from(!read);
                    }
                    let fault = self.fault((which, offset), cell, ledger, options);
                    let is_skipped = |violation: &Violation| {
                        violation.what == What::Lost && changes.is_skipped((which, real))
                    };
                    if let Some(violation) = fault.filter(|violation| !is_skipped(violation)) {
                        book.note(violation);
                    }
                }
            }
        }
    }

    fn fault(
        &self,
        entry: Entry,
        Cell { flags: cell, mark }: Cell,
        ledger: &Ledger,
        options: &Options,
    ) -> Option<Violation> {
        let (which, offset) = (entry.0, in_kafka(entry.1));
        let has_word = cell & (FIRST_MASK | SECOND_MASK) != 0 && cell & DOUBTFUL == 0;
        let (what, says) = match (cell & RECORD != 0, ledger.committed) {
            (_, Some((_, after))) if has_word && offset >= after => (
                What::UnexplainedEvent,
                "an event is about a record that the group has not committed; one transaction should contain both",
            ),
            (true, None) if options.at_rest => (
                What::Unread,
                "the record was not read: the group has committed no offset of this partition",
            ),
            (true, Some((_, after))) if options.at_rest && offset >= after => {
                (What::Unread, "the record was not read; at rest, every input is read to its end")
            }
            (true, Some((before, _)))
                if offset < before
                    && cell & (FIRST_MASK | WORDLESS | FORWARDED) == 0
                    && self.is_judged(entry, ledger) =>
            {
                (What::Lost, "the record was read, but no event reports its result")
            }
            (true, Some((before, _)))
                if offset < before
                    && cell & FIRST_MASK != 0
                    && cell & (WORDLESS | FORWARDED | DOUBTFUL) == 0
                    && mark == FOREIGN =>
            {
                (
                    What::Lost,
                    "the event about this offset has another uuid, and no event reports the result of the record \
                     there: the log was replaced",
                )
            }
            (false, Some((before, _)))
                if has_word && offset < before && self.would_be_seen(entry, ledger) =>
            {
                (
                    What::UnexplainedEvent,
                    "an event is about a record that does not exist; its producer may never have committed it",
                )
            }
            _ => return None,
        };
        let violation = Violation::new(what, says.to_owned()).at(self.spot(which, offset));
        Some(match self.uuid(entry) {
            Some(uuid) => violation.of(uuid),
            None => violation,
        })
    }

    /// Returns whether the events would still have the record's word. Either no events are deleted, or the word of an
    /// earlier record is there, so that later words are there too.
    fn is_judged(&self, entry: Entry, ledger: &Ledger) -> bool {
        let cut = (0_i32..).zip(&self.events).filter(|(_, first)| **first > 0);
        let mut cut = cut.map(|(partition, _)| partition).peekable();
        if cut.peek().is_none() {
            return true;
        }
        if ledger.words_from.values().any(|from| in_kafka(entry.1) <= *from) {
            return false;
        }
        let known = |partition: &i32| ledger.words_from.contains_key(partition);
        match (self.keys.get(&entry), u32::try_from(self.events.len())) {
            (Some(key), Ok(count)) => {
                let own = owner(key, count);
                !self.is_cut(own) || known(&own)
            }
            _ => cut.all(|partition| known(&partition)),
        }
    }

    /// Returns whether the record would have been seen if it had been written.
    fn would_be_seen(&self, (which, offset): Entry, ledger: &Ledger) -> bool {
        let compacted = self.topics.get(which.0).is_none_or(|topic| topic.compacted);
        !compacted && ledger.first.is_some_and(|first| offset >= first)
    }
}
