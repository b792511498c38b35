//! Keeps the accounts of a database up to date: reads it again and again, and looks up single accounts.
//!
//! One task reads all rows, and another one looks up accounts. One reading is applied at a time. While the database can't be read, the accounts stay as they
//! are, and the daemon stays ready.

use super::endpoints::Shared;
use super::files::plan_for;
use super::look_ups::LookUps;
use super::requests::ReloadRequests;
use super::{App, AppError};
use crate::accounts::{Building, Database, DatabaseError, Finder, Incremental, Reading, Snapshot};
use crate::clock;
use crate::codec::event::rfc3339;
use crate::config::{self, Accounts, Settings, Variables};
use crate::delivery::{Endpoint, Webhook};
use crate::domain::{AccountId, WebhookName};
use crate::log;
use crate::telemetry::{AccountLookUp, AccountReading, Health, Metrics, Waiting, with_causes};
use imbl::OrdMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The pause after a look-up. It limits the number of look-ups per second.
const LOOK_UP_PAUSE: Duration = Duration::from_millis(100);
/// The time limit of the first reading if there is a snapshot to start with.
const FIRST_LIMIT: Duration = Duration::from_secs(5);
/// The longest pause after a reading that failed.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// The shortest time between two snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(30);
/// The maximum number of faults in the log after a reading.
const FAULTS_LOGGED_MAX: usize = 20;

/// The accounts of the database, for the daemon and for the task that applies changes.
#[derive(Clone)]
pub(super) struct Stored {
    incremental: Arc<Mutex<Incremental>>,
    pub(super) look_ups: Arc<LookUps>,
}

/// Endpoints by the names of their webhooks.
pub(super) type Built = OrdMap<WebhookName, Arc<Endpoint>>;

impl Stored {
    pub(super) fn new(wait_max: Duration) -> Self {
        let look_ups = Arc::new(LookUps::new(wait_max));
        Self { incremental: Arc::default(), look_ups }
    }

    /// Returns the accounts. The caller may change them.
    pub(super) fn lock(&self) -> MutexGuard<'_, Incremental> {
        self.incremental.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `act` with the accounts and the means to build some of them. `make` creates an endpoint.
    pub(super) fn build<T>(
        &self,
        settings: &Settings,
        variables: &Variables,
        make: &dyn Fn(&Arc<Webhook>) -> Result<Endpoint, String>,
        act: impl FnOnce(&mut Incremental, &mut Building<'_>) -> T,
    ) -> (T, Built) {
        let mut built = Built::new();
        let mut check = |webhook: &Arc<Webhook>| {
            built.insert(webhook.name.clone(), Arc::new(make(webhook)?));
            Ok(())
        };
        let basis = settings.basis();
        let mut with = Building { basis, variables, check: &mut check };
        let done = act(&mut self.lock(), &mut with);
        (done, built)
    }
}

impl Stored {
    /// Builds all accounts again with other settings, and returns them.
    pub(super) fn rebuild(
        &self,
        settings: &Settings,
        variables: &Variables,
        shared: &Shared,
    ) -> Accounts {
        let count = self.lock().accounts().webhooks.len();
        let make = |webhook: &Arc<Webhook>| shared.endpoint_of(webhook, settings, count);
        let (changes, _) = self.build(settings, variables, &make, |rows, with| rows.rebuild(with));
        log_faults(&changes.faults);
        self.lock().accounts().clone()
    }
}

/// The tasks that read the database, until this is dropped.
pub(super) struct Polling([JoinHandle<()>; 2]);

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// The parts of the daemon that both tasks use.
#[derive(Clone)]
struct Link {
    stored: Stored,
    requests: ReloadRequests,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    /// Whether rows have changed since the last snapshot.
    is_changed: Arc<AtomicBool>,
}

/// The task that reads all rows again and again.
struct Poller {
    database: Database,
    link: Link,
    /// The directory of the snapshot.
    directory: PathBuf,
    interval: Duration,
    limit: Duration,
    /// The time of the last snapshot.
    written: Option<Instant>,
}

impl App {
    /// Gets the accounts of the database, or those of the snapshot if the database can't be read. Without both, waits.
    /// Returns the client of the database.
    pub(super) async fn first_accounts(&mut self) -> Result<Option<Database>, AppError> {
        let (Some(settings), Some(stored)) =
            (self.settings.accounts_database.clone(), self.stored.clone())
        else {
            return Ok(None);
        };
        let mut database = Database::new(settings.clone());
        let mut built = Built::new();
        let has_snapshot = self.apply_snapshot(&stored, &mut database, &mut built).await?;
        let mut waiting = None::<Waiting>;
        let limit = if has_snapshot {
            settings.read_timeout.min(FIRST_LIMIT)
        } else {
            settings.read_timeout
        };
        loop {
            match database.read(limit).await {
                Ok(reading) => {
                    if let Some(reading) = reading {
                        self.apply_first(&stored, reading, &mut built)?;
                    }
                    self.metrics.account_reading(AccountReading::Changed);
                    self.metrics.set_accounts_confirmed(clock::now());
                    if let Err(error) = database.finder().find(&[]).await {
                        tracing::warn!(%error, "single accounts can't be looked up");
                    }
                    break;
                }
                Err(error) => {
                    self.metrics.account_reading(AccountReading::Failed);
                    if has_snapshot {
                        tracing::warn!(%error, "the daemon starts with the accounts of its snapshot");
                        self.health.set_accounts_outdated(Some(error.to_string()));
                        break;
                    }
                    if log::is_due(&format!("accounts: {error}")) {
                        tracing::warn!(%error, "waiting for the accounts: there is no snapshot of them");
                    }
                    let now = Waiting::Other(format!("waiting for the accounts: {error}"));
                    waiting.iter().for_each(|before| self.health.resume(before));
                    self.health.wait(now.clone());
                    waiting = Some(now);
                    tokio::time::sleep(settings.poll_interval.min(RETRY_PAUSE_MAX)).await;
                }
            }
        }
        waiting.iter().for_each(|before| self.health.resume(before));
        self.take_first(&stored, &built)?;
        Ok(Some(database))
    }

    /// Applies the snapshot, if there is one. Returns whether there is.
    async fn apply_snapshot(
        &mut self,
        stored: &Stored,
        database: &mut Database,
        built: &mut Built,
    ) -> Result<bool, AppError> {
        let directory = self.settings.store.directory.clone();
        let read = tokio::task::spawn_blocking(move || Snapshot::read(&directory)).await;
        match read {
            Ok(Ok(Some(Snapshot { at, reading }))) => {
                database.learn(&reading);
                tracing::info!(
                    rows = reading.len(),
                    at = rfc3339(at),
                    "the snapshot of the accounts is read"
                );
                self.apply_first(stored, reading, built)?;
                self.metrics.set_accounts_confirmed(at);
                return Ok(true);
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                let error = with_causes(&error);
                tracing::warn!(error, "the snapshot of the accounts is not used");
            }
            Err(error) => tracing::warn!(%error, "the snapshot of the accounts can't be read"),
        }
        Ok(false)
    }

    fn apply_first(
        &mut self,
        stored: &Stored,
        reading: Reading,
        built: &mut Built,
    ) -> Result<(), AppError> {
        let (variables, count) = (self.variables(), reading.webhooks());
        self.shared.files = plan_for(&self.settings, count)?;
        let (shared, settings) = (&self.shared, &self.settings);
        let make = |webhook: &Arc<Webhook>| shared.endpoint_of(webhook, settings, count);
        let apply = |incremental: &mut Incremental, with: &mut Building<'_>| {
            incremental.apply(reading, with)
        };
        let build = || stored.build(settings, &variables, &make, apply);
        let (changes, more) = tokio::task::block_in_place(build);
        built.extend(more);
        log_faults(&changes.faults);
        self.metrics.set_account_faults(stored.lock().faults().count());
        Ok(())
    }

    /// Takes the accounts over for the start of the engine.
    fn take_first(&mut self, stored: &Stored, built: &Built) -> Result<(), AppError> {
        let accounts = stored.lock().accounts().clone();
        self.shared.files = plan_for(&self.settings, accounts.webhooks.len())?;
        let (shared, settings) = (&self.shared, &self.settings);
        let build = || shared.engine_config(settings, &accounts, built);
        let (config, _) = tokio::task::block_in_place(build)?;
        self.config = Arc::new(config);
        stored.look_ups.know(&accounts);
        self.metrics.accounts_applied(clock::wall());
        tracing::info!(
            accounts = accounts.accounts.len(),
            webhooks = accounts.webhooks.len(),
            "the accounts of the database are in force"
        );
        self.show_accounts();
        Ok(())
    }

    /// Reads the database again and again until the result is dropped.
    pub(super) fn poll(&self, database: Option<Database>) -> Option<Polling> {
        let settings = self.settings.accounts_database.as_ref()?;
        let database = database?;
        let link = Link {
            stored: self.stored.clone()?,
            requests: self.requests.clone(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            is_changed: Arc::new(AtomicBool::new(true)),
        };
        let finder = database.finder();
        let poller = Poller {
            database,
            link: link.clone(),
            directory: self.settings.store.directory.clone(),
            interval: settings.poll_interval,
            limit: settings.read_timeout,
            written: None,
        };
        Some(Polling([tokio::spawn(poller.run()), tokio::spawn(look_up(finder, link))]))
    }

    /// Returns the environment that secrets may refer to.
    pub(super) fn variables(&self) -> Variables {
        if self.has_variables { config::variables() } else { Variables::new() }
    }
}

/// Looks up the accounts of records, also while all rows are being read.
async fn look_up(mut finder: Finder, link: Link) {
    loop {
        let accounts = link.stored.look_ups.next().await;
        match finder.find(&accounts).await {
            Ok(reading) => {
                if !reading.is_empty() {
                    link.apply(reading).await;
                }
                let look_ups = &link.stored.look_ups;
                let found = look_ups.known(&accounts);
                look_ups.answered(&accounts);
                link.metrics.account_look_ups(AccountLookUp::Found, found);
                link.metrics.account_look_ups(AccountLookUp::Missing, accounts.len() - found);
            }
            Err(error) => {
                link.metrics.account_look_ups(AccountLookUp::Failed, accounts.len());
                link.failed(&error, &accounts);
            }
        }
        tokio::time::sleep(LOOK_UP_PAUSE).await;
    }
}

impl Link {
    /// Has the daemon apply the rows. Returns whether any of them differs from those in force, or that it failed.
    async fn apply(&self, reading: Reading) -> AccountReading {
        match self.requests.rows(reading).await {
            Some(true) => {
                self.is_changed.store(true, Ordering::Relaxed);
                AccountReading::Changed
            }
            Some(false) => AccountReading::Unchanged,
            None => AccountReading::Failed,
        }
    }

    fn failed(&self, error: &DatabaseError, accounts: &[AccountId]) {
        self.stored.look_ups.failed(accounts);
        if log::is_due(&format!("accounts: {error}")) {
            tracing::warn!(%error, "the accounts stay as they are");
        }
        self.health.set_accounts_outdated(Some(error.to_string()));
    }
}

impl Poller {
    async fn run(mut self) {
        let mut pause = self.interval;
        loop {
            self.write_snapshot().await;
            tokio::time::sleep(pause).await;
            pause = match self.read().await {
                true => self.interval,
                false => self.interval.min(RETRY_PAUSE_MAX),
            };
        }
    }

    /// Reads and applies all rows. Returns whether that succeeded.
    async fn read(&mut self) -> bool {
        let begun = clock::instant();
        let result = match self.database.read(self.limit).await {
            Ok(Some(reading)) => self.link.apply(reading).await,
            Ok(None) => AccountReading::Unchanged,
            Err(error) => {
                self.link.failed(&error, &[]);
                AccountReading::Failed
            }
        };
        self.link.metrics.account_reading(result);
        if result == AccountReading::Failed {
            self.database.forget();
            return false;
        }
        self.answered();
        let look_ups = &self.link.stored.look_ups;
        look_ups.answered(&look_ups.waiting_since(begun));
        true
    }

    fn answered(&self) {
        let health = &self.link.health;
        self.link.metrics.set_accounts_confirmed(clock::now());
        if health.accounts_outdated().is_some() {
            let database = self.database.address();
            if log::is_due(&format!("accounts: {database} answers")) {
                tracing::info!(database, "the accounts' database answers again");
            }
            health.set_accounts_outdated(None);
        }
    }

    /// Writes the rows in force to disk if they have changed, but not too often.
    async fn write_snapshot(&mut self) {
        let now = clock::instant();
        let is_early = self.written.is_some_and(|at| now < at + SNAPSHOT_INTERVAL);
        let is_missing = !Snapshot::exists(&self.directory);
        let Some(at) = self.database.answered_at() else { return };
        if !is_missing && is_early {
            return;
        }
        let (incremental, directory) = (self.link.stored.lock().clone(), self.directory.clone());
        let is_changed = self.link.is_changed.swap(false, Ordering::Relaxed) || is_missing;
        let write = move || match is_changed {
            true => Snapshot::write(&incremental, at, &directory),
            false => Snapshot::confirm(at, &directory),
        };
        let written = tokio::task::spawn_blocking(write).await;
        self.written = Some(now);
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => with_causes(&error),
            Err(error) => error.to_string(),
        };
        if is_changed {
            self.link.is_changed.store(true, Ordering::Relaxed);
        }
        if log::is_due(&error) {
            tracing::warn!(error, "the snapshot of the accounts is not written");
        }
    }
}

/// Logs faults of rows, each with its table, row and column.
pub(super) fn log_faults(faults: &[crate::config::Fault]) {
    for fault in faults.iter().take(FAULTS_LOGGED_MAX) {
        let place = fault.origin.row();
        let (table, row) = (place.map(|it| &*it.table), place.map(|it| &*it.row));
        let column = place.and_then(|it| it.column.as_deref());
        tracing::error!(
            table,
            row,
            column,
            key = fault.key,
            "a row of the accounts' database is wrong: {} {}; {}. Its last good definition stays in force, or none if there was none",
            fault.key,
            fault.problem,
            fault.fix
        );
    }
    let more = faults.len().saturating_sub(FAULTS_LOGGED_MAX);
    if more > 0 {
        tracing::error!(
            more,
            "more rows of the accounts' database are wrong; /api/v1/accounts lists all"
        );
    }
}
