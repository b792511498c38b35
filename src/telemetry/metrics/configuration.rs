//! The metrics of the configuration in force.

use super::super::labels::{ConfigPart, ReloadResult};
use super::{EPOCH, Metrics, add, set};
use crate::domain::Timestamp;
use std::time::Duration;

impl Metrics {
    /// Records that the configuration was read at the start, and is in force since `now`.
    pub fn config_loaded(&self, now: Timestamp) {
        self.config_reloaded.set(1);
        self.config_reloaded_at.set(Duration::from_millis(now.ms_since(EPOCH)).as_secs_f64());
    }

    /// Records the result of a reload at `now`.
    pub fn config_reloaded(&self, result: ReloadResult, now: Timestamp) {
        add(self.config_reloads.at(result), 1);
        match result {
            ReloadResult::Applied => self.config_loaded(now),
            ReloadResult::Refused => self.config_reloaded.set(0),
        }
    }

    /// Sets the hash of this part of the configuration in force.
    pub fn set_config_hash(&self, part: ConfigPart, hash: u64) {
        set(self.config_hash.at(part), i64::try_from(hash).unwrap_or(i64::MAX));
    }

    /// Sets how many keys need a restart.
    pub fn set_config_restart_needed(&self, keys: usize) {
        self.config_restart.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }
}
