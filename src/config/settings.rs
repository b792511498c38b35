//! `ringback.toml` as the daemon uses it: parsed once, and always valid.

mod build;
pub(super) mod file;
mod reloaded;

pub(super) use build::shows_property;

use super::effective::{Effective, Entry};
use super::environment;
use crate::accounts::{Basis, DatabaseSettings, Defaults};
use crate::definition::catalogue::Methods;
use crate::delivery::{AddressPolicy, PerSecond, Secret};
use crate::document::{Fault, Faults, Reserved, Variables, Warning};
use crate::domain::{CorrelationPolicy, StatusTable};
use crate::log::{KafkaSettings, TopicNames};
use crate::sink::MongoSettings;
use crate::store::OnCorruption;
use crate::telemetry::TraceSettings;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All settings of `ringback.toml` and the environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The path of the settings file.
    pub file: PathBuf,
    /// `[kafka]`
    pub kafka: KafkaSettings,
    /// `[topics]`
    pub topics: TopicNames,
    /// `[schema_registry]`
    pub schema_registry: Option<RegistrySettings>,
    /// `[store]`
    pub store: StoreSettings,
    /// `[http]`
    pub http: HttpSettings,
    /// `[traces]`
    pub traces: Option<TraceSettings>,
    /// `[accounts] file`
    pub accounts_file: PathBuf,
    /// `[accounts.mysql]`, if the accounts come from a database.
    pub accounts_database: Option<DatabaseSettings>,
    /// The functions of the platform: the built-in ones, and those of `[catalogue] internal`.
    pub methods: Arc<Methods>,
    /// `[correlation]`
    pub correlation: CorrelationPolicy,
    /// `[statuses]`
    pub statuses: StatusTable,
    /// `[delivery]`
    pub delivery: DeliverySettings,
    /// `[sink.mongodb]`
    pub sink: Option<MongoSettings>,
    /// The files with its secrets.
    pub secret_files: BTreeSet<PathBuf>,
    /// The environment variables with its secrets.
    pub secret_variables: BTreeSet<String>,
}

/// The registry with the schemas of Confluent-framed records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The registry's address, without credentials.
    pub url: reqwest::Url,
    /// The user, if the registry needs one.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Secret>,
}

/// The location of the local state, and the reaction to damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The directory of the store.
    pub directory: PathBuf,
    /// The reaction to a damaged store.
    pub on_corruption: OnCorruption,
}

/// Metrics, health, the API and the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The bearer token. It is always set if `listen` is not a loopback address.
    pub token: Option<Secret>,
    /// The number of webhooks with series of their own in the metrics.
    pub endpoint_labels_max: usize,
}

/// Limits of the instance, and the defaults of every webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliverySettings {
    /// The values of keys that a webhook does not set.
    pub defaults: Defaults,
    /// The name servers; if empty, the system's are used.
    pub name_servers: Vec<SocketAddr>,
    /// The maximum number of unanswered requests of the instance.
    pub in_flight_max: u32,
    /// The maximum number of outcomes that are not committed.
    pub uncommitted_max: u32,
    /// Attempts per second of the instance; `None`: no limit.
    pub rate_per_second: Option<PerSecond>,
    /// The addresses that may be called: public ones, and those in `allow_addresses`.
    pub addresses: AddressPolicy,
}

/// The settings of `ringback.toml`, with their faults and warnings.
pub(super) struct Read {
    pub(super) settings: Settings,
    /// All keys with their values and origins.
    pub(super) entries: Vec<Entry>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
}

impl Settings {
    /// Reads `file` and the environment of this process.
    ///
    /// # Errors
    /// All faults of the file and the variables.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        Self::load_with(file, &environment::of_process())
    }

    /// Reads `file` and the environment `variables`.
    ///
    /// # Errors
    /// All faults of the file and the variables.
    pub fn load_with(file: &Path, variables: &Variables) -> Result<Self, Faults> {
        let Read { settings, faults, .. } = Self::read(file, variables)?;
        Faults::or(faults, settings)
    }

    /// Reads `file` and the environment of this process, for programs that need no accounts. Also returns the value and
    /// the source of each key, and warnings about values that should be changed.
    ///
    /// # Errors
    /// All faults of the file and the variables.
    pub fn listed(file: &Path) -> Result<(Self, Effective, Vec<Warning>), Faults> {
        let Read { settings, entries, faults, warnings } =
            Self::read(file, &environment::of_process())?;
        let (file, accounts_file) = (settings.file.clone(), settings.accounts_file.clone());
        let effective = Effective::new(file, accounts_file, entries, Vec::new());
        Faults::or(faults, (settings, effective, warnings))
    }

    /// Returns the settings that accounts are built with.
    #[must_use]
    pub fn basis(&self) -> Basis<'_> {
        Basis {
            file: &self.file,
            defaults: &self.delivery.defaults,
            has_flow_started: !self.topics.flow_started.is_empty(),
            statuses: &self.statuses,
            methods: &self.methods,
            reserved: self.accounts_database.as_ref().map(|database| Reserved {
                all: !database.references,
                file: &self.file,
                directory: &self.store.directory,
                files: &self.secret_files,
                variables: &self.secret_variables,
            }),
        }
    }

    /// Reads the settings. Values with faults are replaced by defaults, so that the accounts can be checked too.
    pub(super) fn read(file: &Path, variables: &Variables) -> Result<Read, Faults> {
        build::read(file, variables).map_err(|fault| Faults(vec![fault]))
    }
}
