//! Checks that dead letters and their events are one to one.

use super::ledger::{Entry, Ledgers};
use super::violation::{Book, Violation, What};
use super::{Cuts, NEVER, Spot};
use crate::domain::{DeliveryId, Timestamp, owner};
use std::collections::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The largest tolerated difference between instances' clocks, where a time decides whether a record may be deleted.
const CLOCKS_DIFFER_MS: u64 = 600_000;

/// A delivery or a record that became a dead letter.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// A delivery, with the number of lives before.
    Delivery(DeliveryId, u32),
    /// A record, with its index in an array.
    Record(Spot<'a>, Option<u32>, Option<Entry>),
}

/// The events and the dead letters about the same thing.
struct Pair {
    key: Box<[u8]>,
    id: Option<DeliveryId>,
    topic: Option<Box<str>>,
    place: (i32, Option<i64>),
    entry: Option<Entry>,
    events: u32,
    letters: u32,
    /// The sum of the reasons and attempts in events, minus those in letters. 0 if they agree.
    balance: u64,
    /// The time of the first event.
    event_at: Timestamp,
    letter_at: Timestamp,
}

/// All dead letters with their events.
#[derive(Default)]
pub(super) struct Letters(HashMap<u128, Pair>);

fn hash(given: Given<'_>) -> u128 {
    let mut bytes = [0; 28];
    match given {
        Given::Delivery(id, replays) => {
            let parts = id.to_bytes().into_iter().chain(replays.to_be_bytes());
            bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        }
        Given::Record(spot, index, entry) => {
            let offset = spot.offset.unwrap_or(-1);
            let parts = xxh3_64(spot.topic.as_bytes()).to_be_bytes().into_iter();
            let offset = entry.map_or(offset, |(_, offset)| offset);
            let parts = parts.chain(spot.partition.to_be_bytes()).chain(offset.to_be_bytes());
            let parts = parts.chain(index.map_or([0xff; 4], u32::to_be_bytes)).chain([0xff; 4]);
            bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        }
    }
    xxh3_128(&bytes)
}

impl Letters {
    fn pair(&mut self, given: Given<'_>, key: &[u8]) -> &mut Pair {
        self.0.entry(hash(given)).or_insert_with(|| {
            let (id, topic, place, entry) = match given {
                Given::Delivery(id, _) => (Some(id), None, (0, None), None),
                Given::Record(spot, _, entry) => {
                    (None, Some(spot.topic.into()), (spot.partition, spot.offset), entry)
                }
            };
            let (key, never) = (key.into(), NEVER);
            let (events, letters, balance, event_at, letter_at) = (0, 0, 0, never, never);
            Pair { key, id, topic, place, entry, events, letters, balance, event_at, letter_at }
        })
    }

    /// Takes an event about a dead letter.
    pub(super) fn event(
        &mut self,
        given: Given<'_>,
        key: &[u8],
        reason: &str,
        attempts: u32,
        at: Timestamp,
    ) {
        let pair = self.pair(given, key);
        pair.events += 1;
        pair.balance = pair.balance.wrapping_add(weight(reason, attempts));
        pair.event_at = pair.event_at.min(at);
    }

    /// Takes a dead letter.
    pub(super) fn letter(
        &mut self,
        given: Given<'_>,
        key: &[u8],
        reason: &str,
        attempts: u32,
        at: Timestamp,
    ) {
        let pair = self.pair(given, key);
        pair.letters += 1;
        pair.balance = pair.balance.wrapping_sub(weight(reason, attempts));
        pair.letter_at = pair.letter_at.min(at);
    }

    /// Returns whether an event reports that the delivery became a dead letter in that life.
    pub(super) fn is_reported(&self, id: DeliveryId, replays: u32) -> bool {
        self.0.get(&hash(Given::Delivery(id, replays))).is_some_and(|pair| pair.events > 0)
    }

    /// Reports differences. `moving` returns whether a uuid may have changed during the reading.
    pub(super) fn finish(
        &self,
        ledgers: &Ledgers,
        (events, letters): (&Cuts, &Cuts),
        moving: &dyn Fn(&str) -> bool,
        book: &mut Book,
    ) {
        for pair in self.0.values() {
            let key = String::from_utf8_lossy(&pair.key);
            let settled = pair.entry.is_none_or(|entry| ledgers.is_settled(entry));
            if !settled || moving(&key) {
                continue;
            }
            let (seen, at, cuts) = if pair.events > pair.letters {
                (true, pair.event_at, letters)
            } else {
                (false, pair.letter_at, events)
            };
            let since = cuts.since(&pair.key);
            let whole = since.is_none_or(|since| at >= since.plus_ms(CLOCKS_DIFFER_MS));
            let says = match (pair.events == pair.letters, seen) {
                (true, _) if pair.balance == 0 => continue,
                (true, _) => {
                    "the dead letter and the event about it give different reasons or attempts"
                        .to_owned()
                }
                _ if !whole => continue,
                (false, true) => {
                    format!(
                        "{} events report that it became a dead letter, but the topic has {} dead letters of it",
                        pair.events, pair.letters
                    )
                }
                (false, false) => {
                    format!(
                        "the topic has {} dead letters of it, but {} events report that it became one",
                        pair.letters, pair.events
                    )
                }
            };
            let mut violation = Violation::new(What::DeadLetter, says);
            violation.uuid = (!key.is_empty()).then(|| key.into());
            violation.webhook_id = pair.id;
            if let Some(topic) = &pair.topic {
                let (partition, offset) = pair.place;
                violation = violation.at(Spot { topic, partition, offset });
            }
            book.note(violation);
        }
    }
}

fn weight(reason: &str, attempts: u32) -> u64 {
    xxh3_64(reason.as_bytes()).wrapping_mul(u64::from(attempts) * 2 + 1)
}

impl Cuts {
    /// Returns the time from which everything about `key` is there. `None`: from the beginning.
    pub(super) fn since(&self, key: &[u8]) -> Option<Timestamp> {
        // A record without a key may be in any partition.
        if key.is_empty() {
            return self.0.iter().filter_map(|cut| *cut).max();
        }
        let count = u32::try_from(self.0.len()).unwrap_or(1);
        let own = usize::try_from(owner(key, count)).unwrap_or(0);
        self.0.get(own).copied().flatten()
    }
}
