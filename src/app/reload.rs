//! A configuration that is read again: it is applied as a whole, or refused, and either is to be seen.
//!
//! As a whole means both files. Keys that need a restart are no fault: their old values stay in force, and are named.

use super::{App, AppError, engine_config};
use crate::admin::ConfigPages;
use crate::clock;
use crate::codec::event::{ReloadEvent, rfc3339};
use crate::config::{Effective, Loaded};
use crate::engine::{EngineConfig, EngineHandle};
use crate::log;
use crate::telemetry::{ConfigPart, Metrics, ReloadResult};
use std::error::Error as _;
use std::sync::Arc;

/// So many keys stand in a line: more than `ringback.toml` has.
const KEYS_MAX: usize = 100;

/// Shows that this is in force since now.
pub(super) fn show(effective: &Effective, metrics: &Metrics, pages: &ConfigPages) {
    let now = clock::wall();
    let (hashes, at) = (effective.hashes(), rfc3339(now));
    pages.set(effective.page(&hashes, &at), effective.summary_page(&hashes, &at));
    metrics.set_config_hash(ConfigPart::All, hashes.all);
    metrics.set_config_hash(ConfigPart::Accounts, hashes.accounts);
    metrics.set_config_restart_needed(effective.restart_needed().len());
    metrics.config_loaded(now);
}

/// The keys on one line; of accounts there may be thousands.
fn named(keys: &[&str]) -> String {
    let named: Vec<&str> = keys.iter().take(KEYS_MAX).copied().collect();
    match keys.len().saturating_sub(KEYS_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

impl App {
    /// Wholly or not at all.
    pub(super) fn reload(&mut self, handle: &EngineHandle) {
        match self.read_again() {
            Ok((loaded, config)) => self.apply(loaded, config, handle),
            Err(error) => self.refuse(&error, handle),
        }
    }

    fn read_again(&self) -> Result<(Loaded, EngineConfig), AppError> {
        let loaded = Loaded::again(&self.settings, &self.effective);
        let loaded = loaded.map_err(AppError::Configuration)?;
        let config = engine_config(&loaded.settings, &loaded.accounts, &self.trust, &self.files)?;
        Ok((loaded, config))
    }

    fn apply(&mut self, loaded: Loaded, config: EngineConfig, handle: &EngineHandle) {
        let former = std::mem::replace(&mut self.effective, loaded.effective);
        self.settings = loaded.settings;
        self.config = Arc::new(config);
        handle.reload(self.config.clone());
        show(&self.effective, &self.metrics, &self.pages);
        self.metrics.config_reloaded(ReloadResult::Applied, clock::wall());
        let changed = named(&self.effective.changed_since(&former));
        tracing::info!(changed, "the configuration is applied to what is scheduled from now on");
        let keys = self.effective.restart_needed();
        if !keys.is_empty() {
            let file = self.settings.file.display();
            let names = named(&keys);
            tracing::warn!(
                keys = names,
                %file,
                "these keys have changed and need a restart: their old values stay in force"
            );
            let keys = keys.into_iter().map(str::to_owned).collect();
            handle.publish(ReloadEvent::RestartNeeded(keys));
        }
    }

    fn refuse(&self, error: &AppError, handle: &EngineHandle) {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            detail = format!("{detail}: {error}");
            cause = error.source();
        }
        self.metrics.config_reloaded(ReloadResult::Refused, clock::wall());
        if log::is_due(&format!("reload: {detail}")) {
            let error = detail.as_str();
            tracing::error!(
                error,
                "the configuration is not applied, and what was in force stays so"
            );
        }
        handle.publish(ReloadEvent::Refused(detail));
    }
}
