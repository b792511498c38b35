//! Dead letters and the events about them are one to one.

use super::ledger::{Entry, Ledgers};
use super::violation::{Book, Violation, What};
use super::{Cuts, NEVER, Spot};
use crate::domain::{DeliveryId, Timestamp, owner};
use std::collections::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Clocks of instances may differ by so much where a time decides whether a record may be gone.
const CLOCKS_DIFFER_MS: u64 = 600_000;

/// What was given up.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// A delivery, in one of its lives.
    Delivery(DeliveryId, u32),
    /// A record.
    Record(Spot<'a>, Option<Entry>),
}

/// What was given up, as events and as dead letters tell it.
struct Pair {
    key: Box<[u8]>,
    id: Option<DeliveryId>,
    topic: Option<Box<str>>,
    place: (i32, Option<i64>),
    entry: Option<Entry>,
    events: u32,
    letters: u32,
    /// The sum of what the events say, less what the letters say.
    balance: u64,
    /// When the first of them was told.
    event_at: Timestamp,
    letter_at: Timestamp,
}

/// All that was given up.
#[derive(Default)]
pub(super) struct Letters(HashMap<u128, Pair>);

fn hash(given: Given<'_>) -> u128 {
    let mut bytes = [0; 28];
    match given {
        Given::Delivery(id, replays) => {
            let parts = id.to_bytes().into_iter().chain(replays.to_be_bytes());
            bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        }
        Given::Record(spot, _) => {
            let offset = spot.offset.unwrap_or(-1);
            let parts = xxh3_64(spot.topic.as_bytes()).to_be_bytes().into_iter();
            let parts = parts.chain(spot.partition.to_be_bytes()).chain(offset.to_be_bytes());
            bytes.iter_mut().zip(parts.chain([0xff; 8])).for_each(|(to, from)| *to = from);
        }
    }
    xxh3_128(&bytes)
}

impl Letters {
    fn pair(&mut self, given: Given<'_>, key: &[u8]) -> &mut Pair {
        self.0.entry(hash(given)).or_insert_with(|| {
            let (id, topic, place, entry) = match given {
                Given::Delivery(id, _) => (Some(id), None, (0, None), None),
                Given::Record(spot, entry) => {
                    (None, Some(spot.topic.into()), (spot.partition, spot.offset), entry)
                }
            };
            let (key, never) = (key.into(), NEVER);
            let (events, letters, balance, event_at, letter_at) = (0, 0, 0, never, never);
            Pair { key, id, topic, place, entry, events, letters, balance, event_at, letter_at }
        })
    }

    /// An event tells that it was given up.
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

    /// A dead letter holds it.
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

    /// Whether an event tells that the delivery was given up in that life.
    pub(super) fn is_told(&self, id: DeliveryId, replays: u32) -> bool {
        self.0.get(&hash(Given::Delivery(id, replays))).is_some_and(|pair| pair.events > 0)
    }

    /// Says where the two differ; `moving` are the uuids of which more may have been told meanwhile.
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
                        "{} events tell that it was given up, and there are {} dead letters of it",
                        pair.events, pair.letters
                    )
                }
                (false, false) => {
                    format!(
                        "there are {} dead letters of it, and {} events tell that it was given up",
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
    /// Since when everything of `key` is there; nothing: from the beginning.
    pub(super) fn since(&self, key: &[u8]) -> Option<Timestamp> {
        // A record without a key stands in any partition.
        if key.is_empty() {
            return self.0.iter().filter_map(|cut| *cut).max();
        }
        let count = u32::try_from(self.0.len()).unwrap_or(1);
        let own = usize::try_from(owner(key, count)).unwrap_or(0);
        self.0.get(own).copied().flatten()
    }
}
