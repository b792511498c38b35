//! The metrics of the state store and its disk.

use super::super::definitions as define;
use super::super::family::{Family, Maker};
use super::super::keyed::Keyed;
use super::super::labels::StallKind;
use super::{Metrics, add, raise};
use prometheus::{IntCounter, IntGauge};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

pub(super) struct StoreMetrics {
    corruptions: IntCounter,
    bytes: IntGauge,
    partition_bytes: Keyed,
    disk_free: IntGauge,
    stalls: Family<StallKind, IntCounter>,
    /// The last counts of each partition, and of the database (`None`). A partition may be given away and come back.
    known: Mutex<BTreeMap<Option<i32>, Stalls>>,
    write_errors: IntCounter,
}

/// The state of the store's disk and of RocksDB. The counts are those since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreCondition {
    /// Free bytes of the disk; `None` if they are not known.
    pub disk_free: Option<u64>,
    /// How often the limit of all memory tables stopped writes.
    pub stops: u64,
    /// The stalls of each assigned partition.
    pub partitions: BTreeMap<i32, Stalls>,
    /// Failed flushes and compactions.
    pub write_errors: u64,
}

/// How often writes to a partition were held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// How often they were stopped.
    pub stops: u64,
    /// How often they were slowed down.
    pub delays: u64,
}

impl StoreMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            corruptions: make.counter(&define::STORE_CORRUPTIONS),
            bytes: make.gauge(&define::STORE_BYTES),
            partition_bytes: Keyed::new(make.float_vec(&define::STORE_PARTITION_BYTES)),
            disk_free: make.gauge(&define::STORE_DISK_FREE),
            stalls: make.counters(&define::STORE_STALLS),
            known: Mutex::default(),
            write_errors: make.counter(&define::STORE_WRITE_ERRORS),
        }
    }
}

impl Metrics {
    /// Counts a damaged store that was set aside.
    pub fn store_corruption(&self) {
        self.store.corruptions.inc();
    }

    /// Sets the size of the state of each assigned partition.
    pub fn set_store_bytes(&self, partitions: &BTreeMap<i32, u64>) {
        let all: u64 = partitions.values().sum();
        self.store.bytes.set(i64::try_from(all).unwrap_or(i64::MAX));
        let bytes = partitions.iter().map(|(number, bytes)| (number.to_string(), float(*bytes)));
        self.store.partition_bytes.set(&bytes.collect());
    }

    /// Sets the state of the store's disk and of RocksDB.
    pub fn set_store_condition(&self, condition: &StoreCondition) {
        if let Some(free) = condition.disk_free {
            self.store.disk_free.set(i64::try_from(free).unwrap_or(i64::MAX));
        }
        let mut known = self.store.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_database = Stalls { stops: condition.stops, delays: 0 };
        let of_partitions = condition.partitions.iter().map(|(number, now)| (Some(*number), *now));
        for (of, now) in of_partitions.chain([(None, of_database)]) {
            let before = known.insert(of, now).unwrap_or_default();
            add(self.store.stalls.at(StallKind::Stop), now.stops.saturating_sub(before.stops));
            add(self.store.stalls.at(StallKind::Delay), now.delays.saturating_sub(before.delays));
        }
        raise(&self.store.write_errors, condition.write_errors);
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are floats")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
