//! Reads the configuration again, and applies it as a whole or not at all. Metrics, log and events show the result.
//!
//! SIGHUP requests both files, and a source sends accounts. All requests come through [`ReloadRequests`], and one is
//! processed at a time. Changed keys that need a restart are not a fault: their old values stay in force, and the log
//! names them. Reading a file may hang, and building thousands of endpoints takes long. So a thread outside of the
//! runtime's workers does both, and the daemon still reacts to signals. Endpoints that did not change are kept.

use super::requests::{ReloadRequests, Request};
use super::{App, AppError};
use crate::admin::ConfigPages;
use crate::clock;
use crate::codec::event::{ReloadEvent, rfc3339};
use crate::config::{Effective, Hashes, Loaded, Variables, Warning};
use crate::engine::{EngineConfig, EngineHandle};
use crate::log;
use crate::shutdown::HangUps;
use crate::telemetry::{ConfigPart, Metrics, ReloadResult, with_causes};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// The maximum number of keys in a log line, more than `ringback.toml` has.
const KEYS_MAX: usize = 100;

/// The maximum size of the faults in a log line; `ringback check` prints all of them.
const DETAIL_BYTES_MAX: usize = 16 << 10;

/// Makes each SIGHUP a request to read both files again, until it is dropped.
pub(super) struct Forwarding(JoinHandle<()>);

impl Forwarding {
    pub(super) fn begin(mut hang_ups: HangUps, requests: ReloadRequests) -> Self {
        Self(tokio::spawn(async move {
            loop {
                hang_ups.next().await;
                requests.files();
            }
        }))
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Logs the warnings about keys that work but should be changed.
pub(super) fn log_warnings(warnings: &[Warning]) {
    for Warning(fault) in warnings {
        let (file, line, key) = (fault.origin.file().display(), fault.origin.line(), &fault.key);
        tracing::warn!(%file, line, key, "{key} {}; {}", fault.problem, fault.fix);
    }
}

/// The reload that is in progress, if any.
#[derive(Default)]
pub(super) struct Reading {
    task: Option<JoinHandle<Result<Read, AppError>>>,
}

impl Reading {
    /// Returns whether a reload is in progress.
    pub(super) fn is_running(&self) -> bool {
        self.task.is_some()
    }

    /// Waits for the end of the reload in progress. Without one, it waits for ever.
    pub(super) async fn end(&mut self) -> Result<Read, AppError> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let read = task.await;
        self.task = None;
        read.unwrap_or_else(|error| Err(AppError::System(std::io::Error::other(error))))
    }
}

/// A configuration that was read and is ready to be applied.
pub(super) struct Read {
    loaded: Loaded,
    config: EngineConfig,
    shown: Shown,
    /// The keys that changed, as the log shows them.
    changed: String,
    /// The number of endpoints that are kept.
    kept: usize,
}

/// The hashes and pages of a configuration. They take some time to build: secrets are hashed, and there may be
/// thousands of webhooks.
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

    /// Shows this configuration as the one in force from now on.
    pub(super) fn show(self, metrics: &Metrics, pages: &ConfigPages) {
        let [whole, summary] = self.pages;
        pages.set(whole, summary);
        metrics.set_config_hash(ConfigPart::All, self.hashes.all);
        metrics.set_config_hash(ConfigPart::Accounts, self.hashes.accounts);
        metrics.set_config_restart_needed(self.restart_needed);
        metrics.config_loaded(clock::wall());
    }
}

/// Returns the pages of a configuration that is read only once.
pub(super) fn config_pages(effective: &Effective) -> ConfigPages {
    let [whole, summary] = Shown::of(effective).pages;
    let pages = ConfigPages::default();
    pages.set(whole, summary);
    pages
}

/// Returns the keys as one line, with a limit, because accounts may have thousands.
fn named(keys: &[&str]) -> String {
    let named: Vec<&str> = keys.iter().take(KEYS_MAX).copied().collect();
    match keys.len().saturating_sub(KEYS_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

impl App {
    /// Starts to read the configuration that `request` names.
    pub(super) fn reload(&mut self, request: Request) {
        let (settings, effective) = (self.settings.clone(), self.effective.clone());
        let (shared, former) = (self.shared.clone(), self.config.clone());
        let variables = (!self.has_variables).then(Variables::new);
        self.reading.task = Some(tokio::task::spawn_blocking(move || {
            let loaded = match (request, variables) {
                (Request::Files, None) => Loaded::again(&settings, &effective),
                (Request::Files, Some(variables)) => {
                    Loaded::again_with(&settings, &effective, &variables)
                }
                (Request::Accounts(entries), None) => {
                    Loaded::with_entries(&settings, &effective, entries)
                }
                (Request::Accounts(entries), Some(variables)) => {
                    Loaded::with_entries_and(&settings, &effective, entries, &variables)
                }
            };
            let loaded = loaded.map_err(AppError::Configuration)?;
            let (settings, accounts) = (&loaded.settings, &loaded.accounts);
            let (config, kept) = shared.engine_config(settings, accounts, &former.endpoints)?;
            let shown = Shown::of(&loaded.effective);
            let changed = named(&loaded.effective.changed_since(&effective));
            Ok(Read { loaded, config, shown, changed, kept })
        }));
    }

    /// Applies the configuration that was read, as a whole or not at all.
    pub(super) fn reloaded(&mut self, read: Result<Read, AppError>, handle: &EngineHandle) {
        match read {
            Ok(read) => self.apply(read, handle),
            Err(error) => self.refuse(&error, handle),
        }
    }

    fn apply(&mut self, read: Read, handle: &EngineHandle) {
        let Read { loaded, config, shown, changed, kept } = read;
        self.effective = Arc::new(loaded.effective);
        self.settings = loaded.settings;
        self.config = Arc::new(config);
        handle.reload(&self.config);
        shown.show(&self.metrics, &self.pages);
        self.metrics.config_reloaded(ReloadResult::Applied, clock::wall());
        let built = self.config.endpoints.len() - kept;
        tracing::info!(
            changed,
            endpoints_kept = kept,
            endpoints_built = built,
            "the configuration is applied to deliveries that are scheduled from now on"
        );
        log_warnings(&loaded.warnings);
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
                "the configuration is not applied; the former one stays in force"
            );
        }
        handle.publish(ReloadEvent::refused(&detail));
    }
}
