//! Accounts with their webhooks, flows and rules, from the entries of a source to what the daemon uses.
//!
//! A *source* knows where accounts are kept, and makes *entries* of them: a tree of the keys that `entry` lists, in which each
//! value has an origin. `file` is such a source. The *builder* checks entries and builds [`Accounts`]; it is the same for all
//! sources, and its faults say by the origin where an entry stands. The *basis* is what the builder needs of the settings.
//!
//! A further source is one file beside `file` that makes [`Entries`], and a section of `ringback.toml` that turns it on. Where
//! its values come from neither a file nor a variable, [`Origin`](crate::document::Origin) gets a kind for them.

mod auth;
mod build;
mod definition;
pub(crate) mod entry;
mod file;
pub(crate) mod rate;
mod response;
pub(crate) mod retry;
mod rule;
mod tls;
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

/// What a source says: accounts, webhooks, flows and rules as they are written, each value with its origin.
#[derive(Clone, Debug)]
pub struct Entries(pub(crate) Node);

impl Entries {
    /// Reads the entries of the accounts file `file`.
    ///
    /// # Errors
    /// When the file can't be read, or is not TOML.
    pub fn of_file(file: &Path) -> Result<Self, Fault> {
        file::read(file)
    }

    /// Checks the entries and builds accounts of them. Secrets may stand in the environment `variables`.
    #[must_use]
    pub fn build(self, basis: &Basis<'_>, variables: &Variables) -> Built {
        build::build(self, basis, variables)
    }
}

/// The accounts of all customers: checked, and ready to be used.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// The accounts, with their flows and their default webhooks.
    pub accounts: BTreeMap<AccountId, AccountPolicy>,
    /// The accounts whose attempts per second are limited.
    pub account_rates: BTreeMap<AccountId, PerSecond>,
    /// The webhooks: how to call them, and how often.
    pub webhooks: BTreeMap<WebhookName, (Arc<Webhook>, WebhookPolicy)>,
    /// The bodies that webhooks send and the values that they save, where these differ from the predefined ones.
    pub definitions: Defined,
    /// The files that hold their secrets.
    pub secret_files: BTreeSet<PathBuf>,
}

impl Accounts {
    /// The name of a webhook that `name` most likely means.
    #[must_use]
    pub fn nearest_webhook(&self, name: &str) -> Option<&str> {
        nearest(name, self.webhooks.keys().map(WebhookName::as_str))
    }
}
