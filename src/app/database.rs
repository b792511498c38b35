//! Keeps the accounts of a database up to date: reads it again and again, and looks up single accounts.
//!
//! One task reads, and one reading is applied at a time. While the database can't be read, the accounts stay as they
//! are, and the daemon stays ready.

use super::endpoints::Shared;
use super::files::plan_for;
use super::look_ups::LookUps;
use super::requests::ReloadRequests;
use super::{App, AppError};
use crate::accounts::{Building, Database, DatabaseError, Incremental, Reading, Snapshot};
use crate::clock;
use crate::codec::event::rfc3339;
use crate::config::{self, Accounts, Settings, Variables};
use crate::delivery::{Endpoint, Webhook};
use crate::domain::{AccountId, WebhookName};
use crate::log;
use crate::telemetry::{AccountLookUp, AccountReading, Health, Metrics, Waiting, with_causes};
use imbl::OrdMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The pause after a look-up. It limits the number of look-ups per second.
const LOOK_UP_PAUSE: Duration = Duration::from_millis(100);
/// The time limit of the first reading if there is a snapshot to start with.
const FIRST_LIMIT: Duration = Duration::from_secs(5);
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

/// The task that reads the database, until this is dropped.
pub(super) struct Polling(JoinHandle<()>);

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Everything that the task needs.
struct Poller {
    database: Database,
    stored: Stored,
    requests: ReloadRequests,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    /// The directory of the snapshot.
    directory: PathBuf,
    interval: Duration,
    limit: Duration,
    /// The time of the last snapshot, and whether rows have changed since.
    written: Option<Instant>,
    is_changed: bool,
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
                    tokio::time::sleep(settings.poll_interval).await;
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
                tracing::warn!(error, "it can't be read and is not used");
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
        let poller = Poller {
            database: database?,
            stored: self.stored.clone()?,
            requests: self.requests.clone(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            directory: self.settings.store.directory.clone(),
            interval: settings.poll_interval,
            limit: settings.read_timeout,
            written: None,
            is_changed: true,
        };
        Some(Polling(tokio::spawn(poller.run())))
    }

    /// Returns the environment that secrets may refer to.
    pub(super) fn variables(&self) -> Variables {
        if self.has_variables { config::variables() } else { Variables::new() }
    }
}

impl Poller {
    async fn run(mut self) {
        let mut next = tokio::time::Instant::now() + self.interval;
        loop {
            self.write_snapshot().await;
            let look_ups = self.stored.look_ups.clone();
            tokio::select! {
                accounts = look_ups.next() => {
                    if let Err(error) = self.look_up(&accounts).await {
                        self.failed(&error, &accounts);
                    }
                    tokio::time::sleep(LOOK_UP_PAUSE).await;
                }
                () = tokio::time::sleep_until(next) => {
                    self.read().await;
                    next = tokio::time::Instant::now() + self.interval;
                }
            }
        }
    }

    async fn read(&mut self) {
        match self.database.read(self.limit).await {
            Ok(reading) => {
                let result = match reading {
                    Some(reading) => self.apply(reading).await,
                    None => AccountReading::Unchanged,
                };
                self.metrics.account_reading(result);
                self.answered();
                self.stored.look_ups.answered(&[]);
            }
            Err(error) => {
                self.metrics.account_reading(AccountReading::Failed);
                self.failed(&error, &[]);
            }
        }
    }

    async fn look_up(&mut self, accounts: &[AccountId]) -> Result<(), DatabaseError> {
        let look_ups = self.stored.look_ups.clone();
        match self.database.look_up(accounts).await {
            Ok(reading) => {
                if !reading.is_empty() {
                    self.apply(reading).await;
                }
                let known = self.stored.lock().accounts().accounts.clone();
                let found = accounts.iter().filter(|id| known.contains_key(*id)).count();
                look_ups.answered(accounts);
                self.metrics.account_look_ups(AccountLookUp::Found, found);
                self.metrics.account_look_ups(AccountLookUp::Missing, accounts.len() - found);
                Ok(())
            }
            Err(error) => {
                self.metrics.account_look_ups(AccountLookUp::Failed, accounts.len());
                Err(error)
            }
        }
    }

    /// Has the daemon apply the rows. Returns whether any of them differs from those in force.
    async fn apply(&mut self, reading: Reading) -> AccountReading {
        match self.requests.rows(reading).await {
            true => {
                self.is_changed = true;
                AccountReading::Changed
            }
            false => AccountReading::Unchanged,
        }
    }

    fn answered(&self) {
        self.metrics.set_accounts_confirmed(clock::now());
        if self.health.accounts_outdated().is_some() {
            tracing::info!(
                database = self.database.address(),
                "the accounts' database answers again"
            );
            self.health.set_accounts_outdated(None);
        }
    }

    fn failed(&self, error: &DatabaseError, accounts: &[AccountId]) {
        self.stored.look_ups.failed(accounts);
        if log::is_due(&format!("accounts: {error}")) {
            tracing::warn!(%error, "the accounts stay as they are");
        }
        self.health.set_accounts_outdated(Some(error.to_string()));
    }

    /// Writes the rows in force to disk if they have changed, but not too often.
    async fn write_snapshot(&mut self) {
        let now = clock::instant();
        let is_early = self.written.is_some_and(|at| now < at + SNAPSHOT_INTERVAL);
        let is_missing = !Snapshot::exists(&self.directory);
        let Some(at) = self.database.answered_at() else { return };
        if !is_missing && (!self.is_changed || is_early) {
            return;
        }
        let (incremental, directory) = (self.stored.lock().clone(), self.directory.clone());
        let write = move || Snapshot::write(&incremental, at, &directory);
        let written = tokio::task::spawn_blocking(write).await;
        self.written = Some(now);
        match written {
            Ok(Ok(())) => self.is_changed = false,
            Ok(Err(error)) => {
                let error = with_causes(&error);
                if log::is_due(&error) {
                    tracing::warn!(error, "it is not written");
                }
            }
            Err(error) => tracing::warn!(%error, "the snapshot of the accounts is not written"),
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
            "a row of the accounts' database is wrong, and its last good definition stays in force: {} {}; {}",
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
