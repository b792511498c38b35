//! The configuration: parsed once, when the daemon starts or reloads, into values that are valid by existing.
//!
//! A file becomes a *document*, a tree that knows the line of each value; environment variables are laid over it; the
//! *check* walks it along the JSON Schema of the types that it will become and cuts out what is at fault; the rest is
//! read and checked for what no schema says. So every *fault* of both files is found at once, with its line and its
//! mend, and none hides another. No fault quotes a value that may be a secret.
//!
//! What is *effective* is remembered key by key, for operators: its value, unless that is a secret, and its line or variable.

mod accounts;
mod check;
mod context;
mod document;
mod effective;
mod environment;
mod fault;
mod loaded;
mod rate;
mod retry;
mod schema;
mod settings;

pub use accounts::Accounts;
pub use effective::{Difference, Effective, Hashes};
pub use environment::Variables;
pub use fault::{Fault, Faults};
pub use loaded::Loaded;
pub use settings::{
    Bounds, DeliverySettings, HttpSettings, RegistrySettings, Retry, Settings, StoreSettings,
};

use crate::domain::Policy;
use std::path::Path;
use std::sync::Arc;

/// Reads the configuration `file`, the environment of this process and the accounts file.
///
/// # Errors
/// With everything that is wrong in any of them.
pub fn load(file: &Path) -> Result<(Settings, Accounts), Faults> {
    load_with(file, &environment::of_process())
}

/// Reads the configuration `file`, the environment `variables` and the accounts file.
///
/// # Errors
/// With everything that is wrong in any of them.
pub fn load_with(file: &Path, variables: &Variables) -> Result<(Settings, Accounts), Faults> {
    Loaded::load_with(file, variables).map(|loaded| (loaded.settings, loaded.accounts))
}

/// What decisions need of the configuration.
#[must_use]
pub fn policy(settings: &Settings, accounts: &Accounts) -> Policy {
    let delivery = &settings.delivery;
    Policy {
        correlation: settings.correlation.clone(),
        statuses: settings.statuses.clone(),
        accounts: accounts.accounts.clone(),
        webhooks: accounts
            .webhooks
            .iter()
            .map(|(name, (_, policy))| (name.clone(), policy.clone()))
            .collect(),
        webhook_defaults: retry::webhook_rules(&delivery.retry, &delivery.bounds),
        definitions: Arc::new(accounts.definitions.clone()),
    }
}

#[cfg(test)]
mod tests;
