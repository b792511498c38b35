//! What input, events, dead letters, changelog, offsets, store and receivers say of each other.
//!
//! The core is pure: it is handed records as bytes and reads no clock. An [`Evidence`] is fed, each partition in the order of
//! its offsets and the topics in any order, and [`Evidence::finish`] says what does not fit. It knows no rules: what was
//! decided must follow from itself, whatever the configuration was then.
//!
//! | broken | means |
//! |---|---|
//! | `lost` | a record below the group's offset without its word among the events; an accepted report that ended in no webhook, no event and no dead letter; or another thing that led to nothing |
//! | `missed` | records that Kafka deleted before they were read |
//! | `twice` | a second word, a second flow, a delivery scheduled, attempted or ended twice |
//! | `order`, `early` | an event that does not follow from those before; phase 2 before the end of phase 1 |
//! | `unexplained_event`, `unexplained_state` | an event of what is not there; a row that the events do not make |
//! | `dead_letter` | dead letters and the events about them are not one to one, or give different reasons |
//! | `offsets`, `partition`, `unreadable`, `stuck` | meta rows, owners, bytes, and rows that wait for what can't come |
//! | `identity` | a position, or a row, of another topic, changelog, cluster or group |
//! | `store` | a row, an index, the tally or the checkpoint of the store is not what the changelog makes of it; it is damaged |
//! | `overdue`, `unread` | at rest nothing waits |
//! | `unseen`, `unscheduled`, `body`, `repeats` | what a receiver saw is not what the events tell |
//!
//! # How nothing is accused that only moves
//!
//! Topics are not read at one moment. Of a daemon that goes on, its caller takes in this order: the group's offsets; where
//! the changelog ends ([`Changelog::moving_from`]); the ends of events and dead letters, once no transaction below them is
//! open; the ends of the changelog ([`Changelog::ends`]), the inbox and the inputs, likewise; the group's offsets again. Then the events have a word about
//! everything below the first offsets and about nothing above the second ones, and a uuid whose row was written in between is
//! *moving*: its row and its dead letters are not judged. What retention took is not asked for either: in a partition whose
//! beginning is gone, a history counts from its first event that is left.

mod commands;
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
use crate::codec::event::{Fact, Spot as Source, Told, read_told};
use crate::codec::letter::{LetterHead, LetterKind, read_life};
use crate::codec::row::{self, Meta, Owner, TopicId};
use crate::codec::source::{Decoded, Decoder};
use crate::domain::{Command, PhononUuid, RecordKind, Timestamp, owner};
use crate::log::{TopicPartition, origin};
use crate::store::RowKey;
use bytes::Bytes;
use commands::Commands;
use history::{History, Telling};
use ledger::{Entry, Ledgers, Saying, Word};
use letters::{Given, Letters};
use requests::Requests;
use state::{Comparison, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use stored::{Says, Store, Stored};
use violation::Book;

/// An input topic.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name.
    pub topic: Arc<str>,
    /// Records may be gone though those before them are not.
    pub compacted: bool,
    /// What its records are; nothing: nobody knows.
    pub kind: Option<RecordKind>,
    /// The first offset of each partition.
    pub firsts: Vec<i64>,
    /// How many it has. Only if as many own uuids, each belongs to the owner of its number, and to nobody else.
    pub partitions: u32,
}

/// A topic of ours.
#[derive(Clone, Debug)]
pub struct OwnTopic {
    /// Its name.
    pub name: Arc<str>,
    /// The first offset of each partition; above 0, what came before is gone.
    pub firsts: Vec<i64>,
}

/// The changelog.
#[derive(Clone, Debug)]
pub struct Changelog {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions own uuids.
    pub partitions: u32,
    /// Where each partition ended before the other topics' ends were taken; missing: nothing moves.
    pub moving_from: Vec<i64>,
    /// Where each partition ended after that; missing: nobody knows. Records from there on may be handed in as well.
    pub ends: Vec<i64>,
}

/// What the evidence stands in.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The inputs without the inbox.
    pub inputs: Vec<Input>,
    /// The inbox.
    pub inbox: OwnTopic,
    /// The events.
    pub events: OwnTopic,
    /// The dead letters.
    pub dead_letters: OwnTopic,
    /// The changelog.
    pub changelog: Changelog,
    /// The ids of the inputs and of the inbox, as far as they are known.
    pub ids: BTreeMap<Arc<str>, TopicId>,
    /// The input partitions without topic ids that are another log than the one that the changelog's positions count in.
    pub replaced: BTreeSet<(Arc<str>, i32)>,
    /// Whose rows the changelog should hold; nothing: that is not judged.
    pub owner: Option<Owner>,
    /// No uuid that has ended is forgotten before, if that is known for all of the time.
    pub dedup_window_ms: Option<u64>,
}

impl Layout {
    /// The name of the input with this number; the inbox comes last.
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

/// What is asked of the evidence.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Nothing waits that could be done: no lag, and nothing due.
    pub at_rest: bool,
    /// When the first offsets were taken.
    pub now: Timestamp,
    /// At rest nothing waits that was due so long before `now`.
    pub overdue_ms: u64,
    /// A receiver may have seen so many requests more than attempts are told.
    pub repeats_max: Option<u64>,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records of the inputs and the inbox.
    pub records: u64,
    /// Those that the group has not read.
    pub unread: u64,
    /// Events.
    pub events: u64,
    /// Deliveries scheduled.
    pub scheduled: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries delivered.
    pub delivered: u64,
    /// Deliveries given up.
    pub given_up: u64,
    /// Deliveries replayed.
    pub replayed: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Records of the changelog.
    pub changelog: u64,
    /// Uuids that something is known of.
    pub uuids: u64,
    /// Uuids that have a row.
    pub rows: u64,
    /// Uuids that moved, and were not compared with the changelog.
    pub moving: u64,
    /// Uuids whose events stand in several partitions, which gives them no order, and were not judged.
    pub scattered: u64,
    /// Partitions of the store that were compared.
    pub store_partitions: u64,
    /// The store's rows.
    pub store_rows: u64,
    /// Requests that a receiver saw.
    pub requests: u64,
    /// Those of them that no attempt is told of.
    pub repeats: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How much was looked at.
    pub counts: Counts,
    /// What does not fit, sorted.
    pub violations: Vec<Violation>,
    /// So many more were not kept.
    pub more: u64,
    /// What could not be seen or judged, in sentences. It is no violation.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether everything fits.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.more == 0
    }
}

/// A place that a violation names.
#[derive(Clone, Copy)]
struct Spot<'a> {
    topic: &'a str,
    partition: i32,
    offset: Option<i64>,
}

/// Since when each partition of a topic has everything; nothing: from its beginning.
struct Cuts(Vec<Option<Timestamp>>);

/// Nothing is there yet that could say since when.
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

    /// What the partition had before `at` is gone.
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

/// What is known of a uuid.
#[derive(Default)]
struct Known {
    history: Option<History>,
    row: Option<Box<Row>>,
    /// Where its latest row stands, and the row's hash; no hash: it is gone.
    stands: Option<(i64, Option<u64>)>,
    stored: Option<Box<Stored>>,
    moving: bool,
    scattered: bool,
}

/// A row of the changelog that belongs to no uuid, by its partition and key: where it stands, and its hash.
type Others = BTreeMap<(i32, Box<[u8]>), (i64, Option<u64>)>;

/// What is handed in, and what was wrong with it so far. It keeps some hundred bytes of each uuid, two of each record of an
/// input, and nothing else of any size.
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
    counts: Counts,
    book: Book,
    encoded: Vec<u8>,
    /// What happened to the inputs, as far as it was known before the events were handed in, and as these tell it.
    known: Changes,
    changes: Changes,
    /// How many words may be about a log that is gone.
    doubtful: u64,
    decoder: Decoder,
}

impl Evidence {
    /// Nothing yet.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self::knowing(layout, Changes::default())
    }

    /// Nothing yet, but what [`Evidence::changes`] said when all events had been handed in once.
    #[must_use]
    pub fn knowing(layout: Layout, known: Changes) -> Self {
        Self {
            known,
            changes: Changes::default(),
            doubtful: 0,
            decoder: Decoder::new(false),
            ledgers: Ledgers::new(&layout),
            events: Cuts::new(&layout.events),
            dead_letters: Cuts::new(&layout.dead_letters),
            inbox: Cuts::new(&layout.inbox),
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

    /// What the group had committed for an input before the ends of the topics were taken, and after; nothing: it had
    /// committed nothing. To hand it in first saves memory.
    pub fn committed(&mut self, place: &TopicPartition, before: Option<i64>, after: Option<i64>) {
        if let Some(which) = self.ledgers.find(&place.topic, place.partition) {
            self.ledgers.commit(which, before, after);
        }
    }

    /// A record of an input or of the inbox.
    pub fn source<'a>(
        &mut self,
        place: &TopicPartition,
        offset: i64,
        timestamp: Timestamp,
        header: impl Fn(&str) -> Option<&'a str>,
        key: Option<&[u8]>,
        payload: &[u8],
    ) {
        let Some(which) = self.ledgers.find(&place.topic, place.partition) else { return };
        if !self.ledgers.is_inbox(which) {
            let kind = self.layout.inputs.get(which.0).and_then(|input| input.kind);
            let decoder = &mut self.decoder;
            let mut uuid = || mark(decoder, kind?, payload);
            self.ledgers.record((which, offset), key, false, &mut uuid);
            return;
        }
        self.inbox.see(place.partition, timestamp);
        let wordless = if let Some(name) = header(COMMAND_HEADER) {
            match read_command(name, payload) {
                Ok(InboxCommand::Of(uuid, Command::Replay(delivery))) => {
                    let own = owner(uuid.as_str().as_bytes(), self.layout.changelog.partitions);
                    // Elsewhere it is only forwarded.
                    if i64::from(own) == i64::from(place.partition) {
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
                self.ledgers.copy(which, offset, (original, source.offset));
            }
            true
        } else {
            false
        };
        self.ledgers.record((which, offset), key, wordless, &mut || None);
    }

    /// All events are handed in: what they tell of the inputs, if their words are to be read otherwise because of that. Then
    /// everything has to be handed in once more, to [`Evidence::knowing`] of it.
    #[must_use]
    pub fn changes(&self) -> Option<Changes> {
        (self.changes.matter() && self.changes != self.known).then(|| self.changes.clone())
    }

    /// A request that a receiver saw; the log of all receivers has to be whole.
    pub fn request(&mut self, entry: ReceiverEntry) {
        self.requests.take(entry);
    }

    /// There is a receiver's log, even if it is empty.
    pub fn has_requests(&mut self) {
        self.requests.given();
    }
}

/// The mark of the uuid of a record, as far as it can be read without a registry.
fn mark(decoder: &mut Decoder, kind: RecordKind, payload: &[u8]) -> Option<u8> {
    let uuid = match decoder.decode(kind, payload) {
        Decoded::Start(start) => start.uuid,
        Decoded::Flow(flow) => flow.uuid,
        Decoded::Report(report) => report.uuid,
        Decoded::NeedsSchema(_) | Decoded::Bad(_) => return None,
    };
    Some(ledger::mark_of(uuid.as_str().as_bytes()))
}

mod feed;
mod finish;

#[cfg(test)]
mod tests;
