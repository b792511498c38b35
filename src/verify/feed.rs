//! Takes the daemon's own records: events, dead letters, rows of the changelog, and entries of the store.

use super::ledger;
use super::violation::{Violation, What};
use super::{
    Bytes, Entry, Evidence, Fact, FactContext, Given, HashMap, History, Known, LetterHead,
    LetterKind, Notice, PhononUuid, RecordKind, RecordPosition, Row, RowKey, Saying, Says, Spot,
    Stored, Timestamp, Word, owner, read_life, read_notice, row, stored,
};
use crate::domain::DeadLetterReason;

/// The reason for ignoring a record that was read before.
const DUPLICATE: &str = "duplicate";

impl Evidence {
    /// Takes an event. A value that can't be read becomes a violation.
    pub fn event(&mut self, partition: i32, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.counts.events += 1;
        let topic = self.layout.events.name.clone();
        let spot = Spot { topic: &topic, partition, offset: Some(offset) };
        let Some(notice) = value.and_then(read_notice) else {
            self.unreadable(spot, "the event can't be read");
            return;
        };
        self.events.see(partition, notice.at);
        match &notice.uuid {
            Some(uuid) if key == Some(uuid.as_bytes()) => self.notice(partition, uuid, &notice),
            Some(_) => self.unreadable(spot, "the event's key is not its phonon_uuid"),
            None => {
                if let Fact::RecordDeadLettered { reason, source } = &notice.fact {
                    let entry = self.entry(source, notice.at);
                    self.word(entry, Word::First, "", notice.at);
                    let given = Given::Record(spot_of(source), source.index, entry);
                    self.letters.event(given, key.unwrap_or_default(), reason, 0, notice.at);
                }
                if let Fact::Input(input) = &notice.fact
                    && let Some(which) = self.ledgers.find(&input.topic, input.partition)
                {
                    self.changes.see(which, notice.at, input);
                }
                if let Fact::Repartitioned { inbox } = &notice.fact
                    && **inbox == *self.layout.inbox.name
                {
                    self.inbox_since = self.inbox_since.max(Some(notice.at));
                }
            }
        }
    }

    /// Returns the place of the record that an event at `at` is about.
    fn entry(&self, source: &RecordPosition<'_>, at: Timestamp) -> Option<Entry> {
        let entry = (self.ledgers.find(&source.topic, source.partition)?, source.offset);
        self.known.logs(entry, at).last().map(|entry| ledger::item(entry, source.index))
    }

    /// Like `entry`, but prefers the place of a report that still waits.
    fn entry_of(&self, uuid: &str, source: &RecordPosition<'_>, at: Timestamp) -> Option<Entry> {
        let entry = (self.ledgers.find(&source.topic, source.partition)?, source.offset);
        let waits = |entry: &Entry| {
            self.history(uuid).is_some_and(|history| history.reports.holds(Some(*entry)))
        };
        let item = |entry| ledger::item(entry, source.index);
        let mut logs = self.known.logs(entry, at).map(item);
        logs.find(waits).or_else(|| self.entry(source, at))
    }

    fn word(&mut self, entry: Option<Entry>, word: Word, uuid: &str, at: Timestamp) {
        let Some((which, offset)) = entry else { return };
        let again = self.known.is_again((which, ledger::in_kafka(offset)), at);
        // The word about a record that was forwarded from a replaced log comes later. Its offset may belong to another
        // record then.
        let own = owner(uuid.as_bytes(), self.layout.changelog.partitions);
        let is_direct = self.ledgers.is_aligned(which) && own == which.1;
        let doubtful = self.known.is_recreated(which) && !is_direct && !uuid.is_empty();
        self.doubtful += u64::from(doubtful);
        let saying = Saying { word, uuid, again, doubtful };
        if self.ledgers.word((which, offset), saying) > 1 {
            let says = match word {
                Word::First => "a second event reports the record's result",
                Word::Second => "a second event reports the end of the accepted report",
            };
            let at = self.ledgers.spot(which, offset);
            let violation = Violation::new(What::Twice, says.to_owned()).at(at);
            self.book.note(if uuid.is_empty() { violation } else { violation.of(uuid) });
        }
    }

    fn notice(&mut self, partition: i32, uuid: &str, notice: &Notice<'_>) {
        let source = match &notice.fact {
            Fact::FlowAccepted(source)
            | Fact::FlowStarted(source)
            | Fact::ReportAccepted { source, .. }
            | Fact::RecordIgnored { source, .. }
            | Fact::RecordDeadLettered { source, .. } => Some(source),
            Fact::Scheduled { .. }
            | Fact::Rendered(_)
            | Fact::AttemptFailed { .. }
            | Fact::Delivered { .. }
            | Fact::DeadLettered { .. }
            | Fact::Replayed { .. }
            | Fact::ReportTimedOut
            | Fact::CorrelationEnded { .. }
            | Fact::RecordReplayed { .. }
            | Fact::Input(_)
            | Fact::Repartitioned { .. }
            | Fact::Other => None,
        };
        let ignored =
            matches!(&notice.fact, Fact::RecordIgnored { record: RecordKind::Report, .. });
        let missing = matches!(&notice.fact, Fact::RecordDeadLettered { reason, .. } if reason == "flow_missing");
        let duplicate =
            matches!(&notice.fact, Fact::RecordIgnored { reason, .. } if reason == DUPLICATE);
        // Every other event is about a record that was just read, even if a report waits. A duplicate is, too.
        let may_end = missing || ignored && !duplicate;
        let entry = source.and_then(|source| match may_end {
            true => self.entry_of(uuid, source, notice.at),
            false => self.entry(source, notice.at),
        });
        let waits = self.history(uuid).is_some_and(|history| history.reports.holds(entry));
        let word = if missing || may_end && waits { Word::Second } else { Word::First };
        self.word(entry, word, uuid, notice.at);
        self.note(partition, uuid, notice, entry);
        let scattered = self.is_elsewhere(partition, uuid);
        let cut = self.events.is_cut(partition);
        let Some(known) = known(&mut self.uuids, uuid) else { return };
        known.scattered |= scattered;
        let history = known.history.get_or_insert_with(|| History::new(cut));
        let context = FactContext {
            uuid,
            at: notice.at,
            source: entry,
            dedup_window_ms: self.layout.dedup_window_ms,
            book: &mut self.book,
        };
        // A waiting report that is read again is its own duplicate.
        if !(ignored && waits && duplicate) {
            history.apply(&notice.fact, context);
        }
    }

    /// Records what an event says beyond the history of its uuid.
    fn note(&mut self, partition: i32, uuid: &str, notice: &Notice<'_>, entry: Option<Entry>) {
        let counts = &mut self.counts;
        match &notice.fact {
            Fact::FlowAccepted(_)
            | Fact::FlowStarted(_)
            | Fact::ReportAccepted { .. }
            | Fact::RecordIgnored { record: RecordKind::Flow | RecordKind::Start, .. } => {
                if let Some(entry) = entry {
                    self.ledgers.direct_word(entry, uuid, partition);
                }
            }
            Fact::RecordDeadLettered { reason, source } => {
                let given = Given::Record(spot_of(source), source.index, entry);
                self.letters.event(given, uuid.as_bytes(), reason, 0, notice.at);
            }
            Fact::DeadLettered { about, reason, attempts, replays } => {
                counts.given_up += 1;
                let given = Given::Delivery(about.id, *replays);
                self.letters.event(given, uuid.as_bytes(), reason, *attempts, notice.at);
            }
            Fact::Replayed { about, .. } => {
                counts.replayed += 1;
                self.commands.revived(about.id, uuid, notice.at);
            }
            Fact::Scheduled { .. } => counts.scheduled += 1,
            Fact::AttemptFailed { .. } => counts.failed += 1,
            Fact::Delivered { .. } => counts.delivered += 1,
            Fact::RecordIgnored { record: RecordKind::Report, .. }
            | Fact::Rendered(_)
            | Fact::ReportTimedOut
            | Fact::CorrelationEnded { .. }
            | Fact::RecordReplayed { .. }
            | Fact::Input(_)
            | Fact::Repartitioned { .. }
            | Fact::Other => {}
        }
    }

    /// Returns whether the events of `uuid` belong to another partition. This happens if partitions were added to the
    /// topic.
    fn is_elsewhere(&self, partition: i32, uuid: &str) -> bool {
        let count = u32::try_from(self.layout.events.firsts.len()).unwrap_or(1);
        owner(uuid.as_bytes(), count) != partition
    }

    pub(super) fn history(&self, uuid: &str) -> Option<&History> {
        self.uuids.get(uuid).and_then(|known| known.history.as_ref())
    }

    /// Takes a dead letter.
    pub fn dead_letter<'a>(
        &mut self,
        partition: i32,
        offset: i64,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        header: impl Fn(&str) -> Option<&'a str>,
        value: Option<&[u8]>,
    ) {
        self.counts.dead_letters += 1;
        self.dead_letters.see(partition, timestamp);
        let topic = self.layout.dead_letters.name.clone();
        let spot = Spot { topic: &topic, partition, offset: Some(offset) };
        let Some(head) = LetterHead::read(header, timestamp) else {
            self.unreadable(spot, "the dead letter's headers can't be read");
            return;
        };
        if head.reason == DeadLetterReason::SinkRefused.as_str() {
            // The sink writes no event, and no record was lost: the dead letter is about an event, which remains.
            return;
        }
        let key = key.unwrap_or_default();
        match (head.kind, head.id, &head.source) {
            (LetterKind::Delivery, Some(id), _) => match value.and_then(read_life) {
                Some((uuid, replays)) if uuid.as_bytes() == key => {
                    let (given, attempts) =
                        (Given::Delivery(id, replays), head.attempts.unwrap_or(0));
                    self.letters.letter(given, key, head.reason, attempts, timestamp);
                }
                Some(_) => self.unreadable(spot, "the dead letter's key is not its phonon_uuid"),
                None => self.unreadable(spot, "the dead letter of a delivery can't be read"),
            },
            (LetterKind::Record, _, Some(source)) => {
                let which = self.ledgers.find(&source.topic, source.partition);
                let entry = which.map(|which| ledger::item((which, source.offset), source.index));
                let (topic, offset) = (&*source.topic, Some(source.offset));
                let spot = Spot { topic, partition: source.partition, offset };
                let given = Given::Record(spot, source.index, entry);
                self.letters.letter(given, key, head.reason, 0, timestamp);
            }
            (LetterKind::Delivery | LetterKind::Record, ..) => {
                self.unreadable(spot, "the dead letter does not name its delivery or its record");
            }
        }
    }

    /// Takes a record of the changelog. Without a value, it deletes the row.
    pub fn changelog(
        &mut self,
        partition: i32,
        offset: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        self.counts.changelog += 1;
        let topic = self.layout.changelog.name.clone();
        let spot = Spot { topic: &topic, partition, offset: Some(offset) };
        let key = key.unwrap_or_default();
        let Some(row_key) = RowKey::parse(key) else {
            self.unreadable(spot, "the record's key is not the key of a row");
            return;
        };
        let hash = value.map(stored::hash);
        let bytes = value.map(Bytes::copy_from_slice);
        match row_key {
            RowKey::State(uuid) => self.state_row(spot, &uuid, bytes.as_ref(), hash),
            RowKey::Meta => {
                self.others.insert((partition, key.into()), (offset, hash));
                let meta = bytes.as_ref().map(row::decode_meta).transpose();
                match meta.ok().flatten() {
                    Some(meta) => {
                        self.encoded.clear();
                        row::encode_meta(&meta, &mut self.encoded);
                        self.compare_encoded(spot, None, value);
                        self.metas.insert(partition, (offset, meta));
                    }
                    None => self.unreadable(spot, "the meta row can't be read"),
                }
            }
            RowKey::Endpoint(_) => {
                self.others.insert((partition, key.into()), (offset, hash));
                let Some(bytes) = bytes else { return };
                match row::decode_endpoint(&bytes) {
                    Ok(endpoint) => {
                        self.encoded.clear();
                        row::encode_endpoint(&endpoint, &mut self.encoded);
                        self.compare_encoded(spot, None, value);
                    }
                    Err(error) => {
                        self.unreadable(spot, &format!("the row of the endpoint: {error}"))
                    }
                }
            }
        }
    }

    fn state_row(
        &mut self,
        spot: Spot<'_>,
        uuid: &PhononUuid,
        value: Option<&Bytes>,
        hash: Option<u64>,
    ) {
        let own = owner(uuid.as_str().as_bytes(), self.layout.changelog.partitions);
        if own != spot.partition {
            let says = format!("the row belongs to partition {own}");
            self.book.note(Violation::new(What::Partition, says).of(uuid.as_str()).at(spot));
            return;
        }
        let state = value.map(row::decode_state).transpose();
        let offset = spot.offset.unwrap_or(0);
        let moving = self.layout.moves(spot.partition, offset);
        let Some(known) = known(&mut self.uuids, uuid.as_str()) else { return };
        known.moving |= moving;
        known.stands = Some((offset, hash));
        known.row = None;
        match state {
            Ok(None) => {}
            Ok(Some(state)) => {
                known.row = Some(Box::new(Row::of(&state)));
                if state.is_empty() {
                    self.unreadable(spot, "the row is empty; it should have been deleted");
                }
                self.encoded.clear();
                row::encode_state(&state, &mut self.encoded);
                self.compare_encoded(spot, Some(uuid), value.map(AsRef::as_ref));
            }
            Err(error) => {
                known.moving = true;
                self.unreadable(spot, &format!("the row of {uuid}: {error}"));
            }
        }
    }

    /// Checks that a row of the current schema does not change when it is decoded and encoded again.
    fn compare_encoded(&mut self, spot: Spot<'_>, uuid: Option<&PhononUuid>, value: Option<&[u8]>) {
        // The size of the part that names the schema.
        const HEAD_BYTES: usize = 10;
        let Some(value) = value.filter(|value| *value != self.encoded) else { return };
        if value.get(..HEAD_BYTES) == self.encoded.get(..HEAD_BYTES) {
            let says = "the row changes when it is decoded and encoded again".to_owned();
            let violation = Violation::new(What::Unreadable, says).at(spot);
            self.book.note(match uuid {
                Some(uuid) => violation.of(uuid.as_str()),
                None => violation,
            });
        }
    }

    /// Takes an entry of this machine's store.
    pub fn store(&mut self, partition: i32, key: &[u8], value: &[u8]) {
        match self.store.entry(partition, key, value, &self.layout, &mut self.book) {
            Says::Row(uuid, row) => self.stored(&uuid, |stored| {
                stored.row = row.row;
                stored.index = stored.index.wrapping_add(row.index);
            }),
            Says::Index(uuid, hash) => {
                self.stored(&uuid, |stored| stored.index = stored.index.wrapping_sub(hash));
            }
            Says::Nothing => {}
        }
    }

    /// Reports that this machine's store, or a partition of it, is damaged and can't be read. Entries of it that were
    /// passed before are not compared.
    pub fn store_damaged(&mut self, partition: Option<i32>, says: String) {
        self.store.forget(partition);
        let mut violation = Violation::new(What::Store, says);
        violation.partition = partition;
        self.book.note(violation);
    }

    fn stored(&mut self, uuid: &PhononUuid, change: impl FnOnce(&mut Stored)) {
        if let Some(known) = known(&mut self.uuids, uuid.as_str()) {
            change(known.stored.get_or_insert_default());
        }
    }

    fn unreadable(&mut self, spot: Spot<'_>, says: &str) {
        self.book.note(Violation::new(What::Unreadable, says.to_owned()).at(spot));
    }
}

fn spot_of<'a>(source: &'a RecordPosition<'_>) -> Spot<'a> {
    Spot { topic: &source.topic, partition: source.partition, offset: Some(source.offset) }
}

fn known<'m>(uuids: &'m mut HashMap<Box<str>, Known>, uuid: &str) -> Option<&'m mut Known> {
    if !uuids.contains_key(uuid) {
        uuids.insert(uuid.into(), Known::default());
    }
    uuids.get_mut(uuid)
}
