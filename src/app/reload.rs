//! A configuration that is read again: it is applied as a whole, or refused, and either is to be seen.
//!
//! As a whole means both files. Keys that need a restart are no fault: their old values stay in force, and are named.
//! Files may hang, and thousands of endpoints take their time. So all is read on a thread of its own, and signals are heard.

use super::{App, AppError, engine_config};
use crate::admin::ConfigPages;
use crate::clock;
use crate::codec::event::{ReloadEvent, rfc3339};
use crate::config::{Effective, Loaded, Variables};
use crate::engine::{EngineConfig, EngineHandle};
use crate::log;
use crate::telemetry::{ConfigPart, Metrics, ReloadResult};
use std::error::Error as _;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// So many keys stand in a line: more than `ringback.toml` has.
const KEYS_MAX: usize = 100;

/// So much of what is wrong stands in a line; `ringback check` prints all of it.
const DETAIL_BYTES_MAX: usize = 16 << 10;

/// Both files, while they are read again.
#[derive(Default)]
pub(super) struct Reading {
    task: Option<JoinHandle<Result<(Loaded, EngineConfig), AppError>>>,
    is_asked_again: bool,
}

impl Reading {
    /// Waits until all is read; for ever, if nothing is.
    pub(super) async fn end(&mut self) -> Result<(Loaded, EngineConfig), AppError> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let read = task.await;
        self.task = None;
        read.unwrap_or_else(|error| Err(AppError::System(std::io::Error::other(error))))
    }
}

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
    /// Begins to read both files again. While they are being read, they are read once more afterwards.
    pub(super) fn reload(&mut self) {
        if self.reading.task.is_some() {
            self.reading.is_asked_again = true;
            return;
        }
        let (settings, effective) = (self.settings.clone(), self.effective.clone());
        let (trust, names) = (self.trust.clone(), self.names.clone());
        let (files, has_variables) = (self.files, self.has_variables);
        self.reading.task = Some(tokio::task::spawn_blocking(move || {
            let loaded = if has_variables {
                Loaded::again(&settings, &effective)
            } else {
                Loaded::again_with(&settings, &effective, &Variables::new())
            };
            let loaded = loaded.map_err(AppError::Configuration)?;
            let config = engine_config(&loaded.settings, &loaded.accounts, &trust, &names, &files)?;
            Ok((loaded, config))
        }));
    }

    /// Applies what was read, wholly or not at all.
    pub(super) fn reloaded(
        &mut self,
        read: Result<(Loaded, EngineConfig), AppError>,
        handle: &EngineHandle,
    ) {
        match read {
            Ok((loaded, config)) => self.apply(loaded, config, handle),
            Err(error) => self.refuse(&error, handle),
        }
        if std::mem::take(&mut self.reading.is_asked_again) {
            self.reload();
        }
    }

    fn apply(&mut self, loaded: Loaded, config: EngineConfig, handle: &EngineHandle) {
        let former = std::mem::replace(&mut self.effective, loaded.effective);
        self.settings = loaded.settings;
        self.config = Arc::new(config);
        handle.reload(&self.config);
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
        if detail.len() > DETAIL_BYTES_MAX {
            detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
            detail.push_str("… (`ringback check` prints the rest)");
        }
        self.metrics.config_reloaded(ReloadResult::Refused, clock::wall());
        if log::is_due(&format!("reload: {detail}")) {
            let error = detail.as_str();
            tracing::error!(
                error,
                "the configuration is not applied, and what was in force stays so"
            );
        }
        handle.publish(ReloadEvent::refused(&detail));
    }
}
