//! One partition's keys and values, whatever they mean: a column family of RocksDB, or in tests one in memory that can lose
//! what a crash would lose.

#[cfg(test)]
pub(crate) mod memory;

use super::{Db, StoreError};
use rocksdb::{
    BoundColumnFamily, DBIteratorWithThreadMode, IngestExternalFileOptions, IteratorMode, Options,
    ReadOptions, SstFileWriter, WriteBatch, WriteOptions,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A key and its value.
pub(super) type Entry = (Box<[u8]>, Box<[u8]>);

/// One partition's keys and values.
#[derive(Clone)]
pub(super) enum Family {
    Rocks(Rocks),
    #[cfg(test)]
    Memory(memory::Family),
}

/// A column family.
#[derive(Clone)]
pub(super) struct Rocks {
    pub(super) db: Arc<Db>,
    pub(super) name: Arc<str>,
    pub(super) options: Arc<Options>,
    /// Without RocksDB's own log, since the changelog is one.
    pub(super) unlogged: Arc<WriteOptions>,
    /// Where files are made that RocksDB takes over.
    pub(super) scratch: Arc<Path>,
}

/// Changes that are made together or not at all.
pub(super) enum Writes {
    Rocks(WriteBatch),
    #[cfg(test)]
    Memory(memory::Writes),
}

/// How a scan reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// Some entries, which are soon read again.
    Some,
    /// All of them, and once.
    All,
}

/// Entries in the order of their keys.
pub(super) enum Entries<'a> {
    Rocks(&'a Db, DBIteratorWithThreadMode<'a, Db>),
    #[cfg(test)]
    Memory(std::vec::IntoIter<Entry>),
}

/// Tells the files in the scratch directory apart.
static FILES: AtomicU64 = AtomicU64::new(0);

/// Reading or writing failed.
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

    fn write(&self, writes: WriteBatch) -> Result<(), StoreError> {
        self.done(self.db.write_opt(writes, &self.unlogged))
    }

    fn scan(&self, scan: Scan, lower: Vec<u8>, upper: Vec<u8>) -> DBIteratorWithThreadMode<'_, Db> {
        let mut options = ReadOptions::default();
        if scan == Scan::All {
            options.fill_cache(false);
            options.set_readahead_size(1 << 20);
        }
        options.set_iterate_lower_bound(lower);
        options.set_iterate_upper_bound(upper);
        self.db.iterator_cf_opt(&self.handle(), options, IteratorMode::Start)
    }

    fn clear(&self) -> Result<(), StoreError> {
        let family = self.handle();
        // No key is longer than a uuid and its kind, and none begins with 0xff.
        let (from, to) = ([0_u8].as_slice(), [0xff_u8].as_slice());
        self.done(self.db.delete_range_cf_opt(&family, from, to, &self.unlogged))?;
        self.done(self.db.flush_cf(&family))
    }

    fn ingest<'a>(
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

    fn bytes(&self) -> u64 {
        let property =
            |name: &str| self.db.property_int_value_cf(&self.handle(), name).ok().flatten();
        ["rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables"]
            .into_iter()
            .filter_map(property)
            .sum()
    }
}

impl Family {
    /// No changes yet, with room for so many bytes.
    pub(super) fn writes(&self, capacity: usize) -> Writes {
        match self {
            Self::Rocks(_) => Writes::Rocks(WriteBatch::with_capacity_bytes(capacity)),
            #[cfg(test)]
            Self::Memory(_) => Writes::Memory(memory::Writes::default()),
        }
    }

    pub(super) fn put(&self, writes: &mut Writes, key: &[u8], value: &[u8]) {
        match (self, writes) {
            (Self::Rocks(rocks), Writes::Rocks(writes)) => {
                writes.put_cf(&rocks.handle(), key, value);
            }
            #[cfg(test)]
            (_, Writes::Memory(writes)) => writes.push((key.into(), Some(value.into()))),
            #[cfg(test)]
            (Self::Memory(_), Writes::Rocks(_)) => unreachable!("writes are made by their family"),
        }
    }

    pub(super) fn delete(&self, writes: &mut Writes, key: &[u8]) {
        match (self, writes) {
            (Self::Rocks(rocks), Writes::Rocks(writes)) => writes.delete_cf(&rocks.handle(), key),
            #[cfg(test)]
            (_, Writes::Memory(writes)) => writes.push((key.into(), None)),
            #[cfg(test)]
            (Self::Memory(_), Writes::Rocks(_)) => unreachable!("writes are made by their family"),
        }
    }

    /// Makes the changes, which are taken out of `writes`.
    pub(super) fn write(&self, writes: &mut Writes) -> Result<(), StoreError> {
        let writes = std::mem::replace(writes, self.writes(0));
        match (self, writes) {
            (Self::Rocks(rocks), Writes::Rocks(writes)) => rocks.write(writes),
            #[cfg(test)]
            (Self::Memory(family), Writes::Memory(writes)) => family.write(writes),
            #[cfg(test)]
            (Self::Memory(_) | Self::Rocks(_), _) => {
                unreachable!("writes are made by their family")
            }
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Rocks(rocks) => rocks.done(rocks.db.get_cf(&rocks.handle(), key)),
            #[cfg(test)]
            Self::Memory(family) => Ok(family.get(key)),
        }
    }

    /// The entries from `lower` up to below `upper`.
    pub(super) fn scan(&self, scan: Scan, lower: Vec<u8>, upper: Vec<u8>) -> Entries<'_> {
        match self {
            Self::Rocks(rocks) => Entries::Rocks(&rocks.db, rocks.scan(scan, lower, upper)),
            #[cfg(test)]
            Self::Memory(family) => Entries::Memory(family.scan(lower, upper)),
        }
    }

    /// Deletes everything, durably.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        match self {
            Self::Rocks(rocks) => rocks.clear(),
            #[cfg(test)]
            Self::Memory(family) => family.clear(),
        }
    }

    /// Makes everything written so far durable.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        match self {
            Self::Rocks(rocks) => rocks.done(rocks.db.flush_cf(&rocks.handle())),
            #[cfg(test)]
            Self::Memory(family) => family.flush(),
        }
    }

    /// Takes in entries that are sorted by their keys, durably; no value: the entry is gone.
    pub(super) fn ingest<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        let mut entries = entries.peekable();
        if entries.peek().is_none() {
            return Ok(());
        }
        match self {
            Self::Rocks(rocks) => rocks.done(rocks.ingest(entries)),
            #[cfg(test)]
            Self::Memory(family) => family.ingest(entries),
        }
    }

    /// Bytes on disk and in memory tables.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Rocks(rocks) => rocks.bytes(),
            #[cfg(test)]
            Self::Memory(_) => 0,
        }
    }
}

impl Writes {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Rocks(writes) => writes.size_in_bytes(),
            #[cfg(test)]
            Self::Memory(writes) => writes.iter().map(|(key, _)| key.len()).sum(),
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Rocks(db, entries) => {
                entries.next().map(|entry| entry.map_err(|source| failed(db, source)))
            }
            #[cfg(test)]
            Self::Memory(entries) => entries.next().map(Ok),
        }
    }
}
