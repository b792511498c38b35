//! `ringback.toml` as the daemon uses it: parsed once, valid by existing.

mod build;
pub(super) mod file;
mod reloaded;

pub(super) use build::shows_property;

use super::effective::Entry;
use super::environment::{self, Variables};
use super::fault::{Fault, Faults};
use crate::delivery::{AddressPolicy, BreakerPolicy, PerSecond, Proxy, Secret};
use crate::domain::{CorrelationPolicy, StatusTable};
use crate::log::{KafkaSettings, TopicNames};
use crate::store::OnCorruption;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that `ringback.toml` and the environment say.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The file itself.
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
    /// `[accounts] file`
    pub accounts_file: PathBuf,
    /// `[correlation]`
    pub correlation: CorrelationPolicy,
    /// `[statuses]`
    pub statuses: StatusTable,
    /// `[delivery]`
    pub delivery: DeliverySettings,
    /// The files that hold its secrets.
    pub secret_files: BTreeSet<PathBuf>,
}

/// Where the schemas of Confluent-framed records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The registry's address, without credentials.
    pub url: reqwest::Url,
    /// The user, where the registry wants one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
}

/// The local state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Its directory.
    pub directory: PathBuf,
    /// What is done when it is damaged.
    pub on_corruption: OnCorruption,
}

/// Metrics, health, the API and the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The bearer token; there is one whenever `listen` is not loopback.
    pub token: Option<Secret>,
    /// So many endpoints are shown one by one in the metrics.
    pub endpoint_labels_max: usize,
}

/// Limits of the instance, and the defaults of every webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliverySettings {
    /// From the first byte sent to the last byte read.
    pub request_timeout: Duration,
    /// For name look-up, connect and TLS.
    pub connect_timeout: Duration,
    /// An older connection takes no further request.
    pub connection_max_age: Duration,
    /// Who is asked for names; where there are none, those of the system.
    pub name_servers: Vec<SocketAddr>,
    /// So many requests of the instance may be unanswered.
    pub in_flight_max: u32,
    /// So many requests of a webhook may be unanswered, unless it says otherwise.
    pub in_flight_max_webhook: u32,
    /// So many outcomes may be uncommitted.
    pub uncommitted_max: u32,
    /// Attempts per second of the instance; `None`: no limit.
    pub rate_per_second: Option<PerSecond>,
    /// Which addresses may be called: public ones, and what `allow_addresses` opens.
    pub addresses: AddressPolicy,
    /// Through whom webhooks are called, if not directly.
    pub proxy: Option<Proxy>,
    /// How long it is tried.
    pub bounds: Bounds,
    /// The intervals between attempts.
    pub retry: Retry,
    /// When an endpoint is left alone for a while.
    pub breaker: BreakerPolicy,
}

/// How long a delivery, and an endpoint, is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// After so many attempts a delivery is given up.
    pub attempts_max: u32,
    /// A delivery older than this is given up.
    pub age_max: Duration,
    /// A receiver's `Retry-After` counts up to this.
    pub retry_after_max: Duration,
    /// An endpoint that only failed for so long is disabled.
    pub disable_after: Duration,
}

/// The intervals between attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// After the first attempt.
    pub initial_interval: Duration,
    /// Each interval is so many times the one before.
    pub multiplier: f64,
    /// No interval is longer.
    pub interval_max: Duration,
    /// 0.2 spreads an interval from 80 % to 120 % of itself.
    pub randomization_factor: f64,
}

/// What was read of `ringback.toml`.
pub(super) struct Read {
    pub(super) settings: Settings,
    /// Each key.
    pub(super) entries: Vec<Entry>,
    pub(super) faults: Vec<Fault>,
}

impl Settings {
    /// Reads `file` and the environment of this process.
    ///
    /// # Errors
    /// With everything that is wrong in either.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        Self::load_with(file, &environment::of_process())
    }

    /// Reads `file` and the environment `variables`.
    ///
    /// # Errors
    /// With everything that is wrong in either.
    pub fn load_with(file: &Path, variables: &Variables) -> Result<Self, Faults> {
        let Read { settings, faults, .. } = Self::read(file, variables)?;
        Faults::or(faults, settings)
    }

    /// The settings with defaults in the place of what is at fault, so that the accounts can be checked too.
    pub(super) fn read(file: &Path, variables: &Variables) -> Result<Read, Faults> {
        build::read(file, variables).map_err(|fault| Faults(vec![fault]))
    }
}
