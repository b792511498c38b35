//! Accounts with their webhooks, flows and rules: from the entries of a source to the types that the daemon uses.
//!
//! A *source* knows where accounts are stored, and makes *entries* of them: a tree of the keys that `entry` lists, in
//! which each value has an origin. `file` is such a source. The *builder* checks entries and builds [`Accounts`]. It is
//! the same for all sources, and its faults contain the origins of entries. The *basis* is the part of the settings
//! that the builder needs.
//!
//! Another source is one file beside `file` that makes [`Entries`], and a section of `ringback.toml` that enables it.
//! If its values come neither from a file nor from a variable, [`Origin`](crate::document::Origin) needs another
//! variant.

mod auth;
mod body;
mod build;
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

pub use build::{Basis, Built, Defaults};
pub use retry::{Bounds, Retry};

use crate::definition::Defined;
use crate::delivery::{PerSecond, Webhook};
use crate::document::{Fault, Node, Variables, nearest};
use crate::domain::{AccountId, AccountPolicy, WebhookName, WebhookPolicy};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The entries of a source: accounts, webhooks, flows and rules as they are written, each value with its origin.
#[derive(Clone, Debug)]
pub struct Entries(pub(crate) Node);

impl Entries {
    /// Reads the entries of the accounts file `file`.
    ///
    /// # Errors
    /// The file can't be read, or is not TOML.
    pub fn of_file(file: &Path) -> Result<Self, Fault> {
        file::read(file)
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
    pub accounts: BTreeMap<AccountId, AccountPolicy>,
    /// The accounts whose attempts per second are limited.
    pub account_rates: BTreeMap<AccountId, PerSecond>,
    /// The webhooks: how to call them, and how often.
    pub webhooks: BTreeMap<WebhookName, (Arc<Webhook>, WebhookPolicy)>,
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
