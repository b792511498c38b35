//! Reads the configuration again, and applies it as a whole or not at all. Metrics, log and events show the result.
//!
//! SIGHUP requests both files, and the accounts' database sends changed rows. All requests come through
//! [`ReloadRequests`], and one is processed at a time. Changed keys that need a restart are not a fault: their old values
//! stay in force, and the log names them. Reading a file may hang, and building thousands of endpoints takes long. So a
//! thread outside of the runtime's workers does both, and the daemon still reacts to signals. Endpoints that did not
//! change are kept.

use super::database::log_faults;
use super::requests::{ReloadRequests, Request, Rows};
use super::{App, AppError};
use crate::accounts::{self, Changes};
use crate::admin::ConfigPages;
use crate::clock;
use crate::codec::event::{ReloadEvent, rfc3339};
use crate::config::{Effective, Hashes, Loaded, Warning};
use crate::delivery::{LaneChanges, Webhook};
use crate::engine::{EngineConfig, EngineHandle};
use crate::log;
use crate::shutdown::HangUps;
use crate::telemetry::{ConfigPart, Metrics, ReloadResult, with_causes};
use std::sync::Arc;
use tokio::sync::oneshot;
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
        let (origin, key) = (&fault.origin, &fault.key);
        let file = origin.file().map(|file| tracing::field::display(file.display()));
        let (table, row) = (origin.row().map(|it| &*it.table), origin.row().map(|it| &*it.row));
        let line = origin.line();
        tracing::warn!(file, line, table, row, key, "{key} {}; {}", fault.problem, fault.fix);
    }
}

/// The reload that is in progress, if any.
#[derive(Default)]
pub(super) struct Reading {
    task: Option<JoinHandle<Result<Read, AppError>>>,
    /// Gets whether rows that are being applied differ from those in force.
    applied: Option<oneshot::Sender<bool>>,
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
pub(super) enum Read {
    /// Both files, and the accounts.
    Whole(Box<Whole>),
    /// Changes of accounts.
    Changed(Box<Changed>),
}

pub(super) struct Whole {
    loaded: Loaded,
    config: EngineConfig,
    shown: Shown,
    /// The keys that changed, as the log shows them.
    changed: String,
    /// The number of endpoints that are kept.
    kept: usize,
}

pub(super) struct Changed {
    changes: Changes,
    config: EngineConfig,
    lanes: LaneChanges,
    /// The number of endpoints that are kept although their accounts have changed.
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
        self.reading.task = Some(match request {
            Request::Files => self.read_files(),
            Request::Rows(Rows { reading, applied }) => {
                self.reading.applied = Some(applied);
                self.read_rows(reading)
            }
        });
    }

    fn read_files(&self) -> JoinHandle<Result<Read, AppError>> {
        let (settings, effective) = (self.settings.clone(), self.effective.clone());
        let (shared, former) = (self.shared.clone(), self.config.clone());
        let (variables, stored) = (self.variables(), self.stored.clone());
        tokio::task::spawn_blocking(move || {
            let loaded = Loaded::again_with(&settings, &effective, &variables);
            let mut loaded = loaded.map_err(AppError::Configuration)?;
            if let Some(stored) = stored {
                loaded.accounts = stored.rebuild(&loaded.settings, &variables, &shared);
            }
            let (settings, accounts) = (&loaded.settings, &loaded.accounts);
            let (config, kept) = shared.engine_config(settings, accounts, &former.endpoints)?;
            let shown = Shown::of(&loaded.effective);
            let changed = named(&loaded.effective.changed_since(&effective));
            Ok(Read::Whole(Box::new(Whole { loaded, config, shown, changed, kept })))
        })
    }

    fn read_rows(&self, reading: accounts::Reading) -> JoinHandle<Result<Read, AppError>> {
        let (settings, former) = (self.settings.clone(), self.config.clone());
        let (shared, stored) = (self.shared.clone(), self.stored.clone());
        let variables = self.variables();
        tokio::task::spawn_blocking(move || {
            let Some(stored) = stored else {
                return Err(AppError::System(std::io::Error::other("no database")));
            };
            let count = former.endpoints.len().max(reading.webhooks());
            let make = |webhook: &Arc<Webhook>| shared.endpoint_of(webhook, &settings, count);
            let (changes, built) =
                stored.build(&settings, &variables, &make, |rows, with| rows.apply(reading, with));
            let accounts = stored.lock().accounts().clone();
            let (config, lanes, kept) = shared.changed_config(&former, &accounts, &changes, &built);
            Ok(Read::Changed(Box::new(Changed { changes, config, lanes, kept })))
        })
    }

    /// Applies the configuration that was read, as a whole or not at all.
    pub(super) fn reloaded(&mut self, read: Result<Read, AppError>, handle: &EngineHandle) {
        match read {
            Ok(Read::Whole(read)) => self.apply(*read, handle),
            Ok(Read::Changed(read)) => self.apply_changes(*read, handle),
            Err(error) => {
                self.reading.applied = None;
                self.refuse(&error, handle);
            }
        }
    }

    fn apply_changes(&mut self, read: Changed, handle: &EngineHandle) {
        let Changed { changes, config, lanes, kept } = read;
        let is_changed = !changes.is_empty();
        if is_changed {
            let built = lanes.endpoints.iter().filter(|(_, endpoint)| endpoint.is_some()).count();
            let removed = lanes.endpoints.len() - built;
            self.config = Arc::new(config);
            handle.change(&self.config, lanes);
            tracing::info!(
                accounts_changed = changes.accounts.len(),
                endpoints_kept = kept,
                endpoints_built = built,
                endpoints_removed = removed,
                "changes of the accounts' database are applied to deliveries that are scheduled from now on"
            );
            self.metrics.accounts_applied(clock::wall());
        }
        log_faults(&changes.faults);
        self.show_accounts();
        if let Some(applied) = self.reading.applied.take() {
            // The task that reads the database ends only with the engine.
            let _ = applied.send(is_changed);
        }
    }

    fn apply(&mut self, read: Whole, handle: &EngineHandle) {
        let Whole { loaded, config, shown, changed, kept } = read;
        self.effective = Arc::new(loaded.effective);
        self.settings = loaded.settings;
        self.accounts = loaded.accounts;
        self.config = Arc::new(config);
        handle.reload(&self.config);
        shown.show(&self.metrics, &self.pages);
        self.show_accounts();
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
