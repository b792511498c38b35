//! Checks that inputs, events, dead letters, changelog, offsets, store and receivers' logs agree.
//!
//! The core is pure: it takes records as bytes and reads no clock. An [`Evidence`] takes the topics in any order, and
//! each partition in the order of its offsets. [`Evidence::finish`] returns the violations. It needs no rules: the
//! decisions must follow from each other, whatever the configuration was then.
//!
//! An event's statement about a record is called a *word*. The first word is the result of the record, the second word
//! the result of a report that had been accepted.
//!
//! | violation | means |
//! |---|---|
//! | `lost` | a record below the group's offset without its word among the events; an accepted report that ended in no webhook, no event and no dead letter; or another thing that led to nothing |
//! | `missed` | records that Kafka deleted before they were read |
//! | `twice` | a second word, a second flow, a delivery scheduled, attempted or ended twice |
//! | `order`, `early` | an event that does not follow from those before; phase 2 before the end of phase 1 |
//! | `unexplained_event`, `unexplained_state` | an event about something that does not exist; a row that does not match the events |
//! | `dead_letter` | dead letters and their events are not one to one, or give different reasons |
//! | `offsets`, `partition`, `unreadable`, `stuck` | meta rows, owners, bytes, and rows that wait for something that can't happen |
//! | `identity` | a position, or a row, of another topic, changelog, cluster or group |
//! | `store` | a row, an index, the tally or the checkpoint of the store does not match the changelog; the store is damaged |
//! | `overdue`, `unread` | at rest, something waits |
//! | `unseen`, `unscheduled`, `body`, `repeats` | the requests that a receiver saw do not match the events |
//!
//! # How changes during the reading cause no violation
//!
//! The topics are not read at one moment. While a daemon runs, the caller takes in this order: the group's offsets; the
//! end of the changelog ([`Changelog::moving_from`]); the ends of events and dead letters, once no transaction below
//! them is open; likewise the ends of the changelog ([`Changelog::ends`]), the inbox and the inputs; the group's
//! offsets again.
//!
//! Then the events have a word about everything below the first offsets, and about nothing above the second ones. A
//! uuid whose row was written in between is *moving*: its row and its dead letters are not judged. Records that
//! retention has removed are not required either: in a partition whose beginning is deleted, a history counts from its
//! first remaining event.

mod cells;
mod commands;
mod entry;
mod history;
mod identity;
mod inputs;
mod ledger;
mod letters;
mod life;
mod notes;
mod reports;
mod requests;
mod state;
mod stored;
mod violation;

pub use inputs::Changes;
pub use requests::ReceiverEntry;
pub use violation::{Violation, What};

use crate::codec::command::{COMMAND_HEADER, InboxCommand, read_command};
use crate::codec::event::{Fact, Notice, RecordPosition, read_notice};
use crate::codec::letter::{LetterHead, LetterKind, read_life};
use crate::codec::row::{self, Meta, Owner, TopicId};
use crate::codec::source::{Decoder, Unwrap};
use crate::domain::{Command, Header, PhononUuid, RecordKind, Timestamp, owner};
use crate::log::{TopicPartition, origin};
use crate::store::RowKey;
use bytes::Bytes;
use commands::Commands;
use history::{FactContext, History};
use ledger::{Entry, Ledgers, Saying, Word};
use letters::{Given, Letters};
use requests::Requests;
use serde::Serialize;
use state::{Comparison, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use stored::{Says, Store, Stored};
use violation::Book;

/// An input topic with the bounds of its partitions.
#[derive(Clone, Debug)]
pub struct Input {
    pub topic: Arc<str>,
    /// Whether compaction may remove a record and keep those before it.
    pub compacted: bool,
    /// The kind of its records. `None`: unknown.
    pub kind: Option<RecordKind>,
    /// The first offset of each partition.
    pub firsts: Vec<i64>,
    /// The number of partitions. If it equals the changelog's, each partition is read only by the owner of its number.
    pub partitions: u32,
}

/// A record of an input or of the inbox.
#[derive(Clone, Copy, Debug)]
pub struct InputRecord<'r> {
    pub offset: i64,
    /// The record's own timestamp.
    pub timestamp: Timestamp,
    pub key: Option<&'r [u8]>,
    /// Its value, which is empty for a tombstone.
    pub payload: &'r [u8],
}

/// One of the daemon's own topics.
#[derive(Clone, Debug)]
pub struct OwnTopic {
    pub name: Arc<str>,
    /// The first offset of each partition. Above 0, earlier records are deleted.
    pub firsts: Vec<i64>,
}

/// The changelog's topic with the bounds of its partitions.
#[derive(Clone, Debug)]
pub struct Changelog {
    pub name: Arc<str>,
    /// The number of partitions that own uuids.
    pub partitions: u32,
    /// The end of each partition before the ends of the other topics were taken. A missing entry: nothing moves.
    pub moving_from: Vec<i64>,
    /// The end of each partition after that. A missing entry: unknown. Records from there on may be passed as well.
    pub ends: Vec<i64>,
}

/// The topics and positions to which the evidence belongs.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The inputs, without the inbox.
    pub inputs: Vec<Input>,
    /// The topic of the inbox.
    pub inbox: OwnTopic,
    /// The topic of the events.
    pub events: OwnTopic,
    /// The topic of the dead letters.
    pub dead_letters: OwnTopic,
    /// The topic of the changelog.
    pub changelog: Changelog,
    /// The known ids of the inputs and of the inbox.
    pub ids: BTreeMap<Arc<str>, TopicId>,
    /// The input partitions without topic ids that were replaced since the changelog's positions were stored.
    pub replaced: BTreeSet<(Arc<str>, i32)>,
    /// The expected owner of the changelog's rows. `None`: it is not judged.
    pub owner: Option<Owner>,
    /// The envelopes from which records are taken.
    pub unwrap: Unwrap,
    /// The minimum time for which an ended uuid is remembered, if it was the same for all events. `None`: unknown.
    pub dedup_window_ms: Option<u64>,
}

impl Layout {
    /// Returns the name of the input with this number. The inbox comes last.
    fn input_name(&self, index: usize) -> &Arc<str> {
        self.inputs.get(index).map_or(&self.inbox.name, |input| &input.topic)
    }

    fn changelog_end(&self, partition: i32) -> i64 {
        at(&self.changelog.ends, partition).unwrap_or(i64::MAX)
    }

    fn moves(&self, partition: i32, offset: i64) -> bool {
        at(&self.changelog.moving_from, partition).is_some_and(|from| offset >= from)
    }
}

fn at(offsets: &[i64], partition: i32) -> Option<i64> {
    usize::try_from(partition).ok().and_then(|index| offsets.get(index)).copied()
}

/// The options of the judgement.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether no work may wait: no lag, and nothing due.
    pub at_rest: bool,
    /// The time at which the first offsets were taken.
    pub now: Timestamp,
    /// At rest, work that was due this long before `now` is a violation. In milliseconds.
    pub overdue_ms: u64,
    /// The maximum number of requests at receivers beyond the attempts in the events. `None`: any number.
    pub repeats_max: Option<u64>,
}

/// The amounts of data that were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Records of the inputs and the inbox.
    pub records: u64,
    /// Records that the group has not read.
    pub unread: u64,
    pub events: u64,
    pub scheduled: u64,
    pub failed: u64,
    pub delivered: u64,
    /// Deliveries that became dead letters.
    pub given_up: u64,
    pub replayed: u64,
    pub dead_letters: u64,
    /// Records of the changelog.
    pub changelog: u64,
    pub uuids: u64,
    /// Uuids that have a row.
    pub rows: u64,
    /// Uuids that changed during the reading and were not compared with the changelog.
    pub moving: u64,
    /// Uuids whose events are in several partitions. They have no order and were not judged.
    pub scattered: u64,
    /// Partitions of the store that were compared.
    pub store_partitions: u64,
    /// Rows in the store.
    pub store_rows: u64,
    /// Requests that receivers saw.
    pub requests: u64,
    /// Requests without an attempt among the events.
    pub repeats: u64,
}

/// The result of the judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The amounts of data that were checked.
    pub counts: Counts,
    pub violations: Vec<Violation>,
    /// The number of further violations, which were not kept.
    pub more: u64,
    /// Data that could not be read or judged, as sentences. Notes are not violations.
    pub notes: Vec<String>,
}

impl Report {
    /// Returns whether there is no violation.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.more == 0
    }
}

/// The place that a violation names.
#[derive(Clone, Copy)]
struct Spot<'a> {
    topic: &'a str,
    partition: i32,
    offset: Option<i64>,
}

/// For each partition of a topic, the time from which it is complete. `None`: from its beginning.
struct Cuts(Vec<Option<Timestamp>>);

/// The beginning is deleted, and no record was seen yet that shows the time.
const NEVER: Timestamp = Timestamp::from_ms(i64::MAX);

impl Cuts {
    fn new(topic: &OwnTopic) -> Self {
        Self(topic.firsts.iter().map(|first| (*first > 0).then_some(NEVER)).collect())
    }

    fn see(&mut self, partition: i32, at: Timestamp) {
        let slot = usize::try_from(partition).ok().and_then(|index| self.0.get_mut(index));
        if let Some(slot @ Some(NEVER)) = slot {
            *slot = Some(at);
        }
    }

    /// Marks the partition as incomplete before `at`.
    fn cut(&mut self, partition: i32, at: Timestamp) {
        let slot = usize::try_from(partition).ok().and_then(|index| self.0.get_mut(index));
        if let Some(slot) = slot {
            *slot = Some(slot.filter(|since| *since != NEVER).map_or(at, |since| since.max(at)));
        }
    }

    fn is_cut(&self, partition: i32) -> bool {
        usize::try_from(partition).ok().and_then(|i| self.0.get(i)).is_some_and(Option::is_some)
    }
}

/// The evidence about a uuid.
#[derive(Default)]
struct Known {
    history: Option<History>,
    row: Option<Box<Row>>,
    /// The offset and hash of its latest row. Without a hash, the row was deleted.
    stands: Option<(i64, Option<u64>)>,
    stored: Option<Box<Stored>>,
    moving: bool,
    scattered: bool,
}

/// The rows of the changelog that belong to no uuid, by partition and key, with their offset and hash.
type Others = BTreeMap<(i32, Box<[u8]>), (i64, Option<u64>)>;

/// Collects the evidence and the violations found so far. It keeps some hundred bytes for each uuid and two bytes for
/// each record of an input, and nothing else of any size.
pub struct Evidence {
    layout: Layout,
    ledgers: Ledgers,
    uuids: HashMap<Box<str>, Known>,
    letters: Letters,
    commands: Commands,
    metas: BTreeMap<i32, (i64, Meta)>,
    others: Others,
    store: Store,
    requests: Requests,
    events: Cuts,
    dead_letters: Cuts,
    inbox: Cuts,
    /// When a repartition began the inbox. The commands that were read before are in another topic.
    inbox_since: Option<Timestamp>,
    counts: Counts,
    book: Book,
    encoded: Vec<u8>,
    /// The changes of the inputs: `known` before the events were passed, `changes` as the events report them.
    known: Changes,
    changes: Changes,
    /// The number of words that may be about a log that was replaced.
    doubtful: u64,
    decoder: Decoder,
}

impl Evidence {
    /// Creates evidence without any records.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self::knowing(layout, Changes::default())
    }

    /// Like `new`, but with the result of [`Evidence::changes`] after all events were passed once.
    #[must_use]
    pub fn knowing(layout: Layout, known: Changes) -> Self {
        Self {
            known,
            changes: Changes::default(),
            doubtful: 0,
            decoder: Decoder::unwrapping(layout.unwrap, false),
            ledgers: Ledgers::new(&layout),
            events: Cuts::new(&layout.events),
            dead_letters: Cuts::new(&layout.dead_letters),
            inbox: Cuts::new(&layout.inbox),
            inbox_since: None,
            layout,
            uuids: HashMap::new(),
            letters: Letters::default(),
            commands: Commands::default(),
            metas: BTreeMap::new(),
            others: Others::new(),
            store: Store::default(),
            requests: Requests::default(),
            counts: Counts::default(),
            book: Book::default(),
            encoded: Vec::new(),
        }
    }

    /// Takes the offsets that the group had committed for an input before and after the ends of the topics were taken.
    /// `None`: it had committed nothing. Call this before the other methods to save memory.
    pub fn committed(&mut self, place: &TopicPartition, before: Option<i64>, after: Option<i64>) {
        if let Some(which) = self.ledgers.find(&place.topic, place.partition) {
            self.ledgers.commit(which, before, after);
        }
    }

    /// Takes a record of an input or of the inbox. `header` returns the text of a header, and `headers` all headers of
    /// the producer.
    pub fn source<'a>(
        &mut self,
        place: &TopicPartition,
        record: &InputRecord<'_>,
        header: impl Fn(&str) -> Option<&'a str>,
        headers: &dyn Fn() -> Vec<Header>,
    ) {
        let Some(which) = self.ledgers.find(&place.topic, place.partition) else { return };
        let InputRecord { offset, timestamp, key, payload } = *record;
        if !self.ledgers.is_inbox(which) {
            self.input((which, offset), key, payload, headers);
            return;
        }
        self.inbox.see(place.partition, timestamp);
        let wordless = if let Some(name) = header(COMMAND_HEADER) {
            match read_command(name, payload) {
                Ok(InboxCommand::Of(uuid, Command::Replay(delivery))) => {
                    let own = owner(uuid.as_str().as_bytes(), self.layout.changelog.partitions);
                    // In any other partition it is only forwarded.
                    if own == place.partition {
                        let at = (place.partition, offset);
                        self.commands.sent(delivery.id, uuid.as_str(), at, delivery.replays);
                    }
                    true
                }
                Ok(InboxCommand::Of(..) | InboxCommand::About(..) | InboxCommand::Note) => true,
                Err(_) => false,
            }
        } else if let Some((_, source)) = origin(header) {
            if let Some(original) = self.ledgers.find(&source.topic, source.partition) {
                let original = ledger::item((original, source.offset), source.index);
                self.ledgers.copy(which, offset, original);
            }
            true
        } else {
            false
        };
        self.ledgers.record((which, offset), key, wordless, &mut || None);
    }

    /// Returns the changes of the inputs that the passed events report, if the words must be interpreted again because
    /// of them. Then pass everything again, to an [`Evidence::knowing`] of these changes. Call this after all events.
    #[must_use]
    pub fn changes(&self) -> Option<Changes> {
        (self.changes.matter() && self.changes != self.known).then(|| self.changes.clone())
    }

    /// Takes a request that a receiver saw. The logs of all receivers must be complete.
    pub fn request(&mut self, entry: ReceiverEntry) {
        self.requests.take(entry);
    }

    /// Records that a receiver's log was given, even if it is empty.
    pub fn has_requests(&mut self) {
        self.requests.given();
    }
}

mod feed;
mod finish;
mod records;

#[cfg(test)]
mod tests;
