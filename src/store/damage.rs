//! Damage, and what only looks like it.
//!
//! A store is damaged when RocksDB reads other bytes than it wrote, or misses a file that it knows of: another store, restored
//! from the changelog, is well. A disk that is full, read-only or reports errors, a limit of the process, a missing right and
//! another instance in the same directory are none: another store in this place would meet the same, and the one that is
//! there may be whole.
//!
//! Damage may show while the store is in use. Nobody can exchange it then, so the process leaves a [`Mark`] and ends; the next
//! start finds the mark. See `ops/decisions/0020-damaged-store-set-aside.md`.

use super::aside::{self, File};
use super::{Disk, Store, StoreError};
use crate::clock;
use crate::codec::event::rfc3339;
use crate::domain::Timestamp;
use std::io::Write as _;
use std::path::Path;

/// Words of RocksDB and the system for what is not the store's fault, even where RocksDB calls it corruption.
const SURROUNDINGS: [&str; 17] = [
    "No space left",
    "Disk quota exceeded",
    "File too large",
    "Read-only file system",
    "Permission denied",
    "Operation not permitted",
    "Input/output error",
    "Too many open files",
    "Cannot allocate memory",
    "Stale file handle",
    "Transport endpoint is not connected",
    "Resource temporarily unavailable",
    "Interrupted system call",
    "lock hold by current process",
    "While lock file",
    "open a file for lock",
    "newer version of RocksDB",
];

/// How RocksDB begins to read a file that it knows of.
const READING: [&str; 3] = ["for random read", "sequentially read", "stat a file for size"];

/// Whether RocksDB has met damage, by what it says: it tells causes apart in words only.
pub(super) fn is_shown_by(said: &str) -> bool {
    if SURROUNDINGS.iter().any(|words| said.contains(words)) {
        return false;
    }
    let is_missing =
        said.contains("No such file") && READING.iter().any(|words| said.contains(words));
    // Corruption may be that it has failed to look.
    is_missing || said.starts_with("Corruption") && !said.contains("IO error")
}

impl StoreError {
    /// Whether the store is damaged, so that one restored from the changelog would do better.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::View { source, .. } | Self::Io { source, .. } => {
                is_shown_by(source.as_ref())
            }
            Self::Corrupt { .. } | Self::Damaged { .. } => true,
            Self::Scratch { .. }
            | Self::Newer { .. }
            | Self::Changelog { .. }
            | Self::Repeatedly { .. }
            | Self::NoStore { .. }
            | Self::Locked { .. }
            | Self::Aside { .. } => false,
        }
    }

    /// It and what it comes from, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let first: &dyn std::error::Error = self;
        let causes = std::iter::successors(first.source(), |cause| cause.source());
        causes.fold(first.to_string(), |text, cause| format!("{text}: {cause}"))
    }

    /// What was found, without what to do about it.
    #[must_use]
    pub fn finding(&self) -> String {
        std::error::Error::source(self).map_or_else(|| self.to_string(), ToString::to_string)
    }

    /// The same of a row that the changelog has brought: the store is not at fault.
    #[must_use]
    pub fn of_the_changelog(self) -> Self {
        match self {
            Self::Corrupt { partition, what } => Self::Changelog { partition, what },
            other @ (Self::Open { .. }
            | Self::View { .. }
            | Self::Scratch { .. }
            | Self::Io { .. }
            | Self::Newer { .. }
            | Self::Changelog { .. }
            | Self::Damaged { .. }
            | Self::Repeatedly { .. }
            | Self::NoStore { .. }
            | Self::Locked { .. }
            | Self::Aside { .. }) => other,
        }
    }
}

/// What a process leaves in a store's directory, in a file of its own: that the store is not to be used any more, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// What was found.
    pub(super) says: String,
    /// Where its files are going: a move that was begun is to be ended, whoever finds it.
    pub(super) into: Option<String>,
}

/// The mark's file.
pub(super) const MARK: &str = "SET-ASIDE.json";
/// The file that says the same of a copy, to whoever looks.
pub(super) const NOTE: &str = "SET-ASIDE-BECAUSE.json";

impl Mark {
    /// The mark of a directory.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        // A disk or a right that keeps it from being read keeps the store from being opened, and that says more.
        let bytes = std::fs::read(directory.join(MARK)).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        let unknown = || format!("{MARK} stands in it, and can't be read");
        Some(Self { says: text("says").unwrap_or_else(unknown), into: text("into") })
    }

    /// Whether a move was begun and has not ended.
    pub(super) fn is_moving(directory: &Path) -> bool {
        Self::read(directory).is_some_and(|mark| mark.into.is_some())
    }

    /// Puts it there durably, as a whole or not at all.
    pub(super) fn write(&self, directory: &Path, now: Timestamp) -> std::io::Result<()> {
        let Self { says, into } = self;
        let at = rfc3339(now);
        let text = match into {
            Some(into) => serde_json::json!({ "at": at, "says": says, "into": into }),
            None => serde_json::json!({ "at": at, "says": says }),
        };
        let draft = directory.join(format!("{MARK}.new"));
        let mut file = std::fs::File::create(&draft)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        std::fs::rename(&draft, directory.join(MARK))?;
        aside::sync(directory)
    }
}

/// What is known of the damage of a store without opening it; nothing: it may be well, or there is none.
#[must_use]
pub fn damage_known(directory: &Path) -> Option<String> {
    if let Some(mark) = Mark::read(directory) {
        return Some(mark.says);
    }
    // RocksDB would begin a new store and delete what it finds. Asked for by name, since a list of a directory may miss what is
    // renamed meanwhile.
    let lacks = std::fs::symlink_metadata(directory.join("CURRENT"))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        && aside::files(directory).any(|(_, is)| is == File::Table);
    lacks.then(|| "it has tables of rows and no file CURRENT".to_owned())
}

impl<D: Disk> Store<D> {
    /// Leaves a mark, if `error` is damage. As best as it can: damage that lasts shows at the next start as well.
    pub fn mark(&self, error: &StoreError) {
        let Some(directory) = self.0.directory() else { return };
        if !error.is_damage() {
            return;
        }
        let mark = Mark { says: error.finding(), into: None };
        let store = directory.display();
        match mark.write(directory, clock::now()) {
            Ok(()) => {
                tracing::error!(%store, damage = mark.says, "the store is damaged, and marked so for the next start");
            }
            Err(error) => {
                tracing::warn!(%store, damage = mark.says, %error, "the store is damaged, and can't be marked so");
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
