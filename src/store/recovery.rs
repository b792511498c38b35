//! Opens a store that may be damaged.
//!
//! A damaged store is set aside, and the changelog is restored into a new one. A kill is harmless at any moment: the
//! store is complete, in its place or aside, and nothing of it was deleted. Repeated damage neither fills the disk with
//! copies nor causes endless restores.

use super::aside::{self, Aside, Why};
use super::damage::{Mark, damage_known};
use super::{Store, StoreError};
use crate::clock;
use crate::domain::Timestamp;
use crate::failpoint::{self, Failpoint};
use crate::telemetry::Metrics;
use std::path::Path;

/// The reaction to a damaged store: `[store] on_corruption`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnCorruption {
    /// The store is set aside, and restored from the changelog.
    #[default]
    Restore,
    /// The process ends, and an operator decides.
    Stop,
}

/// The number of damaged stores that are kept.
const COPIES_MAX: usize = 2;
/// If [`COPIES_MAX`] stores were set aside within this time, in milliseconds, another one is not.
const REPEATED_MS: u64 = 3_600_000;

impl Store {
    /// Opens or creates the store in `directory`. If `on` says so, a damaged one is set aside for a new one.
    ///
    /// # Errors
    /// The directory can't be used, another process has it open, or the store is damaged and must stay in its place.
    pub fn open_or_restore(
        directory: &Path,
        on: OnCorruption,
        metrics: &Metrics,
    ) -> Result<Self, StoreError> {
        Self::recover(directory, on, metrics, clock::now())
    }

    fn recover(
        directory: &Path,
        on: OnCorruption,
        metrics: &Metrics,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let says = match damage_known(directory) {
            Some(says) => says,
            None => match Self::open(directory) {
                Err(error) if error.is_damage() => error.finding(),
                other => return other,
            },
        };
        let (directory, is_begun) = (directory.to_owned(), Mark::is_moving(directory));
        if on == OnCorruption::Stop && !is_begun {
            return Err(StoreError::Damaged { directory, says });
        }
        let recent: Vec<Aside> =
            damaged(&directory).filter(|copy| now.ms_since(copy.at) < REPEATED_MS).collect();
        if recent.len() >= COPIES_MAX && !is_begun {
            let copies = recent.into_iter().map(|copy| copy.path).collect();
            return Err(StoreError::Repeatedly { directory, says, copies });
        }
        // Its lock is held until the new store has its own.
        let aside = aside::set_aside(&directory, Why::Damaged, &says, now)?;
        let (store, copy) = (directory.display(), aside.copy.display());
        match aside.why {
            Why::Damaged => {
                metrics.store_corruption();
                tracing::error!(
                    %store,
                    set_aside = %copy,
                    damage = says,
                    "the store is damaged: it is set aside, and a new one is restored from the changelog; check the \
                     disk and this machine's memory, and remove the copy that was set aside once `ringback verify` \
                     reports no violation; see ops/guide/damaged-store.md"
                );
            }
            Why::Replaced => {
                tracing::warn!(%store, set_aside = %copy, "an interrupted move of the replaced store is finished: it is set aside as a whole");
            }
        }
        failpoint::pass(Failpoint::SetAside);
        forget_old(&directory, &aside.copy);
        Self::open(&directory)
    }
}

fn damaged(directory: &Path) -> impl Iterator<Item = Aside> {
    aside::copies(directory).into_iter().filter(|copy| copy.why == Why::Damaged)
}

/// Removes the oldest damaged stores. The one that was set aside just now is always kept, whatever the clock says.
fn forget_old(directory: &Path, newest: &Path) {
    let older: Vec<Aside> = damaged(directory).filter(|copy| copy.path != newest).collect();
    let surplus = older.len().saturating_sub(COPIES_MAX - 1);
    for copy in older.into_iter().take(surplus) {
        let path = copy.path.display();
        match std::fs::remove_dir_all(&copy.path) {
            Ok(()) => {
                tracing::warn!(%path, "removed the oldest of the damaged stores, to keep {COPIES_MAX}")
            }
            Err(error) => {
                tracing::warn!(%path, %error, "the oldest of the damaged stores can't be removed")
            }
        }
    }
}

#[cfg(test)]
mod tests;
