//! The configuration in force: each key with its source and, if it may be shown, its value.
//!
//! It is built from the checked documents and not from the parsed settings, so it has lines and variables. A reload
//! replaces the keys that SIGHUP applies, and keeps the others as they were.

mod collect;
mod hash;
pub(super) mod keys;
mod page;

pub use hash::Hashes;
pub use page::Difference;

pub(super) use collect::{Listed, collect};

use crate::document::RowOrigin;
use keys::Reload;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A key, its value in force and its source.
#[derive(Clone)]
pub(super) struct Entry {
    /// The key in the form of faults: `kafka.group_id`, `webhook[crm].url`.
    pub(super) key: String,
    /// The value as it may be shown; null: it is not set.
    pub(super) value: Json,
    /// A digest of the part that is not shown: a secret, or the content of a file.
    pub(super) hidden: Option<[u8; 32]>,
    pub(super) source: Source,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The digest of a short secret would reveal it.
        write!(f, "{}: {}", self.key, self.value)
    }
}

impl Entry {
    fn is_same(&self, other: &Self) -> bool {
        self.value == other.value && self.hidden == other.hidden
    }
}

/// The source of a value.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The value is not set.
    Default,
    /// The file, with the line.
    File(Arc<Path>, Option<usize>),
    /// The environment variable with this name.
    Variable(String),
    /// The row of a database.
    Row(Arc<RowOrigin>),
}

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Effective {
    pub(super) file: PathBuf,
    pub(super) accounts_file: PathBuf,
    pub(super) settings: Vec<Entry>,
    pub(super) accounts: Vec<Entry>,
    /// The file's values of keys that need a restart.
    waiting: Vec<Entry>,
}

impl Effective {
    pub(super) fn new(
        file: PathBuf,
        accounts_file: PathBuf,
        mut settings: Vec<Entry>,
        accounts: Vec<Entry>,
    ) -> Self {
        // Sorted, so that the same values have the same hash whatever order they were read in.
        settings.sort_by(|a, b| a.key.cmp(&b.key));
        Self { file, accounts_file, settings, accounts, waiting: Vec::new() }
    }

    /// Returns the same settings with other accounts.
    pub(super) fn with_accounts(&self, accounts: Vec<Entry>) -> Self {
        Self {
            file: self.file.clone(),
            accounts_file: self.accounts_file.clone(),
            settings: self.settings.clone(),
            accounts,
            waiting: self.waiting.clone(),
        }
    }

    /// Returns the configuration in force after `read` is applied. `needs_restart` says whether some keys keep their
    /// old values.
    pub(super) fn reloaded(&self, read: Self, needs_restart: bool) -> Self {
        if !needs_restart {
            return read;
        }
        let is_kept = |entry: &&Entry| keys::reload(&entry.key) == Reload::Restart;
        let (kept, new): (Vec<Entry>, Vec<Entry>) =
            read.settings.iter().cloned().partition(|entry| is_kept(&entry));
        let old = by_key(&self.settings);
        let mut waiting: Vec<Entry> = kept
            .into_iter()
            .filter(|entry| old.get(entry.key.as_str()).is_none_or(|it| !it.is_same(entry)))
            .collect();
        let now = by_key(&read.settings);
        let removed = self.settings.iter().filter(is_kept);
        let removed = removed.filter(|entry| !now.contains_key(entry.key.as_str()));
        waiting.extend(removed.map(|entry| Entry {
            key: entry.key.clone(),
            value: Json::Null,
            hidden: None,
            source: Source::Default,
        }));
        let stays = self.settings.iter().filter(is_kept).cloned();
        let settings = stays.chain(new).collect();
        let Self { file, accounts_file, accounts, .. } = read;
        Self { waiting, ..Self::new(file, accounts_file, settings, accounts) }
    }

    /// Returns the keys of `ringback.toml` whose new values need a restart.
    #[must_use]
    pub fn restart_needed(&self) -> Vec<&str> {
        self.waiting.iter().map(|entry| entry.key.as_str()).collect()
    }

    /// Returns the keys of both files whose value in force differs from `former`.
    #[must_use]
    pub fn changed_since<'a>(&'a self, former: &'a Self) -> Vec<&'a str> {
        let sections = [
            (by_key(&former.settings), by_key(&self.settings)),
            (by_key(&former.accounts), by_key(&self.accounts)),
        ];
        let mut changed = Vec::new();
        for (old, now) in &sections {
            let keys: BTreeSet<&str> = old.keys().chain(now.keys()).copied().collect();
            changed.extend(keys.into_iter().filter(|key| match (old.get(key), now.get(key)) {
                (Some(old), Some(now)) => !old.is_same(now),
                (Some(_), None) | (None, Some(_)) | (None, None) => true,
            }));
        }
        changed
    }

    /// Returns the hashes of the configuration. They take some tens of milliseconds.
    #[must_use]
    pub fn hashes(&self) -> Hashes {
        Hashes::of(self)
    }
}

fn by_key(entries: &[Entry]) -> BTreeMap<&str, &Entry> {
    entries.iter().map(|entry| (entry.key.as_str(), entry)).collect()
}
