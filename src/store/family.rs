//! The keys and values of one partition, without their meaning: a column family of RocksDB. Tests use one in memory
//! that can lose the writes that a crash would lose.

#[cfg(test)]
pub(crate) mod memory;

use super::{Db, StoreError};
use rocksdb::{
    BoundColumnFamily, IngestExternalFileOptions, IteratorMode, Options, ReadOptions,
    SstFileWriter, WriteBatch, WriteOptions,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A key and its value.
pub type Entry = (Box<[u8]>, Box<[u8]>);

/// The kind of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// It reads some entries, which will be read again soon.
    Some,
    /// It reads all entries once.
    All,
}

/// One partition's keys and values: RocksDB's, or simulated ones in tests.
pub trait Family: Clone + Send + 'static {
    /// Changes that are written together or not at all.
    type Writes: Send;

    /// Returns an empty set of changes with room for `capacity` bytes.
    fn writes(&self, capacity: usize) -> Self::Writes;

    /// Returns the size of the changes in bytes.
    fn bytes_of(writes: &Self::Writes) -> usize;

    /// Adds an entry to the changes.
    fn put(&self, writes: &mut Self::Writes, key: &[u8], value: &[u8]);

    /// Adds the removal of an entry to the changes.
    fn delete(&self, writes: &mut Self::Writes, key: &[u8]);

    /// Writes the changes, and leaves `writes` empty.
    ///
    /// # Errors
    /// The disk fails.
    fn write(&self, writes: &mut Self::Writes) -> Result<(), StoreError>;

    /// Returns the value of a key.
    ///
    /// # Errors
    /// The disk fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the entries from `lower` up to below `upper`, in the order of their keys.
    fn scan(
        &self,
        scan: Scan,
        lower: Vec<u8>,
        upper: Vec<u8>,
    ) -> impl Iterator<Item = Result<Entry, StoreError>>;

    /// Deletes everything, durably.
    ///
    /// # Errors
    /// The disk fails.
    fn clear(&self) -> Result<(), StoreError>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// The disk fails.
    fn flush(&self) -> Result<(), StoreError>;

    /// Durably adds entries that are sorted by their keys; `None` as value deletes the entry.
    ///
    /// # Errors
    /// The disk fails.
    fn ingest<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError>;

    /// Returns the bytes on disk and in memory tables.
    fn bytes(&self) -> u64;
}

/// A column family of RocksDB.
#[derive(Clone)]
pub struct Rocks {
    pub(super) db: Arc<Db>,
    pub(super) name: Arc<str>,
    pub(super) options: Arc<Options>,
    /// Without RocksDB's own log, since the changelog replaces it.
    pub(super) unlogged: Arc<WriteOptions>,
    /// The directory for files that RocksDB ingests.
    pub(super) scratch: Arc<Path>,
}

/// Numbers the files in the scratch directory.
static FILES: AtomicU64 = AtomicU64::new(0);

pub(super) fn failed(db: &Db, source: rocksdb::Error) -> StoreError {
    StoreError::Io { directory: db.path().to_owned(), source }
}

impl Rocks {
    fn done<T>(&self, result: Result<T, rocksdb::Error>) -> Result<T, StoreError> {
        result.map_err(|source| failed(&self.db, source))
    }

    fn handle(&self) -> Arc<BoundColumnFamily<'_>> {
        #[expect(clippy::expect_used, reason = "made with the handle, and never dropped")]
        self.db.cf_handle(&self.name).expect("a partition's column family outlives its handles")
    }

    fn ingest_file<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), rocksdb::Error> {
        let file = self.scratch.join(format!("{}.sst", FILES.fetch_add(1, Ordering::Relaxed)));
        let mut writer = SstFileWriter::create(&self.options);
        writer.open(&file)?;
        for (key, value) in entries {
            match value {
                Some(value) => writer.put(key, value)?,
                None => writer.delete(key)?,
            }
        }
        writer.finish()?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.db.ingest_external_file_cf_opts(&self.handle(), &options, vec![file])
    }
}

impl Family for Rocks {
    type Writes = WriteBatch;

    fn writes(&self, capacity: usize) -> WriteBatch {
        WriteBatch::with_capacity_bytes(capacity)
    }

    fn bytes_of(writes: &WriteBatch) -> usize {
        writes.size_in_bytes()
    }

    fn put(&self, writes: &mut WriteBatch, key: &[u8], value: &[u8]) {
        writes.put_cf(&self.handle(), key, value);
    }

    fn delete(&self, writes: &mut WriteBatch, key: &[u8]) {
        writes.delete_cf(&self.handle(), key);
    }

    fn write(&self, writes: &mut WriteBatch) -> Result<(), StoreError> {
        let writes = std::mem::replace(writes, self.writes(0));
        self.done(self.db.write_opt(writes, &self.unlogged))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.done(self.db.get_cf(&self.handle(), key))
    }

    fn scan(
        &self,
        scan: Scan,
        lower: Vec<u8>,
        upper: Vec<u8>,
    ) -> impl Iterator<Item = Result<Entry, StoreError>> {
        let mut options = ReadOptions::default();
        if scan == Scan::All {
            options.fill_cache(false);
            options.set_readahead_size(1 << 20);
        }
        options.set_iterate_lower_bound(lower);
        options.set_iterate_upper_bound(upper);
        let entries = self.db.iterator_cf_opt(&self.handle(), options, IteratorMode::Start);
        entries.map(|entry| entry.map_err(|source| failed(&self.db, source)))
    }

    fn clear(&self) -> Result<(), StoreError> {
        let family = self.handle();
        // The range covers all keys: each begins with the letter of its kind, and none with 0xff.
        let (from, to) = ([0_u8].as_slice(), [0xff_u8].as_slice());
        self.done(self.db.delete_range_cf_opt(&family, from, to, &self.unlogged))?;
        self.done(self.db.flush_cf(&family))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.done(self.db.flush_cf(&self.handle()))
    }

    fn ingest<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        let mut entries = entries.peekable();
        if entries.peek().is_none() {
            return Ok(());
        }
        self.done(self.ingest_file(entries))
    }

    fn bytes(&self) -> u64 {
        let property =
            |name: &str| self.db.property_int_value_cf(&self.handle(), name).ok().flatten();
        ["rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables"]
            .into_iter()
            .filter_map(property)
            .sum()
    }
}
