//! The state of RocksDB and of its disk, for the metrics.

use super::{Database, Db, family_name};
use crate::telemetry::{Stalls, StoreCondition};
use rustix::fs::statvfs;

impl Database {
    /// Returns the state of the database, of these partitions and of the disk.
    pub(super) fn condition_of(&self, partitions: &[i32]) -> StoreCondition {
        let disk = statvfs(self.db.path()).ok();
        let disk_free = disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let mut condition = StoreCondition { disk_free, ..StoreCondition::default() };
        let errors = self.db.property_int_value("rocksdb.background-errors");
        condition.write_errors = errors.ok().flatten().unwrap_or(0);
        let stalls = text(&self.db, "rocksdb.db-write-stall-stats");
        condition.stops = count(&stalls, "write-buffer-manager-limit-stops");
        for number in partitions {
            let Some(family) = self.db.cf_handle(&family_name(*number)) else { continue };
            let stalls = self.db.property_value_cf(&family, "rocksdb.cf-write-stall-stats");
            let stalls = stalls.ok().flatten().unwrap_or_default();
            let (stops, delays) = (count(&stalls, "total-stops"), count(&stalls, "total-delays"));
            condition.partitions.insert(*number, Stalls { stops, delays });
        }
        condition
    }
}

fn text(db: &Db, property: &str) -> String {
    db.property_value(property).ok().flatten().unwrap_or_default()
}

/// Returns the number behind `name` in a text like `Write Stall (count): total-delays: 3, total-stops: 0`; 0 if it is
/// missing.
fn count(text: &str, name: &str) -> u64 {
    let behind = text.split_once(&format!("{name}: ")).map_or("", |(_, behind)| behind);
    let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
    behind.get(..digits).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Disk, Store};

    #[test]
    fn the_texts_of_rocksdb_are_read() {
        let text = "Write Stall (count): cf-l0-file-count-limit-delays-with-ongoing-compaction: 1, total-delays: 12, total-stops: 3";
        assert_eq!((count(text, "total-delays"), count(text, "total-stops")), (12, 3));
        assert_eq!(count(text, "other"), 0);
    }

    #[test]
    fn the_condition_of_a_real_store_has_free_space_and_rocksdb_knows_the_properties() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.partition(0).unwrap();
        let condition = store.0.condition(&[0]);
        assert!(condition.disk_free.is_some_and(|free| free > 0), "{condition:?}");
        assert_eq!((condition.stops, condition.write_errors), (0, 0));
        assert_eq!(condition.partitions, [(0, Stalls::default())].into());
        let of_db = text(&store.0.db, "rocksdb.db-write-stall-stats");
        assert!(of_db.contains("write-buffer-manager-limit-stops: "), "{of_db}");
        let family = store.0.db.cf_handle(&family_name(0)).unwrap();
        let of_family = store.0.db.property_value_cf(&family, "rocksdb.cf-write-stall-stats");
        let of_family = of_family.unwrap().unwrap();
        for name in ["total-stops: ", "total-delays: "] {
            assert!(of_family.contains(name), "{of_family}");
        }
    }
}
