//! Counts the open letters while the daemon runs.
//!
//! The count equals that of `dead-letter list --open`, with two exceptions: it does not use the events, and it leaves
//! out letters in state `unknown`. It needs the topic of dead letters and the inbox only. Each is read once and then
//! followed, so that the count needs no stored state and is the same after any crash. While no letter is open, the
//! inbox is not read.

use super::letters::Letter;
use super::since::CLOCKS_DIFFER_MS;
use super::states::sent_back;
use super::{Letters, ReplayError};
use crate::clock;
use crate::codec::header;
use crate::codec::letter::LetterKind;
use crate::domain::{DeadLetterReason, DeliveryId, Timestamp, owner};
use crate::log::{INBOX_KEPT_MS, LogError, ScanFrom, ScanRange, ScanRecord};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// An open letter. `at_s` is its time in seconds, `reason` the index of its reason in `DeadLetterReason::ALL`.
struct Open {
    offset: i64,
    at_s: u32,
    reason: u8,
}

/// A partition of the topic.
#[derive(Default)]
struct PartitionLetters {
    /// The next offset to read. `None`: it is read from its beginning.
    next: Option<i64>,
    /// The newest letter of each delivery, and the letters of records, by [`subject`].
    open: HashMap<u64, Open>,
}

/// The open letters of an instance's partitions.
pub struct OpenCount {
    /// The number of letters by reason, with 0 for each reason without one.
    pub by_reason: BTreeMap<DeadLetterReason, u64>,
    /// The time of the oldest letter.
    pub oldest: Option<Timestamp>,
}

/// Counts the open letters of the partitions that an instance owns.
pub struct OpenLetters {
    letters: Letters,
    /// The number of partitions that the instances share.
    tasks: u32,
    parts: BTreeMap<i32, PartitionLetters>,
    /// The next offset of each partition of the inbox. A partition without an entry is read from the oldest open letter
    /// on.
    inbox: BTreeMap<i32, i64>,
    /// Whether there are letters from before partitions were added to the topic.
    is_grown: bool,
}

impl OpenLetters {
    /// Creates a counter that has read nothing. The instances share the partitions of the topic like the `tasks`
    /// partitions of the changelog.
    #[must_use]
    pub fn new(letters: Letters, tasks: u32) -> Self {
        let (parts, inbox) = (BTreeMap::new(), BTreeMap::new());
        Self { letters, tasks, parts, inbox, is_grown: false }
    }

    /// Reads new records, and counts the open letters of the `owned` partitions. Returns `None` if `stop` ended the
    /// reading.
    ///
    /// # Errors
    /// Kafka can't be reached, or refuses a request.
    pub fn count(
        &mut self,
        owned: &BTreeSet<i32>,
        stop: &AtomicBool,
    ) -> Result<Option<OpenCount>, ReplayError> {
        let flow = self.read_on(owned, stop);
        if !matches!(flow, Ok(ControlFlow::Continue(()))) {
            // After an incomplete reading everything is read again.
            self.parts.clear();
            self.inbox.clear();
        }
        if flow?.is_break() {
            return Ok(None);
        }
        let mut by_reason: BTreeMap<_, _> =
            DeadLetterReason::ALL.iter().map(|reason| (*reason, 0)).collect();
        let mut oldest_s = None;
        for open in self.parts.values().flat_map(|part| part.open.values()) {
            let reason = DeadLetterReason::ALL.get(usize::from(open.reason));
            if let Some(count) = reason.and_then(|reason| by_reason.get_mut(reason)) {
                *count += 1;
            }
            oldest_s = Some(oldest_s.map_or(open.at_s, |oldest: u32| oldest.min(open.at_s)));
        }
        let oldest = oldest_s.map(|seconds| Timestamp::from_ms(i64::from(seconds) * 1000));
        Ok(Some(OpenCount { by_reason, oldest }))
    }

    fn read_on(
        &mut self,
        owned: &BTreeSet<i32>,
        stop: &AtomicBool,
    ) -> Result<ControlFlow<()>, ReplayError> {
        let partitions = self.letters.partitions(&self.letters.topics.dead_letter)?;
        self.share(partitions, owned);
        // The ends of the inbox are taken first: every replay before them is of a letter that is read below.
        let inbox = self.letters.scanner.all(&self.letters.topics.inbox, ScanFrom::Beginning)?;
        let is_cut = inbox.iter().any(|range| range.first > 0);
        let known_from = is_cut.then(|| clock::wall().minus_ms(INBOX_KEPT_MS));
        if self.read_letters(partitions, known_from, stop)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.read_inbox(partitions, &inbox, stop)
    }

    /// Selects the partitions of the topic that this instance counts.
    fn share(&mut self, partitions: u32, owned: &BTreeSet<i32>) {
        let tasks = i32::try_from(self.tasks.max(1)).unwrap_or(i32::MAX);
        let all = 0..i32::try_from(partitions).unwrap_or(i32::MAX);
        let mine: BTreeSet<i32> =
            all.filter(|partition| owned.contains(&(partition % tasks))).collect();
        self.parts.retain(|partition, _| mine.contains(partition));
        for partition in mine {
            self.parts.entry(partition).or_insert_with(|| {
                // Its letters may be older than the part of the inbox that was read.
                self.inbox.clear();
                PartitionLetters::default()
            });
        }
    }

    /// Adds new letters. Removes letters that Kafka has deleted, and letters from before `known_from`.
    fn read_letters(
        &mut self,
        partitions: u32,
        known_from: Option<Timestamp>,
        stop: &AtomicBool,
    ) -> Result<ControlFlow<()>, ReplayError> {
        let Self { letters, parts, is_grown, .. } = self;
        let topic = &letters.topics.dead_letter;
        let begin = known_from.map_or(ScanFrom::Beginning, ScanFrom::Time);
        let from = |part: &PartitionLetters| part.next.map_or(begin, ScanFrom::Offset);
        let wants: Vec<_> = parts.iter().map(|(number, part)| (*number, from(part))).collect();
        let mut ranges = letters.scanner.ranges(topic, &wants)?;
        for range in &mut ranges {
            let Some(part) = parts.get_mut(&range.partition) else { continue };
            if part.next.is_some_and(|next| range.end < next) {
                // The topic was deleted and created again.
                *part = PartitionLetters::default();
                range.from = range.first;
            }
            let known = |open: &Open| {
                known_from.is_none_or(|from| i64::from(open.at_s) * 1000 >= from.as_ms())
            };
            part.open.retain(|_, open| open.offset >= range.first && known(open));
        }
        let flow = read(letters, topic, &ranges, stop, &mut |record| {
            let (Some(part), Some(letter)) =
                (parts.get_mut(&record.partition()), Letter::of(record))
            else {
                return;
            };
            let key = letter.key.unwrap_or_default();
            *is_grown |= letter.head.kind == LetterKind::Delivery
                && owner(key, partitions) != record.partition();
            let of = |reason: &DeadLetterReason| reason.as_str() == letter.head.reason;
            let reason = DeadLetterReason::ALL.iter().position(of);
            let Some(reason) = reason.and_then(|place| u8::try_from(place).ok()) else { return };
            let at_s = u32::try_from(letter.at.as_ms() / 1000).unwrap_or(0);
            let open = Open { offset: letter.place.1, at_s, reason };
            part.open.insert(subject(letter.head.id, letter.place), open);
        })?;
        for range in ranges.iter().filter(|_| flow.is_continue()) {
            if let Some(part) = parts.get_mut(&range.partition) {
                part.next = Some(range.end);
            }
        }
        Ok(flow)
    }

    /// Removes the letters whose replay was sent.
    fn read_inbox(
        &mut self,
        partitions: u32,
        ends: &[ScanRange],
        stop: &AtomicBool,
    ) -> Result<ControlFlow<()>, ReplayError> {
        let oldest = self.parts.values().flat_map(|part| part.open.values());
        let Some(oldest) = oldest.map(|open| open.at_s).min() else {
            self.inbox.clear();
            return Ok(ControlFlow::Continue(()));
        };
        let Self { letters, parts, inbox, is_grown, .. } = self;
        let topic = &letters.topics.inbox;
        // If both topics have the same partitions, the replay of a letter is in the partition with the same number.
        let alike = ends.len() == usize::try_from(partitions).unwrap_or(0) && !*is_grown;
        let from = Timestamp::from_ms(i64::from(oldest) * 1000 - CLOCKS_DIFFER_MS);
        let read_of = ends.iter().filter(|end| !alike || parts.contains_key(&end.partition));
        let wants: Vec<_> = read_of
            .map(|end| {
                let next = inbox.get(&end.partition).filter(|next| **next <= end.end);
                let next = next.map(|next| ScanFrom::Offset(*next));
                (end.partition, next.unwrap_or(ScanFrom::Time(from)))
            })
            .collect();
        let mut ranges = letters.scanner.ranges(topic, &wants)?;
        for range in &mut ranges {
            let end = ends.iter().find(|end| end.partition == range.partition);
            range.end = end.map_or(range.end, |end| end.end.min(range.end));
            range.from = range.from.min(range.end);
        }
        let flow = read(letters, topic, &ranges, stop, &mut |record| {
            let Some(place) = sent_back(record) else { return };
            let Some(part) = parts.get_mut(&place.0) else { return };
            let id = record.header(header::WEBHOOK_ID).and_then(DeliveryId::parse);
            let what = subject(id, place);
            if part.open.get(&what).is_some_and(|open| open.offset == place.1) {
                part.open.remove(&what);
            }
        })?;
        if flow.is_continue() {
            inbox.extend(ranges.iter().map(|range| (range.partition, range.end)));
        }
        Ok(flow)
    }
}

/// Returns a hash of the subject of a letter. This is its delivery, of which only the newest letter counts, or else the
/// letter itself.
fn subject(id: Option<DeliveryId>, (partition, offset): (i32, i64)) -> u64 {
    match id {
        Some(id) => xxh3_64(&id.to_bytes()),
        None => xxh3_64(format!("{partition}:{offset}").as_bytes()),
    }
}

fn read(
    letters: &Letters,
    topic: &str,
    ranges: &[ScanRange],
    stop: &AtomicBool,
    take: &mut dyn FnMut(&ScanRecord<'_>),
) -> Result<ControlFlow<()>, LogError> {
    if ranges.iter().all(|range| range.from >= range.end) {
        return Ok(ControlFlow::Continue(()));
    }
    let go_on = || match stop.load(Ordering::Relaxed) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    letters.scanner.scan(topic, ranges, &mut |_| go_on(), &mut |record| {
        take(record);
        go_on()
    })
}
