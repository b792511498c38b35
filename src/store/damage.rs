//! Distinguishes damage from other errors.
//!
//! A store is damaged if RocksDB reads other bytes than it wrote, or misses a file that it knows of. Another store,
//! restored from the changelog, solves that. These are not damage: a disk that is full, read-only or reports errors, a
//! limit of the process, a missing right, and another instance in the same directory. Another store in this place would
//! have the same error, and the present one may be intact.
//!
//! Damage may show while the store is in use. Then it can't be replaced, so the process leaves a [`Mark`] and ends, and
//! the next start finds the mark. See `ops/decisions/0020-damaged-store-set-aside.md`.

use super::aside::{self, File};
use super::{Disk, Store, StoreError};
use crate::clock;
use crate::codec::event::rfc3339;
use crate::domain::Timestamp;
use std::io::Write as _;
use std::path::Path;

/// Texts of RocksDB and the system for errors outside the store, even where RocksDB calls them corruption.
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

/// RocksDB's texts for reading a file that it knows of.
const READING: [&str; 3] = ["for random read", "sequentially read", "stat a file for size"];

/// Returns whether RocksDB's text shows damage. RocksDB reports causes only as text.
pub(super) fn is_shown_by(said: &str) -> bool {
    if SURROUNDINGS.iter().any(|words| said.contains(words)) {
        return false;
    }
    let is_missing =
        said.contains("No such file") && READING.iter().any(|words| said.contains(words));
    // With an IO error, "Corruption" may only mean that the check itself failed.
    is_missing || said.starts_with("Corruption") && !said.contains("IO error")
}

impl StoreError {
    /// Returns whether the store is damaged, so that a store restored from the changelog would solve it.
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

    /// Returns the finding, without the remedy.
    #[must_use]
    pub fn finding(&self) -> String {
        std::error::Error::source(self).map_or_else(|| self.to_string(), ToString::to_string)
    }

    /// Converts the error about a row that came from the changelog: the store is not at fault.
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

/// The content of a file in a store's directory, which says that the store must not be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) says: String,
    /// The name of the directory to which the files are being moved. A move that was begun must be finished.
    pub(super) into: Option<String>,
}

/// The name of the mark's file.
pub(super) const MARK: &str = "SET-ASIDE.json";
/// The file with the same content in a copy, for operators.
pub(super) const NOTE: &str = "SET-ASIDE-BECAUSE.json";

impl Mark {
    /// Reads the mark of a directory.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        // If a disk error or a missing right prevents the read, it also prevents opening the store, and that error says
        // more.
        let bytes = std::fs::read(directory.join(MARK)).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        let unknown = || format!("it contains {MARK}, which can't be read");
        Some(Self { says: text("says").unwrap_or_else(unknown), into: text("into") })
    }

    /// Returns whether a move was begun and has not ended.
    pub(super) fn is_moving(directory: &Path) -> bool {
        Self::read(directory).is_some_and(|mark| mark.into.is_some())
    }

    /// Writes the mark durably, as a whole or not at all.
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

/// Returns the damage of a store that is known without opening it; `None`: it may be intact, or there is none.
#[must_use]
pub fn damage_known(directory: &Path) -> Option<String> {
    if let Some(mark) = Mark::read(directory) {
        return Some(mark.says);
    }
    // RocksDB would create a new store and delete the present files. The check looks for CURRENT by name, since a list
    // of the directory may miss a file that is being renamed.
    let lacks = std::fs::symlink_metadata(directory.join("CURRENT"))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        && aside::files(directory).any(|(_, is)| is == File::Table);
    lacks.then(|| "it has tables with rows and no file CURRENT".to_owned())
}

impl<D: Disk> Store<D> {
    /// Leaves a mark if `error` is damage. A failure to do so is only logged: lasting damage shows at the next start as
    /// well.
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
                tracing::warn!(%store, damage = mark.says, %error, "the store is damaged, and the mark for the next start can't be written");
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
