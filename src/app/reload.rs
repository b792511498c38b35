//! A configuration that is read again: it is applied as a whole, or refused, and either is to be seen.
//!
//! As a whole means both files. Keys that need a restart are no fault: their old values stay in force, and are named.
//! Files may hang, and thousands of endpoints take their time. So a thread of its own reads all, and signals are still answered.

use super::{App, AppError, engine_config};
use crate::admin::ConfigPages;
use crate::clock;
use crate::codec::event::{ReloadEvent, rfc3339};
use crate::config::{Effective, Hashes, Loaded, Variables};
use crate::engine::{EngineConfig, EngineHandle};
use crate::log;
use crate::telemetry::{ConfigPart, Metrics, ReloadResult, with_causes};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// So many keys stand in a line: more than `ringback.toml` has.
const KEYS_MAX: usize = 100;

/// So much of what is wrong stands in a line; `ringback check` prints all of it.
const DETAIL_BYTES_MAX: usize = 16 << 10;

/// Both files, while they are read again.
#[derive(Default)]
pub(super) struct Reading {
    task: Option<JoinHandle<Result<Read, AppError>>>,
    is_asked_again: bool,
}

impl Reading {
    /// Waits until all is read; for ever, if nothing is.
    pub(super) async fn end(&mut self) -> Result<Read, AppError> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let read = task.await;
        self.task = None;
        read.unwrap_or_else(|error| Err(AppError::System(std::io::Error::other(error))))
    }
}

/// Both files, read and ready to be applied.
pub(super) struct Read {
    loaded: Loaded,
    config: EngineConfig,
    shown: Shown,
}

/// What shows of a configuration. To make it takes its time: hashing the secrets does, and there may be thousands of webhooks.
pub(super) struct Shown {
    hashes: Hashes,
    pages: [String; 2],
    restart_needed: usize,
}

impl Shown {
    pub(super) fn of(effective: &Effective) -> Self {
        let (hashes, at) = (effective.hashes(), rfc3339(clock::wall()));
        let pages = [effective.page(&hashes, &at), effective.summary_page(&hashes, &at)];
        Self { hashes, pages, restart_needed: effective.restart_needed().len() }
    }

    /// Shows that this is in force since now.
    pub(super) fn show(self, metrics: &Metrics, pages: &ConfigPages) {
        let [whole, summary] = self.pages;
        pages.set(whole, summary);
        metrics.set_config_hash(ConfigPart::All, self.hashes.all);
        metrics.set_config_hash(ConfigPart::Accounts, self.hashes.accounts);
        metrics.set_config_restart_needed(self.restart_needed);
        metrics.config_loaded(clock::wall());
    }
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
            let shown = Shown::of(&loaded.effective);
            Ok(Read { loaded, config, shown })
        }));
    }

    /// Applies what was read, wholly or not at all.
    pub(super) fn reloaded(&mut self, read: Result<Read, AppError>, handle: &EngineHandle) {
        match read {
            Ok(read) => self.apply(read, handle),
            Err(error) => self.refuse(&error, handle),
        }
        if std::mem::take(&mut self.reading.is_asked_again) {
            self.reload();
        }
    }

    fn apply(&mut self, Read { loaded, config, shown }: Read, handle: &EngineHandle) {
        let former = std::mem::replace(&mut self.effective, loaded.effective);
        self.settings = loaded.settings;
        self.config = Arc::new(config);
        handle.reload(&self.config);
        shown.show(&self.metrics, &self.pages);
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
        let mut detail = with_causes(error);
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
