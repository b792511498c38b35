//! Compares the store of this machine with the changelog below the checkpoint, and its indexes with its own rows.
//!
//! A store may hold rows that are newer than its checkpoint, written before the rest of their generation. They are not
//! compared with the changelog. A row and its indexes are written together, so that the indexes always fit the rows.

use super::violation::{Book, Violation, What};
use super::{Layout, Others};
use crate::codec::row::{self, Difference, TopicId};
use crate::domain::{PhononUuid, State, Timestamp, owner};
use crate::store::{Checkpoint, Derived, DueKey, RowKey, StoreKey, Tally};
use bytes::Bytes;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// An older store is restored from the start, because the changelog may no longer have tombstones that the store has
/// not seen.
const STORE_AGE_MAX_MS: u64 = 6 * 86_400_000;

/// The entries of a uuid in the store.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) row: Option<u64>,
    /// The sum of the index entries that its row requires, minus those that are there. 0 if they match.
    pub(super) index: u64,
}

#[derive(Default)]
struct StoredPartition {
    checkpoint: Option<Checkpoint>,
    tally: Tally,
    /// The hashes of rows that belong to no uuid.
    others: BTreeMap<Box<[u8]>, u64>,
    /// The changelog to which its rows belong, if it is known.
    changelog: Option<TopicId>,
    /// Set if its rows belong to something else: then they are not compared with this changelog.
    foreign: Option<Difference>,
}

/// The partitions of the store.
#[derive(Default)]
pub(super) struct Store {
    partitions: BTreeMap<i32, StoredPartition>,
    pub(super) rows: u64,
}

/// The content of an entry of the store.
pub(super) enum Says {
    /// The row of a uuid, with the index entries that it requires.
    Row(PhononUuid, Stored),
    /// An entry of an index.
    Index(PhononUuid, u64),
    /// An entry that belongs to no uuid, or is wrong.
    Nothing,
}

pub(super) fn hash(row: &[u8]) -> u64 {
    xxh3_64(row)
}

fn timer_hash(due: Timestamp) -> u64 {
    xxh3_64(&due.as_ms().to_be_bytes())
}

fn awaiting_hash(since: Timestamp) -> u64 {
    xxh3_64_with_seed(&since.as_ms().to_be_bytes(), 1)
}

fn due_hash(webhook: &str, key: &DueKey) -> u64 {
    let mut bytes = [key.class as u8; 25];
    let parts = key.due.as_ms().to_be_bytes().into_iter().chain(key.id.to_bytes());
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    xxh3_64_with_seed(&bytes, xxh3_64(webhook.as_bytes()))
}

fn index_of(state: &State) -> u64 {
    let due = state.due_keys().map(|(webhook, key)| due_hash(webhook.as_str(), &key));
    let timer = state.timer().map(timer_hash);
    let awaiting = state.awaits_reports_since().map(awaiting_hash);
    due.chain(timer).chain(awaiting).fold(0, u64::wrapping_add)
}

impl Store {
    /// Takes an entry of a partition.
    pub(super) fn entry(
        &mut self,
        partition: i32,
        key: &[u8],
        value: &[u8],
        layout: &Layout,
        book: &mut Book,
    ) -> Says {
        let stored = self.partitions.entry(partition).or_default();
        let mut odd = |says: String| {
            let mut violation = Violation::new(What::Store, says);
            violation.partition = Some(partition);
            book.note(violation);
            Says::Nothing
        };
        let uuid_of = |value: &[u8]| std::str::from_utf8(value).ok().and_then(PhononUuid::new);
        match StoreKey::parse(key) {
            None => {
                odd(format!("the key {} is not the key of a store's entry", key.escape_ascii()))
            }
            Some(StoreKey::Checkpoint) => {
                stored.checkpoint = Checkpoint::from_bytes(value);
                Says::Nothing
            }
            Some(StoreKey::Timer(timer)) => Says::Index(timer.uuid, timer_hash(timer.due)),
            Some(StoreKey::Awaiting(flow)) => Says::Index(flow.uuid, awaiting_hash(flow.since)),
            Some(StoreKey::Due(webhook, due)) => match uuid_of(value) {
                Some(uuid) => Says::Index(uuid, due_hash(webhook.as_str(), &due)),
                None => odd("an entry of the outbox names no uuid".to_owned()),
            },
            Some(StoreKey::Row(RowKey::Meta)) => {
                stored.others.insert(key.into(), hash(value));
                let meta = row::decode_meta(&Bytes::copy_from_slice(value)).ok();
                let owner = meta.and_then(|meta| meta.owner);
                stored.foreign = owner.as_ref().and_then(|owner| {
                    let difference = owner.difference(layout.owner.as_ref()?)?;
                    // If a group was taken over, its store is a copy of the current group's state.
                    let is_taken_over = matches!(difference, Difference::Group(..));
                    (!is_taken_over).then_some(difference)
                });
                stored.changelog = owner.and_then(|owner| owner.changelog);
                Says::Nothing
            }
            Some(StoreKey::Row(RowKey::Endpoint(_))) => {
                stored.others.insert(key.into(), hash(value));
                Says::Nothing
            }
            Some(StoreKey::Row(RowKey::State(uuid))) => {
                self.rows += 1;
                if owner(uuid.as_str().as_bytes(), layout.changelog.partitions) != partition {
                    return odd(format!("the row of {uuid} belongs to another partition"));
                }
                match row::decode_state(&Bytes::copy_from_slice(value)) {
                    Ok(state) => {
                        stored.tally.change(&Derived::default(), &Derived::of(&state));
                        let stored = Stored { row: Some(hash(value)), index: index_of(&state) };
                        Says::Row(uuid, stored)
                    }
                    Err(error) => odd(format!("the row of {uuid}: {error}")),
                }
            }
        }
    }

    /// Excludes this partition, or all partitions, from the comparison.
    pub(super) fn forget(&mut self, partition: Option<i32>) {
        match partition {
            Some(partition) => drop(self.partitions.remove(&partition)),
            None => self.partitions.clear(),
        }
    }

    /// Returns the checkpoint of a partition. `None`: the partition is not compared with the changelog.
    pub(super) fn checkpoint(&self, partition: i32, now: Timestamp) -> Option<i64> {
        let stored = self.partitions.get(&partition).filter(|stored| stored.foreign.is_none())?;
        let checkpoint = stored.checkpoint.as_ref()?;
        let fresh = now.ms_since(checkpoint.at) <= STORE_AGE_MAX_MS;
        (checkpoint.next_offset > 0 && fresh).then_some(checkpoint.next_offset)
    }

    /// Returns the number of partitions that are compared.
    pub(super) fn compared(&self, now: Timestamp) -> u64 {
        let compared =
            self.partitions.keys().filter(|partition| self.checkpoint(**partition, now).is_some());
        compared.count() as u64
    }

    /// Returns the partitions whose rows belong to something else, each with the changelog of these rows.
    pub(super) fn foreign(&self) -> impl Iterator<Item = (i32, &Difference, Option<&TopicId>)> {
        self.partitions.iter().filter_map(|(partition, stored)| {
            Some((*partition, stored.foreign.as_ref()?, stored.changelog.as_ref()))
        })
    }

    /// Recognises a replaced changelog by its rows, which belong to `changelog`, if Kafka has no topic ids.
    pub(super) fn recognise(&mut self, partition: i32, changelog: &TopicId) {
        let Some(stored) = self.partitions.get_mut(&partition) else { return };
        let former = stored.changelog.clone().filter(TopicId::is_generated);
        if let Some(former) = former.filter(|former| former != changelog) {
            let difference = Difference::Changelog(former, changelog.clone());
            stored.foreign.get_or_insert(difference);
        }
    }

    /// Returns a note about the partitions that are not compared.
    pub(super) fn notes(&self, now: Timestamp) -> Option<String> {
        let left: Vec<String> = self
            .partitions
            .keys()
            .filter(|partition| self.checkpoint(**partition, now).is_none())
            .map(ToString::to_string)
            .collect();
        if self.partitions.is_empty() {
            return Some("this machine has no store, so no store was compared".to_owned());
        }
        (!left.is_empty()).then(|| {
            format!(
                "partitions {} of the store were not compared: they have no rows of this changelog, or are too old, \
                 so that the daemon restores them from it",
                left.join(", ")
            )
        })
    }

    /// Reports violations in entries that belong to no uuid. `others` are the changelog's rows that belong to none.
    pub(super) fn finish(&self, now: Timestamp, layout: &Layout, others: &Others, book: &mut Book) {
        for (partition, stored) in &self.partitions {
            let Some(next) = self.checkpoint(*partition, now) else { continue };
            let mut say = |says: String| {
                let mut violation = Violation::new(What::Store, says);
                violation.partition = Some(*partition);
                book.note(violation);
            };
            let end = layout.changelog_end(*partition);
            if next > end {
                say(format!("the checkpoint is {next}, above the changelog's end {end}"));
            }
            if let Some(checkpoint) =
                stored.checkpoint.filter(|checkpoint| checkpoint.tally != stored.tally)
            {
                say(format!(
                    "the tally is {:?}, but the rows add up to {:?}",
                    checkpoint.tally, stored.tally
                ));
            }
            let in_log = others.iter().filter(|((number, _), _)| number == partition);
            for ((_, key), (offset, row)) in in_log {
                if *offset < next && stored.others.get(key) != row.as_ref() {
                    let key = key.escape_ascii();
                    say(format!(
                        "the row {key} differs from the changelog's record {offset}, below the checkpoint {next}"
                    ));
                }
            }
            for key in stored.others.keys() {
                if !others.contains_key(&(*partition, key.clone())) {
                    say(format!("the changelog does not have the row {}", key.escape_ascii()));
                }
            }
        }
    }
}

/// Reports violations in the entries of a uuid. `changelog` is the offset and hash of its latest row there.
pub(super) fn compare(
    uuid: &str,
    stored: Option<&Stored>,
    changelog: Option<(i64, Option<u64>)>,
    (partition, checkpoint): (i32, i64),
    book: &mut Book,
) {
    let row = stored.and_then(|stored| stored.row);
    let says = match changelog {
        _ if stored.is_some_and(|stored| stored.index != 0) => {
            "the indexes do not match its row".to_owned()
        }
        Some((offset, _)) if offset >= checkpoint => return,
        Some((_, is)) if is == row => return,
        None if row.is_none() => return,
        None => "the store has a row that the changelog does not have".to_owned(),
        Some((offset, Some(_))) if row.is_none() => {
            format!(
                "the store lacks the row of the changelog's record {offset}, below the checkpoint {checkpoint}"
            )
        }
        Some((offset, None)) => {
            format!(
                "the store has a row that the changelog's record {offset} deletes, below the checkpoint {checkpoint}"
            )
        }
        Some((offset, Some(_))) => {
            format!(
                "the store's row differs from the changelog's record {offset}, below the checkpoint {checkpoint}"
            )
        }
    };
    let mut violation = Violation::new(What::Store, says).of(uuid);
    violation.partition = Some(partition);
    book.note(violation);
}
