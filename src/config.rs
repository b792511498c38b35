//! The configuration. It is parsed once, when the daemon starts or reloads, into values that are always valid.
//!
//! `ringback.toml` becomes a tree (`crate::document`), and environment variables override its values. The check removes
//! parts that its schema forbids. The rest is parsed, and checked for rules that a schema can't express.
//! `crate::accounts` builds the accounts in the same way. So every *fault* of both files is found at once, with its
//! line and its fix, and none hides another. A *warning* names a key that works but should be removed or changed.
//!
//! The *effective* configuration lists each key for operators, with its line or variable, and its value unless that is
//! a secret.

mod effective;
mod environment;
mod listing;
mod loaded;
mod settings;

pub use effective::{Difference, Effective, Hashes};
pub use listing::Listing;
pub use loaded::Loaded;
pub use settings::{DeliverySettings, HttpSettings, RegistrySettings, Settings, StoreSettings};

pub use crate::accounts::Accounts;
pub use crate::document::{Fault, Faults, Note, Variables, Warning};

use crate::accounts::retry;
use crate::domain::Policy;
use std::path::Path;
use std::sync::Arc;

/// Returns the environment variables of this process.
#[must_use]
pub fn variables() -> Variables {
    environment::of_process()
}

/// Reads the configuration `file`, the environment of this process and the accounts file.
///
/// # Errors
/// All faults of the files and the variables.
pub fn load(file: &Path) -> Result<(Settings, Accounts), Faults> {
    load_with(file, &environment::of_process())
}

/// Reads the configuration `file`, the environment `variables` and the accounts file.
///
/// # Errors
/// All faults of the files and the variables.
pub fn load_with(file: &Path, variables: &Variables) -> Result<(Settings, Accounts), Faults> {
    Loaded::load_with(file, variables).map(|loaded| (loaded.settings, loaded.accounts))
}

/// Returns the part of the configuration that decisions need.
#[must_use]
pub fn policy(settings: &Settings, accounts: &Accounts) -> Policy {
    let defaults = &settings.delivery.defaults;
    Policy {
        correlation: settings.correlation.clone(),
        statuses: settings.statuses.clone(),
        accounts: accounts.accounts.clone(),
        webhooks: accounts
            .webhooks
            .iter()
            .map(|(name, (_, policy))| (name.clone(), policy.clone()))
            .collect(),
        webhook_defaults: retry::webhook_policy(&defaults.retry, &defaults.bounds),
        definitions: Arc::new(accounts.definitions.clone()),
    }
}

#[cfg(test)]
mod tests;
