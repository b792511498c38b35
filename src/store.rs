//! RocksDB: the state of the partitions that this instance owns or owned.
//!
//! There is one database per instance and one column family per partition. So the rows, indexes and checkpoint of a
//! partition are written, flushed and dropped together. The changelog has only the rows. [`Batch::put`] alone derives
//! the indexes from them, in normal operation and during a restore.

mod aside;
mod batch;
mod bulk;
mod checkpoint;
mod condition;
mod damage;
mod derived;
mod family;
mod key;
mod partition;
mod recovery;
mod retried;
mod times;
mod view;
mod write_back;

pub use aside::{Aside, SetAside, Why, copies, is_open, set_aside};
pub use batch::Batch;
pub use bulk::{BulkLoad, Loaded};
pub use checkpoint::{Checkpoint, Tally};
pub use damage::damage_known;
pub use derived::Derived;
pub use family::{Entry, Family, Rocks, Scan};
pub use key::{AwaitingKey, Backlogs, DueKey, RowKey, StoreKey, TimerKey};
pub use partition::Partition;
pub use recovery::OnCorruption;
pub use retried::Retried;
pub use view::{StoreView, Take};
pub use write_back::WriteBack;

#[cfg(test)]
pub(crate) use family::memory;

use crate::codec::row::RowError;
use crate::system::{self, OpenFiles};
use crate::telemetry::StoreCondition;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBRecoveryMode, DBWithThreadMode,
    MultiThreaded, Options, WriteBufferManager, WriteOptions,
};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Db = DBWithThreadMode<MultiThreaded>;

/// The size of the block cache. The write buffers take their share first: a cache that is not larger would hold no
/// block, not even indexes and filters.
const CACHE_BYTES: usize = WRITE_BUFFERS_BYTES + (12 << 20);
const WRITE_BUFFERS_BYTES: usize = 16 << 20;
const WRITE_BUFFER_BYTES: usize = 4 << 20;

/// An error of the store. The process ends, since state on a broken disk can't be trusted.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory can't be opened.
    #[error("the store in {} ([store] directory) can't be opened; {}", directory.display(), advice(source.as_ref()))]
    Open {
        /// `[store] directory`
        directory: PathBuf,
        source: rocksdb::Error,
    },
    /// The store can't be opened for reading.
    #[error("the store in {directory} can't be read")]
    View {
        /// `[store] directory`
        directory: PathBuf,
        source: rocksdb::Error,
    },
    /// The scratch directory in the store can't be created.
    #[error("{directory} can't be created")]
    Scratch { directory: PathBuf, source: std::io::Error },
    /// A read or a write failed.
    #[error("the store in {} ([store] directory) has failed; {}", directory.display(), advice(source.as_ref()))]
    Io {
        /// `[store] directory`
        directory: PathBuf,
        source: rocksdb::Error,
    },
    /// A newer version wrote the row. This version can't read it, and leaves it unchanged.
    #[error(
        "a newer version has written to partition {partition}: {what}; run that version or a later one; this version can't read \
         the partition, and has changed nothing in it"
    )]
    Newer {
        partition: i32,
        /// The row and the error.
        what: String,
    },
    /// A row or an index entry in the store can't be decoded.
    #[error("the store of partition {partition} is corrupt at {what}")]
    Corrupt {
        partition: i32,
        /// The row or the index entry.
        what: String,
    },
    /// A row in the changelog can't be decoded. Another store would not help, and this store may be the better copy.
    #[error(
        "the changelog of partition {partition} is corrupt at {what}; the store was not changed: keep it, and find out which \
         program wrote that record"
    )]
    Changelog {
        partition: i32,
        /// The row and the error.
        what: String,
    },
    /// The store is damaged, and only an operator may do something about it.
    #[error(
        "the store in {} ([store] directory) is damaged: {says}; move the directory away, or set [store] on_corruption = \
         \"restore\", and start again: the changelog restores the store; see ops/guide/damaged-store.md",
        directory.display()
    )]
    Damaged {
        /// `[store] directory`
        directory: PathBuf,
        says: String,
    },
    /// Stores are damaged so often that another restore makes no sense.
    #[error(
        "the store in {} ([store] directory) is damaged again, for the third time within an hour: {says}; it was not changed, \
         since its disk or this machine's memory seems to damage files: replace the disk or the memory, or name a directory on \
         another disk; to continue here at once, remove {}; see ops/guide/damaged-store.md",
        directory.display(),
        copies.iter().map(|copy| copy.display().to_string()).collect::<Vec<_>>().join(" and ")
    )]
    Repeatedly {
        /// `[store] directory`
        directory: PathBuf,
        says: String,
        /// The damaged stores that were set aside within the hour.
        copies: Vec<PathBuf>,
    },
    /// The directory has files that are not a store's.
    #[error(
        "there is no store in {} ([store] directory), but there are other files, which were not changed: {says}; name another \
         directory",
        directory.display()
    )]
    NoStore {
        /// `[store] directory`
        directory: PathBuf,
        says: String,
    },
    /// Another process has the store open.
    #[error(
        "the store in {} ([store] directory) can't be set aside: is another instance running there? each instance needs a \
         directory of its own",
        directory.display()
    )]
    Locked {
        /// `[store] directory`
        directory: PathBuf,
    },
    /// The store can't be moved.
    #[error("the store in {} ([store] directory) can't be set aside as {}", directory.display(), copy.display())]
    Aside {
        /// `[store] directory`
        directory: PathBuf,
        /// The target of the move.
        copy: PathBuf,
        source: std::io::Error,
    },
}

/// Returns the remedy for an error. RocksDB reports causes only as text, which also contains the file's name.
fn advice(text: &str) -> Cow<'static, str> {
    const CAUSES: &[(&str, &str)] = &[
        ("No space left", "its disk is full: make room there and start again"),
        ("Disk quota exceeded", "its disk quota is used up: raise it and start again"),
        (
            "File too large",
            "the process may not write files that large (RLIMIT_FSIZE): raise the limit and start again",
        ),
        (
            "Too many open files in system",
            "the host has too many files open: raise the sysctl fs.file-max, or end the processes that have them open, and start again",
        ),
        (
            "Cannot allocate memory",
            "the host has no memory left for the process: raise MemoryMax= of the systemd unit or the container's limit, or give the host \
             more, and start again",
        ),
        (
            "While lock file",
            "is another instance running there? each instance needs a directory of its own",
        ),
        (
            "Resource temporarily unavailable",
            "the system can't start another thread: raise TasksMax= of the systemd unit or `ulimit -u` (RLIMIT_NPROC), and start again",
        ),
        ("Read-only file system", "its disk is read-only: mount it for writing and start again"),
        ("File exists", "another file is in its place: remove it, or name another directory"),
        ("Permission denied", "let the daemon's user read and write there and start again"),
        (
            "Input/output error",
            "its disk reports errors: replace the disk, or name a directory on another one, where the changelog restores the \
             store",
        ),
        ("for appending", "its files were removed: start again, and the changelog restores them"),
    ];
    if text.contains("Too many open files") && !text.contains("in system") {
        return format!("{}; then start again", system::open_files_advice()).into();
    }
    let known = CAUSES.iter().find(|(words, _)| text.contains(words)).map(|(_, advice)| *advice);
    let unknown = if damage::is_shown_by(text) {
        "its files are damaged: start again, and it is set aside and restored from the changelog; if [store] on_corruption \
         is \"stop\", first move the directory away"
    } else {
        "repair the cause and start again; the store itself is not known to be damaged"
    };
    known.unwrap_or(unknown).into()
}

impl StoreError {
    /// Converts the error of decoding the row `what`.
    #[must_use]
    pub fn unreadable(partition: i32, what: &str, error: &RowError) -> Self {
        let what = format!("{what}: {error}");
        match error {
            RowError::UnknownSchema(_) => Self::Newer { partition, what },
            RowError::NotARow
            | RowError::BreaksOff
            | RowError::Surplus
            | RowError::Invalid(_)
            | RowError::Migration(_) => Self::Corrupt { partition, what },
        }
    }
}

/// The storage of an instance's partitions: RocksDB, or a simulated disk in tests.
pub trait Disk {
    /// The storage of one partition.
    type Family: Family;

    /// Returns the keys and values of a partition. A new partition has none.
    ///
    /// # Errors
    /// The disk fails.
    fn family(&self, number: i32) -> Result<Self::Family, StoreError>;

    /// Returns the directory of the store, if it has one.
    fn directory(&self) -> Option<&Path>;

    /// Returns the state of the disk, of the database and of these partitions.
    fn condition(&self, _partitions: &[i32]) -> StoreCondition {
        StoreCondition::default()
    }
}

/// The state store of an instance.
pub struct Store<D = Database>(D);

/// A database of RocksDB.
pub struct Database {
    db: Arc<Db>,
    /// The partitions that existed when the store was opened.
    found: Vec<i32>,
    options: Arc<Options>,
    unlogged: Arc<WriteOptions>,
    scratch: Arc<Path>,
}

impl Store {
    /// Opens or creates the store in `directory`.
    ///
    /// # Errors
    /// The directory can't be used, or another process has it open.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { directory: directory.to_owned(), source };
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let options = partition_options(&cache);
        let mut database = options.clone();
        database.create_if_missing(true);
        // Damage shows as early as possible, and a missing file at the start.
        database.set_paranoid_checks(true);
        // RocksDB's own log is empty, except the log of an earlier version. That one is read up to the point at which a
        // power cut has torn it.
        database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        let files = system::for_store(OpenFiles::now().soft);
        database.set_max_open_files(i32::try_from(files).unwrap_or(i32::MAX));
        database.set_write_buffer_manager(
            &WriteBufferManager::new_write_buffer_manager_with_cache(
                WRITE_BUFFERS_BYTES,
                false,
                cache.clone(),
            ),
        );
        database.set_max_background_jobs(2);
        database.set_keep_log_file_num(4);
        database.set_max_log_file_size(4 << 20);
        let families = match Db::list_cf(&database, directory) {
            Ok(families) => families,
            // Without the names of the families, RocksDB would report an error of the system as one of the store.
            Err(error) if directory.join("CURRENT").exists() => return Err(failed(error)),
            // A new directory has no families. Any other error shows when the store is opened.
            Err(_) => Vec::new(),
        };
        let found = families.iter().filter_map(|name| family_number(name)).collect();
        let families =
            families.into_iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        let db = Db::open_cf_descriptors(&database, directory, families).map_err(failed)?;
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        // Files of an interrupted load are useless.
        let scratch = directory.join("scratch");
        let _ = std::fs::remove_dir_all(&scratch);
        std::fs::create_dir_all(&scratch)
            .map_err(|source| StoreError::Scratch { directory: scratch.clone(), source })?;
        Ok(Self(Database {
            db: Arc::new(db),
            found,
            options: Arc::new(options),
            unlogged: Arc::new(unlogged),
            scratch: scratch.into(),
        }))
    }

    /// Returns the partitions that existed when the store was opened, in the order of their numbers.
    #[must_use]
    pub fn partitions(&self) -> Vec<i32> {
        let mut numbers = self.0.found.clone();
        numbers.sort_unstable();
        numbers
    }
}

impl<D: Disk> Store<D> {
    /// Creates a store on a simulated disk.
    #[cfg(test)]
    pub(crate) fn on(disk: D) -> Self {
        Self(disk)
    }

    /// Returns a partition, which is empty if it is new.
    ///
    /// # Errors
    /// The disk fails.
    pub fn partition(&self, number: i32) -> Result<Partition<D::Family>, StoreError> {
        Ok(Partition { family: self.0.family(number)?, number })
    }

    /// Returns the state of the disk, of the database and of these partitions.
    pub(crate) fn condition(&self, partitions: &[i32]) -> StoreCondition {
        self.0.condition(partitions)
    }
}

impl Disk for Database {
    type Family = Rocks;

    fn family(&self, number: i32) -> Result<Rocks, StoreError> {
        let name = family_name(number);
        if self.db.cf_handle(&name).is_none() {
            let made = self.db.create_cf(&name, &self.options);
            made.map_err(|source| family::failed(&self.db, source))?;
        }
        Ok(Rocks {
            db: self.db.clone(),
            name: name.into(),
            options: self.options.clone(),
            unlogged: self.unlogged.clone(),
            scratch: self.scratch.clone(),
        })
    }

    fn directory(&self) -> Option<&Path> {
        Some(self.db.path())
    }

    fn condition(&self, partitions: &[i32]) -> StoreCondition {
        self.condition_of(partitions)
    }
}

fn family_number(name: &str) -> Option<i32> {
    name.strip_prefix("partition-")?.parse().ok()
}

fn family_name(number: i32) -> String {
    format!("partition-{number}")
}

fn partition_options(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(10.0, false);
    table.set_format_version(5);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    // Partitions that come back after a rebalance are written as fast as they are read. More than one buffer per
    // partition that waits for the disk would be memory without a limit.
    options.set_max_write_buffer_number(2);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_level_zero_file_num_compaction_trigger(8);
    // Most look-ups are for unknown uuids.
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_memtable_whole_key_filtering(true);
    options.set_level_compaction_dynamic_level_bytes(true);
    // Due indexes are queues: deleted entries leave tombstones, which each scan would read again.
    options.add_compact_on_deletion_collector_factory(4096, 2048, 0.5);
    options
}

#[cfg(test)]
mod tests;
