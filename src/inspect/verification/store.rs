//! Reads this machine's store as far as possible. Damage is a finding, not an error.

use crate::store::{self, Aside, StoreError, StoreView};
use crate::verify::Evidence;
use std::path::{Path, PathBuf};

/// The store in its directory, and the copies beside it.
pub(super) struct Seen {
    directory: PathBuf,
    view: Option<StoreView>,
    damage: Option<String>,
    /// The stores that were set aside.
    pub(super) set_aside: Vec<Aside>,
}

impl Seen {
    /// Opens the store, if there is one.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let mut seen = Self {
            directory: directory.to_owned(),
            view: None,
            damage: store::damage_known(directory),
            set_aside: store::copies(directory),
        };
        if seen.damage.is_none() {
            match StoreView::open(directory) {
                Ok(view) => seen.view = view,
                Err(error) if error.is_damage() => seen.damage = Some(error.finding()),
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    /// Passes the store's rows to `evidence`. Reports damage for each partition that can't be read.
    pub(super) fn read(&self, evidence: &mut Evidence) -> Result<(), StoreError> {
        let says = |finding: &str| {
            let store = self.directory.display();
            format!(
                "the store in {store} is damaged: {finding}; at its next start the daemon sets it aside and restores it from \
                 the changelog, unless [store] on_corruption is \"stop\""
            )
        };
        if let Some(damage) = &self.damage {
            evidence.store_damaged(None, says(damage));
        }
        let Some(view) = &self.view else { return Ok(()) };
        for number in view.partitions() {
            let partition = *number;
            match view.read(partition, &mut |key, value| evidence.store(partition, key, value)) {
                Ok(()) => {}
                Err(error) if error.is_damage() => {
                    evidence.store_damaged(Some(partition), says(&error.finding()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
