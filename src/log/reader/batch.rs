//! The records that the reader hands to the engine together.

use crate::log::record::Record;

/// The largest number of records. Each item of an array counts.
const RECORDS_MAX: usize = 512;
/// The largest size in bytes.
const BYTES_MAX: usize = 1 << 20;

/// Takes records until there is none, or their number or size reaches its limit. The last one may exceed it.
pub(super) fn gather(mut next: impl FnMut() -> Option<Record>) -> Vec<Record> {
    let (mut batch, mut count, mut bytes) = (Vec::new(), 0, 0);
    while count < RECORDS_MAX
        && bytes < BYTES_MAX
        && let Some(record) = next()
    {
        count += record.count();
        bytes += record.cost(0);
        batch.push(record);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::{RECORDS_MAX, gather};
    use crate::log::record::tests::record;
    use crate::log::record::{Record, RecordBody};

    fn lengths(record: &Record) -> (usize, usize) {
        let mut left = 10_000;
        let batch = gather(|| {
            left -= 1;
            (left > 0).then(|| record.clone())
        });
        (batch.len(), batch.iter().map(Record::count).sum())
    }

    #[test]
    fn a_batch_ends_after_as_many_items_of_arrays_as_records() {
        let single = record(RecordBody::Skipped, "{}");
        assert_eq!(lengths(&single), (RECORDS_MAX, RECORDS_MAX));
        let array = record(RecordBody::Items(vec![single; 100]), "[]");
        assert_eq!(lengths(&array), (6, 600));
    }
}
