//! Accounts with their webhooks, flows and rules: from the entries of a source to the types that the daemon uses.
//!
//! A *source* knows where accounts are stored, and makes *entries* of them: a tree of the keys that `entry` lists, in
//! which each value has an origin. `file` is such a source. The *builder* checks entries and builds [`Accounts`]. It is
//! the same for all sources, and its faults contain the origins of entries. The *basis* is the part of the settings
//! that the builder needs.
//!
//! The sources are `file` and `database`. A file is built as a whole, and not at all if it has faults. A database has
//! the accounts of many customers, so each account is built alone, when its rows change.

mod auth;
mod body;
mod build;
mod database;
mod definition;
pub(crate) mod entry;
mod file;
mod internal;
pub(crate) mod rate;
mod response;
pub(crate) mod retry;
mod rule;
mod secret;
mod signature;
mod template;
mod tls;
mod tokens;
mod url;
mod webhook;

pub(crate) use build::schema;
pub use build::{Basis, Built, Defaults};
pub use database::{
    Building, Changes, Database, DatabaseError, DatabaseSettings, Finder, Incremental, Kept,
    Queries, Reading, Snapshot, SnapshotError,
};
pub use retry::{Bounds, Retry};
pub(crate) use tls::of_files as tls_of_files;

use crate::definition::Defined;
use crate::delivery::{PerSecond, Webhook};
use crate::document::{Faults, Node, Variables, nearest};
use crate::domain::{AccountId, AccountPolicy, WebhookName, WebhookPolicy};
use imbl::OrdMap;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The entries of a source: accounts, webhooks, flows and rules as they are written, each value with its origin.
#[derive(Clone, Debug)]
pub struct Entries(pub(crate) Node);

impl Entries {
    /// Reads the entries of the accounts file `path`, or of all files `*.toml` in the directory `path`.
    ///
    /// # Errors
    /// A file can't be read, or is not TOML.
    pub fn of_file(path: &Path) -> Result<Self, Faults> {
        file::read(path)
    }

    /// Checks the entries and builds accounts from them. Secrets may refer to the environment `variables`.
    #[must_use]
    pub fn build(self, basis: &Basis<'_>, variables: &Variables) -> Built {
        build::build(self, basis, variables)
    }
}

/// The checked accounts of all customers.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// The accounts, with their flows and their default webhooks.
    pub accounts: OrdMap<AccountId, AccountPolicy>,
    /// The accounts whose attempts per second are limited.
    pub account_rates: OrdMap<AccountId, PerSecond>,
    /// The webhooks: how to call them, and how often.
    pub webhooks: OrdMap<WebhookName, (Arc<Webhook>, WebhookPolicy)>,
    /// The bodies that webhooks send and the values that they save, if they differ from the predefined ones.
    pub definitions: Defined,
    /// The files that contain their secrets.
    pub secret_files: BTreeSet<PathBuf>,
}

impl Accounts {
    /// Returns the name of the webhook that `name` most likely means.
    #[must_use]
    pub fn nearest_webhook(&self, name: &str) -> Option<&str> {
        nearest(name, self.webhooks.keys().map(WebhookName::as_str))
    }
}
