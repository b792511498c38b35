//! A read-only view of a store on the disk; a daemon may run on the store.
//!
//! It lacks the rows that the daemon has only in memory. Each partition shows a prefix of its writes: rows, indexes and
//! checkpoint together.

use super::checkpoint::Checkpoint;
use super::family::failed;
use super::key::{CHECKPOINT_KEY, RowKey};
use super::{Db, StoreError, family_name, family_number, partition_options};
use crate::clock;
use bytes::Bytes;
use rocksdb::{Cache, ColumnFamilyDescriptor, Direction, IteratorMode, ReadOptions};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// The view keeps its files open, so that the daemon may delete them meanwhile.
const OPEN_FILES_MAX: i32 = -1;
/// Files may be deleted after their names are read and before they are opened.
const TRIES: usize = 5;
/// A file that is being renamed exists again after this time.
const PAUSE: Duration = Duration::from_millis(50);
const CACHE_BYTES: usize = 8 << 20;

/// Receives keys and values, and decides whether to continue.
pub type Take<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// A store that is only read.
pub struct StoreView {
    db: Db,
    partitions: Vec<i32>,
}

impl StoreView {
    /// Opens the store in `directory`, or returns `None` if there is none.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn open(directory: &Path) -> Result<Option<Self>, StoreError> {
        if !directory.join("CURRENT").exists() {
            return Ok(None);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::open_once(directory) {
                Ok(view) => return Ok(Some(view)),
                Err(source) if tries == TRIES => {
                    return Err(StoreError::View { directory: directory.to_owned(), source });
                }
                Err(error) => {
                    tracing::debug!(%error, "the store can't be opened, perhaps because it changed meanwhile; trying again");
                    clock::sleep(PAUSE);
                }
            }
        }
    }

    fn open_once(directory: &Path) -> Result<Self, rocksdb::Error> {
        let options = partition_options(&Cache::new_lru_cache(CACHE_BYTES));
        let mut database = options.clone();
        database.set_max_open_files(OPEN_FILES_MAX);
        let names = Db::list_cf(&database, directory)?;
        let partitions = names.iter().filter_map(|name| family_number(name)).collect();
        let families =
            names.into_iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        let db = Db::open_cf_descriptors_read_only(&database, directory, families, false)?;
        Ok(Self { db, partitions })
    }

    /// Returns the partitions of the store.
    #[must_use]
    pub fn partitions(&self) -> &[i32] {
        &self.partitions
    }

    /// Returns the checkpoint and the meta row of a partition.
    ///
    /// # Errors
    /// The disk fails.
    pub fn head(&self, partition: i32) -> Result<(Checkpoint, Option<Bytes>), StoreError> {
        let Some(family) = self.db.cf_handle(&family_name(partition)) else {
            return Ok((Checkpoint::default(), None));
        };
        let get =
            |key: &[u8]| self.db.get_cf(&family, key).map_err(|source| failed(&self.db, source));
        let checkpoint = get(CHECKPOINT_KEY)?.and_then(|bytes| Checkpoint::from_bytes(&bytes));
        Ok((checkpoint.unwrap_or_default(), get(RowKey::META)?.map(Bytes::from)))
    }

    /// Passes all entries of a partition to `take`, in the order of their keys.
    ///
    /// # Errors
    /// The disk fails.
    pub fn read(
        &self,
        partition: i32,
        take: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        self.read_from(partition, &[], &mut |key, value| {
            take(key, value);
            ControlFlow::Continue(())
        })
    }

    /// Like [`StoreView::read`], from the key `from` on, until `take` breaks.
    ///
    /// # Errors
    /// The disk fails.
    pub fn read_from(&self, partition: i32, from: &[u8], take: Take<'_>) -> Result<(), StoreError> {
        let Some(family) = self.db.cf_handle(&family_name(partition)) else { return Ok(()) };
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(1 << 20);
        let start = IteratorMode::From(from, Direction::Forward);
        for entry in self.db.iterator_cf_opt(&family, options, start) {
            let (key, value) = entry.map_err(|source| failed(&self.db, source))?;
            if take(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
