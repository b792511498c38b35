//! Finds the newest record of a key in each partition, from the topic's end.
//!
//! Each transaction that writes to a partition of the changelog ends with the partition's meta row. So the last
//! committed records hold it, and the owner of a changelog is known without a restore.

use super::client::LogError;
use super::scan::{Progress, ScanFrom, ScanRange, Scanner};
use crate::codec::row::{self, Owner};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The number of offsets that are read first. It is multiplied by the factor as long as the key is not among them.
const OFFSETS_FIRST: i64 = 64;
const OFFSETS_FACTOR: i64 = 16;

/// The newest value of a key in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    pub partition: i32,
    /// The first offset in the log.
    pub first: i64,
    /// The end of the partition.
    pub end: i64,
    /// The value; `None`: there is none, or the key is deleted.
    pub value: Option<Bytes>,
}

impl Newest {
    /// Returns the owner of the partition's rows, if the value is a meta row.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        row::decode_meta(self.value.as_ref()?).ok()?.owner
    }
}

impl Scanner {
    /// Returns the newest committed value of `key` in each partition of `topic`, or nothing if the topic does not
    /// exist. Blocks.
    ///
    /// # Errors
    /// Kafka can't be read.
    pub fn newest(&self, topic: &str, key: &[u8]) -> Result<Vec<Newest>, LogError> {
        let mut left = self.all(topic, ScanFrom::Beginning)?;
        let mut found: BTreeMap<i32, Newest> = left
            .iter()
            .map(|ScanRange { partition, first, end, .. }| {
                let (partition, first, end) = (*partition, *first, *end);
                (partition, Newest { partition, first, end, value: None })
            })
            .collect();
        let mut offsets = OFFSETS_FIRST;
        while !left.is_empty() {
            for range in &mut left {
                range.from = range.end.saturating_sub(offsets).max(range.first);
            }
            let mut seen: BTreeMap<i32, Option<Bytes>> = BTreeMap::new();
            let mut watch = |_: Progress<'_>| ControlFlow::Continue(());
            let _whole = self.scan(topic, &left, &mut watch, &mut |record| {
                if record.key() == Some(key) {
                    seen.insert(record.partition(), record.value().map(Bytes::copy_from_slice));
                }
                ControlFlow::Continue(())
            })?;
            left.retain(|range| !seen.contains_key(&range.partition) && range.from > range.first);
            for (partition, value) in seen {
                if let Some(newest) = found.get_mut(&partition) {
                    newest.value = value;
                }
            }
            offsets = offsets.saturating_mul(OFFSETS_FACTOR);
        }
        Ok(found.into_values().collect())
    }
}
