//! The places of records in the inputs, and of the items of arrays in them.

use super::ledger::MARK_MAX;
use crate::domain::canonical_uuid;
use xxhash_rust::xxh3::xxh3_64;

/// A ledger, and an offset in it. Each item of an array has an offset of its own: see [`item`].
pub(super) type Entry = (Which, i64);

/// The bits of an offset in Kafka. Those above are the place in an array, counted from 1.
const OFFSET_BITS: u32 = 48;

/// Returns the entry of an item of the array at `entry`, or `entry` itself without an index.
pub(super) fn item((which, offset): Entry, index: Option<u32>) -> Entry {
    (which, offset | index.map_or(0, |index| item_bits(i64::from(index))))
}

/// Returns the bits of an entry's offset for the item with this index.
pub(super) fn item_bits(index: i64) -> i64 {
    (index + 1) << OFFSET_BITS
}

/// Returns the index of an entry's item in its array. `None`: the entry is a whole record.
pub(super) fn item_in_array(offset: i64) -> Option<i64> {
    let place = offset >> OFFSET_BITS;
    (place > 0).then(|| place - 1)
}

/// Returns the offset in Kafka of an entry's offset.
pub(super) fn in_kafka(offset: i64) -> i64 {
    offset & ((1 << OFFSET_BITS) - 1)
}

/// A partition of an input: the topic's index, and the partition's number.
pub(super) type Which = (usize, i32);

/// Returns the mark of a uuid, which is the same for each of its spellings.
pub(super) fn mark_of(uuid: &[u8]) -> u8 {
    let canonical = std::str::from_utf8(uuid).ok().and_then(canonical_uuid);
    let uuid = canonical.as_deref().map_or(uuid, str::as_bytes);
    let hash = xxh3_64(uuid) % u64::from(MARK_MAX);
    u8::try_from(hash).unwrap_or(0) + 1
}
